//! What projects differ in.

/// A Spark operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SparkOperator {
    Kubeflow,
    Apache,
    Stackable,
}

/// A CI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ci {
    Github,
    Gitlab,
}

/// How the code lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `src/jobs`, `src/shared`.
    Jobs,
    /// A package with a pyproject.toml.
    Package,
}
