//! A package index of tiny wheels on the loopback interface, to which versions can be added while it runs.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Cursor, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sparkpack::image::Digest;
use zip::{ZipWriter, write::SimpleFileOptions};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// An index (PEP 503), which runs until the test's process ends.
pub(crate) struct Index {
    pub(crate) url: String,
    files: Files,
    asked: Arc<AtomicUsize>,
    stall: Arc<Stall>,
}

/// A file of which only the first half is sent.
#[derive(Default)]
struct Stall {
    /// The end of its path.
    end: Mutex<Option<String>>,
    /// The number of clients that wait for the second half.
    waiting: AtomicUsize,
}

impl Stall {
    fn is_of(&self, path: &str) -> bool {
        let end = self.end.lock().unwrap();
        end.as_ref().is_some_and(|end| path.ends_with(end))
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let index = Self {
            url: format!("http://{}/simple", listener.local_addr().unwrap()),
            files: Files::default(),
            asked: Arc::default(),
            stall: Arc::default(),
        };
        let (files, asked) = (index.files.clone(), index.asked.clone());
        let stall = index.stall.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                asked.fetch_add(1, Ordering::SeqCst);
                let (files, stall) = (files.clone(), stall.clone());
                thread::spawn(move || answer(stream, &files, &stall));
            }
        });
        index
    }

    /// Adds a wheel with a name such as `spk_lib-1.0-py3-none-any`, one module and these dependencies.
    pub(crate) fn add(&self, stem: &str, requires: &[&str]) {
        let name = stem.split('-').next().unwrap().replace('_', "-");
        let file = format!("/simple/{name}/{stem}.whl");
        let old = self
            .files
            .lock()
            .unwrap()
            .insert(file, wheel(stem, requires));
        assert!(old.is_none(), "{stem} is there already");
    }

    /// Serves these bytes at a path, in place of any others.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let mut files = self.files.lock().unwrap();
        files.insert(path.to_owned(), bytes.to_vec());
    }

    /// Sends only the first half of files whose path ends with `end`, until `work` is done.
    pub(crate) fn stalling<T>(&self, end: &str, work: impl FnOnce() -> T) -> T {
        *self.stall.end.lock().unwrap() = Some(end.to_owned());
        let done = work();
        *self.stall.end.lock().unwrap() = None;
        done
    }

    /// Whether a client has the first half of a file and waits for the rest.
    pub(crate) fn keeps_waiting(&self) -> bool {
        self.stall.waiting.load(Ordering::SeqCst) > 0
    }

    /// The digest of a wheel.
    pub(crate) fn digest(&self, stem: &str) -> Digest {
        let files = self.files.lock().unwrap();
        let end = format!("/{stem}.whl");
        let (_, bytes) = files.iter().find(|(path, _)| path.ends_with(&end)).unwrap();
        Digest::of(bytes)
    }

    /// The bytes at a path.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap()[path].clone()
    }

    /// The number of requests.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, files: &Files, stall: &Stall) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = body(path, &files.lock().unwrap());
    let (status, kind, body) = match found {
        Some((kind, body)) => ("200 OK", kind, body),
        None => ("404 Not Found", "text/plain", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The client may have closed the connection.
    drop(stream.write_all(head.as_bytes()));
    if first.starts_with("HEAD") {
        return;
    }
    let (sent, rest) = body.split_at(if stall.is_of(path) { body.len() / 2 } else { 0 });
    drop(stream.write_all(sent));
    if stall.is_of(path) {
        stall.waiting.fetch_add(1, Ordering::SeqCst);
        while stall.is_of(path) {
            thread::sleep(Duration::from_millis(5));
        }
        stall.waiting.fetch_sub(1, Ordering::SeqCst);
    }
    drop(stream.write_all(rest));
}

fn body(path: &str, files: &BTreeMap<String, Vec<u8>>) -> Option<(&'static str, Vec<u8>)> {
    if let Some(bytes) = files.get(path) {
        return Some(("application/octet-stream", bytes.clone()));
    }
    let folder = format!("{}/", path.trim_end_matches('/'));
    let mut links = String::new();
    for (file, bytes) in files {
        if let Some(name) = file.strip_prefix(&folder) {
            let digest = Digest::of(bytes);
            writeln!(
                links,
                "<a href=\"{name}#sha256={}\">{name}</a>",
                digest.hex()
            )
            .unwrap();
        }
    }
    (!links.is_empty()).then(|| ("text/html", links.into_bytes()))
}

fn wheel(stem: &str, requires: &[&str]) -> Vec<u8> {
    let mut parts = stem.splitn(3, '-');
    let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
    let tag = parts.next().unwrap();
    let information = format!("{name}-{version}.dist-info");
    let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    for requirement in requires {
        writeln!(metadata, "Requires-Dist: {requirement}").unwrap();
    }
    let pure = tag.ends_with("any");
    let mut files = vec![
        (
            format!("{name}.py"),
            format!("VERSION = \"{version}\"\nTAG = \"{tag}\"\n"),
        ),
        (format!("{information}/METADATA"), metadata),
        (
            format!("{information}/WHEEL"),
            format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"),
        ),
    ];
    if !pure {
        files.push((format!("{name}_native.so"), tag.to_owned()));
    }
    let mut record = String::new();
    for (path, text) in &files {
        let digest = Digest::of(text.as_bytes());
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&digest.hex()[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let encoded = URL_SAFE_NO_PAD.encode(bytes);
        writeln!(record, "{path},sha256={encoded},{}", text.len()).unwrap();
    }
    writeln!(record, "{information}/RECORD,,").unwrap();
    files.push((format!("{information}/RECORD"), record));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files {
        zip.start_file(path, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
