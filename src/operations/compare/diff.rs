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
        records: Records::new(session, services, platform.clone(), None),
        prefix: &registry.prefix,
        texts,
    };
    let [old, new] = differ.on(&platform)?;
    if old.platforms.is_empty() && new.platforms.is_empty() {
        let only = differ.compared(platform, [old.found, new.found], false);
        return Ok(Differences {
            wholes: None,
            platforms: vec![only],
        });
    }
    let wholes = Some([&old, &new].map(|found| found.whole.short()));
    let all: BTreeSet<Platform> = &old.all_platforms() | &new.all_platforms();
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
    records: Records<'a>,
    prefix: &'a str,
    texts: [&'a str; 2],
}

impl Differ<'_> {
    /// What is found of both images on a platform.
    fn on(&self, platform: &Platform) -> Result<[FoundOnPlatform; 2], Error> {
        let records = self.records.on(platform);
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
        let records = self.records.on(&platform);
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
        adapters::{
            docker::{DockerError, Unreachable},
            fakes::{image, registry_image},
            registry::Listing,
        },
        code::Code,
        image::{Digest, LABEL_FINGERPRINT, LABEL_RECORD},
        operations::{
            compare::tests::kept_records,
            testing::{Project, Recorder, TestRun},
            workspace::LockPolicy,
        },
        plan::Record,
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

    const JOB: &str = "registry.example/small/job";

    /// A project, and a registry with `job` for amd64 at the tag `one`, and with an index for two other platforms at `two`.
    fn in_registry() -> TestRun {
        let run = TestRun::new(Project::small());
        let record = run.project.planned(|_, prepared| {
            let job = &prepared.plan.stages["job"].platforms[0];
            String::from_utf8(job.record.bytes()).unwrap()
        });
        let put = |name: Option<&str>, platform: &str| {
            let record = record.replace("linux/amd64", platform);
            let record = Record::parse(record.as_bytes()).unwrap();
            let fingerprint = record.fingerprint();
            let mut info = image(platform);
            info.platform = platform.parse().unwrap();
            let labels = [
                (LABEL_FINGERPRINT, fingerprint.hex().to_owned()),
                (LABEL_RECORD, record.label().unwrap()),
            ];
            info.labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
            let stored = registry_image(info);
            let (digest, platform) = (stored.digest.clone(), stored.info.platform.clone());
            let by_digest = format!("@{digest}");
            let name = name.unwrap_or(&by_digest);
            run.registry.images.put(&format!("{JOB}{name}"), stored);
            (platform, digest)
        };
        put(Some(":one"), "linux/amd64");
        let platforms = ["linux/arm64", "linux/s390x"].map(|platform| put(None, platform));
        let listing = Listing {
            digest: Digest::of(b"index"),
            platforms: platforms.into(),
        };
        run.registry.list(&format!("{JOB}:two"), listing);
        run
    }

    /// The platforms of two images in a registry, each with whether the old one and the new one are for it.
    fn platforms(run: &TestRun, tags: [&str; 2]) -> Vec<(String, bool, bool)> {
        let session = run.project.session(&run.events);
        let (daemon, registry) = (run.daemon.clone(), run.registry.clone());
        let services = Services::in_memory(&session, LockPolicy::ReadOnly, daemon, registry);
        let [old, new] = tags.map(|tag| format!("{JOB}:{tag}"));
        let registry = session.registry(None).unwrap();
        let found = diff(&session, &services, registry, [&old, &new]).unwrap();
        let platforms = found.platforms.iter().map(|on| {
            let platform = on.platform.to_string();
            (platform, on.old.is_some(), on.new.is_some())
        });
        platforms.collect()
    }

    #[test]
    fn the_only_platform_of_an_image_is_left_out_if_the_other_has_others() {
        let run = in_registry();
        let on = |platform: &str, old, new| (platform.to_owned(), old, new);
        assert_eq!(
            platforms(&run, ["one", "two"]),
            [
                on("linux/amd64", true, false),
                on("linux/arm64", false, true),
                on("linux/s390x", false, true),
            ]
        );
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_asked_once_for_all_platforms() {
        let run = in_registry();
        run.daemon.images.fail_next(DockerError::Unreachable {
            host: "unix:///nowhere".to_owned(),
            named_by: None,
            reason: Unreachable::NoSocket { other: None },
        });
        assert_eq!(platforms(&run, ["two", "two"]).len(), 2);
        assert_eq!(run.daemon.images.looked_up().len(), 1);
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
