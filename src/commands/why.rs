//! `sparkpack why`: explains why this checkout's image differs from the one in use.

use crate::{
    cli::WhyArguments,
    error::Error,
    operations::{
        compare::{self, Against, NamedBy, Why, WhyAnswer},
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
    let (old, lines) = match answer {
        WhyAnswer::SameTag(named_by) => {
            let whose = match named_by {
                NamedBy::Person(text) => format!("{text} is"),
                NamedBy::Manifests => "the manifests name".to_owned(),
                NamedBy::ManifestsAbove => "what the manifests name stands on".to_owned(),
            };
            let unchanged = format!("{name}: nothing changed: {whose} the tag of this checkout");
            return print(ui, &unchanged, &[], &[&new]);
        }
        WhyAnswer::Compared { old, lines } => (old, lines),
    };
    ui.say(format!("{name}: compared with {}", place_of(&old)));
    let fingerprint = new.fingerprint();
    if old.fingerprint == fingerprint {
        let reference = &old.wanted.reference;
        let unchanged =
            format!("{name}: nothing changed: {reference} was made from the same inputs");
        return print(ui, &unchanged, &[], &[&new]);
    }
    let headline = format!(
        "{name} changed ({} -> {}), because",
        old.fingerprint.short(TAG_DIGITS),
        fingerprint.short(TAG_DIGITS)
    );
    print(ui, &headline, &lines, &[&old.record, &new])
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
