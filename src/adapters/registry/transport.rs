//! A single HTTP request and its answer: scheme, client, redirects.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::{
    Certificate, Client, Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};
use tokio::{
    sync::mpsc::{self, Sender, UnboundedSender},
    time::timeout,
};

use super::{
    address::is_loopback,
    error::{Cause, FailureKind, RegistryError},
    settings::RegistrySettings,
};

/// The size limit of a body that says why there is no content, in bytes.
const REASON_LIMIT: usize = 1 << 20;
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
            total: Duration::from_secs(300),
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            whole: Duration::from_secs(300),
        }
    }
}

/// A request to one URL.
#[derive(Clone, Debug)]
pub(super) struct Call {
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
}

pub(super) struct Transport {
    /// The certificates that are trusted besides the system's.
    authorities: Vec<Certificate>,
    /// Uses the proxies in the environment. Clients are made when they are used, and each by one thread only, because
    /// reading all certificates takes longer than several requests.
    ordinary: OnceLock<Client>,
    /// Uses no proxy, because this machine itself is never behind one.
    direct: OnceLock<Client>,
    /// The same for requests without TLS, which need no certificates.
    plain: OnceLock<Client>,
    making: Mutex<()>,
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
        let authorities = settings
            .ca
            .as_deref()
            .map_or(Ok(Vec::new()), read_authorities)?;
        Ok(Self {
            authorities,
            ordinary: OnceLock::new(),
            direct: OnceLock::new(),
            plain: OnceLock::new(),
            making: Mutex::new(()),
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
            let encrypted = self.follow(on("https")?).await;
            if encrypted.is_ok() {
                known().insert(host.to_owned(), "https");
            }
            let untrusted = FaultKind::Lasting(FailureKind::Certificate);
            if !matches!(&encrypted, Err(fault) if fault.kind != untrusted) {
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

    fn client(&self, url: &Url) -> Result<&Client, Fault> {
        let near = url.host_str().is_some_and(is_loopback);
        let plain = near && url.scheme() == "http";
        let made = match (near, plain) {
            (_, true) => &self.plain,
            (true, _) => &self.direct,
            _ => &self.ordinary,
        };
        let _making = match made.get() {
            Some(client) => return Ok(client),
            None => self.making.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let client = self.new_client(near, plain).map_err(|error| Fault {
            because: root_cause(&error),
            kind: FaultKind::Settings,
        })?;
        Ok(made.get_or_init(|| client))
    }

    fn new_client(&self, near: bool, plain: bool) -> Result<Client, reqwest::Error> {
        let builder = || {
            let agent = concat!("sparkpack/", env!("CARGO_PKG_VERSION"));
            let builder = Client::builder().user_agent(agent).redirect(Policy::none());
            let builder = builder.connect_timeout(CONNECT_LIMIT.min(self.patience.stall));
            if near { builder.no_proxy() } else { builder }
        };
        let without_certificates = || builder().tls_certs_only([]).build();
        if plain {
            return without_certificates();
        }
        let authorities = self.authorities.iter().cloned();
        match builder().tls_certs_merge(authorities).build() {
            // A machine without any certificates can still use a registry without TLS.
            Err(_) if self.authorities.is_empty() => without_certificates(),
            other => other,
        }
    }

    async fn send(&self, call: &Call) -> Result<Response, Fault> {
        let request = self
            .client(&call.url)?
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

fn read_authorities(file: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let wrong = |because: String| RegistryError::Settings {
        because: Cause(because),
    };
    let bytes = fs_err::read(file).map_err(|error| wrong(error.to_string()))?;
    let none = || {
        wrong(format!(
            "{} holds no certificate in PEM form",
            file.display()
        ))
    };
    let certificates = Certificate::from_pem_bundle(&bytes).map_err(|_| none())?;
    if certificates.is_empty() {
        Err(none())
    } else {
        Ok(certificates)
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
    let because = root_cause(error);
    let tls = sources(error).find_map(tls_error);
    let kind = match tls {
        Some(rustls::Error::InvalidCertificate(_)) => FaultKind::Lasting(FailureKind::Certificate),
        Some(_) => FaultKind::Lasting(FailureKind::Tls),
        None if because.starts_with("invalid HTTP") => FaultKind::NotHttp,
        None => FaultKind::Transient(FailureKind::Network),
    };
    Fault { because, kind }
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
