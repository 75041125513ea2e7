//! Daemons that do not exist, programs that are no daemon, and daemons that fall silent during a build.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use super::{
    load::{Layers, child_of},
    *,
};
use crate::image::{AssembledImage, Compression};

const VERSION: &str = r#"{"ApiVersion":"1.41","Version":"20","Os":"linux","Components":[{"Name":"Engine","Version":"1"}]}"#;
const ID: &str = "sha256:98d6a9a34c98000000000000000000000000000000000000000000000000abcd";

/// A socket whose owner answers each path with fixed bytes.
struct Pretender {
    folder: tempfile::TempDir,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Pretender {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let paths = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&paths);
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let path = read_request(&mut stream);
                seen.lock().unwrap().push(path.clone());
                let _ = stream.write_all(&answer(&path));
            }
        });
        Self { folder, paths }
    }

    fn environment(&self) -> DockerEnvironment {
        environment(&self.folder.path().join("docker.sock"))
    }
}

fn environment(socket: &Path) -> DockerEnvironment {
    DockerEnvironment {
        host: Some(format!("unix://{}", socket.display())),
        buildkit: Some(false),
        ..DockerEnvironment::default()
    }
}

/// Reads a request with its body; returns its path.
fn read_request(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        bytes.extend_from_slice(&buffer[..count]);
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let text = String::from_utf8_lossy(&bytes[..head.unwrap_or(0)]).to_lowercase();
        let whole = !text.contains("chunked") || bytes.ends_with(b"\r\n0\r\n\r\n");
        if count == 0 || (head.is_some() && whole) {
            return text.split_whitespace().nth(1).unwrap_or("").to_owned();
        }
    }
}

fn whole(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// A body in chunks; `ended` says whether the last, empty one is there.
fn chunked(body: &str, size: usize, ended: bool) -> Vec<u8> {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    if ended {
        bytes.extend(b"0\r\n\r\n");
    }
    bytes
}

fn refusal(environment: &DockerEnvironment) -> DockerError {
    let error = Daemon::connect_in(environment).err().unwrap();
    assert_eq!(error.code(), "E601");
    error
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let hint = |environment: &DockerEnvironment, text: &str| {
        let error = refusal(environment);
        assert!(error.to_string().contains(text), "{error}");
        error.hint().unwrap()
    };
    let missing = environment(&path("missing.sock"));
    let start = "start Docker: `systemctl start docker`, or check DOCKER_HOST";
    assert_eq!(hint(&missing, "there is no such socket"), start);

    fs_err::create_dir(path("run")).unwrap();
    let _other = UnixListener::bind(path("run/docker.sock")).unwrap();
    let rootless = DockerEnvironment {
        configuration: Some(folder.path().to_owned()),
        ..missing
    };
    let other = hint(&rootless, "there is no such socket");
    assert!(other.contains(&format!(
        "DOCKER_HOST=unix://{}",
        path("run/docker.sock").display()
    )));

    fs_err::write(path("file.sock"), "").unwrap();
    let file = environment(&path("file.sock"));
    assert_eq!(hint(&file, "it is not a socket"), "check DOCKER_HOST");

    drop(UnixListener::bind(path("dead.sock")).unwrap());
    let dead = environment(&path("dead.sock"));
    assert_eq!(hint(&dead, "connection refused"), start);

    let port = DockerEnvironment {
        host: Some("tcp://127.0.0.1:1".to_owned()),
        ..DockerEnvironment::default()
    };
    assert_eq!(hint(&port, "connection refused"), start);
}

#[test]
fn what_answers_without_being_a_daemon_is_told() {
    let answers: [fn() -> Vec<u8>; 5] = [
        || whole("404 Not Found", "404 page not found"),
        || whole("200 OK", "<html>"),
        || whole("200 OK", "{}"),
        || b"SSH-2.0-OpenSSH_9\r\n".to_vec(),
        || {
            whole(
                "400 Bad Request",
                "Client sent an HTTP request to an HTTPS server.",
            )
        },
    ];
    for answer in answers {
        let pretender = Pretender::start(move |_| answer());
        let error = refusal(&pretender.environment());
        assert!(error.to_string().contains("is not Docker's API"), "{error}");
        assert_eq!(error.hint().unwrap(), "check DOCKER_HOST");
    }
    let pretender = Pretender::start(|_| Vec::new());
    refusal(&pretender.environment());
}

#[test]
fn a_permission_that_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let host = environment(&socket).host().unwrap();
    let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let error = bollard::errors::Error::IOError { err: error };
    let error = host.unreachable(Unreachable::of(&error, &host.address));
    assert!(error.to_string().ends_with("permission denied"), "{error}");
    assert!(error.hint().unwrap().contains("usermod -aG docker"));
}

fn messages() -> Vec<String> {
    [
        r#"{"stream":"Step 1/1 : FROM x"}"#,
        r#"{"stream":"\n"}"#,
        r#"{"stream":" ---\u003e 98d6a9a34c98\n"}"#,
        &format!(r#"{{"aux":{{"ID":"{ID}"}}}}"#),
        r#"{"stream":"Successfully built 98d6a9a34c98\n"}"#,
    ]
    .iter()
    .map(|line| format!("{line}\r\n"))
    .collect()
}

/// Builds with a daemon that answers the request with `answer`, and knows the image if `known`.
fn build(answer: Vec<u8>, known: bool) -> (Result<ImageInfo, BuildError>, Vec<String>) {
    build_with(move || answer.clone(), known)
}

fn build_with(
    answer: impl Fn() -> Vec<u8> + Send + 'static,
    known: bool,
) -> (Result<ImageInfo, BuildError>, Vec<String>) {
    let info = format!(
        r#"{{"Id":"{ID}","Os":"linux","Architecture":"amd64","Size":1,"RootFS":{{"Type":"layers","Layers":[]}},"Config":{{}}}}"#
    );
    let pretender = Pretender::start(move |path| {
        if path.contains("/build") {
            answer()
        } else if path.ends_with("/json") && known {
            whole("200 OK", &info)
        } else if path.ends_with("/json") {
            whole("404 Not Found", r#"{"message":"No such image"}"#)
        } else if path.contains("/tag") {
            whole("201 Created", "")
        } else {
            whole("200 OK", VERSION)
        }
    });
    let daemon = Daemon::connect_in(&pretender.environment()).unwrap();
    let name = "127.0.0.1:5000/dockertest/pretended:x".parse().unwrap();
    let result = daemon
        .builder()
        .build(&request(&name, "FROM x\n", Vec::new()), &mut |_| ());
    let paths = pretender.paths.lock().unwrap().clone();
    (result, paths)
}

#[test]
fn a_build_that_ends_well_is_one_in_any_pieces() {
    for size in [1, 7, 10_000] {
        let (result, paths) = build(chunked(&messages().concat(), size, true), true);
        assert_eq!(result.unwrap().id.as_str(), ID);
        // bollard would set versions itself otherwise.
        assert_eq!(paths[..2], ["/_ping", "/version"]);
        assert!(
            paths.iter().any(|path| path.starts_with("/v1.41/build?")),
            "{paths:?}"
        );
        assert!(paths.last().unwrap().contains("/tag?"), "{paths:?}");
    }
}

#[test]
fn a_build_that_is_cut_anywhere_is_none() {
    let messages = messages();
    let error = r#"{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}"#;
    let mut answers = vec![
        (
            chunked(&messages.concat(), 100, false),
            "cut after the last",
        ),
        (
            chunked(&(messages.concat() + error), 100, true),
            "an error last",
        ),
        (
            chunked(&(messages.concat() + "no JSON\r\n"), 100, true),
            "garbage",
        ),
        (
            chunked(&(messages[..4].concat() + "{\"stream\":\"a"), 100, true),
            "half a line",
        ),
        (
            whole("500 Internal Server Error", r#"{"message":"busy"}"#),
            "500",
        ),
        (whole("409 Conflict", ""), "409"),
    ];
    for kept in 0..messages.len() {
        for ended in [true, false] {
            answers.push((
                chunked(&messages[..kept].concat(), 100, ended),
                "some lines",
            ));
        }
    }
    let no_image = messages.iter().filter(|line| !line.contains("aux"));
    answers.push((
        chunked(&no_image.cloned().collect::<String>(), 100, true),
        "no image",
    ));
    for (answer, what) in answers {
        let (result, paths) = build(answer, true);
        let error = result.err().unwrap_or_else(|| panic!("{what}"));
        assert!(matches!(code(&error), "E601" | "E602"), "{what}: {error:?}");
        assert!(
            !paths.iter().any(|path| path.contains("/tag?")),
            "{what}: {paths:?}"
        );
    }
    let (result, _) = build(chunked(&messages.concat(), 100, true), false);
    assert_eq!(code(&result.unwrap_err()), "E605");
}

/// The classic builder fails if any image is removed while it looks for cached ones.
#[test]
fn a_build_that_stumbled_over_a_removed_image_is_begun_again() {
    let lost =
        format!(r#"{{"errorDetail":{{"message":"unable to find image \"{ID}\""}},"error":"x"}}"#);
    for (failures, attempts) in [(0, 1), (2, 3), (9, 5)] {
        let (result, paths) = build_after(failures, &lost);
        let builds = paths.iter().filter(|path| path.contains("/build?"));
        assert_eq!(builds.count(), attempts);
        assert_eq!(result.is_ok(), failures < 5);
    }
    let (result, paths) = build_after(
        1,
        r#"{"errorDetail":{"message":"no such file"},"error":"x"}"#,
    );
    assert!(matches!(result, Err(BuildError::Failed { .. })));
    assert_eq!(
        paths.iter().filter(|path| path.contains("/build?")).count(),
        1
    );
}

/// A build whose first answers fail with a message.
fn build_after(failures: usize, message: &str) -> (Result<ImageInfo, BuildError>, Vec<String>) {
    let failed = chunked(message, 100, true);
    let well = chunked(&messages().concat(), 100, true);
    let begun = std::sync::atomic::AtomicUsize::new(0);
    build_with(
        move || {
            let number = begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if number < failures {
                failed.clone()
            } else {
                well.clone()
            }
        },
        true,
    )
}

/// The answers of a daemon that is asked to load an image onto a parent.
struct LoadScript {
    /// To the load.
    load: Vec<u8>,
    /// Image IDs, with the digests of their layers.
    images: Vec<(&'static str, Digest, Vec<Digest>)>,
    /// How it stores images.
    store: &'static str,
}

/// What goes otherwise.
type LoadChange = fn(&mut LoadScript);

/// Loads an image with a layer of a parent and one of its own, by a daemon that answers by the script.
fn load(
    script: impl FnOnce(&AssembledImage) -> LoadScript,
) -> (Result<ImageInfo, DockerError>, Vec<String>) {
    let layers = Layers::new();
    let entry = Entry::in_memory("a", "a", false);
    let new = [layers.layer(&[entry], Compression::None)];
    let image = child_of(&[Digest::of(b"below")], &new, "185");
    let script = script(&image);
    let pretender = Pretender::start(move |path| {
        if path.contains("/images/load") {
            return script.load.clone();
        }
        if path.contains("/info") {
            let info = json!({"DriverStatus": [["driver-type", script.store]]});
            return whole("200 OK", &info.to_string());
        }
        if path.contains("/tag") {
            return whole("201 Created", "");
        }
        if !path.ends_with("/json") {
            return whole("200 OK", &VERSION.replace("1.41", "1.44"));
        }
        let image = script.images.iter().find(|image| path.contains(image.0));
        let Some((_, id, layers)) = image else {
            return whole("404 Not Found", r#"{"message":"No such image"}"#);
        };
        let info = json!({
            "Id": id, "Os": "linux", "Architecture": "amd64",
            "RootFS": {"Type": "layers", "Layers": layers},
            "Config": {"Labels": {"of": "the parent", "text": "a $HOME \"b\" \\"}},
        });
        whole("200 OK", &info.to_string())
    });
    let daemon = Daemon::connect_in(&pretender.environment()).unwrap();
    let result = daemon.load(&LoadRequest {
        image: &image,
        layers: &new,
        parent: Some(LoadParent {
            name: "parent",
            ids: &[Digest::of(b"the parent's ID")],
        }),
        reference: &"127.0.0.1:5000/dockertest/loaded:x".parse().unwrap(),
    });
    let paths = pretender.paths.lock().unwrap().clone();
    (result, paths)
}

/// The path of a digest in a request, for a script that lives as long as the test.
fn in_path(digest: &Digest) -> &'static str {
    Box::leak(digest.hex().to_owned().into_boxed_str())
}

const WELL: &str = r#"{"stream":"Loaded image ID: sha256:0\n"}"#;

/// A script in which everything goes well.
fn going_well(image: &AssembledImage) -> LoadScript {
    let parent = Digest::of(b"any");
    let below = vec![Digest::of(b"below")];
    let (id, layers) = (image.info.id.clone(), image.info.diff_ids.clone());
    LoadScript {
        load: chunked(WELL, 100, true),
        images: vec![("parent", parent, below), (in_path(&id), id, layers)],
        store: "none",
    }
}

#[test]
fn an_image_is_loaded_when_the_daemon_has_it_afterwards() {
    let (result, paths) = load(going_well);
    assert!(result.is_ok(), "{result:?}");
    assert!(paths.last().unwrap().contains("/tag?"), "{paths:?}");
    // The parent by its ID, since another image has its name.
    let (result, _) = load(|image| {
        let mut script = going_well(image);
        let id = Digest::of(b"the parent's ID");
        script
            .images
            .push((in_path(&id), id, script.images[0].2.clone()));
        script.images[0].2.clear();
        script
    });
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn a_load_that_is_none_gives_no_name() {
    let table: [(LoadChange, &str, &str); 8] = [
        (
            |script| {
                let full = r#"{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}"#;
                script.load = chunked(full, 100, true);
            },
            "E609",
            "no space left on device",
        ),
        (
            |script| {
                let text = format!("{WELL}\n{}", r#"{"errorDetail":{"message":"late"}}"#);
                script.load = chunked(&text, 7, true);
            },
            "E609",
            "late",
        ),
        (
            |script| script.load = whole("500 Internal Server Error", r#"{"message":"busy"}"#),
            "E609",
            "busy",
        ),
        (
            |script| script.load = chunked(WELL, 100, false),
            "E601",
            "the connection broke",
        ),
        (
            |script| script.images.truncate(1),
            "E609",
            "it reported no error, and has neither",
        ),
        (
            |script| script.images[1].2.truncate(1),
            "E609",
            "has other layers",
        ),
        (
            |script| script.images[0].2.clear(),
            "E609",
            "its `parent` has other layers",
        ),
        (
            |script| script.store = "io.containerd.snapshotter.v1",
            "E609",
            "could not read its blobs: it said `HTTP/1.1 200 OK`",
        ),
    ];
    for (change, code, said) in table {
        let (result, paths) = load(|image| {
            let mut script = going_well(image);
            change(&mut script);
            script
        });
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        let named = paths.iter().any(|path| path.contains("/tag?"));
        assert!(!named, "{said}: {paths:?}");
    }
}

#[test]
fn a_push_that_fails_in_passing_is_repeated() {
    let failed = |message: &str| {
        let message = json!({"errorDetail": {"message": message}, "error": message});
        chunked(&message.to_string(), 100, true)
    };
    let arrived = || chunked(r#"{"status":"v1: digest: sha256:0 size: 1"}"#, 100, true);
    let busy = "received unexpected HTTP status: 503 Service Unavailable";
    let refused = "denied: requested access to the resource is denied";
    let table = [
        (vec![failed(busy), failed("EOF"), arrived()], 3, None),
        (vec![chunked("{}", 100, true), arrived()], 2, None),
        (vec![failed(busy); 5], 4, Some("E507")),
        (vec![failed("manifest invalid"); 2], 1, Some("E603")),
        (vec![failed(refused); 2], 1, Some("E401")),
    ];
    for (answers, attempts, code) in table {
        let answers = Mutex::new(answers.into_iter());
        let pretender = Pretender::start(move |path| {
            if path.contains("/push?") {
                return answers.lock().unwrap().next().unwrap();
            }
            whole("200 OK", VERSION)
        });
        let daemon = Daemon::connect_in(&pretender.environment()).unwrap();
        let name = "127.0.0.1:5000/dockertest/pushed:v1".parse().unwrap();
        let pushed = daemon.push(&name, "", &mut |_| ());
        let found = pushed.as_ref().err().map(|error| error.code().as_str());
        assert_eq!(found, code, "{pushed:?}");
        let paths = pretender.paths.lock().unwrap();
        let pushes = paths.iter().filter(|path| path.contains("/push?")).count();
        assert_eq!(pushes, attempts, "{pushed:?}");
    }
}
