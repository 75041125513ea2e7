//! `sparkpack why`: explains why this checkout's image differs from the one in use.

use crate::{
    cli::WhyArguments,
    error::Error,
    image::{Digest, Platform},
    operations::{
        compare::{self, Against, Compared, ComparedPlatform, Difference, NamedBy, Why, WhyAnswer},
        provenance::{place_of, rows},
        workspace::{LockPolicy, Services, Session},
    },
    plan::Record,
    project::template::TAG_DIGITS,
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &WhyArguments) -> Result<(), Error> {
    let name = &session.targets(std::slice::from_ref(&arguments.image))?[0];
    let registry = session.registry(arguments.registry.registry.as_deref())?;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let against = match (&arguments.against_image, &arguments.against) {
        (Some(reference), _) => Against::Reference(reference),
        (None, Some(tag)) => Against::Tag(tag),
        (None, None) => Against::Manifests,
    };
    let Why { new, answer } = compare::why(session, &services, registry, name, against)?;
    let compared = match answer {
        WhyAnswer::SameTag(named_by) => {
            let whose = match named_by {
                NamedBy::Person(text) => format!("{text} is"),
                NamedBy::Manifests => "the manifests name".to_owned(),
                NamedBy::ManifestsAbove => "what the manifests name stands on".to_owned(),
            };
            let unchanged = format!("{name}: nothing changed: {whose} the tag of this checkout");
            return print(ui, &unchanged, &[], &new.iter().collect::<Vec<_>>());
        }
        WhyAnswer::Compared(compared) => compared,
    };
    let mut records = Vec::new();
    for (on, new) in compared.platforms.iter().zip(&new) {
        if let Difference::Records { old, .. } = &on.difference {
            ui.say(format!("{}: compared with {}", on.title, place_of(old)));
            records.extend((old.fingerprint != new.fingerprint()).then_some(&old.record));
        }
        records.push(new);
    }
    let (headline, mut lines) = match &*compared.platforms {
        [on] => of_one(name, &compared, on),
        several => (
            changed(name, &compared.old, &compared.new),
            of_several(several.iter().map(|on| {
                let told = match &on.difference {
                    Difference::NotMade => PlatformLines::New,
                    Difference::SameTag => PlatformLines::Lines(Vec::new()),
                    Difference::Records { lines, .. } => PlatformLines::Lines(lines.clone()),
                };
                (&on.platform, told)
            })),
        ),
    };
    let removed = compared.removed.iter();
    lines.extend(removed.map(|platform| format!("  platform {platform} is left out")));
    print(ui, &headline, &lines, &records)
}

/// The headline and the lines below it for an image of one platform.
fn of_one(name: &str, compared: &Compared, on: &ComparedPlatform) -> (String, Vec<String>) {
    let new = &compared.new;
    match &on.difference {
        Difference::Records { old, .. }
            if old.fingerprint == *new && compared.removed.is_empty() =>
        {
            let reference = &old.wanted.reference;
            let unchanged =
                format!("{name}: nothing changed: {reference} was made from the same inputs");
            (unchanged, Vec::new())
        }
        Difference::Records { old, lines } => {
            let old = match &*compared.removed {
                [] => old.fingerprint.short(TAG_DIGITS),
                _ => &compared.old,
            };
            (changed(name, old, new), lines.clone())
        }
        Difference::SameTag | Difference::NotMade => (
            changed(name, &compared.old, new),
            vec![format!("  platform {} is new", on.platform)],
        ),
    }
}

fn changed(name: &str, old: &str, new: &Digest) -> String {
    format!(
        "{name} changed ({old} -> {}), because",
        new.short(TAG_DIGITS)
    )
}

/// What there is to tell of one of several platforms.
pub(super) enum PlatformLines {
    /// Only the newer image is for it.
    New,
    /// Only the older image is for it.
    LeftOut,
    /// Both are: what differs.
    Lines(Vec<String>),
}

/// The lines for an image of several platforms: once for those that they share, else by platform.
pub(super) fn of_several<'a>(
    platforms: impl IntoIterator<Item = (&'a Platform, PlatformLines)>,
) -> Vec<String> {
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let (mut told, mut left_out) = (Vec::new(), Vec::new());
    for (platform, on) in platforms {
        let lines = match on {
            PlatformLines::New => {
                told.push(format!("  platform {platform} is new"));
                continue;
            }
            PlatformLines::LeftOut => {
                left_out.push(format!("  platform {platform} is left out"));
                continue;
            }
            PlatformLines::Lines(lines) => lines,
        };
        let platform = platform.to_string();
        match groups.iter_mut().find(|(_, same)| *same == lines) {
            Some((names, _)) => names.push(platform),
            None => groups.push((vec![platform], lines)),
        }
    }
    let are_alike = groups.len() == 1;
    for (names, lines) in groups {
        let names = names.join(", ");
        if are_alike {
            told.extend(lines);
        } else if lines.is_empty() {
            told.push(format!("  {names}: nothing changed"));
        } else {
            told.push(format!("  {names}:"));
            told.extend(lines.iter().map(|line| format!("  {line}")));
        }
    }
    told.extend(left_out);
    told
}

/// Prints the differences; with `-v` also the records.
pub(super) fn print(
    ui: &Ui,
    headline: &str,
    lines: &[String],
    records: &[&Record],
) -> Result<(), Error> {
    ui.data(headline)?;
    for line in lines {
        ui.data(line)?;
    }
    if ui.verbosity() > 0 {
        for record in records {
            let short = record.fingerprint();
            ui.data(format!("\nrecord {}", short.short(TAG_DIGITS)))?;
            for row in rows(record) {
                ui.data(row)?;
            }
        }
    }
    Ok(())
}
