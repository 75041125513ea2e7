//! The build context of a stage. It contains only inputs that the stage's record lists: nothing else reaches the
//! builder.

use super::run::Run;
use crate::{
    adapters::{builder::Features, cache::CacheKind, store},
    code::Code,
    error::{Error, ImageProblem, OnlineWork},
    image::{Digest, LABEL_FINGERPRINT, Platform, Reference, Repository},
    operations::{
        dist::Packer,
        events::{Progress, Step, Transfer, transferred},
    },
    plan::{PlatformStage, Record, source_digest},
    project::{
        self, Image,
        dockerfile::isolate::CONTEXT_FOLDER,
        inputs::{DockerfileInputs, UsedImage},
        lock::LockedImage,
        place::{Defect, Place},
        source::{SingleFile, Source, Unpack},
        tree::Entry,
    },
};

/// The Dockerfile's name in the context that is sent: a name that no file of a project has.
const DOCKERFILE: &str = ".sparkpack.Dockerfile";

/// What is sent to the builder.
pub(crate) struct BuildContext {
    pub(crate) entries: Vec<Entry>,
    pub(crate) folders: Vec<String>,
    pub(crate) dockerfile: String,
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
        for wanted in &inputs.context_sources {
            let fetched = self.fetch(&wanted.source, progress)?;
            entries.extend(
                fetched
                    .into_iter()
                    .map(|entry| entry.prefixed(wanted.folder)),
            );
        }
        if inputs.built_in.is_some() {
            folders.push("jars".to_owned());
        }
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
            self.refuse_unmatched(&stage.image, inputs, &entries, &folders)?;
        }
        let edits = dockerfile_edits(inputs, features);
        let dockerfile = self.dockerfile(inputs, &edits, &stage.platform, progress)?;
        if edits.is_isolated {
            let moved = entries
                .into_iter()
                .map(|entry| entry.prefixed(CONTEXT_FOLDER));
            entries = moved.collect();
            for folder in &mut folders {
                *folder = format!("{CONTEXT_FOLDER}/{folder}");
            }
            folders.push(CONTEXT_FOLDER.to_owned());
        }
        entries.push(Entry::in_memory(DOCKERFILE, dockerfile, false));
        Ok(BuildContext {
            entries,
            folders,
            dockerfile: DOCKERFILE.to_owned(),
        })
    }

    /// Refuses a `COPY` that matches nothing. The builder would refuse it too, but cannot say why: it does not know
    /// which files are no inputs.
    fn refuse_unmatched(
        &self,
        image: &Image,
        inputs: &DockerfileInputs,
        entries: &[Entry],
        folders: &[String],
    ) -> Result<(), Error> {
        let paths: Vec<&str> = entries
            .iter()
            .map(|entry| entry.path.as_str())
            .chain(folders.iter().map(String::as_str))
            .collect();
        let Some(source) = inputs.resolution.unmatched(&paths).next() else {
            return Ok(());
        };
        let text = source.text.trim_start_matches(['.', '/']);
        let root = match &image.context {
            project::Context::Folder(folder) => self.run.session.project.root.join(folder),
            project::Context::Source(_) => return Ok(()),
            project::Context::Package => {
                let message = format!(
                    "`{}` matches nothing in the package of `{}`",
                    source.text, image.name
                );
                let place = Place::of_line(inputs.dockerfile.file(), source.line);
                let hint = "it has `main.py`, `jobs.zip`, `libs.zip` and `site-packages/`, without `dist/` before them";
                return Err(Defect::new(Code::E096, place, message).hint(hint).into());
            }
        };
        let reason = if text == "dist" || text.starts_with("dist/") {
            "`dist` is what sparkpack makes: only an image with `src` has it, and nothing else in it is an input"
        } else if root.join(text).exists() {
            "what is there is no input: an empty folder, or left out by .dockerignore or the built-in rules"
        } else {
            "there is no such file in its context"
        };
        let place = Place::of_line(inputs.dockerfile.file(), source.line);
        let message = format!("`{}` matches nothing: {reason}", source.text);
        let hint = "correct the path, which is below the image's `context`";
        Err(Defect::new(Code::E096, place, message).hint(hint).into())
    }

    /// The Dockerfile that is sent: each image is replaced by a name under which the daemon has exactly the locked or
    /// planned image.
    fn dockerfile(
        &self,
        inputs: &DockerfileInputs,
        edits: &DockerfileEdits,
        platform: &Platform,
        progress: &mut dyn Progress,
    ) -> Result<Vec<u8>, Error> {
        let mut replacements = edits.replacements.clone();
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
            replacements.push((used.span.clone(), name));
        }
        Ok(inputs.dockerfile.substitute(&replacements))
    }

    /// The reference of a parent stage on `platform`; a plan always has the parent on the platforms of its children.
    fn parent(&self, name: &str, platform: &Platform) -> &Reference {
        let stage = &self.run.prepared.plan.stages[name];
        match stage.on(platform) {
            Some(same) => same.reference(self.run.registry),
            None => stage.reference(self.run.registry),
        }
    }

    /// The name of an external image for the builder. Pulls the image with the locked digest if the daemon does not
    /// have it.
    fn external(
        &self,
        text: &str,
        platform: &Platform,
        progress: &mut dyn Progress,
    ) -> Result<String, Error> {
        let daemon = self.run.services.daemon()?;
        let unexpected = |problem: ImageProblem| Error::UnexpectedImage {
            reference: text.to_owned(),
            problem,
        };
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
                if daemon.inspect(&pinned.to_string())?.is_none() {
                    self.run
                        .services
                        .refuse_offline(|| OnlineWork::Pull(pinned.clone()))?;
                    progress.step(Step::PullImage(text));
                    let registry_auth = self.run.services.registry_auth(&pinned.repository)?;
                    daemon.pull(&pinned, platform, &registry_auth, &mut |event| {
                        transferred(progress, Transfer::Pulled, &event);
                    })?;
                }
                Ok(pinned.to_string())
            }
            None => Err(unexpected(ImageProblem::NotLocked)),
        }
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
        let missing = || Error::UnexpectedImage {
            reference: format!("source:{name}"),
            problem: ImageProblem::NoChecksum,
        };
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

    fn fetch(&self, name: &str, progress: &mut dyn Progress) -> Result<Vec<Entry>, Error> {
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
    /// Whether the context is in a subfolder, from which an additional stage copies it.
    pub(crate) is_isolated: bool,
}

/// The edits that a builder with these features needs.
pub(crate) fn dockerfile_edits(inputs: &DockerfileInputs, features: Features) -> DockerfileEdits {
    let mut replacements = Vec::new();
    if !features.skips_unneeded_stages {
        // The context lacks the files of stages that the target does not need, so a builder that builds them anyway
        // would fail.
        replacements.extend(inputs.resolution.without_unreached());
    }
    let isolated = Some(&inputs.resolution)
        .filter(|resolution| resolution.may_copy(DOCKERFILE))
        .and_then(|resolution| {
            inputs
                .dockerfile
                .isolated(resolution, inputs.target.as_deref())
        });
    let is_isolated = isolated.is_some();
    replacements.extend(isolated.into_iter().flatten());
    DockerfileEdits {
        replacements,
        is_isolated,
    }
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
