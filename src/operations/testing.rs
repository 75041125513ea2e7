//! Support for unit tests of operations: small projects in temporary folders, and a recorder of events.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard},
};

use tempfile::TempDir;

use super::{
    events::{Events, ManifestNote, Note, Outcome, Progress, Step, Transfer},
    workspace::Session,
};
use crate::{adapters::cache::Cache, error::Error, project::place::Defect};

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
            Note::WaitingForProject => "waits for the project".to_owned(),
            Note::WaitingForPackages => "waits for packages".to_owned(),
            Note::Recovered(what) => format!("recovered: {what}"),
            Note::LockWritten(file) => format!("wrote {}", file.display()),
            Note::LockedByRegistry { image, digest } => format!("locked {image} by {digest}"),
            Note::LockedByDaemon { image, id, .. } => format!("locked {image} by its ID {id}"),
            Note::UntrackedNotChecked(why) => format!("untracked not checked: {why}"),
            Note::InDaemon { stage, reference } => format!("{stage}: daemon has {reference}"),
            Note::InRegistry { stage, reference } => format!("{stage}: registry has {reference}"),
            Note::Skipped { stage } => format!("{stage}: skipped"),
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
            Step::InstallWheels(count) => format!("install {count} wheels"),
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
            Outcome::Pulled(reference) => format!("pulled {reference}"),
            Outcome::Pushed { reference, .. } => format!("pushed {reference}"),
            Outcome::Adopted(reference) => format!("adopted {reference}"),
        };
        self.recorder.push(format!("{}: {what}", self.name));
    }
}
