//! Exports: all layers of an image, for a daemon that loads no image in parts.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{
    daemon::{Daemon, WORK},
    error::DockerError,
};
use crate::adapters::chunks::read_while_fetched;
use crate::image::{
    Compression, Descriptor, Digest, HashedReader, History, ImageConfig, ImageDocuments, Layer,
    LayerFile,
};

/// An image that was exported.
#[derive(Clone, Debug)]
pub struct ExportedImage {
    /// Its documents; the layers of its manifest are uncompressed tars.
    pub documents: ImageDocuments,
    /// All of its layers.
    pub layers: Vec<LayerFile>,
    /// The config byte for byte, if the image was named by the digest of it; the one among the documents says the same.
    pub config: Option<Vec<u8>>,
}

impl Daemon {
    /// Exports an image into `folder`, with the documents that [`parent`](Self::parent) gives; `None` if the daemon has no
    /// such image, or its store is the one that loads images in parts by their compressed layers.
    ///
    /// # Errors
    /// The daemon does not export it, or the folder cannot be written.
    pub fn export(&self, name: &str, folder: &Path) -> Result<Option<ExportedImage>, DockerError> {
        if self.blobs()?.is_some() {
            return Ok(None);
        }
        let Some(documents) = self.parent(name)? else {
            return Ok(None);
        };
        let failed = |message: String| DockerError::Answer {
            doing: format!("export `{name}`"),
            message,
        };
        let config = ImageConfig::parse(&documents.config);
        let config = config.map_err(|error| failed(error.to_string()))?;
        let client = self.client.clone().with_timeout(WORK);
        let id = name.parse::<Digest>().ok();
        let wanted: Vec<&Digest> = config.diff_ids.iter().chain(&id).collect();
        let (files, fetched) = read_while_fetched(
            |reader| layer_files(reader, &wanted, folder),
            |send| {
                self.runtime.block_on(async {
                    let mut chunks = client.export_image(name);
                    while let Some(chunk) = chunks.next().await {
                        if !send(chunk?) {
                            break;
                        }
                    }
                    Ok::<(), bollard::errors::Error>(())
                })
            },
        );
        // An archive that is cut is no reason, but why it was cut is.
        fetched.map_err(|error| failed(error.to_string()))?;
        let files = files.map_err(|error| failed(error.to_string()))?;
        let own = id.and_then(|id| files.get(&id));
        let own = own.map(|(file, _)| taken(file)).transpose();
        let own = own.map_err(|error| failed(error.to_string()))?;
        let layers = config.diff_ids.iter().map(|diff_id| {
            let (file, size) = files
                .get(diff_id)
                .ok_or_else(|| failed(format!("it left out the layer `{diff_id}`")))?;
            Ok(layer(diff_id, *size, file.clone()))
        });
        let layers: Vec<LayerFile> = layers.collect::<Result<_, DockerError>>()?;
        let manifest = with_layers(&documents.manifest, &layers);
        let manifest = manifest.map_err(|error| failed(error.to_string()))?;
        Ok(Some(ExportedImage {
            documents: ImageDocuments {
                manifest,
                ..documents
            },
            layers,
            config: own,
        }))
    }
}

/// The bytes of a file, which is removed.
fn taken(file: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs_err::read(file)?;
    fs_err::remove_file(file)?;
    Ok(bytes)
}

/// The files of an archive whose bytes have one of these digests, with their sizes. Every daemon gives them other names.
fn layer_files(
    archive: impl Read,
    wanted: &[&Digest],
    folder: &Path,
) -> io::Result<BTreeMap<Digest, (PathBuf, u64)>> {
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(archive);
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let file = folder.join(number.to_string());
        let mut hashed = HashedReader::new(&mut entry);
        io::copy(&mut hashed, &mut fs_err::File::create_new(&file)?)?;
        let (size, digest) = hashed.finish();
        if wanted.contains(&&digest) {
            found.insert(digest, (file, size));
        } else {
            fs_err::remove_file(&file)?;
        }
    }
    Ok(found)
}

fn layer(diff_id: &Digest, size: u64, file: PathBuf) -> LayerFile {
    let descriptor = Descriptor {
        media_type: Compression::None.media_type(),
        digest: diff_id.clone(),
        size,
        platform: None,
    };
    let layer = Layer {
        descriptor,
        diff_id: diff_id.clone(),
        history: History::default(),
    };
    LayerFile {
        layer,
        file,
        is_new: false,
    }
}

/// The manifest with the true sizes of its layers.
fn with_layers(manifest: &[u8], layers: &[LayerFile]) -> Result<Vec<u8>, serde_json::Error> {
    let mut manifest: Value = serde_json::from_slice(manifest)?;
    if let Some(named) = manifest["layers"].as_array_mut() {
        for (named, file) in named.iter_mut().zip(layers) {
            named["size"] = json!(file.layer.descriptor.size);
        }
    }
    serde_json::to_vec(&manifest)
}
