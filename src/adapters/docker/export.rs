//! Exports: the layers of an image, for places that have none of them.
//!
//! A classic store hands out an image only whole, as one archive, with uncompressed layers. The containerd store lets each
//! of its blobs be read by itself, and they are compressed as their image says.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{
    blobs::Blobs,
    daemon::{Daemon, WORK},
    error::DockerError,
};
use crate::adapters::chunks::read_while_fetched;
use crate::image::{
    Descriptor, Digest, HashedReader, ImageConfig, ImageDocuments, ImageError, ImageManifest,
    Layer, LayerFile,
};

/// Whether a layer is to be exported, by its descriptor and its diff ID.
pub type WantedLayers<'a> = dyn Fn(&Descriptor, &Digest) -> bool + 'a;

/// An image that was exported.
#[derive(Clone, Debug)]
pub struct ExportedImage {
    /// Its documents, by which the layers are uncompressed tars, or what the containerd store has.
    pub documents: ImageDocuments,
    /// Its layers that were wanted.
    pub layers: Vec<LayerFile>,
    /// The config byte for byte, if the image was named by the digest of it; the one among the documents says the same.
    pub config: Option<Vec<u8>>,
}

impl Daemon {
    /// Exports the layers of an image that `is_wanted` into `folder`, with the documents that [`parent`](Self::parent)
    /// gives; `None` if the daemon has no such image, or not all of it.
    ///
    /// # Errors
    /// The daemon does not export it, or the folder cannot be written.
    pub fn export(
        &self,
        name: &str,
        is_wanted: &WantedLayers<'_>,
        folder: &Path,
    ) -> Result<Option<ExportedImage>, DockerError> {
        let Some(documents) = self.parent(name)? else {
            return Ok(None);
        };
        let odd = |error: ImageError| failed(name, error.to_string());
        let config = ImageConfig::parse(&documents.config).map_err(odd)?;
        let manifest = ImageManifest::parse(&documents.manifest).map_err(odd)?;
        config.info(&manifest).map_err(odd)?;
        let layers = manifest.layers.into_iter().zip(config.diff_ids);
        let mut wanted: Vec<Layer> = Vec::new();
        for (descriptor, diff_id) in layers.filter(|(layer, diff_id)| is_wanted(layer, diff_id)) {
            // An image may have the same layer twice.
            if wanted.iter().all(|layer| layer.diff_id != diff_id) {
                wanted.push(Layer::of_another(descriptor, diff_id));
            }
        }
        match self.blobs()? {
            Some(blobs) => {
                let stored = stored(name, blobs, wanted, folder);
                let stored = self.runtime.block_on(stored)?;
                Ok(stored.map(|layers| ExportedImage {
                    documents,
                    layers,
                    config: None,
                }))
            }
            None => self
                .export_archive(name, documents, wanted, folder)
                .map(Some),
        }
    }

    /// Exports layers by way of an archive of the whole image.
    fn export_archive(
        &self,
        name: &str,
        documents: ImageDocuments,
        wanted: Vec<Layer>,
        folder: &Path,
    ) -> Result<ExportedImage, DockerError> {
        let client = self.client.clone().with_timeout(WORK);
        let id = name.parse::<Digest>().ok();
        let digests = wanted.iter().map(|layer| &layer.diff_id).chain(&id);
        let digests: Vec<&Digest> = digests.collect();
        let (files, fetched) = read_while_fetched(
            |reader| layer_files(reader, &digests, folder),
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
        fetched.map_err(|error| failed(name, error.to_string()))?;
        let unwritable = |error: io::Error| not_saved(name, error);
        let files = files.map_err(unwritable)?;
        let own = id.and_then(|id| files.get(&id));
        let own = own.map(|(file, _)| taken(file)).transpose();
        let config = own.map_err(unwritable)?;
        let layers = wanted.into_iter().map(|mut layer| {
            let found = files.get(&layer.diff_id);
            let left_out = || failed(name, format!("it left out the layer `{}`", layer.diff_id));
            let (file, size) = found.ok_or_else(left_out)?;
            layer.descriptor.size = *size;
            Ok(LayerFile::there(layer, file.clone()))
        });
        let layers: Vec<LayerFile> = layers.collect::<Result<_, DockerError>>()?;
        let manifest = with_sizes(&documents.manifest, &layers);
        let manifest = manifest.map_err(|error| failed(name, error.to_string()))?;
        Ok(ExportedImage {
            documents: ImageDocuments {
                manifest,
                ..documents
            },
            layers,
            config,
        })
    }
}

fn failed(name: &str, message: String) -> DockerError {
    DockerError::Answer {
        doing: format!("export `{name}`"),
        message,
    }
}

/// The error of a file that was to be written, unless the bytes for it were at fault.
fn not_saved(name: &str, error: io::Error) -> DockerError {
    match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied => DockerError::NotSaved {
            doing: format!("export `{name}`"),
            because: error,
        },
        _ => failed(name, error.to_string()),
    }
}

/// The files of layers in the containerd store; `None` if it lacks one of them.
async fn stored(
    name: &str,
    blobs: &Blobs,
    wanted: Vec<Layer>,
    folder: &Path,
) -> Result<Option<Vec<LayerFile>>, DockerError> {
    let mut files = Vec::with_capacity(wanted.len());
    for layer in wanted {
        let file = folder.join(layer.descriptor.digest.hex());
        let output = fs_err::File::create(&file).map_err(|error| not_saved(name, error))?;
        let mut output = io::BufWriter::new(output);
        let mut written = Ok(());
        let is_there = blobs
            .save(&layer.descriptor, &mut output, &mut written)
            .await;
        written
            .and_then(|()| output.flush())
            .map_err(|error| not_saved(name, error))?;
        if !is_there? {
            return Ok(None);
        }
        files.push(LayerFile::there(layer, file));
    }
    Ok(Some(files))
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

/// The manifest with the true sizes of these layers.
fn with_sizes(manifest: &[u8], layers: &[LayerFile]) -> Result<Vec<u8>, serde_json::Error> {
    let mut manifest: Value = serde_json::from_slice(manifest)?;
    for named in manifest["layers"].as_array_mut().into_iter().flatten() {
        let mut layers = layers.iter().map(|file| &file.layer);
        let layer = layers.find(|layer| named["digest"] == layer.diff_id.as_str());
        if let Some(layer) = layer {
            named["size"] = json!(layer.descriptor.size);
        }
    }
    serde_json::to_vec(&manifest)
}
