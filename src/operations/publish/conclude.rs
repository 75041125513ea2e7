//! What follows when images are in the registry.

use std::collections::BTreeMap;

use super::{pins::NewPins, platforms::PushedStage};
use crate::{
    error::Error,
    operations::{
        build::{Finished, Run, rewrite_and_list},
        dist::{self, Action, CommitLookup, ImageResult},
        manifests::{self, Digests, ExpectedReferences, Manifests, Scope},
        provenance,
    },
};

/// Writes what follows from a push: manifests and pins, records, and the list of images.
pub(super) fn conclude(
    run: &Run<'_>,
    (manifests, scope): (&Manifests<'_>, Scope<'_>),
    commit: CommitLookup,
    pushed: &BTreeMap<String, PushedStage>,
) -> Result<Finished, Error> {
    let Run {
        session,
        prepared,
        registry,
        ..
    } = *run;
    let order = prepared.plan.order.iter();
    let images: Vec<ImageResult> = order
        .filter_map(|name| pushed.get(name)?.result(name))
        .collect();
    let pins = NewPins::of_push(session, prepared, registry, &images, manifests)?;
    pins.tell(session);
    let expected =
        ExpectedReferences::of_plan(session, prepared, scope, Digests::Pinned(&pins.pins));
    let all_there = images.iter().all(|image| image.action == Action::Adopted);
    let list = || {
        provenance::keep_records(session, prepared, scope.images)?;
        dist::write_images_json(session, commit, prepared, registry, &images)
    };
    let pins = pins.file(session);
    let rewrite = || manifests::rewrite(manifests, prepared, scope, &expected, pins);
    let changed = rewrite_and_list(all_there, rewrite, list)?;
    Ok(Finished {
        was_current: !changed && all_there,
        images,
        failed: None,
    })
}
