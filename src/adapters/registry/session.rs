//! A session with registries: authentication, repeated requests, and the meaning of answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use serde::Deserialize;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::{
    address::api_host,
    asked::Pushes,
    challenge::{self, Challenge},
    error::{Cause, FailureKind, RegistryError},
    settings::RegistrySettings,
    transport::{Answer, Body, Call, Fault, FaultKind, Patience, Reading, Transport, secret},
    trials::{Refusal, Trial, Trials},
};
use crate::{
    adapters::{
        cache::Cache,
        credentials::{Credential, Credentials},
    },
    image::Repository,
};

/// The size limit of a token server's answer, in bytes.
const TOKEN_LIMIT: usize = 1 << 20;

/// The number of blobs that are uploaded at once.
const UPLOADS: usize = 4;

/// The permissions that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actions {
    Pull,
    PullPush,
}

/// A request about a repository.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    /// The purpose, as in `look up X`.
    pub(super) action: &'a str,
    pub(super) repository: &'a Repository,
    pub(super) actions: Actions,
    /// Repositories of the same registry from which blobs are mounted, so that they have to be readable as well.
    pub(super) mounts: &'a [Repository],
    pub(super) method: Method,
    /// The path below the repository.
    pub(super) path: String,
    /// The URL at which the registry continues an upload, on its own host; replaces the path.
    pub(super) upload_url: Option<Url>,
    pub(super) accept: &'static str,
    /// The media type and the bytes of the body.
    pub(super) content: Option<(HeaderValue, Body)>,
    pub(super) reading: Reading,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The next attempt may succeed.
    Transient(Transient),
    /// Another attempt would fail as well.
    Final(RegistryError),
}

#[derive(Debug)]
pub(super) struct Transient {
    registry: String,
    kind: FailureKind,
    because: String,
    /// The delay that the registry asked for.
    wait: Option<Duration>,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

/// The attempts of a request so far.
#[derive(Default)]
pub(super) struct Attempts {
    count: u32,
    /// When the first one failed.
    failing_since: Option<Instant>,
}

impl Attempts {
    /// Waits before the next attempt, or gives up.
    pub(super) async fn again(
        &mut self,
        patience: &Patience,
        action: &str,
        transient: Transient,
    ) -> Result<(), RegistryError> {
        self.count += 1;
        let doublings = (self.count - 1).min(16);
        let doubled = patience.first_delay.saturating_mul(1 << doublings);
        let longest = patience.longest_delay;
        let wait = match transient.wait {
            Some(wait) => wait.min(longest) + random_part(patience.first_delay),
            None => doubled.min(longest) / 2 + random_part(doubled.min(longest) / 2),
        };
        let failing = self
            .failing_since
            .get_or_insert_with(Instant::now)
            .elapsed();
        if self.count >= patience.attempts || failing + wait > patience.total {
            return Err(unreachable(action, self.count, transient));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// A random part of a delay, so that clients which failed together do not come back together.
fn random_part(delay: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) % 1024;
    delay * u32::try_from(random).unwrap_or_default() / 1024
}

pub(super) fn unreachable(action: &str, attempts: u32, transient: Transient) -> RegistryError {
    RegistryError::Unreachable {
        action: action.to_owned(),
        registry: transient.registry,
        attempts,
        kind: transient.kind,
        because: Cause(transient.because),
    }
}

pub(super) struct RegistrySession {
    pub(super) transport: Transport,
    credentials: Arc<Credentials>,
    pub(super) cache: Option<Cache>,
    pub(super) patience: Patience,
    /// The headers that registries have accepted, and tokens that are new, until they are refused.
    authorizations: Mutex<BTreeMap<Permission, HeaderValue>>,
    /// Held while a request signs in, so that parallel requests do not fetch a token each.
    sign_ins: Mutex<BTreeMap<Repository, Arc<AsyncMutex<()>>>>,
    trials: Trials,
    /// Held while a blob is uploaded, of whatever image.
    pub(super) uploads: Semaphore,
    pub(super) pushes: Pushes,
}

/// What a header of authentication allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    repository: Repository,
    actions: Actions,
    /// The paths of other repositories of the registry that may be read as well.
    mounts: BTreeSet<String>,
}

impl Permission {
    fn of(request: &Request<'_>) -> Self {
        let mounts = request.mounts.iter().map(|from| from.path.clone());
        Self {
            repository: request.repository.clone(),
            actions: request.actions,
            mounts: mounts.collect(),
        }
    }

    fn includes(&self, other: &Self) -> bool {
        self.repository == other.repository
            && self.actions >= other.actions
            && self.mounts.is_superset(&other.mounts)
    }
}

/// The header of a request that authenticates it, and the user.
struct Authorization {
    header: HeaderValue,
    /// Whether it is a token: then the token server has accepted the credential.
    token: bool,
    user: Option<String>,
}

impl RegistrySession {
    pub(super) fn new(
        settings: &RegistrySettings,
        credentials: Arc<Credentials>,
        patience: Patience,
    ) -> Result<Self, RegistryError> {
        let transport = Transport::new(settings, &patience)?;
        Ok(Self {
            transport,
            credentials,
            cache: settings.cache.clone(),
            patience,
            authorizations: Mutex::default(),
            sign_ins: Mutex::default(),
            trials: Trials::default(),
            uploads: Semaphore::new(UPLOADS),
            pushes: Pushes::default(),
        })
    }

    /// Repeats a request until there is an answer, or the attempts are used up.
    pub(super) async fn exchange(&self, request: &Request<'_>) -> Result<Answer, RegistryError> {
        let mut attempts = Attempts::default();
        loop {
            match self.attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(transient)) => {
                    attempts
                        .again(&self.patience, request.action, transient)
                        .await?;
                }
            }
        }
    }

    /// Sends a request once, and once more if the registry first asks for authentication.
    pub(super) async fn attempt(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let known = self.known_authorization(request);
        let mut answer = self.ask(request, known.as_ref()).await?;
        if !wants_sign_in(&answer) {
            return judge(request, answer);
        }
        self.forget(known.as_ref());
        let sign_ins = self.sign_ins(request.repository);
        let mut turn = sign_ins.lock().await;
        // While this request waited for its turn, another one may have signed in.
        if let Some(newer) = self.known_authorization(request) {
            drop(turn);
            answer = self.ask(request, Some(&newer)).await?;
            if !wants_sign_in(&answer) {
                return judge(request, answer);
            }
            self.forget(Some(&newer));
            turn = sign_ins.lock().await;
        }
        let credential = self.credential(request)?;
        let registry = &request.repository.registry;
        let begun = self.trials.begin(registry, &credential).await;
        let mut trial = begun.map_err(|refusal| wrong_password(request, refusal))?;
        let signed_in = self.sign_in(request, &answer, credential).await;
        let answer = match signed_in {
            Ok(authorization) => {
                if authorization.token {
                    self.remember(request, &authorization);
                    trial.accepted();
                }
                drop(turn);
                self.ask_signed_in(request, authorization, &mut trial).await
            }
            Err(failure) => Err(failure),
        };
        if let Err(Failure::Final(RegistryError::WrongPassword {
            username, because, ..
        })) = &answer
        {
            trial.refused(Refusal {
                username: username.clone(),
                because: because.clone(),
            });
        }
        judge(request, answer?)
    }

    async fn ask_signed_in(
        &self,
        request: &Request<'_>,
        authorization: Authorization,
        trial: &mut Trial,
    ) -> Result<Answer, Failure> {
        let answer = self.ask(request, Some(&authorization.header)).await?;
        if wants_sign_in(&answer) {
            self.forget(Some(&authorization.header));
            return Err(not_accepted(request, authorization, &answer).into());
        }
        self.remember(request, &authorization);
        trial.accepted();
        Ok(answer)
    }

    fn authorizations(&self) -> MutexGuard<'_, BTreeMap<Permission, HeaderValue>> {
        self.authorizations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, request: &Request<'_>, authorization: &Authorization) {
        let header = authorization.header.clone();
        self.authorizations()
            .insert(Permission::of(request), header);
    }

    fn forget(&self, header: Option<&HeaderValue>) {
        self.authorizations()
            .retain(|_, known| Some(&*known) != header);
    }

    fn sign_ins(&self, repository: &Repository) -> Arc<AsyncMutex<()>> {
        let mut all = self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(repository.clone()).or_default())
    }

    fn credential(&self, request: &Request<'_>) -> Result<Credential, RegistryError> {
        let credential = self.credentials.of(request.repository);
        credential.map_err(|error| RegistryError::Credentials {
            action: request.action.to_owned(),
            registry: request.repository.registry.clone(),
            because: Box::new(error),
        })
    }

    /// The header of an earlier request that needed the same permission, or a larger one.
    fn known_authorization(&self, request: &Request<'_>) -> Option<HeaderValue> {
        let wanted = Permission::of(request);
        let authorizations = self.authorizations();
        let mut known = authorizations.iter();
        let enough = known.find(|(permission, _)| permission.includes(&wanted));
        enough.map(|(_, header)| header.clone())
    }

    async fn ask(
        &self,
        request: &Request<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let Repository { registry, path } = request.repository;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(request.accept));
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization.clone())));
        headers.extend(
            request
                .content
                .iter()
                .map(|(media_type, _)| (CONTENT_TYPE, media_type.clone())),
        );
        let path = format!("/v2/{path}/{}", request.path);
        let call = |url| Call {
            registry: api_host(registry).to_owned(),
            method: request.method.clone(),
            url,
            headers: headers.clone(),
            body: request.content.as_ref().map(|(_, body)| body.clone()),
            reading: request.reading,
        };
        let answer = match &request.upload_url {
            None => self.transport.ask(api_host(registry), &path, call).await,
            Some(upload_url) => self.transport.follow_named(call(upload_url.clone())).await,
        };
        answer.map_err(|fault| failed(request.action, registry, fault))
    }

    async fn sign_in(
        &self,
        request: &Request<'_>,
        answer: &Answer,
        credential: Credential,
    ) -> Result<Authorization, Failure> {
        let not_signed_in = |because: String| not_signed_in(request, because).into();
        match challenge::read(&answer.headers) {
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let scope = scope_of(request, scope);
                self.token(request, &realm, service.as_deref(), &scope, credential)
                    .await
            }
            Some(Challenge::Basic) => match credential {
                Credential::Basic { username, password } => {
                    let header = basic_header(request, &username, &password)?;
                    Ok(Authorization {
                        header,
                        token: false,
                        user: Some(username),
                    })
                }
                Credential::Anonymous => Err(not_signed_in(describe(answer))),
                Credential::IdentityToken(_) => Err(not_signed_in(
                    "an identity token is known, but it wants a password".to_owned(),
                )),
            },
            None => Err(not_signed_in(format!(
                "{}, without saying how to sign in",
                describe(answer)
            ))),
        }
    }

    async fn token(
        &self,
        request: &Request<'_>,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credential: Credential,
    ) -> Result<Authorization, Failure> {
        let call = self.token_call(request, realm, service, scope, &credential)?;
        let host = call.url.host_str().unwrap_or_default().to_owned();
        let answer = self.transport.follow(call).await;
        let answer = answer.map_err(|fault| failed(request.action, &host, fault))?;
        let user = match credential {
            Credential::Anonymous => None,
            Credential::Basic { username, .. } => Some(username),
            Credential::IdentityToken(_) => Some("<token>".to_owned()),
        };
        match answer.status {
            StatusCode::OK => {}
            // OAuth 2 answers so if a refresh token is no longer valid.
            StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => {
                return Err(match user {
                    Some(username) => refused_password(request, username, &answer),
                    None => not_signed_in(request, describe(&answer)),
                }
                .into());
            }
            _ => {
                let answer = judge(request, answer)?;
                return Err(not_understood(
                    request,
                    format!("its token server: {}", describe(&answer)),
                )
                .into());
            }
        }
        let none = || not_understood(request, "its token server gave no token".to_owned());
        let token: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| none())?;
        let token = token
            .token
            .or(token.access_token)
            .filter(|token| !token.is_empty())
            .ok_or_else(none)?;
        let header = secret(&format!("Bearer {token}")).ok_or_else(none)?;
        Ok(Authorization {
            header,
            token: true,
            user,
        })
    }

    fn token_call(
        &self,
        request: &Request<'_>,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credential: &Credential,
    ) -> Result<Call, RegistryError> {
        let wrong = || not_understood(request, format!("its token server `{realm}` is no URL"));
        let mut url = Url::parse(realm).map_err(|_| wrong())?;
        let host = url.host_str().ok_or_else(wrong)?;
        let host = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if url.scheme() != "https"
            && !(url.scheme() == "http" && self.transport.may_be_plain(&host))
        {
            return Err(not_understood(
                request,
                format!("it wants credentials sent to `{realm}`, without TLS"),
            ));
        }
        let mut pairs: Vec<(&str, &str)> = service
            .map(|service| ("service", service))
            .into_iter()
            .collect();
        pairs.extend(
            scope
                .split(' ')
                .filter(|scope| !scope.is_empty())
                .map(|scope| ("scope", scope)),
        );
        let mut headers = HeaderMap::new();
        let (method, body) = match credential {
            Credential::IdentityToken(token) => {
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                let fixed = [
                    ("grant_type", "refresh_token"),
                    ("client_id", "sparkpack"),
                    ("refresh_token", token),
                ];
                let form = form(fixed.into_iter().chain(oauth_pairs(&pairs, scope)));
                (Method::POST, Some(Body::Bytes(Bytes::from(form))))
            }
            Credential::Basic { username, password } => {
                headers.insert(AUTHORIZATION, basic_header(request, username, password)?);
                url.query_pairs_mut()
                    .append_pair("account", username)
                    .extend_pairs(&pairs);
                (Method::GET, None)
            }
            Credential::Anonymous => {
                url.query_pairs_mut().extend_pairs(&pairs);
                (Method::GET, None)
            }
        };
        Ok(Call {
            registry: api_host(&request.repository.registry).to_owned(),
            method,
            url,
            headers,
            body,
            reading: Reading::Whole(TOKEN_LIMIT),
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The parameters for OAuth 2, which has all scopes in one value.
fn oauth_pairs<'a>(pairs: &[(&'a str, &'a str)], scope: &'a str) -> Vec<(&'a str, &'a str)> {
    let service = pairs.iter().copied().filter(|(key, _)| *key == "service");
    service.chain([("scope", scope)]).collect()
}

fn form<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut url = Url::parse("form:").ok();
    let encoded = url.as_mut().map(|url| {
        url.query_pairs_mut().extend_pairs(pairs);
        url.query().unwrap_or_default().to_owned()
    });
    encoded.unwrap_or_default()
}

/// Whether the registry itself asks for a (new) authentication.
fn wants_sign_in(answer: &Answer) -> bool {
    answer.status == StatusCode::UNAUTHORIZED && answer.own
}

/// The scope that the registry offers, if it is sufficient: some registries use other repository names in scopes.
/// Repositories from which blobs are mounted are added.
fn scope_of(request: &Request<'_>, offered: Option<String>) -> String {
    let enough = |scope: &String| match request.actions {
        Actions::Pull => !scope.is_empty(),
        Actions::PullPush => scope.contains("push") || scope.contains('*'),
    };
    let mut scope = offered.filter(enough).unwrap_or_else(|| {
        let actions = match request.actions {
            Actions::Pull => "pull",
            Actions::PullPush => "pull,push",
        };
        format!("repository:{}:{actions}", request.repository.path)
    });
    for from in request.mounts {
        let start = format!("repository:{}:", from.path);
        if !scope.split(' ').any(|known| known.starts_with(&start)) {
            scope = format!("{scope} {start}pull");
        }
    }
    scope
}

fn basic_header(
    request: &Request<'_>,
    username: &str,
    password: &str,
) -> Result<HeaderValue, RegistryError> {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    secret(&format!("Basic {encoded}"))
        .ok_or_else(|| not_understood(request, "the credential is too long".to_owned()))
}

pub(super) fn failed(action: &str, registry: &str, fault: Fault) -> Failure {
    let Fault { because, kind } = fault;
    let transient = |kind, because| Transient {
        registry: registry.to_owned(),
        kind,
        because,
        wait: None,
    };
    match kind {
        FaultKind::Transient(kind) => Failure::Transient(transient(kind, because)),
        FaultKind::NotHttp => Failure::Transient(transient(FailureKind::Network, because)),
        FaultKind::Lasting(kind) => unreachable(action, 1, transient(kind, because)).into(),
        FaultKind::Settings => RegistryError::Settings {
            because: Cause(because),
        }
        .into(),
        FaultKind::Proxy => RegistryError::Proxy {
            registry: registry.to_owned(),
            because: Cause(because),
        }
        .into(),
        FaultKind::HostCertificates => RegistryError::HostCertificates {
            registry: registry.to_owned(),
            because: Cause(because),
        }
        .into(),
        FaultKind::Odd => RegistryError::NotUnderstood {
            action: action.to_owned(),
            registry: registry.to_owned(),
            because: Cause(because),
        }
        .into(),
    }
}

/// Sorts answers: some may be better at the next attempt, some concern authentication, the others are final.
fn judge(request: &Request<'_>, answer: Answer) -> Result<Answer, Failure> {
    let kind = match answer.status.as_u16() {
        429 => Some(FailureKind::TooManyRequests),
        // What a server does not support (501, 505), it will not support at the next attempt either.
        501 | 505 => None,
        408 | 500..=599 => Some(FailureKind::Server),
        _ => None,
    };
    if let Some(kind) = kind {
        return Err(transient(request, kind, &answer));
    }
    match answer.status {
        StatusCode::FORBIDDEN => Err(denied(request, describe(&answer)).into()),
        StatusCode::UNAUTHORIZED => {
            let because = format!("the host that it redirects to: {}", describe(&answer));
            Err(refused(request, because).into())
        }
        _ => Ok(answer),
    }
}

/// The failure of a request whose answer may be better at the next attempt.
pub(super) fn transient(request: &Request<'_>, kind: FailureKind, answer: &Answer) -> Failure {
    Failure::Transient(Transient {
        registry: request.repository.registry.clone(),
        kind,
        because: describe(answer),
        wait: retry_after(&answer.headers),
    })
}

/// The delay that an answer asks for: in seconds, or as a date. Dates are compared with the answer's own, because the
/// clock of this machine may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let wait = text(RETRY_AFTER)?;
    if let Ok(seconds) = wait.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(wait).ok()?;
    let now = httpdate::parse_http_date(text(DATE)?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// The error of a registry that refuses the authentication: the password is wrong, or the token does not allow enough.
fn not_accepted(
    request: &Request<'_>,
    authorization: Authorization,
    answer: &Answer,
) -> RegistryError {
    let because = describe(answer);
    match authorization.user {
        None => not_signed_in(request, because),
        Some(_) if authorization.token => denied(request, because),
        Some(username) => refused_password(request, username, answer),
    }
}

/// The errors in a registry's answer, each with or without a message.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: Option<String>,
    message: Option<String>,
}

/// The error codes in an answer; `None` if it is not a registry's.
pub(super) fn codes(answer: &Answer) -> Option<Vec<String>> {
    let errors: Errors = serde_json::from_slice(&answer.body).ok()?;
    Some(
        errors
            .errors
            .into_iter()
            .filter_map(|error| error.code)
            .collect(),
    )
}

/// The status and the registry's message, safe for terminals.
pub(super) fn describe(answer: &Answer) -> String {
    let mut parts = vec![answer.status.to_string()];
    if let Ok(errors) = serde_json::from_slice::<Errors>(&answer.body) {
        let first = errors.errors.into_iter().next();
        parts.extend(
            first
                .into_iter()
                .flat_map(|error| [error.code, error.message])
                .flatten(),
        );
    } else if let Ok(text) = std::str::from_utf8(&answer.body)
        && !text.trim_start().starts_with('<')
    {
        parts.extend(
            text.lines()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .map(str::to_owned),
        );
    }
    // Foreign text must not control the terminal.
    let shown = parts.join(": ");
    shown
        .chars()
        .filter(|character| !character.is_control())
        .take(300)
        .collect()
}

pub(super) fn not_signed_in(request: &Request<'_>, because: String) -> RegistryError {
    let (action, registry, because) = request.context(because);
    RegistryError::NotSignedIn {
        action,
        registry,
        because,
    }
}

fn refused_password(request: &Request<'_>, username: String, answer: &Answer) -> RegistryError {
    let because = Cause(describe(answer));
    wrong_password(request, Refusal { username, because })
}

fn wrong_password(request: &Request<'_>, refusal: Refusal) -> RegistryError {
    let Refusal { username, because } = refusal;
    RegistryError::WrongPassword {
        action: request.action.to_owned(),
        registry: request.repository.registry.clone(),
        username,
        because,
    }
}

fn denied(request: &Request<'_>, because: String) -> RegistryError {
    let (action, registry, because) = request.context(because);
    RegistryError::Denied {
        action,
        registry,
        because,
    }
}

pub(super) fn refused(request: &Request<'_>, because: String) -> RegistryError {
    let (action, registry, because) = request.context(because);
    RegistryError::Refused {
        action,
        registry,
        because,
    }
}

pub(super) fn lost_blobs(request: &Request<'_>, because: String) -> RegistryError {
    let (action, registry, because) = request.context(because);
    RegistryError::LostBlobs {
        action,
        registry,
        because,
    }
}

pub(super) fn not_understood(request: &Request<'_>, because: String) -> RegistryError {
    let (action, registry, because) = request.context(because);
    RegistryError::NotUnderstood {
        action,
        registry,
        because,
    }
}

pub(super) fn untrue(request: &Request<'_>, because: String) -> RegistryError {
    let (action, registry, because) = request.context(because);
    RegistryError::Untrue {
        action,
        registry,
        because,
    }
}

impl<'a> Request<'a> {
    /// A request that reads what is at a path below a repository, whatever its type is.
    pub(super) fn get(
        action: &'a str,
        repository: &'a Repository,
        path: String,
        reading: Reading,
    ) -> Self {
        Self {
            action,
            repository,
            actions: Actions::Pull,
            mounts: &[],
            method: Method::GET,
            path,
            upload_url: None,
            accept: "*/*",
            content: None,
            reading,
        }
    }

    fn context(&self, because: String) -> (String, String, Cause) {
        (
            self.action.to_owned(),
            self.repository.registry.clone(),
            Cause(because),
        )
    }
}
