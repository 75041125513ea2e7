//! Temporary failures are survived, and lasting ones are not repeated.

use std::time::Instant;

use super::{
    fake::{Fake, Reply},
    *,
};

fn transient(sample: &Sample, index: usize) -> Vec<Reply> {
    let body = if index == 0 {
        &sample.manifest
    } else {
        &sample.config
    };
    let whole = Reply::new(200, body.clone());
    let mut faults = vec![Reply::Reset, Reply::Silence, whole.cut(body.len() + 20)];
    faults.extend([1, body.len() / 2, body.len()].map(|missing| whole.cut(missing)));
    faults.push(Reply::Raw(Vec::new()));
    faults.extend([408, 429, 500, 502, 503, 504].map(|status| Reply::new(status, "busy")));
    let waits = ["0", "86400", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"];
    faults.extend(waits.map(|wait| Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", wait)));
    faults
}

#[test]
fn one_transient_fault_at_any_request_is_survived() {
    let sample = Sample::new("amd64");
    for index in 0..2 {
        for fault in transient(&sample, index) {
            let told = fault.clone();
            let fake = Fake::holding(&sample, move |at, _| (at == index).then(|| told.clone()));
            let found = anonymous().find(&fake.reference("a/b:t"), &Platform::default());
            assert_eq!(found.unwrap(), Some(sample.image()), "{index} {fault:?}");
            assert_eq!(fake.seen().len(), 3, "{index} {fault:?}");
        }
    }
}

#[test]
fn a_fault_that_stays_ends_after_four_attempts() {
    for (fault, expected) in [
        (Reply::Reset, "Connection reset"),
        (
            Reply::new(503, "in maintenance\nuntil noon"),
            "503 Service Unavailable: in maintenance",
        ),
        (
            Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", "86400"),
            "says the registry",
        ),
    ] {
        let fake = Fake::start(move |_, _| fault.clone());
        let started = Instant::now();
        let error = anonymous()
            .find(&fake.reference("a/b:t"), &Platform::default())
            .unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(fake.seen().len(), 4);
        let head = format!(
            "E501: cannot look up `{0}/a/b:t`: no answer from `{0}` in 4 attempts: ",
            fake.host
        );
        let text = shown(&error);
        assert!(text.starts_with(&head) && text.contains(expected), "{text}");
    }
}

#[test]
fn a_lasting_answer_is_not_asked_again_and_shown_in_the_registrys_words() {
    let html = Reply::new(404, "<html>nobody here</html>").with("Content-Type", "text/html");
    for (reply, requests, expected) in [
        (Reply::error(403, "DENIED"), 1, "E402: "),
        (Reply::error(400, "NAME_INVALID"), 1, "E502: "),
        (Reply::error(405, "UNSUPPORTED"), 1, "E502: "),
        (Reply::error(413, "SIZE_INVALID"), 1, "E502: "),
        (Reply::error(404, "SOMETHING_ELSE"), 1, "E502: "),
        (html, 1, "E502: "),
        (Reply::new(200, "<html>log in</html>"), 1, "E502: "),
    ] {
        let told = reply.clone();
        let fake = Fake::start(move |_, _| told.clone());
        let error = anonymous()
            .find(&fake.reference("a/b:t"), &Platform::default())
            .unwrap_err();
        assert!(
            shown(&error).starts_with(expected),
            "{reply:?} {}",
            shown(&error)
        );
        assert_eq!(fake.seen().len(), requests, "{reply:?}");
    }
    let fake = Fake::start(|_, _| Reply::new(403, "\u{1b}[2Jno\u{7} way"));
    let error = anonymous()
        .find(&fake.reference("a/b:t"), &Platform::default())
        .unwrap_err();
    assert!(
        shown(&error).ends_with("403 Forbidden: [2Jno way"),
        "{}",
        shown(&error)
    );
}

#[test]
fn nobody_listening_is_told_with_what_to_type() {
    let host = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let error = anonymous()
        .digest(&reference(&format!("{host}/a:b")))
        .unwrap_err();
    assert!(
        shown(&error).contains("Connection refused"),
        "{}",
        shown(&error)
    );
    assert_eq!(error.code(), "E501");
    assert_eq!(
        error.hint().unwrap(),
        format!("is the registry running? try `curl http://{host}/v2/`")
    );
}

#[test]
fn an_answer_that_got_lost_does_not_set_the_tag_twice() {
    let sample = Sample::new("amd64");
    for fault in [Reply::Reset, Reply::Raw(Vec::new()), Reply::new(502, "")] {
        let told = fault.clone();
        let fake = Fake::holding(&sample, move |at, _| (at == 0).then(|| told.clone()));
        let digest = anonymous()
            .tag(&sample.image(), &fake.reference("a/b:new"))
            .unwrap();
        assert_eq!(digest, sample.digest());
        assert_eq!(
            fake.lines(),
            ["PUT /v2/a/b/manifests/new", "GET /v2/a/b/manifests/new"],
            "{fault:?}"
        );
    }
}

#[test]
fn a_tag_that_did_not_arrive_is_set_again() {
    let sample = Sample::new("amd64");
    let fake = Fake::holding(&sample, |at, _| match at {
        0 => Some(Reply::Reset),
        1 => Some(Reply::error(404, "MANIFEST_UNKNOWN")),
        _ => None,
    });
    assert_eq!(
        anonymous()
            .tag(&sample.image(), &fake.reference("a/b:new"))
            .unwrap(),
        sample.digest()
    );
    let methods: Vec<String> = fake.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["PUT", "GET", "PUT", "GET"]);
    assert_eq!(fake.seen()[2].body, sample.manifest);
    assert_eq!(fake.seen()[2].header("content-type"), DOCKER_MANIFEST);
}

#[test]
fn an_immutable_tag_is_success_only_for_the_same_digest() {
    let sample = Sample::new("amd64");
    let other = Sample::new("arm64");
    for refusal in [
        Reply::error(400, "TAG_INVALID"),
        Reply::error(403, "DENIED"),
        Reply::error(412, "PRECONDITION"),
    ] {
        for (held, same) in [(&sample, true), (&other, false)] {
            let told = refusal.clone();
            let fake = Fake::holding(held, move |_, seen| {
                (seen.method == "PUT").then(|| told.clone())
            });
            let set = anonymous().tag(&sample.image(), &fake.reference("a/b:new"));
            if same {
                assert_eq!(set.unwrap(), sample.digest());
            } else {
                assert!(shown(&set.unwrap_err()).contains("says the registry"));
            }
        }
    }
}

#[test]
fn the_reason_of_a_refused_head_is_asked_for() {
    let fake = Fake::start(|_, _| Reply::error(403, "DENIED"));
    let error = anonymous().digest(&fake.reference("a/b:t")).unwrap_err();
    assert!(
        shown(&error).starts_with("E402: ")
            && shown(&error).ends_with("403 Forbidden: DENIED: says the registry")
    );
    assert_eq!(
        fake.lines(),
        ["HEAD /v2/a/b/manifests/t", "GET /v2/a/b/manifests/t"]
    );
}

#[test]
fn a_tag_has_to_be_named_to_be_set() {
    let sample = Sample::new("amd64");
    let fake = Fake::holding(&sample, |_, _| None);
    for rest in ["a/b".to_owned(), format!("a/b@{}", sample.digest())] {
        let error = anonymous()
            .tag(&sample.image(), &fake.reference(&rest))
            .unwrap_err();
        assert!(
            shown(&error).ends_with("no tag is named"),
            "{}",
            shown(&error)
        );
    }
    assert!(fake.seen().is_empty());
}
