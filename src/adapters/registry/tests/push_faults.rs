//! Pushes to a registry that misbehaves.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{
    fake::{Fake, Reply, Seen},
    push::Outgoing,
    *,
};
use crate::adapters::registry::{BlobProgress, BlobSource, BlobState};

/// More than a connection's buffers take.
const LARGE: usize = 8 << 20;

/// What kind of request it is: its method, and what stands below the repository.
pub(super) fn kind(seen: &Seen) -> (&str, &str) {
    let path = seen.target.split('?').next().unwrap_or_default();
    let what = path.split('/').rev().nth(1).unwrap_or_default();
    (&seen.method, what)
}

/// The answer of a registry that is empty and takes everything.
pub(super) fn take(seen: &Seen) -> Reply {
    match kind(seen) {
        ("POST", _) => Reply::new(202, "").with("Location", "/v2/a/b/blobs/up/1"),
        ("PUT", "manifests") => {
            Reply::new(201, "").with("Docker-Content-Digest", Digest::of(&seen.body).as_str())
        }
        ("PUT", _) => Reply::new(201, ""),
        _ => Reply::error(404, "MANIFEST_UNKNOWN"),
    }
}

/// Such a registry, which answers the first requests of a kind in another way.
fn first(wanted: (&'static str, &'static str), replies: Vec<Reply>) -> Fake {
    let replies = Mutex::new(replies.into_iter());
    Fake::keeping(move |_, seen| {
        let of_kind = kind(seen) == wanted;
        let other = of_kind.then(|| replies.lock().unwrap().next()).flatten();
        other.unwrap_or_else(|| take(seen))
    })
}

pub(super) fn count(fake: &Fake, wanted: (&str, &str)) -> usize {
    fake.seen()
        .iter()
        .filter(|seen| kind(seen) == wanted)
        .count()
}

/// The last request that puts something; what comes after it reads the tag back.
fn last_put(fake: &Fake) -> Seen {
    let seen = fake.seen();
    seen.into_iter().rfind(|seen| seen.method == "PUT").unwrap()
}

pub(super) const PUT_BLOB: (&str, &str) = ("PUT", "up");
pub(super) const PUT_MANIFEST: (&str, &str) = ("PUT", "manifests");
pub(super) const POST: (&str, &str) = ("POST", "uploads");

#[test]
fn an_upload_that_is_cut_is_sent_again_from_its_start() {
    let faults = [
        Reply::Reset,
        Reply::Raw(Vec::new()),
        Reply::error(503, "BUSY"),
        Reply::error(599, "BUSY"),
        Reply::error(404, "BLOB_UPLOAD_UNKNOWN"),
        Reply::error(400, "DIGEST_INVALID"),
    ];
    for fault in faults {
        let fake = first(PUT_BLOB, vec![fault.clone(), fault.clone()]);
        let image = Outgoing::new(&[LARGE]);
        let states = image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
        assert_eq!(states, [Some(BlobState::Sent)]);
        let layer = fs_err::read(image.file(0)).unwrap();
        let whole = fake.seen().iter().filter(|seen| seen.body == layer).count();
        assert!(whole >= 1, "{fault:?} {:?}", fake.lines());
        assert_eq!(count(&fake, PUT_BLOB), 4, "{fault:?}");
        assert_eq!(count(&fake, POST), 4, "each time with a new upload");
        let last = last_put(&fake);
        assert_eq!((kind(&last), &last.body), (PUT_MANIFEST, &image.manifest));
    }
}

#[test]
fn what_another_attempt_would_not_change_is_final() {
    for (status, code) in [
        (413, "SIZE_INVALID"),
        (400, "NAME_INVALID"),
        (501, "UNSUPPORTED"),
    ] {
        let fake = first(PUT_BLOB, vec![Reply::error(status, code); 9]);
        let image = Outgoing::new(&[LARGE]);
        let error = image
            .push(&anonymous(), &fake.reference("a/b:t"))
            .unwrap_err();
        assert!(
            shown(&error).starts_with("E502: cannot push `"),
            "{}",
            shown(&error)
        );
        assert!(shown(&error).contains(code), "{}", shown(&error));
        assert!(count(&fake, PUT_BLOB) <= 2, "of the config and the layer");
        assert_eq!(count(&fake, PUT_MANIFEST), 0);
    }
    let early = first(PUT_BLOB, vec![Reply::Early(413); 9]);
    let error = Outgoing::new(&[LARGE])
        .push(&anonymous(), &early.reference("a/b:t"))
        .unwrap_err();
    assert!(
        shown(&error).contains("413 Payload Too Large: it, or a proxy before it,"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_tag_that_is_there_is_not_set_again() {
    let other = Digest::of(b"another image");
    let named = other.clone();
    let fake = Fake::start(move |_, seen| match kind(seen) {
        ("HEAD", "manifests") => Reply::new(200, "").with("Docker-Content-Digest", named.as_str()),
        _ => take(seen),
    });
    let image = Outgoing::new(&[50]);
    let client = anonymous();
    let pushed = client.push_image(image.image(), &fake.reference("a/b:t"), &mut |_| ());
    assert_eq!(pushed.unwrap(), other);
    assert_eq!(fake.seen().len(), 1, "{:?}", fake.lines());
}

#[test]
fn a_new_layer_is_sent_without_asking_for_it() {
    let fake = first(PUT_BLOB, Vec::new());
    let mut image = Outgoing::new(&[50, 60]);
    image.layers[0].is_new = true;
    image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    assert_eq!(count(&fake, ("HEAD", "blobs")), 1, "{:?}", fake.lines());
    assert_eq!(count(&fake, PUT_BLOB), 3);
}

#[test]
fn several_layers_are_sent_at_once_but_not_all() {
    let now = Arc::new(Mutex::new((0, 0)));
    let (there, sizes) = (Arc::clone(&now), [50, 60, 70, 80, 90, 100, 110, 120]);
    let fake = Fake::keeping(move |_, seen| {
        if kind(seen) == PUT_BLOB {
            let mut now = there.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
            drop(now);
            std::thread::sleep(Duration::from_millis(100));
            there.lock().unwrap().0 -= 1;
        }
        take(seen)
    });
    let image = Outgoing::new(&sizes);
    image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    assert_eq!(count(&fake, PUT_BLOB), sizes.len() + 1);
    assert_eq!(*now.lock().unwrap(), (0, 4));
}

#[test]
fn a_mount_that_becomes_an_upload_is_used() {
    let fake = Fake::keeping(|_, seen| match seen.target.split_once('?') {
        Some((_, query)) if query.starts_with("mount=") => {
            Reply::new(202, "").with("Location", "/v2/a/b/blobs/up/mount?state=1")
        }
        _ => take(seen),
    });
    let mut image = Outgoing::new(&[50]);
    image.layers[0].mounts = vec![fake.reference("parent/x:t").repository];
    let states = image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    assert_eq!(states, [Some(BlobState::Sent)]);
    let digest = image.layers[0].descriptor.digest.to_string();
    let quoted = digest.replace(':', "%3A");
    let about: Vec<String> = fake
        .lines()
        .into_iter()
        .filter(|line| line.contains("mount"))
        .collect();
    assert_eq!(
        about,
        [
            format!("POST /v2/a/b/blobs/uploads/?mount={quoted}&from=parent%2Fx"),
            format!("PUT /v2/a/b/blobs/up/mount?state=1&digest={quoted}"),
        ]
    );
    assert_eq!(
        count(&fake, POST),
        2,
        "one for the config, one for the layer"
    );
}

#[test]
fn a_registry_that_mounts_nothing_gets_the_bytes() {
    for status in [403, 404, 405, 400] {
        let fake = Fake::keeping(move |_, seen| {
            if seen.target.contains("mount=") {
                Reply::error(status, "DENIED")
            } else {
                take(seen)
            }
        });
        let mut image = Outgoing::new(&[50]);
        image.layers[0].mounts = vec![fake.reference("parent/x:t").repository];
        let states = image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
        assert_eq!(states, [Some(BlobState::Sent)], "{status}");
    }
}

fn patient(patience: Patience) -> RegistryClient {
    let settings = RegistrySettings::default();
    RegistryClient::with_patience(settings, Credentials::default(), patience).unwrap()
}

#[test]
fn a_registry_that_asks_to_wait_is_obeyed() {
    let busy = || Reply::error(429, "TOOMANYREQUESTS");
    let dated = busy()
        .with("Date", "Wed, 21 Oct 2015 07:28:00 GMT")
        .with("Retry-After", "Wed, 21 Oct 2015 07:28:01 GMT");
    let patience = Patience {
        longest_delay: Duration::from_secs(5),
        ..hasty()
    };
    for (reply, least) in [
        (busy().with("Retry-After", "1"), 1000),
        (dated, 1000),
        (busy().with("Retry-After", "0"), 0),
    ] {
        let fake = first(POST, vec![reply.clone()]);
        let started = Instant::now();
        let image = Outgoing::new(&[50]);
        image
            .push(&patient(patience), &fake.reference("a/b:t"))
            .unwrap();
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(least), "{reply:?} {took:?}");
        assert!(
            took < Duration::from_millis(least + 2000),
            "{reply:?} {took:?}"
        );
    }
}

#[test]
fn attempts_are_bounded_in_number_and_in_time() {
    let wait = Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", "86400");
    for (attempts, total, most) in [(3, 60_000, 3), (1000, 100, 20)] {
        let fake = first(POST, vec![wait.clone(); 2000]);
        let patience = Patience {
            attempts,
            total: Duration::from_millis(total),
            ..hasty()
        };
        let started = Instant::now();
        let error = Outgoing::new(&[]).push(&patient(patience), &fake.reference("a/b:t"));
        assert_eq!(error.unwrap_err().code(), "E501");
        assert!(count(&fake, POST) <= most, "{}", count(&fake, POST));
        assert!(started.elapsed() < Duration::from_secs(3));
        assert_eq!(count(&fake, PUT_MANIFEST), 0);
    }
}

/// A token server, and a registry that accepts the tokens in `accepted`.
fn with_tokens(accepted: &Arc<Mutex<Vec<String>>>) -> (Fake, Fake) {
    let server =
        Fake::start(|index, _| Reply::new(200, format!("{{\"token\":\"token-{}\"}}", index + 1)));
    let realm = format!("http://{}/token", server.host);
    let accepted = Arc::clone(accepted);
    let fake = Fake::keeping(move |_, seen| {
        let mut accepted = accepted.lock().unwrap();
        let token = seen.header("authorization").trim_start_matches("Bearer ");
        if !accepted.iter().any(|known| known == token) {
            return Reply::error(401, "UNAUTHORIZED")
                .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""));
        }
        if seen.method == "POST" {
            // The token runs out in the middle of the push.
            accepted.retain(|known| known != "token-1");
        }
        take(seen)
    });
    (server, fake)
}

#[test]
fn a_token_that_runs_out_in_the_middle_is_renewed_once() {
    let accepted = Arc::new(Mutex::new(vec!["token-1".to_owned(), "token-2".to_owned()]));
    let (server, fake) = with_tokens(&accepted);
    let image = Outgoing::new(&[LARGE, 50, 60, 70, 80]);
    image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    assert_eq!(server.seen().len(), 2, "{:?}", server.lines());
    let last = last_put(&fake);
    assert_eq!(last.header("authorization"), "Bearer token-2");
    assert_eq!(last.body, image.manifest);
}

#[test]
fn the_repository_of_a_mount_may_be_read_with_the_same_token() {
    let accepted = Arc::new(Mutex::new(vec!["token-1".to_owned(), "token-2".to_owned()]));
    let (server, fake) = with_tokens(&accepted);
    let mut image = Outgoing::new(&[50, 60]);
    for layer in &mut image.layers {
        layer.mounts = vec![fake.reference("parent/x:t").repository];
    }
    image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    let scope =
        "GET /token?scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Aparent%2Fx%3Apull";
    assert_eq!(server.lines(), [scope, scope]);
}

#[test]
fn a_repository_that_may_not_be_read_does_not_stop_the_push() {
    let server = Fake::start(|_, seen| {
        if seen.target.contains("parent") {
            Reply::error(403, "DENIED")
        } else {
            Reply::new(200, "{\"token\":\"token-1\"}")
        }
    });
    let challenge = format!("Bearer realm=\"http://{}/token\"", server.host);
    let fake = Fake::keeping(move |_, seen| {
        let known = seen.header("authorization") == "Bearer token-1";
        if known && !seen.target.contains("mount=") {
            take(seen)
        } else {
            Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge.clone())
        }
    });
    let mut image = Outgoing::new(&[50]);
    image.layers[0].mounts = vec![fake.reference("parent/x:t").repository];
    let states = image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    assert_eq!(states, [Some(BlobState::Sent)]);
}

#[test]
fn another_host_gets_no_layer() {
    let store = Fake::start(|_, _| Reply::new(201, ""));
    let host = store.host.clone();
    let fake = Fake::keeping(move |_, seen| match seen.method.as_str() {
        "POST" => Reply::new(202, "").with("Location", format!("http://{host}/up")),
        _ => take(seen),
    });
    let image = Outgoing::new(&[LARGE]);
    let error = image
        .push(&anonymous(), &fake.reference("a/b:t"))
        .unwrap_err();
    assert_eq!(error.code(), "E503");
    assert_eq!(store.seen().len(), 0);
}

#[test]
fn a_damaged_file_is_told_and_nothing_has_the_tag() {
    for (size, damage) in [(LARGE, &b"XX"[..]), (50, b"XX"), (50, b"")] {
        let fake = first(PUT_BLOB, Vec::new());
        let image = Outgoing::new(&[size]);
        let mut bytes = fs_err::read(image.file(0)).unwrap();
        if damage.is_empty() {
            bytes.pop();
        } else {
            bytes.splice(..damage.len().min(size), damage.iter().copied());
        }
        fs_err::write(image.file(0), bytes).unwrap();
        let error = image
            .push(&anonymous(), &fake.reference("a/b:t"))
            .unwrap_err();
        let file = image.file(0).display().to_string();
        assert_eq!(error.code(), "E505");
        assert!(shown(&error).contains(&file), "{}", shown(&error));
        assert!(error.hint().unwrap().starts_with("run the same again"));
        assert_eq!(count(&fake, PUT_MANIFEST), 0, "{:?}", fake.lines());
    }
    let fake = first(PUT_BLOB, Vec::new());
    let image = Outgoing::new(&[50]);
    fs_err::remove_file(image.file(0)).unwrap();
    let error = image
        .push(&anonymous(), &fake.reference("a/b:t"))
        .unwrap_err();
    assert_eq!(error.code(), "E505", "{}", shown(&error));
}

#[test]
fn bytes_in_memory_are_sent_as_files_are() {
    let mut image = Outgoing::new(&[LARGE, 50]);
    for layer in 0..2 {
        let bytes = fs_err::read(image.file(layer)).unwrap();
        image.layers[layer].source = BlobSource::Bytes(Bytes::from(bytes));
    }
    let fake = first(PUT_BLOB, vec![Reply::Reset; 2]);
    image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
    for layer in &image.layers {
        let digest = &layer.descriptor.digest;
        assert!(
            fake.seen()
                .iter()
                .any(|seen| Digest::of(&seen.body) == *digest)
        );
    }
    image.layers[1].source = BlobSource::Bytes(Bytes::from_static(b"another"));
    let error = image
        .push(&anonymous(), &fake.reference("a/b:other"))
        .unwrap_err();
    assert!(
        shown(&error).contains("the blob has 7 bytes, its descriptor says 50"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_registry_that_makes_no_repositories_is_told() {
    let fake = first(POST, vec![Reply::error(404, "NAME_UNKNOWN"); 9]);
    let error = Outgoing::new(&[50])
        .push(&anonymous(), &fake.reference("a/b:t"))
        .unwrap_err();
    let expected = format!("`{}` has no repository `a/b`", fake.host);
    assert!(shown(&error).contains(&expected), "{}", shown(&error));
    assert!(
        error
            .hint()
            .unwrap()
            .starts_with("create the repository `a/b`")
    );
    assert_eq!(error.code(), "E502");
}

#[test]
fn a_refused_push_is_told_with_the_reason() {
    let fake = Fake::keeping(|_, _| Reply::error(403, "DENIED"));
    let error = Outgoing::new(&[50])
        .push(&anonymous(), &fake.reference("a/b:t"))
        .unwrap_err();
    assert!(
        shown(&error).starts_with("E402: ") && shown(&error).contains("DENIED: says the registry"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_slow_registry_is_waited_for_and_a_silent_one_is_not() {
    let slow = first(PUT_BLOB, vec![Reply::Slow(201); 2]);
    let patience = Patience {
        whole: Duration::from_secs(1),
        attempts: 1,
        ..hasty()
    };
    let started = Instant::now();
    let image = Outgoing::new(&[3 * LARGE]);
    let mut sent = Vec::new();
    let mut progress = |progress: BlobProgress<'_>| match progress.state {
        BlobState::Sending(bytes) => sent.push(bytes),
        other => assert_eq!(other, BlobState::Sent),
    };
    let client = patient(patience);
    let target = slow.reference("a/b:t");
    client
        .push_image(image.image(), &target, &mut progress)
        .unwrap();
    assert!(sent.len() > 3 && sent.is_sorted(), "{sent:?}");
    assert!(
        started.elapsed() > patience.whole,
        "it took longer than a whole answer may"
    );

    // A large layer stalls before its end, a small one has been sent and gets no answer.
    for image in [image, Outgoing::new(&[50])] {
        let silent = first(PUT_BLOB, vec![Reply::Silence; 2]);
        let started = Instant::now();
        let error = image
            .push(&patient(patience), &silent.reference("a/b:t"))
            .unwrap_err();
        assert_eq!(error.code(), "E501");
        assert!(shown(&error).contains("timed out"), "{}", shown(&error));
        assert!(started.elapsed() < Duration::from_millis(1900));
    }
}

#[test]
fn a_copy_is_compared_with_its_digest() {
    let mut image = Outgoing::new(&[LARGE]);
    let right = fs_err::read(image.file(0)).unwrap();
    let wrong = [&right[1..], b"x"].concat();
    for (reply, code, expected) in [
        (Reply::new(200, wrong), "E503", "is wanted"),
        (Reply::new(200, &right[1..]), "E503", "it has only"),
        (
            Reply::new(200, [&right[..], b"x"].concat()),
            "E503",
            "it has more than",
        ),
        (
            Reply::error(404, "BLOB_UNKNOWN"),
            "E502",
            "it does not have it",
        ),
        (Reply::error(403, "DENIED"), "E402", "says the registry"),
    ] {
        let told = reply.clone();
        let source = Fake::start(move |_, _| told.clone());
        image.layers[0].source = BlobSource::Registry(source.reference("x/y:t").repository);
        let fake = first(PUT_BLOB, Vec::new());
        let error = image
            .push(&anonymous(), &fake.reference("a/b:t"))
            .unwrap_err();
        let head = format!("{code}: cannot fetch `{}/x/y@sha256:", source.host);
        assert!(
            shown(&error).starts_with(&head) && shown(&error).contains(expected),
            "{}",
            shown(&error)
        );
        assert_eq!(count(&fake, PUT_MANIFEST), 0);
    }
}

#[test]
fn a_copy_follows_its_source_to_another_host_without_the_credential() {
    let mut image = Outgoing::new(&[LARGE]);
    let right = fs_err::read(image.file(0)).unwrap();
    let whole = right.clone();
    let store = Fake::start(move |_, _| Reply::new(200, whole.clone()));
    let location = format!("http://{}/blob", store.host);
    let source = Fake::start(move |_, seen| {
        if seen.header("authorization").is_empty() {
            return Reply::error(401, "UNAUTHORIZED")
                .with("WWW-Authenticate", "Basic realm=\"test\"");
        }
        Reply::new(307, "").with("Location", location.clone())
    });
    image.layers[0].source = BlobSource::Registry(source.reference("x/y:t").repository);
    let fake = first(PUT_BLOB, Vec::new());
    let client = client(password(&source.host, "ann", "right!"));
    image.push(&client, &fake.reference("a/b:t")).unwrap();
    assert!(fake.seen().iter().any(|seen| seen.body == right));
    assert_eq!(store.seen().len(), 1);
    assert_eq!(store.seen()[0].header("authorization"), "");
}

#[test]
fn a_copy_whose_source_breaks_off_is_begun_anew() {
    let mut image = Outgoing::new(&[LARGE]);
    let right = fs_err::read(image.file(0)).unwrap();
    for fault in [
        Reply::new(200, &right[..]).cut(LARGE / 2),
        Reply::Reset,
        Reply::Silence,
        Reply::error(503, "BUSY"),
    ] {
        let (told, whole) = (fault.clone(), Reply::new(200, &right[..]));
        let source = Fake::start(move |at, _| if at == 0 { told.clone() } else { whole.clone() });
        image.layers[0].source = BlobSource::Registry(source.reference("x/y:t").repository);
        let fake = first(PUT_BLOB, Vec::new());
        let states = image.push(&anonymous(), &fake.reference("a/b:t")).unwrap();
        assert_eq!(states, [Some(BlobState::Sent)]);
        assert_eq!(source.seen().len(), 2);
        assert!(fake.seen().iter().any(|seen| seen.body == right));
    }
}
