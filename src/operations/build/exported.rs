//! The images of a daemon as other places hold them: with compressed layers, each of which is exported and compressed
//! once.
//!
//! The cache has the documents by the image ID, and the layers beside all others by their digests. Equal images have equal
//! documents and layers, whatever machine exports them.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::run::Run;
use crate::{
    adapters::{
        cache::CacheKind,
        destination::{ImageDaemon, StoredImage, StoredLayer},
        digest_cache, layers, store,
    },
    error::{Error, ImageProblem},
    image::{
        AssembledImage, Compression, Descriptor, Digest, ImageConfig, ImageError, ImageManifest,
        Layer, LayerFile, Platform, as_oci, oci_image,
    },
    operations::{
        dist::BuiltImage,
        events::{Progress, Step},
    },
    package::{archive::ArchiveError, layer},
    plan::{PlatformStage, Recipe},
    project::lock::LockedImage,
};

/// An image of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaemonImage {
    /// How it is called.
    pub(crate) name: String,
    /// Its image ID.
    pub(crate) id: Digest,
    /// Its platform, or which of its platforms is meant.
    pub(crate) platform: Platform,
}

/// An image that was taken out of a daemon.
pub(crate) struct ExportedImage {
    pub(crate) image: AssembledImage,
    /// All of its layers. A file may be missing in the cache, or damaged: whoever reads it finds out.
    pub(crate) layers: Vec<LayerFile>,
}

/// What the cache knows of an image ID.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KnownExport {
    manifest: Digest,
}

impl From<&BuiltImage> for DaemonImage {
    fn from(made: &BuiltImage) -> Self {
        Self {
            name: made.reference.to_string(),
            id: made.info.id.clone(),
            platform: made.info.platform.clone(),
        }
    }
}

impl DaemonImage {
    fn unexpected(&self, problem: ImageProblem) -> Error {
        Error::unexpected(&self.name, problem)
    }

    fn refused(&self, error: &ImageError) -> Error {
        self.unexpected(ImageProblem::NotExported(error.to_string()))
    }
}

impl Run<'_> {
    /// The image with those of its layers whose files `is_needed`. It is exported if the cache does not have all that, unless
    /// its layers lie in files or in a registry.
    ///
    /// # Errors
    /// No daemon has it, or it does not come out.
    pub(crate) fn exported(
        &self,
        from: &DaemonImage,
        is_needed: &dyn Fn(&Descriptor) -> bool,
        progress: &mut dyn Progress,
    ) -> Result<ExportedImage, Error> {
        if self.services.builders().is_some()
            && let Some(stored) = self.services.daemon()?.stored(&from.id)?
        {
            return self.as_stored(stored, is_needed, progress);
        }
        self.services.moving(&format!("export {}", from.id), || {
            let known = self.known_export(from).filter(|known| {
                let mut layers = known.layers.iter();
                layers.all(|file| !is_needed(&file.layer.descriptor) || is_whole(file))
            });
            match known {
                Some(known) => Ok(known),
                None => self.export(from, progress),
            }
        })
    }

    /// An image whose layers lie in files or in a registry, from which those that are needed are fetched.
    fn as_stored(
        &self,
        StoredImage { image, layers }: StoredImage,
        is_needed: &dyn Fn(&Descriptor) -> bool,
        progress: &mut dyn Progress,
    ) -> Result<ExportedImage, Error> {
        let layers = layers.into_iter().map(|layer| match layer {
            StoredLayer::File(file) => Ok(file),
            StoredLayer::Repository(layer, repository) => {
                if is_needed(&layer.descriptor) {
                    self.layer(&repository, &layer.descriptor, progress)?;
                }
                Ok(self.layer_file(&layer.descriptor, &layer.diff_id))
            }
        });
        let layers = layers.collect::<Result<_, Error>>()?;
        Ok(ExportedImage { image, layers })
    }

    /// Exports again what is missing or damaged of the files of an export.
    ///
    /// # Errors
    /// Those of [`exported`](Self::exported).
    pub(crate) fn mend_export(
        &self,
        from: &DaemonImage,
        files: &[LayerFile],
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        for LayerFile { file, layer, .. } in files {
            self.remove_damaged(file, &layer.descriptor.digest)?;
        }
        self.exported(from, &|_| true, progress).map(drop)
    }

    /// Removes a file of the cache that does not have this digest, unless another thread has replaced it by a whole one.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_damaged(&self, file: &Path, digest: &Digest) -> Result<(), Error> {
        let removed = self.services.moving("mend", || {
            let there = fs_err::File::open(file).and_then(|file| Digest::of_reader(&mut &file));
            match there {
                Ok(there) if there == *digest => Ok(()),
                _ => remove_if_there(file),
            }
        });
        Ok(removed?)
    }

    /// Refuses stages that stand on images which neither the cache nor a daemon has, before anything is sent.
    ///
    /// # Errors
    /// All such images together.
    pub(crate) fn require_exports<'s>(
        &self,
        stages: impl IntoIterator<Item = &'s PlatformStage>,
    ) -> Result<(), Error> {
        let mut images: Vec<DaemonImage> = Vec::new();
        for stage in stages {
            let below = self.image_below(stage);
            images.extend(below.filter(|image| !images.contains(image)));
        }
        Error::collect(images.iter().map(|image| match self.known_export(image) {
            Some(_) => Ok(()),
            None => self.daemon_with(image).map(drop),
        }))
        .map(drop)
    }

    /// Whether the files of a stage are put on an image that is in a daemon and not in the cache.
    pub(crate) fn lacks_export(&self, stage: &PlatformStage) -> bool {
        let below = self.image_below(stage);
        below.is_some_and(|image| self.known_export(&image).is_none())
    }

    /// The image that the files of a stage are put on, if the lock has it by its image ID.
    fn image_below(&self, stage: &PlatformStage) -> Option<DaemonImage> {
        match &stage.inputs.recipe {
            recipe @ Recipe::Files(_) => {
                self.locked_in_daemon(recipe.external_base()?, &stage.platform)
            }
            Recipe::Dockerfile(_) => None,
        }
    }

    /// The daemon's image that the lock has for one from elsewhere; `None` if a registry has it.
    pub(super) fn locked_in_daemon(&self, text: &str, platform: &Platform) -> Option<DaemonImage> {
        match self.prepared.lock.images.get(text) {
            Some(LockedImage::LocalDaemon { local_id }) => Some(DaemonImage {
                name: text.to_owned(),
                id: local_id.clone(),
                platform: platform.clone(),
            }),
            _ => None,
        }
    }

    /// What the cache knows of an image, whether or not the files of its layers are there.
    fn known_export(&self, from: &DaemonImage) -> Option<ExportedImage> {
        let cache = &self.session.cache;
        let bytes = digest_cache::own_bytes(&cache.entry(CacheKind::Exports, from.key().hex()))?;
        let known: KnownExport = serde_json::from_slice(&bytes).ok()?;
        let documents = self.with_config(self.cached(&known.manifest)?)?;
        let image = as_oci(&documents).ok()?;
        let manifest = ImageManifest::parse(&image.manifest).ok()?;
        let layers = manifest.layers.iter().zip(&image.info.diff_ids);
        let layers = layers.map(|(descriptor, diff_id)| self.layer_file(descriptor, diff_id));
        let layers = layers.collect();
        Some(ExportedImage { image, layers })
    }

    /// The daemon, if it has the image.
    fn daemon_with(&self, from: &DaemonImage) -> Result<&dyn ImageDaemon, Error> {
        let locked = from.id.clone();
        let daemon = match self.services.daemon() {
            Err(Error::Docker(why)) if why.is_absence() => {
                let why = why.to_string();
                return Err(from.unexpected(ImageProblem::OnlyInDaemon { locked, why }));
            }
            daemon => daemon?,
        };
        let Some(there) = daemon.inspect(from.id.as_str())? else {
            let there = daemon.inspect(&from.name)?.map(|info| info.id);
            return Err(from.unexpected(ImageProblem::OtherInDaemon { locked, there }));
        };
        // An ID may be that of an index, of which a daemon has the image for its own platform.
        Error::check_platform(&from.name, &from.platform, &there.platform)?;
        Ok(daemon)
    }

    /// Takes an image out of the daemon; the cache has all of it afterwards.
    fn export(
        &self,
        from: &DaemonImage,
        progress: &mut dyn Progress,
    ) -> Result<ExportedImage, Error> {
        let daemon = self.daemon_with(from)?;
        progress.step(Step::Export);
        let folder = self.session.cache.unfinished(CacheKind::Blobs)?;
        let is_wanted =
            |stored: &Descriptor, diff_id: &Digest| self.known_layer(stored, diff_id).is_none();
        let exported = daemon.export(from.id.as_str(), &is_wanted, folder.path())?;
        let exported = exported.ok_or_else(|| from.unexpected(ImageProblem::NotWhole))?;
        let documents = &exported.documents;
        let manifest = ImageManifest::parse(&documents.manifest);
        let manifest = manifest.map_err(|error| from.refused(&error))?;
        let config = ImageConfig::parse(&documents.config);
        let config = config.map_err(|error| from.refused(&error))?;
        let layers = manifest.layers.iter().zip(&config.diff_ids);
        let layers = layers.map(|(stored, diff_id)| {
            if let Some(known) = self.known_layer(stored, diff_id) {
                return Ok(known);
            }
            let mut files = exported.layers.iter();
            let file = files.find(|file| file.layer.diff_id == *diff_id);
            let file = file.ok_or_else(|| from.unexpected(ImageProblem::NotWhole))?;
            self.keep_layer(file)
        });
        let layers: Vec<LayerFile> = layers.collect::<Result<_, Error>>()?;
        let is_as_stored = exported.config.is_none() && !manifest.layers.iter().any(is_tar);
        let image = if is_as_stored {
            as_oci(documents)
        } else {
            let descriptors = layers.iter().map(|file| file.layer.descriptor.clone());
            let descriptors: Vec<Descriptor> = descriptors.collect();
            let config = exported.config.as_ref().unwrap_or(&documents.config);
            oci_image(config, &descriptors)
        };
        let image = image.map_err(|error| from.refused(&error))?;
        self.keep_export(from, &image)?;
        Ok(ExportedImage { image, layers })
    }

    /// Keeps the documents of an export.
    fn keep_export(&self, from: &DaemonImage, image: &AssembledImage) -> Result<(), Error> {
        self.keep_documents(&image.documents())?;
        let known = KnownExport {
            manifest: image.digest.clone(),
        };
        let known = serde_json::to_vec(&known).map_err(io::Error::other)?;
        let file = self
            .session
            .cache
            .entry(CacheKind::Exports, from.key().hex());
        Ok(store::replace_unsynced(&file, &known)?)
    }

    /// Keeps a layer that was exported. A tar is compressed.
    fn keep_layer(&self, exported: &LayerFile) -> Result<LayerFile, Error> {
        let (cache, layer) = (&self.session.cache, &exported.layer);
        if !is_tar(&layer.descriptor) {
            let kept = self.layer_file(&layer.descriptor, &layer.diff_id);
            fs_err::rename(&exported.file, &kept.file)?;
            return Ok(kept);
        }
        let kept = layers::layer(cache, &key_of_tar(&layer.diff_id), "", |output| {
            layer::compress(fs_err::File::open(&exported.file)?, output)
        });
        let kept = kept.map_err(|error: ArchiveError| Error::from(error))?;
        // Who pushes it has not made what is in it: the registry may well have it.
        let is_new = false;
        Ok(LayerFile { is_new, ..kept })
    }

    /// A layer of a daemon's image that the cache has whole. `stored` is what the daemon has.
    fn known_layer(&self, stored: &Descriptor, diff_id: &Digest) -> Option<LayerFile> {
        if is_tar(stored) {
            return layers::known(&self.session.cache, &key_of_tar(diff_id), "");
        }
        Some(self.layer_file(stored, diff_id)).filter(is_whole)
    }

    /// A layer where the cache has it, if it does.
    fn layer_file(&self, descriptor: &Descriptor, diff_id: &Digest) -> LayerFile {
        let cache = &self.session.cache;
        let file = cache.entry(CacheKind::Blobs, descriptor.digest.hex());
        LayerFile::there(Layer::of_another(descriptor.clone(), diff_id.clone()), file)
    }
}

impl DaemonImage {
    /// By which the cache knows it. The number must change with the form of the documents.
    fn key(&self) -> Digest {
        let Self { id, platform, .. } = self;
        Digest::of(format!("image of a daemon 1\n{id}\n{platform}").as_bytes())
    }
}

/// By which the cache knows the compressed form of a tar.
fn key_of_tar(diff_id: &Digest) -> Digest {
    Digest::of(format!("layer of a daemon 1\n{diff_id}").as_bytes())
}

fn is_tar(layer: &Descriptor) -> bool {
    Compression::of(&layer.media_type) == Some(Compression::None)
}

fn is_whole(LayerFile { file, layer, .. }: &LayerFile) -> bool {
    layers::is_whole(file, layer.descriptor.size)
}

/// Removes a file of the cache, which another run may have removed.
pub(crate) fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs_err::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
