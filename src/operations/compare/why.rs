//! `sparkpack why`: compares the image of this checkout with the one in use, or with one that the user names.

use std::collections::BTreeSet;

use crate::{
    error::{Comparing, Error, UsageError},
    image::{Digest, Platform, Reference},
    operations::{
        events::{ManifestNote, Note},
        manifests::{Manifests, Named},
        provenance::{Explainer, FoundRecord, RecordQuery, Records, prefix_of, unknown_record},
        resolution::{self, Prepared},
        workspace::{Services, Session},
    },
    plan::{PlatformStage, Record, Stage, record::combined},
    project::{
        Registry,
        place::Place,
        template::{TAG_DIGITS, UNBUILT},
    },
};

/// What an image is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against<'a> {
    /// The image that the manifests name.
    Manifests,
    /// A tag of the image.
    Tag(&'a str),
    /// Any image, by its reference.
    Reference(&'a str),
}

/// Where the reference of the other image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The user gave this text.
    Person(String),
    /// The manifests name it.
    Manifests,
    /// No manifest names it. The reference follows from the record of a descendant that a manifest names.
    ManifestsAbove,
}

/// Why this checkout's image differs from another.
pub(crate) struct Why {
    /// The records of this checkout's image, one for each platform.
    pub(crate) new: Vec<Record>,
    pub(crate) answer: WhyAnswer,
}

/// The comparison with the other image.
pub(crate) enum WhyAnswer {
    /// The other image has this checkout's tag, so no record was looked up.
    SameTag(NamedBy),
    /// The records were compared.
    Compared(Compared),
}

/// An image of this checkout beside another.
pub(crate) struct Compared {
    /// What tells the other image from others of its name.
    pub(crate) old: String,
    /// The fingerprint of this checkout's.
    pub(crate) new: Digest,
    /// Each platform.
    pub(crate) platforms: Vec<ComparedPlatform>,
    /// The platforms that only the other image is made for.
    pub(crate) removed: Vec<Platform>,
}

/// A platform of an image of this checkout beside the same of another image.
pub(crate) struct ComparedPlatform {
    pub(crate) platform: Platform,
    /// What messages call the image on it.
    pub(crate) title: String,
    pub(crate) difference: Difference,
}

/// What differs on a platform.
pub(crate) enum Difference {
    /// The other image has the tag of this one.
    SameTag,
    /// The other image is not made for the platform.
    NotMade,
    /// The records were compared. `lines` lists the differences; it is empty if the inputs are the same.
    Records {
        old: Box<FoundRecord>,
        lines: Vec<String>,
    },
}

/// Compares the image `name` of this checkout with another image.
pub(crate) fn why(
    session: &Session<'_>,
    services: &Services<'_>,
    registry: &Registry,
    name: &str,
    against: Against<'_>,
) -> Result<Why, Error> {
    let prepared = resolution::prepare_for(session, services, &[name.to_owned()])?;
    let stage = &prepared.plan.stages[name];
    let (mut platforms, mut others) = (Vec::new(), Vec::new());
    let mut removed = BTreeSet::new();
    let records = Records::new(session, services, Platform::default(), Some(&prepared));
    for on in &stage.platforms {
        let records = records.on(&on.platform);
        let comparison = Comparison {
            session,
            records: &records,
            prepared: &prepared,
            registry,
            is_brief: stage.has_several_platforms(),
            tells: platforms.is_empty(),
        };
        let (query, named_by) = comparison.query(stage, against)?;
        let (difference, before) = comparison.difference(stage, on, &query)?;
        removed.extend(before);
        platforms.push(ComparedPlatform {
            platform: on.platform.clone(),
            title: on.title.clone(),
            difference,
        });
        others.push((query, named_by));
    }
    removed.retain(|platform| stage.on(platform).is_none());
    let mut differences = platforms.iter().map(|on| &on.difference);
    let is_same = differences.all(|difference| matches!(difference, Difference::SameTag));
    let new = stage.platforms.iter().map(|on| on.record.clone()).collect();
    let (query, named_by) = others.swap_remove(0);
    let answer = if is_same {
        WhyAnswer::SameTag(named_by)
    } else {
        let whole = whole_of(stage, &platforms).filter(|_| removed.is_empty());
        WhyAnswer::Compared(Compared {
            old: whole.unwrap_or_else(|| query.short()),
            new: stage.fingerprint.clone(),
            platforms,
            removed: removed.into_iter().collect(),
        })
    };
    Ok(Why { new, answer })
}

/// The fingerprint of the other image, if its records on all platforms of the stage are known.
fn whole_of(stage: &Stage, platforms: &[ComparedPlatform]) -> Option<String> {
    let each = platforms.iter().map(|on| {
        let fingerprint = match &on.difference {
            Difference::Records { old, .. } => &old.fingerprint,
            Difference::SameTag => &stage.on(&on.platform)?.fingerprint,
            Difference::NotMade => return None,
        };
        Some((on.platform.clone(), fingerprint.clone()))
    });
    let each: Vec<(Platform, Digest)> = each.collect::<Option<_>>()?;
    Some(combined(&each)?.short(TAG_DIGITS).to_owned())
}

struct Comparison<'a> {
    session: &'a Session<'a>,
    records: &'a Records<'a>,
    prepared: &'a Prepared,
    registry: &'a Registry,
    /// Whether fingerprints of parents are left out.
    is_brief: bool,
    /// Whether it is told what the manifests name: once, not for each platform.
    tells: bool,
}

impl Comparison<'_> {
    /// What differs on a platform between a stage and the other image, and the platforms of that, if there are several of
    /// either.
    fn difference(
        &self,
        stage: &Stage,
        on: &PlatformStage,
        query: &RecordQuery,
    ) -> Result<(Difference, BTreeSet<Platform>), Error> {
        let name = &stage.name;
        let is_tagged = |fingerprint| query.is_tagged_by(name, fingerprint);
        if is_tagged(&stage.fingerprint) || is_tagged(&on.fingerprint) {
            return Ok((Difference::SameTag, BTreeSet::new()));
        }
        let found = self.records.find_on_platform(std::slice::from_ref(query));
        let found = found.map_err(|said| {
            unknown_record(format!("`{}`", query.reference), said, Comparing::Why)
        })?;
        let (old, platforms) = if stage.has_several_platforms() {
            let platforms = found.all_platforms();
            (found.only_on(&on.platform), platforms)
        } else {
            (found.found, found.platforms)
        };
        let difference = match old {
            None => Difference::NotMade,
            Some(old) => Difference::Records {
                lines: self.lines(&old, on),
                old: Box::new(old),
            },
        };
        Ok((difference, platforms))
    }

    /// The other image, and where its reference comes from.
    fn query(&self, stage: &Stage, against: Against<'_>) -> Result<(RecordQuery, NamedBy), Error> {
        let (project, name) = (&self.session.project, &stage.name);
        let named = match against {
            Against::Reference(text) => {
                let by = Comparing::Why;
                let reference: Reference = text
                    .parse()
                    .map_err(|error| UsageError::NotAReference { error, by })?;
                let query = RecordQuery::of_reference(project, &reference);
                return Ok((query, NamedBy::Person(text.to_owned())));
            }
            Against::Tag(tag) => {
                let query = RecordQuery::of_tag(project, &self.registry.prefix, name, tag);
                let query = query.ok_or_else(|| UsageError::NotATag(tag.to_owned()))?;
                return Ok((query, NamedBy::Person(tag.to_owned())));
            }
            Against::Manifests => {
                Manifests::of(self.session, Some(&self.registry.name))?.named()?
            }
        };
        if let Some(reference) = self.named(name, &named) {
            let query = RecordQuery::of_reference(project, &reference);
            return Ok((query, NamedBy::Manifests));
        }
        let below = self.below(stage, &named);
        let below = below.ok_or_else(|| UsageError::NotNamed {
            registry: self.registry.name.clone(),
            image: name.clone(),
        })?;
        Ok((below, NamedBy::ManifestsAbove))
    }

    /// The reference of `image` in the manifests, the first one if they name several. A placeholder for an image that
    /// was never built does not count.
    fn named(&self, image: &str, named: &[Named]) -> Option<Reference> {
        let is_built = |named: &&Named| {
            let tag = named.reference.tag.as_deref();
            named.image == image
                && (named.reference.digest.is_some()
                    || tag.is_some_and(|tag| !tag.ends_with(UNBUILT)))
        };
        let mut several: Vec<(&Reference, &Place)> = Vec::new();
        for named in named.iter().filter(is_built) {
            if several.iter().all(|(other, _)| **other != named.reference) {
                several.push((&named.reference, &named.place));
            }
        }
        if several.len() > 1 && self.tells {
            let note = ManifestNote::SeveralNamed {
                image,
                named: &several,
            };
            self.session.events.note(Note::Manifest(note));
        }
        several.first().map(|(reference, _)| (*reference).clone())
    }

    /// Finds a stage that no manifest names: its fingerprint is in the record of a descendant that a manifest names.
    fn below(&self, stage: &Stage, named: &[Named]) -> Option<RecordQuery> {
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
            let query = RecordQuery::of_reference(project, &reference);
            let prefix = prefix_of(project, name, &reference).unwrap_or(&self.registry.prefix);
            let found = self.records.find_on_platform(&[query]);
            let found = found.ok().and_then(|found| found.found);
            let fingerprint =
                found.and_then(|found| self.parent_in(&found.record, &stage.name, prefix));
            if let Some(fingerprint) = fingerprint {
                return RecordQuery::of_stage(project, prefix, &stage.name, &fingerprint);
            }
        }
        None
    }

    /// The fingerprint of an ancestor named `stage` in a record, or in the records of the parents that the record
    /// lists.
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
            let query = RecordQuery::of_stage(&self.session.project, prefix, name, fingerprint)?;
            let found = self.records.find(&[query]).ok()?;
            self.parent_in(&found.record, stage, prefix)
        })
    }

    /// The differences between two records.
    fn lines(&self, old: &FoundRecord, new: &PlatformStage) -> Vec<String> {
        let of_old = prefix_of(&self.session.project, old.stage(), &old.wanted.reference);
        let prefix = &*self.registry.prefix;
        let explainer = Explainer {
            session: self.session,
            records: self.records,
            prefixes: [of_old.unwrap_or(prefix), prefix],
            is_brief: self.is_brief,
        };
        explainer.lines(&old.record, &new.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{
        compare::tests::kept_records,
        testing::{Project, Recorder, pods},
        workspace::LockPolicy,
    };

    /// A project with an empty manifest.
    fn project() -> Project {
        Project::with_manifests(&[("a.yml", "")])
    }

    fn name_in_manifest(project: &Project, images: &[&str]) {
        project.write("a.yml", &pods(images));
    }

    /// The result of [`why`], and the events.
    fn asked(
        project: &Project,
        image: &str,
        against: Against<'_>,
    ) -> (Result<Why, Error>, Vec<String>) {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::Offline);
        let registry = session.registry(None).unwrap();
        let why = why(&session, &services, registry, image, against);
        let told = events.told().into_iter();
        let told = told.filter(|line| line != "wrote sparkpack.lock");
        (why, told.collect())
    }

    fn usage(project: &Project, against: Against<'_>) -> UsageError {
        match asked(project, "job", against).0.err() {
            Some(Error::Usage(error)) => error,
            other => panic!("it is no error of usage: {other:?}"),
        }
    }

    fn same_tag(project: &Project, image: &str, against: Against<'_>) -> NamedBy {
        match asked(project, image, against).0.unwrap().answer {
            WhyAnswer::SameTag(named_by) => named_by,
            WhyAnswer::Compared(compared) => panic!("compared with {}", compared.old),
        }
    }

    #[test]
    fn the_tag_of_this_checkout_needs_no_record() {
        let project = project();
        let tag = kept_records(&project, "job");
        let reference = format!("registry.example/small/job:{tag}");
        name_in_manifest(&project, &[&reference]);
        assert_eq!(
            same_tag(&project, "base", Against::Manifests),
            NamedBy::ManifestsAbove,
            "which the record of what the manifests name says"
        );
        fs_err::remove_dir_all(project.path("dist")).unwrap();
        let person = |text: &str| NamedBy::Person(text.to_owned());
        assert_eq!(
            same_tag(&project, "job", Against::Manifests),
            NamedBy::Manifests
        );
        let tagged = same_tag(&project, "job", Against::Tag(&tag));
        assert_eq!(tagged, person(&tag));
        let referred = same_tag(&project, "job", Against::Reference(&reference));
        assert_eq!(referred, person(&reference));
    }

    #[test]
    fn what_changed_is_told_down_to_the_file() {
        let project = project();
        let (job, base) = (
            kept_records(&project, "job"),
            kept_records(&project, "base"),
        );
        name_in_manifest(&project, &[&format!("registry.example/small/job:{job}")]);
        project.write("base.txt", "other\n");
        for (image, old_tag) in [("job", job), ("base", base)] {
            let (why, told) = asked(&project, image, Against::Manifests);
            let why = why.unwrap();
            assert_eq!(told, [""; 0]);
            let WhyAnswer::Compared(compared) = why.answer else {
                panic!("{image} has changed");
            };
            assert_eq!(compared.old, old_tag);
            let Difference::Records { old, lines } = &compared.platforms[0].difference else {
                panic!("its record was kept");
            };
            assert_eq!(old.wanted.reference.tag.as_deref(), Some(&*old_tag));
            assert_ne!(old.fingerprint, why.new[0].fingerprint());
            let last = lines.last().unwrap();
            assert!(last.contains("base.txt"), "{last}");
        }
    }

    #[test]
    fn the_only_platform_of_the_old_image_is_left_out_if_this_checkouts_are_others() {
        let project = project();
        let tag = kept_records(&project, "job");
        let platforms = "platforms = [\"linux/arm64\", \"linux/s390x\"]";
        let name = "project = \"small\"";
        project.edit("sparkpack.toml", name, &format!("{name}\n{platforms}"));
        let why = asked(&project, "job", Against::Tag(&tag)).0.unwrap();
        let WhyAnswer::Compared(compared) = why.answer else {
            panic!("the platforms have changed");
        };
        assert_eq!(compared.old, tag);
        assert_eq!(compared.removed, [Platform::default()]);
        let mut differences = compared.platforms.iter().map(|on| &on.difference);
        assert!(differences.all(|difference| matches!(difference, Difference::NotMade)));
    }

    #[test]
    fn of_several_that_the_manifests_name_the_first_is_taken_and_all_are_told() {
        let project = project();
        let tag = kept_records(&project, "job");
        let reference = format!("registry.example/small/job:{tag}");
        let other = "registry.example/small/job:0123456789abcdef";
        name_in_manifest(&project, &[&reference, other, &reference]);
        let (why, told) = asked(&project, "job", Against::Manifests);
        assert!(matches!(why.unwrap().answer, WhyAnswer::SameTag(_)));
        assert_eq!(
            told,
            [format!(
                "job: the manifests name {reference} (a.yml:6:14), {other} (a.yml:13:14)"
            )]
        );
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        let project = project();
        assert!(matches!(
            usage(&project, Against::Reference("http://a/b")),
            UsageError::NotAReference {
                by: Comparing::Why,
                ..
            }
        ));
        assert!(matches!(
            usage(&project, Against::Tag("a:b")),
            UsageError::NotATag(tag) if tag == "a:b"
        ));
        assert!(matches!(
            usage(&project, Against::Manifests),
            UsageError::NotNamed { registry, image } if registry == "main" && image == "job"
        ));
        // A placeholder that was never rewritten names no image that was built.
        let unbuilt = format!("registry.example/small/job:{UNBUILT}");
        name_in_manifest(&project, &[&unbuilt]);
        assert!(matches!(
            usage(&project, Against::Manifests),
            UsageError::NotNamed { .. }
        ));
        assert!(matches!(
            usage(&project, Against::Tag("0123456789abcdef")),
            UsageError::UnknownRecord {
                by: Comparing::Why,
                ..
            }
        ));
    }
}
