//! The table of the places where Kubernetes objects name their images.

use Step::{Each, Key};

use super::path::key_path;

/// One step from a node to a node below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The value of a mapping's key.
    Key(&'a str),
    /// Every item of a sequence.
    Each,
}

pub(super) type Steps = &'static [Step<'static>];

/// How an image is written at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A scalar with the whole reference.
    Reference,
    /// An entry of kustomize's `images`: `name`, `newName`, `newTag`, `digest`.
    Kustomize,
    /// A scalar with the whole reference, or a mapping with its parts.
    Either,
}

/// A kind of object and the paths to its images.
#[derive(Debug)]
pub(super) struct ObjectKind {
    /// The API group, empty for the core one: `apiVersion` without the version.
    pub(super) group: &'static str,
    /// `kind`.
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// The paths to its images, grouped by their beginning.
    groups: &'static [PathGroup],
    /// The path to the Spark version that the object states. Every kind of a Spark operator has one, and no other kind.
    pub(super) spark_version: Option<Steps>,
    /// Its operator refuses images in `sparkConf`.
    pub(super) refuses_properties: bool,
    /// Where containers stand in too many places to list: the `image` of each one below this path counts.
    pub(super) containers_below: Option<&'static str>,
}

/// Paths with a common beginning.
#[derive(Debug)]
struct PathGroup {
    prefix: &'static [Steps],
    tails: &'static [Steps],
}

impl ObjectKind {
    /// Every path from the object to an image.
    pub(super) fn paths(&self) -> impl Iterator<Item = Vec<Step<'static>>> {
        self.groups.iter().flat_map(|group| {
            group.tails.iter().map(|tail| {
                let segments = group.prefix.iter().chain([tail]);
                segments
                    .flat_map(|segment| segment.iter().copied())
                    .collect()
            })
        })
    }

    /// The groups of paths: the beginning, and what follows it.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Vec<Step<'static>>, &'static [Steps])> {
        self.groups.iter().map(|group| {
            let prefix = group.prefix.iter();
            let prefix = prefix.flat_map(|segment| segment.iter().copied());
            (prefix.collect(), group.tails)
        })
    }

    const fn with_spark_version(self, steps: Steps) -> Self {
        Self {
            spark_version: Some(steps),
            ..self
        }
    }

    const fn with_containers_below(self, path: &'static str) -> Self {
        Self {
            containers_below: Some(path),
            ..self
        }
    }

    const fn refusing_properties(self) -> Self {
        Self {
            refuses_properties: true,
            ..self
        }
    }
}

const fn kind(group: &'static str, name: &'static str, groups: &'static [PathGroup]) -> ObjectKind {
    ObjectKind {
        group,
        name,
        form: Form::Reference,
        groups,
        spark_version: None,
        refuses_properties: false,
        containers_below: None,
    }
}

const fn kustomize(name: &'static str) -> ObjectKind {
    ObjectKind {
        form: Form::Kustomize,
        ..kind(KUSTOMIZE, name, IMAGES)
    }
}

const IMAGES: &[PathGroup] = &[paths_below(&[], &[&[Key("images"), Each]])];

/// The API group of kustomize's files, in which `apiVersion` is optional.
pub(super) const KUSTOMIZE: &str = "kustomize.config.k8s.io";

const fn paths_below(prefix: &'static [Steps], tails: &'static [Steps]) -> PathGroup {
    PathGroup { prefix, tails }
}

/// Below a pod's `spec`. `volumes[].rbd.image` is a block device, not a container's image.
pub(super) const POD: &[Steps] = &[
    &[Key("containers"), Each, Key("image")],
    &[Key("initContainers"), Each, Key("image")],
    &[Key("ephemeralContainers"), Each, Key("image")],
    IMAGE_VOLUME,
];

const IMAGE_VOLUME: Steps = &[Key("volumes"), Each, Key("image"), Key("reference")];

/// Below the `spec` of a `SparkApplication` of the kubeflow operator.
const SPARK: &[Steps] = &[
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
const PROPERTIES: &[Steps] = &[
    &[Key("spark.kubernetes.container.image")],
    &[Key("spark.kubernetes.driver.container.image")],
    &[Key("spark.kubernetes.executor.container.image")],
];

const SPEC: Steps = &[Key("spec")];
const TEMPLATE: Steps = &[Key("spec"), Key("template")];
const POD_TEMPLATE: Steps = &[Key("spec"), Key("template"), Key("spec")];
const JOB_TEMPLATE: Steps = &[
    Key("spec"),
    Key("jobTemplate"),
    Key("spec"),
    Key("template"),
    Key("spec"),
];
const SPARK_CONF: Steps = &[Key("sparkConf")];
const DRIVER_POD: Steps = &[Key("driver"), Key("template"), Key("spec")];
const EXECUTOR_POD: Steps = &[Key("executor"), Key("template"), Key("spec")];
const SERVER_POD: Steps = &[Key("server"), Key("template"), Key("spec")];

/// Argo's templates, below the field that holds them.
const TEMPLATES: Steps = &[Key("templates"), Each];
const ARGO: &[Steps] = &[
    &[Key("container"), Key("image")],
    &[Key("script"), Key("image")],
    &[Key("initContainers"), Each, Key("image")],
    &[Key("sidecars"), Each, Key("image")],
    &[Key("containerSet"), Key("containers"), Each, Key("image")],
    IMAGE_VOLUME,
];

const STACKABLE_SERVER: &[PathGroup] =
    &[paths_below(&[SPEC, &[Key("image")]], &[&[Key("custom")]])];

const ARGO_WORKFLOW: &[PathGroup] = &[paths_below(&[SPEC, TEMPLATES], ARGO)];

/// Group and kind decide, never the kind alone: three groups have a `SparkApplication`, each with other rules.
pub(super) const TABLE: &[ObjectKind] = &[
    kind(
        "sparkoperator.k8s.io",
        "SparkApplication",
        &[
            paths_below(&[SPEC], SPARK),
            paths_below(&[SPEC, SPARK_CONF], PROPERTIES),
            paths_below(&[SPEC, DRIVER_POD], POD),
            paths_below(&[SPEC, EXECUTOR_POD], POD),
        ],
    )
    .with_spark_version(&[Key("spec"), Key("sparkVersion")])
    .refusing_properties(),
    kind(
        "sparkoperator.k8s.io",
        "ScheduledSparkApplication",
        &[
            paths_below(&[TEMPLATE], SPARK),
            paths_below(&[TEMPLATE, SPARK_CONF], PROPERTIES),
            paths_below(&[TEMPLATE, DRIVER_POD], POD),
            paths_below(&[TEMPLATE, EXECUTOR_POD], POD),
        ],
    )
    .with_spark_version(&[Key("spec"), Key("template"), Key("sparkVersion")])
    .refusing_properties(),
    kind(
        "sparkoperator.k8s.io",
        "SparkConnect",
        &[
            paths_below(&[SPEC], &[&[Key("image")]]),
            paths_below(&[SPEC, SPARK_CONF], PROPERTIES),
            paths_below(&[SPEC, SERVER_POD], POD),
            paths_below(&[SPEC, EXECUTOR_POD], POD),
        ],
    )
    .with_spark_version(&[Key("spec"), Key("sparkVersion")]),
    kind(
        "spark.apache.org",
        "SparkApplication",
        &[
            paths_below(&[SPEC, SPARK_CONF], PROPERTIES),
            paths_below(
                &[
                    SPEC,
                    &[Key("driverSpec"), Key("podTemplateSpec"), Key("spec")],
                ],
                POD,
            ),
            paths_below(
                &[
                    SPEC,
                    &[Key("executorSpec"), Key("podTemplateSpec"), Key("spec")],
                ],
                POD,
            ),
        ],
    )
    .with_spark_version(&[Key("spec"), Key("runtimeVersions"), Key("sparkVersion")]),
    kind(
        "spark.apache.org",
        "SparkCluster",
        &[
            paths_below(&[SPEC, SPARK_CONF], PROPERTIES),
            paths_below(
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
            paths_below(
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
    )
    .with_spark_version(&[Key("spec"), Key("runtimeVersions"), Key("sparkVersion")]),
    kind(
        "spark.stackable.tech",
        "SparkApplication",
        &[paths_below(
            &[SPEC],
            &[&[Key("image")], &[Key("sparkImage"), Key("custom")]],
        )],
    )
    .with_spark_version(&[Key("spec"), Key("sparkImage"), Key("productVersion")])
    .with_containers_below("spec"),
    kind(
        "spark.stackable.tech",
        "SparkConnectServer",
        STACKABLE_SERVER,
    )
    .with_spark_version(&[Key("spec"), Key("image"), Key("productVersion")])
    .with_containers_below("spec"),
    kind(
        "spark.stackable.tech",
        "SparkHistoryServer",
        STACKABLE_SERVER,
    )
    .with_spark_version(&[Key("spec"), Key("image"), Key("productVersion")])
    .with_containers_below("spec"),
    kind("", "Pod", &[paths_below(&[SPEC], POD)]),
    kind(
        "",
        "PodTemplate",
        &[paths_below(&[&[Key("template"), Key("spec")]], POD)],
    ),
    kind(
        "",
        "ReplicationController",
        &[paths_below(&[POD_TEMPLATE], POD)],
    ),
    kind("apps", "Deployment", &[paths_below(&[POD_TEMPLATE], POD)]),
    kind("apps", "StatefulSet", &[paths_below(&[POD_TEMPLATE], POD)]),
    kind("apps", "DaemonSet", &[paths_below(&[POD_TEMPLATE], POD)]),
    kind("apps", "ReplicaSet", &[paths_below(&[POD_TEMPLATE], POD)]),
    kind("batch", "Job", &[paths_below(&[POD_TEMPLATE], POD)]),
    kind("batch", "CronJob", &[paths_below(&[JOB_TEMPLATE], POD)]),
    kind("argoproj.io", "Workflow", ARGO_WORKFLOW).with_containers_below("spec"),
    kind("argoproj.io", "WorkflowTemplate", ARGO_WORKFLOW).with_containers_below("spec"),
    kind("argoproj.io", "ClusterWorkflowTemplate", ARGO_WORKFLOW).with_containers_below("spec"),
    kind(
        "argoproj.io",
        "CronWorkflow",
        &[paths_below(
            &[SPEC, &[Key("workflowSpec")], TEMPLATES],
            ARGO,
        )],
    )
    .with_containers_below("spec.workflowSpec"),
    kustomize("Kustomization"),
    kustomize("Component"),
    ObjectKind {
        form: Form::Kustomize,
        ..kind(
            "builtin",
            "ImageTagTransformer",
            &[paths_below(&[], &[&[Key("imageTag")]])],
        )
    },
    ObjectKind {
        form: Form::Kustomize,
        ..kind(
            "kustomize.toolkit.fluxcd.io",
            "Kustomization",
            &[paths_below(&[SPEC], &[&[Key("images"), Each]])],
        )
    },
    ObjectKind {
        form: Form::Kustomize,
        ..kind(
            "helm.toolkit.fluxcd.io",
            "HelmRelease",
            &[paths_below(
                &[SPEC, &[Key("postRenderers"), Each]],
                &[&[Key("kustomize"), Key("images"), Each]],
            )],
        )
    },
];

/// The paths to the images of a kind of objects: `spec.driver.sidecars[].image`.
#[must_use]
pub fn paths(group: &str, kind: &str) -> Vec<String> {
    let kinds = TABLE
        .iter()
        .filter(|entry| entry.group == group && entry.name == kind);
    kinds
        .flat_map(ObjectKind::paths)
        .map(|steps| path(&steps))
        .collect()
}

/// A path as it is written in the configuration.
pub(super) fn path(steps: &[Step<'_>]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Key(key) => key_path(&path, key),
        Each => format!("{path}[]"),
    })
}
