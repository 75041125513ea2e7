use super::{
    scan::{is_of, name_of},
    tree::{Tree, folder_of},
};

/// The jar by which a Spark is known.
const CORE: &str = "spark-core_";

/// The Spark of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparkFacts {
    /// Its folder, as `SPARK_HOME` names it, or as it was found.
    pub home: String,
    /// The folder with its jars, at the end of all links.
    pub jars: String,
    /// Its version as Apache numbers it: `3.5.8`.
    pub version: String,
    /// What a vendor added to the version: `-amzn-1`.
    pub suffix: String,
    /// The binary version of its Scala: `2.12`.
    pub scala: String,
    /// Where its own Python packages are, for `PYTHONPATH`: the folder with `pyspark`, then `Py4J` by its real name.
    pub python_path: Vec<String>,
    /// The folders of others that are there as well, and are not used.
    pub others: Vec<String>,
}

impl SparkFacts {
    /// The Spark in a folder; `None` if it has none.
    pub(super) fn at(tree: &Tree, home: &str) -> Option<Self> {
        let found = Self::of(tree, Some(home))?;
        (found.home == home).then_some(found)
    }

    /// The Spark that the programs of an image use; `None` if it has none.
    pub(super) fn of(tree: &Tree, spark_home: Option<&str>) -> Option<Self> {
        let jars: Vec<Jars> = tree.paths().filter_map(Jars::of).collect();
        let named = spark_home
            .filter(|home| home.starts_with('/'))
            .and_then(|home| {
                let folder = tree.resolve(&format!("{home}/jars"))?.path;
                let own = jars.iter().find(|jars| jars.folder == folder)?;
                Some((home.trim_end_matches('/').to_owned(), own))
            });
        let (home, chosen) = named.or_else(|| {
            let usual = jars.iter().find(|jars| jars.folder == "opt/spark/jars");
            let chosen = usual.or(jars.first())?;
            Some((format!("/{}", folder_of(&chosen.folder)), chosen))
        })?;
        let others = jars.iter().filter(|jars| jars.folder != chosen.folder);
        let others = others.map(|jars| format!("/{}", folder_of(&jars.folder)));
        Some(Self {
            jars: format!("/{}", chosen.folder),
            version: chosen.version.clone(),
            suffix: chosen.suffix.clone(),
            scala: chosen.scala.clone(),
            python_path: python_path(tree, &home),
            others: others.collect(),
            home,
        })
    }
}

/// A folder with the jars of a Spark.
struct Jars {
    folder: String,
    scala: String,
    version: String,
    suffix: String,
}

impl Jars {
    /// The folder that a jar with this path shows.
    fn of(path: &str) -> Option<Self> {
        let folder = folder_of(path);
        if name_of(folder) != "jars" {
            return None;
        }
        let name = name_of(path).strip_prefix(CORE)?.strip_suffix(".jar")?;
        let (scala, version) = name.split_once('-')?;
        let is_part = |character: char| character.is_ascii_digit() || character == '.';
        let end = version.find(|character| !is_part(character));
        let (version, suffix) = version.split_at(end.unwrap_or(version.len()));
        let is_whole = version.split('.').filter(|part| !part.is_empty()).count() == 3;
        (is_whole && !scala.is_empty()).then(|| Self {
            folder: folder.to_owned(),
            scala: scala.to_owned(),
            version: version.to_owned(),
            suffix: suffix.to_owned(),
        })
    }
}

/// Where Spark's own Python packages are. Those of a Spark that pip installed are in its `site-packages` already.
fn python_path(tree: &Tree, home: &str) -> Vec<String> {
    let python = format!("{home}/python");
    let lib = format!("{python}/lib");
    let names = tree.names_in(&lib);
    let zip = |begin: &str| {
        let found = names
            .iter()
            .find(|name| name.starts_with(begin) && is_of(name, "zip"));
        found.map(|name| format!("{lib}/{name}"))
    };
    let mut found = Vec::new();
    if tree.is_folder(&format!("{python}/pyspark")) {
        found.push(python.clone());
    } else {
        found.extend(zip("pyspark"));
    }
    found.extend(zip("py4j-"));
    found
}
