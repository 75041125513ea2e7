//! Where the objects of Spark operators name files of their own image.

use super::places::{ObjectKind, Step, Steps};
use Step::{Each, Key};

/// Where kubeflow's objects name files, below their specification.
const KUBEFLOW: [Steps; 5] = [
    &[Key("mainApplicationFile")],
    &[Key("deps"), Key("jars"), Each],
    &[Key("deps"), Key("files"), Each],
    &[Key("deps"), Key("pyFiles"), Each],
    &[Key("deps"), Key("archives"), Each],
];

/// Where Apache's objects name files, several in a value.
const APACHE: [Steps; 3] = [&[Key("pyFiles")], &[Key("jars")], &[Key("files")]];

/// Where volumes lie in the pods, below the specification: their files are not the image's.
pub(super) const MOUNTS: [Steps; 8] = [
    &[Key("driver"), Key("volumeMounts"), Each, Key("mountPath")],
    &[Key("executor"), Key("volumeMounts"), Each, Key("mountPath")],
    &[Key("driver"), Key("configMaps"), Each, Key("path")],
    &[Key("driver"), Key("secrets"), Each, Key("path")],
    &[
        Key("driver"),
        Key("template"),
        Key("spec"),
        Key("containers"),
        Each,
        Key("volumeMounts"),
        Each,
        Key("mountPath"),
    ],
    &[Key("job"), Key("volumeMounts"), Each, Key("mountPath")],
    &[
        Key("driver"),
        Key("config"),
        Key("volumeMounts"),
        Each,
        Key("mountPath"),
    ],
    &[
        Key("driverSpec"),
        Key("podTemplateSpec"),
        Key("spec"),
        Key("containers"),
        Each,
        Key("volumeMounts"),
        Each,
        Key("mountPath"),
    ],
];

const SPEC: Steps = &[Key("spec")];
const TEMPLATE: Steps = &[Key("spec"), Key("template")];

/// Whether a value is a file of the image itself.
pub(super) fn is_local(value: &str) -> bool {
    value.starts_with("local:")
}

/// The path to the specification, and the paths to the files below it.
pub(super) fn files_of(group: &str, kind: &str) -> Option<(Steps, &'static [Steps])> {
    match (group, kind) {
        ("sparkoperator.k8s.io", "SparkApplication") => Some((SPEC, &KUBEFLOW)),
        ("sparkoperator.k8s.io", "ScheduledSparkApplication") => Some((TEMPLATE, &KUBEFLOW)),
        ("spark.apache.org", "SparkApplication") => Some((SPEC, &APACHE)),
        ("spark.stackable.tech", "SparkApplication") => Some((SPEC, &KUBEFLOW[..1])),
        _ => None,
    }
}

/// Every path to the files and the volumes of a kind.
pub(super) fn paths(kind: &ObjectKind) -> impl Iterator<Item = Steps> {
    let known = files_of(kind.group, kind.name).into_iter();
    known.flat_map(|(spec, files)| {
        [spec]
            .into_iter()
            .chain(files.iter().copied())
            .chain(MOUNTS)
    })
}
