//! The images that a `BuildKit` has made, and those that they stand on: in an OCI image layout, or known from a registry.
//!
//! Of an image in a registry only the documents are here. Its layers are fetched if somebody needs their bytes: most often
//! nobody does, as `BuildKit` pulls them itself, and the registry that a push goes to has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{
    connection::Connection,
    content::{BuildContent, HandedBlob, HandedOrigin},
    error::{BuildKitError, BuildKitUnreachable},
};
use crate::{
    adapters::{
        builder::BuildRequest,
        credentials::Credentials,
        destination::{Destination, DestinationError, ImageRegistry, Programs, StoredLayer},
        layout::{ImageLayout, LayoutError},
        store::TemporaryFolder,
    },
    image::{
        AssembledImage, ContentFacts, Descriptor, Digest, ImageConfig, ImageError, ImageInfo,
        ImageManifest, ImageMismatch, ImagePython, Layer, LayerContents, LayerFile, LayerScanner,
        ManifestOrIndex, MediaType, Platform, Program, Reference, Repository, Tree,
    },
    project::{BuilderAddress, Builders, loopback::is_loopback},
};

/// How a handed over image is called, besides its digest.
const HANDED: &str = "sparkpack";

/// What a store is made of.
pub struct StoreSettings {
    /// Where the `BuildKit`s are.
    pub builders: Builders,
    /// Where images are kept.
    pub layout: ImageLayout,
    /// The registries; `None` if nothing may be asked over the network.
    pub registry: Option<Arc<dyn ImageRegistry>>,
    /// The user's credentials.
    pub credentials: Arc<Credentials>,
    /// The hosts of registries that are reached without TLS.
    pub insecure: BTreeSet<String>,
    /// The hosts of registries in whose place a mirror is asked.
    pub mirrored: BTreeSet<String>,
    /// Whether all registries do, because the user's CA bundle is needed for them.
    pub has_own_authorities: bool,
}

/// Images, and the `BuildKit`s that make them.
pub struct BuildKitStore {
    pub(super) settings: StoreSettings,
    connections: Mutex<BTreeMap<String, Connection>>,
    images: Mutex<KnownImages>,
}

/// The images that were found or made in this run.
#[derive(Default)]
pub(super) struct KnownImages {
    by_id: BTreeMap<Digest, KnownImage>,
    /// The IDs of the images with a name, one for each platform, the last one named last.
    pub(super) by_name: BTreeMap<String, Vec<Digest>>,
}

/// An image.
#[derive(Clone)]
pub(super) struct KnownImage {
    pub(super) image: AssembledImage,
    /// The repositories of the layers that the layout may lack.
    pub(super) elsewhere: BTreeMap<Digest, Repository>,
    /// Its name by digest, if it is in a registry.
    pub(super) pinned: Option<Reference>,
}

/// What a build gets of the images that its Dockerfile names.
pub(super) struct HandedOver {
    /// Where each image is, by its name in the Dockerfile.
    pub(super) contexts: BTreeMap<String, String>,
    /// The repositories that `BuildKit` pulls from and caches in.
    pub(super) repositories: Vec<Repository>,
    /// What it may read, and where its blobs go.
    pub(super) content: BuildContent,
}

impl BuildKitStore {
    /// A store; no `BuildKit` is asked yet.
    #[must_use]
    pub fn new(settings: StoreSettings) -> Self {
        Self {
            settings,
            connections: Mutex::default(),
            images: Mutex::default(),
        }
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.settings.credentials)
    }

    /// The repository for caches, and whether it is reached without TLS.
    pub(super) fn cache(&self) -> Option<(&Repository, bool)> {
        let repository = self.settings.builders.cache.as_ref()?;
        let is_insecure = self.settings.insecure.contains(&repository.registry);
        Some((repository, is_insecure))
    }

    fn address(&self, platform: &Platform) -> Result<&BuilderAddress, BuildKitError> {
        let found = self.settings.builders.of(platform);
        found.ok_or_else(|| BuildKitError::NoAddress(platform.clone()))
    }

    /// The `BuildKit` for a platform, which has answered.
    pub(super) fn connection(&self, platform: &Platform) -> Result<Connection, BuildKitError> {
        let at = self.address(platform)?;
        let connections = self.connections.lock();
        let mut connections = connections.unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = connections.get(&at.text) {
            return Ok(known.clone());
        }
        if self.settings.registry.is_none() && !at.endpoint.is_local() {
            return Err(BuildKitError::Unreachable {
                address: at.text.clone(),
                reason: BuildKitUnreachable::Network,
            });
        }
        let opened = Connection::open(at)?;
        connections.insert(at.text.clone(), opened.clone());
        Ok(opened)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, KnownImages> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, name: &str, image: KnownImage) -> ImageInfo {
        let info = image.image.info.clone();
        let mut known = self.known();
        let others = |known: &KnownImages, id: &Digest| {
            let other = known.by_id.get(id);
            other.is_some_and(|other| other.image.info.platform != info.platform)
        };
        let ids = known.by_name.get(name).cloned().unwrap_or_default();
        let ids = ids.into_iter().filter(|id| others(&known, id));
        let ids = ids.chain([info.id.clone()]).collect();
        known.by_name.insert(name.to_owned(), ids);
        known.by_id.insert(info.id.clone(), image);
        info
    }

    /// The image of a name or an ID, preferably for a platform.
    pub(super) fn look_up(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<KnownImage>, DestinationError> {
        {
            let known = self.known();
            if let Ok(id) = name.parse::<Digest>() {
                return Ok(known.by_id.get(&id).cloned());
            }
            let ids = known.by_name.get(name).map(Vec::as_slice);
            let named = ids.unwrap_or_default().iter().rev();
            let mut named = named.filter_map(|id| known.by_id.get(id));
            let wanted = |one: &&KnownImage| {
                platform.is_none_or(|platform| one.image.info.platform == *platform)
            };
            if let Some(found) = named.clone().find(wanted).or_else(|| named.next()) {
                return Ok(Some(found.clone()));
            }
        }
        let default = Platform::default();
        let found = self
            .settings
            .layout
            .find(name, platform.unwrap_or(&default));
        let image = match found {
            Ok(Some(image)) => image,
            // An image that has lost a layer is none.
            Ok(None) | Err(LayoutError::Broken { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = KnownImage {
            image,
            elsewhere: BTreeMap::new(),
            pinned: None,
        };
        self.keep(name, found.clone());
        Ok(Some(found))
    }

    pub(super) fn of_id(&self, image: &ImageInfo) -> Result<KnownImage, DestinationError> {
        let found = self.look_up(image.id.as_str(), None)?;
        let gone = || BuildKitError::Answer {
            address: HANDED.to_owned(),
            doing: format!("find the image `{}`", image.id),
            message: "it is not in the layout".to_owned(),
        };
        Ok(found.ok_or_else(gone)?)
    }

    /// The layers of an image, lowest first.
    pub(super) fn layers(&self, known: &KnownImage) -> Result<Vec<StoredLayer>, DestinationError> {
        let name = known.image.digest.as_str();
        let manifest = ImageManifest::parse(&known.image.manifest).map_err(odd(name))?;
        let layers = manifest.layers.into_iter().zip(&known.image.info.diff_ids);
        let layer = |(descriptor, diff_id): (Descriptor, &Digest)| {
            let layout = &self.settings.layout;
            let repository = known.elsewhere.get(&descriptor.digest).cloned();
            let file = layout.blob(&descriptor.digest);
            let is_here = layout.has(&descriptor);
            let layer = Layer::of_another(descriptor, diff_id.clone());
            match repository.filter(|_| !is_here) {
                Some(repository) => StoredLayer::Repository(layer, repository),
                None => StoredLayer::File(LayerFile::there(layer, file)),
            }
        };
        Ok(layers.map(layer).collect())
    }

    /// Whether a `BuildKit` can pull from a registry by itself, as far as that can be known.
    fn can_pull(&self, connection: &Connection, repository: &Repository) -> bool {
        let settings = &self.settings;
        let host = &repository.registry;
        let is_special = settings.insecure.contains(host) || settings.mirrored.contains(host);
        if settings.has_own_authorities || is_special {
            return false;
        }
        connection.is_local || !is_loopback(host)
    }

    /// What a build gets of the images that its Dockerfile names.
    pub(super) fn handed_over(
        &self,
        request: &BuildRequest,
        connection: &Connection,
    ) -> Result<HandedOver, DestinationError> {
        let mut handed = HandedOver {
            contexts: BTreeMap::new(),
            repositories: self.settings.builders.cache.iter().cloned().collect(),
            content: self.content()?,
        };
        for name in &request.images {
            let found = self.look_up(name, Some(&request.platform))?;
            let known = found.ok_or_else(|| BuildKitError::Answer {
                address: connection.address.clone(),
                doing: format!("stand on `{name}`"),
                message: "neither the layout nor the registry has it".to_owned(),
            })?;
            let at = match &known.pinned {
                Some(pinned) if self.can_pull(connection, &pinned.repository) => {
                    handed.repositories.push(pinned.repository.clone());
                    format!("docker-image://{pinned}")
                }
                _ => {
                    self.hand_over(&known, &mut handed.content.handed)?;
                    format!("oci-layout://{HANDED}@{}", known.image.digest)
                }
            };
            handed.contexts.insert(familiar(name), at);
            handed.content.there.extend(known.elsewhere);
        }
        Ok(handed)
    }

    /// Lets a build read an image.
    fn hand_over(
        &self,
        known: &KnownImage,
        blobs: &mut BTreeMap<Digest, HandedBlob>,
    ) -> Result<(), DestinationError> {
        for document in [&known.image.manifest, &known.image.config] {
            let blob = HandedBlob {
                size: document.len() as u64,
                origin: HandedOrigin::Bytes(Bytes::copy_from_slice(document)),
            };
            blobs.insert(Digest::of(document), blob);
        }
        for layer in self.layers(known)? {
            let (descriptor, origin) = match layer {
                StoredLayer::File(file) => (file.layer.descriptor, HandedOrigin::File(file.file)),
                StoredLayer::Repository(layer, repository) => {
                    let descriptor = layer.descriptor;
                    let origin = HandedOrigin::Repository(repository, descriptor.clone());
                    (descriptor, origin)
                }
            };
            let size = descriptor.size;
            blobs.insert(descriptor.digest, HandedBlob { size, origin });
        }
        Ok(())
    }

    /// What a build may read and write: nothing to read yet.
    fn content(&self) -> Result<BuildContent, DestinationError> {
        let folder = TemporaryFolder::new().map_err(|error| LayoutError::Disk {
            what: "written",
            folder: self.settings.layout.folder().to_owned(),
            error,
        });
        Ok(BuildContent {
            layout: self.settings.layout.clone(),
            handed: BTreeMap::new(),
            there: BTreeMap::new(),
            registry: self.settings.registry.clone(),
            fetched: Mutex::default(),
            folder: folder?,
        })
    }

    /// Verifies the image with this manifest, and gives it its name.
    pub(super) fn accept(
        &self,
        digest: &Digest,
        request: &BuildRequest,
        there: &BTreeMap<Digest, Repository>,
    ) -> Result<ImageInfo, DestinationError> {
        let layout = &self.settings.layout;
        let manifest = self.manifest(digest, &request.platform)?;
        let image = layout.documented(&manifest)?;
        request.verify(&image.info).map_err(BuildKitError::from)?;
        let known = KnownImage {
            image,
            elsewhere: there.clone(),
            pinned: None,
        };
        let mut is_whole = true;
        for layer in self.layers(&known)? {
            match layer {
                StoredLayer::Repository(..) => is_whole = false,
                StoredLayer::File(file) if layout.has(&file.layer.descriptor) => {}
                StoredLayer::File(file) => {
                    let message = format!("the BuildKit sent no {}", file.layer.descriptor.digest);
                    let folder = layout.folder().to_owned();
                    return Err(LayoutError::Broken { folder, message }.into());
                }
            }
        }
        let name = request.reference.to_string();
        let descriptor = known.image.descriptor();
        let id = known.image.info.id.clone();
        let info = self.keep(id.as_str(), known);
        if request.looks_inside
            && let Some(program) = self.program(&info)?
        {
            let checked =
                ImageMismatch::of_program(&program, &request.platform, &request.reference);
            checked.map_err(BuildKitError::from)?;
        }
        self.name(&info, &name)?;
        if is_whole {
            layout.tag(&name, &descriptor)?;
        }
        Ok(info)
    }

    /// The manifest with a digest, or that of an index for the platform.
    fn manifest(
        &self,
        digest: &Digest,
        platform: &Platform,
    ) -> Result<Descriptor, DestinationError> {
        let layout = &self.settings.layout;
        let bytes = fs_err::read(layout.blob(digest)).map_err(|error| LayoutError::Disk {
            what: "read",
            folder: layout.folder().to_owned(),
            error,
        })?;
        let name = digest.as_str();
        if Digest::of(&bytes) != *digest {
            let message = format!("the manifest {digest} is damaged");
            let folder = layout.folder().to_owned();
            return Err(LayoutError::Broken { folder, message }.into());
        }
        match ManifestOrIndex::parse(&bytes).map_err(odd(name))? {
            ManifestOrIndex::Manifest(_) => Ok(Descriptor::of(MediaType::ImageManifest, &bytes)),
            ManifestOrIndex::Index(index) => Ok(index.choose(platform).map_err(odd(name))?.clone()),
        }
    }

    /// Gives a known image one more name.
    fn name(&self, image: &ImageInfo, name: &str) -> Result<(), DestinationError> {
        let known = self.of_id(image)?;
        self.keep(name, known);
        Ok(())
    }

    /// The layer's file, or its bytes from a registry in a file of `folder`.
    pub(super) fn fetched(
        &self,
        layer: StoredLayer,
        folder: &Path,
    ) -> Result<LayerFile, DestinationError> {
        match layer {
            StoredLayer::File(LayerFile { layer, file, .. }) => {
                let to = folder.join(layer.descriptor.digest.hex());
                let copied =
                    fs_err::hard_link(&file, &to).or_else(|_| fs_err::copy(&file, &to).map(drop));
                copied.map_err(|error| LayoutError::Disk {
                    what: "read",
                    folder: self.settings.layout.folder().to_owned(),
                    error,
                })?;
                Ok(LayerFile::there(layer, to))
            }
            StoredLayer::Repository(layer, repository) => {
                let to = folder.join(layer.descriptor.digest.hex());
                let registry = self.registry()?;
                registry.save_blob(&repository, &layer.descriptor, &to, &mut |_| ())?;
                Ok(LayerFile::there(layer, to))
            }
        }
    }

    pub(super) fn registry(&self) -> Result<&dyn ImageRegistry, DestinationError> {
        let no_registry = || BuildKitError::OnlyBuilds("ask a registry with `--offline`");
        let registry = self.settings.registry.as_deref();
        Ok(registry.ok_or_else(no_registry)?)
    }

    /// What is in an image: all its layers together.
    pub(super) fn tree(
        &self,
        image: &KnownImage,
        scanner: &LayerScanner,
    ) -> Result<Vec<LayerContents>, DestinationError> {
        let name = image.image.digest.as_str();
        let scan = |layer: StoredLayer| match layer {
            StoredLayer::File(file) => {
                let read = fs_err::File::open(&file.file).map_err(|error| LayoutError::Disk {
                    what: "read",
                    folder: self.settings.layout.folder().to_owned(),
                    error,
                })?;
                Ok(scanner.scan(read).map_err(odd(name))?)
            }
            StoredLayer::Repository(layer, repository) => {
                Ok(self
                    .registry()?
                    .scan_layer(&repository, &layer.descriptor, scanner)?)
            }
        };
        self.layers(image)?.into_iter().map(scan).collect()
    }

    fn facts(&self, image: &ImageInfo) -> Result<ContentFacts, DestinationError> {
        let known = self.of_id(image)?;
        let name = known.image.digest.to_string();
        let config = ImageConfig::parse(&known.image.config).map_err(odd(&name))?;
        let scanner = LayerScanner::new(&config).map_err(odd(&name))?;
        let mut tree = Tree::default();
        for layer in self.tree(&known, &scanner)? {
            tree.add(layer);
        }
        Ok(ContentFacts::of(&config, &tree, None, &[]).map_err(odd(&name))?)
    }
}

impl Destination for BuildKitStore {
    type Stored = ImageInfo;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageInfo>, DestinationError> {
        let found = self.look_up(&reference.to_string(), Some(platform))?;
        Ok(found.map(|known| known.image.info))
    }

    fn tag(&self, image: &ImageInfo, reference: &Reference) -> Result<bool, DestinationError> {
        self.name(image, &reference.to_string())?;
        Ok(true)
    }
}

impl Programs for BuildKitStore {
    fn has_layers(&self, image: &ImageInfo) -> bool {
        let layers = self.of_id(image).and_then(|known| self.layers(&known));
        let is_here = |layer: &StoredLayer| matches!(layer, StoredLayer::File(_));
        layers.is_ok_and(|layers| layers.iter().all(is_here))
    }

    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, DestinationError> {
        if !self.has_layers(image) {
            return Ok(None);
        }
        Ok(self.facts(image)?.program)
    }

    fn python(&self, image: &ImageInfo) -> Result<ImagePython, DestinationError> {
        let facts = self.facts(image)?;
        Ok(match (facts.python, facts.system) {
            (Ok(python), _) => ImagePython::Program(python.program),
            (Err(_), Some(distribution)) => match distribution.split_once(' ') {
                Some((id, version)) => ImagePython::OfDistribution {
                    id: id.to_owned(),
                    version: version.to_owned(),
                },
                None => ImagePython::Unknown,
            },
            (Err(_), None) => ImagePython::Unknown,
        })
    }
}

/// How the Dockerfile frontend calls an image.
fn familiar(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name).to_owned()
}

/// The error about an image that cannot be understood.
pub(super) fn odd(name: &str) -> impl Fn(ImageError) -> BuildKitError {
    move |error| BuildKitError::Image {
        name: name.to_owned(),
        error,
    }
}
