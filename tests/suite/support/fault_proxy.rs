//! A proxy before a registry that does harm: to the k-th request, or to those that a test describes.
//!
//! A new test of a fault:
//!
//! ```ignore
//! let registry = Registry::with_password(USER, PASSWORD);
//! let proxy = FaultProxy::before(&registry.host());
//! // A project whose registry is `proxy.host()`, then:
//! proxy.harm(|asked| asked.method == "PUT" && asked.path.contains("/manifests/"), Fault::AnswerDropped);
//! let run = project.run(&["push"]);
//! assert_eq!(run.code, 0, "{}", run.stderr);
//! assert_eq!(proxy.harmed(), 1, "the fault was met");
//! ```
//!
//! A fault is done once; [`FaultProxy::harm_always`] does it to each request that fits. What must happen at a certain
//! moment is a [`Fault::Call`], whose closure may wait for another one.

use std::{
    fmt::Debug,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// The first byte of what a client sends who speaks TLS.
const TLS_HANDSHAKE: u8 = 22;

/// A request as it came to the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its place among all requests, from 0.
    pub(crate) index: usize,
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// The headers, in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes of the body.
    pub(crate) sent: usize,
    /// The status of the registry's answer; `None` if it was not asked, or until it has answered.
    pub(crate) status: Option<u16>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a Docker daemon asks, and not sparkpack itself.
    pub(crate) fn is_of_daemon(&self) -> bool {
        self.header("user-agent")
            .is_some_and(|agent| agent.starts_with("docker/"))
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.header("authorization").is_some()
    }
}

/// What is done to a request or its answer.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The connection is reset; the registry is not asked.
    Reset,
    /// Of the request's body, or of the answer's where the request has none, only this much passes: a number of bytes,
    /// from the end if it is negative, or a part in quarters.
    Cut(Cut),
    /// The registry has done it, and nobody learns of it.
    AnswerDropped,
    /// The connection ends within the answer's head.
    HeadTruncated,
    /// The registry is not asked; a status is answered, with these headers.
    Status(u16, Vec<(String, String)>),
    /// Nothing happens for this time, then the connection is reset.
    Stall(Duration),
    /// The registry's answer is changed.
    Lie(Arc<dyn Fn(&mut HttpAnswer) + Send + Sync>),
    /// The registry is not asked, and this is answered.
    Answer(HttpAnswer),
    /// Calls something before the registry is asked.
    Call(Arc<dyn Fn(&Asked) + Send + Sync>),
    /// Calls something after the registry has answered, before the answer is passed on.
    CallAfter(Arc<dyn Fn(&Asked) + Send + Sync>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Bytes(isize),
    Quarters(usize),
}

impl Cut {
    fn of(self, length: usize) -> usize {
        match self {
            Self::Bytes(count) => match usize::try_from(count) {
                Ok(count) => count.min(length),
                Err(_) => length.saturating_sub(count.unsigned_abs()),
            },
            Self::Quarters(quarters) => length * quarters / 4,
        }
    }
}

impl Fault {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }

    pub(crate) fn busy(retry_after: &str) -> Self {
        let header = ("retry-after".to_owned(), retry_after.to_owned());
        Self::Status(429, vec![header])
    }

    pub(crate) fn lie(lie: impl Fn(&mut HttpAnswer) + Send + Sync + 'static) -> Self {
        Self::Lie(Arc::new(lie))
    }

    /// Every fault in passing that a network or a registry may have, by name.
    pub(crate) fn transient() -> Vec<(&'static str, Self)> {
        let long_ago = "Thu, 01 Jan 2015 00:00:00 GMT";
        vec![
            ("reset before", Self::Reset),
            ("cut after a byte", Self::Cut(Cut::Bytes(1))),
            ("cut after a quarter", Self::Cut(Cut::Quarters(1))),
            ("cut in the middle", Self::Cut(Cut::Quarters(2))),
            ("cut before the last byte", Self::Cut(Cut::Bytes(-1))),
            ("answer dropped", Self::AnswerDropped),
            ("head truncated", Self::HeadTruncated),
            ("408", Self::status(408)),
            ("429", Self::status(429)),
            ("429, retry after 0 s", Self::busy("0")),
            ("429, retry after a past date", Self::busy(long_ago)),
            ("429, retry after nonsense", Self::busy("soon")),
            ("500", Self::status(500)),
            ("502", Self::status(502)),
            ("503", Self::status(503)),
            ("504", Self::status(504)),
            ("stall, then reset", Self::Stall(Duration::from_millis(50))),
        ]
    }
}

/// An answer to a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    /// In lower case, without those about the connection and the length.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length that is told, if it is not the body's: of an answer to HEAD.
    length: Option<usize>,
}

impl HttpAnswer {
    /// One with nothing but a status.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(key, _)| key != name);
    }
}

type Fits = dyn Fn(&Asked) -> bool + Send + Sync;

struct Rule {
    fits: Box<Fits>,
    fault: Fault,
    always: bool,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    harmed: usize,
}

/// The proxy; it ends when dropped.
pub(crate) struct FaultProxy {
    port: u16,
    state: Arc<Mutex<State>>,
    ends: Arc<AtomicBool>,
}

impl FaultProxy {
    /// One before the registry at `host`, as `127.0.0.1:PORT`.
    pub(crate) fn before(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, ends) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (shared, over, host) = (Arc::clone(&state), Arc::clone(&ends), host.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, host) = (Arc::clone(&shared), host.clone());
                if let Ok(client) = client {
                    // A connection that breaks is what is tested.
                    thread::spawn(move || drop(serve(client, &shared, &host)));
                }
            }
        });
        Self { port, state, ends }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Does harm to the next request that fits.
    pub(crate) fn harm(&self, fits: impl Fn(&Asked) -> bool + Send + Sync + 'static, fault: Fault) {
        self.add(Box::new(fits), fault, false);
    }

    /// Does harm to every request that fits.
    pub(crate) fn harm_always(
        &self,
        fits: impl Fn(&Asked) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) {
        self.add(Box::new(fits), fault, true);
    }

    /// Does harm to the `nth` of the requests that fit, from 0.
    pub(crate) fn harm_nth(
        &self,
        nth: usize,
        fits: impl Fn(&Asked) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) {
        let seen = AtomicUsize::new(0);
        let fits = move |asked: &Asked| fits(asked) && seen.fetch_add(1, Ordering::SeqCst) == nth;
        self.add(Box::new(fits), fault, false);
    }

    fn add(&self, fits: Box<Fits>, fault: Fault, always: bool) {
        let rule = Rule {
            fits,
            fault,
            always,
        };
        self.state().rules.push(rule);
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How often harm was done.
    pub(crate) fn harmed(&self) -> usize {
        self.state().harmed
    }

    /// Forgets requests and rules, and counts from 0 again.
    pub(crate) fn begin_anew(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Serves the requests of one connection.
fn serve(mut client: TcpStream, state: &Mutex<State>, host: &str) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut client, &mut buffer)? {
        let (mut asked, faults) = note(state, &head);
        let cut = faults.iter().find_map(|fault| match fault {
            Fault::Cut(cut) => Some(*cut),
            _ => None,
        });
        if faults.iter().any(|fault| matches!(fault, Fault::Reset)) {
            return reset(client);
        }
        for fault in &faults {
            if let Fault::Stall(time) = fault {
                thread::sleep(*time);
                return reset(client);
            }
        }
        let declared = head
            .value("content-length")
            .and_then(|text| text.parse().ok());
        if let Some(cut) = cut
            && let Some(length @ 1..) = declared
        {
            // The rest stays unread, so that the connection is reset.
            pass_part(&mut client, &mut buffer, &head, (host, cut.of(length)))?;
            return reset(client);
        }
        let body = read_body(&mut client, &mut buffer, &head)?;
        asked.sent = body.len();
        if let Some(cut) = cut.filter(|_| !body.is_empty()) {
            forward(host, &head, &body[..cut.of(body.len())], body.len()).ok();
            return reset(client);
        }
        let Some(answer) = answered(host, &head, &body, (&asked, &faults)) else {
            return reset(client);
        };
        let mut all = state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = all.asked.get_mut(asked.index) {
            (noted.status, noted.sent) = (Some(answer.status), asked.sent);
        }
        drop(all);
        let bytes = answer.bytes(&head.method);
        let whole = bytes.len();
        let bytes = what_passes(bytes, (&answer, &head), (&faults, cut));
        client.write_all(&bytes)?;
        if bytes.len() < whole {
            return client.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// The beginning of an answer, as far as the faults let it pass.
fn what_passes(
    mut bytes: Vec<u8>,
    (answer, head): (&HttpAnswer, &Head),
    (faults, cut): (&[Fault], Option<Cut>),
) -> Vec<u8> {
    let is = |kind: fn(&Fault) -> bool| faults.iter().any(kind);
    if is(|fault| matches!(fault, Fault::AnswerDropped)) {
        bytes.clear();
    } else if is(|fault| matches!(fault, Fault::HeadTruncated)) {
        bytes.truncate(20);
    } else if let Some(cut) = cut {
        let has_body = head.method != "HEAD" && !answer.body.is_empty();
        let part = if has_body {
            bytes.len() - answer.body.len() + cut.of(answer.body.len())
        } else {
            cut.of(bytes.len())
        };
        bytes.truncate(part);
    }
    bytes
}

/// The answer to a request, from the registry or made up; `None` if the registry gave none.
fn answered(
    host: &str,
    head: &Head,
    body: &[u8],
    (asked, faults): (&Asked, &[Fault]),
) -> Option<HttpAnswer> {
    for fault in faults {
        match fault {
            Fault::Status(status, headers) => {
                let text = br#"{"errors":[]}"#;
                return Some(HttpAnswer {
                    status: *status,
                    headers: headers.clone(),
                    body: text.to_vec(),
                    length: None,
                });
            }
            Fault::Answer(answer) => return Some(answer.clone()),
            Fault::Call(call) => call(asked),
            _ => {}
        }
    }
    let mut answer = forward(host, head, body, body.len()).ok()?;
    for fault in faults {
        match fault {
            Fault::Lie(lie) => lie(&mut answer),
            Fault::CallAfter(call) => call(asked),
            _ => {}
        }
    }
    Some(answer)
}

/// Counts a request, and takes the faults that are for it.
fn note(state: &Mutex<State>, head: &Head) -> (Asked, Vec<Fault>) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = Asked {
        index: state.asked.len(),
        method: head.method.clone(),
        path: head.path.clone(),
        headers: head.headers.clone(),
        sent: 0,
        status: None,
    };
    let mut faults = Vec::new();
    let mut once = false;
    state.rules.retain(|rule| {
        if (once && !rule.always) || !(rule.fits)(&asked) {
            return true;
        }
        faults.push(rule.fault.clone());
        once |= !rule.always;
        rule.always
    });
    state.harmed += faults.len();
    state.asked.push(asked.clone());
    (asked, faults)
}

/// The head of a request or of an answer.
struct Head {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn value(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 1 << 13];
    let count = stream.read(&mut chunk)?;
    buffer.extend_from_slice(&chunk[..count]);
    Ok(count > 0)
}

/// The next head, which is taken out of the buffer; `None` at the end of the connection.
fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Head>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        // A daemon tries TLS first, and would wait for an answer to that.
        if !fill(stream, buffer)? || buffer[0] == TLS_HANDSHAKE {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
    let (method, path) = (words.next(), words.next());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()));
    Ok(Some(Head {
        method: method.unwrap_or_default().to_owned(),
        path: path.unwrap_or_default().to_owned(),
        headers: headers.collect(),
    }))
}

fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &Head) -> io::Result<Vec<u8>> {
    if head.value("transfer-encoding") == Some("chunked") {
        return read_chunks(stream, buffer);
    }
    let length = head.value("content-length").unwrap_or("0").parse();
    take(stream, buffer, length.unwrap_or(0))
}

fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, count: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < count {
        if !fill(stream, buffer)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..count).collect())
}

fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(2).position(|two| two == b"\r\n") {
                break end;
            }
            if !fill(stream, buffer)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let line = take(stream, buffer, end + 2)?;
        let size = String::from_utf8_lossy(&line[..end]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let chunk = take(stream, buffer, size + 2)?;
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Asks a registry itself.
pub(super) fn ask(
    host: &str,
    (method, path): (&str, &str),
    headers: &[(&str, String)],
    body: &[u8],
) -> HttpAnswer {
    let headers = headers.iter();
    let head = Head {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    };
    forward(host, &head, body, body.len()).unwrap()
}

/// Hands the registry the beginning of a body.
fn pass_part(
    client: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &Head,
    (host, part): (&str, usize),
) -> io::Result<()> {
    let body = take(client, buffer, part)?;
    let length = head
        .value("content-length")
        .and_then(|text| text.parse().ok());
    let mut registry = TcpStream::connect(host)?;
    registry.write_all(&request_bytes(head, &body, length.unwrap_or(part)))?;
    Ok(())
}

fn request_bytes(head: &Head, body: &[u8], length: usize) -> Vec<u8> {
    let left_out = [
        "connection",
        "content-length",
        "transfer-encoding",
        "expect",
    ];
    let kept = head.headers.iter();
    let kept = kept.filter(|(key, _)| !left_out.contains(&key.as_str()));
    let kept = lines_of(kept);
    let mut bytes = format!(
        "{} {} HTTP/1.1\r\n{kept}connection: close\r\ncontent-length: {length}\r\n\r\n",
        head.method, head.path
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn lines_of<'h>(headers: impl Iterator<Item = &'h (String, String)>) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        lines.extend([name, ": ", value, "\r\n"]);
    }
    lines
}

/// Asks the registry by a connection of its own. `length` is the one that is told.
fn forward(host: &str, head: &Head, body: &[u8], length: usize) -> io::Result<HttpAnswer> {
    let mut registry = TcpStream::connect(host)?;
    registry.write_all(&request_bytes(head, body, length))?;
    if body.len() < length {
        registry.shutdown(Shutdown::Both)?;
    }
    let mut buffer = Vec::new();
    let answer = read_head(&mut registry, &mut buffer)?;
    let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
    let told = answer
        .value("content-length")
        .and_then(|text| text.parse().ok());
    let is_chunked = answer.value("transfer-encoding") == Some("chunked");
    let body = match told {
        _ if head.method == "HEAD" => Vec::new(),
        _ if is_chunked => read_chunks(&mut registry, &mut buffer)?,
        Some(told) => take(&mut registry, &mut buffer, told)?,
        None => Vec::new(),
    };
    let left_out = ["connection", "content-length", "transfer-encoding"];
    let headers = answer.headers.into_iter();
    Ok(HttpAnswer {
        // Of a status line the second word is where a request has its path.
        status: answer.path.parse().map_err(io::Error::other)?,
        headers: headers
            .filter(|(key, _)| !left_out.contains(&key.as_str()))
            .collect(),
        body,
        length: told.filter(|_| head.method == "HEAD"),
    })
}

impl HttpAnswer {
    fn bytes(&self, method: &str) -> Vec<u8> {
        let headers = self.headers.iter();
        let headers = lines_of(headers);
        let length = self.length.unwrap_or(self.body.len());
        let mut bytes = format!(
            "HTTP/1.1 {} Told\r\n{headers}content-length: {length}\r\n\r\n",
            self.status
        )
        .into_bytes();
        if method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Ends a connection so that the other side's system tells it of a reset: bytes that nobody reads any more do that.
fn reset(client: TcpStream) -> io::Result<()> {
    let socket = socket2::Socket::from(client);
    socket.set_linger(Some(Duration::ZERO))
}
