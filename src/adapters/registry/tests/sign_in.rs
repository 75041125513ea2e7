//! Authentication: which credentials are sent, and to whom.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    fake::{Fake, Reply, Seen},
    *,
};

fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

/// A token server that returns `token-1`, `token-2` and so on for requests with the given header.
fn token_server(authorization: &str) -> Fake {
    let authorization = authorization.to_owned();
    Fake::start(move |index, seen| {
        if seen.header("authorization") == authorization {
            Reply::new(200, format!("{{\"token\":\"token-{}\"}}", index + 1))
        } else {
            Reply::new(401, "{\"details\":\"incorrect username or password\"}")
        }
    })
}

/// A registry that has a sample, for requests with one of the tokens.
fn guarded(sample: &Sample, realm: String, tokens: &'static [&'static str]) -> Fake {
    Fake::holding(sample, move |_, seen| {
        let token = seen
            .header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or_default();
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:a/b:pull\"");
        let denied = || Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge);
        (!tokens.contains(&token)).then(denied)
    })
}

fn realm(server: &Fake) -> String {
    format!("http://{}/token?x=y", server.host)
}

#[test]
fn a_token_is_fetched_once_for_a_repository_and_its_actions() {
    let sample = Sample::new("amd64");
    let server = token_server(&basic("ann", "pa:ss"));
    let fake = guarded(&sample, realm(&server), &["token-1", "token-2"]);
    let client = client(password(&fake.host, "ann", "pa:ss"));
    let image = client
        .find(&fake.reference("a/b:t"), &Platform::default())
        .unwrap()
        .unwrap();
    assert_eq!(image, sample.image());
    client.digest(&fake.reference("a/b:t")).unwrap();
    client.tag(&image, &fake.reference("a/b:new")).unwrap();
    client.digest(&fake.reference("a/b:new")).unwrap();
    let start = "GET /token?x=y&account=ann&service=reg&scope=repository%3Aa%2Fb%3A";
    assert_eq!(
        server.lines(),
        [format!("{start}pull"), format!("{start}pull%2Cpush")]
    );
    let passwords = fake
        .seen()
        .into_iter()
        .filter(|seen| seen.header("authorization").starts_with("Basic"));
    assert_eq!(passwords.count(), 0);
}

#[test]
fn a_token_that_ran_out_is_renewed_once() {
    let sample = Sample::new("amd64");
    let server = token_server("");
    let accepted = std::sync::Arc::new(std::sync::Mutex::new("token-1"));
    let (now, url) = (std::sync::Arc::clone(&accepted), realm(&server));
    let fake = Fake::holding(&sample, move |_, seen: &Seen| {
        let challenge = format!("Bearer realm=\"{url}\"");
        let denied = || Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge);
        (seen.header("authorization") != format!("Bearer {}", now.lock().unwrap())).then(denied)
    });
    let client = anonymous();
    assert!(client.digest(&fake.reference("a/b:t")).unwrap().is_some());
    *accepted.lock().unwrap() = "token-2";
    assert!(client.digest(&fake.reference("a/b:t")).unwrap().is_some());
    assert_eq!((server.seen().len(), fake.seen().len()), (2, 4));
    *accepted.lock().unwrap() = "none";
    assert_eq!(
        client.digest(&fake.reference("a/b:t")).unwrap_err().code(),
        "E401"
    );
    assert_eq!((server.seen().len(), fake.seen().len()), (3, 6));
}

#[test]
fn an_identity_token_is_exchanged_and_goes_nowhere_else() {
    let sample = Sample::new("amd64");
    let server = Fake::start(|_, seen| match seen.method.as_str() {
        "POST" => Reply::new(200, "{\"access_token\":\"token-1\",\"expires_in\":0}"),
        _ => Reply::new(405, ""),
    });
    let fake = guarded(&sample, realm(&server), &["token-1"]);
    let credentials = Credentials::of_text(
        &json!({"auths": {&fake.host: {"identitytoken": "re&fresh"}}}).to_string(),
    );
    assert!(
        client(credentials)
            .digest(&fake.reference("a/b:t"))
            .unwrap()
            .is_some()
    );
    let asked = &server.seen()[0];
    assert_eq!(asked.line(), "POST /token?x=y");
    assert_eq!(
        asked.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let form = "grant_type=refresh_token&client_id=sparkpack&refresh_token=re%26fresh&service=reg&scope=repository%3Aa%2Fb%3Apull";
    assert_eq!(String::from_utf8_lossy(&asked.body), form);
    assert!(
        fake.seen()
            .iter()
            .all(|seen| !format!("{seen:?}").contains("fresh"))
    );
}

#[test]
fn who_is_not_known_is_told_what_to_type() {
    let sample = Sample::new("amd64");
    let server = token_server(&basic("ann", "right"));
    let fake = guarded(&sample, realm(&server), &["token-1"]);
    let host = fake.host.clone();
    let digest = |credentials| {
        client(credentials)
            .digest(&fake.reference("a/b:t"))
            .unwrap_err()
    };
    let error = digest(password(&host, "ann", "wrong"));
    let text = shown(&error);
    let expected = format!(
        "E401: cannot look up `{host}/a/b:t`: `{host}` does not accept the password of `ann`: 401"
    );
    assert!(
        text.starts_with(&expected) && text.contains("incorrect username or password"),
        "{text}"
    );
    assert_eq!(
        error.hint().unwrap(),
        format!("run `docker login {host}` again")
    );
    let error = digest(Credentials::default());
    assert!(
        matches!(error, RegistryError::NotSignedIn { .. }),
        "{}",
        shown(&error)
    );
    assert!(
        error
            .hint()
            .unwrap()
            .starts_with(&format!("run `docker login {host}`"))
    );
}

#[test]
fn a_token_that_is_not_enough_is_no_wrong_password() {
    let sample = Sample::new("amd64");
    let server = token_server(&basic("ann", "right"));
    let fake = guarded(&sample, realm(&server), &[]);
    let error = client(password(&fake.host, "ann", "right"))
        .find(&fake.reference("a/b:t"), &Platform::default())
        .unwrap_err();
    assert_eq!(error.code(), "E402");
    assert_eq!((server.seen().len(), fake.seen().len()), (1, 2));
}

#[test]
fn a_broken_token_server_is_tried_again_and_a_strange_one_is_not() {
    let sample = Sample::new("amd64");
    let server = Fake::start(|index, _| match index {
        0 => Reply::Reset,
        1 => Reply::new(503, ""),
        _ => Reply::new(200, "{\"token\":\"token-1\"}"),
    });
    let fake = guarded(&sample, realm(&server), &["token-1"]);
    assert!(
        anonymous()
            .digest(&fake.reference("a/b:t"))
            .unwrap()
            .is_some()
    );
    for strange in ["{}", "<html>", "{\"token\":\"\"}", "{\"token\":\"a\\nb\"}"] {
        let server = Fake::start(move |_, _| Reply::new(200, strange));
        let fake = guarded(&sample, realm(&server), &["token-1"]);
        let error = anonymous().digest(&fake.reference("a/b:t")).unwrap_err();
        assert!(
            shown(&error).ends_with("its token server gave no token"),
            "{}",
            shown(&error)
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_password_is_not_sent_without_tls() {
    let sample = Sample::new("amd64");
    for realm in [
        "http://auth.example/token",
        "ftp://127.0.0.1/token",
        "no url",
        "http:///",
    ] {
        let fake = guarded(&sample, realm.to_owned(), &[]);
        let error = client(password(&fake.host, "ann", "right"))
            .digest(&fake.reference("a/b:t"))
            .unwrap_err();
        assert_eq!(error.code(), "E502", "{}", shown(&error));
        assert_eq!(fake.seen().len(), 1);
    }
}

#[test]
fn a_redirect_to_another_host_takes_no_credential_along() {
    let sample = Sample::new("amd64");
    let store = Fake::holding(&sample, |_, _| None);
    let elsewhere = store.host.clone();
    let secret = basic("ann", "right");
    let fake = Fake::holding(&sample, move |_, seen| {
        if seen.header("authorization") != secret {
            return Some(
                Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=\"x\""),
            );
        }
        let target = &seen.target;
        if target.contains("/blobs/") {
            return Some(
                Reply::new(307, "").with("Location", format!("http://{elsewhere}{target}?signed")),
            );
        }
        target
            .ends_with("/t")
            .then(|| Reply::new(301, "").with("Location", "moved"))
    });
    let client = client(password(&fake.host, "ann", "right"));
    let found = client.find(&fake.reference("a/b:t"), &Platform::default());
    assert_eq!(found.unwrap(), Some(sample.image()));
    assert_eq!(store.seen().len(), 1);
    assert_eq!(store.seen()[0].header("authorization"), "");
    assert!(
        fake.lines()
            .contains(&"GET /v2/a/b/manifests/moved".to_owned())
    );
}

#[test]
fn a_redirect_without_tls_or_without_end_is_not_followed() {
    for (location, expected) in [
        (
            "http://store.example/x",
            "it redirects to `store.example`, without TLS",
        ),
        ("/v2/a/b/manifests/t", "more than 5 redirects"),
    ] {
        let fake = Fake::start(move |_, _| Reply::new(302, "").with("Location", location));
        let error = anonymous()
            .find(&fake.reference("a/b:t"), &Platform::default())
            .unwrap_err();
        assert!(shown(&error).ends_with(expected), "{}", shown(&error));
    }
}

#[test]
fn another_host_that_asks_who_we_are_is_not_told() {
    let sample = Sample::new("amd64");
    let thief = Fake::start(|_, _| {
        Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=\"x\"")
    });
    let elsewhere = thief.host.clone();
    let fake = Fake::holding(&sample, move |_, _| {
        Some(Reply::new(302, "").with("Location", format!("http://{elsewhere}/")))
    });
    let credentials = json!({"auths": {
        &fake.host: {"username": "ann", "password": "right"},
        &thief.host: {"username": "ann", "password": "right"},
    }});
    let client = client(Credentials::of_text(&credentials.to_string()));
    assert_eq!(
        client
            .find(&fake.reference("a/b:t"), &Platform::default())
            .unwrap_err()
            .code(),
        "E502"
    );
    assert_eq!(thief.seen().len(), 1);
    assert_eq!(thief.seen()[0].header("authorization"), "");
}

/// The results of eight threads that each ask about a repository at the same time.
fn ask_side_by_side(client: &RegistryClient, fake: &Fake) -> Vec<Result<bool, RegistryError>> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|number| {
                let reference = fake.reference(&format!("a/b{number}:t"));
                scope.spawn(move || client.digest(&reference).map(|digest| digest.is_some()))
            })
            .collect();
        let joined = asked.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    })
}

/// An empty registry, which accepts only `ann` with the password `right`.
fn empty_for_ann() -> Fake {
    Fake::start(|_, seen| {
        if seen.header("authorization") == basic("ann", "right") {
            Reply::error(404, "MANIFEST_UNKNOWN")
        } else {
            Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=\"r\"")
        }
    })
}

fn passwords(fake: &Fake) -> usize {
    let basic = |seen: &&Seen| seen.header("authorization").starts_with("Basic");
    fake.seen().iter().filter(basic).count()
}

#[test]
fn a_wrong_password_is_tried_once_however_many_images_are_asked_about() {
    let sample = Sample::new("amd64");
    let with_password = empty_for_ann();
    let server = token_server(&basic("ann", "right"));
    let with_token = guarded(&sample, realm(&server), &["token-1"]);
    for (fake, who_sees_it) in [(&with_password, &with_password), (&with_token, &server)] {
        let client = client(password(&fake.host, "ann", "wrong"));
        for answer in ask_side_by_side(&client, fake) {
            let error = answer.unwrap_err();
            assert!(
                matches!(&error, RegistryError::WrongPassword { username, .. } if username == "ann"),
                "{}",
                shown(&error)
            );
        }
        assert_eq!(passwords(who_sees_it), 1);
    }
}

#[test]
fn an_accepted_password_serves_all_who_waited_for_it() {
    let fake = empty_for_ann();
    let client = client(password(&fake.host, "ann", "right"));
    let answers = ask_side_by_side(&client, &fake);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(false))));
    // A HEAD and a GET for each thread.
    assert_eq!(passwords(&fake), 16);
}

#[test]
fn a_password_that_nobody_has_judged_is_tried_by_the_next() {
    let sample = Sample::new("amd64");
    // The first request gets no answer, however often it is repeated.
    let server = Fake::start(|index, _| match index {
        0..4 => Reply::new(503, ""),
        _ => Reply::new(401, ""),
    });
    let fake = guarded(&sample, realm(&server), &[]);
    let client = client(password(&fake.host, "ann", "wrong"));
    let first = client.digest(&fake.reference("a/b:t")).unwrap_err();
    assert!(matches!(first, RegistryError::Unreachable { .. }));
    let second = client.digest(&fake.reference("a/b:t")).unwrap_err();
    assert!(matches!(second, RegistryError::WrongPassword { .. }));
    let third = client.digest(&fake.reference("a/c:t")).unwrap_err();
    assert!(matches!(third, RegistryError::WrongPassword { .. }));
    assert_eq!(server.seen().len(), 5);
}
