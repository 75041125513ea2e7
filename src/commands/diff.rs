//! `sparkpack diff`: says what makes two images differ.

use super::why;
use crate::{
    cli::DiffArguments,
    error::{Comparing, Error, UsageError},
    image::{Reference, is_tag},
    operations::{
        provenance::{
            Explainer, FoundRecord, RecordQuery, Records, place_of, prefix_of, unknown_record,
        },
        workspace::{LockPolicy, Services, Session},
    },
    project::template::TAG_DIGITS,
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &DiffArguments) -> Result<(), Error> {
    let registry = session.registry(arguments.registry.registry.as_deref())?;
    let prefix = &*registry.prefix;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let platform = session
        .project
        .images
        .values()
        .find_map(|image| image.platforms.first());
    let platform = platform.cloned().unwrap_or_default();
    let records = Records::new(session, &services, platform, None);
    let find = |text: &str| {
        let found = records.find(&wanted(session, prefix, text)?);
        let unknown = |said| unknown_record(format!("`{text}`"), said, Comparing::Diff);
        Ok::<_, Error>(found.map_err(unknown)?)
    };
    let (old, new) = (find(&arguments.left)?, find(&arguments.right)?);
    for found in [&old, &new] {
        ui.say(place_of(found));
    }
    let both = [&old.record, &new.record];
    let (name, other) = (old.stage(), new.stage());
    if old.fingerprint == new.fingerprint {
        let headline = format!("{name}: nothing differs: both were made from the same inputs");
        return why::print(ui, &headline, &[], &both[..1]);
    }
    let prefix_of = |found: &FoundRecord| {
        prefix_of(&session.project, found.stage(), &found.wanted.reference).unwrap_or(prefix)
    };
    let explainer = Explainer {
        session,
        records: &records,
        prefixes: [prefix_of(&old), prefix_of(&new)],
    };
    let [left, right] = [&old, &new].map(|found| found.fingerprint.short(TAG_DIGITS));
    let headline = if name == other {
        format!("{name} changed ({left} -> {right}), because")
    } else {
        format!("{name} {left} -> {other} {right}, because")
    };
    let lines = explainer.lines(&old.record, &new.record);
    why::print(ui, &headline, &lines, &both)
}

/// The images that a text may mean, the likeliest first.
fn wanted(session: &Session<'_>, prefix: &str, text: &str) -> Result<Vec<RecordQuery>, Error> {
    let project = &session.project;
    if is_tag(text) {
        let of_image = |image: &String| RecordQuery::of_tag(project, prefix, image, text);
        return Ok(project.images.keys().filter_map(of_image).collect());
    }
    if let Some((image, tag)) = text.split_once(':')
        && project.images.contains_key(image)
        && let Some(wanted) = RecordQuery::of_tag(project, prefix, image, tag)
    {
        return Ok(vec![wanted]);
    }
    let by = Comparing::Diff;
    let reference: Reference = text
        .parse()
        .map_err(|error| UsageError::NotAReference { error, by })?;
    Ok(vec![RecordQuery::of_reference(project, &reference)])
}
