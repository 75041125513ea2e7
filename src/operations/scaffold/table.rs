//! The templates of a project, and which project has which of them.

use super::kinds::{Ci, Layout, SparkOperator};
use Condition::{NotOperator, Operator, WithoutOperator};

/// What a project has to be like to have a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    Operator(SparkOperator),
    NotOperator(SparkOperator),
    Ci(Ci),
    Layout(Layout),
    /// It does not build the operator's image.
    WithoutOperator,
}

/// A file of a project, before `@words@` are filled in.
pub(super) struct Template {
    /// Where it lies in the project.
    pub(super) path: &'static str,
    pub(super) text: &'static str,
    /// All of these have to hold.
    pub(super) when: &'static [Condition],
}

macro_rules! templates {
    ($($path:literal $file:literal $when:expr,)*) => {
        /// All templates.
        pub(super) const TEMPLATES: &[Template] = &[
            $(Template {
                path: $path,
                text: include_str!(concat!("../../../templates/", $file)),
                when: $when,
            },)*
        ];
    };
}

const JOBS: &[Condition] = &[Condition::Layout(Layout::Jobs)];
const PACKAGE: &[Condition] = &[Condition::Layout(Layout::Package)];
const KUBEFLOW: &[Condition] = &[Operator(SparkOperator::Kubeflow)];
const APACHE: &[Condition] = &[Operator(SparkOperator::Apache)];
const STACKABLE: &[Condition] = &[Operator(SparkOperator::Stackable)];
/// Stackable's operator makes the accounts of jobs, and the manifests of an operator of one's own have them.
const ACCOUNTS: &[Condition] = &[NotOperator(SparkOperator::Stackable), WithoutOperator];

templates! {
    ".gitattributes" "shared/gitattributes" &[],
    ".gitignore" "shared/gitignore" &[],
    ".pre-commit-config.yaml" "shared/pre-commit-config.yaml" &[],
    "README.md" "shared/README.md" &[],
    "sparkpack.toml" "shared/sparkpack.toml" &[],
    "tests/conftest.py" "tests/conftest.py" &[],
    "tests/test_jobs.py" "tests/test_jobs.py" &[],

    "pytest.ini" "jobs-layout/pytest.ini" JOBS,
    "requirements.txt" "jobs-layout/requirements.txt" JOBS,
    "requirements-dev.txt" "jobs-layout/requirements-dev.txt" JOBS,
    "src/main.py" "code/main.py" JOBS,
    "src/jobs/__init__.py" "code/empty.py" JOBS,
    "src/jobs/revenue.py" "code/jobs/revenue.py" JOBS,
    "src/jobs/shares.py" "code/jobs/shares.py" JOBS,
    "src/shared/__init__.py" "code/empty.py" JOBS,
    "src/shared/orders.py" "code/shared/orders.py" JOBS,
    "src/shared/output.py" "code/shared/output.py" JOBS,
    "src/shared/data/orders.csv" "code/shared/data/orders.csv" JOBS,

    "pyproject.toml" "package-layout/pyproject.toml" PACKAGE,
    "src/main.py" "code/start.py" PACKAGE,
    "src/@package@/__init__.py" "code/version.py" PACKAGE,
    "src/@package@/cli.py" "code/main.py" PACKAGE,
    "src/@package@/jobs/__init__.py" "code/empty.py" PACKAGE,
    "src/@package@/jobs/revenue.py" "code/jobs/revenue.py" PACKAGE,
    "src/@package@/jobs/shares.py" "code/jobs/shares.py" PACKAGE,
    "src/@package@/shared/__init__.py" "code/empty.py" PACKAGE,
    "src/@package@/shared/orders.py" "code/shared/orders.py" PACKAGE,
    "src/@package@/shared/output.py" "code/shared/output.py" PACKAGE,
    "src/@package@/shared/data/orders.csv" "code/shared/data/orders.csv" PACKAGE,

    "kubernetes/once-off/namespace.yml" "kubeflow/namespace.yml" ACCOUNTS,
    "kubernetes/revenue.yml" "kubeflow/revenue.yml" KUBEFLOW,
    "kubernetes/shares-daily.yml" "kubeflow/shares-daily.yml" KUBEFLOW,
    "kubernetes/revenue.yml" "apache/revenue.yml" APACHE,
    "kubernetes/shares.yml" "apache/shares.yml" APACHE,
    "kubernetes/once-off/namespace.yml" "stackable/namespace.yml" STACKABLE,
    "kubernetes/revenue.yml" "stackable/revenue.yml" STACKABLE,
    "kubernetes/shares.yml" "stackable/shares.yml" STACKABLE,

    ".github/workflows/images.yml" "github/images.yml" &[Condition::Ci(Ci::Github)],
    ".gitlab-ci.yml" "gitlab/gitlab-ci.yml" &[Condition::Ci(Ci::Gitlab)],
}

/// The manifests of kubeflow's operator, as the example project has them.
pub(super) const OPERATOR: [(&str, &str); 2] = [
    (
        "kubernetes/once-off/spark-operator-rbac.yml",
        include_str!("../../../example-project/kubernetes/once-off/spark-operator-rbac.yml"),
    ),
    (
        "kubernetes/once-off/spark-operator.yml",
        include_str!("../../../example-project/kubernetes/once-off/spark-operator.yml"),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_template_is_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut texts = BTreeSet::new();
        for entry in walkdir::WalkDir::new(folder) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                texts.insert(fs_err::read_to_string(entry.path()).unwrap());
            }
        }
        let known = TEMPLATES.iter().map(|template| template.text.to_owned());
        assert_eq!(known.collect::<BTreeSet<_>>(), texts);
    }
}
