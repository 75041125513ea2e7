//! Loads: an assembled image gets into the daemon without a build, and of its layers only the new ones are sent.
//!
//! The tar is both a docker-archive, which every daemon reads, and an OCI image layout, which the containerd store
//! reads. It names all layers but holds only those that the daemon lacks: a classic store looks a layer up by its chain
//! ID, and the containerd store by the digest of its blob, before either opens the layer's file.

use std::collections::BTreeMap;

use bollard::{
    body_try_stream,
    query_parameters::{ImportImageOptionsBuilder, RemoveImageOptionsBuilder},
};
use futures_util::{StreamExt, future::try_join_all};
use serde_json::json;

use super::{
    blobs::Blobs,
    build::archive_error,
    daemon::{Daemon, WORK},
    error::{self, DockerError},
};
use crate::{
    adapters::tar_body,
    image::{
        AssembledImage, Descriptor, Digest, Family, ImageError, ImageIndex, ImageInfo,
        ImageManifest, ImageMismatch, LayerFile, Reference,
    },
    package::archive::ArchiveError,
    project::tree::{Content, Entry, Location},
};

/// How the containerd store begins the line about an image that it could not unpack.
const NOT_UNPACKED: &str = "Error unpacking image";

/// An image to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadRequest<'a> {
    /// Its documents.
    pub image: &'a AssembledImage,
    /// The layers that are sent. The others must be the parent's.
    pub layers: &'a [LayerFile],
    /// The image that the daemon already has the other layers of.
    pub parent: Option<LoadParent<'a>>,
    /// The name that the image gets.
    pub reference: &'a Reference,
}

/// An image in the daemon that another one stands on.
#[derive(Clone, Copy, Debug)]
pub struct LoadParent<'a> {
    /// Its name in the daemon: a reference or an image ID.
    pub name: &'a str,
    /// The image IDs that it may have as well, if another image got the name.
    pub ids: &'a [Digest],
}

impl Daemon {
    /// Loads an image whose lower layers the daemon has, and gives it its name once it is known to be whole.
    ///
    /// # Errors
    /// [`DockerError::Parent`] if the daemon lacks a layer that is not sent or does not load an image in parts: with all
    /// layers it may load it. [`DockerError::Archive`] if a layer's file is not what its descriptor says.
    pub fn load(&self, request: &LoadRequest<'_>) -> Result<ImageInfo, DockerError> {
        let image = request.image;
        let doing = || format!("load `{}`", request.reference);
        let manifest = ImageManifest::parse(&image.manifest);
        let manifest = manifest.map_err(|error| DockerError::Answer {
            doing: doing(),
            message: error.to_string(),
        })?;
        let files = files(request.layers);
        let is_left_out = |layer: &Descriptor| !files.contains_key(&layer.digest);
        let lower = manifest.layers.iter().rposition(is_left_out);
        let lower = &manifest.layers[..lower.map_or(0, |last| last + 1)];
        if !lower.is_empty() {
            self.check_parent(request, lower)?;
        }
        let loaded = self.send_image(request, &manifest, &files);
        let loaded = loaded.and_then(|()| self.loaded(request, &manifest));
        if let Err(DockerError::Answer { .. }) = loaded {
            self.remove_incomplete(&image.digest);
        }
        let info = loaded.map_err(|error| match error {
            DockerError::Answer { message, .. } if !lower.is_empty() => {
                parent_error(request, message)
            }
            DockerError::Mismatch(mismatch) if !lower.is_empty() => {
                parent_error(request, mismatch.to_string())
            }
            error => error,
        })?;
        self.tag(&info.id, request.reference)?;
        Ok(info)
    }

    /// Fails unless the daemon has the layers that are not sent, in a form that an image may stand on.
    fn check_parent(
        &self,
        request: &LoadRequest<'_>,
        lower: &[Descriptor],
    ) -> Result<(), DockerError> {
        let missing = |message: String| Err(parent_error(request, message));
        if self.podman {
            return missing("Podman loads no image in parts".to_owned());
        }
        let Some(parent) = request.parent else {
            return missing("layers were left out that no parent has".to_owned());
        };
        let blobs = self.blobs().map_err(|error| match error {
            error @ DockerError::Answer { .. } => parent_error(request, error.to_string()),
            error => error,
        });
        if let Some(blobs) = blobs? {
            let lacking = self.runtime.block_on(lacking(blobs, lower));
            return match lacking.map_err(|error| parent_error(request, error.to_string()))? {
                Some(layer) => missing(format!("it has no compressed layer `{}`", layer.digest)),
                None => Ok(()),
            };
        }
        let Some(diff_ids) = request.image.info.diff_ids.get(..lower.len()) else {
            return missing("its config has fewer layers than its manifest".to_owned());
        };
        let mut reason = None;
        let ids = parent.ids.iter().map(Digest::as_str);
        for name in std::iter::once(parent.name).chain(ids) {
            match self.inspect(name)? {
                Some(found) if found.diff_ids.starts_with(diff_ids) => return Ok(()),
                Some(_) => {
                    reason.get_or_insert(format!("its `{name}` has other layers"));
                }
                None => {}
            }
        }
        missing(reason.unwrap_or_else(|| "it has no such image".to_owned()))
    }

    /// Sends the tar, without a name for the image: an image that has the name keeps it until the new one is checked.
    fn send_image(
        &self,
        request: &LoadRequest<'_>,
        manifest: &ImageManifest,
        files: &BTreeMap<Digest, &LayerFile>,
    ) -> Result<(), DockerError> {
        let doing = || format!("load `{}`", request.reference);
        let entries = entries(request.image, manifest, files);
        let entries = entries.map_err(|error| DockerError::Answer {
            doing: doing(),
            message: error.to_string(),
        })?;
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let (answer, written) = tar_body::send(&entries, &[], |body| {
            let client = self.client.clone().with_timeout(WORK);
            let body = body_try_stream(body);
            self.runtime.block_on(async {
                let mut messages = error::messages(client.import_image(options, body, None));
                while let Some(message) = messages.next().await {
                    // The containerd store tells in passing that it could not unpack what it says to have loaded.
                    let told = message?.stream.unwrap_or_default();
                    if told.starts_with(NOT_UNPACKED) {
                        let error = told.trim_end().to_owned();
                        return Err(bollard::errors::Error::DockerStreamError { error });
                    }
                }
                Ok(())
            })
        });
        written.map_err(|error| archive_error(request.reference, of_layer(error, files)))?;
        answer.map_err(|error| self.failed(&error, doing))
    }

    /// Removes an image that the containerd store took although it cannot be used. Nothing depends on that.
    fn remove_incomplete(&self, id: &Digest) {
        if matches!(self.blobs(), Ok(Some(_))) {
            let options = RemoveImageOptionsBuilder::default().noprune(true).build();
            let removed = self.client.remove_image(id.as_str(), Some(options), None);
            let _ = self.ask(removed);
        }
    }

    /// The loaded image. A daemon that reports success may still have loaded another one, or a part: the containerd
    /// store takes an image whose layers it lacks, and only a push of it fails.
    fn loaded(
        &self,
        request: &LoadRequest<'_>,
        manifest: &ImageManifest,
    ) -> Result<ImageInfo, DockerError> {
        let LoadRequest {
            image, reference, ..
        } = request;
        let doing = || format!("load `{reference}`");
        // A classic store calls it by its config's digest, the containerd store by its manifest's.
        for id in [&image.info.id, &image.digest] {
            let Some(found) = self.inspect(id.as_str())? else {
                continue;
            };
            ImageMismatch::of_platform(&found, &image.info.platform, reference)?;
            ImageMismatch::of_labels(&found, &image.info.labels, reference)?;
            if found.diff_ids != image.info.diff_ids {
                return Err(DockerError::Answer {
                    doing: doing(),
                    message: format!("the image that it made of it, `{id}`, has other layers"),
                });
            }
            if let Some(blobs) = self.blobs()?
                && let Some(layer) = self.runtime.block_on(lacking(blobs, &manifest.layers))?
            {
                return Err(DockerError::Answer {
                    doing: doing(),
                    message: format!("it has no layer `{}` afterwards", layer.digest),
                });
            }
            return Ok(found);
        }
        Err(DockerError::Answer {
            doing: doing(),
            message: format!(
                "it reported no error, and has neither the image `{}` nor `{}`",
                image.info.id, image.digest
            ),
        })
    }
}

/// The first of these layers that the containerd store does not have.
async fn lacking<'l>(
    blobs: &Blobs,
    layers: &'l [Descriptor],
) -> Result<Option<&'l Descriptor>, DockerError> {
    let found = layers.iter().map(|layer| blobs.has(&layer.digest));
    let found = try_join_all(found).await?;
    let mut layers = layers.iter().zip(found);
    Ok(layers
        .find(|(_, is_there)| !is_there)
        .map(|(layer, _)| layer))
}

fn parent_error(request: &LoadRequest<'_>, message: String) -> DockerError {
    DockerError::Parent {
        reference: Box::new(request.reference.clone()),
        parent: request.parent.map(|parent| parent.name.to_owned()),
        message,
    }
}

fn files(layers: &[LayerFile]) -> BTreeMap<Digest, &LayerFile> {
    let files = layers.iter();
    files
        .map(|file| (file.layer.descriptor.digest.clone(), file))
        .collect()
}

/// The path of a blob, in the tar as in any OCI image layout.
fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Everything that the tar holds.
fn entries(
    image: &AssembledImage,
    manifest: &ImageManifest,
    files: &BTreeMap<Digest, &LayerFile>,
) -> Result<Vec<Entry>, ImageError> {
    let descriptor = Descriptor {
        platform: Some(image.info.platform.clone()),
        ..Descriptor::of(image.media_type.clone(), &image.manifest)
    };
    let index = ImageIndex::assemble(Family::Oci, &[descriptor])?;
    let layers = manifest.layers.iter().map(|layer| blob(&layer.digest));
    let layers: Vec<String> = layers.collect();
    let archive = json!([{"Config": blob(&image.info.id), "RepoTags": [], "Layers": layers}]);
    let layout = json!({"imageLayoutVersion": "1.0.0"});
    let mut entries = vec![
        Entry::in_memory("manifest.json", archive.to_string(), false),
        Entry::in_memory("index.json", index, false),
        Entry::in_memory("oci-layout", layout.to_string(), false),
        Entry::in_memory(blob(&image.digest), &*image.manifest, false),
        Entry::in_memory(blob(&image.info.id), &*image.config, false),
    ];
    entries.extend(files.iter().map(|(digest, file)| Entry {
        path: blob(digest),
        content: Content::File {
            digest: digest.clone(),
            executable: false,
            size: file.layer.descriptor.size,
            location: Location::Disk(file.file.clone()),
        },
    }));
    Ok(entries)
}

/// The same error, with a layer's file instead of its path in the tar.
fn of_layer(error: ArchiveError, files: &BTreeMap<Digest, &LayerFile>) -> ArchiveError {
    let ArchiveError::Changed { path } = error else {
        return error;
    };
    let file = files.iter().find(|(digest, _)| blob(digest) == path);
    let path = file.map_or(path, |(_, file)| file.file.display().to_string());
    ArchiveError::Changed { path }
}
