//! Finds the references in the project's manifests, compares them with the expected ones, and writes the changes to all
//! files or none.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    cache::{self, CacheKey},
    examined::{Examined, Named, Scope, Skipped, objects},
    expected::ExpectedReferences,
    unmanaged::unmanaged_references,
    warnings,
};
use crate::{
    adapters::{digest_cache, journal::Replacement},
    code::Code,
    error::Error,
    image::{Digest, Reference},
    operations::{
        events::{ManifestNote, Note},
        resolution::Prepared,
        workspace::Session,
    },
    project::{
        digest_cache::FileIdentity,
        glob,
        place::{Defect, Place},
        utf8,
    },
    yaml::{self, ImagePlace, LeftAlone, Located, PlaceRules, Unlocated, on_all_cores},
};

/// The manifests of one registry, or of all. Each is read when its content is first needed.
pub(crate) struct Manifests<'s> {
    session: &'s Session<'s>,
    rules: PlaceRules<'s>,
    files: Vec<File<'s>>,
    /// Whether the places that are left alone are listed too. The cache does not have them, so that every manifest is
    /// read.
    is_full: bool,
}

struct File<'s> {
    /// The path relative to the project's folder.
    name: &'s str,
    /// The name of its registry in the configuration.
    registry: &'s str,
    /// Whether a value with a YAML anchor may be rewritten, which changes it at all aliases too.
    may_share: bool,
    known: Mutex<Known>,
}

/// What this run knows of a file. The file is read again only if it may have changed since.
#[derive(Default)]
struct Known {
    read: Option<Arc<Read>>,
    /// The result, and the digest of the expected references that it was computed for.
    examined: Option<(Digest, Arc<Examined>)>,
}

/// A manifest as it was read.
pub(super) struct Read {
    pub(super) text: String,
    pub(super) located: Located,
    /// The file's identity, if the file was clearly older than the read: the text is unchanged as long as the identity
    /// is.
    identity: Option<FileIdentity>,
}

/// Why a manifest cannot be examined.
enum Failure {
    /// It is no YAML, so that nothing in it can be told.
    NoYaml(Error),
    Other(Error),
}

impl Failure {
    fn of(error: Unlocated) -> Self {
        let is_yaml = error.is_yaml;
        let error = Error::of_all(error.defects);
        if is_yaml {
            Self::Other(error)
        } else {
            Self::NoYaml(error)
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoYaml(error) | Failure::Other(error) => error,
        }
    }
}

impl File<'_> {
    fn known(&self) -> MutexGuard<'_, Known> {
        // A poisoned lock is safe: every change is a single assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'s> Manifests<'s> {
    /// The manifests of one registry, or of all.
    pub(crate) fn of(session: &'s Session<'s>, registry: Option<&str>) -> Result<Self, Error> {
        let project = &session.project;
        if registry.is_some() {
            session.registry(registry)?;
        }
        let mut files: BTreeMap<&str, File<'_>> = BTreeMap::new();
        let mut shared = Vec::new();
        for glob in &project.anchors {
            let matcher = glob::compile(&glob.pattern);
            shared.push(matcher.map_err(|why| Defect::new(Code::E022, glob.place.clone(), why))?);
        }
        for (name, globs) in &project.manifests {
            if registry.is_some_and(|registry| registry != name) {
                continue;
            }
            for (glob, file) in globs
                .iter()
                .flat_map(|glob| glob.files.iter().map(move |file| (glob, file)))
            {
                if let Some(other) = files
                    .get(file.as_str())
                    .filter(|other| other.registry != name)
                {
                    let message = format!(
                        "`{file}` is one of the manifests of `{}` and of those of `{name}`: it can name only one",
                        other.registry
                    );
                    let defect = Defect::new(Code::E022, glob.place.clone(), message);
                    return Err(defect.hint("let each glob match other files").into());
                }
                files.entry(file).or_insert_with(|| File {
                    name: file,
                    registry: name,
                    may_share: shared.iter().any(|glob| glob.is_match(file)),
                    known: Mutex::default(),
                });
            }
        }
        Ok(Self {
            session,
            rules: PlaceRules::new(
                &project.places,
                project.images.keys().map(String::as_str),
                &project.image_matcher,
            ),
            files: files.into_values().collect(),
            is_full: false,
        })
    }

    /// The same manifests; with `is_full` their results list the places that are left alone too.
    pub(crate) fn in_full(self, is_full: bool) -> Self {
        Self { is_full, ..self }
    }

    /// Reads every manifest that is not in the cache, so that a broken one is reported before anything is sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let unknown: Vec<&File<'_>> = self
            .files
            .iter()
            .filter(|file| !cache::has(self.session, file.name))
            .collect();
        let read = on_all_cores(&unknown, |file| {
            self.read(file).map(drop).map_err(Error::from)
        });
        Error::collect(read).map(drop)
    }

    /// Compares every manifest with the expected references.
    ///
    /// # Errors
    /// Every manifest that cannot be read, or has a place that must change but cannot.
    pub(crate) fn examine(
        &self,
        expected: &ExpectedReferences,
    ) -> Result<Vec<Arc<Examined>>, Error> {
        let results = self.examine_all(expected).into_iter();
        Error::collect(results.map(|result| result.map_err(Error::from)))
    }

    /// The result for each manifest. Only for what is not in the cache, several threads are started.
    fn examine_all(&self, expected: &ExpectedReferences) -> Vec<Result<Arc<Examined>, Failure>> {
        let asked = self.files.iter().map(|file| {
            let key = self.key(file, expected);
            (self.cached(&key), file, key)
        });
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (found, file, key) in asked {
            if found.is_none() {
                unknown.push((file, key));
            }
            known.push(found);
        }
        let examined = on_all_cores(&unknown, |(file, key)| {
            self.examine_file(file, key, expected)
        });
        let mut examined = examined.into_iter();
        let known = known.into_iter();
        known
            .filter_map(|known| known.map(Ok).or_else(|| examined.next()))
            .collect()
    }

    fn key(&self, file: &File<'_>, expected: &ExpectedReferences) -> CacheKey {
        let digest = expected.digest_for(file.registry, file.may_share);
        CacheKey::new(self.session, file.name, &digest)
    }

    fn cached(&self, key: &CacheKey) -> Option<Arc<Examined>> {
        let found = (!self.is_full).then(|| cache::find(self.session.manifest_cache(), key));
        found?.map(Arc::new)
    }

    /// Like [`Self::examine`], but leaves out the manifests that are no YAML. Returns their errors beside the results.
    pub(crate) fn examine_readable(
        &mut self,
        expected: &ExpectedReferences,
    ) -> Result<(Vec<Arc<Examined>>, Vec<Error>), Error> {
        let results = self.examine_all(expected);
        let mut unreadable = Vec::new();
        let mut readable = Vec::new();
        let files = std::mem::take(&mut self.files);
        for (file, result) in files.into_iter().zip(results) {
            match result {
                Err(Failure::NoYaml(error)) => unreadable.push(error),
                result => {
                    readable.push(result.map_err(Error::from));
                    self.files.push(file);
                }
            }
        }
        match Error::collect(readable) {
            Ok(examined) => Ok((examined, unreadable)),
            Err(error) => Err(Error::of_all(unreadable.into_iter().chain([error]))),
        }
    }

    /// The images of the project that the manifests name, in the order of the files.
    pub(crate) fn named(&self) -> Result<Vec<Named>, Error> {
        self.named_where(|_| true)
    }

    /// Like [`Self::named`], for the manifests of one registry only.
    pub(crate) fn named_in(&self, registry: &str) -> Result<Vec<Named>, Error> {
        self.named_where(|file| file.registry == registry)
    }

    fn named_where(&self, is_wanted: impl Fn(&File<'_>) -> bool) -> Result<Vec<Named>, Error> {
        let image_matcher = &self.session.project.image_matcher;
        let mut all = Vec::new();
        for file in self.files.iter().filter(|file| is_wanted(file)) {
            let read = self.read(file)?;
            let places = read.located.places.iter();
            all.extend(places.filter_map(|place| {
                let reference = place.reference()?;
                let image = image_matcher.named(&reference)?.to_owned();
                Some(Named {
                    image,
                    reference,
                    place: place.place.clone(),
                })
            }));
        }
        Ok(all)
    }

    /// Each manifest as it is, by its path.
    pub(super) fn read_all(&self) -> Result<Vec<(&'s str, Arc<Read>)>, Error> {
        let read = self
            .files
            .iter()
            .map(|file| Ok((file.name, self.read(file)?)));
        Error::collect(read)
    }

    /// The file's present content; it is read only if it may have changed since this run last read it.
    fn read(&self, file: &File<'_>) -> Result<Arc<Read>, Failure> {
        let path = self.session.project.root.join(file.name);
        let now = digest_cache::now();
        let identity = fs_err::metadata(&path).ok();
        let identity = identity.map(|metadata| FileIdentity::of(&metadata));
        let known = file.known().read.clone();
        if let Some(known) =
            known.filter(|known| known.identity.is_some() && known.identity == identity)
        {
            return Ok(known);
        }
        let text = read(self.session, file.name)?;
        let identity = identity.filter(|identity| identity.is_older_than(now));
        let mut state = file.known();
        if let Some(known) = state.read.as_ref().filter(|known| known.text == text) {
            return Ok(Arc::clone(known));
        }
        let located = yaml::locate(Path::new(file.name), &text, &self.rules);
        let read = Arc::new(Read {
            located: located.map_err(Failure::of)?,
            text,
            identity,
        });
        *state = Known {
            read: Some(Arc::clone(&read)),
            examined: None,
        };
        Ok(read)
    }

    fn examine_file(
        &self,
        file: &File<'_>,
        key: &CacheKey,
        expected: &ExpectedReferences,
    ) -> Result<Arc<Examined>, Failure> {
        let read = self.read(file)?;
        let digest = key.digest.clone();
        // If the file had changed, reading it dropped the earlier result.
        let known = file.known().examined.clone();
        let examined = match known.filter(|(of, _)| *of == digest) {
            Some((_, known)) => known,
            None => Arc::new(self.examine_text(file, &read, expected)?),
        };
        file.known().examined = Some((digest, Arc::clone(&examined)));
        cache::learn(self.session.manifest_cache(), key, &examined);
        Ok(examined)
    }

    fn examine_text(
        &self,
        file: &File<'_>,
        Read { text, located, .. }: &Read,
        expected: &ExpectedReferences,
    ) -> Result<Examined, Error> {
        let project = &self.session.project;
        let decide = |place: &ImagePlace| {
            let image = place.managed()?;
            expected.of(file.registry, image).cloned()
        };
        let path = Path::new(file.name);
        let rewritten =
            yaml::rewrite(path, text, located, file.may_share, &decide).map_err(Error::of_all)?;
        let is_ours = |place: &ImagePlace| place.left_alone.is_some() || place.image.is_some();
        let mentions = unmanaged_references(project, expected, (path, text), located, &is_ours);
        let whole = mentions.iter().filter(|mention| mention.is_whole);
        let places = located.places.iter();
        let named = places
            .filter_map(|place| self.names(place).map(str::to_owned))
            .chain(whole.map(|mention| mention.image.clone()))
            .collect();
        let (stale, in_prose): (Vec<_>, Vec<_>) = mentions
            .into_iter()
            .partition(|mention| mention.is_whole && mention.warning.is_none());
        let mut warnings = warnings::of(project, expected, located, &rewritten);
        let in_prose = in_prose.into_iter();
        warnings.extend(in_prose.filter_map(|mention| mention.stale.or(mention.warning)));
        Ok(Examined {
            file: file.name.to_owned(),
            text: rewritten
                .text
                .as_ref()
                .map_or_else(String::new, |_| text.clone()),
            named,
            skipped: self.skipped(text, located),
            stale: stale
                .into_iter()
                .filter_map(|mention| mention.stale)
                .collect(),
            warnings,
            objects: objects(located),
            places: located.configured.clone(),
            rewritten,
        })
    }

    /// The image of the project at a place, even if an expression fills in its tag.
    fn names<'p>(&'p self, place: &'p ImagePlace) -> Option<&'p str> {
        place.managed().or_else(|| {
            let is_filled_in = place.left_alone == Some(LeftAlone::Template);
            let repository = is_filled_in.then(|| place.fixed_repository())??;
            self.session.project.image_matcher.image(&repository, None)
        })
    }

    /// Whether a place names a repository of the project. The repository may also contain images that are not of the
    /// project.
    fn is_ours(&self, place: &ImagePlace) -> bool {
        let image_matcher = &self.session.project.image_matcher;
        let reference = place.reference();
        reference.is_some_and(|reference| image_matcher.has(&reference.repository))
    }

    fn skipped(&self, text: &str, located: &Located) -> Vec<Skipped> {
        let template = located.not_yaml.iter().map(|place| Skipped {
            place: place.clone(),
            path: "all but its marks".to_owned(),
            value: line(text, place).to_owned(),
            why: "it is no YAML before something renders it",
        });
        let places = located.places.iter().filter_map(|place| {
            let why = match place.left_alone {
                Some(LeftAlone::Template) => "something else fills it in",
                Some(LeftAlone::Ignored) => "its mark says so",
                None if place.image.is_some() => return None,
                None if self.is_ours(place) => "its tag is that of no image of this project",
                None => "it is no image of this project",
            };
            Some(Skipped {
                place: place.place.clone(),
                path: place.path.clone(),
                value: place.written(),
                why,
            })
        });
        template.chain(places).collect()
    }
}

/// The line of a place, without white space around it.
fn line<'t>(text: &'t str, place: &Place) -> &'t str {
    let line = text.lines().nth(place.line.saturating_sub(1));
    line.unwrap_or_default().trim()
}

/// Rewrites the manifests in their present state, together with the file `beside` (the pins). Returns whether any file
/// was written.
pub(crate) fn rewrite(
    manifests: &Manifests<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
    expected: &ExpectedReferences,
    beside: Option<Replacement>,
) -> Result<bool, Error> {
    let session = manifests.session;
    // A `pin` beside this run has written before, or waits.
    let _files = session.alone_with_files()?;
    let examined = manifests.examine(expected)?;
    let changed = write(session, &examined, beside)?;
    warn(session, prepared, scope, &examined);
    Ok(changed)
}

/// Reports the places that are left alone.
pub(super) fn say_skipped(session: &Session<'_>, examined: &[Arc<Examined>]) {
    for skipped in examined.iter().flat_map(|file| &file.skipped) {
        session.events.note(Note::Manifest(ManifestNote::LeftAlone {
            place: &skipped.place,
            path: &skipped.path,
            why: skipped.why,
            value: &skipped.value,
        }));
    }
}

/// The new contents of the manifests that change.
pub(crate) fn replacements(session: &Session<'_>, examined: &[Arc<Examined>]) -> Vec<Replacement> {
    let replacement = |examined: &Arc<Examined>| {
        Some(Replacement {
            path: session.project.root.join(&examined.file),
            old: Some(Digest::of(examined.text.as_bytes())),
            bytes: examined.rewritten.text.clone()?.into_bytes(),
        })
    };
    examined.iter().filter_map(replacement).collect()
}

/// Writes the changed manifests and the file `beside` (the pins), all or none. Reports each change as an event. Returns
/// whether any file was written.
pub(crate) fn write(
    session: &Session<'_>,
    examined: &[Arc<Examined>],
    beside: Option<Replacement>,
) -> Result<bool, Error> {
    let changed = || {
        let texts = examined.iter();
        texts.filter_map(|examined| Some((examined, examined.rewritten.text.as_ref()?)))
    };
    let pins = beside.is_some();
    let mut files = replacements(session, examined);
    files.extend(beside);
    session.replace_together(&files)?;
    for change in changed().flat_map(|(examined, _)| &examined.rewritten.changes) {
        session.events.note(Note::Manifest(ManifestNote::Rewritten {
            place: &change.place,
            path: &change.path,
            new: &change.new,
            also: &change.reaches,
        }));
    }
    if pins {
        session
            .events
            .note(Note::Manifest(ManifestNote::PinsWritten));
    }
    Ok(!files.is_empty())
}

/// Warns of oddities in the manifests, of references that stay out of date, and of images that no manifest names.
pub(crate) fn warn(
    session: &Session<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
    examined: &[Arc<Examined>],
) {
    warn_of(session, examined);
    for defect in warnings::unused(session, prepared, scope, examined) {
        session.events.warn(&defect);
    }
}

/// Warns of oddities and of references that stay out of date, for each manifest in the order of its text.
pub(super) fn warn_of(session: &Session<'_>, examined: &[Arc<Examined>]) {
    for file in examined {
        let warnings = file.warnings.iter().chain(&file.stale);
        let mut warnings: Vec<&Defect> = warnings.chain(&file.rewritten.pending).collect();
        warnings.sort_by_key(|warning| (warning.place.line, warning.place.column));
        for warning in warnings {
            session.events.warn(warning);
        }
    }
}

/// Refuses manifests if none of them names an image of the project: this is always a mistake.
pub(super) fn refuse_nothing_named(
    session: &Session<'_>,
    scope: Scope<'_>,
    examined: &[Arc<Examined>],
) -> Result<(), Error> {
    let Some(defect) = warnings::nothing_named(session, scope, examined) else {
        return Ok(());
    };
    warn_of(session, examined);
    Err(defect.into())
}

/// The references of the project's images in the manifests, by image.
pub(crate) fn references(named: Vec<Named>) -> BTreeMap<String, Vec<Reference>> {
    let mut references: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for named in named {
        references
            .entry(named.image)
            .or_default()
            .push(named.reference);
    }
    references
}

/// The text of a manifest.
fn read(session: &Session<'_>, file: &str) -> Result<String, Failure> {
    let bytes = fs_err::read(session.project.root.join(file)).map_err(Error::from)?;
    let hint = "save it as UTF-8, or let no glob of `[manifests]` match it";
    let text = utf8::decode(Path::new(file), &bytes);
    match text {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let defect = error.defect(Code::E011).hint(hint);
            Err(Failure::NoYaml(defect.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operations::{
        manifests::Digests,
        resolution::prepare,
        testing::{Project as TestProject, Recorder},
        workspace::{LockPolicy, Services},
    };
    use crate::yaml::parses;

    const MANIFEST: &str = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nmetadata: {name: a}\n\
                            spec:\n  image: IMAGE\n";

    /// Runs `work` on the manifests of a project. One of them names `job` by the reference `image`.
    fn with_manifest(
        image: &str,
        work: impl FnOnce(&TestProject, &Manifests<'_>, &ExpectedReferences),
    ) {
        let project = TestProject::with_manifests(&[("a.yml", "")]);
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let prepared = prepare(&session, &services).unwrap();
        let registry = session.registry(None).unwrap();
        let current = prepared.plan.stages["job"].reference(registry).to_string();
        let image = image.replace("CURRENT", &current);
        project.write("a.yml", &MANIFEST.replace("IMAGE", &image));
        // A file that was written within the last clock tick is not cached.
        std::thread::sleep(Duration::from_millis(50));
        let targets = ["base".to_owned(), "job".to_owned()];
        let scope = Scope {
            registry: None,
            images: &targets,
        };
        let expected = ExpectedReferences::of_plan(&session, &prepared, scope, Digests::Assumed);
        work(&project, &Manifests::of(&session, None).unwrap(), &expected);
    }

    #[test]
    fn a_manifest_that_is_current_is_parsed_once_a_run() {
        for comment in ["current", "sparkpack: ignore", "sparkpack: job"] {
            with_manifest(
                &format!("CURRENT # {comment}"),
                |project, manifests, expected| {
                    let text = project.read("a.yml");
                    manifests.check().unwrap();
                    for _ in 0..2 {
                        let examined = manifests.examine(expected).unwrap();
                        assert_eq!(examined.len(), 1);
                        assert!(examined[0].rewritten.text.is_none());
                    }
                    manifests.named().unwrap();
                    assert_eq!(parses::of(&text), 1, "{comment}");
                },
            );
        }
    }

    #[test]
    fn a_manifest_that_is_rewritten_is_parsed_twice_a_run() {
        for comment in ["\n# without", " # sparkpack: job\n# with"] {
            let image = format!("registry.example/small/job:parsed{comment}");
            with_manifest(&image, |project, manifests, expected| {
                let old = project.read("a.yml");
                manifests.check().unwrap();
                let mut new = String::new();
                for _ in 0..2 {
                    let examined = manifests.examine(expected).unwrap();
                    new.clone_from(examined[0].rewritten.text.as_ref().unwrap());
                }
                assert_eq!(parses::of(&old), 2, "before, and to prove the splice");
                assert_eq!(parses::of(&new), 1, "beside the old one");
            });
        }
    }

    #[test]
    fn a_manifest_that_changes_during_the_run_is_seen_as_it_is() {
        with_manifest("CURRENT", |project, manifests, expected| {
            manifests.check().unwrap();
            manifests.examine(expected).unwrap();
            project.write(
                "a.yml",
                &MANIFEST.replace("IMAGE", "registry.example/small/job:old"),
            );
            let examined = manifests.examine(expected).unwrap();
            assert!(examined[0].rewritten.text.is_some());
            assert!(examined[0].text.contains("job:old"));
            project.write("a.yml", "a: [");
            let error = manifests.examine(expected).err().unwrap();
            assert_eq!(error.code(), Code::E060);
        });
    }

    #[test]
    fn a_manifest_that_is_written_again_as_it_was_is_not_parsed_again() {
        with_manifest("CURRENT # again", |project, manifests, expected| {
            manifests.examine(expected).unwrap();
            let text = project.read("a.yml");
            project.write("a.yml", &text);
            manifests.examine(expected).unwrap();
            assert_eq!(parses::of(&text), 1);
        });
    }

    #[test]
    fn a_manifest_that_is_gone_or_no_text_is_told() {
        with_manifest("CURRENT", |project, manifests, _| {
            fs_err::write(project.root().join("a.yml"), b"a: \xff").unwrap();
            let error = manifests.check().unwrap_err();
            assert_eq!(error.code(), Code::E011);
            fs_err::remove_file(project.root().join("a.yml")).unwrap();
            assert_eq!(manifests.check().unwrap_err().code(), Code::E610);
        });
    }
}
