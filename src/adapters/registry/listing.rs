//! The manifests behind a tag, by platform.

use std::collections::BTreeMap;

use super::{
    client::{RegistryClient, look_up},
    error::RegistryError,
    session::{RegistrySession, Request, not_understood},
};
use crate::image::{Digest, ImageConfig, ManifestOrIndex, Platform, Reference};

/// The manifests behind a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The digest of the reference; of the index, if it is one.
    pub digest: Digest,
    /// The digest of each platform's manifest. Without an index, it is `digest` for the image's platform, if that is
    /// known.
    pub platforms: BTreeMap<Platform, Digest>,
}

impl Listing {
    /// Whether the reference is an index, which could have other platforms.
    #[must_use]
    pub fn is_index(&self) -> bool {
        !self.platforms.is_empty() && self.platforms.values().all(|digest| *digest != self.digest)
    }
}

impl RegistryClient {
    /// The digest of a tag, or the reference's own digest if the registry has it, with the digests of all its
    /// platforms.
    ///
    /// # Errors
    /// Any answer other than the manifests or "not found".
    pub fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError> {
        let action = format!("look up `{reference}`");
        let repository = self.readable(&reference.repository);
        let request = look_up(&action, &repository, reference);
        let wanted = reference.digest.as_ref();
        self.runtime
            .block_on(self.session.listing(&request, wanted))
    }
}

impl RegistrySession {
    async fn listing(
        &self,
        request: &Request<'_>,
        wanted: Option<&Digest>,
    ) -> Result<Option<Listing>, RegistryError> {
        let Some(served) = self.manifest(request, wanted).await? else {
            return Ok(None);
        };
        let document = ManifestOrIndex::parse(&served.bytes);
        let document = document.map_err(|error| not_understood(request, error.to_string()))?;
        let platforms = match document {
            ManifestOrIndex::Index(index) => index.by_platform(),
            ManifestOrIndex::Manifest(manifest) => {
                // The digest is what matters here. A config that cannot be read is reported when the image is used.
                let config = self.config(request, &manifest.config).await.ok();
                let config = config.and_then(|config| ImageConfig::parse(&config).ok());
                let info = config.and_then(|config| config.info(&manifest).ok());
                let platform = info.map(|info| (info.platform, served.digest.clone()));
                platform.into_iter().collect()
            }
        };
        Ok(Some(Listing {
            digest: served.digest,
            platforms,
        }))
    }
}
