//! A package index of tiny wheels on the loopback interface, to which versions can be added while it runs.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    io::{BufRead, BufReader, Cursor, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sparkpack::image::Digest;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::TestProject;

impl TestProject {
    /// A project with one job that only gets files, so that packing it needs neither a daemon nor a registry. Its packages
    /// come from this index by this installer; `more` is added to the job's table.
    pub(crate) fn with_index(
        index: &Index,
        installer: &str,
        requirements: &str,
        more: &str,
    ) -> Self {
        let configuration = format!(
            r#"format = 1
project = "orders"
registries.main = "registry.example/orders"

[mirrors]
python = "{}"

[python]
installer = "{installer}"

[chains.main]
spark = "4.1.4"
python = "3.11"

[images.job]
parent = "py"
src = "src"
requirements = "{requirements}"
{more}"#,
            index.url
        );
        Self::new(&[("sparkpack.toml", &configuration), ("src/main.py", "")])
    }
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

type Moods = Arc<Mutex<Mood>>;

/// How an index answers that is not as it should be.
#[derive(Default)]
struct Mood {
    /// The beginnings of paths, each with the status and the other lines of the head that are answered there.
    heads: BTreeMap<String, String>,
    /// The names of files that were taken back, each with the reason.
    yanked: BTreeMap<String, String>,
    /// Whether the lists of files have no hashes.
    tells_no_hash: bool,
}

/// The path of all indexes of this run: uv's cache is that of this machine and goes by the address, and another run may have
/// had the same port. Without it the same files are served.
static PREFIX: LazyLock<String> = LazyLock::new(|| format!("/{}", RandomState::new().hash_one("")));

/// An index (PEP 503), which runs until the test's process ends.
pub(crate) struct Index {
    pub(crate) url: String,
    files: Files,
    asked: Arc<AtomicUsize>,
    stall: Arc<Stall>,
    mood: Moods,
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
            url: format!(
                "http://{}{}/simple",
                listener.local_addr().unwrap(),
                PREFIX.as_str()
            ),
            files: Files::default(),
            asked: Arc::default(),
            stall: Arc::default(),
            mood: Arc::default(),
        };
        let (files, asked) = (index.files.clone(), index.asked.clone());
        let stall = index.stall.clone();
        let mood = index.mood.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                asked.fetch_add(1, Ordering::SeqCst);
                let (files, stall, mood) = (files.clone(), stall.clone(), mood.clone());
                thread::spawn(move || answer(stream, &files, &stall, &mood));
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

    /// Answers at every path that begins so with this head, such as `503 Service Unavailable`, and nothing else.
    pub(crate) fn answer_with(&self, start: &str, head: &str) {
        let mut mood = self.mood.lock().unwrap();
        mood.heads.insert(start.to_owned(), head.to_owned());
    }

    /// Takes a wheel back, for this reason.
    pub(crate) fn yank(&self, stem: &str, reason: &str) {
        let mut mood = self.mood.lock().unwrap();
        mood.yanked.insert(format!("{stem}.whl"), reason.to_owned());
    }

    /// Tells the hashes of files no more.
    pub(crate) fn tell_no_hash(&self) {
        self.mood.lock().unwrap().tells_no_hash = true;
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

fn answer(mut stream: TcpStream, files: &Files, stall: &Stall, mood: &Moods) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.strip_prefix(PREFIX.as_str()).unwrap_or(path);
    let mood = mood.lock().unwrap();
    let head = mood
        .heads
        .iter()
        .find(|(start, _)| path.starts_with(*start));
    let (status, kind, body) = match (head, body(path, &files.lock().unwrap(), &mood)) {
        (Some((_, head)), _) => (head.clone(), "text/plain", Vec::new()),
        (None, Some((kind, body))) => ("200 OK".to_owned(), kind, body),
        (None, None) => ("404 Not Found".to_owned(), "text/plain", Vec::new()),
    };
    drop(mood);
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

fn body(
    path: &str,
    files: &BTreeMap<String, Vec<u8>>,
    mood: &Mood,
) -> Option<(&'static str, Vec<u8>)> {
    if let Some(bytes) = files.get(path) {
        return Some(("application/octet-stream", bytes.clone()));
    }
    let folder = format!("{}/", path.trim_end_matches('/'));
    let mut links = String::new();
    for (file, bytes) in files {
        if let Some(name) = file.strip_prefix(&folder) {
            let hash = if mood.tells_no_hash {
                String::new()
            } else {
                format!("#sha256={}", Digest::of(bytes).hex())
            };
            let yanked = mood.yanked.get(name);
            let yanked = yanked.map_or_else(String::new, |why| format!(" data-yanked=\"{why}\""));
            writeln!(links, "<a href=\"{name}{hash}\"{yanked}>{name}</a>").unwrap();
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
