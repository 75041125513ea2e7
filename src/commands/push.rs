//! `sparkpack push`: asks the registry, makes what is missing, pushes parents first, pins, rewrites the manifests.

use crate::{
    cli::PushArguments,
    error::Error,
    operations::{
        build::{self, StageBuilder},
        dist::{self, ImageResult, Packer},
        manifests::{self, Digests, ExpectedReferences, Manifests, Scope},
        provenance,
        publish::{self, NewPins, Pusher},
        resolution::{self, Strictness},
        workspace::{LockPolicy, Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &PushArguments) -> Result<(), Error> {
    let images = &arguments.images;
    let (registry, prefix) = session.registry(images.registry.registry.as_deref())?;
    let targets = session.targets(&images.images)?;
    // What was not pushed there must not be named there: other registries' manifests stay.
    let scope = Scope {
        registry: Some(registry),
        images: &targets,
    };
    Manifests::of(session, scope.registry)?.check()?;
    publish::read_pins(session)?;
    let services = Services::with(session, images.locks);
    let prepared = resolution::prepare(session, &services, LockPolicy::of(images.locks))?;
    let expected = ExpectedReferences::of_plan(session, &prepared, scope, Digests::Assumed)?;
    Manifests::of(session, scope.registry)?.examine(&expected)?;
    Strictness::of(arguments).check(session, &prepared, &targets)?;
    let packer = Packer::new(session, &services);
    let maker = StageBuilder::new(session, &services, &prepared, &packer, prefix);
    let pusher = Pusher {
        session,
        services: &services,
        prepared: &prepared,
        prefix,
        maker,
    };

    let there = pusher.look_up(&targets)?;
    let names = pusher.wanted(&targets, &there)?;
    let pushed = build::run_on_stages(session, &prepared.plan, &names, &|name, below| {
        pusher.push(
            &prepared.plan.stages[name],
            there.get(name).and_then(Option::as_ref),
            below,
        )
    })?;

    provenance::keep_records(session, &prepared, &targets)?;
    let order = prepared.order.iter();
    let rows: Vec<ImageResult> = order
        .filter_map(|name| pushed.get(name).map(|pushed| pushed.row(name)))
        .collect();
    let pins = NewPins::of_push(session, &prepared, (registry, prefix), &rows)?;
    pins.say(session);
    let changed = manifests::rewrite(session, &prepared, scope, &pins.pins, pins.file(session))?;
    dist::write_images_json(session, &prepared, (registry, prefix), &rows)?;
    packer.remember();
    if pushed.values().all(|pushed| pushed.made.is_none()) && !changed {
        ui.say("nothing to do: the registry has every image of this checkout, and the manifests are current");
    }
    for row in &rows {
        ui.data(format!(
            "{}@{}",
            row.reference, pushed[&row.name].image.digest
        ))?;
    }
    Ok(())
}
