//! What is asked for, and what it means: the job, its command line, and what is told of it.

use std::collections::BTreeMap;

use super::{
    choose::{Choice, ChosenJob},
    submission::{Given, Submission},
};
use crate::{
    adapters::docker::{JobEnd, Volume},
    error::{Error, RunError},
    image::Reference,
    operations::{
        events::{Note, RunNote},
        manifests,
        resolution::Strictness,
        workspace::Session,
    },
    yaml::SparkApplication,
};

/// Warnings and errors alone, for the two generations of Spark's logging.
pub(super) const QUIET: [&str; 2] = [
    include_str!("log4j2.properties"),
    include_str!("log4j.properties"),
];

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

/// What is to be run.
pub(super) fn chosen(session: &Session<'_>, request: &RunRequest<'_>) -> Result<ChosenJob, Error> {
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
pub(super) fn submission(
    request: &RunRequest<'_>,
    chosen: &ChosenJob,
) -> Result<Submission, Error> {
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
            application.map(|application| SparkApplication {
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

/// Has Spark log warnings and errors alone. The application's own settings win.
pub(super) fn quiet(environment: &mut BTreeMap<String, String>, files: [&str; 2]) {
    let [second, first] = files;
    let own =
        format!("-Dlog4j2.configurationFile=file:{second} -Dlog4j.configuration=file:{first}");
    let known = environment.remove("SPARK_SUBMIT_OPTS");
    let all = [own].into_iter().chain(known).collect::<Vec<_>>().join(" ");
    environment.insert("SPARK_SUBMIT_OPTS".to_owned(), all);
}

/// Says what is run, and what of the application is not.
pub(super) fn tell(
    session: &Session<'_>,
    request: &RunRequest<'_>,
    chosen: &ChosenJob,
    submission: &Submission,
    reference: Option<&Reference>,
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
    note(RunNote::Begins { job, reference });
}

pub(super) fn ended(session: &Session<'_>, job: &str, end: JobEnd) {
    if let JobEnd::Exit(code) = end
        && code != Some(0)
    {
        session.events.note(Note::Run(RunNote::Ended { job, code }));
    }
}
