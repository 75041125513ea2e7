//! Runs a job from `dist` by a Spark of this machine, without an image.

use std::path::Path;

use super::{
    request::{Program, QUIET, RunRequest, chosen, ended, quiet, submission, tell},
    submission::Submission,
};
use crate::{
    adapters::{
        docker::JobEnd,
        spark::{self, SparkProgram},
        store::TemporaryFolder,
    },
    error::{Error, RunError},
    operations::{
        dist::Packer,
        events::{Note, RunNote},
        resolution::{self, Prepared},
        workspace::{Services, Session},
    },
    plan::PlatformStage,
};

/// Where a job's files are in its image, as `spark-submit` is given them.
const IN_IMAGE: &str = "local:///opt/job/";

/// The options that list files.
const FILES: [&str; 4] = ["--jars", "--files", "--py-files", "--archives"];

/// Runs a job from its `dist` folder, which is packed before.
///
/// # Errors
/// Nothing says what to run, it cannot be packed, or this machine has no Spark.
pub(crate) fn run_locally(
    session: &Session<'_>,
    services: &Services<'_>,
    request: &RunRequest<'_>,
) -> Result<JobEnd, Error> {
    let chosen = chosen(session, request)?;
    let mut submission = submission(request, &chosen)?;
    let no_code = || RunError::NoMain {
        image: chosen.image.clone(),
    };
    let image = &session.project.images[&chosen.image];
    let package = image.package.as_ref().ok_or_else(no_code)?;
    let chain = image.chain.as_ref();
    let chain = chain.and_then(|chain| session.project.chains.get(chain)?.made());
    let home = spark::find().map_err(|looked| RunError::NoSpark {
        looked,
        spark: chain.map(|chain| chain.spark.clone()),
    })?;
    let prepared = pack(session, services, request, &chosen.image)?;
    let stage = prepared.plan.stages[&chosen.image].first();
    let note = |note| session.events.note(Note::Run(note));
    let spark = prepared.lock.spark_of(&session.project, image);
    if let (Some(wanted), Some(found)) = (&spark, &home.version)
        && wanted != found
    {
        note(RunNote::OtherSpark { wanted, found });
    }
    let python = python(session, stage);
    let dist = session.project.root.join(&package.dist);
    from_dist(&mut submission, &dist);
    tell(session, request, &chosen, &submission, None);
    let settings = LogSettings::write(request.is_quiet)?;
    let mut environment = submission.environment.clone();
    if let Some(settings) = &settings {
        quiet(&mut environment, settings.paths());
    }
    environment.insert("PYTHONPATH".to_owned(), python_path(&dist));
    if let Some(python) = python {
        for variable in ["PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"] {
            environment
                .entry(variable.to_owned())
                .or_insert(python.clone());
        }
    }
    let (program, arguments) = match request.program {
        Program::Job => ("spark-submit", submission.command()),
        Program::PySpark => ("pyspark", submission.options.clone()),
        Program::Shell => ("", Vec::new()),
    };
    let program = SparkProgram {
        home: &home,
        name: program,
        arguments: &arguments,
        environment: &environment,
    };
    let end = JobEnd::Exit(Some(
        program
            .run()
            .map_err(|(program, why)| RunError::NotStarted { program, why })?,
    ));
    ended(session, &chosen.title, end);
    Ok(end)
}

/// Packs a job into its `dist` folder.
fn pack(
    session: &Session<'_>,
    services: &Services<'_>,
    request: &RunRequest<'_>,
    image: &str,
) -> Result<Prepared, Error> {
    let _alone = session.alone()?;
    let targets = [image.to_owned()];
    let prepared = resolution::prepare_for(session, services, &targets)?;
    let wanted = (&prepared, targets.as_slice());
    let packer = Packer::checked(session, services, wanted, request.strictness.refuses())?;
    packer.pack_images(&targets, &prepared)?;
    packer.remember();
    session.keep_stats();
    Ok(prepared)
}

/// The Python of the image's version, if this machine has it under its own name; else the one that Spark finds is told of.
fn python(session: &Session<'_>, stage: &PlatformStage) -> Option<String> {
    let (major, minor) = stage.target.as_ref()?.python;
    let name = format!("python{major}.{minor}");
    if spark::has_python(&name) {
        return Some(name);
    }
    session
        .events
        .note(Note::Run(RunNote::OtherPython { wanted: &name }));
    None
}

/// Names the files that lie in `dist` by their places there, and leaves out those that only the image has.
fn from_dist(submission: &mut Submission, dist: &Path) {
    let place = |file: &str| {
        let name = file.strip_prefix(IN_IMAGE)?;
        Some(dist.join(name).display().to_string())
    };
    if let Some(main) = submission.main.as_mut()
        && let Some(found) = place(main)
    {
        *main = found;
    }
    let mut options = std::mem::take(&mut submission.options).into_iter();
    while let Some(option) = options.next() {
        let Some(value) = options.next().filter(|_| option.starts_with("--")) else {
            continue;
        };
        if !FILES.contains(&option.as_str()) {
            submission.options.extend([option, value]);
            continue;
        }
        let files = value.split(',').filter_map(|file| match place(file) {
            None if file.starts_with("local:") => {
                submission.left_out.push(file.to_owned());
                None
            }
            found => Some(found.unwrap_or_else(|| file.to_owned())),
        });
        let files: Vec<String> = files.collect();
        if !files.is_empty() {
            submission.options.extend([option, files.join(",")]);
        }
    }
}

/// Where Python finds the job's code and packages, as in an image.
fn python_path(dist: &Path) -> String {
    let places = ["site-packages", "libs.zip", "jobs", "jobs.zip"];
    let places = places.map(|name| dist.join(name));
    let there = places.iter().filter(|place| place.exists());
    let there: Vec<String> = there.map(|place| place.display().to_string()).collect();
    there.join(":")
}

/// Files with what Spark is to log, as long as this value is there.
struct LogSettings {
    _folder: TemporaryFolder,
    paths: [String; 2],
}

impl LogSettings {
    fn write(is_quiet: bool) -> Result<Option<Self>, Error> {
        if !is_quiet {
            return Ok(None);
        }
        let folder = TemporaryFolder::new()?;
        let mut paths = Vec::new();
        for (name, text) in ["log4j2.properties", "log4j.properties"]
            .into_iter()
            .zip(QUIET)
        {
            let path = folder.path().join(name);
            fs_err::write(&path, text)?;
            paths.push(path.display().to_string());
        }
        let paths = [paths.remove(0), paths.remove(0)];
        Ok(Some(Self {
            _folder: folder,
            paths,
        }))
    }

    fn paths(&self) -> [&str; 2] {
        [&self.paths[0], &self.paths[1]]
    }
}
