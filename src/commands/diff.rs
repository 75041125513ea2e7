//! `sparkpack diff`: explains why two images differ.

use super::why::{self, PlatformLines};
use crate::{
    cli::DiffArguments,
    error::Error,
    operations::{
        compare::{self, DifferentPlatform},
        provenance::{FoundRecord, place_of},
        workspace::{LockPolicy, Services, Session},
    },
    plan::Record,
    project::template::TAG_DIGITS,
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &DiffArguments) -> Result<(), Error> {
    let registry = session.registry(arguments.registry.registry.as_deref())?;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let images = [&*arguments.left, &arguments.right];
    let found = compare::diff(session, &services, registry, images)?;
    for on in &found.platforms {
        for found in [&on.old, &on.new].into_iter().flatten() {
            ui.say(place_of(found));
        }
    }
    let (headline, lines) = match (&found.wholes, &*found.platforms) {
        (None, [on]) => (headline_of(on), on.lines.clone()),
        (wholes, several) => of_several(wholes.as_ref(), several),
    };
    let mut records: Vec<&Record> = Vec::new();
    for on in &found.platforms {
        let both = [&on.old, &on.new].into_iter().flatten();
        let both: Vec<&FoundRecord> = both.collect();
        let is_same = both.len() == 2 && both[0].fingerprint == both[1].fingerprint;
        let shown = if is_same { 1 } else { both.len() };
        records.extend(both.iter().take(shown).map(|found| &found.record));
    }
    why::print(ui, &headline, &lines, &records)
}

/// The headline for two images of one platform.
fn headline_of(on: &DifferentPlatform) -> String {
    let (Some(old), Some(new)) = (&on.old, &on.new) else {
        return String::new();
    };
    let (name, other) = (old.stage(), new.stage());
    if old.fingerprint == new.fingerprint {
        return format!("{name}: nothing differs: both were made from the same inputs");
    }
    let [left, right] = [old, new].map(|found| found.fingerprint.short(TAG_DIGITS));
    if name == other {
        format!("{name} changed ({left} -> {right}), because")
    } else {
        format!("{name} {left} -> {other} {right}, because")
    }
}

/// The headline and the lines for two images of which one is for several platforms.
fn of_several(
    wholes: Option<&[String; 2]>,
    platforms: &[DifferentPlatform],
) -> (String, Vec<String>) {
    let stage = |of: fn(&DifferentPlatform) -> &Option<FoundRecord>| {
        let mut found = platforms.iter().filter_map(|on| of(on).as_ref());
        found.next().map_or("image", FoundRecord::stage)
    };
    let (name, other) = (stage(|on| &on.old), stage(|on| &on.new));
    let lines = why::of_several(platforms.iter().map(|on| {
        let told = match (&on.old, &on.new) {
            (None, _) => PlatformLines::New,
            (_, None) => PlatformLines::LeftOut,
            _ => PlatformLines::Lines(on.lines.clone()),
        };
        (&on.platform, told)
    }));
    let [left, right] = wholes.map_or(["", ""], |[left, right]| [left, right]);
    let headline = if lines.is_empty() {
        format!("{name}: nothing differs: both were made from the same inputs")
    } else if name == other {
        format!("{name} changed ({left} -> {right}), because")
    } else {
        format!("{name} {left} -> {other} {right}, because")
    };
    (headline, lines)
}
