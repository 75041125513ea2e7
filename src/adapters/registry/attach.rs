//! Small documents beside an image: OCI artifacts with one layer, whose subject is the image.
//!
//! Registries without the referrers API cannot list artifacts by subject, so each artifact has a tag of its own.
//! Registries with that API find it by the image as well.

use bytes::Bytes;
use serde_json::json;

use super::{
    client::{RegistryClient, RegistryImage, Served, look_up},
    document::OCI_MANIFEST,
    error::RegistryError,
    session::{Actions, RegistrySession, Request, not_understood, refused, untrue},
};
use crate::image::{Digest, ManifestOrIndex, Reference};

/// The media type of OCI's empty config.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of OCI's empty config.
const EMPTY_BYTES: &[u8] = b"{}";

/// A document to be stored beside an image.
#[derive(Clone, Copy, Debug)]
pub struct Attachment<'a> {
    /// The media type of the document, and of the artifact.
    pub media_type: &'a str,
    /// The document.
    pub bytes: &'a [u8],
    /// The image that it describes.
    pub subject: &'a RegistryImage,
}

impl RegistryClient {
    /// Stores a document beside an image, under the tag of `reference`, in the image's repository.
    ///
    /// A tag that already has the same document stays unchanged.
    ///
    /// # Errors
    /// The tag has other content, or the registry does not accept the artifact.
    pub fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        let action = format!("push `{reference}`");
        let request = Request {
            actions: Actions::PullPush,
            ..look_up(&action, &reference.repository, reference)
        };
        if reference.tag.is_none() {
            return Err(refused(&request, "no tag is named".to_owned()));
        }
        self.runtime
            .block_on(self.session.attach(&request, attachment))
    }

    /// The digest of the document with this media type under the tag of `reference`; `None` if there is none.
    ///
    /// # Errors
    /// Any answer other than the artifact or "not found"; the tag has other content.
    pub fn attached(
        &self,
        reference: &Reference,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        let action = format!("look up `{reference}`");
        let repository = self.readable(&reference.repository);
        let request = look_up(&action, &repository, reference);
        self.runtime
            .block_on(self.session.attached(&request, media_type))
    }

    /// A blob of the repository of `reference`, verified by its digest, of at most `limit` bytes; `None` if there is
    /// none.
    ///
    /// # Errors
    /// Any answer other than the blob or "not found"; bytes with another digest.
    pub fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let action = format!("fetch `{}@{digest}`", reference.repository);
        let repository = self.readable(&reference.repository);
        let request = look_up(&action, &repository, reference);
        let blob = self
            .runtime
            .block_on(self.session.blob(&request, digest, limit))?;
        Ok(blob.map(Vec::from))
    }
}

impl RegistrySession {
    async fn attach(
        &self,
        request: &Request<'_>,
        attachment: Attachment<'_>,
    ) -> Result<(), RegistryError> {
        let Attachment {
            media_type, bytes, ..
        } = attachment;
        let document = Digest::of(bytes);
        let is_there = async || match self.attached(request, media_type).await? {
            Some(other) if other != document => Err(refused(
                request,
                "the tag has another document, which is not overwritten".to_owned(),
            )),
            found => Ok(found.is_some()),
        };
        if is_there().await? {
            return Ok(());
        }
        self.upload(request, EMPTY_BYTES).await?;
        self.upload(request, bytes).await?;
        let manifest = manifest(attachment);
        let put = self.tag(request, &manifest).await;
        // Another client may have pushed the same document at the same moment for another subject. The document is what
        // counts.
        match put {
            Ok(digest) if digest == manifest.digest => Ok(()),
            Ok(_) if is_there().await? => Ok(()),
            Ok(_) => Err(untrue(request, "the tag is gone again".to_owned())),
            Err(error) => match is_there().await {
                Ok(true) => Ok(()),
                _ => Err(error),
            },
        }
    }

    async fn attached(
        &self,
        request: &Request<'_>,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        let Some(served) = self.manifest(request, None).await? else {
            return Ok(None);
        };
        let other = || refused(request, format!("what has the tag is no `{media_type}`"));
        match ManifestOrIndex::parse(&served.bytes) {
            Ok(ManifestOrIndex::Manifest(manifest)) => match manifest.layers.as_slice() {
                [layer] if layer.media_type.as_ref() == media_type => {
                    Ok(Some(layer.digest.clone()))
                }
                _ => Err(other()),
            },
            Ok(ManifestOrIndex::Index(_)) => Err(other()),
            Err(error) => Err(not_understood(request, error.to_string())),
        }
    }
}

/// The artifact's manifest.
fn manifest(attachment: Attachment<'_>) -> Served {
    let Attachment {
        media_type,
        bytes,
        subject,
    } = attachment;
    let descriptor = |media_type: &str, digest: &Digest, size: usize| json!({"mediaType": media_type, "digest": digest, "size": size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": media_type,
        "config": descriptor(EMPTY, &Digest::of(EMPTY_BYTES), EMPTY_BYTES.len()),
        "layers": [descriptor(media_type, &Digest::of(bytes), bytes.len())],
        "subject": descriptor(&subject.media_type, &subject.digest, subject.manifest.len()),
    });
    let bytes = Bytes::from(manifest.to_string());
    Served {
        digest: Digest::of(&bytes),
        content_type: OCI_MANIFEST.to_owned(),
        bytes,
    }
}
