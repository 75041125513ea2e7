use std::collections::BTreeSet;

use super::{
    Distribution, JavaFacts, Libc, PythonFacts, SparkFacts, Tree,
    python::distributions,
    scan::{is_of, normal},
};
use crate::image::{ImageConfig, ImageError, Program};

/// Where commands are looked for if an image does not say it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Scripts that start scripts are read no further than this.
const SCRIPTS_LIMIT: usize = 16;

/// The folders that files are put into.
const TARGETS: [&str; 2] = ["/opt/job/site-packages", "/opt/ds/site-packages"];

/// What is in an image from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFacts {
    /// Its Spark.
    pub spark: Option<SparkFacts>,
    /// Its Java.
    pub java: Option<JavaFacts>,
    /// Its Python; if it has none, what was looked for.
    pub python: Result<PythonFacts, String>,
    /// The packages of its Python.
    pub distributions: Vec<Distribution>,
    /// Its C library.
    pub libc: Libc,
    /// The user that it runs as, as its config has it.
    pub user: String,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Whether its entrypoint knows the words `driver` and `executor`, with which Kubernetes starts Spark.
    pub knows_roles: bool,
    /// Its `PYTHONPATH`.
    pub python_path: Option<String>,
    /// Its distribution, as `debian 12`.
    pub system: Option<String>,
    /// A program of it, with the machine that it is for.
    pub program: Option<Program>,
    /// What is in the place of a folder that files have to be put into.
    pub in_the_way: Option<String>,
}

impl ContentFacts {
    /// The facts about the image with this config and these files. Spark's folder and those of Python's packages are
    /// looked for unless they are named.
    ///
    /// # Errors
    /// The config is malformed.
    pub fn of(
        config: &ImageConfig,
        tree: &Tree,
        spark_home: Option<&str>,
        site_packages: &[String],
    ) -> Result<Self, ImageError> {
        let variables = config.variables()?;
        let search = variables.get("PATH").map_or(PATH, String::as_str);
        let user = config.user()?.unwrap_or_default();
        let entrypoint = config.entrypoint()?;
        let spark = match spark_home {
            Some(home) => SparkFacts::at(tree, home),
            None => SparkFacts::of(tree, variables.get("SPARK_HOME").map(String::as_str)),
        };
        let java = JavaFacts::of(tree, &variables, search);
        let python = PythonFacts::of(tree, &variables, search, number_of(tree, &user));
        let beginning = |path: &str| tree.file(path).and_then(|(_, content)| content);
        let found = python
            .as_ref()
            .map(|python| python.site_packages.as_slice());
        let folders = match site_packages {
            [] => found.unwrap_or_default(),
            named => named,
        };
        let interpreter = python.as_ref().ok().map(|python| python.program.clone());
        let of_java = java.as_ref().map(|java| format!("{}/bin/java", java.home));
        let programs = interpreter.iter().chain(&of_java);
        let mut programs = programs.filter_map(|path| {
            let machine = Program::machine_of(beginning(path)?)?;
            Some(Program {
                path: path.clone(),
                machine,
            })
        });
        let jars = spark.as_ref().map(|spark| format!("{}/x.jar", spark.jars));
        let mut targets = TARGETS.iter().copied().chain(jars.as_deref());
        Ok(Self {
            distributions: distributions(tree, folders),
            libc: Libc::of(tree, interpreter.as_deref().and_then(beginning)),
            knows_roles: knows_roles(tree, &entrypoint, search),
            python_path: variables.get("PYTHONPATH").cloned(),
            system: system(tree),
            program: programs.next(),
            in_the_way: targets.find_map(|folder| tree.not_a_folder(folder)),
            spark,
            java,
            python,
            user,
            entrypoint,
        })
    }
}

/// The number of a user, of which an image's config has the number or the name; without one it is root.
fn number_of(tree: &Tree, user: &str) -> u64 {
    let name = user.split(':').next().unwrap_or_default();
    if name.is_empty() {
        return 0;
    }
    if let Ok(number) = name.parse() {
        return number;
    }
    let passwd = tree.text("etc/passwd").unwrap_or_default();
    let lines = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.filter(|fields| fields.first() == Some(&name));
    let mut numbers = found.filter_map(|fields| fields.get(2)?.parse().ok());
    numbers.next().unwrap_or(u64::MAX)
}

/// Whether one of the scripts that an entrypoint starts, on whatever way, tells drivers from executors.
fn knows_roles(tree: &Tree, entrypoint: &[String], search: &str) -> bool {
    let mut queue: Vec<String> = entrypoint.iter().rev().cloned().collect();
    let mut read = BTreeSet::new();
    while let Some(word) = queue.pop() {
        let Some(program) = tree.program(&word, search) else {
            continue;
        };
        if read.len() >= SCRIPTS_LIMIT || !read.insert(program.path.clone()) {
            continue;
        }
        let Some(text) = tree.text(&program.path) else {
            continue;
        };
        let words: Vec<&str> = text
            .split(|character: char| !(character.is_alphanumeric() || "/_-.".contains(character)))
            .collect();
        if words.contains(&"driver") && words.contains(&"executor") {
            return true;
        }
        let scripts = words
            .iter()
            .filter(|word| word.starts_with('/') || is_of(word, "sh"));
        queue.extend(scripts.map(|word| (*word).to_owned()));
    }
    false
}

/// The distribution, by its own description.
fn system(tree: &Tree) -> Option<String> {
    let text = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| tree.text(&normal(path)))?;
    let value = |key: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID")?;
    Some(match value("VERSION_ID") {
        Some(version) => format!("{id} {version}"),
        None => id,
    })
}
