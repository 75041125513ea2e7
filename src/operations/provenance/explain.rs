//! Explains the differences between two images for `why` and `diff`, down to the root cause.

use std::collections::BTreeSet;

use super::find::{FoundRecord, LookupFailure, RecordQuery, RecordSource, Records};
use crate::{
    error::{Comparing, Error, RecordLack, UsageError},
    image::Digest,
    operations::workspace::Session,
    plan::{
        Record,
        difference::{self, Change, ChangedParent},
    },
    project::{ignore::escaped, template::TAG_DIGITS},
};

/// Explains differences between records.
pub(crate) struct Explainer<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) records: &'a Records<'a>,
    /// The prefix of the registry with the parents of the older image, and of the one with those of the newer image.
    pub(crate) prefixes: [&'a str; 2],
    /// Whether the fingerprints of parents are left out, which differ from platform to platform.
    pub(crate) is_brief: bool,
}

impl Explainer<'_> {
    /// The lines below the headline: each difference between two records. A changed parent is followed by the parent's
    /// own differences.
    pub(crate) fn lines(&self, old: &Record, new: &Record) -> Vec<String> {
        let mut lines = Vec::new();
        self.explain(old, new, 1, &mut BTreeSet::new(), &mut lines);
        lines
    }

    fn explain(
        &self,
        old: &Record,
        new: &Record,
        depth: usize,
        told: &mut BTreeSet<(Digest, Digest)>,
        lines: &mut Vec<String>,
    ) {
        let indent = "  ".repeat(depth);
        for change in difference::between(old, new) {
            let Some(parent) = change.parent() else {
                lines.push(format!("{indent}{change}"));
                continue;
            };
            if !told.insert((parent.old.clone(), parent.new.clone())) {
                lines.push(format!(
                    "{indent}{}, as told above",
                    self.told(&change, parent)
                ));
                continue;
            }
            lines.push(format!("{indent}{}, because", self.told(&change, parent)));
            match self.parents(parent) {
                Ok([old, new]) => self.explain(&old, &new, depth + 1, told, lines),
                Err(missing) => lines.push(format!("{indent}  {}", escaped(missing))),
            }
        }
    }

    fn told(&self, change: &Change, parent: ChangedParent<'_>) -> String {
        let text = change.to_string();
        if !self.is_brief {
            return text;
        }
        let [old, new] = [parent.old, parent.new].map(|digest| digest.short(TAG_DIGITS));
        text.replace(&format!(" ({old} -> {new})"), "")
    }

    /// The old and the new record of a parent.
    fn parents(&self, parent: ChangedParent<'_>) -> Result<[Record; 2], String> {
        let [old, new] = self.prefixes;
        Ok([
            self.parent(old, parent.stage, parent.old)?,
            self.parent(new, parent.stage, parent.new)?,
        ])
    }

    pub(crate) fn parent(
        &self,
        prefix: &str,
        stage: &str,
        fingerprint: &Digest,
    ) -> Result<Record, String> {
        let project = &self.session.project;
        let wanted = RecordQuery::of_stage(project, prefix, stage, fingerprint);
        let said = match wanted.map(|wanted| self.records.find(&[wanted])) {
            Some(Ok(found)) => return Ok(found.record),
            Some(Err(said)) => lines(&said),
            None => Vec::new(),
        };
        let short = fingerprint.short(TAG_DIGITS);
        let mut text = format!("what {stage} {short} was made of is not known");
        if !said.is_empty() {
            text = format!("{text}: {}", said.join("; "));
        }
        Err(text)
    }
}

/// The rows of a record as indented lines.
pub(crate) fn rows(record: &Record) -> Vec<String> {
    let rows = record.rows().map(|row| row.join(" "));
    rows.map(|row| format!("  {}", escaped(row))).collect()
}

/// The reference of a found record and where the record was found, for messages.
pub(crate) fn place_of(found: &FoundRecord) -> String {
    let reference = &found.wanted.reference;
    match found.place {
        RecordSource::Checkout => format!("{reference}, which is that of this checkout"),
        RecordSource::Kept => format!("{reference}, by the record in dist or the cache"),
        RecordSource::Daemon => format!("{reference}, by the record in the daemon's image"),
        RecordSource::Registry => format!("{reference}, by the record in the registry"),
    }
}

/// The answers of the places, without adjacent repetitions.
fn lines(said: &[LookupFailure]) -> Vec<String> {
    let mut lines: Vec<String> = said.iter().map(ToString::to_string).collect();
    lines.dedup();
    lines
}

/// The error that no place has the record of `what`. Of the places' answers the most telling one becomes the reason: an
/// image without a record, else a registry's error, else a place that could not be asked.
pub(crate) fn unknown_record(what: String, said: Vec<LookupFailure>, by: Comparing) -> UsageError {
    let lines = lines(&said);
    let mut lack = RecordLack::Nowhere;
    for answer in said {
        lack = match (lack, answer) {
            (_, LookupFailure::NoRecord(_)) | (RecordLack::NoRecord, _) => RecordLack::NoRecord,
            (
                RecordLack::Nowhere | RecordLack::NotAsked,
                LookupFailure::Failed(Error::Registry(error)),
            ) => RecordLack::Refused(Box::new(error)),
            (RecordLack::Nowhere, LookupFailure::Failed(_)) => RecordLack::NotAsked,
            (lack, LookupFailure::Failed(_) | LookupFailure::Nothing(_)) => lack,
        };
    }
    UsageError::UnknownRecord {
        what,
        lack,
        said: lines,
        by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::{
            credentials::Credentials,
            fakes::{DaemonInMemory, RegistryInMemory},
            registry::{RegistryClient, RegistrySettings},
        },
        code::Code,
        operations::{
            resolution::{self, Prepared},
            testing::{Project, Recorder},
            workspace::{LockPolicy, Services},
        },
    };

    /// Runs `work` with an [`Explainer`] and a plan of a project.
    fn with<T>(project: &Project, work: impl FnOnce(&Explainer<'_>, &Prepared) -> T) -> T {
        let events = Recorder::default();
        let session = project.session(&events);
        let registry = RegistryInMemory::default();
        let daemon = DaemonInMemory::beside(&registry.images);
        let services = Services::in_memory(&session, LockPolicy::Offline, daemon, registry);
        let prepared = resolution::prepare(&session, &services).unwrap();
        let records = Records::new(
            &session,
            &services,
            crate::image::Platform::default(),
            Some(&prepared),
        );
        let explainer = Explainer {
            session: &session,
            records: &records,
            prefixes: ["registry.example/small"; 2],
            is_brief: false,
        };
        work(&explainer, &prepared)
    }

    fn record(prepared: &Prepared, stage: &str) -> Record {
        prepared.plan.stages[stage].platforms[0].record.clone()
    }

    #[test]
    fn a_difference_is_told_down_to_the_file_that_changed() {
        let project = Project::small();
        let old = with(&project, |explainer, prepared| {
            let all = ["job".to_owned()];
            crate::operations::provenance::keep_records(explainer.session, prepared, &all).unwrap();
            record(prepared, "job")
        });
        project.write("base.txt", "other\n");
        with(&project, |explainer, prepared| {
            let new = record(prepared, "job");
            let lines = explainer.lines(&old, &new);
            let [parent, file] = &lines[..] else {
                panic!("{lines:?}");
            };
            assert!(
                parent.contains("base") && parent.ends_with(", because"),
                "{parent}"
            );
            assert!(
                file.starts_with("    ") && file.contains("base.txt"),
                "{file}"
            );
            assert!(explainer.lines(&new, &new).is_empty());
        });
    }

    #[test]
    fn a_parent_that_no_place_knows_is_told_with_what_each_place_said() {
        let project = Project::small();
        let (old, base) = with(&project, |_, prepared| {
            let base = prepared.plan.stages["base"].fingerprint.clone();
            (record(prepared, "job"), base)
        });
        project.write("base.txt", "other\n");
        with(&project, |explainer, prepared| {
            let lines = explainer.lines(&old, &record(prepared, "job"));
            let short = base.short(TAG_DIGITS);
            let unknown = format!("    what base {short} was made of is not known: ");
            let said = lines[1].strip_prefix(&unknown).expect(&lines[1]);
            let daemon = format!("the daemon does not have registry.example/small/base:{short}");
            assert!(said.split("; ").any(|said| said == daemon), "{said}");
        });
    }

    #[test]
    fn a_record_is_shown_row_by_row() {
        with(&Project::small(), |_, prepared| {
            let record = record(prepared, "base");
            let rows = rows(&record);
            assert_eq!(rows.len(), record.rows().count());
            assert!(rows.contains(&"  stage base".to_owned()), "{rows:?}");
        });
    }

    #[test]
    fn where_a_record_was_is_said() {
        with(&Project::small(), |explainer, prepared| {
            let stage = &prepared.plan.stages["job"];
            let project = &explainer.session.project;
            let wanted =
                RecordQuery::of_stage(project, "registry.example/small", "job", &stage.fingerprint);
            let mut found = explainer.records.find(&[wanted.unwrap()]).unwrap();
            for (place, words) in [
                (RecordSource::Checkout, "which is that of this checkout"),
                (RecordSource::Kept, "by the record in dist or the cache"),
                (RecordSource::Daemon, "by the record in the daemon's image"),
                (RecordSource::Registry, "by the record in the registry"),
            ] {
                found.place = place;
                assert!(place_of(&found).ends_with(words));
            }
        });
    }

    #[test]
    fn what_no_place_has_is_an_error_that_says_what_they_said() {
        let nothing = || LookupFailure::Nothing("nothing here".to_owned());
        let no_record = || LookupFailure::NoRecord("no record there".to_owned());
        let refused = || {
            let settings = RegistrySettings {
                ca: Some("nowhere.pem".into()),
                ..RegistrySettings::default()
            };
            let client = RegistryClient::new(settings, Credentials::default());
            LookupFailure::Failed(client.err().unwrap().into())
        };
        let disk = || LookupFailure::Failed(Error::Io(std::io::Error::other("broken")));
        for (said, code, headline) in [
            (
                vec![nothing(), nothing()],
                Code::E081,
                "x is not known anywhere",
            ),
            (
                vec![nothing(), no_record()],
                Code::E082,
                "what x was made of is not known",
            ),
            (
                vec![disk()],
                Code::E081,
                "what x was made of cannot be found out",
            ),
            (
                vec![nothing(), refused()],
                Code::E504,
                "what x was made of cannot be found out",
            ),
            (
                vec![no_record(), refused()],
                Code::E082,
                "what x was made of is not known",
            ),
        ] {
            let error = Error::from(unknown_record("x".to_owned(), said, Comparing::Why));
            assert_eq!(error.code(), code);
            assert_eq!(error.headline(), headline);
        }
        let error = unknown_record("x".to_owned(), vec![nothing(), nothing()], Comparing::Why);
        let text = error.to_string();
        assert_eq!(text.matches("nothing here").count(), 1, "each once");
        assert!(error.hint().contains("--against"));
    }
}
