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

/// A way through an object, in segments that several kinds share.
pub(super) type Segments = &'static [&'static [Step]];

/// A kind of object and the ways through it to its images.
#[derive(Debug)]
pub(super) struct Kind {
    /// The API group, empty for the core one: `apiVersion` without the version.
    group: &'static str,
    /// `kind`.
    pub(super) name: &'static str,
    /// From the object to what its groups of ways start from.
    ways: &'static [Way],
}

/// Ways with a common beginning.
#[derive(Debug)]
struct Way {
    prefix: Segments,
    tails: &'static [&'static [Step]],
}

impl Kind {
    /// Every way, in its segments.
    pub(super) fn ways(&self) -> impl Iterator<Item = Vec<&'static [Step]>> {
        self.ways.iter().flat_map(|way| {
            way.tails
                .iter()
                .map(|tail| way.prefix.iter().chain([tail]).copied().collect())
        })
    }
}

const fn kind(group: &'static str, name: &'static str, ways: &'static [Way]) -> Kind {
    Kind { group, name, ways }
}

const fn way(prefix: Segments, tails: &'static [&'static [Step]]) -> Way {
    Way { prefix, tails }
}

/// Below a pod's `spec`. `volumes[].rbd.image` is a block device, not a container's image.
const POD: &[&[Step]] = &[
    &[Key("containers"), Each, Key("image")],
    &[Key("initContainers"), Each, Key("image")],
    &[Key("ephemeralContainers"), Each, Key("image")],
    IMAGE_VOLUME,
];

const IMAGE_VOLUME: &[Step] = &[Key("volumes"), Each, Key("image"), Key("reference")];

/// Below the `spec` of a `SparkApplication` of the kubeflow operator.
const SPARK: &[&[Step]] = &[
    &[Key("image")],
    &[Key("driver"), Key("image")],
    &[Key("executor"), Key("image")],
    &[Key("driver"), Key("initContainers"), Each, Key("image")],
    &[Key("driver"), Key("sidecars"), Each, Key("image")],
    &[Key("executor"), Key("initContainers"), Each, Key("image")],
    &[Key("executor"), Key("sidecars"), Each, Key("image")],
    IMAGE_VOLUME,
];

/// Below `sparkConf`: Spark's own properties.
const PROPERTIES: &[&[Step]] = &[
    &[Key("spark.kubernetes.container.image")],
    &[Key("spark.kubernetes.driver.container.image")],
    &[Key("spark.kubernetes.executor.container.image")],
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
const SPARK_CONF: &[Step] = &[Key("sparkConf")];
const DRIVER_POD: &[Step] = &[Key("driver"), Key("template"), Key("spec")];
const EXECUTOR_POD: &[Step] = &[Key("executor"), Key("template"), Key("spec")];
const SERVER_POD: &[Step] = &[Key("server"), Key("template"), Key("spec")];

/// Argo's templates, below what holds them.
const TEMPLATES: &[Step] = &[Key("templates"), Each];
const ARGO: &[&[Step]] = &[
    &[Key("container"), Key("image")],
    &[Key("script"), Key("image")],
    &[Key("initContainers"), Each, Key("image")],
    &[Key("sidecars"), Each, Key("image")],
    &[Key("containerSet"), Key("containers"), Each, Key("image")],
    IMAGE_VOLUME,
];

const ARGO_WORKFLOW: &[Way] = &[way(&[SPEC, TEMPLATES], ARGO)];

/// Group and kind decide, never the kind alone: three groups have a `SparkApplication`, each with other rules.
const TABLE: &[Kind] = &[
    kind(
        "sparkoperator.k8s.io",
        "SparkApplication",
        &[
            way(&[SPEC], SPARK),
            way(&[SPEC, SPARK_CONF], PROPERTIES),
            way(&[SPEC, DRIVER_POD], POD),
            way(&[SPEC, EXECUTOR_POD], POD),
        ],
    ),
    kind(
        "sparkoperator.k8s.io",
        "ScheduledSparkApplication",
        &[
            way(&[TEMPLATE], SPARK),
            way(&[TEMPLATE, SPARK_CONF], PROPERTIES),
            way(&[TEMPLATE, DRIVER_POD], POD),
            way(&[TEMPLATE, EXECUTOR_POD], POD),
        ],
    ),
    kind(
        "sparkoperator.k8s.io",
        "SparkConnect",
        &[
            way(&[SPEC], &[&[Key("image")]]),
            way(&[SPEC, SPARK_CONF], PROPERTIES),
            way(&[SPEC, SERVER_POD], POD),
            way(&[SPEC, EXECUTOR_POD], POD),
        ],
    ),
    kind(
        "spark.apache.org",
        "SparkApplication",
        &[
            way(&[SPEC, SPARK_CONF], PROPERTIES),
            way(
                &[
                    SPEC,
                    &[Key("driverSpec"), Key("podTemplateSpec"), Key("spec")],
                ],
                POD,
            ),
            way(
                &[
                    SPEC,
                    &[Key("executorSpec"), Key("podTemplateSpec"), Key("spec")],
                ],
                POD,
            ),
        ],
    ),
    kind(
        "spark.apache.org",
        "SparkCluster",
        &[
            way(&[SPEC, SPARK_CONF], PROPERTIES),
            way(
                &[
                    SPEC,
                    &[
                        Key("masterSpec"),
                        Key("statefulSetSpec"),
                        Key("template"),
                        Key("spec"),
                    ],
                ],
                POD,
            ),
            way(
                &[
                    SPEC,
                    &[
                        Key("workerSpec"),
                        Key("statefulSetSpec"),
                        Key("template"),
                        Key("spec"),
                    ],
                ],
                POD,
            ),
        ],
    ),
    kind(
        "spark.stackable.tech",
        "SparkApplication",
        &[way(
            &[SPEC],
            &[&[Key("image")], &[Key("sparkImage"), Key("custom")]],
        )],
    ),
    kind("", "Pod", &[way(&[SPEC], POD)]),
    kind(
        "",
        "PodTemplate",
        &[way(&[&[Key("template"), Key("spec")]], POD)],
    ),
    kind("", "ReplicationController", &[way(&[POD_TEMPLATE], POD)]),
    kind("apps", "Deployment", &[way(&[POD_TEMPLATE], POD)]),
    kind("apps", "StatefulSet", &[way(&[POD_TEMPLATE], POD)]),
    kind("apps", "DaemonSet", &[way(&[POD_TEMPLATE], POD)]),
    kind("apps", "ReplicaSet", &[way(&[POD_TEMPLATE], POD)]),
    kind("batch", "Job", &[way(&[POD_TEMPLATE], POD)]),
    kind("batch", "CronJob", &[way(&[JOB_TEMPLATE], POD)]),
    kind("argoproj.io", "Workflow", ARGO_WORKFLOW),
    kind("argoproj.io", "WorkflowTemplate", ARGO_WORKFLOW),
    kind("argoproj.io", "ClusterWorkflowTemplate", ARGO_WORKFLOW),
    kind(
        "argoproj.io",
        "CronWorkflow",
        &[way(&[SPEC, &[Key("workflowSpec")], TEMPLATES], ARGO)],
    ),
];

/// The list of objects that `kubectl get -o yaml` writes.
pub(super) const ITEMS: &str = "items";

/// Whether an object is a list of others: `List`, or one of a kind, `PodList`.
pub(super) fn is_list(kind: &str) -> bool {
    kind.ends_with("List")
}

/// The keys that a document's tree has to keep: all others lead to no image.
static KEYS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let steps = TABLE.iter().flat_map(Kind::ways).flatten().flatten();
    let keys = steps.filter_map(|step| match step {
        Key(key) => Some(*key),
        Each => None,
    });
    keys.chain(["apiVersion", "kind", ITEMS, MERGE]).collect()
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
        assert_eq!(
            name("spark.apache.org/v1", "SparkApplication"),
            Some("SparkApplication")
        );
        assert_eq!(name("spark.example/v1", "SparkApplication"), None);
        assert_eq!(name("v1", "Deployment"), None);
        assert_eq!(name("serving.knative.dev/v1", "Pod"), None);
    }
}
