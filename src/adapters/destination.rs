//! Destinations, where images are looked up and tagged: a daemon or a registry, with what only one of the two can do.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    builder::{BuildError, Builder},
    buildkit::BuildKitError,
    docker::{
        Daemon, ExportedImage, JobContainer, JobEnd, JobStreams, LoadRequest, PrintedLine,
        ProgramEnd, ProgramInImage, TransferEvent, WantedLayers, error::DockerError,
    },
    ending::OnEnd,
    layout::{ImageLayout, LayoutError},
    registry::{
        Attachment, BlobProgress, Listing, OutgoingImage, Presence, PushAhead, RegistryClient,
        RegistryError, RegistryImage,
    },
};
use crate::{
    image::{
        AssembledImage, Descriptor, Digest, ImageDocuments, ImageInfo, ImagePython, Layer,
        LayerContents, LayerFile, LayerScanner, Platform, Program, Reference, Repository,
    },
    project::tree::Entry,
};

/// A place that holds images by reference.
pub trait Destination: Send + Sync {
    /// An image as this place stores it.
    type Stored: AsRef<ImageInfo>;

    /// The image of a reference. If the reference is an index, it is the index's image for the platform.
    ///
    /// Without an index the image is returned whatever its platform is: [`ImageInfo`] has it.
    ///
    /// # Errors
    /// Any answer other than the image or "not found".
    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<Self::Stored>, DestinationError>;

    /// Gives an existing image the tag of `reference`, and returns whether the tag is the image's afterwards.
    ///
    /// The tag belongs to another image if somebody else set it at the same moment.
    ///
    /// # Errors
    /// The tag could not be set.
    fn tag(&self, image: &Self::Stored, reference: &Reference) -> Result<bool, DestinationError>;
}

/// A destination that can look into its images.
pub trait Programs: Destination<Stored = ImageInfo> {
    /// Whether the layers of an image are here, so that it can be looked into without fetching them.
    fn has_layers(&self, _image: &ImageInfo) -> bool {
        true
    }

    /// A program of an image, preferably one that runs on the image's platform; `None` if it has none.
    ///
    /// # Errors
    /// Any answer other than the image's files.
    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, DestinationError>;

    /// The Python of an image, once its distribution's is installed.
    ///
    /// # Errors
    /// Any answer other than the image's files.
    fn python(&self, image: &ImageInfo) -> Result<ImagePython, DestinationError>;
}

/// An image whose layers are in files or in a registry.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// Its documents.
    pub image: AssembledImage,
    /// Its layers, lowest first.
    pub layers: Vec<StoredLayer>,
}

/// A layer, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredLayer {
    /// In a file.
    File(LayerFile),
    /// In a repository of a registry, and nowhere on this machine.
    Repository(Layer, Repository),
}

/// A destination that builds and imports images, and pulls and pushes them.
pub trait ImageDaemon: Programs {
    /// The platform that it runs on.
    ///
    /// # Errors
    /// It does not answer.
    fn platform(&self) -> Result<Platform, DestinationError>;

    /// The builder of images for a platform.
    ///
    /// # Errors
    /// There is none for it.
    fn builder(&self, platform: &Platform) -> Result<Box<dyn Builder + '_>, DestinationError>;

    /// Fails unless images can be built for a platform, as far as that is known.
    ///
    /// # Errors
    /// There is no builder for it, none answers, or it runs no programs of that platform and a step `runs` one.
    fn require_platform(&self, _platform: &Platform, _runs: bool) -> Result<(), DestinationError> {
        Ok(())
    }

    /// The image with an ID as it is stored, if its layers need not be taken out of a daemon.
    ///
    /// # Errors
    /// It cannot be read.
    fn stored(&self, _id: &Digest) -> Result<Option<StoredImage>, DestinationError> {
        Ok(None)
    }

    /// The image `name`, a reference or an image ID; `None` if there is none.
    ///
    /// # Errors
    /// Any answer other than the image or "not found".
    fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DestinationError>;

    /// Makes an image with a single layer of `entries`; nothing is executed.
    ///
    /// # Errors
    /// An entry cannot be read, or the image is for another platform.
    fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DestinationError>;

    /// Documents of the image `name`, a reference or an image ID, for one that is put on it and loaded into the same
    /// daemon; `None` if there is none.
    ///
    /// # Errors
    /// Any answer other than the image or "not found".
    fn parent(&self, name: &str) -> Result<Option<ImageDocuments>, DestinationError>;

    /// The layers of an image that `is_wanted`, in `folder`, with its documents; `None` if there is no such image, or not
    /// all of it is there.
    ///
    /// # Errors
    /// The daemon does not export it, or the folder cannot be written.
    fn export(
        &self,
        name: &str,
        is_wanted: &WantedLayers<'_>,
        folder: &Path,
    ) -> Result<Option<ExportedImage>, DestinationError>;

    /// What is in an image: all its layers together.
    ///
    /// # Errors
    /// Any answer other than the image's files.
    fn scan(
        &self,
        image: &ImageInfo,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, DestinationError>;

    /// Runs a program in a container of an image, without a network; nothing of it stays.
    ///
    /// # Errors
    /// The container cannot be started, or the connection breaks.
    fn run_program(
        &self,
        program: &ProgramInImage<'_>,
        printed: &mut dyn FnMut(PrintedLine<'_>),
    ) -> Result<ProgramEnd, DestinationError>;

    /// Runs a job in a container of an image, and removes the container.
    ///
    /// # Errors
    /// The container cannot be started, or the connection breaks.
    fn run_job(
        &self,
        job: &JobContainer<'_>,
        streams: JobStreams<'_>,
    ) -> Result<JobEnd, DestinationError>;

    /// Loads an image that was put together; the layers of its parent are not sent.
    ///
    /// # Errors
    /// The daemon lacks a layer that is not sent, or did not load the image.
    fn load(&self, request: &LoadRequest<'_>) -> Result<ImageInfo, DestinationError>;

    /// Pushes the image with the tag of `reference`. `registry_auth` is the value of `X-Registry-Auth`, or empty.
    ///
    /// # Errors
    /// The image did not arrive.
    fn push(
        &self,
        reference: &Reference,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError>;

    /// Pulls `reference` for `platform`, by digest if it has one.
    ///
    /// # Errors
    /// The image did not arrive, or is for another platform.
    fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError>;

    /// Removes the tag of `reference`, if it exists.
    ///
    /// # Errors
    /// The daemon refuses, or does not answer.
    fn untag(&self, reference: &Reference) -> Result<(), DestinationError>;
    /// Has a tag removed if a signal ends the process while the returned value is there.
    fn untag_on_end(&self, reference: &Reference) -> OnEnd;
}

/// A destination that answers with digests, takes images layer by layer, and stores documents beside images.
pub trait ImageRegistry: Destination<Stored = RegistryImage> {
    /// Begins what [`Self::push_image`] will need for an image that is still to be put together, and returns at once.
    fn begin_push_ahead(&self, _: PushAhead) {}

    /// Pushes an image with the tag of `reference`, or without a tag if it has none, and returns the digest that is there
    /// afterwards: another one than the image's if somebody else has set the tag. No layer is sent that the registry has,
    /// and nothing at all if it has the tag.
    ///
    /// # Errors
    /// The image did not arrive.
    fn push_image(
        &self,
        image: OutgoingImage<'_>,
        reference: &Reference,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError>;

    /// How many blobs a repository has lost of an image whose manifest it has.
    ///
    /// # Errors
    /// It does not answer.
    fn lost_blobs(
        &self,
        _image: &RegistryImage,
        _repository: &Repository,
    ) -> Result<usize, RegistryError> {
        Ok(0)
    }

    /// The documents of an image, byte for byte. If the reference is an index, it is the index's image for the
    /// platform.
    ///
    /// # Errors
    /// Any answer other than the image or "not found".
    fn documents(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageDocuments>, RegistryError>;

    /// What is in a layer of a repository, which is read and not kept.
    ///
    /// # Errors
    /// The layer is not there, is another one, or cannot be read.
    fn scan_layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, RegistryError>;

    /// The digest of a tag, with the digests of all its platforms.
    ///
    /// # Errors
    /// Any answer other than the manifests or "not found".
    fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError>;

    /// Whether a reference exists, by the cheapest request.
    ///
    /// # Errors
    /// Any answer other than "it exists" or "not found".
    fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError>;

    /// The digest of a reference; for an index, the index's own.
    ///
    /// # Errors
    /// Any answer other than the digest or "not found".
    fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError>;

    /// The tags of a repository that begin with `prefix`.
    ///
    /// # Errors
    /// Any answer other than a list.
    fn tags(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError>;

    /// Stores a document beside an image, under the tag of `reference`.
    ///
    /// # Errors
    /// The tag has other content, or the registry does not accept documents.
    fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError>;

    /// The digest of the document with this media type under the tag of `reference`; `None` if there is none.
    ///
    /// # Errors
    /// Any answer other than the document or "not found".
    fn attached(
        &self,
        reference: &Reference,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError>;

    /// A blob of the repository of `reference`, of at most `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// Any answer other than the blob or "not found".
    fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError>;

    /// Writes a blob of any size to a file, and tells how many bytes are there.
    ///
    /// # Errors
    /// Any answer other than the blob, or the file cannot be written.
    fn save_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError>;
}

/// Why a destination could not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The Docker daemon.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An OCI image layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A `BuildKit` at an address.
    #[error(transparent)]
    BuildKit(#[from] BuildKitError),
}

impl From<DestinationError> for BuildError {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Docker(error) => Self::Docker(error),
            DestinationError::Registry(error) => Self::Registry(error),
            DestinationError::Layout(error) => Self::Layout(error),
            DestinationError::BuildKit(error) => Self::BuildKit(error),
        }
    }
}

impl AsRef<ImageInfo> for ImageInfo {
    fn as_ref(&self) -> &ImageInfo {
        self
    }
}

impl AsRef<ImageInfo> for AssembledImage {
    fn as_ref(&self) -> &ImageInfo {
        &self.info
    }
}

impl AsRef<ImageInfo> for RegistryImage {
    fn as_ref(&self) -> &ImageInfo {
        &self.info
    }
}

impl Destination for Daemon {
    type Stored = ImageInfo;

    /// A daemon has one image under a name; the answer has its platform.
    fn find(
        &self,
        reference: &Reference,
        _platform: &Platform,
    ) -> Result<Option<ImageInfo>, DestinationError> {
        Ok(self.inspect(&reference.to_string())?)
    }

    /// The tag is not read back: a daemon belongs to one machine, and the last one to set a tag wins.
    fn tag(&self, image: &ImageInfo, reference: &Reference) -> Result<bool, DestinationError> {
        Daemon::tag(self, &image.id, reference)?;
        Ok(true)
    }
}

impl Destination for RegistryClient {
    type Stored = RegistryImage;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<RegistryImage>, DestinationError> {
        Ok(RegistryClient::find(self, reference, platform)?)
    }

    fn tag(&self, image: &RegistryImage, reference: &Reference) -> Result<bool, DestinationError> {
        let digest = RegistryClient::tag(self, image, reference)?;
        Ok(digest == image.digest)
    }
}

impl Destination for ImageLayout {
    type Stored = AssembledImage;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<AssembledImage>, DestinationError> {
        Ok(ImageLayout::find(self, &reference.to_string(), platform)?)
    }

    /// A layout belongs to one machine, and the last one to set a tag wins.
    fn tag(&self, image: &AssembledImage, reference: &Reference) -> Result<bool, DestinationError> {
        ImageLayout::tag(self, &reference.to_string(), &image.descriptor())?;
        Ok(true)
    }
}

impl Programs for Daemon {
    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, DestinationError> {
        Ok(Daemon::program(self, image)?)
    }

    fn python(&self, image: &ImageInfo) -> Result<ImagePython, DestinationError> {
        Ok(Daemon::python(self, image)?)
    }
}

impl ImageDaemon for Daemon {
    fn platform(&self) -> Result<Platform, DestinationError> {
        Ok(Daemon::platform(self)?)
    }

    fn builder(&self, _platform: &Platform) -> Result<Box<dyn Builder + '_>, DestinationError> {
        Ok(Daemon::builder(self))
    }

    fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DestinationError> {
        Ok(Daemon::inspect(self, name)?)
    }

    fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DestinationError> {
        Ok(Daemon::import(self, entries, labels, platform, reference)?)
    }

    fn parent(&self, name: &str) -> Result<Option<ImageDocuments>, DestinationError> {
        Ok(Daemon::parent(self, name)?)
    }

    fn export(
        &self,
        name: &str,
        is_wanted: &WantedLayers<'_>,
        folder: &Path,
    ) -> Result<Option<ExportedImage>, DestinationError> {
        Ok(Daemon::export(self, name, is_wanted, folder)?)
    }

    fn scan(
        &self,
        image: &ImageInfo,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, DestinationError> {
        Ok(Daemon::scan(self, image, scanner)?)
    }

    fn run_program(
        &self,
        program: &ProgramInImage<'_>,
        printed: &mut dyn FnMut(PrintedLine<'_>),
    ) -> Result<ProgramEnd, DestinationError> {
        Ok(Daemon::run_program(self, program, printed)?)
    }

    fn run_job(
        &self,
        job: &JobContainer<'_>,
        streams: JobStreams<'_>,
    ) -> Result<JobEnd, DestinationError> {
        Ok(Daemon::run_job(self, job, streams)?)
    }

    fn load(&self, request: &LoadRequest<'_>) -> Result<ImageInfo, DestinationError> {
        Ok(Daemon::load(self, request)?)
    }

    fn push(
        &self,
        reference: &Reference,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError> {
        Ok(Daemon::push(self, reference, registry_auth, events)?)
    }

    fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError> {
        Ok(Daemon::pull(
            self,
            reference,
            platform,
            registry_auth,
            events,
        )?)
    }

    fn untag_on_end(&self, reference: &Reference) -> OnEnd {
        Daemon::untag_on_end(self, reference)
    }

    fn untag(&self, reference: &Reference) -> Result<(), DestinationError> {
        Ok(Daemon::untag(self, reference)?)
    }
}

impl ImageRegistry for RegistryClient {
    fn begin_push_ahead(&self, ahead: PushAhead) {
        RegistryClient::begin_push_ahead(self, ahead);
    }

    fn push_image(
        &self,
        image: OutgoingImage<'_>,
        reference: &Reference,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        RegistryClient::push_image(self, image, reference, progress)
    }

    fn lost_blobs(
        &self,
        image: &RegistryImage,
        repository: &Repository,
    ) -> Result<usize, RegistryError> {
        RegistryClient::lost_blobs(self, image, repository)
    }

    fn documents(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageDocuments>, RegistryError> {
        RegistryClient::documents(self, reference, platform)
    }

    fn scan_layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, RegistryError> {
        RegistryClient::scan_layer(self, repository, layer, scanner)
    }

    fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError> {
        RegistryClient::listing(self, reference)
    }

    fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError> {
        RegistryClient::presence(self, reference)
    }

    fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        RegistryClient::digest(self, reference)
    }

    fn tags(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError> {
        RegistryClient::tags(self, repository, prefix)
    }

    fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        RegistryClient::attach(self, attachment, reference)
    }

    fn attached(
        &self,
        reference: &Reference,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        RegistryClient::attached(self, reference, media_type)
    }

    fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        RegistryClient::blob(self, reference, digest, limit)
    }

    fn save_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        RegistryClient::save_blob(self, repository, blob, file, progress)
    }
}
