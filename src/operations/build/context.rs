//! The build context of a stage. It contains only inputs that the stage's record lists: nothing else reaches the
//! builder.

use std::{collections::BTreeSet, convert::Infallible};

use super::{inside::Inside, run::Run};
use crate::{
    adapters::{builder::Features, cache::CacheKind, store},
    code::Code,
    error::{Error, ImageProblem, OnlineWork},
    image::{Digest, ImageInfo, LABEL_FINGERPRINT, Platform, Reference, Repository},
    operations::{
        dist::Packer,
        events::{Progress, Step, Transfer, transferred},
    },
    plan::{PlatformStage, Record, source_digest},
    project::{
        self, Image, Kind, OperatorOrigin,
        dockerfile::{
            ContextSource, Dockerfile,
            isolate::{CONTEXT_FOLDER, SENT_DOCKERFILE},
        },
        exclusions::{self, LeftOut},
        fit,
        inputs::{DockerfileInputs, UsedImage},
        lock::LockedImage,
        place::{Defect, Place, nearest},
        source::{SingleFile, Source, Unpack},
        tree::Entry,
    },
};

/// What is sent to the builder.
pub(crate) struct BuildContext {
    pub(crate) entries: Vec<Entry>,
    pub(crate) folders: Vec<String>,
    pub(crate) dockerfile: String,
    /// The images that the Dockerfile names, as they are written there.
    pub(crate) images: BTreeSet<String>,
    pub(crate) target: Option<String>,
    /// Whether the image stands on one from elsewhere whose programs are for its platform.
    pub(crate) stands_on_checked: bool,
}

/// Writes contexts.
pub(crate) struct ContextWriter<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) packer: &'a Packer<'a>,
}

impl ContextWriter<'_> {
    /// The context of `stage`. Pulls the external images and imports the sources that the Dockerfile uses and the
    /// daemon lacks.
    pub(crate) fn of(
        &self,
        stage: &PlatformStage,
        inputs: &DockerfileInputs,
        features: Features,
        progress: &mut dyn Progress,
    ) -> Result<BuildContext, Error> {
        let mut entries = inputs.context.clone();
        let mut folders = Vec::new();
        let mut in_source = Vec::new();
        for wanted in &inputs.context_sources {
            let fetched = self.fetch(&wanted.source, progress)?;
            if wanted.folder.is_empty() && !inputs.has_triggers {
                let chosen = copied(inputs, &fetched);
                in_source = fetched.into_iter().map(|entry| entry.path).collect();
                entries.extend(chosen);
                continue;
            }
            let prefixed = fetched
                .into_iter()
                .map(|entry| entry.prefixed(wanted.folder));
            entries.extend(prefixed);
        }
        if inputs.built_in.is_some() {
            folders.push("jars".to_owned());
        }
        self.packer.make_readable(stage, progress)?;
        if let Some(packed) = self.packer.pack_stage(stage, progress)? {
            let (folder, site_packages) = match stage.image.context {
                project::Context::Package if inputs.built_in.is_none() => ("", "site-packages"),
                _ => ("dist", "dist/site-packages"),
            };
            entries.extend(packed.entries(folder));
            folders.push(site_packages.to_owned());
        } else if stage.inputs.requirements.is_some() {
            entries.extend(self.packer.site_packages(stage, progress)?);
            folders.extend(
                inputs
                    .resolution
                    .names("site-packages")
                    .then(|| "site-packages".to_owned()),
            );
        }
        if inputs.built_in.is_none() {
            self.refuse_unmatched(&stage.image, inputs, (&entries, &folders), &in_source)?;
        } else {
            self.refuse_wrong_operator_path(&stage.image, progress)?;
        }
        let edits = dockerfile_edits(inputs, features)?;
        let stands_on_checked = self.refuse_foreign(stage, inputs, progress)?;
        let (dockerfile, images) = self.dockerfile(inputs, &edits, &stage.platform, progress)?;
        if edits.is_isolated {
            entries = isolated(entries, &mut folders, inputs.has_triggers);
        }
        entries.push(Entry::in_memory(SENT_DOCKERFILE, dockerfile, false));
        Ok(BuildContext {
            entries,
            folders,
            dockerfile: SENT_DOCKERFILE.to_owned(),
            images,
            target: edits.target,
            stands_on_checked,
        })
    }

    /// Refuses a `COPY` that matches nothing. The builder would refuse it too, but cannot say why: it does not know
    /// which files are no inputs.
    fn refuse_unmatched(
        &self,
        image: &Image,
        inputs: &DockerfileInputs,
        (entries, folders): (&[Entry], &[String]),
        in_source: &[String],
    ) -> Result<(), Error> {
        let paths: Vec<&str> = entries
            .iter()
            .map(|entry| entry.path.as_str())
            .chain(folders.iter().map(String::as_str))
            .collect();
        let mut unmatched = inputs.resolution.unmatched(&paths);
        let Some(source) = unmatched.find(|source| !inputs.dockerfile.is_trigger(source.line))
        else {
            return Ok(());
        };
        let text = source.text.trim_start_matches(['.', '/']);
        let (reason, hint) = match &image.context {
            project::Context::Folder(folder) => self.why_unmatched(image, folder, source)?,
            project::Context::Source(name) => (
                format!(" in the source `{name}`"),
                what_is_there(text, in_source),
            ),
            project::Context::Package => (
                format!(" in the package of `{}`", image.name),
                "it has `main.py`, `jobs.zip`, `libs.zip`, `site-packages/`, `jobs/` where the code has data files, and those of `files`, without `dist/` before them".to_owned(),
            ),
        };
        let place = Place::of_line(inputs.dockerfile.file(), source.line);
        let message = format!("`{}` matches nothing{reason}", source.text);
        Err(Defect::new(Code::E096, place, message).hint(hint).into())
    }

    /// Why a source matches nothing in a folder of the project, and what to do about it.
    fn why_unmatched(
        &self,
        image: &Image,
        folder: &str,
        source: &ContextSource,
    ) -> Result<(String, String), Error> {
        let project = &self.run.session.project;
        let text = source.text.trim_start_matches(['.', '/']);
        let is_there = project.root.join(folder).join(text).exists();
        if let Some(manifest) = manifest(project, &image.context, source) {
            return Ok((
                format!(
                    ": `{manifest}` is a manifest (`[manifests]`), and those are never context: they hold tags"
                ),
                "take the file out of the glob of `[manifests]`, or do not copy it".to_owned(),
            ));
        }
        let rule = if is_there {
            exclusions::why_left_out(project, image, folder, text)?
        } else {
            None
        };
        if let Some(rule) = rule.filter(|rule| !matches!(rule, LeftOut::Output)) {
            return Ok((
                format!(": what is there is left out by {rule}"),
                "correct the rule, or do not copy it; `sparkpack plan -vv` lists what is left out"
                    .to_owned(),
            ));
        }
        let reason = if text == "dist" || text.starts_with("dist/") {
            ": `dist` is what sparkpack makes: only an image with `src` has it, and nothing else in it is an input"
        } else if is_there {
            ": what is there is no input: an empty folder, or left out by .dockerignore or the built-in rules"
        } else {
            ": there is no such file in its context"
        };
        let hint = "correct the path, which is below the image's `context`";
        Ok((reason.to_owned(), hint.to_owned()))
    }

    /// Refuses a path of the operator's binary that its source does not have. The builder would refuse it too, in a line
    /// of a Dockerfile that is not the user's.
    fn refuse_wrong_operator_path(
        &self,
        image: &Image,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let project = &self.run.session.project;
        let Some(operator) = operator_of(project, image) else {
            return Ok(());
        };
        let OperatorOrigin::Source(name) = &operator.origin else {
            return Ok(());
        };
        let path = operator.path_in(&project.sources);
        let wanted = path.trim_start_matches('/');
        let there: Vec<String> = self
            .fetch(name, progress)?
            .into_iter()
            .map(|entry| entry.path)
            .collect();
        if there.iter().any(|path| path == wanted) {
            return Ok(());
        }
        let message =
            format!("`operator.path` is `{path}`, and the source `{name}` has no such file");
        let defect = Defect::new(Code::E096, operator.place.clone(), message);
        Err(defect.hint(what_is_there(wanted, &there)).into())
    }

    /// The Dockerfile that is sent, and the images that it names: each is replaced by a name under which the daemon has exactly
    /// the locked or planned image.
    fn dockerfile(
        &self,
        inputs: &DockerfileInputs,
        edits: &DockerfileEdits,
        platform: &Platform,
        progress: &mut dyn Progress,
    ) -> Result<(Vec<u8>, BTreeSet<String>), Error> {
        let mut replacements = edits.replacements.clone();
        let mut images = BTreeSet::new();
        for used in &inputs.image_uses {
            let name = match &used.image {
                UsedImage::Scratch => continue,
                UsedImage::Stage(name) => self.parent(name, platform).to_string(),
                UsedImage::External(text) => self.external(text, platform, progress)?,
                UsedImage::Source(name) => {
                    let file = inputs.single_files.get(name);
                    self.source_image(name, file, platform, progress)?
                }
            };
            images.insert(name.clone());
            replacements.push((used.span.clone(), name));
        }
        Ok((inputs.dockerfile.substitute(&replacements), images))
    }

    /// The reference of a parent stage on `platform`; a plan always has the parent on the platforms of its children.
    fn parent(&self, name: &str, platform: &Platform) -> &Reference {
        let stage = &self.run.prepared.plan.stages[name];
        match stage.on(platform) {
            Some(same) => same.reference(self.run.registry),
            None => stage.reference(self.run.registry),
        }
    }

    /// Refuses an external image that a stage for `platform` cannot stand on. Returns whether there is one, with a
    /// program for that platform.
    fn refuse_foreign(
        &self,
        stage: &PlatformStage,
        inputs: &DockerfileInputs,
        progress: &mut dyn Progress,
    ) -> Result<bool, Error> {
        let platform = &stage.platform;
        let Some(text) = &inputs.external_base else {
            return Ok(false);
        };
        let name = self.external(text, platform, progress)?;
        let daemon = self.run.services.daemon()?;
        let Some(image) = daemon.inspect(&name)? else {
            return Err(Error::unexpected(text, ImageProblem::Gone));
        };
        let session = self.run.session;
        let inside = Inside { session, daemon };
        let has_program = inside.refuse_foreign(text, &image, platform)?;
        let images = session.project.images.values();
        for py in images.filter(|image| image.parent.as_ref() == Some(&stage.name)) {
            self.refuse_other_python(py, (&stage.image, inputs), &image)?;
        }
        Ok(has_program)
    }

    /// Refuses the image `py` of the built-in recipe on the built-in `base` if the Python that it gets from `there`, the
    /// root of `base` or an image on it, is another one. Images of other recipes may have a Python from elsewhere.
    pub(crate) fn refuse_other_python(
        &self,
        py: &Image,
        (base, inputs): (&Image, &DockerfileInputs),
        there: &ImageInfo,
    ) -> Result<(), Error> {
        let is_built_in = is_of_built_in(py, Kind::Py) && is_of_built_in(base, Kind::Base);
        let Some(root) = inputs.external_base.as_ref().filter(|_| is_built_in) else {
            return Ok(());
        };
        let (session, daemon) = (self.run.session, self.run.services.daemon()?);
        let python = Inside { session, daemon }.python(there)?;
        Ok(fit::refuse_other_python(
            &session.project,
            py,
            root,
            &python,
        )?)
    }

    /// The image that the lock names for an external one, if the daemon has it.
    pub(crate) fn locked_there(
        &self,
        text: &str,
        platform: &Platform,
    ) -> Result<Option<ImageInfo>, Error> {
        let daemon = self.run.services.daemon()?;
        Ok(match self.run.prepared.lock.images.get(text) {
            Some(LockedImage::LocalDaemon { local_id }) => {
                daemon.inspect(text)?.filter(|there| there.id == *local_id)
            }
            Some(LockedImage::Registry { digest, .. }) => match text.parse::<Reference>() {
                Ok(reference) => daemon
                    .inspect(&reference.repository.with_digest(digest).to_string())?
                    .filter(|there| there.platform == *platform),
                Err(_) => None,
            },
            None => None,
        })
    }

    /// The name of an external image for the builder. Pulls the image with the locked digest if the daemon does not
    /// have it.
    pub(super) fn external(
        &self,
        text: &str,
        platform: &Platform,
        progress: &mut dyn Progress,
    ) -> Result<String, Error> {
        let daemon = self.run.services.daemon()?;
        let unexpected = |problem: ImageProblem| Error::unexpected(&text, problem);
        match self.run.prepared.lock.images.get(text) {
            Some(LockedImage::LocalDaemon { local_id }) => match daemon.inspect(text)? {
                Some(info) if info.id == *local_id => Ok(text.to_owned()),
                found => Err(unexpected(ImageProblem::OtherInDaemon {
                    locked: local_id.clone(),
                    there: found.map(|info| info.id),
                })),
            },
            Some(LockedImage::Registry { digest, .. }) => {
                let reference: Reference = text
                    .parse()
                    .map_err(|error| unexpected(ImageProblem::CannotBePulled(error)))?;
                let pinned = reference.repository.with_digest(digest);
                let pull = format!("pull {pinned}");
                let services = self.run.services;
                services.moving(&pull, || self.pulled((text, &pinned), platform, progress))?;
                Ok(pinned.to_string())
            }
            None => Err(unexpected(ImageProblem::NotLocked)),
        }
    }

    /// Makes sure that the daemon has the image `pinned`, which is called `text`.
    fn pulled(
        &self,
        (text, pinned): (&str, &Reference),
        platform: &Platform,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let (services, daemon) = (self.run.services, self.run.services.daemon()?);
        // Of an index the daemon has the image of one platform only.
        let there = daemon.inspect(&pinned.to_string())?;
        if there.is_some_and(|image| image.platform == *platform) {
            return Ok(());
        }
        services.refuse_offline(|| OnlineWork::Pull(pinned.clone()))?;
        progress.step(Step::PullImage(text));
        let registry_auth = services.registry_auth(&pinned.repository)?;
        daemon.pull(pinned, platform, &registry_auth, &mut |event| {
            transferred(progress, Transfer::Pulled, &event);
        })?;
        Ok(())
    }

    /// The name of the image that holds a source's files. The source is imported once, and the image is used by every
    /// build.
    fn source_image(
        &self,
        name: &str,
        file: Option<&SingleFile>,
        platform: &Platform,
        progress: &mut dyn Progress,
    ) -> Result<String, Error> {
        let daemon = self.run.services.daemon()?;
        let (source, digest) = self.source(name)?;
        let key = key_of_source_image(source.unpack, &digest, platform, file);
        let repository = Repository {
            registry: "sparkpack.source".to_owned(),
            path: source_path(name),
        };
        let reference = repository.with_tag(key.short(16));
        let is_there = daemon
            .inspect(&reference.to_string())?
            .is_some_and(|info| info.fingerprint() == Some(key.hex()));
        if !is_there {
            let entries = self.fetch(name, progress)?;
            progress.step(Step::ImportSource(name));
            let labels = std::collections::BTreeMap::from([(
                LABEL_FINGERPRINT.to_owned(),
                key.hex().to_owned(),
            )]);
            daemon.import(&entries, &labels, platform, &reference)?;
        }
        Ok(reference.to_string())
    }

    fn source(&self, name: &str) -> Result<(&Source, Digest), Error> {
        let missing = || Error::unexpected(&format!("source:{name}"), ImageProblem::NoChecksum);
        let source = self
            .run
            .session
            .project
            .sources
            .get(name)
            .ok_or_else(missing)?;
        let digest = source_digest(
            source,
            &self.run.prepared.lock,
            &self.run.prepared.local_sources,
        )
        .ok_or_else(missing)?;
        Ok((source, digest))
    }

    pub(super) fn fetch(
        &self,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Entry>, Error> {
        let (source, digest) = self.source(name)?;
        progress.step(Step::FetchSource(name));
        Ok(self
            .run
            .services
            .fetcher()
            .fetch(source, &digest, &mut |done, total| {
                progress.moved(Transfer::Fetched, done, total);
            })?)
    }

    /// Writes a record that is too large for a label into the cache, under its digest.
    pub(crate) fn keep_record(&self, record: &Record) -> Result<Digest, Error> {
        let bytes = record.bytes();
        let digest = Digest::of(&bytes);
        store::replace(
            &self
                .run
                .session
                .cache
                .entry(CacheKind::Records, digest.hex()),
            &bytes,
        )?;
        Ok(digest)
    }
}

/// Where the operator's binary comes from, if `image` is made from the built-in Dockerfile of an operator.
pub(crate) fn operator_of<'p>(
    project: &'p project::Project,
    image: &Image,
) -> Option<&'p project::Operator> {
    let is_built_in = is_of_built_in(image, Kind::Operator);
    let chain = project.chain_of(image).filter(|_| is_built_in);
    chain.and_then(|chain| chain.operator.as_ref())
}

/// Whether an image of this kind is made from the built-in Dockerfile.
pub(crate) fn is_of_built_in(image: &Image, kind: Kind) -> bool {
    image.kind == kind && image.dockerfile.is_none()
}

/// The entries of a source that a Dockerfile may copy.
fn copied(inputs: &DockerfileInputs, fetched: &[Entry]) -> Vec<Entry> {
    let mut list = |_: &[&str], wanted: &dyn Fn(&str) -> bool| {
        let wanted = fetched.iter().filter(|entry| wanted(&entry.path));
        Ok::<_, Infallible>(wanted.cloned().collect())
    };
    match inputs.resolution.select(&mut list) {
        Ok(chosen) => chosen,
        Err(never) => match never {},
    }
}

/// The manifest that a `COPY` names, relative to the project.
fn manifest(
    project: &project::Project,
    context: &project::Context,
    source: &ContextSource,
) -> Option<String> {
    let project::Context::Folder(folder) = context else {
        return None;
    };
    let manifests = project.manifests.values().flatten();
    let mut files = manifests.flat_map(|glob| &glob.files);
    let is_named = |file: &&String| {
        let below = match &**folder {
            "." => Some(file.as_str()),
            folder => file
                .strip_prefix(folder)
                .and_then(|path| path.strip_prefix('/')),
        };
        below.is_some_and(|path| source.pattern.matches(path))
    };
    files.find(is_named).cloned()
}

/// A hint about the files of a source: the nearest one, or the first.
fn what_is_there(wanted: &str, paths: &[String]) -> String {
    const SHOWN: usize = 5;
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let same_name = paths.iter().find(|path| name(path) == name(wanted));
    let near = same_name
        .map(String::as_str)
        .or_else(|| nearest(wanted, paths.iter().map(String::as_str)));
    if let Some(near) = near {
        return format!("it has `{near}`");
    }
    let shown: Vec<String> = paths
        .iter()
        .take(SHOWN)
        .map(|path| format!("`{path}`"))
        .collect();
    let rest = paths.len().saturating_sub(SHOWN);
    match (shown.is_empty(), rest) {
        (true, _) => "it has no files".to_owned(),
        (false, 0) => format!("it has {}", shown.join(", ")),
        (false, rest) => format!("it has {} and {rest} more", shown.join(", ")),
    }
}

/// The fingerprint of an image that holds a source: a digest of everything that its content depends on.
fn key_of_source_image(
    unpack: Unpack,
    digest: &Digest,
    platform: &Platform,
    file: Option<&SingleFile>,
) -> Digest {
    let unpack = match unpack {
        Unpack::No => "as it is".to_owned(),
        Unpack::Archive { strip } => format!("archive {strip}"),
        Unpack::Spark => "spark".to_owned(),
    };
    let platform = platform.to_string();
    let mut fields = vec![unpack.as_str(), digest.as_str(), &platform];
    if let Some(file) = file {
        let executable = if file.executable { "executable" } else { "" };
        fields.extend([file.name.as_str(), executable]);
    }
    Digest::of_fields(fields)
}

/// How the Dockerfile that is sent differs from the one in the project, apart from the names of images.
pub(crate) struct DockerfileEdits {
    pub(crate) replacements: Vec<(std::ops::Range<usize>, String)>,
    pub(crate) target: Option<String>,
    /// Whether the context is in a subfolder, from which an additional stage copies it.
    pub(crate) is_isolated: bool,
}

/// The edits that a builder with these features needs.
pub(crate) fn dockerfile_edits(
    inputs: &DockerfileInputs,
    features: Features,
) -> Result<DockerfileEdits, Defect> {
    let mut replacements = inputs.resolution.chosen();
    if !features.skips_unneeded_stages {
        // The context lacks the files of stages that the target does not need, so a builder that builds them anyway
        // would fail.
        replacements.extend(inputs.resolution.without_unreached());
    }
    let is_isolated = Dockerfile::needs_isolation(&inputs.resolution);
    if is_isolated {
        replacements.extend(inputs.dockerfile.isolated(&inputs.resolution)?);
    }
    let target = inputs.target.as_deref().map(|target| {
        let dockerfile = &inputs.dockerfile;
        let (name, named) = dockerfile.named_target(&inputs.resolution, target);
        replacements.extend(named);
        name
    });
    Ok(DockerfileEdits {
        replacements,
        target,
        is_isolated,
    })
}

/// A source's name as a component of a repository's path.
fn source_path(name: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            character
        } else {
            '-'
        }
    };
    let path: String = name.to_lowercase().chars().map(plain).collect();
    path.trim_matches('-').to_owned()
}

/// Entries and folders, moved into a folder that holds the context and nothing else. They stay where they were, too, if
/// the image below has triggers: those are not rewritten.
fn isolated(entries: Vec<Entry>, folders: &mut Vec<String>, stay: bool) -> Vec<Entry> {
    let staying = if stay { entries.clone() } else { Vec::new() };
    let moved = folders
        .iter()
        .map(|folder| format!("{CONTEXT_FOLDER}/{folder}"));
    let moved: Vec<String> = moved.chain([CONTEXT_FOLDER.to_owned()]).collect();
    if !stay {
        folders.clear();
    }
    folders.extend(moved);
    let moved = entries.into_iter();
    let moved = moved.map(|entry| entry.prefixed(CONTEXT_FOLDER));
    moved.chain(staying).collect()
}
