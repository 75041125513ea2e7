//! The client: looks up manifests, reads them, and tags them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::{
    document,
    error::{Cause, RegistryError},
    session::{
        Actions, Attempts, Failure, RegistrySession, Request, codes, describe, lost_blobs,
        not_understood, refused, untrue,
    },
    settings::RegistrySettings,
    transport::{Answer, Body, Patience, Reading},
};
use crate::adapters::{
    cache::CacheKind, credentials::Credentials, digest_cache, runtime::NetworkRuntime, store,
};
use crate::image::{
    AssembledImage, Descriptor, Digest, ImageConfig, ImageDocuments, ImageError, ImageInfo,
    ImageManifest, ManifestOrIndex, Platform, Reference, Repository,
};

/// The size limit of a manifest or index, in bytes: registries accept no larger ones.
pub(super) const MANIFEST_LIMIT: usize = 4 << 20;
/// The size limit of a config, in bytes.
pub(super) const CONFIG_LIMIT: usize = 16 << 20;

/// The header in which a registry names the digest of an answer's content.
const DIGEST_HEADER: &str = "docker-content-digest";

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryImage {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest's media type, OCI's or Docker's.
    pub media_type: String,
    /// The manifest as it is served, byte for byte.
    pub manifest: Vec<u8>,
    /// The properties in the manifest and the config.
    pub info: ImageInfo,
}

impl From<AssembledImage> for RegistryImage {
    fn from(image: AssembledImage) -> Self {
        Self {
            digest: image.digest,
            media_type: image.media_type.to_string(),
            manifest: image.manifest,
            info: image.info,
        }
    }
}

/// The documents of an image as they are served, byte for byte.
struct ServedImage {
    /// The digest of the manifest.
    digest: Digest,
    /// The manifest's media type, OCI's or Docker's.
    media_type: String,
    documents: ImageDocuments,
}

/// The answer to a HEAD request for a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The registry does not have the reference.
    Absent,
    /// The registry has the reference, with this digest if it names one.
    There(Option<Digest>),
}

/// A client for registries. Threads may share it, but asynchronous code must not call it.
pub struct RegistryClient {
    pub(super) runtime: NetworkRuntime,
    pub(super) session: Arc<RegistrySession>,
    pub(super) mirrors: BTreeMap<String, String>,
}

/// A manifest or an index, as the registry sent it.
pub(super) struct Served {
    pub(super) digest: Digest,
    pub(super) content_type: String,
    pub(super) bytes: Bytes,
}

impl RegistryClient {
    /// A client that is not connected to anything yet.
    ///
    /// # Errors
    /// The file of certificates cannot be read or holds none.
    pub fn new(
        settings: RegistrySettings,
        credentials: impl Into<Arc<Credentials>>,
    ) -> Result<Self, RegistryError> {
        Self::with_patience(settings, credentials, Patience::default())
    }

    pub(super) fn with_patience(
        settings: RegistrySettings,
        credentials: impl Into<Arc<Credentials>>,
        patience: Patience,
    ) -> Result<Self, RegistryError> {
        let runtime = NetworkRuntime::new(1);
        let runtime = runtime.map_err(|error| RegistryError::Settings {
            because: Cause(error.to_string()),
        })?;
        let session = RegistrySession::new(&settings, credentials.into(), patience)?;
        Ok(Self {
            runtime,
            session: Arc::new(session),
            mirrors: settings.mirrors,
        })
    }

    /// The digest of a tag, or the reference's own digest if the registry has it; for an index, the index's.
    ///
    /// # Errors
    /// Any answer other than the digest or "not found".
    pub fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let action = format!("look up `{reference}`");
        let repository = self.readable(&reference.repository);
        let request = look_up(&action, &repository, reference);
        self.runtime
            .block_on(self.session.digest(request, reference.digest.as_ref()))
    }

    /// Whether the registry has a reference, by HEAD requests alone. The content is not read or verified.
    ///
    /// # Errors
    /// Any answer other than "it exists" or "not found".
    pub fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError> {
        let action = format!("look up `{reference}`");
        let repository = self.readable(&reference.repository);
        let head = Request {
            method: Method::HEAD,
            ..look_up(&action, &repository, reference)
        };
        let answer = self.runtime.block_on(self.session.exchange(&head))?;
        match answer.status {
            StatusCode::OK => Ok(Presence::There(named_digest(&answer))),
            StatusCode::NOT_FOUND => Ok(Presence::Absent),
            _ => Err(refused(&head, describe(&answer))),
        }
    }

    /// The image of a reference. If the reference is an index, it is the index's image for the platform.
    ///
    /// Without an index the image is returned whatever its platform is: its info has it.
    ///
    /// # Errors
    /// Any answer other than the image or "not found"; an index without the platform; bytes with another digest.
    pub fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<RegistryImage>, RegistryError> {
        let action = format!("look up `{reference}`");
        let repository = self.readable(&reference.repository);
        let request = look_up(&action, &repository, reference);
        self.runtime.block_on(
            self.session
                .find(&request, reference.digest.as_ref(), platform),
        )
    }

    /// The documents of an image, verified by their digests. If the reference is an index, it is the index's image for
    /// the platform.
    ///
    /// Without an index the documents are returned whatever the image's platform is: its config has it.
    ///
    /// # Errors
    /// Any answer other than the image or "not found"; an index without the platform; bytes with another digest.
    pub fn documents(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageDocuments>, RegistryError> {
        let action = format!("look up `{reference}`");
        let repository = self.readable(&reference.repository);
        let request = look_up(&action, &repository, reference);
        let found = self
            .session
            .documents(&request, reference.digest.as_ref(), platform);
        let found = self.runtime.block_on(found)?;
        Ok(found.map(|found| found.documents))
    }

    /// Gives an image of the same repository the tag of `reference`, and returns the digest that the tag has
    /// afterwards.
    ///
    /// It is not the image's if somebody else set the tag at the same moment.
    ///
    /// # Errors
    /// The tag could not be set, for example because it is immutable and has another digest.
    pub fn tag(
        &self,
        image: &RegistryImage,
        reference: &Reference,
    ) -> Result<Digest, RegistryError> {
        let action = format!("tag `{reference}`");
        let plain = Reference {
            digest: None,
            ..reference.clone()
        };
        let request = Request {
            actions: Actions::PullPush,
            ..look_up(&action, &plain.repository, &plain)
        };
        if plain.tag.is_none() {
            return Err(refused(&request, "no tag is named".to_owned()));
        }
        let served = Served {
            digest: image.digest.clone(),
            content_type: image.media_type.clone(),
            bytes: Bytes::from(image.manifest.clone()),
        };
        self.runtime.block_on(self.session.tag(&request, &served))
    }

    /// The repository to read from: the mirror's, if one is configured.
    pub(super) fn readable(&self, repository: &Repository) -> Repository {
        let Some(mirror) = self.mirrors.get(&repository.registry) else {
            return repository.clone();
        };
        let (registry, folder) = mirror.split_once('/').unwrap_or((mirror, ""));
        let folder = folder.trim_end_matches('/');
        let path = if folder.is_empty() {
            repository.path.clone()
        } else {
            format!("{folder}/{}", repository.path)
        };
        Repository {
            registry: registry.to_owned(),
            path,
        }
    }
}

pub(super) fn look_up<'a>(
    action: &'a str,
    repository: &'a Repository,
    reference: &Reference,
) -> Request<'a> {
    let tag = reference.tag.as_deref().unwrap_or("latest");
    let version = reference.digest.as_ref().map_or(tag, Digest::as_str);
    let path = format!("manifests/{version}");
    Request {
        accept: document::ACCEPT,
        ..Request::get(action, repository, path, Reading::Whole(MANIFEST_LIMIT))
    }
}

impl RegistrySession {
    async fn digest(
        &self,
        request: Request<'_>,
        wanted: Option<&Digest>,
    ) -> Result<Option<Digest>, RegistryError> {
        let head = Request {
            method: Method::HEAD,
            ..request.clone()
        };
        let named = match self.exchange(&head).await {
            Ok(answer) if answer.status == StatusCode::OK => named_digest(&answer),
            // The answer to a HEAD has no body, in which the reason would stand.
            Ok(_) | Err(RegistryError::Denied { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(digest) = named {
            expect(&request, wanted, &digest)?;
            return Ok(Some(digest));
        }
        let served = self.manifest(&request, wanted).await?;
        Ok(served.map(|served| served.digest))
    }

    /// A manifest or index, verified against every digest that is known for it.
    pub(super) async fn manifest(
        &self,
        request: &Request<'_>,
        wanted: Option<&Digest>,
    ) -> Result<Option<Served>, RegistryError> {
        let answer = self.exchange(request).await?;
        if !found(request, &answer)? {
            return Ok(None);
        }
        let digest = Digest::of(&answer.body);
        expect(request, wanted, &digest)?;
        expect(request, named_digest(&answer).as_ref(), &digest)?;
        let content_type = answer
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        Ok(Some(Served {
            digest,
            content_type,
            bytes: answer.body,
        }))
    }

    async fn find(
        &self,
        request: &Request<'_>,
        wanted: Option<&Digest>,
        platform: &Platform,
    ) -> Result<Option<RegistryImage>, RegistryError> {
        let Some(found) = self.documents(request, wanted, platform).await? else {
            return Ok(None);
        };
        let odd = |error: ImageError| not_understood(request, error.to_string());
        let manifest = ImageManifest::parse(&found.documents.manifest).map_err(odd)?;
        let config = ImageConfig::parse(&found.documents.config).map_err(odd)?;
        let info = config.info(&manifest).map_err(odd)?;
        Ok(Some(RegistryImage {
            digest: found.digest,
            media_type: found.media_type,
            manifest: found.documents.manifest,
            info,
        }))
    }

    async fn documents(
        &self,
        request: &Request<'_>,
        wanted: Option<&Digest>,
        platform: &Platform,
    ) -> Result<Option<ServedImage>, RegistryError> {
        let Some(served) = self.manifest(request, wanted).await? else {
            return Ok(None);
        };
        let odd = |error: ImageError| not_understood(request, error.to_string());
        let (served, document) = match ManifestOrIndex::parse(&served.bytes).map_err(odd)? {
            ManifestOrIndex::Index(index) => {
                let entry = index.choose(platform);
                let entry = entry.map_err(|error| refused(request, error.to_string()))?;
                let served = self.entry(request, entry).await?;
                let document = ManifestOrIndex::parse(&served.bytes).map_err(odd)?;
                (served, document)
            }
            document @ ManifestOrIndex::Manifest(_) => (served, document),
        };
        let ManifestOrIndex::Manifest(manifest) = document else {
            return Err(not_understood(request, "an index in an index".to_owned()));
        };
        let config = self.config(request, &manifest.config).await?;
        Ok(Some(ServedImage {
            digest: served.digest,
            media_type: document::media_type(&manifest, &served.content_type),
            documents: ImageDocuments {
                manifest: served.bytes.to_vec(),
                config: config.to_vec(),
            },
        }))
    }

    async fn entry(
        &self,
        request: &Request<'_>,
        entry: &Descriptor,
    ) -> Result<Served, RegistryError> {
        let digest = &entry.digest;
        let below = Request {
            path: format!("manifests/{digest}"),
            ..request.clone()
        };
        let served = self.manifest(&below, Some(digest)).await?;
        served.ok_or_else(|| {
            untrue(
                request,
                format!("its index names {digest}, which it does not have"),
            )
        })
    }

    pub(super) async fn config(
        &self,
        request: &Request<'_>,
        config: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        let Descriptor { digest, size, .. } = config;
        let kept = self.cache.as_ref();
        let kept = kept.map(|cache| cache.entry(CacheKind::Blobs, digest.hex()));
        let known = kept.as_deref().and_then(digest_cache::own_bytes);
        let bytes = match known.filter(|bytes| Digest::of(bytes) == *digest) {
            Some(known) => known.into(),
            None => {
                self.fetched_config(request, digest, kept.as_deref())
                    .await?
            }
        };
        if bytes.len() as u64 != *size {
            let because = format!(
                "the config has {} bytes, its manifest says {size}",
                bytes.len()
            );
            return Err(untrue(request, because));
        }
        Ok(bytes)
    }

    async fn fetched_config(
        &self,
        request: &Request<'_>,
        digest: &Digest,
        kept: Option<&Path>,
    ) -> Result<Bytes, RegistryError> {
        let bytes = self.blob(request, digest, CONFIG_LIMIT).await?;
        let bytes = bytes.ok_or_else(|| {
            let because = format!("the manifest names the config {digest}, which is not there");
            lost_blobs(request, because)
        })?;
        if let Some(file) = kept {
            // If that fails, it is fetched again the next time.
            drop(store::replace_unsynced(file, &bytes));
        }
        Ok(bytes)
    }

    /// A blob, verified by its digest; `None` if there is none.
    pub(super) async fn blob(
        &self,
        request: &Request<'_>,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Bytes>, RegistryError> {
        let below = Request {
            path: format!("blobs/{digest}"),
            accept: "*/*",
            reading: Reading::Whole(limit),
            ..request.clone()
        };
        let answer = self.exchange(&below).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(refused(request, describe(&answer))),
        }
        expect(request, Some(digest), &Digest::of(&answer.body))?;
        Ok(Some(answer.body))
    }

    /// Sets a tag, and reads it back.
    pub(super) async fn tag(
        &self,
        request: &Request<'_>,
        wanted: &Served,
    ) -> Result<Digest, RegistryError> {
        if !self.set(request, wanted).await? {
            return Ok(wanted.digest.clone());
        }
        let served = self.manifest(request, None).await?;
        let nothing = || {
            untrue(
                request,
                "it says that the tag is set, but has none".to_owned(),
            )
        };
        served.map(|served| served.digest).ok_or_else(nothing)
    }

    /// Puts a manifest, and returns whether it had to be put. If an answer is lost, it looks the manifest up before it
    /// tries again, so that a tag is set only once.
    pub(super) async fn set(
        &self,
        request: &Request<'_>,
        wanted: &Served,
    ) -> Result<bool, RegistryError> {
        let put = put(request, wanted)?;
        let is_there = async || {
            let digest = self
                .manifest(request, None)
                .await?
                .map(|served| served.digest);
            Ok::<bool, RegistryError>(digest.as_ref() == Some(&wanted.digest))
        };
        let mut attempts = Attempts::default();
        loop {
            let error = match self.attempt(&put).await {
                Ok(answer) if answer.status.is_success() => {
                    expect_named(request, &answer, &wanted.digest)?;
                    return Ok(true);
                }
                Ok(answer) if lacks_blobs(&answer) => {
                    return Err(lost_blobs(request, describe(&answer)));
                }
                Ok(answer) => refused(request, describe(&answer)),
                Err(Failure::Final(error)) => error,
                Err(Failure::Transient(transient)) => {
                    let waited = attempts
                        .again(&self.patience, request.action, transient)
                        .await;
                    if matches!(is_there().await, Ok(true)) {
                        return Ok(false);
                    }
                    waited?;
                    continue;
                }
            };
            // A registry may refuse to set an immutable tag even to the digest that it has. That is no failure.
            let may_be_immutable = matches!(
                error,
                RegistryError::Refused { .. } | RegistryError::Denied { .. }
            );
            if may_be_immutable && matches!(is_there().await, Ok(true)) {
                return Ok(false);
            }
            return Err(error);
        }
    }
}

fn lacks_blobs(answer: &Answer) -> bool {
    let codes = codes(answer).unwrap_or_default();
    let mut codes = codes.iter();
    codes.any(|code| matches!(code.as_str(), "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN"))
}

fn put<'a>(request: &Request<'a>, served: &Served) -> Result<Request<'a>, RegistryError> {
    let media_type = HeaderValue::from_str(&served.content_type);
    let media_type =
        media_type.map_err(|_| not_understood(request, "the media type is none".to_owned()))?;
    Ok(Request {
        method: Method::PUT,
        content: Some((media_type, Body::Bytes(served.bytes.clone()))),
        ..request.clone()
    })
}

/// Compares the digest that the answer's header names, if it does.
pub(super) fn expect_named(
    request: &Request<'_>,
    answer: &Answer,
    digest: &Digest,
) -> Result<(), RegistryError> {
    expect(request, named_digest(answer).as_ref(), digest)
}

/// The digest that the answer's header names, if it is a SHA-256 digest.
pub(super) fn named_digest(answer: &Answer) -> Option<Digest> {
    answer
        .headers
        .get(DIGEST_HEADER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn expect(
    request: &Request<'_>,
    wanted: Option<&Digest>,
    digest: &Digest,
) -> Result<(), RegistryError> {
    match wanted {
        Some(wanted) if wanted != digest => Err(untrue(
            request,
            format!("{wanted} is wanted, and {digest} was given"),
        )),
        _ => Ok(()),
    }
}

/// Whether an answer has the content, or is a registry's "not found".
fn found(request: &Request<'_>, answer: &Answer) -> Result<bool, RegistryError> {
    let absent = |code: &String| {
        matches!(
            code.as_str(),
            "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "NOT_FOUND"
        )
    };
    match (answer.status, codes(answer)) {
        (StatusCode::OK, _) => Ok(true),
        (StatusCode::NOT_FOUND, Some(codes)) if codes.iter().any(absent) => Ok(false),
        (_, Some(_)) => Err(refused(request, describe(answer))),
        (_, None) => Err(not_understood(request, describe(answer))),
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
