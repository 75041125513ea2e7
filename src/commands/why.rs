//! `sparkpack why`: says what makes an image differ from the one that is in use.

use crate::{
    cli::WhyArguments,
    error::{Comparing, Error, UsageError},
    image::{Digest, Reference},
    operations::{
        manifests::{self, Manifests},
        provenance::{
            Explainer, FoundRecord, RecordQuery, Records, place_of, prefix_of, rows, unknown_record,
        },
        resolution::{self, Prepared, only_platform},
        workspace::{LockPolicy, Services, Session},
    },
    plan::{Record, Stage},
    project::template::{TAG_DIGITS, UNBUILT},
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &WhyArguments) -> Result<(), Error> {
    let name = &session.targets(std::slice::from_ref(&arguments.image))?[0];
    let registry = session.registry(arguments.registry.registry.as_deref())?;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let prepared = resolution::prepare(session, &services)?;
    let stage = &prepared.plan.stages[name];
    let platform = only_platform(stage)?;
    let records = Records::new(
        session,
        &services,
        platform.platform.clone(),
        Some(&prepared),
    );
    let comparison = Comparison {
        ui,
        session,
        records: &records,
        prepared: &prepared,
        registry: &registry.name,
        prefix: &registry.prefix,
    };
    let (against, whose) = comparison.against(stage, arguments)?;
    if against.is_tagged_by(name, &platform.fingerprint) {
        let unchanged = format!("{name}: nothing changed: {whose} the tag of this checkout");
        return print(ui, &unchanged, &[], &[&platform.record]);
    }
    let found = records.find(std::slice::from_ref(&against));
    let old = found
        .map_err(|said| unknown_record(format!("`{}`", against.reference), said, Comparing::Why))?;
    ui.say(format!("{name}: compared with {}", place_of(&old)));
    comparison.print(stage, &old)
}

/// What is asked, and where.
struct Comparison<'a> {
    ui: &'a Ui,
    session: &'a Session<'a>,
    records: &'a Records<'a>,
    prepared: &'a Prepared,
    registry: &'a str,
    prefix: &'a str,
}

impl Comparison<'_> {
    /// The image that is compared with, and the words for what names it.
    fn against(
        &self,
        stage: &Stage,
        arguments: &WhyArguments,
    ) -> Result<(RecordQuery, String), Error> {
        let project = &self.session.project;
        if let Some(text) = &arguments.against_image {
            let by = Comparing::Why;
            let reference: Reference = text
                .parse()
                .map_err(|error| UsageError::NotAReference { error, by })?;
            let wanted = RecordQuery::of_reference(project, &reference);
            return Ok((wanted, format!("{text} is")));
        }
        if let Some(tag) = &arguments.against {
            let wanted = RecordQuery::of_tag(project, self.prefix, &stage.name, tag);
            let wanted = wanted.ok_or_else(|| UsageError::NotATag(tag.clone()))?;
            return Ok((wanted, format!("{tag} is")));
        }
        let named = Manifests::of(self.session, Some(self.registry))?.named()?;
        if let Some(reference) = self.named(&stage.name, &named) {
            let wanted = RecordQuery::of_reference(project, &reference);
            return Ok((wanted, "the manifests name".to_owned()));
        }
        let below = self
            .below(stage, &named)
            .ok_or_else(|| UsageError::NotNamed {
                registry: self.registry.to_owned(),
                image: stage.name.clone(),
            })?;
        Ok((below, "what the manifests name stands on".to_owned()))
    }

    /// What the manifests name: the first, where they do not agree.
    fn named(&self, image: &str, named: &[manifests::Named]) -> Option<Reference> {
        let is_built = |named: &&manifests::Named| {
            let tag = named.reference.tag.as_deref();
            named.image == image
                && (named.reference.digest.is_some()
                    || tag.is_some_and(|tag| !tag.ends_with(UNBUILT)))
        };
        let mut several: Vec<&manifests::Named> = Vec::new();
        for named in named.iter().filter(is_built) {
            if several
                .iter()
                .all(|other| other.reference != named.reference)
            {
                several.push(named);
            }
        }
        if several.len() > 1 {
            let listed = several
                .iter()
                .map(|named| format!("{} ({})", named.reference, named.place));
            self.ui.say(format!(
                "{image}: the manifests name {} images: {}; the first is taken",
                several.len(),
                listed.collect::<Vec<_>>().join(", ")
            ));
        }
        several.first().map(|named| named.reference.clone())
    }

    /// A stage that no manifest names, as it is below an image that one does.
    fn below(&self, stage: &Stage, named: &[manifests::Named]) -> Option<RecordQuery> {
        let plan = &self.prepared.plan;
        for name in plan.order.iter().rev() {
            let stands_on = plan.with_parents(std::slice::from_ref(name));
            if name == &stage.name || !stands_on.contains(&stage.name) {
                continue;
            }
            let Some(reference) = self.named(name, named) else {
                continue;
            };
            let project = &self.session.project;
            let wanted = RecordQuery::of_reference(project, &reference);
            let prefix = prefix_of(project, name, &reference).unwrap_or(self.prefix);
            let found = self.records.find(&[wanted]).ok();
            let fingerprint =
                found.and_then(|found| self.parent_in(&found.record, &stage.name, prefix));
            if let Some(fingerprint) = fingerprint {
                return RecordQuery::of_stage(project, prefix, &stage.name, &fingerprint);
            }
        }
        None
    }

    /// The fingerprint that a stage had below the image of a record.
    fn parent_in(&self, record: &Record, stage: &str, prefix: &str) -> Option<Digest> {
        let parents: Vec<(&str, Digest)> = record
            .rows()
            .filter_map(|row| match row {
                [kind, _, name, fingerprint] if kind == "parent" => {
                    Some((name.as_str(), fingerprint.parse().ok()?))
                }
                _ => None,
            })
            .collect();
        if let Some((_, fingerprint)) = parents.iter().find(|(name, _)| *name == stage) {
            return Some(fingerprint.clone());
        }
        parents.iter().find_map(|(name, fingerprint)| {
            let wanted = RecordQuery::of_stage(&self.session.project, prefix, name, fingerprint)?;
            let found = self.records.find(&[wanted]).ok()?;
            self.parent_in(&found.record, stage, prefix)
        })
    }

    fn print(&self, stage: &Stage, old: &FoundRecord) -> Result<(), Error> {
        let new = only_platform(stage)?;
        let name = &stage.name;
        if old.fingerprint == new.fingerprint {
            let unchanged = format!(
                "{name}: nothing changed: {} was made from the same inputs",
                old.wanted.reference
            );
            return print(self.ui, &unchanged, &[], &[&new.record]);
        }
        let of_old = prefix_of(&self.session.project, old.stage(), &old.wanted.reference);
        let explainer = Explainer {
            session: self.session,
            records: self.records,
            prefixes: [of_old.unwrap_or(self.prefix), self.prefix],
        };
        let headline = format!(
            "{name} changed ({} -> {}), because",
            old.fingerprint.short(TAG_DIGITS),
            new.fingerprint.short(TAG_DIGITS)
        );
        let lines = explainer.lines(&old.record, &new.record);
        print(self.ui, &headline, &lines, &[&old.record, &new.record])
    }
}

/// Prints the answer; with `-v` the records as well.
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
