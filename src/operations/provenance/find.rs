//! Finds the record of an image, which every build and push keeps.
//!
//! The cheapest place is asked first: this checkout's plan, then `dist/records` and the cache, then the daemon, then
//! the registry. For a reference with a digest, the daemon and the registry come first: only they know what the digest
//! stands for. Wherever a record comes from, it is used only if its SHA-256 is the fingerprint that is wanted or that
//! the image's label has. A place that cannot be asked is an error only if no other place has the record.
//!
//! A record that is too large for a label is an artifact in the image's repository. It has the tag `TAG.record`,
//! because registries without the referrers API could not find it by the image. It is not compressed, so that the
//! digest of its blob is the fingerprint.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    attach::{MEDIA_TYPE, tag_beside},
    keep::{digest_of_hex, names},
};
use crate::{
    adapters::{
        cache::CacheKind,
        registry::{Listing, RegistryError},
    },
    error::Error,
    image::{
        Digest, ImageInfo, LABEL_FINGERPRINT, LABEL_RECORD, LABEL_RECORD_DIGEST, LABEL_STAGE,
        Platform, Reference, is_tag,
    },
    operations::{
        resolution::Prepared,
        workspace::{DistFolder, Services, Session},
    },
    plan::Record,
    project::{
        Project,
        template::{Names, TAG_DIGITS},
    },
};

/// The largest record that is fetched, in bytes.
const FETCH_LIMIT: usize = 64 << 20;

/// An image whose record is wanted.
#[derive(Clone, Debug)]
pub(crate) struct RecordQuery {
    pub(crate) reference: Reference,
    /// The image of the project that the record must be of; `None` if any will do.
    stage: Option<String>,
    fingerprint: KnownFingerprint,
}

/// How much of the wanted fingerprint is known.
#[derive(Clone, Debug)]
enum KnownFingerprint {
    Whole(Digest),
    /// Its first hex digits, from the tag.
    Beginning(String),
    Nothing,
}

impl KnownFingerprint {
    fn fits(&self, fingerprint: &Digest) -> bool {
        match self {
            Self::Whole(whole) => whole == fingerprint,
            Self::Beginning(beginning) => fingerprint.hex().starts_with(beginning),
            Self::Nothing => true,
        }
    }
}

impl RecordQuery {
    /// A query for the image `stage` with this fingerprint, in the registry with this prefix.
    pub(crate) fn of_stage(
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
            fingerprint: KnownFingerprint::Whole(fingerprint.clone()),
        })
    }

    /// A query for the image `stage` with this tag. Instead of a tag, `tag` may be the fingerprint's digits in it.
    pub(crate) fn of_tag(project: &Project, prefix: &str, stage: &str, tag: &str) -> Option<Self> {
        let names = names_of(project, prefix, stage);
        let tag_pattern = project.reference.tag_pattern(names).ok()?;
        let tag = if is_beginning(tag) {
            format!("{}{tag}{}", tag_pattern.tag_prefix, tag_pattern.tag_suffix)
        } else {
            tag.to_owned()
        };
        is_tag(&tag).then(|| Self::of_reference(project, &tag_pattern.repository.with_tag(&tag)))
    }

    /// What tells the image from others of its name: the digits of its tag, or its digest.
    pub(crate) fn short(&self) -> String {
        match (&self.fingerprint, &self.reference.digest) {
            (KnownFingerprint::Whole(whole), _) => whole.short(TAG_DIGITS).to_owned(),
            (KnownFingerprint::Beginning(digits), _) => digits.clone(),
            (KnownFingerprint::Nothing, Some(digest)) => format!("sha256:{}", digest.short(12)),
            (KnownFingerprint::Nothing, None) => {
                let tag = self.reference.tag.as_deref();
                tag.unwrap_or("latest").to_owned()
            }
        }
    }

    /// Whether the query's tag is that of the image `stage` with this fingerprint.
    pub(crate) fn is_tagged_by(&self, stage: &str, fingerprint: &Digest) -> bool {
        let is_known = !matches!(self.fingerprint, KnownFingerprint::Nothing);
        is_known
            && self.reference.digest.is_none()
            && self.stage.as_deref() == Some(stage)
            && self.fingerprint.fits(fingerprint)
    }

    /// A query for any image by its reference, of this project or not.
    pub(crate) fn of_reference(project: &Project, reference: &Reference) -> Self {
        let tag = reference.tag.as_deref();
        let matcher = &project.image_matcher;
        let stage = matcher
            .named(reference)
            .or_else(|| in_layout(project, reference));
        let digits = stage.and_then(|stage| {
            let prefix = prefix_of(project, stage, reference)?;
            let tag_pattern = project
                .reference
                .tag_pattern(names_of(project, prefix, stage))
                .ok()?;
            let rest = tag?.strip_prefix(&tag_pattern.tag_prefix)?;
            let digits = rest.strip_suffix(&tag_pattern.tag_suffix)?;
            is_beginning(digits).then(|| digits.to_owned())
        });
        Self {
            reference: reference.clone(),
            stage: stage.map(str::to_owned),
            fingerprint: digits.map_or(KnownFingerprint::Nothing, KnownFingerprint::Beginning),
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

/// Whether a text can be the part of a tag that comes from the fingerprint.
fn is_beginning(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == TAG_DIGITS && text.bytes().all(lower_hex)
}

/// The prefix of the registry, current or former, to which a reference to the image `stage` belongs.
pub(crate) fn prefix_of<'a>(
    project: &'a Project,
    stage: &str,
    reference: &Reference,
) -> Option<&'a str> {
    let current = project.registries.values().map(|registry| &registry.prefix);
    let mut prefixes = current.chain(&project.formerly);
    let prefix = prefixes.find(|prefix| {
        let tag_pattern = project
            .reference
            .tag_pattern(names_of(project, prefix, stage));
        tag_pattern.is_ok_and(|tag_pattern| tag_pattern.repository == reference.repository)
    });
    prefix.map(String::as_str)
}

/// The image that a reference without a host names. Manifests name none of these.
fn in_layout<'a>(project: &'a Project, reference: &Reference) -> Option<&'a str> {
    project.layout()?;
    let mut images = project.images.keys();
    let named = images.find(|image| {
        let pattern = project.reference.tag_pattern(names_of(project, "", image));
        let tag = reference.tag.as_deref().unwrap_or_default();
        pattern.is_ok_and(|pattern| {
            pattern.repository == reference.repository && tag.starts_with(&pattern.tag_prefix)
        })
    });
    named.map(String::as_str)
}

/// A record, and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundRecord {
    pub(crate) record: Record,
    pub(crate) fingerprint: Digest,
    pub(crate) place: RecordSource,
    pub(crate) wanted: RecordQuery,
}

impl FoundRecord {
    /// The name of the image that the record is of.
    pub(crate) fn stage(&self) -> &str {
        stage_in(&self.record).unwrap_or("image")
    }
}

/// What is found of an image on a platform.
pub(crate) struct FoundOnPlatform {
    /// The record. `None` if the image is for several platforms, and this is not among them.
    pub(crate) found: Option<FoundRecord>,
    /// The platforms of the image, if it is for several.
    pub(crate) platforms: BTreeSet<Platform>,
    /// The query for the whole.
    pub(crate) whole: RecordQuery,
}

impl FoundOnPlatform {
    /// The platforms of the image, also if it is for one only.
    pub(crate) fn all_platforms(&self) -> BTreeSet<Platform> {
        let of_record = self.found.iter().filter(|_| self.platforms.is_empty());
        let of_record = of_record.filter_map(|found| found.record.platform());
        self.platforms.iter().cloned().chain(of_record).collect()
    }

    /// The record if it is of this platform.
    pub(crate) fn only_on(self, platform: &Platform) -> Option<FoundRecord> {
        let is_other = |found: &FoundRecord| {
            let of_record = found.record.platform();
            of_record.is_some_and(|other| other != *platform)
        };
        self.found.filter(|found| !is_other(found))
    }
}

fn stage_in(record: &Record) -> Option<&str> {
    record.rows().find_map(|row| match row {
        [kind, name] if kind == "stage" => Some(name.as_str()),
        _ => None,
    })
}

/// Where a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordSource {
    /// In the plan of this checkout.
    Checkout,
    Kept,
    Daemon,
    Registry,
}

/// Why a place gave no record.
#[derive(Debug)]
pub(crate) enum LookupFailure {
    /// The place has neither the image nor a record with its fingerprint.
    Nothing(String),
    /// The place has the image, but no record that matches it.
    NoRecord(String),
    /// The place cannot be asked.
    Failed(Error),
}

impl fmt::Display for LookupFailure {
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
pub(crate) struct Records<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    /// The records of this checkout.
    checkout: Rc<BTreeMap<Digest, Record>>,
    platform: Platform,
    silent: Rc<Silent>,
}

/// The error of a daemon or registry that did not answer: it is not asked again, for other platforms neither.
#[derive(Default)]
struct Silent {
    daemon: OnceCell<String>,
    registries: RefCell<BTreeMap<String, String>>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        services: &'a Services<'a>,
        platform: Platform,
        prepared: Option<&Prepared>,
    ) -> Self {
        let stages = prepared
            .iter()
            .flat_map(|prepared| prepared.plan.stages.values());
        let checkout: BTreeMap<Digest, Record> = stages
            .flat_map(|stage| &stage.platforms)
            .map(|stage| (stage.fingerprint.clone(), stage.record.clone()))
            .collect();
        Self {
            session,
            services,
            checkout: Rc::new(checkout),
            platform,
            silent: Rc::default(),
        }
    }

    /// The same for another platform.
    pub(crate) fn on(&self, platform: &Platform) -> Self {
        Self {
            session: self.session,
            services: self.services,
            checkout: Rc::clone(&self.checkout),
            platform: platform.clone(),
            silent: Rc::clone(&self.silent),
        }
    }

    /// The first record that is found for one of `wanted`. Each place is asked for all of them before the next place.
    /// If no place has one: the answers of all places.
    pub(crate) fn find(&self, wanted: &[RecordQuery]) -> Result<FoundRecord, Vec<LookupFailure>> {
        let mut places = vec![
            RecordSource::Checkout,
            RecordSource::Kept,
            RecordSource::Daemon,
            RecordSource::Registry,
        ];
        if wanted
            .iter()
            .any(|wanted| wanted.reference.digest.is_some())
        {
            // A digest identifies the image whatever the tag beside it is, so the places that know images by digest
            // come first.
            places.rotate_left(2);
        }
        let mut said = Vec::new();
        for place in places {
            for wanted in wanted {
                match self.ask(place, wanted) {
                    Ok((record, fingerprint)) => {
                        return Ok(FoundRecord {
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

    /// The record that is found for one of `wanted`, on the platform of this object.
    ///
    /// What has one platform only is found whatever that is.
    pub(crate) fn find_on_platform(
        &self,
        wanted: &[RecordQuery],
    ) -> Result<FoundOnPlatform, Vec<LookupFailure>> {
        for query in wanted {
            if let Some(queries) = self.listed(query) {
                let of_platform = queries.get(&self.platform);
                let found = of_platform.map(|query| self.find(std::slice::from_ref(query)));
                return Ok(FoundOnPlatform {
                    found: found.transpose()?,
                    platforms: queries.into_keys().collect(),
                    whole: query.clone(),
                });
            }
        }
        let said = match self.find(wanted) {
            Ok(found) => {
                return Ok(FoundOnPlatform {
                    whole: found.wanted.clone(),
                    found: Some(found),
                    platforms: BTreeSet::new(),
                });
            }
            Err(said) => said,
        };
        for query in wanted {
            if let Some(found) = self.in_index(query)? {
                return Ok(found);
            }
        }
        Err(said)
    }

    /// The record of an image that the registry has in an index; `None` if it has no index of that name.
    fn in_index(
        &self,
        wanted: &RecordQuery,
    ) -> Result<Option<FoundOnPlatform>, Vec<LookupFailure>> {
        let reference = &wanted.reference;
        let registry = self.services.registry().ok();
        let listing = registry.and_then(|registry| registry.listing(reference).ok().flatten());
        let Some(listing) = listing.filter(Listing::is_index) else {
            return Ok(None);
        };
        let digest = listing.platforms.get(&self.platform);
        let query = digest.map(|digest| RecordQuery {
            reference: reference.repository.with_digest(digest),
            stage: wanted.stage.clone(),
            fingerprint: KnownFingerprint::Nothing,
        });
        Ok(Some(FoundOnPlatform {
            found: query.map(|query| self.find(&[query])).transpose()?,
            platforms: listing.platforms.into_keys().collect(),
            whole: wanted.clone(),
        }))
    }

    /// The queries for the platforms of an image for several, if a build or a push on this machine has kept them.
    fn listed(&self, wanted: &RecordQuery) -> Option<BTreeMap<Platform, RecordQuery>> {
        let beginning = match &wanted.fingerprint {
            KnownFingerprint::Whole(whole) => whole.hex(),
            KnownFingerprint::Beginning(beginning) => beginning,
            KnownFingerprint::Nothing => return None,
        };
        let stage = wanted.stage.as_deref()?;
        let project = &self.session.project;
        let prefix = prefix_of(project, stage, &wanted.reference)?;
        let folders = self.folders();
        let mut kept = folders.iter().flat_map(|folder| {
            let names = names(folder, beginning).into_iter();
            names.filter_map(|name| read(folder, &name)?.0.platforms())
        });
        // The list itself does not say which image it is of.
        let is_of_stage = |platforms: &BTreeMap<Platform, Digest>| {
            let mut each = platforms.values();
            each.all(|fingerprint| {
                let name = fingerprint.hex();
                let mut records = folders.iter().filter_map(|folder| read(folder, name));
                records.all(|(record, _)| is_of(&record, wanted))
            })
        };
        let platforms =
            kept.find(is_of_stage)?
                .into_iter()
                .filter_map(|(platform, fingerprint)| {
                    let query = RecordQuery::of_stage(project, prefix, stage, &fingerprint)?;
                    Some((platform, query))
                });
        Some(platforms.collect())
    }

    fn ask(
        &self,
        place: RecordSource,
        wanted: &RecordQuery,
    ) -> Result<(Record, Digest), Option<LookupFailure>> {
        match place {
            RecordSource::Checkout => self.in_checkout(wanted).ok_or(None),
            RecordSource::Kept => self.kept(wanted),
            RecordSource::Daemon => self.in_daemon(wanted).map_err(Some),
            RecordSource::Registry => self.in_registry(wanted).map_err(Some),
        }
    }

    fn in_checkout(&self, wanted: &RecordQuery) -> Option<(Record, Digest)> {
        let KnownFingerprint::Whole(fingerprint) = &wanted.fingerprint else {
            return None;
        };
        let record = self.checkout.get(fingerprint)?;
        Some((record.clone(), fingerprint.clone()))
    }

    /// The folders with records. The name of each file is the record's fingerprint.
    fn folders(&self) -> [PathBuf; 2] {
        [
            self.session.dist().records(),
            self.session.cache.folder(CacheKind::Records),
        ]
    }

    fn kept(&self, wanted: &RecordQuery) -> Result<(Record, Digest), Option<LookupFailure>> {
        let beginning = match &wanted.fingerprint {
            KnownFingerprint::Whole(whole) => whole.hex(),
            KnownFingerprint::Beginning(beginning) => beginning,
            KnownFingerprint::Nothing => return Err(None),
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
        Err(Some(LookupFailure::Nothing(format!(
            "{} and the cache have {what} of {}",
            DistFolder::RECORDS,
            &beginning[..TAG_DIGITS]
        ))))
    }

    fn in_daemon(&self, wanted: &RecordQuery) -> Result<(Record, Digest), LookupFailure> {
        if let Some(fails) = self.silent.daemon.get() {
            return Err(LookupFailure::Nothing(fails.clone()));
        }
        let name = match &wanted.reference.digest {
            Some(digest) => wanted.reference.repository.with_digest(digest),
            None => wanted.reference.clone(),
        };
        let inspected = self
            .services
            .daemon()
            .and_then(|daemon| Ok(daemon.inspect(&name.to_string())?));
        let info = inspected.map_err(|error| {
            let said = LookupFailure::Failed(error);
            self.silent.daemon.get_or_init(|| said.to_string());
            said
        })?;
        let info =
            info.ok_or_else(|| LookupFailure::Nothing(format!("the daemon does not have {name}")))?;
        self.of_info(&info, wanted, "the daemon's image", &|fingerprint| {
            Err(LookupFailure::Nothing(format!(
                "the record of the daemon's image, {}, is too large for its label",
                fingerprint.short(TAG_DIGITS)
            )))
        })
    }

    fn in_registry(&self, wanted: &RecordQuery) -> Result<(Record, Digest), LookupFailure> {
        let reference = &wanted.reference;
        let host = &reference.repository.registry;
        if let Some(fails) = self.silent.registries.borrow().get(host) {
            return Err(LookupFailure::Nothing(fails.clone()));
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
            let said = LookupFailure::Failed(error);
            if lasts {
                let mut fail = self.silent.registries.borrow_mut();
                fail.insert(host.clone(), said.to_string());
            }
            said
        };
        let registry = self.services.registry().map_err(&failed)?;
        let found = registry.find(reference, &self.platform);
        match found.map_err(|error| failed(error.into()))? {
            Some(image) => self.of_info(
                &image.info,
                wanted,
                "the registry's image",
                &|fingerprint| self.blob(reference, fingerprint),
            ),
            None => self.beside(wanted),
        }
    }

    /// The record beside an image that is no longer in the registry.
    fn beside(&self, wanted: &RecordQuery) -> Result<(Record, Digest), LookupFailure> {
        let reference = &wanted.reference;
        let none = || {
            let registry = &reference.repository.registry;
            LookupFailure::Nothing(format!("the registry {registry} does not have {reference}"))
        };
        let tag = tag_beside(reference).filter(|_| reference.digest.is_none());
        let beside = reference.repository.with_tag(&tag.ok_or_else(none)?);
        let registry = self.services.registry().map_err(LookupFailure::Failed)?;
        // An artifact of another type with that tag is not the record.
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

    fn blob(&self, reference: &Reference, fingerprint: &Digest) -> Result<Record, LookupFailure> {
        let fetched = self
            .services
            .registry()
            .and_then(|registry| Ok(registry.blob(reference, fingerprint, FETCH_LIMIT)?));
        let bytes = fetched.map_err(LookupFailure::Failed)?;
        let record = bytes.as_deref().and_then(Record::parse);
        record.ok_or_else(|| {
            LookupFailure::NoRecord(format!(
                "the registry does not have the record of {reference}, which is too large for its label"
            ))
        })
    }

    /// The record of an image by its labels. Labels that the image inherited from its parent do not count.
    fn of_info(
        &self,
        info: &ImageInfo,
        wanted: &RecordQuery,
        whose: &str,
        fetch: &dyn Fn(&Digest) -> Result<Record, LookupFailure>,
    ) -> Result<(Record, Digest), LookupFailure> {
        let reference = &wanted.reference;
        let no_record = |why: String| LookupFailure::NoRecord(format!("{whose} {reference} {why}"));
        let label = |name: &str| info.labels.get(name).filter(|label| !label.is_empty());
        let fingerprint = info.fingerprint().ok_or_else(|| {
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
                let exact = RecordQuery {
                    fingerprint: KnownFingerprint::Whole(fingerprint.clone()),
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

/// Whether a record can be of the wanted image.
fn is_of(record: &Record, wanted: &RecordQuery) -> bool {
    let stage = wanted.stage.as_deref();
    stage.is_none() || stage_in(record) == stage
}

/// The record in a file, if the digest of its bytes is the file's name.
fn read(folder: &Path, name: &str) -> Option<(Record, Digest)> {
    let bytes = fs_err::read(folder.join(name)).ok()?;
    let digest = Digest::of(&bytes);
    let record = Record::parse(&bytes).filter(|_| digest.hex() == name)?;
    Some((record, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::{
            docker::{DockerError, Unreachable},
            fakes::{image, unreachable},
        },
        code::Code,
        operations::{
            resolution,
            testing::{Project as TestProject, Recorder, TestRun},
            workspace::LockPolicy,
        },
    };

    const PREFIX: &str = "registry.example/small";

    /// Runs `work` with the records of a project, offline.
    fn with<T>(project: &TestProject, work: impl FnOnce(&Records<'_>, &Prepared) -> T) -> T {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::Offline);
        let prepared = resolution::prepare(&session, &services).unwrap();
        let platform = Platform::default();
        work(
            &Records::new(&session, &services, platform, Some(&prepared)),
            &prepared,
        )
    }

    fn of_stage(prepared: &Prepared, stage: &str) -> (Record, Digest) {
        let stage = &prepared.plan.stages[stage].platforms[0];
        (stage.record.clone(), stage.fingerprint.clone())
    }

    fn query(records: &Records<'_>, stage: &str, fingerprint: &Digest) -> RecordQuery {
        RecordQuery::of_stage(&records.session.project, PREFIX, stage, fingerprint).unwrap()
    }

    #[test]
    fn the_records_of_this_checkout_are_at_hand() {
        with(&TestProject::small(), |records, prepared| {
            let (record, fingerprint) = of_stage(prepared, "job");
            let found = records
                .find(&[query(records, "job", &fingerprint)])
                .unwrap();
            assert_eq!((&found.record, &found.fingerprint), (&record, &fingerprint));
            assert_eq!(found.place, RecordSource::Checkout);
            assert_eq!(found.stage(), "job");
        });
    }

    #[test]
    fn kept_records_are_found_in_dist_and_in_the_cache() {
        let project = TestProject::small();
        let (old, fingerprint) = with(&project, |_, prepared| of_stage(prepared, "job"));
        project.edit("src/main.py", "main", "changed");
        let in_cache = project.cache().entry(CacheKind::Records, fingerprint.hex());
        let in_dist = project.path("dist/records").join(fingerprint.hex());
        for file in [in_dist, in_cache] {
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(&file, old.bytes()).unwrap();
            with(&project, |records, _| {
                let tag = fingerprint.short(TAG_DIGITS);
                let project = &records.session.project;
                let by_tag = RecordQuery::of_tag(project, PREFIX, "job", tag).unwrap();
                for wanted in [by_tag, query(records, "job", &fingerprint)] {
                    let found = records.find(&[wanted]).unwrap();
                    assert_eq!(
                        (found.record, found.place),
                        (old.clone(), RecordSource::Kept)
                    );
                }
                let of_another = query(records, "base", &fingerprint);
                assert!(records.kept(&of_another).is_err(), "it is of another image");
            });
            fs_err::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_kept_record_that_is_damaged_is_none() {
        let project = TestProject::small();
        let lost = Digest::of(b"lost");
        project.write(&format!("dist/records/{}", lost.hex()), "damaged");
        with(&project, |records, _| {
            let Err(Some(LookupFailure::Nothing(text))) =
                records.kept(&query(records, "job", &lost))
            else {
                panic!("it is damaged");
            };
            assert!(text.contains("a damaged record"), "{text}");
            let Err(Some(LookupFailure::Nothing(text))) =
                records.kept(&query(records, "job", &Digest::of(b"never")))
            else {
                panic!("it was never there");
            };
            assert!(text.contains("no record"), "{text}");
            let reference = "other.example/x:1".parse().unwrap();
            let any = RecordQuery::of_reference(&records.session.project, &reference);
            assert!(
                matches!(records.kept(&any), Err(None)),
                "nobody knows what to look for"
            );
        });
    }

    #[test]
    fn a_tag_says_which_fingerprint_is_meant() {
        with(&TestProject::small(), |records, prepared| {
            let project = &records.session.project;
            let (_, fingerprint) = of_stage(prepared, "job");
            let tag = fingerprint.short(TAG_DIGITS);
            let by_tag = RecordQuery::of_tag(project, PREFIX, "job", tag).unwrap();
            assert!(by_tag.is_tagged_by("job", &fingerprint));
            assert!(!by_tag.is_tagged_by("base", &fingerprint));
            assert!(!by_tag.is_tagged_by("job", &Digest::of(b"other")));
            let free = RecordQuery::of_tag(project, PREFIX, "job", "v1").unwrap();
            assert_eq!(free.reference.to_string(), format!("{PREFIX}/job:v1"));
            assert!(
                !free.is_tagged_by("job", &fingerprint),
                "its tag says nothing"
            );
            assert!(RecordQuery::of_tag(project, PREFIX, "job", "no tag").is_none());
        });
    }

    #[test]
    fn a_reference_is_of_an_image_below_a_prefix_of_the_project() {
        with(&TestProject::small(), |records, _| {
            let project = &records.session.project;
            let prefix = |text: &str| prefix_of(project, "job", &text.parse().unwrap());
            assert_eq!(prefix("registry.example/small/job:1"), Some(PREFIX));
            assert_eq!(prefix("registry.example/small/base:1"), None);
            assert_eq!(prefix("other.example/small/job:1"), None);
        });
    }

    #[test]
    fn who_does_not_answer_is_not_asked_for_another_platform() {
        let run = TestRun::new(TestProject::small());
        let session = run.project.session(&run.events);
        let (daemon, registry) = (run.daemon.clone(), run.registry.clone());
        daemon.images.fail_next(DockerError::Unreachable {
            host: "unix:///nowhere".to_owned(),
            named_by: None,
            reason: Unreachable::NoSocket { other: None },
        });
        registry.images.fail_next(unreachable());
        let services = Services::in_memory(&session, LockPolicy::ReadOnly, daemon, registry);
        let records = Records::new(&session, &services, Platform::default(), None);
        let wanted = query(&records, "job", &Digest::of(b"never"));
        let said = ["linux/amd64", "linux/arm64"].map(|platform| {
            let records = records.on(&platform.parse().unwrap());
            let said = records.find(std::slice::from_ref(&wanted)).unwrap_err();
            said.iter().map(ToString::to_string).collect::<Vec<_>>()
        });
        assert_eq!(said[0], said[1]);
        assert_eq!(run.daemon.images.looked_up().len(), 1);
        assert_eq!(run.registry.images.looked_up().len(), 1);
    }

    #[test]
    fn offline_a_registry_is_not_asked_and_says_so() {
        with(&TestProject::small(), |records, _| {
            let wanted = query(records, "job", &Digest::of(b"never"));
            for _ in 0..2 {
                let said = records.in_registry(&wanted).unwrap_err();
                assert!(
                    matches!(&said, LookupFailure::Failed(error) if error.code() == Code::E035)
                );
                assert!(!said.to_string().contains('\n'));
            }
            assert!(matches!(
                records.blob(&wanted.reference, &Digest::of(b"never")),
                Err(LookupFailure::Failed(_))
            ));
        });
    }

    /// The record of an image with these labels, if the registry has no blob.
    fn labelled(
        records: &Records<'_>,
        wanted: &RecordQuery,
        labels: &[(&str, &str)],
    ) -> Result<(Record, Digest), LookupFailure> {
        let mut info = image("any");
        info.labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        records.of_info(&info, wanted, "the image", &|_| {
            Err(LookupFailure::Nothing("fetched in vain".to_owned()))
        })
    }

    #[test]
    fn the_record_in_a_label_is_believed_if_it_has_its_fingerprint() {
        with(&TestProject::small(), |records, prepared| {
            let (record, fingerprint) = of_stage(prepared, "job");
            let wanted = query(records, "job", &fingerprint);
            let label = record.label().unwrap();
            let own = [
                (LABEL_FINGERPRINT, fingerprint.hex()),
                (LABEL_STAGE, "job"),
                (LABEL_RECORD, &label),
            ];
            let found = labelled(records, &wanted, &own).unwrap();
            assert_eq!(found, (record, fingerprint.clone()));
            let other = of_stage(prepared, "base").0.label().unwrap();
            let labels = [own[0], own[1], (LABEL_RECORD, other.as_str())];
            let said = labelled(records, &wanted, &labels).unwrap_err().to_string();
            assert!(
                said.contains("without the fingerprint that its label says"),
                "{said}"
            );
            let labels = [own[0], own[1], (LABEL_RECORD, "no record")];
            assert!(matches!(
                labelled(records, &wanted, &labels),
                Err(LookupFailure::NoRecord(_))
            ));
        });
    }

    #[test]
    fn a_record_too_large_for_its_label_is_looked_for_at_hand_then_fetched() {
        let project = TestProject::small();
        with(&project, |records, prepared| {
            let (record, fingerprint) = of_stage(prepared, "job");
            let wanted = query(records, "job", &fingerprint);
            let labels = [
                (LABEL_FINGERPRINT, fingerprint.hex()),
                (LABEL_RECORD_DIGEST, fingerprint.as_str()),
            ];
            let said = labelled(records, &wanted, &labels).unwrap_err();
            assert_eq!(said.to_string(), "fetched in vain");
            let file = project.cache().entry(CacheKind::Records, fingerprint.hex());
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, record.bytes()).unwrap();
            let found = labelled(records, &wanted, &labels).unwrap();
            assert_eq!(found.0, record);
        });
    }

    #[test]
    fn an_image_without_a_record_of_its_own_says_why() {
        with(&TestProject::small(), |records, prepared| {
            let (_, fingerprint) = of_stage(prepared, "job");
            let wanted = query(records, "job", &fingerprint);
            let (hex, other) = (fingerprint.hex(), Digest::of(b"other"));
            let cases: [(&[(&str, &str)], &str); 5] = [
                (&[], "was not made by sparkpack"),
                (
                    &[(LABEL_FINGERPRINT, "zz")],
                    "has a fingerprint that is none",
                ),
                (
                    &[(LABEL_FINGERPRINT, hex), (LABEL_STAGE, "base")],
                    "has the labels of `base`",
                ),
                (
                    &[(LABEL_FINGERPRINT, other.hex())],
                    "was made from something else",
                ),
                (&[(LABEL_FINGERPRINT, hex)], "has no label"),
            ];
            for (labels, why) in cases {
                match labelled(records, &wanted, labels) {
                    Err(LookupFailure::NoRecord(text)) => assert!(text.contains(why), "{text}"),
                    other => panic!("{why}: {other:?}"),
                }
            }
        });
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
        // The bytes have the digest in the file's name, but are no record.
        assert_eq!(write(Digest::of(b"other").hex(), b"other"), None);
        assert_eq!(names(folder.path(), &name[..16]), [name]);
        assert_eq!(names(folder.path(), "").len(), 2);
        fs_err::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(names(folder.path(), "").len(), 2);
        assert!(names(&folder.path().join("nowhere"), "").is_empty());
    }
}
