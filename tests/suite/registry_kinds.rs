//! Registries differ: in what they answer to HEAD, whether they mount, list tags, and let a tag be set twice. A push arrives at
//! each kind, by a daemon and without one.

use std::{collections::BTreeSet, sync::Mutex};

use crate::support::{
    Asked, Behind, Fault, FaultProxy, HttpAnswer, PASSWORD, Registry, StandIn, UPSTREAM, USER,
    count,
};

/// A kind of registry, made by the proxy before a usual one.
type RegistryKind = (&'static str, fn(&FaultProxy));

type Paths = Mutex<BTreeSet<String>>;

fn is_manifest(asked: &Asked, method: &str) -> bool {
    asked.method == method && asked.path.contains("/manifests/")
}

fn is_mount(asked: &Asked) -> bool {
    asked.path.contains("mount=")
}

fn is_list(asked: &Asked) -> bool {
    asked.path.contains("/tags/list")
}

/// A change of the answers that are well.
fn changed(change: impl Fn(&mut HttpAnswer) + Send + Sync + 'static) -> Fault {
    Fault::lie(move |answer| {
        if (200..300).contains(&answer.status) {
            change(answer);
        }
    })
}

/// Where an upload goes on, without the host.
fn relative(answer: &mut HttpAnswer) {
    let location = answer.headers.iter().find(|(name, _)| name == "location");
    if let Some((_, path)) = location.and_then(|(_, to)| to.split_once("/v2/")) {
        let path = format!("/v2/{path}");
        answer.set("location", &path);
    }
}

/// To such a registry no daemon can push, of which Docker says `invalid checksum digest format`.
const NAMELESS: &str = "no answer names a digest";

const KINDS: [RegistryKind; 15] = [
    ("HEAD of manifests is not allowed", |proxy| {
        proxy.harm_always(|asked| is_manifest(asked, "HEAD"), Fault::status(405));
    }),
    ("HEAD of manifests is refused", |proxy| {
        proxy.harm_always(|asked| is_manifest(asked, "HEAD"), Fault::status(403));
    }),
    ("HEAD names no digest", |proxy| {
        let nameless = changed(|answer| answer.remove("docker-content-digest"));
        proxy.harm_always(|asked| is_manifest(asked, "HEAD"), nameless);
    }),
    (NAMELESS, |proxy| {
        let nameless = changed(|answer| answer.remove("docker-content-digest"));
        proxy.harm_always(|_| true, nameless);
    }),
    ("mounts are 404", |proxy| {
        proxy.harm_always(is_mount, Fault::status(404));
    }),
    ("mounts are 405", |proxy| {
        proxy.harm_always(is_mount, Fault::status(405));
    }),
    ("mounts are 400", |proxy| {
        proxy.harm_always(is_mount, Fault::status(400));
    }),
    ("mounts are 403", |proxy| {
        proxy.harm_always(is_mount, Fault::status(403));
    }),
    ("tags are not listed: 404", |proxy| {
        proxy.harm_always(is_list, Fault::status(404));
    }),
    ("tags are not listed: 403", |proxy| {
        proxy.harm_always(is_list, Fault::status(403));
    }),
    ("tags are not listed: 405", |proxy| {
        proxy.harm_always(is_list, Fault::status(405));
    }),
    ("uploads go on at a path", |proxy| {
        let moved = changed(relative);
        proxy.harm_always(|asked| asked.path.contains("/uploads/"), moved);
    }),
    ("a tag that is set cannot be set again: 400", |proxy| {
        immutable(proxy, 400);
    }),
    ("a tag that is set cannot be set again: 403", |proxy| {
        immutable(proxy, 403);
    }),
    ("a tag that is set cannot be set again: 409", |proxy| {
        immutable(proxy, 409);
    }),
];

/// The first answer to each tag is lost, and a second try is refused.
fn immutable(proxy: &FaultProxy, status: u16) {
    // The first request of a client may be answered that it has to sign in.
    let is_signed = |asked: &Asked| is_manifest(asked, "PUT") && asked.has_credentials();
    let (seen, again) = (Paths::default(), Paths::default());
    let is_first =
        move |asked: &Asked| is_signed(asked) && seen.lock().unwrap().insert(asked.path.clone());
    let is_second =
        move |asked: &Asked| is_signed(asked) && !again.lock().unwrap().insert(asked.path.clone());
    proxy.harm_always(is_first, Fault::AnswerDropped);
    proxy.harm_always(is_second, Fault::status(status));
}

#[test]
fn a_push_arrives_at_registries_of_every_kind() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let job = Behind::job(&registry);
    let built = Behind::of_daemon(&registry, "registry-kinds");
    let (mut pushes, mut failures) = (0, Vec::new());
    for (number, (kind, set)) in KINDS.iter().enumerate() {
        for (made, image) in [(&job, "job"), (&built, "ds")] {
            if *kind == NAMELESS && image == "ds" {
                continue;
            }
            pushes += 1;
            made.proxy.begin_anew();
            if image == "job" {
                made.configure_job(&format!("kind{number}"));
            } else {
                made.project
                    .write("base/base.txt", &format!("kind {number}\n"));
            }
            set(&made.proxy);
            let pushed = made.push(image);
            // A second push has nothing to do, whatever the registry is like.
            let again = made.push(image);
            match (pushed, again) {
                (Ok(first), Ok(second)) if first == second => {}
                told => failures.push(format!("{kind}, {image}: {told:?}")),
            }
        }
    }
    count(
        "P2",
        "pushes to registries of other kinds",
        pushes,
        &failures,
    );
}
