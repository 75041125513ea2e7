//! The events that operations report while they run.
//!
//! Operations print nothing: they report facts to an implementation of [`Events`]. `ui` turns the facts into text;
//! tests record them.

use std::{fmt, path::Path};

use crate::{
    adapters::{
        docker::{DockerError, TransferEvent},
        file_lock::HeldBy,
    },
    error::{Error, ImportFailure},
    image::{Digest, Platform, Reference},
    plan::decision::Reason,
    project::place::{Defect, Place},
};

/// A receiver of events.
pub trait Events: Sync {
    /// Something has happened.
    fn note(&self, note: Note<'_>);
    /// A warning: something looks wrong, but is no error.
    fn warn(&self, warning: &Defect);
    /// Work begins on the image or the source `name`. It ends when the returned value is dropped.
    fn begin(&self, name: &str) -> Box<dyn Progress + '_>;
}

/// A receiver of events about the work on one image or source.
pub trait Progress {
    /// A step of the work begins.
    fn step(&mut self, step: Step<'_>);
    /// The program that does the current step has printed a line.
    fn output(&mut self, line: &str);
    /// Bytes were transferred, `done` so far.
    fn moved(&mut self, transfer: Transfer, done: u64, total: Option<u64>);
    /// The work has succeeded.
    fn end(&mut self, outcome: Outcome<'_>);
}

/// Reports the progress of a push or a pull.
pub(crate) fn transferred(progress: &mut dyn Progress, transfer: Transfer, event: &TransferEvent) {
    match event {
        TransferEvent::Status(text) => progress.output(text),
        TransferEvent::Bytes { done, total } => progress.moved(transfer, *done, Some(*total)),
    }
}

/// What is transferred, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// A build context, to the builder.
    Sent,
    /// A source, to this machine.
    Fetched,
    /// An image, to the daemon.
    Pulled,
    /// An image, to the registry.
    Pushed,
}

/// What is odd about an image in a registry.
pub enum ImageNote<'a> {
    /// The registry has an image that stands on another one of its parent than the parent's tag has.
    OnOtherParent {
        /// The stage, as messages say it.
        stage: &'a str,
        /// The image.
        reference: &'a Reference,
        /// The name of the parent.
        parent: &'a str,
    },
    /// The registry has the manifest of an image under its tag, and no longer all blobs that it names.
    Lost {
        /// The stage, as messages say it.
        stage: &'a str,
        /// The image.
        reference: &'a Reference,
        /// The number of blobs that are lost.
        blobs: usize,
    },
}

/// Something that has happened.
pub enum Note<'a> {
    /// Another run works in this project: this one waits for its end.
    WaitingForProject(&'a HeldBy),
    /// Another run makes the same thing for the cache: this one waits for it.
    WaitingForEntry {
        /// What it does, as messages say it.
        what: &'a str,
        /// The other run.
        holder: &'a HeldBy,
    },
    /// The changes that a killed run had begun were completed or undone.
    Recovered(&'a dyn fmt::Display),
    /// A lock file was written.
    LockWritten(&'a Path),
    /// An external image was locked by its digest in the registry.
    LockedByRegistry {
        /// The image, as it is written.
        image: &'a str,
        /// The registry's digest.
        digest: &'a Digest,
    },
    /// An external image was locked by its ID in the local daemon.
    LockedByDaemon {
        /// The image, as it is written.
        image: &'a str,
        /// The image ID.
        id: &'a Digest,
        /// Why the registry could not be asked; `None` if it answered that it does not have the image.
        refused: Option<&'a Error>,
    },
    /// In CI, git could not be asked which inputs are untracked.
    UntrackedNotChecked(&'a dyn fmt::Display),
    /// The images of a build go into the Docker daemon.
    IntoDaemon {
        /// The platforms that they are made for, if there was a choice.
        platforms: &'a [Platform],
        /// The platforms of these images for which none is made, since a daemon has one image under a name.
        others: &'a [Platform],
    },
    /// The images of a build go into an OCI layout.
    IntoLayout {
        /// The layout's folder.
        folder: &'a str,
        /// Why they do not go into a daemon, if one was asked.
        no_daemon: Option<&'a DockerError>,
    },
    /// None of the images that were asked for has modules that could be imported.
    NothingToImport,
    /// Modules of packages that nobody asked for cannot be imported in an image.
    NotImportable {
        /// The image, as messages call it.
        image: &'a str,
        /// The modules, and why.
        failure: &'a ImportFailure,
    },
    /// The daemon has the image of a stage, made from the same inputs.
    InDaemon {
        /// The stage.
        stage: &'a str,
        /// Its reference.
        reference: &'a Reference,
    },
    /// What is odd about an image in the registry.
    Image(ImageNote<'a>),
    /// The registry has the image of a stage, made from the same inputs.
    InRegistry {
        /// The stage.
        stage: &'a str,
        /// Its reference.
        reference: &'a Reference,
    },
    /// A stage was skipped because one of its parents failed.
    Skipped {
        /// The stage.
        stage: &'a str,
    },
    /// A push has failed, and this many images of all that it needs are in the registry.
    PartlyPushed {
        /// In the registry.
        there: usize,
        /// Of so many.
        of: usize,
        /// Whether the manifests name those all the same.
        are_named: bool,
    },
    /// A record that is too large for a label could not be pushed to the registry.
    WithoutRecord {
        /// The image.
        reference: &'a Reference,
        /// Why not.
        error: &'a Error,
    },
    /// An event about the project's manifests or its pins.
    Manifest(ManifestNote<'a>),
    /// An event about a job that is run.
    Run(RunNote<'a>),
}

/// An event about a job that is run.
pub enum RunNote<'a> {
    /// Properties that mean something in a cluster alone are left out.
    LeftOut {
        /// The job.
        job: &'a str,
        /// Their names.
        properties: &'a [String],
    },
    /// Variables have their value in a secret or the like.
    WithoutValue {
        /// The job.
        job: &'a str,
        /// Their names.
        names: &'a [String],
    },
    /// The Spark of this machine has another version than the image.
    OtherSpark {
        /// The image's.
        wanted: &'a str,
        /// This machine's.
        found: &'a str,
    },
    /// This machine has no Python of the image's version.
    OtherPython {
        /// The image's.
        wanted: &'a str,
    },
    /// A job begins.
    Begins {
        /// The job.
        job: &'a str,
        /// Its image; none where it runs without one.
        reference: Option<&'a Reference>,
    },
    /// A job has ended with something else than 0.
    Ended {
        /// The job.
        job: &'a str,
        /// The exit code, if it is known.
        code: Option<i64>,
    },
}

/// An event about the project's manifests or its pins.
pub enum ManifestNote<'a> {
    /// The manifests name several references of an image; the first is used.
    SeveralNamed {
        /// The image's name.
        image: &'a str,
        /// The references, each with its first place.
        named: &'a [(&'a Reference, &'a Place)],
    },
    /// A value in a manifest is left as it is.
    LeftAlone {
        /// Where it stands.
        place: &'a Place,
        /// Its path in the object.
        path: &'a str,
        /// Why it is left alone.
        why: &'a str,
        /// The value.
        value: &'a str,
    },
    /// Manifests that are no YAML were left out.
    Unreadable {
        /// How many.
        left_out: usize,
        /// Of how many.
        all: usize,
    },
    /// A value in a manifest was changed.
    Rewritten {
        /// Where it stands.
        place: &'a Place,
        /// Its path in the object.
        path: &'a str,
        /// The new value.
        new: &'a str,
        /// The other places that change with it, because they use the same YAML anchor.
        also: &'a [Place],
    },
    /// `sparkpack.pins` was written.
    PinsWritten,
    /// An image was built again from the same inputs, and has another digest.
    DigestMoved {
        /// The image's name.
        image: &'a str,
        /// Its fingerprint.
        fingerprint: &'a Digest,
        /// The digest that was pinned.
        old: &'a Digest,
        /// The digest that is pinned now.
        new: &'a Digest,
    },
    /// A manifest names the previous digest of an image.
    OldDigestNamed {
        /// Where it stands.
        place: &'a Place,
        /// The image's name.
        image: &'a str,
    },
}

/// A step of the work on an image or a source.
pub enum Step<'a> {
    /// A build begins.
    Build(&'a Reason),
    /// The builder has reached an instruction.
    Instruction {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// Its text.
        text: &'a str,
        /// Whether the builder took the step's result from its cache.
        cached: bool,
    },
    /// An external image is pulled.
    PullImage(&'a str),
    /// A parent is pulled, because the daemon's image has other layers than the registry's.
    PullParent,
    /// A source is imported into the daemon as an image.
    ImportSource(&'a str),
    /// A source is fetched, by its name or its origin.
    FetchSource(&'a str),
    /// A source is fetched to compute its checksum.
    Fetch(&'a str),
    /// Requirements are resolved to wheels; the requirements, as messages name them.
    ChooseWheels(&'a str),
    /// A wheel is built from the source of a package.
    BuildWheel(&'a str),
    /// Wheels are installed; their number.
    InstallWheels(usize),
    /// An image from elsewhere is looked into.
    LookInto(&'a str),
    /// Files are put on a parent that a registry has.
    PutTogether(&'a Reference),
    /// An image is taken out of the daemon.
    Export,
    /// An image is copied from a registry into a layout.
    Copy(&'a Reference),
    /// An image that was put together is loaded into the daemon.
    Load,
    /// Modules are imported in an image; their number.
    TestImports(usize),
    /// An image is pushed.
    Push(&'a Reference),
}

/// The result of work that has succeeded.
pub enum Outcome<'a> {
    /// An image was built.
    Built {
        /// Its reference.
        reference: &'a Reference,
        /// Its bytes in the daemon.
        size: u64,
    },
    /// A job was packed into a folder.
    Packed(&'a str),
    /// A source was fetched from its origin.
    Fetched(&'a str),
    /// Requirements were resolved to wheels.
    ChoseWheels {
        /// The number of wheels.
        count: usize,
        /// The requirements, as messages name them.
        of: &'a str,
    },
    /// An image was copied from a registry into a layout, or into another registry.
    Copied(&'a Reference),
    /// An image from elsewhere was looked into.
    LookedInto {
        /// The image, as it is written.
        image: &'a str,
        /// What was found in it.
        found: &'a str,
    },
    /// All modules were imported in an image.
    TestedImports {
        /// Their number.
        count: usize,
        /// Whether an Arrow UDF was run too.
        arrow: bool,
    },
    /// A parent was pulled.
    Pulled(&'a Reference),
    /// An image was pushed.
    Pushed {
        /// Its reference.
        reference: &'a Reference,
        /// The registry's digest.
        digest: &'a Digest,
    },
    /// Another push of an image with the same inputs was faster; the other image is used.
    Adopted(&'a Reference),
}
