//! What a push asks for before its image is put together.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    fake::{Fake, Reply, Seen},
    push::Outgoing,
    push_faults::{POST, PUT_BLOB, PUT_MANIFEST, count, kind, take},
    real::RunningRegistry,
    *,
};
use crate::adapters::registry::{BlobState, PushAhead};

const SIZES: [usize; 2] = [70_000, 300];

/// An image whose first layer the registry has, and whose second one was only just made.
fn image() -> Outgoing {
    let mut image = Outgoing::new(&SIZES);
    image.layers[1].is_new = true;
    image
}

fn ahead(image: &Outgoing, reference: &Reference, uploads: usize) -> PushAhead {
    PushAhead {
        reference: reference.clone(),
        asked: Instant::now(),
        below: vec![image.layers[0].descriptor.digest.clone()],
        parent: Repository {
            path: "a/parent".to_owned(),
            ..reference.repository.clone()
        },
        uploads,
    }
}

/// A registry that has every blob that is asked for, and answers the first requests of a kind in another way.
fn registry(wanted: (&'static str, &'static str), replies: Vec<Reply>) -> Fake {
    let replies = Mutex::new(replies.into_iter());
    Fake::keeping(move |_, seen: &Seen| {
        let of_kind = kind(seen) == wanted;
        let other = of_kind.then(|| replies.lock().unwrap().next()).flatten();
        other.unwrap_or_else(|| match kind(seen) {
            ("HEAD", "blobs") => Reply::new(200, ""),
            ("DELETE", _) => Reply::new(204, ""),
            _ => take(seen),
        })
    })
}

const HEAD_BLOB: (&str, &str) = ("HEAD", "blobs");
const HEAD_TAG: (&str, &str) = ("HEAD", "manifests");
const DELETE: (&str, &str) = ("DELETE", "up");

/// Waits until the registry has seen this number of requests.
fn wait(fake: &Fake, requests: usize) {
    let begun = Instant::now();
    while fake.seen().len() < requests {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            fake.lines()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_push_has_only_to_send_what_is_new() {
    let (fake, client, image) = (registry(POST, vec![]), anonymous(), image());
    let reference = fake.reference("a/b:t");
    client.begin_push_ahead(ahead(&image, &reference, 2));
    wait(&fake, 3);
    assert_eq!((count(&fake, POST), count(&fake, HEAD_BLOB)), (2, 1));
    let states = image.push(&client, &reference).unwrap();
    assert_eq!(states, [Some(BlobState::There), Some(BlobState::Sent)]);
    let of_push: Vec<Seen> = fake.seen().split_off(3);
    let kinds: Vec<_> = of_push.iter().map(kind).collect();
    assert_eq!(
        kinds,
        [PUT_BLOB, PUT_BLOB, PUT_MANIFEST, ("GET", "manifests")]
    );
    // The next push of the same tag asks for it again, and finds it.
    image.push(&client, &reference).unwrap();
    assert_eq!((count(&fake, POST), count(&fake, HEAD_TAG)), (2, 1));
}

#[test]
fn what_fails_ahead_is_left_to_the_push() {
    let faults = [
        Reply::Reset,
        Reply::error(503, "BUSY"),
        Reply::error(403, "DENIED"),
        Reply::new(202, ""),
        Reply::new(200, ""),
    ];
    for fault in faults {
        let fake = registry(POST, vec![fault.clone()]);
        let (client, image) = (anonymous(), image());
        let reference = fake.reference("a/b:t");
        client.begin_push_ahead(ahead(&image, &reference, 1));
        wait(&fake, 1);
        let pushed = image.push(&client, &reference);
        if matches!(&fault, Reply::Answer { status: 202, .. }) {
            pushed.unwrap_err();
            continue;
        }
        let states = pushed.unwrap();
        assert_eq!(
            states,
            [Some(BlobState::There), Some(BlobState::Sent)],
            "{fault:?}"
        );
        assert_eq!(count(&fake, HEAD_TAG), 1, "{fault:?}");
    }
}

#[test]
fn an_upload_that_the_registry_has_lost_is_begun_again() {
    let lost = Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
    let fake = registry(PUT_BLOB, vec![lost.clone(), lost]);
    let (client, image) = (anonymous(), image());
    let reference = fake.reference("a/b:t");
    client.begin_push_ahead(ahead(&image, &reference, 2));
    image.push(&client, &reference).unwrap();
    assert_eq!((count(&fake, POST), count(&fake, PUT_BLOB)), (4, 4));
}

#[test]
fn uploads_that_nothing_needs_are_cancelled() {
    let (fake, client, image) = (registry(POST, vec![]), anonymous(), image());
    let reference = fake.reference("a/b:t");
    client.begin_push_ahead(ahead(&image, &reference, 4));
    image.push(&client, &reference).unwrap();
    assert_eq!((count(&fake, POST), count(&fake, DELETE)), (4, 2));
}

#[test]
fn what_was_asked_long_ago_is_asked_again() {
    let (fake, client, image) = (registry(POST, vec![]), anonymous(), image());
    let reference = fake.reference("a/b:t");
    let asked = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    let old = PushAhead {
        asked,
        ..ahead(&image, &reference, 2)
    };
    client.begin_push_ahead(old);
    wait(&fake, 3);
    image.push(&client, &reference).unwrap();
    assert_eq!(count(&fake, HEAD_TAG), 1);
    let others = (count(&fake, HEAD_BLOB), count(&fake, POST));
    assert_eq!(others, (1, 2), "a layer and an upload stay there longer");
}

#[test]
fn a_registry_with_sign_in_is_asked_ahead_too() {
    let registry = RunningRegistry::with_password();
    let client = client(password(&registry.host, "ann", "right!"));
    let parent = Outgoing::new(&SIZES[..1]);
    let below = registry.reference("a/parent:t");
    parent.push(&client, &below).unwrap();
    let (image, reference) = (image(), registry.reference("a/b:t"));
    client.begin_push_ahead(ahead(&image, &reference, 2));
    let states = image.push(&client, &reference).unwrap();
    assert_eq!(states, [Some(BlobState::Sent); 2]);
    image.check(&client, &reference);
}
