//! The credentials of the registries that a build pulls from and caches in, and of no others.

use std::{collections::BTreeMap, sync::Arc};

use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
    auth_server::{Auth, AuthServer},
};
use tonic::{Request, Response, Status};

use crate::{
    adapters::credentials::{Credential, Credentials},
    image::Repository,
};

/// The method that a session announces.
pub(super) const METHOD: &str = "/moby.filesync.v1.Auth/Credentials";

/// How `BuildKit` calls the registry of Docker Hub.
const HUB: [&str; 2] = ["registry-1.docker.io", "docker.io"];

/// Answers with the credentials of these repositories' registries.
pub(super) fn server(
    credentials: Arc<Credentials>,
    repositories: impl IntoIterator<Item = Repository>,
) -> AuthServer<impl Auth> {
    let repositories = repositories.into_iter();
    let by_host = repositories.map(|repository| (repository.registry.clone(), repository));
    AuthServer::new(Registries {
        credentials,
        by_host: by_host.collect(),
    })
}

struct Registries {
    credentials: Arc<Credentials>,
    by_host: BTreeMap<String, Repository>,
}

impl Registries {
    fn of(&self, host: &str) -> Result<CredentialsResponse, Status> {
        let known = self.by_host.get(host).or_else(|| {
            let is_hub = HUB.contains(&host);
            HUB.iter()
                .filter(|_| is_hub)
                .find_map(|name| self.by_host.get(*name))
        });
        let Some(repository) = known else {
            return Ok(CredentialsResponse::default());
        };
        let credential = self.credentials.of(repository);
        let credential = credential.map_err(|error| Status::internal(error.to_string()))?;
        let (username, secret) = match credential {
            Credential::Anonymous => (String::new(), String::new()),
            Credential::Basic { username, password } => (username, password),
            Credential::IdentityToken(token) => (String::new(), token),
        };
        Ok(CredentialsResponse { username, secret })
    }
}

#[tonic::async_trait]
impl Auth for Registries {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = &request.get_ref().host;
        // A credential helper is a program, which may take its time.
        let found = tokio::task::block_in_place(|| self.of(host));
        found.map(Response::new)
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("only Credentials"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("only Credentials"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("only Credentials"))
    }
}
