//! Which files reach a build: `.dockerignore` and `COPY`, compared with docker itself.
//!
//! docker's client applies the rules of `.dockerignore` before it sends the context. The daemon is therefore replaced
//! by a listener that keeps the context it is sent. `COPY` is compared with the real daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use sparkpack::project::{
    dockerfile::Dockerfile,
    ignore::DockerIgnore,
    tree::{Content, Entry},
};
use tempfile::TempDir;

use crate::support::{TestProject, docker, program, remove_images, run};

/// File names that the rules below treat differently.
const FILES: [&str; 42] = [
    "^up",
    "a|b",
    "{a,b}",
    "do$ar",
    "a",
    "ab",
    "abc",
    "a.txt",
    "b.txt",
    "c.md",
    "README.md",
    "README-secret.md",
    "README-1.md",
    ".env",
    ".hidden/x",
    "sp ace.txt",
    "é.txt",
    "#hash",
    "!bang",
    "[x].txt",
    "x*y",
    "a+(b)",
    "back\\slash",
    "dir/a",
    "dir/a.txt",
    "dir/b.md",
    "dir/.env",
    "dir/sub/a.txt",
    "dir/sub/deep/a.txt",
    "dir/sub/deep/b.md",
    "dir2/a.txt",
    "other/dir/a.txt",
    "tmp/1",
    "tmp/2/3",
    "docs/x/keep",
    "docs/x/drop",
    "docs/keep",
    "docs/y/z/keep",
    "foo/bar/baz",
    "foo/bar2",
    "foo2/bar/baz",
    "Upper/File",
];

/// Contents of `.dockerignore`.
const RULES: [&str; 124] = [
    "",
    "\n\n",
    "# a\n",
    " # a\n",
    "#hash\n",
    "\\#hash\n",
    "!bang\n",
    "\\!bang\n",
    "a",
    "a\n",
    "a\r\nab\r\n",
    " a \t\n",
    "\u{feff}a\n",
    "/a\n",
    "./a\n",
    "a/\n",
    "/dir/\n",
    "dir\n",
    "dir/*\n",
    "dir/**\n",
    "*/a.txt\n",
    "**/a.txt\n",
    "**a.txt\n",
    "*.txt\n",
    "**/*.txt\n",
    "**/*.md\n!README.md\n",
    "*\n",
    "**\n",
    "*\n!a\n",
    "*\n!dir\n",
    "*\n!dir/sub\n",
    "**\n!dir/sub/**\n",
    "dir\n!dir/a.txt\n",
    "dir\n!dir/sub/deep\n",
    "dir/**\n!dir/sub/deep/a.txt\n",
    "*.md\n!README*.md\nREADME-secret.md\n",
    "*.md\nREADME-secret.md\n!README*.md\n",
    "!a\na\n",
    "a\n!a\na\n",
    "!*\n",
    "?\n",
    "a?\n",
    "?b?\n",
    "[ab]\n",
    "[a-c].txt\n",
    "[^a].txt\n",
    "[!a].txt\n",
    "\\[x\\].txt\n",
    "x\\*y\n",
    "x*y\n",
    "a+(b)\n",
    "a.c\n",
    "é*\n",
    "?.txt\n",
    "sp ace.txt\n",
    "back\\\\slash\n",
    "upper\n",
    "UPPER/File\n",
    "Upper/file\n",
    "../a\n",
    "..\n",
    ".\n",
    "/\n",
    "dir/../a\n",
    "./dir/./sub//deep\n",
    "docs/**/keep\n",
    "docs/*/keep\n",
    "**/x/**\n",
    "**/sub/deep/**\n",
    "foo/bar\n",
    "foo/**/baz\n",
    "foo*\n!foo2\n",
    "*/*\n",
    "**/.*\n",
    "^up\n",
    "{*\n",
    "{a,b}*\n",
    "a+*\n",
    "(*\n",
    "a+(*\n",
    "do$*\n",
    "*$ar\n",
    "$*\n",
    "\\*\n",
    "[a-c-e]\n",
    "[\\]]*\n",
    "[\\[]*\n",
    "[.]env\n",
    "**/\n",
    "**/**\n",
    "**/*\n",
    "dir/**/\n",
    "a**\n",
    "*a*\n",
    "**a**\n",
    "***/a.txt\n",
    "dir/***\n",
    "?**\n",
    "dir?a\n",
    "dir[/]a\n",
    "dir[^b]a\n",
    "!\n",
    "a\\ \n",
    "..a\n",
    "...\n",
    "a/..\n",
    "//a\n",
    "///\n",
    "!//\n",
    "! \t\n",
    "\t!a\n",
    "#\n",
    "!#hash\n",
    "*\n!#hash\n",
    "dir/sub/..\n",
    "*/../a\n",
    "\u{a0}a\n",
    "a\u{a0}\n",
    "a\u{2003}\n",
    "a\0b\n",
    "link.txt\n",
    "linked\n",
    "linked/a.txt\n",
    "*\n!linked\n",
];

/// Rules that docker turns into an invalid or an unintended regular expression. sparkpack refuses them.
const ACCIDENTS: [&str; 14] = [
    "^*\n",
    "a|*\n",
    "*|b\n",
    "\\d\n",
    "\\dir\n",
    "[\\d]\n",
    "dir\\sub\n",
    "\\a\n",
    "\\w\n",
    "[[:alpha:]]\n",
    "[*]\n",
    "[?]\n",
    "x[*]y\n",
    "[b-a]\n",
];

/// Files that BuildKit's client and sparkpack send, but docker's old client does not: it never looks into an excluded
/// folder, unless a `!` rule begins with the folder's name.
const DIFFERENT: [(&str, &[&str]); 2] = [
    ("*\n!**/*.md\n", &["dir/b.md", "dir/sub/deep/b.md"]),
    ("docs/**\n!**/keep\n", &["docs/x/keep", "docs/y/z/keep"]),
];

/// Rules that docker may refuse, each on its own.
const ODD_RULES: [&str; 9] = [
    "!\n", "[\n", "[]\n", "a[\n", "[a-\n", "a\\\n", "[-]\n", "[a-]\n", "***\n",
];

/// A context with the files, and a link to a file and one to a folder.
fn context() -> TempDir {
    context_of(&FILES, "a.txt")
}

fn context_of(files: &[&str], linked: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in files {
        let file = folder.path().join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, path).unwrap();
    }
    symlink(linked, folder.path().join("link.txt")).unwrap();
    symlink("dir", folder.path().join("linked")).unwrap();
    folder
}

/// The files that are not excluded; `None` if the rules are refused.
type Left = Option<BTreeSet<String>>;

fn left_by_sparkpack(context: &Path, rules: &str) -> Left {
    let rules = DockerIgnore::parse(Path::new(".dockerignore"), rules).ok()?;
    let relative = |entry: &walkdir::DirEntry| {
        let path = entry.path().strip_prefix(context).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let entered = |entry: &walkdir::DirEntry| {
        let is_below = entry.file_type().is_dir() && entry.depth() > 0;
        !is_below || !rules.excludes_all_below(&relative(entry))
    };
    let entries = walkdir::WalkDir::new(context)
        .into_iter()
        .filter_entry(entered);
    let files = entries
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir());
    Some(
        files
            .map(|entry| relative(&entry))
            .filter(|path| !rules.excluded(path))
            .collect(),
    )
}

/// A listener in the place of a daemon.
struct Listener(TcpListener);

impl Listener {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The files of the context that docker's client sends; `None` if it refuses the rules.
    fn left_by_docker(&self, context: &Path, rules: &str) -> Left {
        fs_err::write(context.join(".dockerignore"), rules).unwrap();
        fs_err::write(context.join("Dockerfile"), "FROM scratch\n").unwrap();
        let address = format!("tcp://{}", self.0.local_addr().unwrap());
        let mut client = Command::new("docker")
            .args(["build", "--quiet", "."])
            .current_dir(context)
            .env("DOCKER_HOST", address)
            .env("DOCKER_BUILDKIT", "0")
            .env("DOCKER_CONFIG", context.join("nothing"))
            .env_remove("DOCKER_CONTEXT")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        self.0.set_nonblocking(true).unwrap();
        let mut sent = None;
        let status = loop {
            if let Ok((stream, _)) = self.0.accept() {
                stream.set_nonblocking(false).unwrap();
                sent = answer(&stream).or(sent);
            }
            if let Some(status) = client.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        let mut said = String::new();
        client
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        for file in [".dockerignore", "Dockerfile"] {
            fs_err::remove_file(context.join(file)).unwrap();
        }
        if let Some(sent) = sent {
            assert!(status.success(), "{rules:?}: {said}");
            return Some(files_of(&sent));
        }
        let refusals = ["illegal exclusion pattern", "syntax error in pattern"];
        let is_refusal = refusals.iter().any(|words| said.contains(words));
        assert!(is_refusal && !status.success(), "{rules:?}: {said}");
        None
    }
}

/// Answers the only request of a connection, and returns its body if it has one.
fn answer(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_lowercase());
    }
    let is_build = head.iter().any(|line| line == "transfer-encoding: chunked");
    let sent = is_build.then(|| chunks(&mut reader));
    let body = if head[0].starts_with("head") {
        ""
    } else {
        "{\"stream\": \"sha256:0\"}\n"
    };
    let mut writer = stream;
    write!(
        writer,
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nBuilder-Version: 1\r\nOSType: linux\r\nContent-Type: \
         application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    sent
}

fn chunks(reader: &mut impl std::io::BufRead) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return bytes;
        }
    }
}

/// The files and links of a tar, without the Dockerfile and `.dockerignore`: docker always sends these two, and leaves
/// their exclusion to the daemon.
fn files_of(tar: &[u8]) -> BTreeSet<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| !entry.header().entry_type().is_dir());
    let paths = files.map(|entry| entry.path().unwrap().to_str().unwrap().to_owned());
    paths
        .filter(|path| path != "Dockerfile" && path != ".dockerignore")
        .collect()
}

#[test]
fn rules_leave_what_docker_sends() {
    let context = context();
    let listener = Listener::new();
    let mut different = Vec::new();
    let generated = generated_rules();
    let rules = RULES
        .iter()
        .chain(&ODD_RULES)
        .copied()
        .chain(generated.iter().map(String::as_str));
    let mut refused = 0;
    for rules in rules {
        let ours = left_by_sparkpack(context.path(), rules);
        let dockers = listener.left_by_docker(context.path(), rules);
        refused += usize::from(dockers.is_none());
        if ours != dockers {
            let [ours, dockers] =
                [ours, dockers].map(|left| left.unwrap_or_else(|| ["refused".to_owned()].into()));
            let only = |left: &BTreeSet<String>, right: &BTreeSet<String>| {
                left.difference(right).cloned().collect::<Vec<_>>()
            };
            different.push(format!(
                "{rules:?}: only sparkpack {:?}, only docker {:?}",
                only(&ours, &dockers),
                only(&dockers, &ours)
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{} rules are read otherwise:\n{}",
        different.len(),
        different.join("\n")
    );
    assert!(refused > 5, "some are to be refused: {refused}");
    for rules in ACCIDENTS {
        assert_eq!(left_by_sparkpack(context.path(), rules), None, "{rules:?}");
    }
    for (rules, more) in DIFFERENT {
        let ours = left_by_sparkpack(context.path(), rules).unwrap();
        let dockers = listener.left_by_docker(context.path(), rules).unwrap();
        assert!(ours.is_superset(&dockers), "{rules:?}");
        assert_eq!(
            ours.difference(&dockers).collect::<Vec<_>>(),
            more,
            "{rules:?}"
        );
    }
}

/// Up to three lines each, of pieces that have a meaning in rules; the same in every run.
fn generated_rules() -> Vec<String> {
    const PIECES: [&str; 20] = [
        "a", "dir", "sub", "deep", "docs", "foo", "bar", "keep", ".txt", ".md", "*", "*", "**",
        "?", "[a-d]", "[^a]", "/", "/", "/", "\\*",
    ];
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut line = || {
        let mut line = if next(3) == 0 {
            "!".to_owned()
        } else {
            String::new()
        };
        (0..=next(5)).for_each(|_| line.push_str(PIECES[next(PIECES.len())]));
        line + "\n"
    };
    (0..120)
        .map(|number| (0..=number % 3).map(|_| line()).collect())
        .collect()
}

/// Files with distinct names, so that none replaces another if folders are copied into one.
const TREE: [&str; 25] = [
    "one",
    "on",
    "two.txt",
    "t.txt",
    "z.txt",
    ".four",
    ".hid/five",
    "dir/six",
    "dir/seven.txt",
    "dir/.eight",
    "dir/sub/nine.txt",
    "dir/sub/deep/ten.txt",
    "dir/sub/deeper/eleven.txt",
    "dir2/twelve.txt",
    "other/dir3/thirteen.txt",
    "docs/x/fourteen",
    "docs/y/z/fifteen",
    "foo/bar/sixteen",
    "foo/baz",
    "foo2/bar2/seventeen",
    "Upper/Eighteen",
    "sp ace.txt",
    "é.txt",
    "x*y",
    "x+y",
];

/// Sources of a `COPY`, as they are written.
const SOURCES: [&str; 44] = [
    ".",
    "./",
    "/",
    "one",
    "/one",
    "./one",
    "on*",
    "*",
    "*.txt",
    "?.txt",
    ".*",
    ".four",
    ".hid",
    "dir",
    "dir/",
    "/dir/",
    "dir/*",
    "dir/.*",
    "dir/sub",
    "dir/sub/",
    "dir/sub/*/ten.txt",
    "*/sub",
    "*/*/deep",
    "d*",
    "di?",
    "d??2",
    "[a-z].txt",
    "[^t].txt",
    "**/seven.txt",
    "foo/*",
    "foo*/bar*",
    "foo*/*",
    "Upper",
    "./dir/../one",
    "dir//sub/./deep",
    "é.txt",
    "docs/*/z",
    "one two.txt",
    "one dir2",
    "x*y",
    "link.txt",
    "linked/sub",
    "linked/seven.txt",
    "link*",
];

/// Each `COPY` takes exactly the files that sparkpack counts as its inputs. Every file contains its own path.
#[test]
fn copies_take_what_docker_takes() {
    let context = context_of(&TREE, "two.txt");
    let mut text = "FROM scratch\n".to_owned();
    for (number, source) in SOURCES.iter().enumerate() {
        writeln!(text, "COPY {source} /{number}/").unwrap();
    }
    fs_err::write(context.path().join("all.Dockerfile"), text).unwrap();
    fs_err::write(
        context.path().join(".dockerignore"),
        "all.Dockerfile\n.dockerignore\n",
    )
    .unwrap();
    let by_docker = copied_by_docker(context.path(), "all.Dockerfile");
    for (number, source) in SOURCES.iter().enumerate() {
        let ours = counted(context.path(), source);
        assert_eq!(ours, by_docker[&number.to_string()], "COPY {source}");
    }
    for source in [
        "UPPE*r",
        "[!t].txtt",
        "nothing",
        "one/a/",
        "*/nothing",
        "linked/nothing",
    ] {
        assert_eq!(
            counted(context.path(), source),
            BTreeSet::new(),
            "COPY {source}"
        );
    }
}

/// The contents of the files that are inputs of a Dockerfile which copies `source`.
fn counted(context: &Path, source: &str) -> BTreeSet<String> {
    let dockerfile = format!("FROM scratch\nCOPY {source} /\n");
    let dockerfile = Dockerfile::parse(Path::new("Dockerfile"), dockerfile.as_bytes()).unwrap();
    let mut entries: Vec<Entry> = TREE.map(|path| Entry::in_memory(path, path, false)).into();
    for path in ["link.txt", "linked"] {
        let target = fs_err::read_link(context.join(path)).unwrap();
        let target = target.to_str().unwrap().to_owned();
        entries.push(Entry {
            path: path.to_owned(),
            content: Content::Symlink { target },
        });
    }
    let mut list = |near: &[&str], wanted: &dyn Fn(&str) -> bool| {
        let listed = entries.iter().filter(|Entry { path, .. }| {
            let is_near = |root: &&str| {
                let at_or_below =
                    root.is_empty() || format!("{path}/").starts_with(&format!("{root}/"));
                at_or_below || root.starts_with(&format!("{path}/"))
            };
            near.iter().any(is_near) && wanted(path)
        });
        Ok::<Vec<Entry>, Infallible>(listed.cloned().collect())
    };
    let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
    let selected = resolution.select(&mut list).unwrap();
    let is_file = |entry: &Entry| matches!(entry.content, Content::File { .. });
    selected
        .into_iter()
        .filter(is_file)
        .map(|entry| entry.path)
        .collect()
}

/// The contents of the files in each folder of the image.
fn copied_by_docker(context: &Path, dockerfile: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in built_by_docker(context, dockerfile) {
        if let (Some((folder, _)), Some(text)) = (path.split_once('/'), text) {
            folders.entry(folder.to_owned()).or_default().insert(text);
        }
    }
    folders
}

/// The paths in an image that the real daemon builds, with the text of each file.
fn built_by_docker(context: &Path, dockerfile: &str) -> BTreeMap<String, Option<String>> {
    // Tests run side by side: one must not read or remove the image of another.
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    let number = BUILDS.fetch_add(1, Ordering::Relaxed);
    let reference = format!("sparkpack-test/ignoring:{}-{number}", std::process::id());
    let file = context.join(dockerfile);
    let output = Command::new("docker")
        // The cache fails if another test removes an image at that moment.
        .args([
            "build",
            "--quiet",
            "--no-cache",
            "--tag",
            &reference,
            "--file",
        ])
        .args([&file, context])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let content = content_of(&reference);
    docker(&["rmi", "--no-prune", &reference]);
    content
}

/// The paths in an image, with the text of each file, without those that every container has.
fn content_of(reference: &str) -> BTreeMap<String, Option<String>> {
    let container = docker(&["create", reference, "nothing"]);
    let exported = Command::new("docker")
        .args(["export", container.trim()])
        .output()
        .unwrap();
    docker(&["rm", container.trim()]);
    let mut archive = tar::Archive::new(exported.stdout.as_slice());
    let mut content = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry
            .path()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let is_file = entry.header().entry_type().is_file();
        content.insert(path, is_file.then_some(text));
    }
    let of_containers = ["dev", "etc", "proc", "sys", ".dockerenv"];
    content.retain(|path, _| !of_containers.contains(&path.split('/').next().unwrap()));
    content
}

/// The same Dockerfiles and contexts give the same files, whether docker or sparkpack builds them. None of the files is
/// excluded by sparkpack's own rules, except for those that are removed here.
#[test]
fn an_image_has_the_files_that_docker_would_give_it() {
    const REGISTRY: &str = "ignoring.example";
    let dockerfiles = [
        ("everything", "FROM scratch\nCOPY . /x/\n"),
        (
            "added",
            "FROM scratch\nADD . /x/\nADD [\"sp ace.txt\", \"dir\", \"/y/\"]\n",
        ),
        ("through", "FROM scratch\nCOPY linked/sub link.txt /x/\n"),
        (
            "stages",
            "FROM scratch AS one\nCOPY dir /one/\nFROM scratch\nCOPY --from=one /one /x/\nCOPY *.md /x/\n",
        ),
    ];
    let ignores = [
        "",
        "*.md\n!README*.md\n**/.env\ndir/sub\n!dir/sub/deep\n",
        "Dockerfile\n.dockerignore\n*\n!dir\n!a*\n!*.txt\n!linked\n!*.md\n",
    ];
    let mut configuration =
        format!("format = 1\nproject = \"ignoring\"\nregistries.main = \"{REGISTRY}/x\"\n");
    let contexts: Vec<TempDir> = ignores.map(|_| context()).into();
    for (number, (context, rules)) in contexts.iter().zip(ignores).enumerate() {
        fs_err::write(context.path().join(".dockerignore"), rules).unwrap();
        for (name, text) in dockerfiles {
            fs_err::write(context.path().join(name), text).unwrap();
            let image = format!(
                "\n[images.{name}-{number}]\ndockerfile = \"c{number}/{name}\"\ncontext = \"c{number}\"\n"
            );
            configuration.push_str(&image);
        }
    }
    let project = TestProject::new(&[("sparkpack.toml", &configuration)]);
    for (number, context) in contexts.iter().enumerate() {
        let copy = project.root().join(format!("c{number}"));
        program(
            "cp",
            &[
                "-a",
                context.path().to_str().unwrap(),
                copy.to_str().unwrap(),
            ],
        );
    }
    let images = || {
        let numbers = contexts.iter().enumerate();
        numbers.flat_map(|(number, context)| dockerfiles.map(|(name, _)| (name, number, context)))
    };
    let wanted: Vec<_> = images()
        .map(|(name, _, context)| built_by_docker(context.path(), name))
        .collect();
    for builder in ["classic", "BuildKit"] {
        let mut build = project.command(&["build"]);
        if builder == "classic" {
            build.env("DOCKER_BUILDKIT", "0");
        }
        let run = run(&mut build);
        assert_eq!(run.code, 0, "{builder}: {}", run.stderr);
        for ((name, number, _), wanted) in images().zip(&wanted) {
            let found = content_of(&project.reference(&format!("{name}-{number}")));
            assert_eq!(found, *wanted, "{name} {number} by {builder}");
        }
        remove_images(REGISTRY);
    }
}
