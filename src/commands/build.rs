//! `sparkpack build`: packs, makes what the daemon does not have, rewrites the manifests, says what was made.

use crate::{
    cli::Images,
    error::Error,
    operations::{
        build::{self, StageBuilder},
        dist::{self, Action, ImageResult, Packer},
        manifests::{self, Digests, ExpectedReferences, Manifests, Scope},
        provenance, publish, resolution,
        workspace::{LockPolicy, Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, images: &Images) -> Result<(), Error> {
    let (registry, prefix) = session.registry(images.registry.registry.as_deref())?;
    let targets = session.targets(&images.images)?;
    let scope = Scope {
        registry: images.registry.registry.as_deref(),
        images: &targets,
    };
    Manifests::of(session, scope.registry)?.check()?;
    let services = Services::with(session, images.locks);
    services.daemon()?;
    let prepared = resolution::prepare(session, &services, LockPolicy::of(images.locks))?;
    let pins = publish::read_pins(session)?;
    let expected = ExpectedReferences::of_plan(session, &prepared, scope, Digests::Pinned(&pins))?;
    Manifests::of(session, scope.registry)?.examine(&expected)?;
    let packer = Packer::new(session, &services);
    packer.pack_images(&targets, &prepared)?;
    let maker = StageBuilder::new(session, &services, &prepared, &packer, prefix);
    let names = maker.needed(&targets)?;
    let made = build::run_on_stages(session, &prepared.plan, &names, &|name, below| {
        maker.make(&prepared.plan.stages[name], below)
    })?;

    let rows: Vec<ImageResult> = prepared
        .order
        .iter()
        .filter_map(|name| made.get(name).map(|made| ImageResult::of_made(name, made)))
        .collect();
    provenance::keep_records(session, &prepared, &targets)?;
    let changed = manifests::rewrite(session, &prepared, scope, &pins, None)?;
    dist::write_images_json(session, &prepared, (registry, prefix), &rows)?;
    packer.remember();
    if made.values().all(|made| made.action == Action::Reused) && !changed {
        ui.say(format!(
            "nothing to do: {} and the manifests are current",
            counted(made.len())
        ));
    }
    for row in &rows {
        ui.data(&row.reference)?;
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
