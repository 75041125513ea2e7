//! Where Kubernetes objects name their images: the table.

use std::{collections::HashSet, sync::LazyLock};

use Step::{Each, Key};

/// The merge key of YAML 1.1, which Kubernetes' own readers follow.
pub(super) const MERGE: &str = "<<";

/// One step from a node to a node below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of a mapping's key.
    Key(&'static str),
    /// Every item of a sequence.
    Each,
}

/// A kind of object and the paths at which it names images: the prefix followed by each of the tails.
#[derive(Debug)]
pub(super) struct Kind {
    /// The API group, empty for the core one: `apiVersion` without the version.
    group: &'static str,
    /// `kind`.
    pub(super) name: &'static str,
    /// To the object that the tails start from.
    pub(super) prefix: &'static [Step],
    /// From there to the images.
    pub(super) tails: &'static [&'static [Step]],
}

const fn kind(
    group: &'static str,
    name: &'static str,
    prefix: &'static [Step],
    tails: &'static [&'static [Step]],
) -> Kind {
    Kind {
        group,
        name,
        prefix,
        tails,
    }
}

/// Below a pod's `spec`.
const POD: &[&[Step]] = &[
    &[Key("containers"), Each, Key("image")],
    &[Key("initContainers"), Each, Key("image")],
];

/// Below the `spec` of a `SparkApplication` of the kubeflow operator.
const SPARK: &[&[Step]] = &[
    &[Key("image")],
    &[Key("driver"), Key("image")],
    &[Key("executor"), Key("image")],
];

const SPEC: &[Step] = &[Key("spec")];
const TEMPLATE: &[Step] = &[Key("spec"), Key("template")];
const POD_TEMPLATE: &[Step] = &[Key("spec"), Key("template"), Key("spec")];
const JOB_TEMPLATE: &[Step] = &[
    Key("spec"),
    Key("jobTemplate"),
    Key("spec"),
    Key("template"),
    Key("spec"),
];

/// Group and kind decide, never the kind alone: three groups have a `SparkApplication`, each with other rules.
const TABLE: &[Kind] = &[
    kind("sparkoperator.k8s.io", "SparkApplication", SPEC, SPARK),
    kind(
        "sparkoperator.k8s.io",
        "ScheduledSparkApplication",
        TEMPLATE,
        SPARK,
    ),
    kind("", "Pod", SPEC, POD),
    kind("apps", "Deployment", POD_TEMPLATE, POD),
    kind("apps", "StatefulSet", POD_TEMPLATE, POD),
    kind("apps", "DaemonSet", POD_TEMPLATE, POD),
    kind("apps", "ReplicaSet", POD_TEMPLATE, POD),
    kind("batch", "Job", POD_TEMPLATE, POD),
    kind("batch", "CronJob", JOB_TEMPLATE, POD),
];

/// The keys that a document's tree has to keep: all others lead to no image.
static KEYS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let steps = TABLE
        .iter()
        .flat_map(|kind| kind.tails.iter().chain([&kind.prefix]))
        .copied()
        .flatten();
    let keys = steps.filter_map(|step| match step {
        Key(key) => Some(*key),
        Each => None,
    });
    keys.chain(["apiVersion", "kind", MERGE]).collect()
});

/// The kind with this `apiVersion` and `kind`, if it is in the table.
pub(super) fn kind_of(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    TABLE
        .iter()
        .find(|entry| entry.group == group && entry.name == kind)
}

/// The key as the table has it, if it can lead to an image.
pub(super) fn known_key(key: &str) -> Option<&'static str> {
    KEYS.get(key).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_decides_with_the_kind() {
        let name = |api_version, kind| kind_of(api_version, kind).map(|kind| kind.name);
        assert_eq!(name("v1", "Pod"), Some("Pod"));
        assert_eq!(name("batch/v1beta1", "CronJob"), Some("CronJob"));
        assert_eq!(
            name("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
            Some("SparkApplication")
        );
        assert_eq!(name("spark.apache.org/v1", "SparkApplication"), None);
        assert_eq!(name("v1", "Deployment"), None);
        assert_eq!(name("serving.knative.dev/v1", "Pod"), None);
    }
}
