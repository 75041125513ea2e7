//! The import test: imports what a job may import, in its own image, on a driver and in the Python workers of a cluster
//! of two executors. Only the entry points are not run: they are compiled, and their imports are made.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::Path,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::run::Run;
use crate::{
    adapters::{
        destination::ImageDaemon,
        docker::{PrintedLine, ProgramEnd, ProgramInImage},
    },
    error::{Error, ImageProblem, ImportFailure, ImportPlace, ImportReason, ImportTestError},
    image::Platform,
    operations::{
        dist::Packer,
        events::{Note, Outcome, Progress, Step},
    },
    package::modules,
    plan::PlatformStage,
    project::tree::{Content, Entry},
};

/// The program that imports.
const PROGRAM: &str = include_str!("import_test.py");

/// Starts the program by the Python that Spark starts drivers by; the program is its first argument.
const START: &str = "exec \"${PYSPARK_DRIVER_PYTHON:-${PYSPARK_PYTHON:-python3}}\" -c \"$0\"";

/// The user that images run as.
const USER: &str = "185";

/// The folder of a job in its image.
const FOLDER: &str = "/opt/job";

/// How long the test of one image may take, in minutes.
const MINUTES: u64 = 10;

/// How many of the last printed lines are told of a test that ended early.
const LAST_LINES: usize = 15;

/// Tests those of `targets` that have modules to import, each on the platform that the daemon has it for. Of an image and
/// another one that stands on it only the latter is tested, which has all of both.
///
/// # Errors
/// All that was found.
pub(super) fn test_imports(
    run: &Run<'_>,
    packer: &Packer<'_>,
    by_platform: &BTreeMap<Platform, Vec<String>>,
) -> Result<(), Error> {
    let stages = &run.prepared.plan.stages;
    let all = by_platform.iter().flat_map(|(platform, names)| {
        let names = names.iter();
        names.map(move |name| stages[name].on_or_first(platform))
    });
    let candidates: Vec<&PlatformStage> = all.filter(|stage| has_modules(stage)).collect();
    let below: BTreeSet<&str> = candidates
        .iter()
        .flat_map(|stage| below(run, stage))
        .map(|stage| stage.name.as_str())
        .collect();
    let mut tested = candidates;
    tested.retain(|stage| !below.contains(stage.name.as_str()));
    if tested.is_empty() {
        run.session.events.note(Note::NothingToImport);
    }
    let results = tested
        .into_iter()
        .map(|stage| test_image(run, packer, stage));
    Error::collect(results).map(drop)
}

fn has_modules(stage: &PlatformStage) -> bool {
    stage.inputs.package.is_some() || !stage.wheels.is_empty()
}

/// The stages that an image stands on, without its own.
fn below<'r>(run: &'r Run<'_>, stage: &'r PlatformStage) -> Vec<&'r PlatformStage> {
    let mut found: Vec<&PlatformStage> = Vec::new();
    let mut next = stage.base();
    while let Some(parent) = next.and_then(|name| run.prepared.plan.stages.get(name)) {
        let parent = parent.on_or_first(&stage.platform);
        found.push(parent);
        next = parent.base();
    }
    found
}

fn test_image(run: &Run<'_>, packer: &Packer<'_>, stage: &PlatformStage) -> Result<(), Error> {
    let daemon = run.services.daemon()?;
    let mut progress = run.session.events.begin(&stage.title);
    let request = request(run, packer, stage, progress.as_mut())?;
    progress.step(Step::TestImports(request.count()));
    let results = imported(daemon, run, (stage, &request), progress.as_mut())?;
    for failure in by_reason(&results.along) {
        let (image, failure) = (&*stage.title, &failure);
        run.session
            .events
            .note(Note::NotImportable { image, failure });
    }
    let reference = stage.reference(run.registry).to_string();
    let errors = results.errors(&stage.title, &reference, request.count());
    if !errors.is_empty() {
        return Err(Error::of_all(errors));
    }
    progress.end(Outcome::TestedImports {
        count: request.count() - results.along.len(),
        arrow: results.arrow,
    });
    Ok(())
}

/// What the program is asked for.
#[derive(Debug, Serialize)]
struct Request {
    /// The job's folder.
    folder: &'static str,
    /// The packages that the requirements ask for, by their normalised names; others came along.
    asked: BTreeSet<String>,
    /// The modules at the top of packages.
    packages: BTreeSet<String>,
    /// The job's own modules.
    modules: BTreeSet<String>,
    mains: Vec<Main>,
}

/// An entry point.
#[derive(Debug, Serialize)]
struct Main {
    name: String,
    /// The modules that it is as well. They are imported only if that does not run it.
    modules: Vec<String>,
    /// In base64, since it need not be UTF-8.
    code: String,
}

impl Request {
    fn count(&self) -> usize {
        self.packages.len() + self.modules.len() + self.mains.len()
    }
}

fn request(
    run: &Run<'_>,
    packer: &Packer<'_>,
    stage: &PlatformStage,
    progress: &mut dyn Progress,
) -> Result<Request, Error> {
    let (mut asked, mut packages) = (BTreeSet::new(), BTreeSet::new());
    for stage in below(run, stage).into_iter().chain([stage]) {
        let installed = packer.installed_packages(stage, progress)?;
        packages.extend(modules::top_level(paths(&installed)));
        if let Some(known) = &stage.inputs.requirements {
            asked.extend(
                known
                    .requirements
                    .asked_for()
                    .into_keys()
                    .map(str::to_owned),
            );
        }
    }
    let (mut own, mut mains) = (BTreeSet::new(), Vec::new());
    if let Some(package) = &stage.inputs.package {
        own = modules::all(paths(&package.modules));
        let more = package.beside.iter();
        let more = more.filter(|entry| is_script(entry) && !is_same(entry, &package.main));
        for entry in std::iter::once(&package.main).chain(more) {
            let main = main(entry, &package.modules)?;
            own.retain(|module| !main.modules.contains(module));
            mains.push(main);
        }
    }
    own.retain(|module| !packages.contains(module));
    Ok(Request {
        folder: FOLDER,
        asked,
        packages,
        modules: own,
        mains,
    })
}

fn paths(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().map(|entry| entry.path.as_str())
}

/// The entry point in a file, which may lie in a package of the job.
fn main(entry: &Entry, modules: &[Entry]) -> Result<Main, Error> {
    let mut bytes = Vec::new();
    if let Content::File { location, .. } = &entry.content {
        location.open()?.read_to_end(&mut bytes)?;
    }
    let same = modules.iter().filter(|module| is_same(module, entry));
    Ok(Main {
        modules: modules::all(same.map(|module| module.path.as_str()))
            .into_iter()
            .collect(),
        name: entry.path.clone(),
        code: STANDARD.encode(bytes),
    })
}

fn is_script(entry: &Entry) -> bool {
    Path::new(&entry.path)
        .extension()
        .is_some_and(|end| end == "py")
}

/// Whether two entries are one file of the job.
fn is_same(one: &Entry, other: &Entry) -> bool {
    let identity = |entry: &Entry| match &entry.content {
        Content::File { digest, .. } => {
            let name = entry.path.rsplit('/').next().map(str::to_owned);
            Some((digest.clone(), name))
        }
        Content::Symlink { .. } => None,
    };
    identity(one) == identity(other)
}

/// Runs the program in the image.
fn imported(
    daemon: &dyn ImageDaemon,
    run: &Run<'_>,
    (stage, request): (&PlatformStage, &Request),
    progress: &mut dyn Progress,
) -> Result<Results, Error> {
    let reference = stage.reference(run.registry).to_string();
    let image = daemon.inspect(&reference)?;
    let image = image.ok_or_else(|| Error::unexpected(&reference, ImageProblem::Nowhere))?;
    let mut input = serde_json::to_vec(request).map_err(std::io::Error::other)?;
    input.push(b'\n');
    let program = ProgramInImage {
        image: &image,
        name: &reference,
        user: USER,
        command: ["/bin/sh", "-c", START, PROGRAM].map(str::to_owned).into(),
        input: &input,
        limit: Duration::from_secs(60 * MINUTES),
    };
    let mut results = Results::default();
    let end = daemon.run_program(&program, &mut |line| match line {
        PrintedLine::Output(line) => {
            if let Some(told) = results.take(line) {
                progress.output(&told);
            }
        }
        PrintedLine::Error(line) => {
            progress.output(line);
            results.printed.push(line.to_owned());
        }
    })?;
    results.end = Some(end);
    Ok(results)
}

/// A line of the program's output.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    /// What is imported next.
    begin: Option<String>,
    /// What was imported.
    imported: Option<String>,
    on: Option<On>,
    failed: Option<Raised>,
    /// Whether nobody asked for what was imported.
    along: bool,
    no_spark: Option<Raised>,
    /// Why the workers gave no result.
    died: Option<Raised>,
    /// What the workers imported then.
    at: Vec<String>,
    done: bool,
}

/// Where something is done.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum On {
    Driver,
    Workers,
    /// In the workers, with data from the driver in Arrow's format.
    Arrow,
}

#[derive(Debug, Deserialize)]
struct Raised {
    r#type: String,
    message: String,
    place: Option<(String, u64)>,
}

impl From<Raised> for ImportReason {
    fn from(raised: Raised) -> Self {
        Self {
            kind: raised.r#type,
            message: raised.message,
            place: raised.place,
        }
    }
}

/// What the program has told so far.
#[derive(Debug, Default)]
struct Results {
    /// What fails.
    failed: Vec<FailedModule>,
    /// What fails, and came along with what was asked for.
    along: Vec<FailedModule>,
    no_spark: Option<ImportReason>,
    /// What is imported now.
    at: Option<String>,
    /// Whether an Arrow UDF was run.
    arrow: bool,
    is_done: bool,
    /// The lines on its standard error.
    printed: Vec<String>,
    end: Option<ProgramEnd>,
}

impl Results {
    /// Takes a line of the program's output; returns what it says to people who want the details.
    fn take(&mut self, line: &str) -> Option<String> {
        let told: Told = serde_json::from_str(line).ok()?;
        self.is_done |= told.done;
        if let Some(reason) = told.no_spark {
            self.no_spark = Some(reason.into());
        }
        if let Some(reason) = told.died {
            let module = match &told.at[..] {
                [] => "the modules".to_owned(),
                names => names.join(" or "),
            };
            note(
                &mut self.failed,
                module,
                ImportPlace::Workers,
                reason.into(),
            );
        }
        let on = told.on?;
        if let Some(name) = told.begin {
            self.at = Some(match on {
                On::Driver => format!("{name} on the driver"),
                On::Workers => "in the workers".to_owned(),
                On::Arrow => ARROW.to_owned(),
            });
        }
        let name = told.imported?;
        self.arrow |= on == On::Arrow;
        let (name, place) = match on {
            On::Driver => (name, ImportPlace::Driver),
            On::Workers => (name, ImportPlace::Workers),
            On::Arrow => (ARROW.to_owned(), ImportPlace::Workers),
        };
        let what = match &told.failed {
            None if on == On::Arrow => "ran",
            None => "imported",
            Some(_) => "fails",
        };
        let said = format!("{name}: {what} {place}");
        if let Some(reason) = told.failed {
            let failed = if told.along {
                &mut self.along
            } else {
                &mut self.failed
            };
            note(failed, name, place, reason.into());
        }
        Some(said)
    }

    /// Why the test of the image with this title and reference did not succeed.
    fn errors(&self, title: &str, reference: &str, all: usize) -> Vec<ImportTestError> {
        let (image, at) = (title.to_owned(), self.at.clone());
        if let Some(why) = self.no_spark.clone() {
            return vec![ImportTestError::NoSpark { image, why }];
        }
        let mut errors = Vec::new();
        if !self.failed.is_empty() {
            errors.push(ImportTestError::Failed {
                image: image.clone(),
                reference: reference.to_owned(),
                failed: self.failed.len(),
                // The Arrow UDF is one more.
                all: all + usize::from(self.arrow),
                failures: by_reason(&self.failed),
            });
        }
        match self.end {
            Some(ProgramEnd::OutOfTime) => {
                let minutes = MINUTES;
                errors.push(ImportTestError::OutOfTime { image, minutes, at });
            }
            Some(ProgramEnd::Exit(code)) if !self.is_done => {
                let first = self.printed.len().saturating_sub(LAST_LINES);
                let output = self.printed[first..].to_vec();
                errors.push(ImportTestError::Died {
                    image,
                    at,
                    code,
                    output,
                });
            }
            Some(ProgramEnd::Exit(_)) | None => {}
        }
        errors
    }
}

/// A module that cannot be imported, with the reasons and where each was found.
#[derive(Debug)]
struct FailedModule {
    name: String,
    reasons: Vec<(ImportPlace, ImportReason)>,
}

/// Adds a reason to those of a module.
fn note(failed: &mut Vec<FailedModule>, name: String, place: ImportPlace, reason: ImportReason) {
    let Some(known) = failed.iter_mut().find(|known| known.name == name) else {
        let reasons = vec![(place, reason)];
        failed.push(FailedModule { name, reasons });
        return;
    };
    // The two workers mostly tell the same.
    let is_same =
        |known: &ImportReason| known.kind == reason.kind && known.message == reason.message;
    match known.reasons.iter_mut().find(|(_, known)| is_same(known)) {
        None => known.reasons.push((place, reason)),
        Some((at, _)) if *at != place => *at = ImportPlace::Both,
        Some(_) => {}
    }
}

/// The failures, those with the same reason together.
fn by_reason(failed: &[FailedModule]) -> Vec<ImportFailure> {
    let mut failures: Vec<ImportFailure> = Vec::new();
    for module in failed {
        for (on, reason) in &module.reasons {
            let same =
                |failure: &&mut ImportFailure| failure.on == *on && failure.reason == *reason;
            match failures.iter_mut().find(same) {
                Some(failure) => failure.modules.push(module.name.clone()),
                None => failures.push(ImportFailure {
                    modules: vec![module.name.clone()],
                    on: *on,
                    reason: reason.clone(),
                }),
            }
        }
    }
    failures
}

/// The name of what is tried with pandas and pyarrow.
const ARROW: &str = "an Arrow UDF";
