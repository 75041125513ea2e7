//! `sparkpack diff`: compares any two images.

use std::collections::BTreeSet;

use crate::{
    error::{Comparing, Error, UsageError},
    image::{Platform, Reference, is_tag},
    operations::{
        provenance::{
            Explainer, FoundOnPlatform, FoundRecord, RecordQuery, Records, prefix_of,
            unknown_record,
        },
        workspace::{Services, Session},
    },
    project::Registry,
};

/// Two images, on each platform that one of them is for.
pub(crate) struct Differences {
    /// What tells each from others of its name, if one of them is for several platforms.
    pub(crate) wholes: Option<[String; 2]>,
    pub(crate) platforms: Vec<DifferentPlatform>,
}

/// The records of two images on a platform, at least one, and the lines that explain how they differ. There are no lines
/// if both have the same inputs.
pub(crate) struct DifferentPlatform {
    pub(crate) platform: Platform,
    pub(crate) old: Option<FoundRecord>,
    pub(crate) new: Option<FoundRecord>,
    pub(crate) lines: Vec<String>,
}

/// Compares two images. Each is named by a reference, by `IMAGE:TAG` with an image of the project, or by a tag alone.
pub(crate) fn diff(
    session: &Session<'_>,
    services: &Services<'_>,
    registry: &Registry,
    texts: [&str; 2],
) -> Result<Differences, Error> {
    let mut images = session.project.images.values();
    let platform = images.find_map(|image| image.platforms.first());
    let platform = platform.cloned().unwrap_or_default();
    let differ = Differ {
        session,
        services,
        prefix: &registry.prefix,
        texts,
    };
    let [old, new] = differ.on(&platform)?;
    let all: BTreeSet<Platform> = old.platforms.union(&new.platforms).cloned().collect();
    if all.is_empty() {
        let only = differ.compared(platform, [old.found, new.found], false);
        return Ok(Differences {
            wholes: None,
            platforms: vec![only],
        });
    }
    let wholes = Some([&old, &new].map(|found| found.whole.short()));
    let platforms = all.into_iter().map(|platform| {
        let found = differ.on(&platform)?;
        let found = found.map(|found| found.only_on(&platform));
        Ok(differ.compared(platform, found, true))
    });
    let platforms: Result<_, Error> = platforms.collect();
    Ok(Differences {
        wholes,
        platforms: platforms?,
    })
}

struct Differ<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    prefix: &'a str,
    texts: [&'a str; 2],
}

impl Differ<'_> {
    /// What is found of both images on a platform.
    fn on(&self, platform: &Platform) -> Result<[FoundOnPlatform; 2], Error> {
        let records = Records::new(self.session, self.services, platform.clone(), None);
        let find = |text: &str| {
            let found = records.find_on_platform(&queries(self.session, self.prefix, text)?);
            let unknown = |said| unknown_record(format!("`{text}`"), said, Comparing::Diff);
            Ok::<_, Error>(found.map_err(unknown)?)
        };
        Ok([find(self.texts[0])?, find(self.texts[1])?])
    }

    fn compared(
        &self,
        platform: Platform,
        [old, new]: [Option<FoundRecord>; 2],
        is_brief: bool,
    ) -> DifferentPlatform {
        let records = Records::new(self.session, self.services, platform.clone(), None);
        let prefix_of = |found: &FoundRecord| {
            let prefix = prefix_of(
                &self.session.project,
                found.stage(),
                &found.wanted.reference,
            );
            prefix.unwrap_or(self.prefix)
        };
        let lines = match (&old, &new) {
            (Some(old), Some(new)) => {
                let explainer = Explainer {
                    session: self.session,
                    records: &records,
                    prefixes: [prefix_of(old), prefix_of(new)],
                    is_brief,
                };
                explainer.lines(&old.record, &new.record)
            }
            _ => Vec::new(),
        };
        DifferentPlatform {
            platform,
            old,
            new,
            lines,
        }
    }
}

/// The images that an argument may refer to. A tag alone may be that of any image of the project.
fn queries(session: &Session<'_>, prefix: &str, text: &str) -> Result<Vec<RecordQuery>, Error> {
    let project = &session.project;
    if is_tag(text) {
        let of_image = |image: &String| RecordQuery::of_tag(project, prefix, image, text);
        return Ok(project.images.keys().filter_map(of_image).collect());
    }
    if let Some((image, tag)) = text.split_once(':')
        && project.images.contains_key(image)
        && let Some(query) = RecordQuery::of_tag(project, prefix, image, tag)
    {
        return Ok(vec![query]);
    }
    let by = Comparing::Diff;
    let reference: Reference = text
        .parse()
        .map_err(|error| UsageError::NotAReference { error, by })?;
    Ok(vec![RecordQuery::of_reference(project, &reference)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::Code,
        operations::{
            compare::tests::kept_records,
            testing::{Project, Recorder},
            workspace::LockPolicy,
        },
    };

    fn differences(project: &Project, texts: [&str; 2]) -> Result<Differences, Error> {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::Offline);
        diff(&session, &services, session.registry(None).unwrap(), texts)
    }

    /// A project with the records of two states, which differ in a file that `base` copies; and the tags of `job` in
    /// both.
    fn changed() -> (Project, String, String) {
        let project = Project::small();
        let old = kept_records(&project, "job");
        project.write("base.txt", "other\n");
        let new = kept_records(&project, "job");
        (project, old, new)
    }

    /// What differs between two images for a single platform.
    fn only(found: &Differences) -> (&DifferentPlatform, [&FoundRecord; 2]) {
        assert_eq!(found.wholes, None);
        let [only] = &*found.platforms else {
            panic!("{} platforms", found.platforms.len());
        };
        let both = [&only.old, &only.new].map(|found| found.as_ref().unwrap());
        (only, both)
    }

    #[test]
    fn images_are_compared_however_they_are_named() {
        let (project, old, new) = changed();
        let reference = format!("registry.example/small/job:{old}");
        for old in [&old, &format!("job:{old}"), &reference] {
            let found = differences(&project, [old, &new]).unwrap();
            let (only, [old, new]) = only(&found);
            assert_eq!((old.stage(), new.stage()), ("job", "job"));
            assert_ne!(old.fingerprint, new.fingerprint);
            let last = only.lines.last().unwrap();
            assert!(last.contains("base.txt"), "{last}");
        }
    }

    #[test]
    fn images_of_the_same_inputs_do_not_differ() {
        let (project, old, _) = changed();
        let found = differences(&project, [&old, &format!("job:{old}")]).unwrap();
        let (only, [old, new]) = only(&found);
        assert_eq!(old.fingerprint, new.fingerprint);
        assert!(only.lines.is_empty());
    }

    #[test]
    fn what_no_place_has_and_what_names_no_image_are_errors() {
        let (project, old, _) = changed();
        let unknown = differences(&project, [&old, "job:0123456789abcdef"]).err();
        assert!(matches!(
            unknown,
            Some(Error::Usage(UsageError::UnknownRecord {
                by: Comparing::Diff,
                ..
            }))
        ));
        let no_name = differences(&project, ["http://a/b", &old]).err().unwrap();
        assert_eq!(no_name.code(), Code::E080);
    }
}
