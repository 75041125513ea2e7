//! Support for unit tests of operations: small projects in temporary folders, and a recorder of events.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard},
};

use tempfile::TempDir;

use super::{
    build::Finished,
    dist::Action,
    events::{Events, ImageNote, ManifestNote, Note, Outcome, Progress, Step, Transfer},
    resolution::{Prepared, prepare},
    workspace::{LockPolicy, Services, Session},
};
use crate::{
    adapters::{
        cache::Cache,
        fakes::{DaemonInMemory, RegistryInMemory, image},
    },
    code::Code,
    error::Error,
    project::place::Defect,
};

/// The external image of [`CONFIGURATION`].
pub(crate) const ROOT: &str = "registry.example/root:1";

/// One chain, two images that only copy files, no manifests. It can be planned without a daemon or a network.
pub(crate) const CONFIGURATION: &str = r#"format = 1
project = "small"
registries.main = "registry.example/small"

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "registry.example/root:1"

[images.base]
dockerfile = "base.Dockerfile"

[images.job]
parent = "base"
dockerfile = "job.Dockerfile"
src = "src"
"#;

/// A project in a temporary folder, with its own cache.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// A project with these files, each a path and its text.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs_err::create_dir(project.root()).unwrap();
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// A project with [`CONFIGURATION`] and all files that a plan needs.
    pub(crate) fn small() -> Self {
        let id = "0".repeat(64);
        let lock = format!(
            "format = 1\n\n[images.\"registry.example/root:1\"]\nlocal_id = \"sha256:{id}\"\n"
        );
        Self::new(&[
            ("sparkpack.toml", CONFIGURATION),
            ("sparkpack.lock", &lock),
            (
                "base.Dockerfile",
                "ARG ROOT\nFROM ${ROOT}\nCOPY base.txt /opt/\n",
            ),
            ("base.txt", "base\n"),
            (
                "job.Dockerfile",
                "ARG PARENT\nFROM ${PARENT}\nCOPY dist/jobs.zip dist/main.py /opt/job/\n",
            ),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("src/jobs/one.py", "VALUE = 1\n"),
        ])
    }

    /// [`Self::small`] with these manifests, `*.yml`, each a path and its text.
    pub(crate) fn with_manifests(manifests: &[(&str, &str)]) -> Self {
        let project = Self::small();
        let chain = "[chains.main]";
        let globs = format!("[manifests]\nmain = [\"*.yml\"]\n\n{chain}");
        project.edit("sparkpack.toml", chain, &globs);
        for (file, text) in manifests {
            project.write(file, text);
        }
        project
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.folder.path().join("cache"))
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    /// Replaces a text in a file, which must contain it.
    pub(crate) fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "`{old}` is not in {path}");
        self.write(path, &text.replace(old, new));
    }

    /// Runs git in the project, and asserts that it succeeds.
    #[expect(
        clippy::disallowed_methods,
        reason = "a project of a test is made by the program itself"
    )]
    pub(crate) fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.root());
        command.args(["-c", "user.name=ada", "-c", "user.email=ada@localhost"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Opens the project for a run.
    pub(crate) fn open<'e>(&self, events: &'e Recorder) -> Result<Session<'e>, Error> {
        Session::open_with(Some(&self.root()), self.cache(), events)
    }

    /// Opens the project for a run; its configuration must be valid.
    pub(crate) fn session<'e>(&self, events: &'e Recorder) -> Session<'e> {
        self.open(events).unwrap()
    }

    /// Makes the plan of the project, whose locks must be complete, and passes it to `work`.
    pub(crate) fn planned<T>(&self, work: impl FnOnce(&Session<'_>, Prepared) -> T) -> T {
        let events = Recorder::default();
        let session = self.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        work(&session, prepare(&session, &services).unwrap())
    }
}

/// The text of a manifest with a pod for each of these references.
pub(crate) fn pods(references: &[&str]) -> String {
    let pods = references.iter().map(|reference| {
        format!(
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: a\n      image: {reference}\n"
        )
    });
    pods.collect::<Vec<_>>().join("---\n")
}

/// A project with a daemon and a registry in memory.
pub(crate) struct TestRun {
    pub(crate) project: Project,
    pub(crate) daemon: DaemonInMemory,
    pub(crate) registry: RegistryInMemory,
    pub(crate) events: Recorder,
    pub(crate) policy: LockPolicy,
}

impl TestRun {
    /// A run on `project`, with an empty daemon and an empty registry.
    pub(crate) fn new(project: Project) -> Self {
        let registry = RegistryInMemory::default();
        Self {
            project,
            daemon: DaemonInMemory::beside(&registry.images),
            registry,
            events: Recorder::default(),
            policy: LockPolicy::ReadOnly,
        }
    }

    /// The same, but the daemon has the image that [`Project::small`] has locked.
    pub(crate) fn with_root(project: Project) -> Self {
        let run = Self::new(project);
        let mut root = image("root");
        root.id = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        run.daemon.images.put(ROOT, root);
        run
    }

    /// Opens the project and its services, and passes them to `work`.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Session<'_>, &Services<'_>) -> T) -> T {
        let session = self.project.session(&self.events);
        let (daemon, registry) = (self.daemon.clone(), self.registry.clone());
        let services = Services::in_memory(&session, self.policy, daemon, registry);
        work(&session, &services)
    }
}

/// Makes something wrong before a run.
pub(crate) type Mistake = fn(&mut TestRun);

/// What is wrong with a project, how to make it so, and the error that neither a build nor a push gets past.
pub(crate) const MISTAKES: [(&str, Mistake, Code); 3] = [
    (
        "a broken manifest",
        |to| to.project.write("b.yml", "a: ["),
        Code::E060,
    ),
    (
        "a lock that lacks an image",
        |to| to.project.write("sparkpack.lock", "format = 1\n"),
        Code::E033,
    ),
    (
        "a lock that is not up to date",
        |to| to.policy = LockPolicy::Locked,
        Code::E034,
    ),
];

/// The names and actions of the images of a build or a push.
pub(crate) fn actions(finished: &Finished) -> Vec<(&str, Action)> {
    let images = finished.images.iter();
    images
        .map(|image| (image.name.as_str(), image.action))
        .collect()
}

/// Records events, one line each.
#[derive(Default)]
pub(crate) struct Recorder {
    lines: Mutex<Vec<String>>,
}

impl Recorder {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap()
    }

    fn push(&self, line: impl Into<String>) {
        self.lines().push(line.into());
    }

    /// The events since the last call.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.lines())
    }
}

impl Events for Recorder {
    fn note(&self, note: Note<'_>) {
        self.push(match note {
            Note::Run(_) => "run".to_owned(),
            Note::WaitingForProject(holder) | Note::WaitingForEntry { holder, .. } => {
                let text = holder.to_string();
                let name = text.split_once(" (").map_or(&*text, |(name, _)| name);
                format!("waits for {name}")
            }
            Note::Recovered(what) => format!("recovered: {what}"),
            Note::LockWritten(file) => format!("wrote {}", file.display()),
            Note::LockedByRegistry { image, digest } => format!("locked {image} by {digest}"),
            Note::LockedByDaemon { image, id, .. } => format!("locked {image} by its ID {id}"),
            Note::UntrackedNotChecked(why) => format!("untracked not checked: {why}"),
            // Where most builds put their images.
            Note::IntoDaemon { .. } => return,
            Note::IntoLayout { folder, .. } => format!("into the layout {folder}"),
            Note::InDaemon { stage, reference } => format!("{stage}: daemon has {reference}"),
            Note::Image(ImageNote::OnOtherParent {
                stage,
                reference,
                parent,
            }) => format!("{stage}: {reference} stands on another {parent}"),
            Note::Image(ImageNote::Lost {
                stage,
                reference,
                blobs,
            }) => format!("{stage}: registry has lost {blobs} of {reference}"),
            Note::InRegistry { stage, reference } => format!("{stage}: registry has {reference}"),
            Note::NothingToImport => "nothing to import".to_owned(),
            Note::NotImportable { image, failure } => format!("{image}: not {failure}"),
            Note::Skipped { stage } => format!("{stage}: skipped"),
            Note::PartlyPushed {
                there,
                of,
                are_named,
            } => {
                let named = if are_named { ", named" } else { "" };
                format!("pushed {there} of {of}{named}")
            }
            Note::WithoutRecord { reference, error } => {
                format!("{reference}: without record: {}", error.headline())
            }
            Note::Manifest(note) => of_manifest(&note),
        });
    }

    fn warn(&self, warning: &Defect) {
        self.push(format!("{}: {}", warning.code, warning.message));
    }

    fn begin(&self, name: &str) -> Box<dyn Progress + '_> {
        Box::new(RecordedProgress {
            recorder: self,
            name: name.to_owned(),
        })
    }
}

fn of_manifest(note: &ManifestNote<'_>) -> String {
    match note {
        ManifestNote::SeveralNamed { image, named } => {
            let named = named
                .iter()
                .map(|(reference, place)| format!("{reference} ({place})"));
            let named: Vec<String> = named.collect();
            format!("{image}: the manifests name {}", named.join(", "))
        }
        ManifestNote::LeftAlone { place, value, .. } => format!("{place}: left {value}"),
        ManifestNote::Unreadable { left_out, all } => format!("left out {left_out} of {all}"),
        ManifestNote::Rewritten { place, new, .. } => format!("{place}: now {new}"),
        ManifestNote::PinsWritten => "wrote the pins".to_owned(),
        ManifestNote::DigestMoved {
            image, old, new, ..
        } => format!("{image}: {old} is now {new}"),
        ManifestNote::OldDigestNamed { place, image } => format!("{place}: old digest of {image}"),
    }
}

/// The work on one image or source.
struct RecordedProgress<'r> {
    recorder: &'r Recorder,
    name: String,
}

impl Progress for RecordedProgress<'_> {
    fn step(&mut self, step: Step<'_>) {
        let what = match step {
            Step::Build(reason) => format!("build, {reason}"),
            Step::Instruction { text, .. } => text.to_owned(),
            Step::PullImage(image) => format!("pull {image}"),
            Step::PullParent => "pull the parent".to_owned(),
            Step::ImportSource(source) => format!("import {source}"),
            Step::FetchSource(source) => format!("fetch {source}"),
            Step::Fetch(origin) => format!("fetch {origin} for its checksum"),
            Step::ChooseWheels(of) => format!("choose wheels of {of}"),
            Step::BuildWheel(package) => format!("build a wheel of {package}"),
            Step::InstallWheels(count) => format!("install {count} wheels"),
            Step::LookInto(image) => format!("look into {image}"),
            Step::PutTogether(parent) => format!("put together on {parent}"),
            Step::Export => "export".to_owned(),
            Step::Copy(from) => format!("copy {from}"),
            Step::Load => "load".to_owned(),
            Step::TestImports(count) => format!("import {count} modules"),
            Step::Push(reference) => format!("push {reference}"),
        };
        self.recorder.push(format!("{}: {what}", self.name));
    }

    fn output(&mut self, line: &str) {
        self.recorder.push(format!("{}: | {line}", self.name));
    }

    fn moved(&mut self, _: Transfer, _: u64, _: Option<u64>) {}

    fn end(&mut self, outcome: Outcome<'_>) {
        let what = match outcome {
            Outcome::Built { reference, .. } => format!("built {reference}"),
            Outcome::Packed(folder) => format!("packed into {folder}"),
            Outcome::Fetched(origin) => format!("fetched {origin}"),
            Outcome::ChoseWheels { count, of } => format!("chose {count} wheels of {of}"),
            Outcome::Copied(reference) => format!("copied {reference}"),
            Outcome::LookedInto { image, found } => format!("{image} has {found}"),
            Outcome::TestedImports { count, arrow } => {
                let arrow = if arrow { ", and ran an Arrow UDF" } else { "" };
                format!("imported {count} modules{arrow}")
            }
            Outcome::Pulled(reference) => format!("pulled {reference}"),
            Outcome::Pushed { reference, .. } => format!("pushed {reference}"),
            Outcome::Adopted(reference) => format!("adopted {reference}"),
        };
        self.recorder.push(format!("{}: {what}", self.name));
    }
}
