//! Uploads to a registry that continues them at URLs of the test's choice.

use super::{
    fake::{Fake, Reply, Seen},
    *,
};

const MEDIA_TYPE: &str = "application/vnd.example.record.v1";

/// A registry that continues uploads at `location`, and has a manifest once it was put.
fn taking(location: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Fake {
    let put = std::sync::Mutex::new(Vec::new());
    Fake::start(move |_, seen| {
        let mut put = put.lock().unwrap();
        match (
            seen.method.as_str(),
            seen.target.split('/').nth(4).unwrap_or_default(),
        ) {
            ("POST", _) => Reply::new(202, "").with("Location", location(seen)),
            ("PUT", "manifests") => {
                put.clone_from(&seen.body);
                Reply::new(201, "")
            }
            ("PUT", _) => Reply::new(201, ""),
            ("GET", "manifests") if !put.is_empty() => Reply::new(200, put.clone()),
            _ => Reply::error(404, "MANIFEST_UNKNOWN"),
        }
    })
}

fn attach(client: &RegistryClient, fake: &Fake) -> Result<(), RegistryError> {
    let subject = Sample::new("amd64").image();
    let attachment = Attachment {
        media_type: MEDIA_TYPE,
        bytes: b"record",
        subject: &subject,
    };
    client.attach(attachment, &fake.reference("a/b:t.record"))
}

#[test]
fn an_upload_goes_on_where_the_registry_says() {
    let absolute = |seen: &Seen| format!("http://{}/up?state=x%2Fy", seen.header("host"));
    let relative = |_: &Seen| "/up?state=x%2Fy".to_owned();
    for fake in [taking(relative), taking(absolute)] {
        attach(&anonymous(), &fake).unwrap();
        let digests = [Digest::of(b"{}"), Digest::of(b"record")];
        let [config, record] = digests.each_ref().map(|digest| {
            let quoted = digest.as_str().replace(':', "%3A");
            [
                format!("HEAD /v2/a/b/blobs/{digest}"),
                "POST /v2/a/b/blobs/uploads/".to_owned(),
                format!("PUT /up?state=x%2Fy&digest={quoted}"),
            ]
        });
        let manifests = "/v2/a/b/manifests/t.record";
        let mut wanted = vec![format!("GET {manifests}")];
        wanted.extend(config.into_iter().chain(record));
        wanted.extend([format!("PUT {manifests}"), format!("GET {manifests}")]);
        assert_eq!(fake.lines(), wanted);

        let seen = fake.seen();
        assert_eq!(seen[6].body, b"record");
        let manifest: Value = serde_json::from_slice(&seen[7].body).unwrap();
        let subject = Sample::new("amd64");
        assert_eq!(
            manifest,
            json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": MEDIA_TYPE,
                "config": {
                    "mediaType": "application/vnd.oci.empty.v1+json",
                    "digest": Digest::of(b"{}"),
                    "size": 2,
                },
                "layers": [{"mediaType": MEDIA_TYPE, "digest": Digest::of(b"record"), "size": 6}],
                "subject": {
                    "mediaType": DOCKER_MANIFEST,
                    "digest": subject.digest(),
                    "size": subject.manifest.len(),
                },
            })
        );
        assert_eq!(
            seen[7].header("content-type"),
            "application/vnd.oci.image.manifest.v1+json"
        );
    }
}

#[test]
fn another_host_gets_neither_bytes_nor_credentials() {
    let store = Fake::start(|_, _| Reply::new(201, ""));
    let host = store.host.clone();
    let open = taking(move |_| format!("http://{host}/up"));
    let refused = attach(&anonymous(), &open).unwrap_err();
    let host = store.host.clone();
    let guarded = Fake::start(move |_, seen| {
        if seen.header("authorization").is_empty() {
            return Reply::error(401, "UNAUTHORIZED")
                .with("WWW-Authenticate", "Basic realm=\"test\"");
        }
        match seen.method.as_str() {
            "POST" => Reply::new(202, "").with("Location", format!("http://{host}/up")),
            _ => Reply::error(404, "MANIFEST_UNKNOWN"),
        }
    });
    let client = client(password(&guarded.host, "ann", "right!"));
    let also_refused = attach(&client, &guarded).unwrap_err();
    for error in [refused, also_refused] {
        assert_eq!(error.code(), "E503");
        assert!(shown(&error).contains("it sends the upload to another host"));
    }
    assert_eq!(store.seen().len(), 0);
}

#[test]
fn an_upload_is_not_sent_without_tls_and_not_without_a_place() {
    for (location, expected) in [
        ("http://store.invalid/up", "another host"),
        ("ftp://store.invalid/up", "another host"),
        ("http://[", "without saying where it goes on"),
    ] {
        let fake = taking(|_| location.to_owned());
        let error = attach(&anonymous(), &fake).unwrap_err();
        assert!(shown(&error).contains(expected), "{}", shown(&error));
    }
    let fake = Fake::start(|_, seen| match seen.method.as_str() {
        "POST" => Reply::new(202, ""),
        _ => Reply::error(404, "MANIFEST_UNKNOWN"),
    });
    let error = attach(&anonymous(), &fake).unwrap_err();
    assert!(
        shown(&error).contains("without saying where it goes on"),
        "{}",
        shown(&error)
    );
}

#[test]
fn an_upload_that_broke_off_is_begun_anew() {
    for fault in [
        Reply::Reset,
        Reply::Raw(Vec::new()),
        Reply::error(503, "BUSY"),
    ] {
        for at in 1..=6 {
            let put = std::sync::Mutex::new(Vec::new());
            let told = fault.clone();
            let fake = Fake::start(move |index, seen| {
                if index == at {
                    return told.clone();
                }
                let mut put = put.lock().unwrap();
                match (seen.method.as_str(), seen.target.contains("/manifests/")) {
                    ("POST", _) => Reply::new(202, "").with("Location", "/up"),
                    ("PUT", true) => {
                        put.clone_from(&seen.body);
                        Reply::new(201, "")
                    }
                    ("PUT", false) => Reply::new(201, ""),
                    ("GET", true) if !put.is_empty() => Reply::new(200, put.clone()),
                    _ => Reply::error(404, "MANIFEST_UNKNOWN"),
                }
            });
            attach(&anonymous(), &fake).unwrap();
            let steps = if at % 3 == 0 { 3 } else { at % 3 };
            assert_eq!(
                fake.seen().len(),
                9 + steps,
                "{at} {fault:?} {:?}",
                fake.lines()
            );
        }
    }
}

#[test]
fn a_registry_that_takes_no_artifact_is_told_in_its_words() {
    let fake = Fake::start(|_, seen| match (seen.method.as_str(), &seen.target) {
        ("HEAD", _) => Reply::new(200, ""),
        ("PUT", _) => Reply::error(400, "MANIFEST_INVALID"),
        _ => Reply::error(404, "MANIFEST_UNKNOWN"),
    });
    let error = attach(&anonymous(), &fake).unwrap_err();
    assert!(
        shown(&error).starts_with("E502: cannot push")
            && shown(&error).contains("MANIFEST_INVALID: says the registry"),
        "{}",
        shown(&error)
    );
    assert!(
        fake.lines().iter().all(|line| !line.starts_with("POST")),
        "what is there is not sent"
    );
}
