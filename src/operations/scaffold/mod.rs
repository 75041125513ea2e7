//! Makes the files of a new project from `templates/`.

mod kinds;
mod table;

pub(crate) use kinds::{Ci, Layout, SparkOperator};

use std::path::{Path, PathBuf};

use table::{Condition, TEMPLATES};

use crate::{
    adapters::store::TemporaryFolder,
    error::{Error, ScaffoldError},
};

/// The versions of a new project.
const SPARK: &str = "4.1.4";
const PYTHON: &str = "3.11";

/// The image of Stackable that jobs stand on, and its Spark: their operator runs no other.
const STACKABLE: (&str, &str) = (
    "oci.stackable.tech/sdp/spark-k8s:4.0.1-stackable25.11.0",
    "4.0.1",
);

/// The published image that has the operator's binary.
const OPERATOR: &str = "ghcr.io/kubeflow/spark-operator/controller:2.5.2";

/// The longest name: it is a namespace, a label of DNS, and a part of others.
const LONGEST_NAME: usize = 40;

/// What a new project is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewProject<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) operator: SparkOperator,
    /// Whether it builds the operator's own image.
    pub(crate) with_operator: bool,
    pub(crate) ci: Ci,
    pub(crate) layout: Layout,
}

/// Makes the project, all of it or nothing, and returns the paths of its files.
///
/// # Errors
/// Its folder is not empty, its name is none, or the disk's.
pub(crate) fn scaffold(project: &NewProject<'_>) -> Result<Vec<String>, Error> {
    let folder = project.folder;
    if folder.exists() && !is_empty(folder)? {
        return Err(ScaffoldError::NotEmpty(folder.to_owned()).into());
    }
    if project.with_operator && project.operator != SparkOperator::Kubeflow {
        return Err(ScaffoldError::NoOperator.into());
    }
    let files = files(project)?;
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs_err::create_dir_all(parent)?;
    let temporary = TemporaryFolder::within(parent)?;
    for (path, text) in &files {
        let path = temporary.path().join(path);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::write(path, text)?;
    }
    readable(temporary.path())?;
    // Onto an empty folder too.
    fs_err::rename(temporary.path(), folder)?;
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Temporary folders are their owner's alone, and a project is as every folder is.
fn readable(temporary: &Path) -> Result<(), Error> {
    let made = temporary.join("kubernetes");
    let permissions = fs_err::metadata(made)?.permissions();
    Ok(fs_err::set_permissions(temporary, permissions)?)
}

fn is_empty(folder: &Path) -> Result<bool, Error> {
    if !folder.is_dir() {
        return Ok(false);
    }
    Ok(fs_err::read_dir(folder)?.next().is_none())
}

/// The files by their paths.
fn files(project: &NewProject<'_>) -> Result<Vec<(String, String)>, Error> {
    let words = Words::of(project)?;
    let mut files: Vec<(String, String)> = TEMPLATES
        .iter()
        .filter(|template| {
            template
                .when
                .iter()
                .all(|condition| condition.holds(project))
        })
        .map(|template| (words.fill(template.path), words.fill(template.text)))
        .collect();
    if project.with_operator {
        files.extend(words.operators_files());
    }
    files.sort();
    Ok(files)
}

impl Condition {
    fn holds(self, project: &NewProject<'_>) -> bool {
        match self {
            Self::Operator(operator) => project.operator == operator,
            Self::NotOperator(operator) => project.operator != operator,
            Self::Ci(ci) => project.ci == ci,
            Self::Layout(layout) => project.layout == layout,
            Self::WithoutOperator => !project.with_operator,
        }
    }
}

/// What stands in templates for what differs from project to project.
struct Words {
    name: String,
    words: Vec<(&'static str, String)>,
}

impl Words {
    fn of(project: &NewProject<'_>) -> Result<Self, Error> {
        let name = name_of(project.folder)?;
        let package = name.replace('-', "_");
        let is_package = project.layout == Layout::Package;
        let is_stackable = project.operator == SparkOperator::Stackable;
        let spark = if is_stackable { STACKABLE.1 } else { SPARK };
        let chain = if is_stackable {
            format!(
                "image = \"{}\"   # Stackable's operator runs its own Spark",
                STACKABLE.0
            )
        } else {
            format!("spark = \"{spark}\"\npython = \"{PYTHON}\"")
        };
        let operator = if project.with_operator {
            format!("\n[chains.main.operator]\nimage = \"{OPERATOR}\"\n")
        } else {
            String::new()
        };
        let (install, requirements) = if is_package {
            ("pip install -e '.[dev]'", "pyproject.toml")
        } else {
            ("pip install -r requirements-dev.txt", "requirements.txt")
        };
        let code = if is_package {
            format!("src/{package}/")
        } else {
            "src/".to_owned()
        };
        let (ci, settings) = ci(project.ci);
        let words = vec![
            (
                "prefix",
                if is_package {
                    format!("{package}.")
                } else {
                    String::new()
                },
            ),
            ("package", package),
            ("chain", chain),
            ("operator", operator),
            ("spark", spark.to_owned()),
            ("python", PYTHON.to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("install", install.to_owned()),
            ("requirements_file", requirements.to_owned()),
            ("requirements", format!("{requirements:<23}")),
            ("code", format!("{code:<23}")),
            ("cluster", cluster(project)),
            ("watch", watch(project.operator).to_owned()),
            ("ci", ci.to_owned()),
            ("settings", settings.to_owned()),
        ];
        Ok(Self { name, words })
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = text.replace("@name@", &self.name);
        for (word, value) in &self.words {
            filled = filled.replace(&format!("@{word}@"), value);
        }
        // The operator's manifest has the name, and so have the commands that install it.
        filled.replace("@name@", &self.name)
    }

    /// The manifests of kubeflow's operator in the image that the project builds: the example's.
    fn operators_files(&self) -> Vec<(String, String)> {
        table::OPERATOR
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.replace("penguins", &self.name)))
            .collect()
    }
}

/// The CI's file, and what it has to be told.
fn ci(ci: Ci) -> (&'static str, &'static str) {
    match ci {
        Ci::Github => (
            "`.github/workflows/images.yml`",
            "the variables `REGISTRY` (the host) and `REGISTRY_USER` and the secret `REGISTRY_PASSWORD`, in the\n\
             settings of the repository, or of its environment `registry`, which other branches than `main` can be kept from",
        ),
        Ci::Gitlab => (
            "`.gitlab-ci.yml`",
            "the CI/CD variables `REGISTRY` (the host), `REGISTRY_USER` and `REGISTRY_PASSWORD`, the last\n\
             one masked and protected, so that other branches than `main` do not have it",
        ),
    }
}

/// The lines of the README that lead to an operator.
fn cluster(project: &NewProject<'_>) -> String {
    let install = match project.operator {
        SparkOperator::Kubeflow if project.with_operator => return "Once for each cluster, the CRDs of the operator's release, and the operator in the image that this project builds:\n\n    release=https://raw.githubusercontent.com/kubeflow/spark-operator/v2.5.2/charts/spark-operator-chart/crds\n    for kind in sparkapplications scheduledsparkapplications sparkconnects; do\n      kubectl apply --server-side -f $release/sparkoperator.k8s.io_$kind.yaml\n    done".to_owned(),
        SparkOperator::Kubeflow => "helm repo add spark-operator https://kubeflow.github.io/spark-operator\n    helm install spark-operator spark-operator/spark-operator --namespace spark-operator --create-namespace \\\n      --set 'spark.jobNamespaces={@name@}'",
        SparkOperator::Apache => "helm repo add spark https://apache.github.io/spark-kubernetes-operator\n    helm install spark spark/spark-kubernetes-operator --namespace spark-operator --create-namespace \\\n      --set 'workloadResources.namespaces.data={@name@}'",
        SparkOperator::Stackable => "stackablectl operator install commons secret listener spark-k8s",
    };
    format!("Once for each cluster, the operator, and where the jobs run:\n\n    {install}")
}

/// The line of the README that shows a job's state.
fn watch(operator: SparkOperator) -> &'static str {
    match operator {
        SparkOperator::Kubeflow | SparkOperator::Stackable => {
            "    kubectl -n @name@ get sparkapplication revenue --watch"
        }
        SparkOperator::Apache => "    kubectl -n @name@ get sparkapp revenue --watch",
    }
}

/// The name of the project: the last part of its folder.
fn name_of(folder: &Path) -> Result<String, Error> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_name = name.len() <= LONGEST_NAME
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.ends_with(is_plain)
        && !name.contains("--")
        && name.chars().all(|letter| is_plain(letter) || letter == '-');
    if is_name && !KEYWORDS.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(ScaffoldError::Name {
        folder: PathBuf::from(folder),
        near: near(name),
    }
    .into())
}

/// Names that no package of Python can have, or that would hide one which the jobs need.
const KEYWORDS: [&str; 19] = [
    "and", "class", "continue", "def", "del", "for", "from", "global", "if", "import", "in", "is",
    "jobs", "lambda", "not", "or", "pyspark", "pass", "shared",
];

/// The nearest name that one may have.
fn near(name: &str) -> Option<String> {
    if !name.is_ascii() {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let parts = lower.split(|letter: char| !letter.is_ascii_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let joined: String = parts.join("-").chars().take(LONGEST_NAME).collect();
    let joined = joined.trim_matches('-').to_owned();
    let is_usable = joined.starts_with(|letter: char| letter.is_ascii_lowercase());
    (is_usable && !KEYWORDS.contains(&&*joined)).then_some(joined)
}
