//! The words for the events that operations report.

use super::{StageLine, Ui, bytes};
use crate::{
    error::ImportFailure,
    image::{Digest, Platform},
    operations::events::{
        Events, ImageNote, ManifestNote, Note, Outcome, Progress, RunNote, Step, Transfer,
    },
    project::{
        pins,
        place::{Defect, Place},
    },
};

impl Events for Ui {
    fn note(&self, note: Note<'_>) {
        match note {
            Note::Manifest(ManifestNote::LeftAlone { .. }) => self.detail(words(&note)),
            _ => self.say(words(&note)),
        }
        if let Note::LockedByDaemon {
            image,
            refused: Some(error),
            ..
        } = note
        {
            self.detail(format!("{image}: {error}"));
        }
    }

    fn warn(&self, warning: &Defect) {
        Ui::warn(self, warning);
    }

    fn begin(&self, name: &str) -> Box<dyn Progress + '_> {
        Box::new(self.stage(name))
    }
}

impl Progress for StageLine<'_> {
    fn step(&mut self, step: Step<'_>) {
        self.begin_step(&step_words(&step));
    }

    fn output(&mut self, line: &str) {
        self.show_output(line);
    }

    fn moved(&mut self, transfer: Transfer, done: u64, total: Option<u64>) {
        let what = match transfer {
            Transfer::Sent => "sent",
            Transfer::Fetched => "fetched",
            Transfer::Pulled => "pulled",
            Transfer::Pushed => "pushed",
        };
        self.show_moved(what, done, total);
    }

    fn end(&mut self, outcome: Outcome<'_>) {
        let took = self.elapsed();
        self.finish(&outcome_words(&outcome, &took));
    }
}

fn words(note: &Note<'_>) -> String {
    match note {
        Note::WaitingForProject(holder) => format!("waiting for {holder} in this project"),
        Note::WaitingForEntry { what, holder } => {
            format!("waiting for {holder}, which {what}")
        }
        Note::Recovered(what) => what.to_string(),
        Note::Skipped { stage } => {
            format!("{stage}: skipped, since an image that it stands on failed")
        }
        Note::PartlyPushed {
            there,
            of,
            are_named,
        } => partly_pushed((*there, *of), *are_named),
        Note::IntoDaemon { others: [], .. } => "images go into the Docker daemon".to_owned(),
        Note::IntoDaemon { platforms, others } => format!(
            "images go into the Docker daemon, for {}; `push` and `build --output oci:PATH` make those for {} too",
            listed(platforms),
            listed(others)
        ),
        Note::IntoLayout {
            folder,
            no_daemon: None,
        } => format!("images go into the OCI layout {folder}"),
        Note::IntoLayout {
            folder,
            no_daemon: Some(error),
        } => format!("images go into the OCI layout {folder}: {error}"),
        Note::NothingToImport => "none of these images has modules to import".to_owned(),
        Note::NotImportable { image, failure } => not_importable(image, failure),
        Note::InDaemon { stage, reference } => {
            format!("{stage}: current: {reference} is there, with the fingerprint of this checkout")
        }
        Note::InRegistry { stage, reference } => {
            format!("{stage}: current: the registry has {reference}, made from the same inputs")
        }
        Note::Image(note) => image_words(note),
        Note::WithoutRecord { reference, error } => format!(
            "{reference}: its record is not beside it, so that `why` cannot explain it elsewhere: {error}: {}",
            error.because().unwrap_or_default()
        ),
        Note::LockWritten(file) => format!("{} written: commit it", file.display()),
        Note::LockedByRegistry { image, digest } => {
            format!(
                "{image}: locked by the registry's digest {}",
                digest.short(12)
            )
        }
        Note::LockedByDaemon { image, id, refused } => {
            locked_by_daemon(image, id, refused.is_some())
        }
        Note::UntrackedNotChecked(reason) => {
            format!("untracked inputs: not checked (CI is set), since {reason}")
        }
        Note::Manifest(note) => manifest_words(note),
        Note::Run(note) => run_words(note),
    }
}

/// The words for a note about an image in a registry.
fn image_words(note: &ImageNote<'_>) -> String {
    match note {
        ImageNote::OnOtherParent {
            stage,
            reference,
            parent,
        } => format!(
            "{stage}: {reference} stays on the image of `{parent}` that it was made on, which is another than the one under that image's tag; to have it made anew, delete its tag in the registry"
        ),
        ImageNote::Lost {
            stage,
            reference,
            blobs,
        } => format!(
            "{stage}: {reference} counts as absent: the registry has its manifest, but has lost {blobs} of its blobs"
        ),
    }
}

/// The words for a note about a job that is run.
fn run_words(note: &RunNote<'_>) -> String {
    match note {
        RunNote::LeftOut { job, properties } => format!(
            "{job}: left out, since it is for a cluster: {}",
            properties.join(", ")
        ),
        RunNote::WithoutValue { job, names } => {
            let given: Vec<String> = names.iter().map(|name| format!("--env {name}")).collect();
            format!(
                "{job}: not set, since a secret or the like has the value: {}; `{}` takes it from your environment",
                names.join(", "),
                given.join(" ")
            )
        }
        RunNote::OtherSpark { wanted, found } => {
            format!("this machine's Spark is {found}, and the image's is {wanted}")
        }
        RunNote::OtherPython { wanted } => format!(
            "this machine has no {wanted}, which the packages in dist/ are for: the job runs with the Python that Spark finds"
        ),
        RunNote::Begins {
            job,
            reference: Some(reference),
        } => format!("{job}: running in {reference}"),
        RunNote::Begins {
            job,
            reference: None,
        } => format!("{job}: running from dist/"),
        RunNote::Ended { job, code: None } => {
            format!("{job}: ended, and the daemon does not say with which exit code")
        }
        RunNote::Ended {
            job,
            code: Some(137),
        } => format!(
            "{job}: was killed (exit code 137): mostly that is too little memory, for the container or for Docker's machine"
        ),
        RunNote::Ended {
            job,
            code: Some(code),
        } => format!("{job}: ended with exit code {code}"),
    }
}

fn locked_by_daemon(image: &str, id: &Digest, is_refused: bool) -> String {
    let why = if is_refused {
        "its registry does not answer"
    } else {
        "its registry does not have it"
    };
    format!(
        "{image}: locked by the image ID {} of the local daemon, since {why}; other machines cannot build on it \
         (`sparkpack lock --upgrade {image}` looks it up again)",
        id.short(12)
    )
}

fn not_importable(image: &str, failure: &ImportFailure) -> String {
    format!(
        "{image}: cannot be imported, and came along with what is asked for, so that only what uses it fails: {failure}"
    )
}

fn listed(platforms: &[Platform]) -> String {
    let platforms: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    platforms.join(", ")
}

/// The words for a note about manifests and pins.
fn manifest_words(note: &ManifestNote<'_>) -> String {
    match note {
        ManifestNote::SeveralNamed { image, named } => {
            let listed = named
                .iter()
                .map(|(reference, place)| format!("{reference} ({place})"));
            format!(
                "{image}: the manifests name {} images: {}; the first is taken",
                named.len(),
                listed.collect::<Vec<_>>().join(", ")
            )
        }
        ManifestNote::LeftAlone {
            place,
            path,
            why,
            value,
        } => format!("{place}: {path} is left alone, since {why}: {value}"),
        ManifestNote::Unreadable { left_out, all } => {
            format!("{left_out} of {all} manifests could not be read and were left out")
        }
        ManifestNote::Rewritten {
            place,
            path,
            new,
            also,
        } => {
            let also: Vec<String> = also.iter().map(Place::to_string).collect();
            let also = match also.as_slice() {
                [] => String::new(),
                places => format!(", and so is {}", places.join(", ")),
            };
            let new = if new.is_empty() { "empty" } else { new };
            format!("{place}: {path} is now {new}{also}")
        }
        ManifestNote::PinsWritten => format!(
            "{}: has the digests that were pushed; commit it with the manifests",
            pins::FILE_NAME
        ),
        ManifestNote::DigestMoved {
            image,
            fingerprint,
            old,
            new,
        } => format!(
            "{image}: made again from the same inputs ({}): its digest changed from {old} to {new}",
            fingerprint.short(16)
        ),
        ManifestNote::OldDigestNamed { place, image } => {
            format!("{place}: names the digest that `{image}` had")
        }
    }
}

fn step_words(step: &Step<'_>) -> String {
    match step {
        Step::Build(reason) => format!("building, since {reason}"),
        Step::Instruction {
            number,
            total,
            text,
            cached,
        } => {
            let cached = if *cached { " (cached)" } else { "" };
            format!("[{number}/{total}] {text}{cached}")
        }
        Step::PullImage(image) => format!("pulling {image}"),
        Step::PullParent => {
            "pulling it, since the registry's has other layers than the daemon's".to_owned()
        }
        Step::ImportSource(name) => format!("handing the source {name} to the builder"),
        Step::FetchSource(name) => format!("fetching the source {name}"),
        Step::Fetch(origin) => format!("fetching {origin}"),
        Step::ChooseWheels(of) => format!("choosing wheels for {of}"),
        Step::BuildWheel(package) => format!("building a wheel of {package} from its source"),
        Step::InstallWheels(1) => "installing 1 wheel".to_owned(),
        Step::InstallWheels(count) => format!("installing {count} wheels"),
        Step::LookInto(image) => format!("looking into {image}"),
        Step::PutTogether(parent) => format!("putting its files on {parent}"),
        Step::Export => "taking it out of the daemon".to_owned(),
        Step::Copy(from) => format!("copying {from} from the registry"),
        Step::Load => "loading it into the daemon".to_owned(),
        Step::TestImports(count) => {
            format!("importing {count} modules in it, on a driver and in two workers")
        }
        Step::Push(reference) => format!("pushing {reference}"),
    }
}

fn partly_pushed((there, of): (usize, usize), are_named: bool) -> String {
    let manifests = if are_named {
        "the manifests name those"
    } else {
        "no manifest was changed"
    };
    format!(
        "{there} of {of} images are in the registry, {manifests}; run it again, and it goes on from there"
    )
}

fn outcome_words(outcome: &Outcome<'_>, took: &str) -> String {
    match outcome {
        Outcome::Built { reference, size } => {
            format!("built {reference} in {took} ({})", bytes(*size))
        }
        Outcome::Packed(folder) => format!("packed into {folder}"),
        Outcome::Fetched(origin) => format!("fetched {origin} in {took}"),
        Outcome::ChoseWheels { count: 1, of } => format!("chose 1 wheel for {of} in {took}"),
        Outcome::ChoseWheels { count, of } => format!("chose {count} wheels for {of} in {took}"),
        Outcome::Copied(reference) => format!("copied {reference} in {took}"),
        Outcome::LookedInto { image, found } => format!("{image} has {found} ({took})"),
        Outcome::TestedImports { count, arrow } => {
            let arrow = if *arrow { ", and an Arrow UDF ran" } else { "" };
            format!("its {count} modules can be imported on drivers and executors{arrow} ({took})")
        }
        Outcome::Pulled(reference) => format!("pulled {reference} in {took}"),
        Outcome::Pushed { reference, digest } => format!("pushed {reference}@{digest} in {took}"),
        Outcome::Adopted(reference) => format!(
            "somebody else pushed {reference} from the same inputs at the same time: theirs is taken"
        ),
    }
}
