//! `sparkpack diff`: explains why two images differ.

use super::why;
use crate::{
    cli::DiffArguments,
    error::Error,
    operations::{
        compare,
        provenance::place_of,
        workspace::{LockPolicy, Services, Session},
    },
    project::template::TAG_DIGITS,
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &DiffArguments) -> Result<(), Error> {
    let registry = session.registry(arguments.registry.registry.as_deref())?;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let images = [&*arguments.left, &arguments.right];
    let found = compare::diff(session, &services, registry, images)?;
    let (old, new) = (&found.old, &found.new);
    for found in [old, new] {
        ui.say(place_of(found));
    }
    let both = [&old.record, &new.record];
    let (name, other) = (old.stage(), new.stage());
    if old.fingerprint == new.fingerprint {
        let headline = format!("{name}: nothing differs: both were made from the same inputs");
        return why::print(ui, &headline, &[], &both[..1]);
    }
    let [left, right] = [old, new].map(|found| found.fingerprint.short(TAG_DIGITS));
    let headline = if name == other {
        format!("{name} changed ({left} -> {right}), because")
    } else {
        format!("{name} {left} -> {other} {right}, because")
    };
    why::print(ui, &headline, &found.lines, &both)
}
