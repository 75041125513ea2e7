//! Secrets in every run of the suite: with `SPARKPACK_CANARIES=FOLDER`, each run of sparkpack that the helpers start has twelve of
//! them where a machine has such, and says all that it can say. None may be in what it says, in the project, or in the cache.
//!
//! `FOLDER/runs` gets a line for each run that was searched, `FOLDER/leaks` one for each secret that was found.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;

use super::Run;

/// What each is, and how it would be found.
const SECRETS: [(&str, &str); 12] = [
    ("the password of a registry", "everywhere-11d3f0"),
    ("what a helper says", "everywhere-22ab94"),
    ("an identity token", "everywhere-338c15"),
    ("the password of a proxy", "everywhere-44e07d"),
    ("the password of a package index", "everywhere-55b9c2"),
    ("the token in the URL of git's remote", "everywhere-66f431"),
    ("a service account of the cloud", "everywhere-77a58e"),
    ("a variable of an application", "everywhere-88d6f7"),
    ("a password in .netrc", "everywhere-99c023"),
    ("the token of a Kubernetes cluster", "everywhere-aa741b"),
    ("an SSH key", "everywhere-bb59d8"),
    ("a password in .pypirc", "everywhere-cc82e6"),
];

/// The user that those of registries and indexes are of.
const OF: &str = "u";

/// Files in the home that no test needs to have otherwise: path and text, with the number of the secret in it.
const FILES: [(&str, &str, usize); 7] = [
    (
        ".config/gcloud/application_default_credentials.json",
        "{\"type\": \"service_account\", \"private_key\": \"SECRET\"}\n",
        6,
    ),
    ("../.env", "DB_PASSWORD=SECRET\n", 7),
    (
        ".netrc",
        "machine canary.example login x password SECRET\n",
        8,
    ),
    (
        ".kube/config",
        "apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: SECRET}}]\n",
        9,
    ),
    (".ssh/id_ed25519", "SECRET\n", 10),
    (
        ".pypirc",
        "[pypi]\nusername = __token__\npassword = SECRET\n",
        11,
    ),
    (
        "bin/docker-credential-canary",
        "#!/bin/sh\ncat >/dev/null\necho '{\"Username\": \"u\", \"Secret\": \"SECRET\"}'\n",
        1,
    ),
];

/// The files in which there is one.
static PLANTED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn note(file: &Path) {
    if let Ok(path) = fs_err::canonicalize(file) {
        let mut planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
        planted.insert(path);
    }
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("SPARKPACK_CANARIES").map(PathBuf::from)
}

/// Does so for a run of sparkpack with these arguments, if that is asked for.
pub(super) fn plant_if_asked(command: &mut Command, arguments: &[&str], root: &Path, home: &Path) {
    if folder().is_none() {
        return;
    }
    let is_quiet = ["-q", "--quiet"]
        .iter()
        .any(|word| arguments.contains(word));
    if !is_quiet {
        command.arg("-vvv");
    }
    plant(command, root, home);
}

/// Puts the secrets where a command meets them, unless the test, or this machine, has something else there.
pub(crate) fn plant(command: &mut Command, root: &Path, home: &Path) {
    let there = |name: &str| std::env::var_os(name).is_some();
    let index = format!(
        "http://u:{}@127.0.0.1:{}/simple",
        SECRETS[4].1, *EMPTY_INDEX
    );
    let variables = [
        (
            "HTTPS_PROXY",
            format!("http://u:{}@127.0.0.1:9", SECRETS[3].1),
        ),
        ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
        ("PIP_EXTRA_INDEX_URL", index),
        ("DB_PASSWORD", SECRETS[7].1.to_owned()),
    ];
    for (name, value) in variables {
        if !there(name) && !there(&name.to_lowercase()) {
            command.env(name, value);
        }
    }
    for (path, text, number) in FILES {
        let file = home.join(path);
        if !file.exists() {
            drop(fs_err::create_dir_all(file.parent().unwrap()));
            drop(fs_err::write(
                &file,
                text.replace("SECRET", SECRETS[number].1),
            ));
            let mode = if path.starts_with("bin/") {
                0o755
            } else {
                0o600
            };
            drop(fs_err::set_permissions(
                &file,
                PermissionsExt::from_mode(mode),
            ));
            note(&file);
        }
    }
    plant_in_docker(&home.join(".docker/config.json"));
    plant_in_git(&root.join(".git/config"));
}

/// The port of an index that has no package.
static EMPTY_INDEX: LazyLock<u16> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The thread ends with the tests.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone()?).lines();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                stream.write_all(NOTHING)
            });
        }
    });
    port
});

const NOTHING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Adds sign-ins for hosts that no test has.
fn plant_in_docker(file: &Path) {
    let text = fs_err::read_to_string(file).unwrap_or_else(|_| "{}".to_owned());
    let Ok(serde_json::Value::Object(mut all)) = serde_json::from_str(&text) else {
        return;
    };
    let mut add = |part: &str, host: &str, value: serde_json::Value| {
        let part = all.entry(part).or_insert_with(|| serde_json::json!({}));
        if let Some(part) = part.as_object_mut() {
            part.insert(host.to_owned(), value);
        }
    };
    let auth = STANDARD.encode(format!("u:{}", SECRETS[0].1));
    add(
        "auths",
        "canary.example",
        serde_json::json!({ "auth": auth }),
    );
    let token = serde_json::json!({ "identitytoken": SECRETS[2].1 });
    add("auths", "token.example", token);
    add("credHelpers", "helped.example", "canary".into());
    let new = serde_json::Value::Object(all).to_string();
    if new != text {
        drop(fs_err::create_dir_all(file.parent().unwrap()));
        drop(fs_err::write(file, new));
        note(file);
    }
}

fn plant_in_git(file: &Path) {
    if let Ok(text) = fs_err::read_to_string(file)
        && !text.contains("[remote ")
    {
        let url = format!("https://x:{}@git.example/team/all.git", SECRETS[5].1);
        let remote = format!("{text}[remote \"origin\"]\n\turl = {url}\n");
        drop(fs_err::write(file, remote));
        note(file);
    }
}

/// Searches after a run, if that is asked for.
pub(super) fn search_if_asked(command: &Command, run: &Run) {
    let Some(folder) = folder() else {
        return;
    };
    let Some(leaks) = leaks(command, run) else {
        return;
    };
    let arguments = command.get_args().map(|word| word.to_string_lossy());
    let arguments: Vec<_> = arguments.collect();
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let run = format!("{name}: {}", arguments.join(" ").replace('\n', " "));
    let leaks = leaks.iter().fold(String::new(), |mut text, leak| {
        writeln!(text, "{leak}: {run}").unwrap();
        text
    });
    append(&folder.join("runs"), &format!("{run}\n"));
    append(&folder.join("leaks"), &leaks);
}

/// The secrets in what a command has said and left; `None` if none were planted for it.
pub(crate) fn leaks(command: &Command, run: &Run) -> Option<Vec<String>> {
    let value_of = |wanted: &str| {
        let mut all = command.get_envs();
        let found = all.find(|(name, _)| *name == wanted)?.1?;
        Some(PathBuf::from(found))
    };
    let (cache, root) = (value_of("SPARKPACK_CACHE")?, command.get_current_dir()?);
    let mut told = found(&SECRETS, OF, run.stdout.as_bytes(), "what it prints");
    told.extend(found(&SECRETS, OF, run.stderr.as_bytes(), "what it says"));
    told.extend(found_below(root));
    told.extend(found_below(&cache));
    Some(told)
}

/// In one write, as other tests append too.
fn append(file: &Path, text: &str) {
    let mut options = fs_err::OpenOptions::new();
    let file = options.create(true).append(true).open(file);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// Secrets: what each is, and its text.
pub(crate) type Secrets = [(&'static str, &'static str)];

/// The secrets in a text, also as registries get them with a user.
pub(crate) fn found(secrets: &Secrets, user: &str, text: &[u8], place: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let is_there = |secret: &str| {
        let sign_in = STANDARD.encode(format!("{user}:{secret}"));
        text.contains(secret) || text.contains(&sign_in) || text.contains(&STANDARD.encode(secret))
    };
    let there = secrets.iter().filter(|(_, secret)| is_there(secret));
    there
        .map(|(what, _)| format!("{what} is in {place}"))
        .collect()
}

/// The same of the bytes of a file, unpacked too if they are gzip.
pub(crate) fn found_in_file(
    secrets: &Secrets,
    user: &str,
    bytes: &[u8],
    place: &str,
) -> Vec<String> {
    let mut told = found(secrets, user, bytes, place);
    let mut unpacked = Vec::new();
    if MultiGzDecoder::new(bytes)
        .read_to_end(&mut unpacked)
        .is_ok()
    {
        told.extend(found(secrets, user, &unpacked, place));
    }
    told
}

fn is_planted(path: &Path) -> bool {
    let planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    fs_err::canonicalize(path).is_ok_and(|path| planted.contains(&path))
}

/// The same of all files below a folder, unpacked where they are gzip. What was searched before is not searched again.
fn found_below(folder: &Path) -> Vec<String> {
    static SEARCHED: Mutex<BTreeSet<[i64; 5]>> = Mutex::new(BTreeSet::new());
    let mut told = Vec::new();
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
        let path = entry.path();
        if !entry.file_type().is_file() || is_planted(path) {
            continue;
        }
        let Ok(about) = entry.metadata() else {
            continue;
        };
        let (times, length) = (
            [about.ctime(), about.ctime_nsec()],
            about.len().cast_signed(),
        );
        let key = [
            about.dev().cast_signed(),
            about.ino().cast_signed(),
            length,
            times[0],
            times[1],
        ];
        let mut searched = SEARCHED.lock().unwrap_or_else(PoisonError::into_inner);
        if !searched.insert(key) {
            continue;
        }
        drop(searched);
        let Ok(bytes) = fs_err::read(path) else {
            continue;
        };
        let place = path.display().to_string();
        told.extend(found_in_file(&SECRETS, OF, &bytes, &place));
    }
    told
}
