//! Pushes of whole images: the config and the layers in parallel, and then the manifest.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, StatusCode};

use super::{
    asked::AskedAhead,
    blob::{Blob, BlobProgress, BlobSource},
    client::{RegistryClient, Served, look_up, named_digest},
    error::RegistryError,
    session::{Actions, RegistrySession, Request, refused},
};
use crate::image::{Descriptor, Digest, MediaType, Reference, Repository};

/// The number of blobs that are looked up at once. Fewer are uploaded at once.
pub(super) const LOOK_UPS: usize = 8;

/// How long the answer that a tag is free is believed. After uploads that take longer the registry is asked again.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// An image to be pushed.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingImage<'a> {
    /// The manifest, byte for byte.
    pub manifest: &'a [u8],
    /// The manifest's media type.
    pub media_type: &'a str,
    /// The config, byte for byte.
    pub config: &'a [u8],
    /// The layers, those of the parent as well.
    pub layers: &'a [Blob],
}

impl RegistryClient {
    /// Pushes an image with the tag of `reference`, or without a tag if it has none, and returns the digest that is there
    /// afterwards: another one than the image's if somebody else has set the tag.
    ///
    /// Nothing is sent if the tag is there already with another image, and no blob that the registry has. The tag is set at
    /// the end, when everything else is there, and read back.
    ///
    /// # Errors
    /// The image did not arrive. A layer's file is damaged, or a repository does not have the layer that is to be
    /// copied from it.
    pub fn push_image(
        &self,
        image: OutgoingImage<'_>,
        reference: &Reference,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(image.manifest);
        let action = format!("push `{reference}`");
        let target = Reference {
            digest: reference.tag.is_none().then(|| digest.clone()),
            ..reference.clone()
        };
        let blobs = self.blobs(image);
        let mut mounts: Vec<Repository> = blobs
            .iter()
            .flat_map(|blob| blob.mountable(&target.repository).cloned())
            .collect();
        mounts.sort();
        mounts.dedup();
        let request = Request {
            actions: Actions::PullPush,
            mounts: &mounts,
            ..look_up(&action, &target.repository, &target)
        };
        let other = reference.digest.as_ref().filter(|named| **named != digest);
        if let Some(named) = other {
            let because = format!("the reference names {named}, and the image is {digest}");
            return Err(refused(&request, because));
        }
        let manifest = Served {
            digest,
            content_type: image.media_type.to_owned(),
            bytes: Bytes::copy_from_slice(image.manifest),
        };
        let pushed = self
            .session
            .push_image(request, &manifest, &blobs, progress);
        let there = self.runtime.block_on(pushed)?;
        if there == manifest.digest {
            self.session.remember_whole(&target.repository, &there);
        }
        Ok(there)
    }

    /// The config and the layers, each of them once. What is copied is read from mirrors.
    fn blobs(&self, image: OutgoingImage<'_>) -> Vec<Blob> {
        let config = Blob {
            descriptor: Descriptor::of(MediaType::ImageConfig, image.config),
            source: BlobSource::Bytes(Bytes::copy_from_slice(image.config)),
            mounts: Vec::new(),
            is_new: true,
        };
        let mut blobs = vec![config];
        for layer in image.layers {
            let digest = &layer.descriptor.digest;
            if blobs.iter().any(|blob| blob.descriptor.digest == *digest) {
                continue;
            }
            let mut blob = layer.clone();
            if let BlobSource::Registry(from) = &layer.source {
                blob.source = BlobSource::Registry(self.readable(from));
                blob.mounts.push(from.clone());
            }
            blobs.push(blob);
        }
        // What surely has to be sent takes longest.
        blobs.sort_by_key(|blob| !blob.is_new);
        blobs
    }
}

impl RegistrySession {
    async fn push_image(
        &self,
        request: Request<'_>,
        manifest: &Served,
        blobs: &[Blob],
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        let known = self.known_ahead(&request).await;
        let pushed = self.push_known(request.clone(), &known, manifest, blobs, progress);
        let pushed = pushed.await;
        // Nearly always there is none.
        self.cancel_uploads(&request, &known).await;
        pushed
    }

    async fn push_known(
        &self,
        request: Request<'_>,
        known: &AskedAhead,
        manifest: &Served,
        blobs: &[Blob],
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        let (asked, request) = if let Some(asked) = known.free_since {
            (asked, request)
        } else {
            let (there, request) = self.begin_push(request).await?;
            if let Some(there) = self.read(&request, there, manifest).await? {
                if there == manifest.digest {
                    // It may have lost what the manifest names.
                    self.upload_lacking(&request, blobs, progress).await?;
                }
                return Ok(there);
            }
            (Instant::now(), request)
        };
        self.upload_all((&request, known), blobs, progress).await?;
        if asked.elapsed() > FRESH {
            let there = self.present(&request).await?;
            if let Some(there) = self.read(&request, there, manifest).await? {
                return Ok(there);
            }
        }
        match self.tag(&request, manifest).await {
            Err(RegistryError::LostBlobs { .. }) => {}
            tagged => return tagged,
        }
        // What the registry, or a proxy before it, said to have taken was lost: it is asked for each blob.
        self.upload_lacking(&request, blobs, progress).await?;
        self.tag(&request, manifest).await
    }

    /// Asks for each blob, and uploads those that the repository lacks.
    async fn upload_lacking(
        &self,
        request: &Request<'_>,
        blobs: &[Blob],
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<(), RegistryError> {
        let asked_for = blobs.iter().map(|blob| Blob {
            is_new: false,
            ..blob.clone()
        });
        let (asked_for, anew) = (asked_for.collect::<Vec<_>>(), AskedAhead::default());
        self.upload_all((request, &anew), &asked_for, progress)
            .await
    }

    /// What is under a tag of which HEAD said this: if it is said to be the image itself, what a GET gives, since a cache on
    /// the way may have kept the answer to HEAD longer than the registry its tag. What others have set is read later.
    async fn read(
        &self,
        request: &Request<'_>,
        said: Option<Digest>,
        own: &Served,
    ) -> Result<Option<Digest>, RegistryError> {
        if said.as_ref() != Some(&own.digest) {
            return Ok(said);
        }
        let served = self.manifest(request, None).await?;
        Ok(served.map(|served| served.digest))
    }

    /// Uploads the blobs that the repository lacks, several at once.
    async fn upload_all(
        &self,
        (request, known): (&Request<'_>, &AskedAhead),
        blobs: &[Blob],
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<(), RegistryError> {
        let progress = &RefCell::new(progress);
        let uploads = blobs.iter().map(|blob| async move {
            let descriptor = &blob.descriptor;
            let tell = |state| (*progress.borrow_mut())(BlobProgress { descriptor, state });
            self.upload_blob((request, known), blob, &tell).await
        });
        stream::iter(uploads)
            .buffer_unordered(LOOK_UPS)
            .try_collect()
            .await
    }

    /// The digest that the registry has under the reference, by one request that also signs in for all further ones.
    ///
    /// If the registry does not let us read the repositories from which blobs would be mounted, the push does without.
    async fn begin_push<'a>(
        &self,
        request: Request<'a>,
    ) -> Result<(Option<Digest>, Request<'a>), RegistryError> {
        let not_allowed = |error: &RegistryError| {
            matches!(
                error,
                RegistryError::Denied { .. } | RegistryError::NotSignedIn { .. }
            )
        };
        match self.present(&request).await {
            Ok(there) => Ok((there, request)),
            Err(error) if not_allowed(&error) && !request.mounts.is_empty() => {
                let alone = Request {
                    mounts: &[],
                    ..request
                };
                Box::pin(self.begin_push(alone)).await
            }
            // The answer to a HEAD has no body, in which the reason would stand. A later answer has it.
            Err(RegistryError::Denied { .. }) => Ok((None, request)),
            Err(error) => Err(error),
        }
    }

    /// The digest of what the registry has under the reference of a request.
    async fn present(&self, request: &Request<'_>) -> Result<Option<Digest>, RegistryError> {
        let head = Request {
            method: Method::HEAD,
            ..request.clone()
        };
        let answer = self.exchange(&head).await?;
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        if let Some(digest) = named_digest(&answer) {
            return Ok(Some(digest));
        }
        let served = self.manifest(request, None).await?;
        Ok(served.map(|served| served.digest))
    }
}
