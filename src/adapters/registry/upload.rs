//! Blob uploads: mounted from another repository, or started by a POST and sent by one PUT, and started again if that
//! is interrupted.

use std::{
    cell::Cell,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{Either, pending, select};
use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderValue, LOCATION},
};
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};

use super::{
    asked::AskedAhead,
    blob::{Blob, BlobSource, BlobState},
    client::{MANIFEST_LIMIT, expect_named},
    download::blob_request,
    error::{Cause, FailureKind, RegistryError},
    file::LayerReader,
    session::{
        Attempts, Failure, RegistrySession, Request, codes, describe, failed, not_understood,
        refused, transient, untrue,
    },
    transport::{Answer, Body, Reading, StreamedBody, same_host, timed_out},
};
use crate::image::{Descriptor, Digest, MediaType, Repository};

/// How often the progress of an upload is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Bytes in memory are sent in parts of this size, so that their progress is seen.
const SMALL: usize = 128 << 10;

/// The upload of a blob.
struct Upload<'a> {
    request: &'a Request<'a>,
    known: &'a AskedAhead,
    blob: &'a Blob,
    /// Is told what happens.
    tell: &'a dyn Fn(BlobState),
    /// The bytes that were handed to the connection.
    sent: Cell<u64>,
}

/// How an upload may begin.
enum Begun {
    Mounted,
    At(Url),
}

impl RegistrySession {
    /// Uploads a small document to the repository, unless the repository has it.
    pub(super) async fn upload(
        &self,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let blob = Blob {
            descriptor: Descriptor::of(MediaType::Other(String::new()), bytes),
            source: BlobSource::Bytes(Bytes::copy_from_slice(bytes)),
            mounts: Vec::new(),
            is_new: false,
        };
        let known = AskedAhead::default();
        self.upload_blob((request, &known), &blob, &|_| ()).await
    }

    /// Uploads a blob to the repository, unless the repository has it or another one gives it away. `known` has what was
    /// asked ahead.
    pub(super) async fn upload_blob(
        &self,
        (request, known): (&Request<'_>, &AskedAhead),
        blob: &Blob,
        tell: &dyn Fn(BlobState),
    ) -> Result<(), RegistryError> {
        let mut attempts = Attempts::default();
        loop {
            let upload = Upload {
                request,
                known,
                blob,
                tell,
                sent: Cell::new(0),
            };
            // An interrupted upload is started again, because its state is unknown.
            match self.try_upload(&upload).await {
                Ok(state) => {
                    tell(state);
                    return Ok(());
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(transient)) => {
                    attempts
                        .again(&self.patience, request.action, transient)
                        .await?;
                }
            }
        }
    }

    async fn try_upload(&self, upload: &Upload<'_>) -> Result<BlobState, Failure> {
        let digest = &upload.blob.descriptor.digest;
        let is_known = upload.known.there.contains(digest);
        if is_known || !upload.blob.is_new && self.is_there(upload).await? {
            return Ok(BlobState::There);
        }
        // It is never closed, so that this is always a permit.
        let _permit = self.uploads.acquire().await;
        let begun = match self.mount(upload).await? {
            Some(begun) => begun,
            None => self.begin(upload).await?,
        };
        let Begun::At(upload_url) = begun else {
            return Ok(BlobState::Mounted);
        };
        let answer = self.send(upload, upload_url).await?;
        sent(upload, &answer)
    }

    async fn is_there(&self, upload: &Upload<'_>) -> Result<bool, Failure> {
        let head = head_of_blob(upload.request, &upload.blob.descriptor.digest);
        match self.attempt(&head).await {
            Ok(answer) => Ok(answer.status == StatusCode::OK),
            // The answer to a HEAD has no body, in which the reason would stand. The next answer has it.
            Err(Failure::Final(RegistryError::Denied { .. })) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Asks the registry to take the blob from another of its repositories. If it does not want to, it may have begun
    /// an upload instead.
    async fn mount(&self, upload: &Upload<'_>) -> Result<Option<Begun>, Failure> {
        let digest = &upload.blob.descriptor.digest;
        for from in upload.blob.mountable(upload.request.repository) {
            let query = [("mount", digest.as_str()), ("from", &from.path)];
            let post = Request {
                path: format!("blobs/uploads/?{}", encoded(&query)),
                ..begin_request(upload.request)
            };
            let answer = match self.attempt(&post).await {
                Ok(answer) => answer,
                // The other repository may be none of ours. Then the blob is sent.
                Err(Failure::Final(
                    RegistryError::Denied { .. } | RegistryError::NotSignedIn { .. },
                )) => continue,
                Err(failure) => return Err(failure),
            };
            match answer.status {
                StatusCode::CREATED => {
                    expect_named(upload.request, &answer, digest)?;
                    return Ok(Some(Begun::Mounted));
                }
                StatusCode::ACCEPTED => {
                    return Ok(Some(Begun::At(upload_url(
                        upload.request,
                        &answer,
                        digest,
                    )?)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    async fn begin(&self, upload: &Upload<'_>) -> Result<Begun, Failure> {
        let Upload { request, blob, .. } = upload;
        let started = match upload.known.upload() {
            Some(begun) => begun,
            None => self.attempt(&begin_request(request)).await?,
        };
        match started.status {
            StatusCode::ACCEPTED => {
                let url = upload_url(request, &started, &blob.descriptor.digest)?;
                Ok(Begun::At(url))
            }
            StatusCode::NOT_FOUND => Err(RegistryError::NoRepository {
                action: request.action.to_owned(),
                registry: request.repository.registry.clone(),
                path: request.repository.path.clone(),
                because: Cause(describe(&started)),
            }
            .into()),
            _ => Err(refused(request, describe(&started)).into()),
        }
    }

    async fn send(&self, upload: &Upload<'_>, upload_url: Url) -> Result<Answer, Failure> {
        let put = |body| Request {
            method: Method::PUT,
            upload_url: Some(upload_url),
            content: Some((octets(), body)),
            reading: Reading::Whole(MANIFEST_LIMIT),
            ..begin_request(upload.request)
        };
        if let BlobSource::Bytes(bytes) = &upload.blob.source {
            let checked = upload.blob.descriptor.check(bytes, "blob");
            checked.map_err(|error| refused(upload.request, error.to_string()))?;
            if bytes.len() <= SMALL {
                return self.attempt(&put(Body::Bytes(bytes.clone()))).await;
            }
        }
        let (openings, opened) = mpsc::unbounded_channel();
        let put = put(Body::Streamed(StreamedBody {
            length: upload.blob.descriptor.size,
            openings,
        }));
        let put = pin!(self.attempt(&put));
        let feed = pin!(self.feed(upload, opened));
        let watch = pin!(self.watch(upload));
        match select(put, select(feed, watch)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((failure, _)) => Err(failure.factor_first().0),
        }
    }

    /// Feeds each opening of the body with the blob's bytes from their start. Ends only if that fails.
    async fn feed(
        &self,
        upload: &Upload<'_>,
        mut opened: UnboundedReceiver<Sender<Bytes>>,
    ) -> Failure {
        while let Some(chunks) = opened.recv().await {
            upload.sent.set(0);
            let fed = match &upload.blob.source {
                BlobSource::File(file) => self.feed_file(upload, file, &chunks).await,
                BlobSource::Registry(from) => self.feed_copy(upload, from, &chunks).await,
                BlobSource::Bytes(bytes) => {
                    feed_bytes(upload, bytes, &chunks).await;
                    Ok(())
                }
            };
            if let Err(failure) = fed {
                return failure;
            }
        }
        pending().await
    }

    async fn feed_file(
        &self,
        upload: &Upload<'_>,
        file: &Path,
        chunks: &Sender<Bytes>,
    ) -> Result<(), Failure> {
        let damaged = |because: String| RegistryError::Damaged {
            action: upload.request.action.to_owned(),
            file: file.to_owned(),
            because: Cause(because),
        };
        let mut reader = LayerReader::new(file, &upload.blob.descriptor);
        loop {
            let chunk;
            (reader, chunk) = reader.next().await.map_err(damaged)?;
            if chunks.send(chunk).await.is_err() || reader.is_complete() {
                upload.sent.set(reader.passed());
                return Ok(());
            }
            upload.sent.set(reader.passed());
        }
    }

    /// Copies the blob from another repository, which may be in another registry.
    async fn feed_copy(
        &self,
        upload: &Upload<'_>,
        from: &Repository,
        chunks: &Sender<Bytes>,
    ) -> Result<(), Failure> {
        let digest = &upload.blob.descriptor.digest;
        let action = format!("fetch `{from}@{digest}`");
        let get = blob_request(&action, from, digest);
        let mut stream = self.open_blob(&get, &upload.blob.descriptor).await?;
        loop {
            let chunk = stream.next().await?;
            let taken = chunks.send(chunk).await;
            upload.sent.set(stream.passed());
            if taken.is_err() || stream.is_complete() {
                return Ok(());
            }
        }
    }

    /// Tells the progress. Ends if there is none for too long.
    async fn watch(&self, upload: &Upload<'_>) -> Failure {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            tokio::time::sleep(TICK).await;
            let sent = upload.sent.get();
            if sent != seen {
                (seen, since) = (sent, Instant::now());
                (upload.tell)(BlobState::Sending(sent));
            }
            let limit = if sent == upload.blob.descriptor.size {
                self.patience.whole
            } else {
                // A copy notices by itself that its source stalls, and can say so.
                self.patience.stall + 2 * TICK
            };
            if since.elapsed() > limit {
                let Request {
                    action, repository, ..
                } = upload.request;
                return failed(action, &repository.registry, timed_out());
            }
        }
    }
}

/// What the registry's answer to the bytes of a blob means.
fn sent(upload: &Upload<'_>, answer: &Answer) -> Result<BlobState, Failure> {
    if answer.status.is_success() {
        expect_named(upload.request, answer, &upload.blob.descriptor.digest)?;
        return Ok(BlobState::Sent);
    }
    // The registry has lost the upload, as it may if it was restarted, or the bytes were damaged on the way.
    let anew = [
        "BLOB_UPLOAD_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "DIGEST_INVALID",
    ];
    let told = codes(answer).unwrap_or_default();
    if told.iter().any(|code| anew.contains(&code.as_str())) {
        return Err(transient(upload.request, FailureKind::Server, answer));
    }
    let mut because = describe(answer);
    if answer.status == StatusCode::PAYLOAD_TOO_LARGE {
        let size = upload.blob.descriptor.size;
        because = format!("{because}: it, or a proxy before it, takes no layer of {size} bytes");
    }
    Err(refused(upload.request, because).into())
}

impl Blob {
    /// The repositories from which it may be mounted into `target`.
    pub(super) fn mountable<'a>(
        &'a self,
        target: &Repository,
    ) -> impl Iterator<Item = &'a Repository> {
        let from = match &self.source {
            BlobSource::Registry(from) if !self.mounts.contains(from) => Some(from),
            _ => None,
        };
        let all = self.mounts.iter().chain(from);
        all.filter(|from| can_mount(from, target))
    }
}

/// Whether a registry may be asked to take blobs of one repository into another.
pub(super) fn can_mount(from: &Repository, into: &Repository) -> bool {
    from.registry == into.registry && from != into
}

async fn feed_bytes(upload: &Upload<'_>, bytes: &Bytes, chunks: &Sender<Bytes>) {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(SMALL));
        if chunks.send(chunk).await.is_err() {
            return;
        }
        upload.sent.set((bytes.len() - rest.len()) as u64);
    }
}

pub(super) fn head_of_blob<'a>(request: &Request<'a>, digest: &Digest) -> Request<'a> {
    Request {
        method: Method::HEAD,
        path: format!("blobs/{digest}"),
        accept: "*/*",
        ..request.clone()
    }
}

pub(super) fn begin_request<'a>(request: &Request<'a>) -> Request<'a> {
    Request {
        method: Method::POST,
        path: "blobs/uploads/".to_owned(),
        accept: "*/*",
        content: Some((octets(), Body::Bytes(Bytes::new()))),
        ..request.clone()
    }
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("query:").ok();
    let query = url.as_mut().map(|url| {
        url.query_pairs_mut().extend_pairs(pairs);
        url.query().unwrap_or_default().to_owned()
    });
    query.unwrap_or_default()
}

/// The URL at which an upload is completed.
fn upload_url(
    request: &Request<'_>,
    started: &Answer,
    digest: &Digest,
) -> Result<Url, RegistryError> {
    let mut continued = continuation(request, started)?;
    let mut query = continued.query_pairs_mut();
    query.append_pair("digest", digest.as_str());
    drop(query);
    Ok(continued)
}

/// The URL at which an upload continues.
pub(super) fn continuation(request: &Request<'_>, started: &Answer) -> Result<Url, RegistryError> {
    let odd = || {
        let because = "it begins an upload without saying where it goes on".to_owned();
        not_understood(request, because)
    };
    let location = started.headers.get(LOCATION).ok_or_else(odd)?;
    let location = location.to_str().map_err(|_| odd())?;
    let mut url = started.url.join(location).map_err(|_| odd())?;
    if forgets_tls(&started.url, &url) {
        url.set_scheme("https").map_err(|()| odd())?;
    }
    // The bytes of a private image are sent nowhere else, whoever says so.
    if !started.own || !same_host(&started.url, &url) {
        let host = url.host_str().unwrap_or_default();
        let because = format!("it sends the upload to another host, `{host}`");
        return Err(untrue(request, because));
    }
    Ok(url)
}

fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

/// Whether a registry returned an `http` URL for itself although it was reached by `https`: behind a proxy that
/// terminates TLS it may not know better.
fn forgets_tls(asked: &Url, named: &Url) -> bool {
    let same_host = asked.host() == named.host() && asked.port() == named.port();
    same_host && asked.scheme() == "https" && named.scheme() == "http"
}
