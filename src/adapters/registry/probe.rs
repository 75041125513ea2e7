//! A look at a registry that changes nothing and does not wait: does it answer, and does it let us read?

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::{
    Method, StatusCode,
    header::{DATE, HeaderMap},
};

use super::{
    address::api_host,
    client::RegistryClient,
    error::RegistryError,
    session::{Failure, RegistrySession, describe, failed, not_understood, refused, unreachable},
    settings::RegistrySettings,
    tags::tags_of,
    transport::{Answer, Call, Patience, Reading},
};
use crate::{adapters::credentials::Credentials, image::Repository};

/// The size limit of an answer, in bytes.
const LIMIT: usize = 1 << 20;

/// What a registry answered.
#[derive(Debug)]
pub struct RegistryProbe {
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// Whether it wants a sign-in before it answers anything.
    pub wants_sign_in: bool,
    /// The time that it named.
    pub date: Option<SystemTime>,
    /// Whether it has the repository, or why it does not say so.
    pub repository: Result<bool, RegistryError>,
}

impl RegistryClient {
    /// A client that asks once, and gives up after a few seconds.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn impatient(
        settings: RegistrySettings,
        credentials: impl Into<Arc<Credentials>>,
    ) -> Result<Self, RegistryError> {
        let patience = Patience {
            attempts: 1,
            total: Duration::from_secs(6),
            stall: Duration::from_secs(4),
            whole: Duration::from_secs(6),
            ..Patience::default()
        };
        Self::with_patience(settings, credentials, patience)
    }

    /// Asks the registry itself, and none of its mirrors, who it is, and whether it has a repository.
    ///
    /// # Errors
    /// It does not answer as registries do.
    pub fn probe(&self, repository: &Repository) -> Result<RegistryProbe, RegistryError> {
        let session = &self.session;
        self.runtime.block_on(async {
            let greeting = session.greeting(repository).await?;
            Ok(RegistryProbe {
                is_encrypted: greeting.url.scheme() == "https",
                wants_sign_in: greeting.status == StatusCode::UNAUTHORIZED,
                date: date(&greeting.headers),
                repository: session.has_repository(repository).await,
            })
        })
    }
}

impl RegistrySession {
    /// The answer of a registry's API to somebody who has not signed in.
    async fn greeting(&self, repository: &Repository) -> Result<Answer, RegistryError> {
        let host = api_host(&repository.registry);
        let action = "reach the registry";
        let call = |url| Call {
            registry: host.to_owned(),
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            reading: Reading::Whole(LIMIT),
        };
        let answer = self.transport.ask(host, "/v2/", call).await;
        let answer = answer.map_err(|fault| match failed(action, host, fault) {
            Failure::Final(error) => error,
            Failure::Transient(transient) => unreachable(action, 1, transient),
        })?;
        match answer.status {
            StatusCode::NOT_FOUND => Err(not_understood(
                &tags_of(repository, action, 1),
                describe(&answer),
            )),
            _ => Ok(answer),
        }
    }

    async fn has_repository(&self, repository: &Repository) -> Result<bool, RegistryError> {
        let action = format!("read `{repository}`");
        let request = tags_of(repository, &action, 1);
        let answer = self.exchange(&request).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused(&request, describe(&answer))),
        }
    }
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}
