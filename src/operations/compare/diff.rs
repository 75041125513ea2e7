//! `sparkpack diff`: compares any two images.

use crate::{
    error::{Comparing, Error, UsageError},
    image::{Reference, is_tag},
    operations::{
        provenance::{Explainer, FoundRecord, RecordQuery, Records, prefix_of, unknown_record},
        workspace::{Services, Session},
    },
    project::Registry,
};

/// The records of two images, and the lines that explain how they differ. There are no lines if both have the same
/// inputs.
pub(crate) struct Differences {
    pub(crate) old: FoundRecord,
    pub(crate) new: FoundRecord,
    pub(crate) lines: Vec<String>,
}

/// Compares two images. Each is named by a reference, by `IMAGE:TAG` with an image of the project, or by a tag alone.
pub(crate) fn diff(
    session: &Session<'_>,
    services: &Services<'_>,
    registry: &Registry,
    [old, new]: [&str; 2],
) -> Result<Differences, Error> {
    let prefix = &*registry.prefix;
    let mut images = session.project.images.values();
    let platform = images.find_map(|image| image.platforms.first());
    let platform = platform.cloned().unwrap_or_default();
    let records = Records::new(session, services, platform, None);
    let find = |text: &str| {
        let found = records.find(&queries(session, prefix, text)?);
        let unknown = |said| unknown_record(format!("`{text}`"), said, Comparing::Diff);
        Ok::<_, Error>(found.map_err(unknown)?)
    };
    let (old, new) = (find(old)?, find(new)?);
    let prefix_of = |found: &FoundRecord| {
        prefix_of(&session.project, found.stage(), &found.wanted.reference).unwrap_or(prefix)
    };
    let explainer = Explainer {
        session,
        records: &records,
        prefixes: [prefix_of(&old), prefix_of(&new)],
        is_brief: false,
    };
    let lines = explainer.lines(&old.record, &new.record);
    Ok(Differences { old, new, lines })
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

    #[test]
    fn images_are_compared_however_they_are_named() {
        let (project, old, new) = changed();
        let reference = format!("registry.example/small/job:{old}");
        for old in [&old, &format!("job:{old}"), &reference] {
            let found = differences(&project, [old, &new]).unwrap();
            assert_eq!((found.old.stage(), found.new.stage()), ("job", "job"));
            assert_ne!(found.old.fingerprint, found.new.fingerprint);
            let last = found.lines.last().unwrap();
            assert!(last.contains("base.txt"), "{last}");
        }
    }

    #[test]
    fn images_of_the_same_inputs_do_not_differ() {
        let (project, old, _) = changed();
        let found = differences(&project, [&old, &format!("job:{old}")]).unwrap();
        assert_eq!(found.old.fingerprint, found.new.fingerprint);
        assert!(found.lines.is_empty());
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
