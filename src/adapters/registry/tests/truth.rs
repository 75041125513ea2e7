//! Answers are verified before they are used.

use super::{
    fake::{Fake, Reply},
    *,
};
use crate::image::{LayerScanner, MediaType};

#[test]
fn bytes_of_another_digest_are_not_taken() {
    let sample = Sample::new("amd64");
    let longer = [&sample.config[..], b" "].concat();
    let other = Digest::of(b"another");
    let said = sample.manifest.clone();
    let wrong_header = Reply::new(200, said).with("Docker-Content-Digest", other.as_str());
    for (index, reply, code) in [
        (0, wrong_header, "E503: "),
        (1, Reply::new(200, longer), "E503: "),
        (1, Reply::new(200, ""), "E503: "),
        (1, Reply::error(404, "BLOB_UNKNOWN"), "E502: "),
    ] {
        let told = reply.clone();
        let fake = Fake::holding(&sample, move |at, _| (at == index).then(|| told.clone()));
        let error = anonymous()
            .find(&fake.reference("a/b:t"), &Platform::default())
            .unwrap_err();
        assert!(
            shown(&error).starts_with(code),
            "{reply:?} {}",
            shown(&error)
        );
        assert_eq!(fake.seen().len(), index + 1);
    }
}

#[test]
fn a_digest_in_the_reference_is_kept_to() {
    let sample = Sample::new("amd64");
    let fake = Fake::holding(&sample, |_, _| None);
    let right = fake.reference(&format!("a/b:t@{}", sample.digest()));
    assert_eq!(anonymous().digest(&right).unwrap(), Some(sample.digest()));
    assert_eq!(
        anonymous().find(&right, &Platform::default()).unwrap(),
        Some(sample.image())
    );
    assert!(
        fake.lines().iter().all(|line| !line.ends_with("/t")),
        "{:?}",
        fake.lines()
    );
    let wrong = fake.reference(&format!("a/b@{}", Digest::of(b"another")));
    assert_eq!(anonymous().digest(&wrong).unwrap_err().code(), "E503");
    assert_eq!(
        anonymous()
            .find(&wrong, &Platform::default())
            .unwrap_err()
            .code(),
        "E503"
    );
}

#[test]
fn a_size_that_the_manifest_does_not_say_is_noticed() {
    let mut sample = Sample::new("amd64");
    let mut manifest: Value = serde_json::from_slice(&sample.manifest).unwrap();
    manifest["config"]["size"] = json!(1);
    sample.manifest = manifest.to_string().into_bytes();
    let fake = Fake::holding(&sample, |_, _| None);
    let error = anonymous()
        .find(&fake.reference("a/b:t"), &Platform::default())
        .unwrap_err();
    assert!(
        shown(&error).ends_with("its manifest says 1"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_head_without_a_digest_is_asked_as_a_get() {
    let sample = Sample::new("amd64");
    for reply in [
        Reply::new(200, ""),
        Reply::new(405, ""),
        Reply::new(200, "").with("Docker-Content-Digest", "x"),
    ] {
        let fake = Fake::holding(&sample, move |_, seen| {
            (seen.method == "HEAD").then(|| reply.clone())
        });
        assert_eq!(
            anonymous().digest(&fake.reference("a/b")).unwrap(),
            Some(sample.digest())
        );
        assert_eq!(
            fake.lines(),
            [
                "HEAD /v2/a/b/manifests/latest",
                "GET /v2/a/b/manifests/latest"
            ]
        );
    }
}

#[test]
fn presence_is_asked_by_head_alone() {
    let sample = Sample::new("amd64");
    let digest = sample.digest();
    let headed =
        move |status: u16| Reply::new(status, "").with("Docker-Content-Digest", digest.to_string());
    let replies: [(Reply, Option<Presence>); 4] = [
        (headed(200), Some(Presence::There(Some(sample.digest())))),
        (Reply::new(200, ""), Some(Presence::There(None))),
        (Reply::new(404, ""), Some(Presence::Absent)),
        (Reply::new(405, ""), None),
    ];
    for (reply, wanted) in replies {
        let fake = Fake::start(move |_, _| reply.clone());
        let found = anonymous().presence(&fake.reference("a/b"));
        assert_eq!(found.ok(), wanted);
        assert_eq!(fake.lines(), ["HEAD /v2/a/b/manifests/latest"]);
    }
}

#[test]
fn only_a_registrys_own_words_say_that_there_is_nothing() {
    for code in ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"] {
        let fake = Fake::start(move |_, _| Reply::error(404, code));
        assert_eq!(anonymous().digest(&fake.reference("a/b:t")).unwrap(), None);
        assert_eq!(
            anonymous()
                .find(&fake.reference("a/b:t"), &Platform::default())
                .unwrap(),
            None
        );
    }
    let fake = Fake::start(|_, _| Reply::new(404, "404 page not found"));
    let error = anonymous().digest(&fake.reference("a/b:t")).unwrap_err();
    assert!(
        shown(&error).ends_with("404 page not found") && error.code() == "E502",
        "{}",
        shown(&error)
    );
}

#[test]
fn a_tag_is_read_back() {
    let (sample, other) = (Sample::new("amd64"), Sample::new("arm64"));
    let fake = Fake::holding(&sample, |_, seen| {
        (seen.method == "GET").then(|| Reply::error(404, "MANIFEST_UNKNOWN"))
    });
    let error = anonymous()
        .tag(&sample.image(), &fake.reference("a/b:new"))
        .unwrap_err();
    assert!(shown(&error).starts_with("E503: "), "{}", shown(&error));
    let fake = Fake::holding(&sample, |_, seen| {
        let other = Digest::of(b"another");
        (seen.method == "PUT")
            .then(|| Reply::new(201, "").with("Docker-Content-Digest", other.as_str()))
    });
    assert_eq!(
        anonymous()
            .tag(&sample.image(), &fake.reference("a/b:new"))
            .unwrap_err()
            .code(),
        "E503"
    );
    // Another client set the tag later, so it has that client's digest.
    let fake = Fake::holding(&other, |_, _| None);
    assert_eq!(
        anonymous()
            .tag(&sample.image(), &fake.reference("a/b:new"))
            .unwrap(),
        other.digest()
    );
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    let fake = Fake::start(|_, _| Reply::new(200, vec![b' '; MANIFEST_LIMIT + 1]));
    let error = anonymous()
        .find(&fake.reference("a/b:t"), &Platform::default())
        .unwrap_err();
    assert!(
        shown(&error).contains("longer than 4194304 bytes"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_mirror_is_read_instead_and_never_written() {
    let sample = Sample::new("amd64");
    let (mirror, origin) = (
        Fake::holding(&sample, |_, _| None),
        Fake::holding(&sample, |_, _| None),
    );
    let mirrors = [
        ("docker.io".to_owned(), format!("{}/hub/", mirror.host)),
        (origin.host.clone(), mirror.host.clone()),
    ];
    let settings = RegistrySettings {
        mirrors: mirrors.into(),
        ..RegistrySettings::default()
    };
    let client = client_with(settings, Credentials::default());
    assert_eq!(
        client.digest(&reference("debian:stable")).unwrap(),
        Some(sample.digest())
    );
    assert_eq!(
        client.digest(&origin.reference("a:t")).unwrap(),
        Some(sample.digest())
    );
    assert_eq!(
        mirror.lines(),
        [
            "HEAD /v2/hub/library/debian/manifests/stable",
            "HEAD /v2/a/manifests/t"
        ]
    );
    client
        .tag(&sample.image(), &origin.reference("a:t"))
        .unwrap();
    assert_eq!(
        origin.lines(),
        ["PUT /v2/a/manifests/t", "GET /v2/a/manifests/t"]
    );
}

/// An index takes one request and a single manifest two; attestations are no platforms.
#[test]
fn a_listing_tells_what_each_platform_has() {
    let (amd, arm) = (Sample::new("amd64"), Sample::new("arm64"));
    let entries = [
        amd.descriptor("unknown"),
        amd.descriptor("amd64"),
        arm.descriptor("arm64"),
    ];
    let mut entries = entries;
    entries[0]["platform"]["os"] = json!("unknown");
    let bytes = index(&entries);
    let digest = Digest::of(&bytes);
    let served = bytes.clone();
    let fake = Fake::start(move |_, _| Reply::new(200, served.clone()));
    let listing = anonymous().listing(&fake.reference("a/b:t")).unwrap();
    let platforms = [("linux/amd64", amd.digest()), ("linux/arm64", arm.digest())];
    let platforms = platforms.map(|(platform, digest)| (platform.parse().unwrap(), digest));
    let wanted = Listing {
        digest,
        platforms: platforms.into(),
    };
    assert!(wanted.is_index());
    assert_eq!(listing, Some(wanted));
    assert_eq!(fake.lines(), ["GET /v2/a/b/manifests/t"]);
    let fake = Fake::holding(&arm, |_, _| None);
    let listing = anonymous().listing(&fake.reference("a/b:t")).unwrap();
    let alone = Listing {
        digest: arm.digest(),
        platforms: [("linux/arm64".parse().unwrap(), arm.digest())].into(),
    };
    assert!(!alone.is_index());
    assert_eq!(listing, Some(alone));
    let fake = Fake::start(|_, _| Reply::error(404, "MANIFEST_UNKNOWN"));
    assert_eq!(anonymous().listing(&fake.reference("a/b:t")).unwrap(), None);
}

#[test]
fn a_layer_that_is_looked_into_is_compared_with_its_digest() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    builder.append_data(&mut header, "a", &b"abc"[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    let sample = Sample::new("amd64");
    let config = ImageConfig::parse(&sample.config).unwrap();
    let scanner = LayerScanner::new(&config).unwrap();
    let scanned = |fake: &Fake, bytes: &[u8]| {
        let blob = Descriptor::of(MediaType::ImageLayer, bytes);
        let repository = fake.reference("a/b:t").repository;
        let scanned = anonymous().scan_layer(&repository, &blob, &scanner);
        scanned.map(drop).map_err(|error| shown(&error))
    };
    // A fault that may pass is survived, and only that.
    for faults in [0, 1] {
        let right = Reply::new(200, layer.clone());
        let fake = Fake::start(move |at, _| match at {
            at if at < faults => Reply::Reset,
            _ => right.clone(),
        });
        scanned(&fake, &layer).unwrap();
        assert_eq!(fake.seen().len(), faults + 1);
    }
    let mut other = layer.clone();
    other[0] = b'b';
    for (reply, code) in [
        (Reply::new(200, &layer[..700]), "E503"),
        (Reply::new(200, other), "E503"),
        (Reply::error(404, "BLOB_UNKNOWN"), "E502"),
    ] {
        let told = reply.clone();
        let fake = Fake::start(move |_, _| told.clone());
        let error = scanned(&fake, &layer).unwrap_err();
        assert!(error.starts_with(code), "{reply:?}: {error}");
    }
    let no_tar = b"no tar at all, but long enough for a block".repeat(20);
    let told = Reply::new(200, no_tar.clone());
    let fake = Fake::start(move |_, _| told.clone());
    let error = scanned(&fake, &no_tar).unwrap_err();
    assert!(
        error.starts_with("E502") && error.contains("cannot be unpacked"),
        "{error}"
    );
}
