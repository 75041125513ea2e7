//! `sparkpack build`: packs, makes what the daemon does not have, rewrites the manifests, says what was made.

use super::{
    locks,
    making::{Action, Maker},
    manifests::{self, Digests, Manifests, Scope, Wants},
    outside::{Missing, Outside},
    packing::Packer,
    pins, records,
    report::{self, Row},
    schedule,
    session::Session,
};
use crate::{cli::Images, error::Error};

pub(super) fn run(session: &Session<'_>, images: &Images) -> Result<(), Error> {
    let (registry, prefix) = session.registry(images.registry.registry.as_deref())?;
    let targets = session.targets(&images.images)?;
    let scope = Scope {
        registry: images.registry.registry.as_deref(),
        images: &targets,
    };
    Manifests::of(session, scope.registry)?.check()?;
    let outside = Outside::with(session, images.locks);
    outside.daemon()?;
    let prepared = locks::prepare(session, &outside, Missing::of(images.locks))?;
    let pins = pins::read(session)?;
    let wants = Wants::of_plan(session, &prepared, scope, Digests::Pinned(&pins))?;
    Manifests::of(session, scope.registry)?.examine(&wants)?;
    let packer = Packer::new(session, &outside);
    packer.pack_images(&targets, &prepared)?;
    let maker = Maker::new(session, &outside, &prepared, &packer, prefix);
    let names = maker.needed(&targets)?;
    let made = schedule::run(session, &prepared.plan, &names, &|name, below| {
        maker.make(&prepared.plan.stages[name], below)
    })?;

    let rows: Vec<Row> = prepared
        .order
        .iter()
        .filter_map(|name| made.get(name).map(|made| Row::of_made(name, made)))
        .collect();
    records::keep(session, &prepared, &targets)?;
    let changed = manifests::rewrite(session, &prepared, scope, &pins, None)?;
    report::write(session, &prepared, (registry, prefix), &rows)?;
    packer.remember();
    if made.values().all(|made| made.action == Action::Reused) && !changed {
        session.ui.say(format!(
            "nothing to do: {} and the manifests are current",
            counted(made.len())
        ));
    }
    for row in &rows {
        session.ui.data(&row.reference)?;
    }
    Ok(())
}

fn counted(images: usize) -> String {
    if images == 1 {
        "the image".to_owned()
    } else {
        format!("all {images} images")
    }
}
