//! Layers that are read while they are fetched, and kept nowhere.

use bytes::Bytes;

use super::{
    client::RegistryClient,
    download::blob_request,
    error::RegistryError,
    session::{Attempts, Failure, RegistrySession, Request, not_understood},
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
        let request = blob_request(&action, &repository, digest);
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
        let mut stream = self.open_blob(request, blob).await?;
        loop {
            let chunk = stream.next().await?;
            if !send(chunk) || stream.is_complete() {
                return Ok(());
            }
        }
    }
}
