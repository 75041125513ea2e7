//! The rules for finding images: the table, and the project's additions.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use super::{
    keys::{ITEMS, KUSTOMIZE_KEYS, MERGE, PART_KEYS, TAG_SUFFIX},
    local_paths,
    places::{Form, KUSTOMIZE, ObjectKind, Step, TABLE},
};
#[cfg(test)]
use crate::project::template::ReferenceTemplate;
use crate::project::{ConfiguredPlace, ImageMatcher, PathStep};

/// What is looked for in manifests.
#[derive(Debug)]
pub struct PlaceRules<'p> {
    /// The images of the project, which marks can name.
    pub(super) images: Vec<&'p str>,
    /// The repositories of the project's images.
    pub(super) matcher: &'p ImageMatcher,
    /// What is looked at, by API group and kind.
    groups: HashMap<&'p str, HashMap<&'p str, Vec<KindRule<'p>>>>,
    /// The keys that a document's tree has to keep: all others lead to no image.
    keys: HashSet<&'p str>,
}

/// The paths to the images of one kind, from the table or from the configuration.
#[derive(Debug)]
pub(super) struct KindRule<'p> {
    pub(super) kind: &'p str,
    pub(super) form: Form,
    pub(super) paths: Vec<Vec<Step<'p>>>,
    /// The entry of the table; `None` for a configured place.
    pub(super) entry: Option<&'static ObjectKind>,
    /// The number of the configured place.
    pub(super) configured: Option<usize>,
}

impl<'p> PlaceRules<'p> {
    /// The table, with the places that the project has configured, the names of its images and their repositories.
    #[must_use]
    pub fn new(
        places: &'p [ConfiguredPlace],
        images: impl IntoIterator<Item = &'p str>,
        matcher: &'p ImageMatcher,
    ) -> Self {
        let mut rules = Self {
            images: images.into_iter().collect(),
            matcher,
            groups: HashMap::new(),
            keys: ["apiVersion", "kind", ITEMS, MERGE].into_iter().collect(),
        };
        rules.keys.extend(KUSTOMIZE_KEYS);
        rules.keys.insert(TAG_SUFFIX);
        rules.keys.extend(PART_KEYS);
        for kind in TABLE {
            rules.add(
                kind.group,
                KindRule {
                    kind: kind.name,
                    form: kind.form,
                    paths: kind.paths().collect(),
                    entry: Some(kind),
                    configured: None,
                },
            );
            rules.keep_keys(kind.spark_version.unwrap_or_default());
            local_paths::paths(kind).for_each(|steps| rules.keep_keys(steps));
        }
        for (number, place) in places.iter().enumerate() {
            let steps = place.path.iter().map(|step| match step {
                PathStep::Key(key) => Step::Key(key),
                PathStep::Each => Step::Each,
            });
            rules.add(
                &place.group,
                KindRule {
                    kind: &place.kind,
                    form: Form::Either,
                    paths: vec![steps.collect()],
                    entry: None,
                    configured: Some(number),
                },
            );
        }
        rules
    }

    fn add(&mut self, group: &'p str, rule: KindRule<'p>) {
        for path in &rule.paths {
            self.keep_keys(path);
        }
        let group = self.groups.entry(group).or_default();
        group.entry(rule.kind).or_default().push(rule);
    }

    fn keep_keys(&mut self, steps: &[Step<'p>]) {
        self.keys.extend(steps.iter().filter_map(|step| match step {
            Step::Key(key) => Some(*key),
            Step::Each => None,
        }));
    }

    /// The rules' own copy of the key, if it can lead to an image.
    pub(super) fn known_key(&self, key: &str) -> Option<&'p str> {
        self.keys.get(key).copied()
    }

    /// What is looked at in objects with this `apiVersion` and `kind`.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<&[KindRule<'p>]> {
        // kustomize's own transformers say `builtin`, without a version.
        let group = match api_version.rsplit_once('/') {
            Some((group, _)) => group,
            None if api_version == BUILTIN => BUILTIN,
            None => "",
        };
        let group = self.groups.get(group)?;
        group.get(kind).map(Vec::as_slice)
    }

    /// What is looked at in a file that kustomize knows by its name.
    pub(super) fn kustomization(&self, file: &Path) -> Option<&[KindRule<'p>]> {
        let name = file.file_name()?.to_str()?;
        matches!(
            name,
            "kustomization.yaml" | "kustomization.yml" | "Kustomization"
        )
        .then(|| {
            self.groups
                .get(KUSTOMIZE)?
                .get("Kustomization")
                .map(Vec::as_slice)
        })?
    }
}

const BUILTIN: &str = "builtin";

/// Whether an object is a list of others: `List`, or one of a kind, `PodList`.
pub(super) fn is_list(kind: &str) -> bool {
    kind.ends_with("List")
}

/// The repositories `reg:5000/team/job` and `reg:5000/team/side`, and those of the properties' team.
#[cfg(test)]
pub(super) fn test_matcher() -> &'static ImageMatcher {
    static MATCHER: std::sync::LazyLock<ImageMatcher> = std::sync::LazyLock::new(|| {
        let images = ["job", "side", "a/b", "x_y-z"].map(str::to_owned);
        let registries = ["reg:5000/team", "registry.example:5000/team"].map(str::to_owned);
        let template = ReferenceTemplate::parse("{registry}/{image}:{fingerprint}");
        ImageMatcher::of("p", &registries, &images, &template.unwrap())
    });
    &MATCHER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_decides_with_the_kind() {
        let rules = PlaceRules::new(&[], [], test_matcher());
        let name = |api_version, kind| rules.kind(api_version, kind).map(|rule| rule[0].kind);
        assert_eq!(name("v1", "Pod"), Some("Pod"));
        assert_eq!(name("batch/v1beta1", "CronJob"), Some("CronJob"));
        assert_eq!(
            name("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
            Some("SparkApplication")
        );
        assert_eq!(
            name("spark.apache.org/v1", "SparkApplication"),
            Some("SparkApplication")
        );
        assert_eq!(name("spark.example/v1", "SparkApplication"), None);
        assert_eq!(name("v1", "Deployment"), None);
        assert_eq!(name("serving.knative.dev/v1", "Pod"), None);
    }
}
