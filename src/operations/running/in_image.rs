//! Runs a job in its real image, through the daemon.

use super::{
    request::{Program, QUIET, RunRequest, chosen, ended, quiet, submission, tell},
    submission::Submission,
};
use crate::{
    adapters::docker::{JobContainer, JobEnd, JobStreams},
    error::Error,
    operations::{
        build,
        workspace::{Services, Session},
    },
};

/// Where Spark finds what it is to log, in a container.
const LOG_SETTINGS: [&str; 2] = [
    "/tmp/sparkpack-log4j2.properties",
    "/tmp/sparkpack-log4j.properties",
];

/// Calls a program of Spark, wherever it is.
const SPARK_SUBMIT: &str = "exec \"${SPARK_HOME:-/opt/spark}/bin/spark-submit\" \"$@\"";
const PYSPARK: &str = "exec \"${SPARK_HOME:-/opt/spark}/bin/pyspark\" \"$@\"";

/// A shell that people know, or at least one.
const SHELL: &str = "command -v bash >/dev/null && exec bash; exec sh";

/// Runs a job in its image, which is made if it is missing. No manifest changes.
///
/// # Errors
/// Nothing says what to run, the image cannot be made, or no container can be started.
pub(crate) fn run_in_image(
    session: &Session<'_>,
    services: &Services<'_>,
    request: &RunRequest<'_>,
    streams: JobStreams<'_>,
) -> Result<JobEnd, Error> {
    let chosen = chosen(session, request)?;
    let submission = submission(request, &chosen)?;
    let daemon = services.daemon()?;
    let alone = session.alone()?;
    let image = build::provide(
        session,
        services,
        (request.registry, &chosen.image),
        request.strictness,
    )?;
    session.keep_stats();
    // A job may run for hours, and others may build meanwhile.
    drop(alone);
    tell(
        session,
        request,
        &chosen,
        &submission,
        Some(&image.reference),
    );
    let reference = image.reference.to_string();
    let (entrypoint, command) = call(request.program, &submission, image.knows_roles);
    let mut environment = submission.environment.clone();
    let files: Vec<(&str, &str)> = if request.is_quiet {
        quiet(&mut environment, LOG_SETTINGS);
        LOG_SETTINGS.into_iter().zip(QUIET).collect()
    } else {
        Vec::new()
    };
    if request.master.starts_with("local") {
        // Spark's own entrypoint expects it in a driver's pod.
        environment
            .entry("SPARK_DRIVER_BIND_ADDRESS".to_owned())
            .or_insert("127.0.0.1".to_owned());
    }
    let environment = environment.into_iter();
    let job = JobContainer {
        image: &image.info,
        name: &reference,
        entrypoint,
        command,
        environment: environment
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        volumes: request.volumes,
        files: &files,
        network: request.network,
    };
    let end = daemon.run_job(&job, streams)?;
    ended(session, &chosen.title, end);
    Ok(end)
}

/// The entrypoint, if it is not the image's own, and what it is given.
fn call(
    program: Program,
    submission: &Submission,
    knows_roles: bool,
) -> (Option<Vec<String>>, Vec<String>) {
    let through_shell = |script: &str, name: &str| -> Vec<String> {
        ["/bin/sh", "-c", script, name].map(str::to_owned).into()
    };
    let call = match program {
        Program::Job if knows_roles => {
            let driver = std::iter::once("driver".to_owned());
            return (None, driver.chain(submission.command()).collect());
        }
        Program::Job => (
            through_shell(SPARK_SUBMIT, "spark-submit"),
            submission.command(),
        ),
        Program::PySpark => (
            through_shell(PYSPARK, "pyspark"),
            submission.options.clone(),
        ),
        Program::Shell => (through_shell(SHELL, "sh"), Vec::new()),
    };
    let (program, arguments) = call;
    if knows_roles {
        // The entrypoint finds Java and a home, and calls what it is given.
        return (None, program.into_iter().chain(arguments).collect());
    }
    (Some(program), arguments)
}
