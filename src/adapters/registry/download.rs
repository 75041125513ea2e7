//! Blob downloads: streamed, compared with their descriptor, and begun again if they are interrupted.

use std::{io, io::Write as _, path::Path};

use bytes::Bytes;
use reqwest::{Response, StatusCode};

use super::{
    blob::Checked,
    client::RegistryClient,
    error::RegistryError,
    session::{Attempts, Failure, RegistrySession, Request, failed, refused, untrue},
    transport::Reading,
};
use crate::image::{Descriptor, Digest, Repository};

impl RegistryClient {
    /// Writes a blob of a repository to `file`, and tells how many bytes are there.
    ///
    /// # Errors
    /// Any answer other than the blob, bytes that are others, or the file cannot be written.
    pub fn save_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let repository = self.readable(repository);
        let action = format!("fetch `{repository}@{}`", blob.digest);
        let request = blob_request(&action, &repository, &blob.digest);
        let saved = self.session.save_blob(&request, blob, file, progress);
        self.runtime.block_on(saved)
    }
}

impl RegistrySession {
    async fn save_blob(
        &self,
        request: &Request<'_>,
        blob: &Descriptor,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let mut attempts = Attempts::default();
        loop {
            match self.try_save_blob(request, blob, file, progress).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(transient)) => {
                    let (patience, action) = (&self.patience, request.action);
                    attempts.again(patience, action, transient).await?;
                }
            }
        }
    }

    async fn try_save_blob(
        &self,
        request: &Request<'_>,
        blob: &Descriptor,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let not_saved = |error: io::Error| RegistryError::NotSaved {
            action: request.action.to_owned(),
            because: error,
        };
        let mut output = fs_err::File::create(file).map_err(not_saved)?;
        let mut stream = self.open_blob(request, blob).await?;
        loop {
            let chunk = stream.next().await?;
            output.write_all(&chunk).map_err(not_saved)?;
            progress(stream.passed());
            if stream.is_complete() {
                return Ok(());
            }
        }
    }

    /// A blob as it arrives. It is asked for once.
    pub(super) async fn open_blob<'a>(
        &'a self,
        request: &'a Request<'a>,
        blob: &Descriptor,
    ) -> Result<BlobStream<'a>, Failure> {
        let answer = self.attempt(request).await?;
        let (StatusCode::OK, Some(rest)) = (answer.status, answer.rest) else {
            let because = match answer.status {
                StatusCode::NOT_FOUND => "it does not have it".to_owned(),
                status => status.to_string(),
            };
            return Err(refused(request, because).into());
        };
        Ok(BlobStream {
            session: self,
            request,
            rest,
            checked: Checked::new(blob),
        })
    }
}

/// A blob that arrives, and is compared with its descriptor.
pub(super) struct BlobStream<'a> {
    session: &'a RegistrySession,
    request: &'a Request<'a>,
    rest: Response,
    checked: Checked,
}

impl BlobStream<'_> {
    /// The next bytes. The last ones are returned only if all are those of the descriptor.
    pub(super) async fn next(&mut self) -> Result<Bytes, Failure> {
        let chunk = self.session.transport.chunk(&mut self.rest).await;
        let registry = &self.request.repository.registry;
        let chunk = chunk.map_err(|fault| failed(self.request.action, registry, fault))?;
        // No bytes are the end.
        let chunk = chunk.unwrap_or_default();
        let passed = self.checked.pass(&chunk);
        passed.map_err(|because| untrue(self.request, because))?;
        Ok(chunk)
    }

    /// The number of bytes that have arrived.
    pub(super) fn passed(&self) -> u64 {
        self.checked.passed()
    }

    /// Whether all bytes have arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.checked.is_complete()
    }
}

/// The request for a blob of a repository.
pub(super) fn blob_request<'a>(
    action: &'a str,
    repository: &'a Repository,
    digest: &Digest,
) -> Request<'a> {
    let path = format!("blobs/{digest}");
    Request::get(action, repository, path, Reading::Streamed)
}
