//! Runs a job: in its real image through the daemon, or from `dist` by a Spark of this machine.

mod choose;
mod local;
mod submission;

pub(crate) use local::run_locally;

use std::collections::BTreeMap;

use choose::{Choice, ChosenJob};
use submission::{Given, Submission};

use crate::{
    adapters::docker::{JobContainer, JobEnd, JobStreams, Volume},
    error::{Error, RunError},
    operations::{
        build::{self, Provided},
        events::{Note, RunNote},
        manifests,
        resolution::Strictness,
        workspace::{Services, Session},
    },
};

/// Where Spark finds what it is to log, in a container.
const LOG_SETTINGS: [&str; 2] = [
    "/tmp/sparkpack-log4j2.properties",
    "/tmp/sparkpack-log4j.properties",
];

/// Warnings and errors alone, for the two generations of Spark's logging.
const QUIET: [&str; 2] = [
    include_str!("log4j2.properties"),
    include_str!("log4j.properties"),
];

/// Calls a program of Spark, wherever it is.
const SPARK_SUBMIT: &str = "exec \"${SPARK_HOME:-/opt/spark}/bin/spark-submit\" \"$@\"";
const PYSPARK: &str = "exec \"${SPARK_HOME:-/opt/spark}/bin/pyspark\" \"$@\"";

/// A shell that people know, or at least one.
const SHELL: &str = "command -v bash >/dev/null && exec bash; exec sh";

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The job.
    Job,
    /// A shell of the system.
    Shell,
    /// Spark's shell for Python.
    PySpark,
}

/// What is asked for.
pub(crate) struct RunRequest<'a> {
    /// An application, a manifest, an image or a main file.
    pub(crate) name: Option<&'a str>,
    pub(crate) registry: Option<&'a str>,
    pub(crate) program: Program,
    /// The file of the image that is run, as `spark-submit` is given it.
    pub(crate) main: Option<&'a str>,
    pub(crate) master: &'a str,
    pub(crate) arguments: &'a [String],
    /// `KEY=VALUE`.
    pub(crate) properties: &'a [String],
    pub(crate) environment: &'a [(String, String)],
    pub(crate) volumes: &'a [Volume],
    pub(crate) network: Option<&'a str>,
    /// Whether Spark logs warnings and errors alone.
    pub(crate) is_quiet: bool,
    pub(crate) strictness: Strictness,
}

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
    tell(session, request, &chosen, &submission, Some(&image));
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

/// What is to be run.
fn chosen(session: &Session<'_>, request: &RunRequest<'_>) -> Result<ChosenJob, Error> {
    session.registry(request.registry)?;
    let (applications, templates) = manifests::applications(session, request.registry)?;
    let choice = Choice {
        project: &session.project,
        applications: &applications,
        templates: &templates,
        needs_image_alone: !request.arguments.is_empty() || request.program != Program::Job,
    };
    Ok(choice.choose(request.name)?)
}

/// How it is run.
fn submission(request: &RunRequest<'_>, chosen: &ChosenJob) -> Result<Submission, Error> {
    let given = Given {
        master: request.master,
        arguments: request.arguments,
        properties: request.properties,
        environment: request.environment,
    };
    let main = request.main.or(chosen.main.as_deref());
    let application = match request.program {
        Program::Job => chosen.application.clone(),
        // A shell needs no arguments.
        Program::Shell | Program::PySpark => {
            let application = chosen.application.clone();
            application.map(|application| crate::yaml::SparkApplication {
                arguments: Vec::new(),
                ..application
            })
        }
    };
    let submission = Submission::new((&chosen.title, application.as_ref()), main, &given)?;
    if request.program == Program::Job && submission.main.is_none() {
        let image = chosen.image.clone();
        return Err(RunError::NoMain { image }.into());
    }
    Ok(submission)
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

/// Has Spark log warnings and errors alone. The application's own settings win.
fn quiet(environment: &mut BTreeMap<String, String>, files: [&str; 2]) {
    let [second, first] = files;
    let own =
        format!("-Dlog4j2.configurationFile=file:{second} -Dlog4j.configuration=file:{first}");
    let known = environment.remove("SPARK_SUBMIT_OPTS");
    let all = [own].into_iter().chain(known).collect::<Vec<_>>().join(" ");
    environment.insert("SPARK_SUBMIT_OPTS".to_owned(), all);
}

/// Says what is run, and what of the application is not.
fn tell(
    session: &Session<'_>,
    request: &RunRequest<'_>,
    chosen: &ChosenJob,
    submission: &Submission,
    image: Option<&Provided>,
) {
    let job = chosen.title.as_str();
    let note = |note| session.events.note(Note::Run(note));
    if request.program != Program::Shell {
        if !submission.left_out.is_empty() {
            let properties = &submission.left_out;
            note(RunNote::LeftOut { job, properties });
        }
        if !submission.without_value.is_empty() {
            let names = &submission.without_value;
            note(RunNote::WithoutValue { job, names });
        }
    }
    let reference = image.map(|image| &image.reference);
    note(RunNote::Begins { job, reference });
}

fn ended(session: &Session<'_>, job: &str, end: JobEnd) {
    if let JobEnd::Exit(code) = end
        && code != Some(0)
    {
        session.events.note(Note::Run(RunNote::Ended { job, code }));
    }
}
