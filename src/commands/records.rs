//! The records of images: kept by every build and push, and found again behind a tag.
//!
//! A record is looked for where it costs least: in `dist/records` and the cache, then in the daemon, then in the
//! registry. Wherever it comes from it is believed only if its SHA-256 is the fingerprint that is wanted or that the
//! image's label says. That a place cannot be asked matters only if no other has the record.
//!
//! A record that is too large for a label lies beside the image as an artifact, under `TAG.record`: registries without
//! the referrers API would not find it by the image. It is not compressed: the digest of its blob is the fingerprint.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use super::{locks::Prepared, outside::Outside, packing, session::Session, stages::only_platform};
use crate::{
    adapters::{
        registry::{Attachment, RegistryError, RegistryImage},
        store,
    },
    error::Error,
    image::{
        Digest, ImageInfo, LABEL_FINGERPRINT, LABEL_RECORD, LABEL_RECORD_DIGEST, LABEL_STAGE,
        Platform, Reference, is_tag,
    },
    plan::{Record, Stage},
    project::{
        Project,
        template::{Names, TAG_DIGITS},
    },
};

/// How many records are kept at least, the newest; those of the last run always are.
const KEPT: usize = 200;

/// Below the project.
const FOLDER: &str = "dist/records";

/// The media type of a record beside an image: its canonical bytes.
const MEDIA_TYPE: &str = "application/vnd.sparkpack.record.v1";

/// The largest record that is fetched, in bytes.
const FETCH_LIMIT: usize = 64 << 20;

/// Keeps the records of `targets` and of all that they stand on.
pub(super) fn keep(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> Result<(), Error> {
    let folder = session.project.root.join(FOLDER);
    let mut current = BTreeSet::new();
    let mut is_new = false;
    for name in prepared.plan.with_parents(targets) {
        for stage in &prepared.plan.stages[&name].platforms {
            let file = folder.join(stage.fingerprint.hex());
            let bytes = stage.record.bytes();
            // One that was damaged is written anew.
            if !fs_err::read(&file).is_ok_and(|old| old == bytes) {
                packing::keep_out_of_git(&session.project.root.join("dist"))?;
                store::replace(&file, &bytes)?;
                is_new = true;
            }
            current.insert(stage.fingerprint.hex().to_owned());
        }
    }
    if is_new {
        remove_oldest(&folder, &current)?;
    }
    Ok(())
}

fn remove_oldest(folder: &Path, current: &BTreeSet<String>) -> Result<(), Error> {
    let mut others = Vec::new();
    for name in names(folder, "") {
        if !current.contains(&name) {
            let file = folder.join(name);
            others.push((fs_err::metadata(&file)?.modified()?, file));
        }
    }
    others.sort();
    let room = KEPT.saturating_sub(current.len());
    for (_, file) in others.iter().rev().skip(room) {
        fs_err::remove_file(file)?;
    }
    Ok(())
}

/// The names of the records in a folder that begin so.
fn names(folder: &Path, beginning: &str) -> Vec<String> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(beginning) && digest_of_hex(name).is_some())
        .collect();
    names.sort();
    names
}

fn digest_of_hex(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

/// Puts the record of an image beside it, where it is too large for a label.
pub(super) fn push_beside(
    outside: &Outside<'_>,
    stage: &Stage,
    image: &RegistryImage,
    reference: &Reference,
) -> Result<(), Error> {
    let record = &only_platform(stage)?.record;
    let says = image.facts.labels.get(LABEL_RECORD_DIGEST);
    if says.is_none_or(String::is_empty) {
        return Ok(());
    }
    let attachment = Attachment {
        media_type: MEDIA_TYPE,
        bytes: &record.bytes(),
        subject: image,
    };
    let beside = beside(reference, &record.fingerprint());
    Ok(outside.registry()?.attach(attachment, &beside)?)
}

/// The reference of the record that belongs to an image.
fn beside(reference: &Reference, fingerprint: &Digest) -> Reference {
    let tag = tag_beside(reference).unwrap_or_else(|| format!("{}.record", fingerprint.hex()));
    reference.repository.with_tag(&tag)
}

/// Nothing where the image's own tag leaves no room.
fn tag_beside(reference: &Reference) -> Option<String> {
    let tag = format!("{}.record", reference.tag.as_deref()?);
    is_tag(&tag).then_some(tag)
}

/// An image whose record is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) reference: Reference,
    /// The image of the project that it must be.
    stage: Option<String>,
    fingerprint: Known,
}

/// What is known of a fingerprint.
#[derive(Clone, Debug)]
enum Known {
    Whole(Digest),
    /// Its first hex digits, which are in the tag.
    Beginning(String),
    Nothing,
}

impl Known {
    fn fits(&self, fingerprint: &Digest) -> bool {
        match self {
            Self::Whole(whole) => whole == fingerprint,
            Self::Beginning(beginning) => fingerprint.hex().starts_with(beginning),
            Self::Nothing => true,
        }
    }
}

impl Wanted {
    /// The image `stage` with a fingerprint, below the prefix of a registry.
    pub(super) fn of_stage(
        project: &Project,
        prefix: &str,
        stage: &str,
        fingerprint: &Digest,
    ) -> Option<Self> {
        let reference = project
            .reference
            .reference(names_of(project, prefix, stage), fingerprint)
            .ok()?;
        Some(Self {
            reference,
            stage: Some(stage.to_owned()),
            fingerprint: Known::Whole(fingerprint.clone()),
        })
    }

    /// The image `stage` under a tag, or under the tag that these digits of a fingerprint make.
    pub(super) fn of_tag(project: &Project, prefix: &str, stage: &str, tag: &str) -> Option<Self> {
        let names = names_of(project, prefix, stage);
        let recognition = project.reference.recognition(names).ok()?;
        let tag = if is_beginning(tag) {
            format!("{}{tag}{}", recognition.tag_prefix, recognition.tag_suffix)
        } else {
            tag.to_owned()
        };
        is_tag(&tag).then(|| Self::of_reference(project, &recognition.repository.with_tag(&tag)))
    }

    /// Whether its tag is the one that this fingerprint makes for the image `stage`.
    pub(super) fn is_tagged_by(&self, stage: &str, fingerprint: &Digest) -> bool {
        let is_known = !matches!(self.fingerprint, Known::Nothing);
        is_known
            && self.reference.digest.is_none()
            && self.stage.as_deref() == Some(stage)
            && self.fingerprint.fits(fingerprint)
    }

    /// Any image.
    pub(super) fn of_reference(project: &Project, reference: &Reference) -> Self {
        let tag = reference.tag.as_deref();
        let stage = project.naming.named(reference);
        let digits = stage.and_then(|stage| {
            let prefix = prefix_of(project, stage, reference)?;
            let recognition = project
                .reference
                .recognition(names_of(project, prefix, stage))
                .ok()?;
            let rest = tag?.strip_prefix(&recognition.tag_prefix)?;
            let digits = rest.strip_suffix(&recognition.tag_suffix)?;
            is_beginning(digits).then(|| digits.to_owned())
        });
        Self {
            reference: reference.clone(),
            stage: stage.map(str::to_owned),
            fingerprint: digits.map_or(Known::Nothing, Known::Beginning),
        }
    }
}

fn names_of<'a>(project: &'a Project, prefix: &'a str, stage: &'a str) -> Names<'a> {
    Names {
        registry: prefix,
        project: &project.name,
        image: stage,
    }
}

/// Whether a text can be the part of a tag that is a fingerprint's.
fn is_beginning(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == TAG_DIGITS && text.bytes().all(lower_hex)
}

/// The prefix below which a reference is that of an image of the project.
pub(super) fn prefix_of<'a>(
    project: &'a Project,
    stage: &str,
    reference: &Reference,
) -> Option<&'a str> {
    let mut prefixes = project.registries.values().chain(&project.formerly);
    let prefix = prefixes.find(|prefix| {
        let recognition = project
            .reference
            .recognition(names_of(project, prefix, stage));
        recognition.is_ok_and(|recognition| recognition.repository == reference.repository)
    });
    prefix.map(String::as_str)
}

/// A record, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) fingerprint: Digest,
    pub(super) place: Place,
    pub(super) wanted: Wanted,
}

impl Found {
    /// The name of the image that the record is of.
    pub(super) fn stage(&self) -> &str {
        stage_in(&self.record).unwrap_or("image")
    }
}

fn stage_in(record: &Record) -> Option<&str> {
    record.rows().find_map(|row| match row {
        [kind, name] if kind == "stage" => Some(name.as_str()),
        _ => None,
    })
}

/// Where records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the plan of this checkout.
    Checkout,
    Kept,
    Daemon,
    Registry,
}

/// What a place said that gave no record.
#[derive(Debug)]
pub(super) enum Said {
    /// It does not have the image, or nothing by its fingerprint.
    Nothing(String),
    /// It has the image, which has no record that can be believed.
    NoRecord(String),
    /// It cannot be asked.
    Failed(Error),
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(text) | Self::NoRecord(text) => formatter.write_str(text),
            Self::Failed(error) => {
                let because = error.because().map(|because| format!(": {because}"));
                let line = format!("{}{}", error.headline(), because.unwrap_or_default());
                formatter.write_str(&line.replace('\n', " "))
            }
        }
    }
}

/// Finds records.
pub(super) struct Records<'a> {
    session: &'a Session<'a>,
    outside: &'a Outside<'a>,
    /// The records of this checkout.
    checkout: BTreeMap<Digest, Record>,
    platform: Platform,
    /// Who does not answer is not asked again.
    daemon_fails: OnceCell<String>,
    registries_fail: RefCell<BTreeMap<String, String>>,
}

impl<'a> Records<'a> {
    pub(super) fn new(
        session: &'a Session<'a>,
        outside: &'a Outside<'a>,
        platform: Platform,
        prepared: Option<&Prepared>,
    ) -> Self {
        let stages = prepared
            .iter()
            .flat_map(|prepared| prepared.plan.stages.values());
        let checkout = stages
            .flat_map(|stage| &stage.platforms)
            .map(|stage| (stage.fingerprint.clone(), stage.record.clone()))
            .collect();
        Self {
            session,
            outside,
            checkout,
            platform,
            daemon_fails: OnceCell::new(),
            registries_fail: RefCell::default(),
        }
    }

    /// The record of the first of these images that is found, or what each place said.
    pub(super) fn find(&self, wanted: &[Wanted]) -> Result<Found, Vec<Said>> {
        let mut places = vec![Place::Checkout, Place::Kept, Place::Daemon, Place::Registry];
        if wanted
            .iter()
            .any(|wanted| wanted.reference.digest.is_some())
        {
            // A digest says what it is of, whatever stands in the tag beside it.
            places.rotate_left(2);
        }
        let mut said = Vec::new();
        for place in places {
            for wanted in wanted {
                match self.ask(place, wanted) {
                    Ok((record, fingerprint)) => {
                        return Ok(Found {
                            record,
                            fingerprint,
                            place,
                            wanted: wanted.clone(),
                        });
                    }
                    Err(None) => {}
                    Err(Some(answer)) => said.push(answer),
                }
            }
        }
        Err(said)
    }

    fn ask(&self, place: Place, wanted: &Wanted) -> Result<(Record, Digest), Option<Said>> {
        match place {
            Place::Checkout => self.in_checkout(wanted).ok_or(None),
            Place::Kept => self.kept(wanted),
            Place::Daemon => self.in_daemon(wanted).map_err(Some),
            Place::Registry => self.in_registry(wanted).map_err(Some),
        }
    }

    fn in_checkout(&self, wanted: &Wanted) -> Option<(Record, Digest)> {
        let Known::Whole(fingerprint) = &wanted.fingerprint else {
            return None;
        };
        let record = self.checkout.get(fingerprint)?;
        Some((record.clone(), fingerprint.clone()))
    }

    /// The folders in which records lie by their fingerprints.
    fn folders(&self) -> [PathBuf; 2] {
        [
            self.session.project.root.join(FOLDER),
            self.session.cache.join("records"),
        ]
    }

    fn kept(&self, wanted: &Wanted) -> Result<(Record, Digest), Option<Said>> {
        let beginning = match &wanted.fingerprint {
            Known::Whole(whole) => whole.hex(),
            Known::Beginning(beginning) => beginning,
            Known::Nothing => return Err(None),
        };
        let mut is_damaged = false;
        for folder in self.folders() {
            for name in names(&folder, beginning) {
                match read(&folder, &name) {
                    Some((record, _)) if !is_of(&record, wanted) => {}
                    Some(found) => return Ok(found),
                    None => is_damaged = true,
                }
            }
        }
        let what = if is_damaged {
            "a damaged record"
        } else {
            "no record"
        };
        Err(Some(Said::Nothing(format!(
            "{FOLDER} and the cache have {what} of {}",
            &beginning[..TAG_DIGITS]
        ))))
    }

    fn in_daemon(&self, wanted: &Wanted) -> Result<(Record, Digest), Said> {
        if let Some(fails) = self.daemon_fails.get() {
            return Err(Said::Nothing(fails.clone()));
        }
        let name = match &wanted.reference.digest {
            Some(digest) => wanted.reference.repository.with_digest(digest),
            None => wanted.reference.clone(),
        };
        let inspected = self
            .outside
            .daemon()
            .and_then(|daemon| Ok(daemon.inspect(&name.to_string())?));
        let facts = inspected.map_err(|error| {
            let said = Said::Failed(error);
            self.daemon_fails.get_or_init(|| said.to_string());
            said
        })?;
        let facts =
            facts.ok_or_else(|| Said::Nothing(format!("the daemon does not have {name}")))?;
        self.of_facts(&facts, wanted, "the daemon's image", &|fingerprint| {
            Err(Said::Nothing(format!(
                "the record of the daemon's image, {}, is too large for its label",
                fingerprint.short(TAG_DIGITS)
            )))
        })
    }

    fn in_registry(&self, wanted: &Wanted) -> Result<(Record, Digest), Said> {
        let reference = &wanted.reference;
        let host = &reference.repository.registry;
        if let Some(fails) = self.registries_fail.borrow().get(host) {
            return Err(Said::Nothing(fails.clone()));
        }
        let failed = |error: Error| {
            let lasts = matches!(
                error,
                Error::Registry(
                    RegistryError::Unreachable { .. }
                        | RegistryError::WrongPassword { .. }
                        | RegistryError::Credentials { .. }
                )
            );
            let said = Said::Failed(error);
            if lasts {
                let mut fail = self.registries_fail.borrow_mut();
                fail.insert(host.clone(), said.to_string());
            }
            said
        };
        let registry = self.outside.registry().map_err(&failed)?;
        let found = registry.find(reference, &self.platform);
        match found.map_err(|error| failed(error.into()))? {
            Some(image) => self.of_facts(
                &image.facts,
                wanted,
                "the registry's image",
                &|fingerprint| self.blob(reference, fingerprint),
            ),
            None => self.beside(wanted),
        }
    }

    /// The record that stayed in the registry when its image was removed.
    fn beside(&self, wanted: &Wanted) -> Result<(Record, Digest), Said> {
        let reference = &wanted.reference;
        let none = || {
            let registry = &reference.repository.registry;
            Said::Nothing(format!("the registry {registry} does not have {reference}"))
        };
        let tag = tag_beside(reference).filter(|_| reference.digest.is_none());
        let beside = reference.repository.with_tag(&tag.ok_or_else(none)?);
        let registry = self.outside.registry().map_err(Said::Failed)?;
        // Whatever else has that tag is not the record.
        let attached = registry.attached(&beside, MEDIA_TYPE).ok().flatten();
        let fingerprint = attached.ok_or_else(none)?;
        if !wanted.fingerprint.fits(&fingerprint) {
            return Err(none());
        }
        let record = self.blob(reference, &fingerprint)?;
        if is_of(&record, wanted) {
            Ok((record, fingerprint))
        } else {
            Err(none())
        }
    }

    fn blob(&self, reference: &Reference, fingerprint: &Digest) -> Result<Record, Said> {
        let fetched = self
            .outside
            .registry()
            .and_then(|registry| Ok(registry.blob(reference, fingerprint, FETCH_LIMIT)?));
        let bytes = fetched.map_err(Said::Failed)?;
        let record = bytes.as_deref().and_then(Record::parse);
        record.ok_or_else(|| {
            Said::NoRecord(format!(
                "the registry does not have the record of {reference}, which is too large for its label"
            ))
        })
    }

    /// The record that an image's labels give, if they are its own.
    fn of_facts(
        &self,
        facts: &ImageInfo,
        wanted: &Wanted,
        whose: &str,
        fetch: &dyn Fn(&Digest) -> Result<Record, Said>,
    ) -> Result<(Record, Digest), Said> {
        let reference = &wanted.reference;
        let no_record = |why: String| Said::NoRecord(format!("{whose} {reference} {why}"));
        let label = |name: &str| facts.labels.get(name).filter(|label| !label.is_empty());
        let fingerprint = facts.fingerprint().ok_or_else(|| {
            no_record(format!(
                "was not made by sparkpack: it has no label {LABEL_FINGERPRINT}"
            ))
        })?;
        let fingerprint = digest_of_hex(fingerprint)
            .ok_or_else(|| no_record("has a fingerprint that is none".to_owned()))?;
        if let (Some(wanted), Some(stage)) = (&wanted.stage, label(LABEL_STAGE))
            && wanted != stage
        {
            return Err(no_record(format!(
                "has the labels of `{stage}`, on which it was built by other means: it has no record of its own"
            )));
        }
        if !wanted.fingerprint.fits(&fingerprint) {
            let short = fingerprint.short(TAG_DIGITS);
            return Err(no_record(format!("was made from something else, {short}")));
        }
        let record = match (label(LABEL_RECORD), label(LABEL_RECORD_DIGEST)) {
            (Some(text), _) => Record::of_label(text),
            (None, Some(_)) => {
                let exact = Wanted {
                    fingerprint: Known::Whole(fingerprint.clone()),
                    ..wanted.clone()
                };
                match self.kept(&exact) {
                    Ok((record, _)) => Some(record),
                    Err(_) => Some(fetch(&fingerprint)?),
                }
            }
            (None, None) => return Err(no_record(format!("has no label {LABEL_RECORD}"))),
        };
        record
            .filter(|record| record.fingerprint() == fingerprint)
            .map(|record| (record, fingerprint))
            .ok_or_else(|| {
                no_record("has a record without the fingerprint that its label says".to_owned())
            })
    }
}

/// Whether a record can be that of the image which is wanted.
fn is_of(record: &Record, wanted: &Wanted) -> bool {
    let stage = wanted.stage.as_deref();
    stage.is_none() || stage_in(record) == stage
}

/// A kept record, whose bytes are what its name says.
fn read(folder: &Path, name: &str) -> Option<(Record, Digest)> {
    let bytes = fs_err::read(folder.join(name)).ok()?;
    let digest = Digest::of(&bytes);
    let record = Record::parse(&bytes).filter(|_| digest.hex() == name)?;
    Some((record, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_tag_whatever_the_images_is() {
        let fingerprint = Digest::of(b"x");
        let beside = |tag: &str| {
            let reference: Reference = format!("reg.example/a:{tag}").parse().unwrap();
            beside(&reference, &fingerprint).tag.unwrap()
        };
        assert_eq!(beside("0123456789abcdef"), "0123456789abcdef.record");
        assert_eq!(beside(&"t".repeat(121)).len(), 128);
        let named = format!("{}.record", fingerprint.hex());
        assert_eq!(beside(&"t".repeat(122)), named);
    }

    #[test]
    fn only_what_its_name_says_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::default();
        let name = record.fingerprint().hex().to_owned();
        let write = |name: &str, bytes: &[u8]| {
            fs_err::write(folder.path().join(name), bytes).unwrap();
            read(folder.path(), name).map(|(record, _)| record)
        };
        assert_eq!(write(&name, &record.bytes()), Some(record.clone()));
        assert_eq!(write(&name, b"other"), None);
        // Its bytes are as its name says, but no record.
        assert_eq!(write(Digest::of(b"other").hex(), b"other"), None);
        assert_eq!(names(folder.path(), &name[..16]), [name]);
        assert_eq!(names(folder.path(), "").len(), 2);
        fs_err::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(names(folder.path(), "").len(), 2);
        assert!(names(&folder.path().join("nowhere"), "").is_empty());
    }
}
