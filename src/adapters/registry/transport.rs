//! A single HTTP request and its answer: scheme, client, redirects.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::{
    Client, ClientBuilder, Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::mpsc::{self, Sender, UnboundedSender},
    time::timeout,
};

use super::{
    certificates::{self, CertificateFolders, HostCertificates},
    error::{Cause, FailureKind, RegistryError},
    proxies,
    settings::RegistrySettings,
    tls, trust,
};
use crate::{
    adapters::{pause, store},
    project::loopback::is_loopback,
};

/// The size limit of a body that says why there is no content, in bytes.
const REASON_LIMIT: usize = 1 << 20;
/// How often TLS is tried where a server answers to plain HTTP that it wants that.
const TLS_ATTEMPTS: usize = 3;
/// More redirects than this are a loop.
const REDIRECTS: usize = 5;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The chunks of a streamed body that are read before the connection takes them.
const CHUNKS_AHEAD: usize = 2;

/// The limits for waiting and repeating.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) attempts: u32,
    /// No attempt begins later than this after the first one failed.
    pub(super) total: Duration,
    /// The delay before the second attempt; doubled before each further one.
    pub(super) first_delay: Duration,
    /// The longest delay, also if `Retry-After` asks for more.
    pub(super) longest_delay: Duration,
    /// A request is given up after this time without a byte in either direction.
    pub(super) stall: Duration,
    /// A request is given up after this time, for a server that sends a byte now and then. If a body is streamed, it is
    /// the time from its last byte to the answer, because registries store a blob before they answer.
    pub(super) whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 4,
            total: Duration::from_mins(5),
            first_delay: pause::before_second_attempt(Duration::from_millis(200)),
            longest_delay: Duration::from_secs(30),
            stall: Duration::from_mins(1),
            whole: Duration::from_mins(5),
        }
    }
}

/// A request to one URL.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The registry whose own certificates count, also where it redirects to and at its token server, as with docker.
    pub(super) registry: String,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    pub(super) reading: Reading,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Bytes(Bytes),
    Streamed(StreamedBody),
}

/// A body that is read while it is sent. Whoever sends it watches its progress: the transport has no time limit for it.
#[derive(Clone, Debug)]
pub(super) struct StreamedBody {
    pub(super) length: u64,
    /// Each time the body is sent from its start, the chunks are taken from a new channel. Its other end goes here.
    pub(super) openings: UnboundedSender<Sender<Bytes>>,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// To its end, and at most this number of bytes.
    Whole(usize),
    /// The caller reads the body if the status is 200.
    Streamed,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, if it was read.
    pub(super) body: Bytes,
    /// The body, if it was not read.
    pub(super) rest: Option<Response>,
    /// Whether the answer came from the requested host, and not from one that it redirects to.
    pub(super) own: bool,
    /// The URL that answered in the end.
    pub(super) url: Url,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) because: String,
    pub(super) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The next attempt may succeed.
    Transient(FailureKind),
    /// Another attempt would fail as well.
    Lasting(FailureKind),
    /// The answer was not HTTP.
    NotHttp,
    /// The answer must not be followed or read.
    Odd,
    /// The request cannot be sent by this machine.
    Settings,
    /// The registry's own certificates on this machine cannot be used.
    HostCertificates,
    /// A variable that decides about a proxy is not understood.
    Proxy,
}

/// What a client of reqwest is made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClientKind {
    /// For this machine itself without TLS; needs no certificates.
    Plain,
    Other {
        /// Uses no proxy. The others use the proxies in the environment.
        direct: bool,
        /// The registry whose own certificates count, if it has any.
        registry: Option<String>,
        /// Whether it is the registry itself, which alone is shown this machine's certificate.
        own: bool,
    },
}

pub(super) struct Transport {
    /// The certificates that are trusted besides the system's.
    authorities: Vec<CertificateDer<'static>>,
    certificates: CertificateFolders,
    /// Made when they are used, and each by one thread only, because reading all certificates takes longer than several
    /// requests.
    clients: Mutex<BTreeMap<ClientKind, Client>>,
    insecure: Vec<String>,
    patience: Patience,
    /// The schemes of hosts that may be used without TLS, known from their first answer.
    schemes: Mutex<BTreeMap<String, &'static str>>,
}

impl Transport {
    pub(super) fn new(
        settings: &RegistrySettings,
        patience: &Patience,
    ) -> Result<Self, RegistryError> {
        // An error means that another part of the program has already installed a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = settings.ca.as_deref().map(certificates::authorities);
        let authorities = authorities.transpose().map_err(|because| {
            let because = Cause(because);
            RegistryError::Settings { because }
        })?;
        Ok(Self {
            authorities: authorities.unwrap_or_default(),
            certificates: CertificateFolders::new(settings.certificates.clone()),
            clients: Mutex::default(),
            insecure: settings.insecure.clone(),
            patience: *patience,
            schemes: Mutex::default(),
        })
    }

    /// Sends a request for a path to a host, which may have a port.
    pub(super) async fn ask(
        &self,
        host: &str,
        path: &str,
        call: impl Fn(Url) -> Call,
    ) -> Result<Answer, Fault> {
        let on = |scheme: &str| {
            let url = Url::parse(&format!("{scheme}://{host}{path}"));
            url.map(&call)
                .map_err(|error| odd(format!("`{host}{path}` makes no URL: {error}")))
        };
        let known = || self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        let scheme = if self.may_be_plain(host) {
            known().get(host).copied()
        } else {
            Some("https")
        };
        if let Some(scheme) = scheme {
            return self.follow(on(scheme)?).await;
        }
        let plain = self.follow(on("http")?).await;
        let speaks_tls = match &plain {
            // A server with TLS answers so to a request without it.
            Ok(answer) => answer.status == StatusCode::BAD_REQUEST,
            Err(fault) => fault.kind == FaultKind::NotHttp,
        };
        if speaks_tls {
            let mut encrypted = self.follow(on("https")?).await;
            // A server that refuses a client may close the connection before its reason is read.
            for _ in 1..TLS_ATTEMPTS {
                if !matches!(&encrypted, Err(fault) if fault.kind.is_transient()) {
                    break;
                }
                encrypted = self.follow(on("https")?).await;
            }
            if encrypted.is_ok() {
                known().insert(host.to_owned(), "https");
            }
            if encrypted
                .as_ref()
                .map_or_else(|fault| fault.kind.is_about_tls(), |_| true)
            {
                return encrypted;
            }
        }
        if plain.is_ok() {
            known().insert(host.to_owned(), "http");
        }
        plain
    }

    /// Sends a request to a URL, and follows redirects. Credentials are sent to no other host.
    pub(super) async fn follow(&self, call: Call) -> Result<Answer, Fault> {
        if matches!(call.body, Some(Body::Streamed(_))) {
            return self.follow_untimed(call).await;
        }
        in_time(self.patience.whole, self.follow_untimed(call)).await
    }

    async fn follow_untimed(&self, mut call: Call) -> Result<Answer, Fault> {
        let mut own = true;
        for _ in 0..=REDIRECTS {
            let response = self.send(&call).await?;
            let Some(target) = target(&call, &response) else {
                return self.read(response, &call, own).await;
            };
            if target.scheme() != "https" && !self.may_be_plain(&host_of(&target)) {
                return Err(odd(format!(
                    "it redirects to `{}`, without TLS",
                    host_of(&target)
                )));
            }
            if !same_host(&call.url, &target) {
                if call.body.is_some() {
                    return Err(odd(format!("it redirects to `{}`", host_of(&target))));
                }
                call.headers.remove(AUTHORIZATION);
                own = false;
            }
            if response.status() == StatusCode::SEE_OTHER && call.method != Method::HEAD {
                call.method = Method::GET;
            }
            call.url = target;
        }
        Err(odd(format!("more than {REDIRECTS} redirects")))
    }

    /// The same for a URL that a registry returned.
    pub(super) async fn follow_named(&self, call: Call) -> Result<Answer, Fault> {
        let host = host_of(&call.url);
        if call.url.scheme() == "https" || call.url.scheme() == "http" && self.may_be_plain(&host) {
            self.follow(call).await
        } else {
            Err(odd(format!("it sends us to `{host}`, without TLS")))
        }
    }

    fn client(&self, call: &Call) -> Result<Client, Fault> {
        // This machine itself is never behind a proxy.
        let near = call.url.host_str().is_some_and(is_loopback);
        let mut certificates = None;
        let kind = if near && call.url.scheme() == "http" {
            ClientKind::Plain
        } else {
            let found = self.certificates.of(&call.registry);
            let found = found.map_err(|because| Fault {
                because,
                kind: FaultKind::HostCertificates,
            })?;
            let found = (!found.is_empty()).then_some(found);
            let registry = found.is_some().then(|| call.registry.clone());
            let own = registry.is_some() && is_of(&call.url, &call.registry);
            certificates = found;
            let direct = near || proxies::excepts(&call.url);
            let misread = (!direct).then(|| proxies::misread(&call.url, &store::environment));
            if let Some(because) = misread.flatten() {
                let kind = FaultKind::Proxy;
                return Err(Fault { because, kind });
            }
            ClientKind::Other {
                direct,
                registry,
                own,
            }
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = self.new_client(&kind, certificates.as_deref())?;
        clients.insert(kind, client.clone());
        Ok(client)
    }

    fn new_client(
        &self,
        kind: &ClientKind,
        certificates: Option<&HostCertificates>,
    ) -> Result<Client, Fault> {
        let (direct, own) = match kind {
            ClientKind::Plain => (true, false),
            ClientKind::Other { direct, own, .. } => (*direct, *own),
        };
        let builder = || {
            let builder = self.builder();
            if direct { builder.no_proxy() } else { builder }
        };
        let without_certificates = || builder().tls_certs_only([]).build();
        let of_host = certificates.map(|certificates| &certificates.authorities);
        let named = self.authorities.iter().chain(of_host.into_iter().flatten());
        let named: Vec<_> = named.cloned().collect();
        let identity = certificates.and_then(|certificates| certificates.identity.as_ref());
        let identity = identity.filter(|_| own);
        let none = named.is_empty() && identity.is_none();
        let made = if *kind == ClientKind::Plain {
            without_certificates()
        } else {
            match trust::settings(named, identity) {
                Ok(settings) => builder().tls_backend_preconfigured(settings).build(),
                // A machine without any certificates can still use a registry without TLS.
                Err(_) if none => without_certificates(),
                Err(error) => {
                    let of_host = certificates.map(|_| FaultKind::HostCertificates);
                    return Err(Fault {
                        because: error.to_string(),
                        kind: of_host.unwrap_or(FaultKind::Settings),
                    });
                }
            }
        };
        made.map_err(|error| Fault {
            because: root_cause(&error),
            kind: FaultKind::Settings,
        })
    }

    fn builder(&self) -> ClientBuilder {
        let agent = concat!("sparkpack/", env!("CARGO_PKG_VERSION"));
        let builder = Client::builder().user_agent(agent).redirect(Policy::none());
        let builder = builder.connect_timeout(CONNECT_LIMIT.min(self.patience.stall));
        // Bytes that the other side's system does not acknowledge: its machine or the way to it is gone.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(self.patience.stall);
        builder
    }

    async fn send(&self, call: &Call) -> Result<Response, Fault> {
        let request = self
            .client(call)?
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone());
        let (request, limited) = match &call.body {
            Some(Body::Bytes(bytes)) => (request.body(bytes.clone()), true),
            Some(Body::Streamed(body)) => {
                let request = request.header(CONTENT_LENGTH, body.length);
                (request.body(body.open()), false)
            }
            None => (request, true),
        };
        let sent = async { request.send().await.map_err(|error| fault(&error)) };
        if limited {
            in_time(self.patience.stall, sent).await
        } else {
            sent.await
        }
    }

    async fn read(&self, mut response: Response, call: &Call, own: bool) -> Result<Answer, Fault> {
        let status = response.status();
        let mut answer = Answer {
            status,
            headers: response.headers().clone(),
            body: Bytes::new(),
            rest: None,
            own,
            url: call.url.clone(),
        };
        if call.method == Method::HEAD {
            return Ok(answer);
        }
        let limit = match call.reading {
            Reading::Streamed if status == StatusCode::OK => {
                answer.rest = Some(response);
                return Ok(answer);
            }
            Reading::Streamed => REASON_LIMIT,
            Reading::Whole(limit) => limit,
        };
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.len() + chunk.len() > limit {
                return Err(odd(format!("it is longer than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        answer.body = body.freeze();
        Ok(answer)
    }

    /// The next bytes of a body.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Fault> {
        let chunk = async { response.chunk().await.map_err(|error| fault(&error)) };
        in_time(self.patience.stall, chunk).await
    }

    /// Whether a host, with its port, may be used without TLS.
    pub(super) fn may_be_plain(&self, host: &str) -> bool {
        is_loopback(host) || self.insecure.iter().any(|insecure| insecure == host)
    }
}

impl StreamedBody {
    fn open(&self) -> reqwest::Body {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        // If nobody reads the body any more, it ends too early, and the request fails.
        let _ = self.openings.send(sender);
        let next = async |mut receiver: mpsc::Receiver<Bytes>| {
            let chunk = receiver.recv().await?;
            Some((Ok::<Bytes, Infallible>(chunk), receiver))
        };
        reqwest::Body::wrap_stream(stream::unfold(receiver, next))
    }
}

async fn in_time<T>(
    limit: Duration,
    result: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let result = timeout(limit, result).await;
    result.unwrap_or_else(|_| Err(timed_out()))
}

/// The fault of a request that takes too long.
pub(super) fn timed_out() -> Fault {
    Fault {
        because: "operation timed out".to_owned(),
        kind: FaultKind::Transient(FailureKind::Network),
    }
}

/// The target of a redirect. A request with a body is redirected only if it may be repeated unchanged.
fn target(call: &Call, response: &Response) -> Option<Url> {
    let repeatable = matches!(
        response.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let readable = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER
    );
    let followed = repeatable || (readable && call.body.is_none());
    if !followed {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    call.url.join(location).ok()
}

fn odd(because: String) -> Fault {
    Fault {
        because,
        kind: FaultKind::Odd,
    }
}

fn fault(error: &reqwest::Error) -> Fault {
    if let Some(error) = sources(error).find_map(tls_error) {
        let (kind, because) = tls::explained(error);
        return Fault {
            because,
            kind: FaultKind::Lasting(kind),
        };
    }
    let because = root_cause(error);
    let kind = if because.starts_with("invalid HTTP") {
        FaultKind::NotHttp
    } else {
        FaultKind::Transient(FailureKind::Network)
    };
    Fault { because, kind }
}

impl FaultKind {
    fn is_transient(self) -> bool {
        matches!(self, Self::Transient(_))
    }

    /// Whether the other side speaks TLS, and yet no connection was made.
    fn is_about_tls(self) -> bool {
        match self {
            Self::Lasting(kind) => kind != FailureKind::Tls,
            Self::HostCertificates => true,
            Self::Transient(_) | Self::NotHttp | Self::Odd | Self::Settings | Self::Proxy => false,
        }
    }
}

fn sources<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

/// The innermost cause. The outer ones contain the URL, which may hold a secret.
fn root_cause(error: &reqwest::Error) -> String {
    sources(error)
        .last()
        .map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

/// The TLS error in an I/O error. `source` skips the wrapped error, and I/O errors may be nested.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut error = error;
    while let Some(inner) = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        error = inner;
    }
    error.downcast_ref()
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether a URL is on a registry itself, which may have a port.
fn is_of(url: &Url, registry: &str) -> bool {
    Url::parse(&format!("{}://{registry}", url.scheme())).is_ok_and(|own| {
        let port = Url::port_or_known_default;
        own.host() == url.host() && port(&own) == port(url)
    })
}

/// Whether credentials for one URL may be sent to the other: host and port are the same, or it is the same host with
/// TLS instead of plain HTTP.
pub(super) fn same_host(from: &Url, to: &Url) -> bool {
    let same_port = from.port_or_known_default() == to.port_or_known_default();
    let upgraded = from.scheme() == "http" && to.scheme() == "https";
    let both_default = from.port().is_none() && to.port().is_none();
    from.host() == to.host()
        && (from.scheme() == to.scheme() && same_port || upgraded && (same_port || both_default))
}

/// A header value that `Debug` does not show.
pub(super) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_the_whole_name() {
        for near in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "localhost.evil",
            "127.0.0.1.evil:5000",
            "10.0.0.1",
            "reg.example",
            "[::2]:1",
            "localhost5000",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let same =
            |from: &str, to: &str| same_host(&Url::parse(from).unwrap(), &Url::parse(to).unwrap());
        assert!(same("https://a.example/x", "https://a.example:443/y"));
        assert!(same("http://a.example/x", "https://a.example/y"));
        assert!(same("http://a.example:5000/x", "https://a.example:5000/y"));
        for (from, to) in [
            ("https://a.example/", "http://a.example/"),
            ("https://a.example/", "https://b.example/"),
            ("https://a.example/", "https://a.example:8443/"),
            ("https://a.example/", "https://a.example.evil/"),
            ("http://a.example:5000/", "https://a.example/"),
        ] {
            assert!(!same(from, to), "{from} {to}");
        }
    }
}
