//! Blob uploads: started by a POST, sent by one PUT, and started again if that is interrupted.

use bytes::Bytes;

use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderValue, LOCATION},
};

use super::{
    client::MANIFEST_LIMIT,
    error::RegistryError,
    session::{
        Attempts, Failure, RegistrySession, Request, UploadUrl, describe, not_understood, refused,
    },
    transport::{Answer, same_host},
};

use crate::image::Digest;

impl RegistrySession {
    /// Uploads a blob to the repository, unless the repository has it.
    pub(super) async fn upload(
        &self,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut attempts = Attempts::default();
        loop {
            // An interrupted upload is started again, because its state is unknown.
            match self.try_upload(request, &bytes).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(transient)) => {
                    attempts
                        .again(&self.patience, request.action, transient)
                        .await?;
                }
            }
        }
    }

    async fn try_upload(&self, request: &Request<'_>, bytes: &Bytes) -> Result<(), Failure> {
        let digest = Digest::of(bytes);
        let head = Request {
            method: Method::HEAD,
            path: format!("blobs/{digest}"),
            accept: "*/*",
            ..request.clone()
        };
        if self.attempt(&head).await?.status == StatusCode::OK {
            return Ok(());
        }
        let start = Request {
            method: Method::POST,
            path: "blobs/uploads/".to_owned(),
            accept: "*/*",
            content: Some((octets(), Bytes::new())),
            ..request.clone()
        };
        let started = self.attempt(&start).await?;
        if started.status != StatusCode::ACCEPTED {
            return Err(refused(request, describe(&started)).into());
        }
        let put = Request {
            method: Method::PUT,
            upload_url: Some(upload_url(request, &started, &digest)?),
            content: Some((octets(), bytes.clone())),
            limit: MANIFEST_LIMIT,
            ..start
        };
        let answer = self.attempt(&put).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(refused(request, describe(&answer)).into())
        }
    }
}

/// The URL at which an upload continues.
fn upload_url(
    request: &Request<'_>,
    started: &Answer,
    digest: &Digest,
) -> Result<UploadUrl, RegistryError> {
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
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    let own = started.own && same_host(&started.url, &url);
    Ok(UploadUrl { url, own })
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
