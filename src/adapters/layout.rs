//! OCI image layouts: folders that hold images by name, which skopeo, umoci and podman read.
//!
//! Blobs are written first, and `index.json`, which names them, last and by a rename: an image is there whole or not at
//! all.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

mod registry;

pub use registry::WithLayout;

use super::store::{self, TemporaryFolder};
use crate::{
    code::Code,
    image::{
        AssembledImage, Descriptor, Digest, Family, HashedReader, Hasher, ImageConfig, ImageError,
        ImageIndex, ImageManifest, LayerFile, ManifestOrIndex, MediaType, Platform,
    },
};

/// The annotation by which an entry of `index.json` has its name.
const NAME: &str = "org.opencontainers.image.ref.name";

/// The file that says that a folder is a layout.
const MARK: &str = "oci-layout";

/// An OCI image layout in a folder, which need not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    folder: PathBuf,
}

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The disk is full, or does not let us.
    #[error("the OCI image layout `{}` cannot be {what}: {error}", folder.display())]
    Disk {
        /// `read` or `written`.
        what: &'static str,
        /// The layout.
        folder: PathBuf,
        /// The system's error, with its path.
        error: io::Error,
    },
    /// It is no layout, or something of an image is missing.
    #[error("the OCI image layout `{}` is not whole: {message}", folder.display())]
    Broken {
        /// The layout.
        folder: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// The folder holds other files.
    #[error("`{}` is no OCI image layout, and not empty", .0.display())]
    OtherFiles(PathBuf),
    /// A layer's file is gone, or not what its descriptor says.
    #[error("`{}` is no longer the layer {digest}", file.display())]
    Layer {
        /// The file.
        file: PathBuf,
        /// The digest that it should have.
        digest: Digest,
    },
}

impl LayoutError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Disk { .. } => Code::E610,
            Self::Layer { .. } => Code::E611,
            Self::Broken { .. } | Self::OtherFiles(_) => Code::E614,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { .. } => None,
            Self::Broken { folder, .. } => Some(format!(
                "delete it, `rm -r {}`, and build again",
                folder.display()
            )),
            Self::OtherFiles(_) => Some("name another folder".to_owned()),
            Self::Layer { .. } => Some("run it again when nothing writes there".to_owned()),
        }
    }
}

impl ImageLayout {
    /// The layout in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Whether something was named in it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.folder.join("index.json").exists()
    }

    /// The file of a blob.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Writes the blobs of an image, and returns its descriptor; [`tag`](Self::tag) names it.
    ///
    /// `layers` may leave out what is there already.
    ///
    /// # Errors
    /// The disk's; a layer is neither there nor given, or its file has changed or is gone.
    pub fn add(
        &self,
        image: &AssembledImage,
        layers: &[LayerFile],
    ) -> Result<Descriptor, LayoutError> {
        self.create()?;
        let manifest = ImageManifest::parse(&image.manifest);
        let manifest = manifest.map_err(|error| self.broken(error.to_string()))?;
        for layer in &manifest.layers {
            if self.has(layer) {
                continue;
            }
            let mut given = layers.iter();
            let given = given.find(|given| given.layer.descriptor.digest == layer.digest);
            let Some(LayerFile { file, .. }) = given else {
                let message = format!("the layer {} is not there", layer.digest);
                return Err(self.broken(message));
            };
            self.add_layer(layer, file)?;
        }
        self.document(&manifest.config, &image.config)?;
        let descriptor = image.descriptor();
        self.document(&descriptor, &image.manifest)?;
        Ok(descriptor)
    }

    /// Writes those layers that are not there yet.
    ///
    /// # Errors
    /// The disk's; a layer's file has changed or is gone.
    pub fn add_layers(&self, layers: &[LayerFile]) -> Result<(), LayoutError> {
        self.create()?;
        let mut missing = layers
            .iter()
            .filter(|file| !self.has(&file.layer.descriptor));
        missing.try_for_each(|file| self.add_layer(&file.layer.descriptor, &file.file))
    }

    fn add_layer(&self, layer: &Descriptor, file: &Path) -> Result<(), LayoutError> {
        let is_written = match fs_err::File::open(file) {
            Ok(read) => self.write(layer, read)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(self.disk("written", error)),
        };
        if is_written {
            return Ok(());
        }
        Err(LayoutError::Layer {
            file: file.to_owned(),
            digest: layer.digest.clone(),
        })
    }

    /// Writes an index over images that were [added](Self::add), and returns its descriptor.
    ///
    /// # Errors
    /// The disk's; two images are for one platform.
    pub fn add_index(
        &self,
        family: Family,
        images: &[Descriptor],
    ) -> Result<Descriptor, LayoutError> {
        self.create()?;
        let index = ImageIndex::assemble(family, images);
        let index = index.map_err(|error| self.broken(error.to_string()))?;
        let descriptor = Descriptor::of(family.index(), &index);
        self.document(&descriptor, &index)?;
        Ok(descriptor)
    }

    /// Names an image or an index that was added; another one loses the name.
    ///
    /// # Errors
    /// The disk's, or `index.json` is none.
    pub fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<(), LayoutError> {
        self.create()?;
        // Another run may add a name at the same time. On a file system without locks, the last one wins.
        let handle = File::open(&self.folder).map_err(|error| self.disk("written", error))?;
        drop(handle.lock());
        let mut index = self.index()?.unwrap_or_else(
            || json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": []}),
        );
        let mut entry = serde_json::to_value(descriptor)
            .map_err(|error| self.broken(format!("its entry: {error}")))?;
        entry["annotations"] = json!({NAME: name});
        let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
            return Err(self.broken("its index.json has no manifests".to_owned()));
        };
        entries.retain(|entry| name_of(entry) != Some(name));
        entries.push(entry);
        store::replace(
            &self.folder.join("index.json"),
            index.to_string().as_bytes(),
        )
        .map_err(|error| self.disk("written", error))
    }

    /// Takes a name away, if it exists. The blobs stay.
    ///
    /// # Errors
    /// The disk's, or `index.json` is none.
    pub fn untag(&self, name: &str) -> Result<(), LayoutError> {
        let Ok(handle) = File::open(&self.folder) else {
            return Ok(());
        };
        drop(handle.lock());
        let Some(mut index) = self.index()? else {
            return Ok(());
        };
        if let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) {
            entries.retain(|entry| name_of(entry) != Some(name));
        }
        store::replace(
            &self.folder.join("index.json"),
            index.to_string().as_bytes(),
        )
        .map_err(|error| self.disk("written", error))
    }

    /// What a name stands for: an image or an index; `None` if nothing has the name.
    ///
    /// # Errors
    /// The disk's, or `index.json` is none.
    pub fn descriptor(&self, name: &str) -> Result<Option<Descriptor>, LayoutError> {
        Ok(self.named(name)?.into_iter().next())
    }

    /// The image of a name, whole; of an index the one for the platform. `None` if nothing has the name.
    ///
    /// Without an index the image is returned whatever its platform is.
    ///
    /// # Errors
    /// The disk's; a blob is missing or is another, or an index has nothing for the platform.
    pub fn find(
        &self,
        name: &str,
        platform: &Platform,
    ) -> Result<Option<AssembledImage>, LayoutError> {
        let named = self.named(name)?;
        // Other programs write a name once for each platform.
        let of_platform = |entry: &&Descriptor| entry.platform.as_ref() == Some(platform);
        let entry = named.iter().find(of_platform).or(named.first());
        let Some(entry) = entry else {
            return Ok(None);
        };
        let bytes = self.read(entry, "manifest")?;
        Ok(Some(self.whole(name, entry.clone(), bytes, platform)?))
    }

    /// The image with the digest of its manifest or index, whole; `None` if nothing has the digest.
    ///
    /// # Errors
    /// The same as those of [`find`](Self::find).
    pub fn find_digest(
        &self,
        digest: &Digest,
        platform: &Platform,
    ) -> Result<Option<AssembledImage>, LayoutError> {
        let bytes = match fs_err::read(self.blob(digest)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.disk("read", error)),
        };
        let entry = Descriptor::of(MediaType::ImageManifest, &bytes);
        if entry.digest != *digest {
            return Err(self.broken(format!("the manifest {digest} is damaged")));
        }
        let image = self.whole(digest.as_str(), entry, bytes, platform)?;
        Ok(Some(image))
    }

    /// The digests of the images of an index by platform; none of a manifest.
    ///
    /// # Errors
    /// The disk's, or the blob is no manifest or index.
    pub fn platforms(&self, digest: &Digest) -> Result<BTreeMap<Platform, Digest>, LayoutError> {
        let bytes = fs_err::read(self.blob(digest)).map_err(|error| self.disk("read", error))?;
        let wrong = |error: ImageError| self.broken(format!("{digest}: {error}"));
        Ok(match ManifestOrIndex::parse(&bytes).map_err(wrong)? {
            ManifestOrIndex::Index(index) => index.by_platform(),
            ManifestOrIndex::Manifest(_) => BTreeMap::new(),
        })
    }

    /// The image of a manifest, or that of an index for the platform.
    fn whole(
        &self,
        name: &str,
        mut entry: Descriptor,
        mut bytes: Vec<u8>,
        platform: &Platform,
    ) -> Result<AssembledImage, LayoutError> {
        let wrong = |error: ImageError| self.broken(format!("`{name}`: {error}"));
        if let ManifestOrIndex::Index(index) = ManifestOrIndex::parse(&bytes).map_err(wrong)? {
            entry = index.choose(platform).map_err(wrong)?.clone();
            bytes = self.read(&entry, "manifest")?;
        }
        let (image, manifest) = self.described(name, entry, bytes)?;
        if let Some(layer) = manifest.layers.iter().find(|layer| !self.has(layer)) {
            let message = format!("`{name}`: its layer {} is not there", layer.digest);
            return Err(self.broken(message));
        }
        Ok(image)
    }

    /// The image of a manifest, whose layers are not looked for.
    fn described(
        &self,
        name: &str,
        entry: Descriptor,
        bytes: Vec<u8>,
    ) -> Result<(AssembledImage, ImageManifest), LayoutError> {
        let wrong = |error: ImageError| self.broken(format!("`{name}`: {error}"));
        let manifest = ImageManifest::parse(&bytes).map_err(wrong)?;
        let config = self.read(&manifest.config, "config")?;
        let info = ImageConfig::parse(&config).and_then(|config| config.info(&manifest));
        let image = AssembledImage {
            digest: entry.digest,
            media_type: manifest.media_type.clone().unwrap_or(entry.media_type),
            manifest: bytes,
            config,
            info: info.map_err(wrong)?,
        };
        Ok((image, manifest))
    }

    /// The entries of `index.json` with a name.
    fn named(&self, name: &str) -> Result<Vec<Descriptor>, LayoutError> {
        let Some(mut index) = self.index()? else {
            return Ok(Vec::new());
        };
        let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
            return Err(self.broken("its index.json has no manifests".to_owned()));
        };
        let entries = std::mem::take(entries).into_iter();
        entries
            .filter(|entry| name_of(entry) == Some(name))
            .map(|entry| {
                let entry = serde_json::from_value(entry);
                entry.map_err(|error| self.broken(format!("its index.json: {error}")))
            })
            .collect()
    }

    /// `index.json`; `None` if nothing was named yet.
    fn index(&self) -> Result<Option<Value>, LayoutError> {
        let bytes = match fs_err::read(self.folder.join("index.json")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.disk("read", error)),
        };
        if !self.folder.join(MARK).is_file() {
            return Err(self.broken(format!("it has no file `{MARK}`")));
        }
        let index = serde_json::from_slice(&bytes);
        Ok(Some(index.map_err(|error| {
            self.broken(format!("its index.json: {error}"))
        })?))
    }

    /// Makes the folder a layout, unless it is one.
    fn create(&self) -> Result<(), LayoutError> {
        let create = || {
            let mark = self.folder.join(MARK);
            if mark.is_file() {
                return Ok(true);
            }
            fs_err::create_dir_all(&self.folder)?;
            let mut others = fs_err::read_dir(&self.folder)?;
            let others = others.try_fold(false, |others, entry| {
                let name = entry?.file_name();
                let temporary = name
                    .as_encoded_bytes()
                    .starts_with(store::TEMPORARY.as_bytes());
                io::Result::Ok(others || !temporary)
            })?;
            // Another run may have made it in the meantime.
            if others {
                return Ok(mark.is_file());
            }
            store::replace(&mark, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            Ok(true)
        };
        let is_layout = create().map_err(|error| self.disk("written", error))?;
        if !is_layout {
            return Err(LayoutError::OtherFiles(self.folder.clone()));
        }
        store::sweep(&self.folder);
        let blobs = fs_err::create_dir_all(self.folder.join("blobs/sha256"));
        blobs.map_err(|error| self.disk("written", error))
    }

    /// Whether a blob is there, judged by its size.
    #[must_use]
    pub fn has(&self, blob: &Descriptor) -> bool {
        let metadata = fs_err::metadata(self.blob(&blob.digest));
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == blob.size)
    }

    /// A document, which has to be the one that its descriptor says.
    fn read(&self, blob: &Descriptor, what: &'static str) -> Result<Vec<u8>, LayoutError> {
        let bytes = fs_err::read(self.blob(&blob.digest)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.broken(format!("the {what} {} is not there", blob.digest))
            }
            _ => self.disk("read", error),
        })?;
        let checked = blob.check(&bytes, what);
        checked.map_err(|error| self.broken(error.to_string()))?;
        Ok(bytes)
    }

    fn document(&self, blob: &Descriptor, bytes: &[u8]) -> Result<(), LayoutError> {
        if self.read(blob, "document").is_ok() || self.write(blob, bytes)? {
            return Ok(());
        }
        Err(self.broken(format!("{} is not the digest of its document", blob.digest)))
    }

    /// Writes a blob; false if the bytes are not those of its descriptor.
    fn write(&self, blob: &Descriptor, mut from: impl io::Read) -> Result<bool, LayoutError> {
        let mut written = || {
            let mut making = self.making(blob.clone())?;
            io::copy(&mut from, &mut making)?;
            making.kept()
        };
        written().map_err(|error| self.disk("written", error))
    }

    /// Begins to write a blob in pieces.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin_blob(&self, blob: Descriptor) -> Result<BlobInMaking, LayoutError> {
        self.create()?;
        let begun = self.making(blob);
        begun.map_err(|error| self.disk("written", error))
    }

    fn making(&self, blob: Descriptor) -> io::Result<BlobInMaking> {
        // Not among the blobs: programs take every file there for one.
        let temporary = TemporaryFolder::within(&self.folder)?;
        let file = fs_err::File::create(temporary.path().join("blob"))?;
        Ok(BlobInMaking {
            layout: self.clone(),
            blob,
            temporary,
            file,
            hasher: Hasher::default(),
            size: 0,
        })
    }

    /// The image of a manifest, whether or not its layers are there.
    ///
    /// # Errors
    /// The disk's; a document is missing or is another.
    pub fn documented(&self, manifest: &Descriptor) -> Result<AssembledImage, LayoutError> {
        let bytes = self.read(manifest, "manifest")?;
        let (image, _) = self.described(manifest.digest.as_str(), manifest.clone(), bytes)?;
        Ok(image)
    }

    fn disk(&self, what: &'static str, error: io::Error) -> LayoutError {
        let folder = self.folder.clone();
        LayoutError::Disk {
            what,
            folder,
            error,
        }
    }

    fn broken(&self, message: String) -> LayoutError {
        let folder = self.folder.clone();
        LayoutError::Broken { folder, message }
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A blob that is being written to a layout.
pub struct BlobInMaking {
    layout: ImageLayout,
    blob: Descriptor,
    temporary: TemporaryFolder,
    file: fs_err::File,
    hasher: Hasher,
    size: u64,
}

impl BlobInMaking {
    /// The digest that it is to have.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    /// The bytes that were written so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The disk's.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        let written = self.write_all(bytes);
        written.map_err(|error| self.layout.disk("written", error))
    }

    /// Puts it among the blobs; false if its bytes are not those of its descriptor.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self) -> Result<bool, LayoutError> {
        let layout = self.layout.clone();
        self.kept().map_err(|error| layout.disk("written", error))
    }

    fn kept(self) -> io::Result<bool> {
        if (self.size, self.hasher.finish()) != (self.blob.size, self.blob.digest.clone()) {
            return Ok(false);
        }
        self.file.sync_all()?;
        let file = self.temporary.path().join("blob");
        fs_err::rename(file, self.layout.blob(&self.blob.digest))?;
        Ok(true)
    }
}

impl io::Write for BlobInMaking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Copies a blob; false if its bytes are not those of its descriptor.
fn copied(blob: &Descriptor, from: impl io::Read, to: &Path) -> io::Result<bool> {
    let mut hashed = HashedReader::new(from);
    io::copy(&mut hashed, &mut fs_err::File::create(to)?)?;
    Ok(hashed.finish() == (blob.size, blob.digest.clone()))
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(NAME)?.as_str()
}

#[cfg(test)]
mod tests;
