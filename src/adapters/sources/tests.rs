use std::{
    io::{BufRead, BufReader, Cursor, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use super::*;
use crate::{adapters::cache::CacheKind, project::source::MavenCoordinates};

/// A server on the loopback interface that answers requests for each path with a list of replies, and repeats the last.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
enum Reply {
    Body(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Announces more bytes than it sends.
    Cut(Vec<u8>),
}

impl Server {
    fn start(replies: Vec<(&str, Vec<Reply>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, mut replies) = (Arc::clone(&asked), owned(replies));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), &mut replies, &log);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn owned(replies: Vec<(&str, Vec<Reply>)>) -> Vec<(String, Vec<Reply>)> {
    replies
        .into_iter()
        .map(|(path, replies)| (path.to_owned(), replies))
        .collect()
}

fn answer(mut stream: &TcpStream, replies: &mut [(String, Vec<Reply>)], log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(path.clone());
    let found = replies.iter_mut().find(|(known, _)| *known == path);
    let reply = found.map_or(Reply::Status(404), |(_, replies)| {
        if replies.len() > 1 {
            replies.remove(0)
        } else {
            replies[0].clone()
        }
    });
    let head = |status: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n"
        )
    };
    let (head, body) = match reply {
        Reply::Body(body) => (head("200 OK", body.len()), body),
        Reply::Status(status) => (head(&format!("{status} X"), 0), Vec::new()),
        Reply::Redirect(to) => (
            head("302 Found", 0) + &format!("location: {to}\r\n"),
            Vec::new(),
        ),
        Reply::Cut(body) => (head("200 OK", body.len() + 10), body),
    };
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(&body);
}

struct Fixture {
    folder: TempDir,
    fetcher: Fetcher,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fetcher = Fetcher {
            cache: Cache::new(folder.path().join("cache")),
            ca: None,
            maven: None,
            python_index: None,
            offline: false,
            spelling: None,
            executable: None,
            project_files: None,
        };
        Self { folder, fetcher }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.folder.path().join(name);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(&file, bytes).unwrap();
        file
    }

    fn checksum(&self, source: &Source) -> Result<Digest, SourceError> {
        self.fetcher.checksum(source, &mut |_, _| {})
    }

    fn fetch(&self, source: &Source, expected: &Digest) -> Result<Vec<Entry>, SourceError> {
        self.fetcher.fetch(source, expected, &mut |_, _| {})
    }

    fn blobs(&self) -> usize {
        fs_err::read_dir(self.fetcher.cache.folder(CacheKind::Blobs)).map_or(0, Iterator::count)
    }
}

fn source(origin: Origin, unpack: Unpack) -> Source {
    Source {
        name: "thing".to_owned(),
        origin,
        sha256: None,
        unpack,
    }
}

fn listed(entries: &[Entry]) -> Vec<String> {
    let shown = |entry: &Entry| match &entry.content {
        Content::File {
            digest,
            executable,
            size,
            location: Location::Disk(file),
        } => {
            let bytes = fs_err::read(file).unwrap();
            assert_eq!(
                (Digest::of(&bytes), bytes.len() as u64),
                (digest.clone(), *size),
                "{}",
                entry.path
            );
            format!(
                "{}{}={}",
                entry.path,
                if *executable { "*" } else { "" },
                String::from_utf8_lossy(&bytes)
            )
        }
        Content::File { .. } => panic!("{} is not on the disk", entry.path),
        Content::Symlink { target } => format!("{}->{target}", entry.path),
    };
    entries.iter().map(shown).collect()
}

enum Member<'a> {
    File(&'a str, u32, &'a str),
    Folder(&'a str),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Fifo(&'a str),
}

/// A tar with any names: the `tar` crate itself refuses to write unsafe ones.
fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let (name, kind, mode, content, link) = match *member {
            Member::File(name, mode, content) => (name, tar::EntryType::Regular, mode, content, ""),
            Member::Folder(name) => (name, tar::EntryType::Directory, 0o755, "", ""),
            Member::Link(name, target) => (name, tar::EntryType::Symlink, 0o777, "", target),
            Member::Hard(name, target) => (name, tar::EntryType::Link, 0o644, "", target),
            Member::Fifo(name) => (name, tar::EntryType::Fifo, 0o644, "", ""),
        };
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_download_is_kept_and_checked() {
    let server = Server::start(vec![(
        "/a/b.jar?token=x",
        vec![Reply::Body(b"jar".to_vec())],
    )]);
    let fixture = Fixture::new();
    let source = source(
        Origin::Url(format!("{}/a/b.jar?token=x", server.url)),
        Unpack::No,
    );
    let mut told = Vec::new();
    let digest = fixture
        .fetcher
        .checksum(&source, &mut |done, total| told.push((done, total)))
        .unwrap();
    assert_eq!(
        (digest.clone(), told.last()),
        (Digest::of(b"jar"), Some(&(3, Some(3))))
    );
    for _ in 0..2 {
        assert_eq!(
            listed(&fixture.fetch(&source, &digest).unwrap()),
            ["b.jar=jar"]
        );
    }
    assert_eq!(server.asked().len(), 1);
    fs_err::write(
        fixture.fetcher.cache.entry(CacheKind::Blobs, digest.hex()),
        "bad",
    )
    .unwrap();
    assert_eq!(
        listed(&fixture.fetch(&source, &digest).unwrap()),
        ["b.jar=jar"]
    );
    assert_eq!(server.asked().len(), 2);
    let left = fs_err::read_dir(fixture.fetcher.cache.folder(CacheKind::Blobs))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(
        left.collect::<Vec<_>>(),
        [digest.hex()],
        "nothing temporary stays"
    );
}

#[test]
fn offline_gives_what_the_cache_has_and_asks_nobody() {
    let server = Server::start(vec![("/a.jar", vec![Reply::Body(b"jar".to_vec())])]);
    let mut fixture = Fixture::new();
    let source = source(Origin::Url(format!("{}/a.jar", server.url)), Unpack::No);
    let digest = Digest::of(b"jar");
    fixture.fetcher.offline = true;
    let error = fixture.fetch(&source, &digest).unwrap_err();
    assert_eq!(error.code(), "E035");
    assert!(error.to_string().contains("/a.jar"), "{error}");
    assert!(error.hint().unwrap().contains("--offline"));
    assert_eq!(server.asked().len(), 0);
    fixture.fetcher.offline = false;
    fixture.fetch(&source, &digest).unwrap();
    fixture.fetcher.offline = true;
    assert_eq!(
        listed(&fixture.fetch(&source, &digest).unwrap()),
        ["a.jar=jar"]
    );
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn other_bytes_than_the_pinned_ones_are_refused() {
    let server = Server::start(vec![(
        "/x?signature=secret",
        vec![Reply::Body(b"evil".to_vec())],
    )]);
    let fixture = Fixture::new();
    let url = server.url.replace("http://", "http://user:secret@");
    let mut source = source(Origin::Url(format!("{url}/x?signature=secret")), Unpack::No);
    let wanted = Digest::of(b"good");
    let error = fixture.fetch(&source, &wanted).unwrap_err();
    let evil = Digest::of(b"evil");
    let message = format!(
        "the source `thing` is not what was pinned: {}/x has {evil}, wanted is {wanted}",
        server.url
    );
    assert_eq!(
        (error.code().as_str(), error.to_string()),
        ("E620", message)
    );
    assert!(error.hint().is_some());
    assert_eq!(fixture.blobs(), 0);
    source.sha256 = Some(wanted.clone());
    assert_eq!(fixture.checksum(&source).unwrap(), wanted);
    assert_eq!(
        server.asked().len(),
        1,
        "a demanded checksum needs no download"
    );
}

#[test]
fn faults_are_retried_or_told() {
    let ok = Reply::Body(b"ok".to_vec());
    let cut = Reply::Cut(b"o".to_vec());
    let server = Server::start(vec![
        ("/flaky", vec![Reply::Status(503), cut.clone(), ok.clone()]),
        ("/moved", vec![Reply::Redirect("/flaky".to_owned())]),
        ("/loop", vec![Reply::Redirect("/loop".to_owned())]),
        ("/cut", vec![cut]),
        ("/secret", vec![Reply::Status(403)]),
    ]);
    let fixture = Fixture::new();
    let of = |path: &str| source(Origin::Url(format!("{}{path}", server.url)), Unpack::No);
    assert_eq!(fixture.checksum(&of("/flaky")).unwrap(), Digest::of(b"ok"));
    assert_eq!(server.asked().len(), 3);
    assert_eq!(fixture.checksum(&of("/moved")).unwrap(), Digest::of(b"ok"));
    for (path, code, tries) in [
        ("/cut", "E621", 5),
        ("/missing", "E623", 1),
        ("/secret", "E622", 1),
        ("/loop", "E621", 11),
    ] {
        let before = server.asked().len();
        let error = fixture.checksum(&of(path)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(server.asked().len() - before, tries, "{path}");
        assert!(
            error.to_string().contains(&format!("{}{path}", server.url)),
            "{error}"
        );
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = fixture
        .checksum(&source(
            Origin::Url(format!("http://{closed}/x")),
            Unpack::No,
        ))
        .unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.starts_with(&format!(
            "cannot fetch http://{closed}/x: Connection refused"
        )),
        "{message}"
    );
}

#[test]
fn a_maven_mirror_is_asked_once() {
    let path = "/m2/com/example/connector/3.1.0/connector-3.1.0-shaded.jar";
    let server = Server::start(vec![(path, vec![Reply::Body(b"jar".to_vec())])]);
    let mut fixture = Fixture::new();
    fixture.fetcher.maven = Some(format!("{}/m2/", server.url));
    let coordinates: MavenCoordinates = "com.example:connector:3.1.0:shaded".parse().unwrap();
    let source = source(Origin::Maven(coordinates), Unpack::No);
    let digest = fixture.checksum(&source).unwrap();
    assert_eq!(fixture.checksum(&source).unwrap(), digest);
    assert_eq!(
        listed(&fixture.fetch(&source, &digest).unwrap()),
        ["connector-3.1.0-shaded.jar=jar"]
    );
    assert_eq!(server.asked(), [path]);
}

fn sdist() -> Vec<u8> {
    gzip(&tar(&[
        Member::Folder("pyspark-4.1.4/"),
        Member::File(
            "pyspark-4.1.4/PKG-INFO",
            0o644,
            "Metadata-Version: 2.1\nName: pyspark\nVersion: 4.1.4\n\nText",
        ),
        Member::File(
            "pyspark-4.1.4/setup.py",
            0o644,
            "raise SystemExit('must not run')",
        ),
        Member::File("pyspark-4.1.4/deps/jars/spark-core.jar", 0o644, "core"),
        Member::File("pyspark-4.1.4/deps/bin/spark-submit", 0o755, "submit"),
        Member::File("pyspark-4.1.4/deps/sbin/x.sh", 0o755, "x"),
        Member::File("pyspark-4.1.4/deps/data/d", 0o644, "d"),
        Member::File("pyspark-4.1.4/deps/examples/e.py", 0o644, "e"),
        Member::File("pyspark-4.1.4/deps/licenses/l", 0o644, "l"),
        Member::File("pyspark-4.1.4/deps/other/o", 0o644, "o"),
        Member::File("pyspark-4.1.4/pyspark/sql/a.py", 0o644, "a"),
        Member::File("pyspark-4.1.4/pyspark.egg-info/x", 0o644, "x"),
        Member::File("pyspark-4.1.4/lib/py4j.zip", 0o644, "z"),
    ]))
}

const SPARK_FILES: [&str; 8] = [
    "bin/spark-submit*=submit",
    "data/d=d",
    "examples/e.py=e",
    "jars/spark-core.jar=core",
    "licenses/l=l",
    "python/lib/py4j.zip=z",
    "python/pyspark/sql/a.py=a",
    "sbin/x.sh*=x",
];

#[test]
fn the_python_distribution_becomes_a_spark() {
    let fixture = Fixture::new();
    let archive = sdist();
    let source = source(
        Origin::Path(fixture.file("pyspark.tar.gz", &archive)),
        Unpack::Spark,
    );
    let digest = fixture.checksum(&source).unwrap();
    assert_eq!(digest, Digest::of(&archive));
    assert_eq!(
        listed(&fixture.fetch(&source, &digest).unwrap()),
        SPARK_FILES
    );
}

#[test]
fn the_binary_distribution_becomes_a_spark() {
    let fixture = Fixture::new();
    let archive = gzip(&tar(&[
        Member::File("spark-4.1.4-bin-hadoop3/jars/a.jar", 0o644, "a"),
        Member::File("./spark-4.1.4-bin-hadoop3/bin/spark-class", 0o755, "c"),
        Member::Link("spark-4.1.4-bin-hadoop3/bin/link", "../jars/a.jar"),
        Member::Hard(
            "spark-4.1.4-bin-hadoop3/bin/hard",
            "spark-4.1.4-bin-hadoop3/bin/spark-class",
        ),
    ]));
    let of = |bytes: &[u8]| {
        source(
            Origin::Path(fixture.file("spark.tgz", bytes)),
            Unpack::Spark,
        )
    };
    let entries = fixture.fetch(&of(&archive), &Digest::of(&archive)).unwrap();
    assert_eq!(
        listed(&entries),
        [
            "bin/hard*=c",
            "bin/link->../jars/a.jar",
            "bin/spark-class*=c",
            "jars/a.jar=a"
        ]
    );
    let other = gzip(&tar(&[Member::File("x/readme", 0o644, "")]));
    let error = fixture.fetch(&of(&other), &Digest::of(&other)).unwrap_err();
    assert_eq!(error.code(), "E625");
    assert!(
        error
            .to_string()
            .ends_with("it has no `jars`: it is no Spark distribution"),
        "{error}"
    );
}

#[test]
fn archives_of_all_kinds_lose_leading_folders() {
    let plain = tar(&[
        Member::File("a/b/c.txt", 0o644, "c"),
        Member::File("a/top", 0o755, "t"),
        Member::File("root", 0o644, "r"),
    ]);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in [
        ("a/b/c.txt", 0o644, "c"),
        ("a/top", 0o755, "t"),
        ("root", 0o644, "r"),
    ] {
        zip.start_file(
            name,
            zip::write::SimpleFileOptions::default().unix_permissions(mode),
        )
        .unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    for archive in [gzip(&plain), plain, zip] {
        let fixture = Fixture::new();
        let file = fixture.file("archive", &archive);
        for (strip, wanted) in [
            (0, &["a/b/c.txt=c", "a/top*=t", "root=r"][..]),
            (1, &["b/c.txt=c", "top*=t"]),
        ] {
            let source = source(Origin::Path(file.clone()), Unpack::Archive { strip });
            assert_eq!(
                listed(&fixture.fetch(&source, &Digest::of(&archive)).unwrap()),
                wanted
            );
        }
        let source = source(Origin::Path(file), Unpack::Archive { strip: 5 });
        let error = fixture.fetch(&source, &Digest::of(&archive)).unwrap_err();
        assert!(error.to_string().ends_with("it holds no file"), "{error}");
    }
}

#[test]
fn what_is_no_archive_is_told() {
    let whole = gzip(&tar(&[Member::File("a", 0o644, &"a".repeat(5000))]));
    for bytes in [&b"<html>sorry"[..], b"", &whole[..whole.len() / 2]] {
        let fixture = Fixture::new();
        let source = source(
            Origin::Path(fixture.file("x", bytes)),
            Unpack::Archive { strip: 0 },
        );
        let error = fixture.fetch(&source, &Digest::of(bytes)).unwrap_err();
        assert_eq!(error.code(), "E625", "{error}");
        assert!(
            !fixture.fetcher.cache.folder(CacheKind::Trees).exists()
                || fs_err::read_dir(fixture.fetcher.cache.folder(CacheKind::Trees))
                    .unwrap()
                    .next()
                    .is_none()
        );
    }
}

#[test]
fn members_that_lead_out_are_refused_by_name() {
    use Member::{File, Link};
    assert_refused(&[
        (
            &[File("../x", 0o644, "")],
            "`../x` leads out of the archive",
        ),
        (
            &[File("a/../../x", 0o644, "")],
            "`a/../../x` leads out of the archive",
        ),
        (
            &[File("/etc/x", 0o644, "")],
            "`/etc/x` has an absolute path",
        ),
        (
            &[Member::Folder("../x/")],
            "`../x/` leads out of the archive",
        ),
        (
            &[Link("a/l", "../../x")],
            "`a/l` is a link out of the archive, to `../../x`",
        ),
        (
            &[Link("l", "/etc/passwd")],
            "`l` is a link out of the archive, to `/etc/passwd`",
        ),
        (
            &[Link("l", "a/../../x")],
            "`l` is a link out of the archive, to `a/../../x`",
        ),
    ]);
}

#[test]
fn members_in_each_others_way_are_refused_by_name() {
    use Member::{Fifo, File, Hard, Link};
    assert_refused(&[
        (
            &[Link("l", "."), File("l/x", 0o644, "")],
            "`l/x` lies below a file or a link",
        ),
        (
            &[File("l/x", 0o644, ""), Link("l", ".")],
            "`l` is a folder too",
        ),
        (
            &[File("a", 0o644, ""), File("./a", 0o644, "")],
            "`./a` is there twice",
        ),
        (
            &[Hard("h", "/etc/passwd")],
            "`/etc/passwd` has an absolute path",
        ),
        (
            &[Hard("h", "later"), File("later", 0o644, "")],
            "`h` is a hard link to `later`, which is no file before it",
        ),
        (
            &[Fifo("f\u{1b}")],
            "`f\\u{1b}` is neither a file, a folder nor a link",
        ),
    ]);
}

#[test]
fn members_that_would_delete_files_of_a_parent_are_refused_by_name() {
    use Member::{File, Link};
    let end = "would delete files of the parent: so does a layer by `.wh.`";
    let name = |name: &str| format!("`{name}` {end}");
    let (file, folder, link) = (name("a/.wh.x"), name("a/.wh.x/y"), name(".wh..wh..opq"));
    assert_refused(&[
        (&[File("a/.wh.x", 0o644, "")], &file),
        (&[File("a/.wh.x/y", 0o644, "")], &folder),
        (&[File("a", 0o644, ""), Link(".wh..wh..opq", "a")], &link),
    ]);
    let fixture = Fixture::new();
    let archive = tar(&[File(".wh.root/x", 0o644, "")]);
    let stripped = source(
        Origin::Path(fixture.file("x.tar", &archive)),
        Unpack::Archive { strip: 1 },
    );
    let entries = fixture.fetch(&stripped, &Digest::of(&archive)).unwrap();
    assert_eq!(entries[0].path, "x", "what is stripped deletes nothing");
}

#[test]
fn a_file_or_folder_that_would_delete_files_of_a_parent_is_refused() {
    let fixture = Fixture::new();
    let file = fixture.file(".wh.x", b"x");
    let single = source(Origin::Path(file.clone()), Unpack::No);
    let error = fixture.fetch(&single, &Digest::of(b"x")).unwrap_err();
    assert_eq!(error.code(), "E068");
    let folder = source(Origin::Path(file.parent().unwrap().to_owned()), Unpack::No);
    let error = fixture.fetcher.checksum(&folder, &mut |_, _| ());
    assert_eq!(error.unwrap_err().code(), "E068");
}

fn assert_refused(cases: &[(&[Member<'_>], &str)]) {
    for (members, wanted) in cases {
        let fixture = Fixture::new();
        let archive = tar(members);
        let source = source(
            Origin::Path(fixture.file("x.tar", &archive)),
            Unpack::Archive { strip: 0 },
        );
        let error = fixture.fetch(&source, &Digest::of(&archive)).unwrap_err();
        assert_eq!(error.code(), "E624", "{wanted}: {error}");
        assert!(error.to_string().ends_with(wanted), "{error}");
        assert!(!fixture.folder.path().join("x").exists());
    }
}

/// The path of the first entry's content.
fn on_disk(entries: &[Entry]) -> PathBuf {
    match &entries[0].content {
        Content::File {
            location: Location::Disk(file),
            ..
        } => file.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_tree_is_made_again() {
    let archive = tar(&[
        Member::File("a", 0o644, "good"),
        Member::File("b", 0o644, "b"),
    ]);
    let server = Server::start(vec![("/x.tar", vec![Reply::Body(archive.clone())])]);
    let fixture = Fixture::new();
    let source = source(
        Origin::Url(format!("{}/x.tar", server.url)),
        Unpack::Archive { strip: 0 },
    );
    let digest = Digest::of(&archive);
    let file = on_disk(&fixture.fetch(&source, &digest).unwrap());
    let index = file.with_file_name("../index.json");
    let damages: [&dyn Fn(); 4] = [
        &|| fs_err::write(&file, "evil").unwrap(),
        &|| fs_err::remove_file(&file).unwrap(),
        &|| fs_err::write(&index, "[").unwrap(),
        &|| fs_err::remove_dir_all(fixture.fetcher.cache.folder(CacheKind::Trees)).unwrap(),
    ];
    for damage in damages {
        damage();
        let entries = fixture.fetch(&source, &digest).unwrap();
        assert_eq!(listed(&entries), ["a=good", "b=b"]);
        assert_eq!(on_disk(&entries), file);
    }
    assert_eq!(server.asked().len(), 1, "the blob is enough");
    fs_err::write(&file, "good").unwrap();
    fs_err::remove_dir_all(fixture.fetcher.cache.folder(CacheKind::Blobs)).unwrap();
    assert_eq!(
        listed(&fixture.fetch(&source, &digest).unwrap()),
        ["a=good", "b=b"]
    );
    assert_eq!(
        server.asked().len(),
        1,
        "another time with the same content is no damage"
    );
}

#[test]
fn a_folder_has_the_checksum_of_its_content() {
    let fixture = Fixture::new();
    let file = fixture.file("dir/a/b.sh", b"b");
    fixture.file("dir/.git/config", b"ignored");
    std::os::unix::fs::symlink("a/b.sh", fixture.folder.path().join("dir/link")).unwrap();
    let mut source = source(Origin::Path(fixture.folder.path().join("dir")), Unpack::No);
    let before = fixture.checksum(&source).unwrap();
    assert_eq!(
        listed(&fixture.fetch(&source, &before).unwrap()),
        ["a/b.sh=b", "link->a/b.sh"]
    );
    fixture.file("dir/.git/config", b"changed");
    assert_eq!(fixture.checksum(&source).unwrap(), before);
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let executable = fixture.checksum(&source).unwrap();
    assert_ne!(executable, before);
    fixture.file("dir/a/b.sh", b"c");
    assert_ne!(
        fixture.checksum(&source).unwrap(),
        executable,
        "a change of the same size within a tick"
    );
    assert_eq!(fixture.fetch(&source, &before).unwrap_err().code(), "E620");
    source.sha256 = Some(before);
    assert_eq!(fixture.checksum(&source).unwrap_err().code(), "E620");
}

#[test]
fn a_lone_file_keeps_its_name_and_its_bit() {
    let fixture = Fixture::new();
    let file = fixture.file("spark-operator", b"elf");
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let here = source(Origin::Path(file), Unpack::No);
    let digest = fixture.checksum(&here).unwrap();
    assert_eq!(
        listed(&fixture.fetch(&here, &digest).unwrap()),
        ["spark-operator*=elf"]
    );
    let missing = source(
        Origin::Path(fixture.folder.path().join("missing")),
        Unpack::No,
    );
    assert_eq!(fixture.checksum(&missing).unwrap_err().code(), "E623");
    assert_eq!(fixture.fetch(&missing, &digest).unwrap_err().code(), "E623");
}

#[test]
fn a_source_distribution_comes_from_an_index_without_running_it() {
    let archive = sdist();
    let page = format!(
        "<a href=\"/f/pyspark-4.1.4.tar.gz#sha256={}\">pyspark-4.1.4.tar.gz</a>",
        Digest::of(&archive).hex()
    );
    let server = Server::start(vec![
        ("/simple/pyspark/", vec![Reply::Body(page.into_bytes())]),
        (
            "/f/pyspark-4.1.4.tar.gz",
            vec![Reply::Body(archive.clone())],
        ),
    ]);
    let mut fixture = Fixture::new();
    fixture.fetcher.python_index = Some(format!("{}/simple", server.url));
    let of = |version: &str| {
        source(
            Origin::PythonSdist {
                name: "pyspark".to_owned(),
                version: version.to_owned(),
            },
            Unpack::Spark,
        )
    };
    let wrong = Digest::of(b"wrong");
    let error = fixture.fetch(&of("4.1.4"), &wrong).unwrap_err();
    assert_eq!(error.code(), "E620", "{error}");
    let digest = fixture.checksum(&of("4.1.4")).unwrap();
    assert_eq!(digest, Digest::of(&archive));
    let asked = server.asked().len();
    assert_eq!(fixture.checksum(&of("4.1.4")).unwrap(), digest);
    assert_eq!(
        listed(&fixture.fetch(&of("4.1.4"), &digest).unwrap()),
        SPARK_FILES
    );
    assert_eq!(
        server.asked().len(),
        asked,
        "a released version never changes"
    );
    assert_eq!(fixture.checksum(&of("9.9.9")).unwrap_err().code(), "E623");
}

#[test]
fn names_come_from_the_origin() {
    for (origin, wanted) in [
        (
            Origin::Url("https://h.example/a/b.jar?x=/y#z".to_owned()),
            "b.jar",
        ),
        (Origin::Url("https://h.example".to_owned()), "thing"),
        (Origin::Url("https://h.example/..".to_owned()), "thing"),
        (Origin::Url("https://h.example/a/".to_owned()), "thing"),
        (Origin::Path(PathBuf::from("/x/tool")), "tool"),
        (
            Origin::PythonSdist {
                name: "pyspark".to_owned(),
                version: "1".to_owned(),
            },
            "pyspark-1.tar.gz",
        ),
    ] {
        assert_eq!(source(origin, Unpack::No).file_name(), wanted);
    }
}

#[test]
fn the_same_size_and_time_do_not_make_a_file_the_same() {
    let archive = tar(&[Member::File("a", 0o644, "good")]);
    let server = Server::start(vec![("/x.tar", vec![Reply::Body(archive.clone())])]);
    let fixture = Fixture::new();
    let source = source(
        Origin::Url(format!("{}/x.tar", server.url)),
        Unpack::Archive { strip: 0 },
    );
    let digest = Digest::of(&archive);
    let entries = fixture.fetch(&source, &digest).unwrap();
    let file = &on_disk(&entries);
    // The file must be old enough for its digest to be cached.
    std::thread::sleep(std::time::Duration::from_millis(300));
    fixture.fetch(&source, &digest).unwrap();
    let time = fs_err::metadata(file).unwrap().modified().unwrap();
    fs_err::write(file, "evil").unwrap();
    let handle = fs_err::File::options().write(true).open(file).unwrap();
    handle.set_modified(time).unwrap();
    assert_eq!(
        listed(&fixture.fetch(&source, &digest).unwrap()),
        ["a=good"]
    );
}
