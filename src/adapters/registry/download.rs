//! Blob downloads: streamed, compared with their descriptor, and begun again if they are interrupted.

use std::{io, io::Write as _, path::Path};

use reqwest::{Method, Response, StatusCode};

use super::{
    blob::Checked,
    client::RegistryClient,
    error::RegistryError,
    session::{Actions, Attempts, Failure, RegistrySession, Request, failed, refused, untrue},
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
        let mut rest = self.open_blob(request).await?;
        let mut checked = Checked::new(blob);
        while !checked.is_complete() {
            let chunk = self.transport.chunk(&mut rest).await;
            let registry = &request.repository.registry;
            let chunk = chunk.map_err(|fault| failed(request.action, registry, fault))?;
            let chunk = chunk.unwrap_or_default();
            let passed = checked.pass(&chunk);
            passed.map_err(|because| untrue(request, because))?;
            output.write_all(&chunk).map_err(not_saved)?;
            progress(checked.passed());
        }
        Ok(())
    }

    /// The body of a blob, whose bytes are not compared with anything yet.
    pub(super) async fn open_blob(&self, request: &Request<'_>) -> Result<Response, Failure> {
        let answer = self.attempt(request).await?;
        match (answer.status, answer.rest) {
            (StatusCode::OK, Some(rest)) => Ok(rest),
            (StatusCode::NOT_FOUND, _) => {
                Err(refused(request, "it does not have it".to_owned()).into())
            }
            (status, _) => Err(refused(request, status.to_string()).into()),
        }
    }
}

/// The request for a blob of a repository.
pub(super) fn blob_request<'a>(
    action: &'a str,
    repository: &'a Repository,
    digest: &Digest,
) -> Request<'a> {
    Request {
        action,
        repository,
        actions: Actions::Pull,
        mounts: &[],
        method: Method::GET,
        path: format!("blobs/{digest}"),
        upload_url: None,
        accept: "*/*",
        content: None,
        reading: Reading::Streamed,
    }
}
