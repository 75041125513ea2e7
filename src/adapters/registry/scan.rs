//! Layers that are read while they are fetched, and kept nowhere.

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use super::{
    blob::Checked,
    client::RegistryClient,
    error::RegistryError,
    session::{
        Actions, Attempts, Failure, RegistrySession, Request, failed, not_understood, refused,
        untrue,
    },
    transport::Reading,
};
use crate::{
    adapters::chunks::read_while_fetched,
    image::{Descriptor, LayerContents, LayerScanner, Repository},
};

impl RegistryClient {
    /// What is in a layer of a repository. The layer is compared with its descriptor.
    ///
    /// # Errors
    /// The layer is not there, is another one, or cannot be read.
    pub fn scan_layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, RegistryError> {
        let digest = &layer.digest;
        let action = format!("read `{repository}@{digest}`");
        let repository = self.readable(repository);
        let request = Request {
            action: &action,
            repository: &repository,
            actions: Actions::Pull,
            mounts: &[],
            method: Method::GET,
            path: format!("blobs/{digest}"),
            upload_url: None,
            accept: "*/*",
            content: None,
            reading: Reading::Streamed,
        };
        let mut attempts = Attempts::default();
        loop {
            let (scanned, fetched) = read_while_fetched(
                |reader| scanner.scan(reader),
                |send| {
                    self.runtime
                        .block_on(self.session.fetch(&request, layer, send))
                },
            );
            match fetched {
                Ok(()) => {
                    return scanned.map_err(|error| {
                        let because = std::error::Error::source(&error);
                        let because =
                            because.map_or_else(String::new, |because| format!(": {because}"));
                        not_understood(&request, format!("{error}{because}"))
                    });
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(transient)) => {
                    let waited = attempts.again(&self.session.patience, &action, transient);
                    self.runtime.block_on(waited)?;
                }
            }
        }
    }
}

impl RegistrySession {
    /// Fetches a blob chunk by chunk, until all are sent or nobody takes them any more.
    async fn fetch(
        &self,
        request: &Request<'_>,
        blob: &Descriptor,
        send: &mut dyn FnMut(Bytes) -> bool,
    ) -> Result<(), Failure> {
        let answer = self.attempt(request).await?;
        let (StatusCode::OK, Some(mut rest)) = (answer.status, answer.rest) else {
            let because = match answer.status {
                StatusCode::NOT_FOUND => "it does not have it".to_owned(),
                status => status.to_string(),
            };
            return Err(refused(request, because).into());
        };
        let mut checked = Checked::new(blob);
        loop {
            let chunk = self.transport.chunk(&mut rest).await;
            let registry = &request.repository.registry;
            let chunk = chunk.map_err(|fault| failed(request.action, registry, fault))?;
            let chunk = chunk.unwrap_or_default();
            checked
                .pass(&chunk)
                .map_err(|because| untrue(request, because))?;
            if !send(chunk) || checked.is_complete() {
                return Ok(());
            }
        }
    }
}
