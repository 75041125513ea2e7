//! A registry in a thread, which answers as a test defines.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::Sample;
use crate::image::Digest;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The connection is reset before the request is read.
    Reset,
    /// Nothing, for longer than a test's patience.
    Silence,
    /// An empty answer with this status, after the body was read slowly.
    Slow(u16),
    /// An empty answer with this status before the body is read.
    Early(u16),
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        Self::new(
            status,
            format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"says the registry\"}}]}}"),
        )
    }

    pub(super) fn with(self, name: &str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer {
                status,
                mut headers,
                body,
            } => {
                headers.push((name.to_owned(), value.into()));
                Self::Answer {
                    status,
                    headers,
                    body,
                }
            }
            other => other,
        }
    }

    fn bytes(&self, head_only: bool) -> Vec<u8> {
        match self {
            Self::Answer {
                status,
                headers,
                body,
            } => {
                let mut text = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n",
                    body.len()
                );
                for (name, value) in headers {
                    text.extend([name, ": ", value, "\r\n"]);
                }
                let body = if head_only { &[][..] } else { body };
                [text.as_bytes(), b"\r\n", body].concat()
            }
            Self::Raw(bytes) => bytes.clone(),
            Self::Slow(status) | Self::Early(status) => Self::new(*status, "").bytes(head_only),
            Self::Reset | Self::Silence => Vec::new(),
        }
    }

    /// The answer without its last `missing` bytes.
    pub(super) fn cut(&self, missing: usize) -> Self {
        let bytes = self.bytes(false);
        Self::Raw(bytes[..bytes.len().saturating_sub(missing)].to_vec())
    }
}

/// A body of more bytes does not fit into a connection's buffer.
const LARGE: usize = 1 << 15;

type Handler = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

pub(super) struct Fake {
    pub(super) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
}

impl Fake {
    /// Starts a registry. The handler gets the number of each request, and the request.
    pub(super) fn start(handler: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let (log, end) = (Arc::clone(&seen), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                thread::spawn(move || serve(stream, &log, &*handler));
            }
        });
        Self { host, seen, over }
    }

    /// A registry that has one image under any tag; the handler may answer in its place.
    pub(super) fn holding(
        sample: &Sample,
        handler: impl Fn(usize, &Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let sample = sample.clone();
        Self::start(move |index, seen| handler(index, seen).unwrap_or_else(|| sample.reply(seen)))
    }

    /// The same, and what is put as a manifest can be read afterwards.
    pub(super) fn keeping(handler: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let kept = Mutex::new(BTreeMap::new());
        Self::start(move |index, seen| {
            let reply = handler(index, seen);
            if !seen.target.contains("/manifests/") {
                return reply;
            }
            let mut kept = kept.lock().unwrap();
            match (&reply, seen.method.as_str()) {
                (Reply::Answer { status: 201, .. }, "PUT") => {
                    kept.insert(seen.target.clone(), seen.body.clone());
                }
                (Reply::Answer { status: 404, .. }, _) => {
                    if let Some(body) = kept.get(&seen.target) {
                        return Reply::new(200, body.clone());
                    }
                }
                _ => {}
            }
            reply
        })
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    pub(super) fn reference(&self, rest: &str) -> crate::image::Reference {
        format!("{}/{rest}", self.host).parse().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.host);
    }
}

impl Sample {
    pub(super) fn reply(&self, seen: &Seen) -> Reply {
        let config = format!("/blobs/{}", Digest::of(&self.config));
        let target = seen.target.split('?').next().unwrap_or_default();
        if target.ends_with(&config) {
            return Reply::new(200, self.config.clone());
        }
        match (seen.method.as_str(), seen.target.contains("/manifests/")) {
            ("GET" | "HEAD", true) => Reply::new(200, self.manifest.clone())
                .with("Content-Type", super::DOCKER_MANIFEST)
                .with("Docker-Content-Digest", self.digest().as_str()),
            ("PUT", true) => {
                Reply::new(201, "").with("Docker-Content-Digest", Digest::of(&seen.body).as_str())
            }
            _ => Reply::error(404, "BLOB_UNKNOWN"),
        }
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Seen>>, handler: &Handler) {
    let Some((seen, length)) = peek(&stream) else {
        return;
    };
    let index = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    let reply = handler(index, &seen);
    match reply {
        // Closing a connection with unread bytes resets it.
        Reply::Reset => return,
        Reply::Silence => thread::sleep(Duration::from_secs(2)),
        Reply::Early(_) => {
            let _ = stream.write_all(&reply.bytes(false));
        }
        _ => {}
    }
    let mut read = vec![0; length];
    for part in read.chunks_mut(256 << 10) {
        if stream.read_exact(part).is_err() {
            return;
        }
        if matches!(reply, Reply::Slow(_)) {
            thread::sleep(Duration::from_millis(20));
        }
    }
    if matches!(reply, Reply::Early(_)) {
        return;
    }
    if seen.body.is_empty() {
        let head = read.windows(4).position(|four| four == b"\r\n\r\n");
        log.lock().unwrap()[index].body = read.split_off(head.unwrap() + 4);
    }
    let _ = stream.write_all(&reply.bytes(seen.method == "HEAD"));
}

/// The request and its length, without taking it from the connection. Larger bodies are not waited for.
fn peek(stream: &TcpStream) -> Option<(Seen, usize)> {
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..1000 {
        let count = stream.peek(&mut buffer).ok().filter(|count| *count > 0)?;
        if buffer[0] == 0x16 {
            return None;
        }
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut words = lines.next()?.split(' ');
            let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
            let pairs = lines.filter_map(|line| line.split_once(": "));
            let headers: BTreeMap<_, _> = pairs
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers
                .get("content-length")
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length || length > LARGE {
                let body = if length > LARGE { "" } else { body };
                let body = body.as_bytes().to_vec();
                return Some((
                    Seen {
                        method,
                        target,
                        headers,
                        body,
                    },
                    head.len() + 4 + length,
                ));
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}
