//! Which Spark and which Python the jobs have, and from which image.

use super::{
    image_name::short,
    manifests::Manifest,
    remark::{Fact, Remark, shown},
    survey::ProjectSurvey,
    tree::{is_kind, name_of},
};
use crate::project::{
    place::Place,
    requirements::{PythonRange, Requirement},
};

/// The Spark of a project of which nothing says one, and the last of each line, the preferred ones first.
const SPARKS: [&str; 11] = [
    "4.1.4", "4.3.0", "4.2.1", "4.0.5", "3.5.9", "3.4.4", "3.3.4", "3.2.4", "3.1.3", "3.0.3",
    "2.4.8",
];

/// A root image with its Python and a Java that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootImage {
    /// `None` is the usual one.
    pub(super) image: Option<&'static str>,
    pub(super) python: (u8, u8),
    /// `None` is the usual one.
    pub(super) java: Option<&'static str>,
}

/// The root images that are tried, the usual one first.
const ROOTS: [RootImage; 5] = [
    RootImage {
        image: None,
        python: (3, 11),
        java: None,
    },
    RootImage {
        image: Some("debian:trixie-slim"),
        python: (3, 13),
        java: Some("21"),
    },
    RootImage {
        image: Some("debian:bullseye-slim"),
        python: (3, 9),
        java: None,
    },
    RootImage {
        image: Some("debian:bullseye-slim"),
        python: (3, 9),
        java: Some("11"),
    },
    RootImage {
        image: Some("debian:buster-slim"),
        python: (3, 7),
        java: Some("11"),
    },
];

/// What the chain is made of.
#[derive(Clone, Debug)]
pub(super) enum ChainPlan {
    /// Spark on a root image.
    Made {
        spark: String,
        /// Where the version is from; `None` if it is assumed.
        from: Option<Place>,
        roots: Vec<RootImage>,
        /// What limits Python.
        python: Option<PythonRange>,
        /// Whether a Dockerfile of the project makes its base.
        has_own: bool,
    },
    /// An image from elsewhere.
    Elsewhere { image: String, from: Place },
}

/// A version of Spark that something states.
type Stated = (String, Place);

impl ChainPlan {
    /// The chain of the project. An image from elsewhere that manifests name is it; `has_own` says that Dockerfiles of the
    /// project make what jobs stand on.
    pub(super) fn of(survey: &ProjectSurvey, has_own: bool) -> Self {
        let public = public_images(&survey.manifests).into_iter().next();
        if let Some((image, from)) = public.filter(|_| !has_own) {
            return Self::Elsewhere { image, from };
        }
        let (spark, from) = match spark_of(survey) {
            Some((spark, place)) => (spark, Some(place)),
            None => (SPARKS[0].to_owned(), None),
        };
        let python = python_of(survey);
        let allowed = ROOTS.into_iter().filter(|root| {
            python
                .as_ref()
                .is_none_or(|range| range.allows(root.python))
        });
        let mut roots: Vec<RootImage> = allowed.collect();
        if roots.is_empty() {
            roots = ROOTS.to_vec();
            let is_old = |range: &PythonRange| (2..=8).any(|minor| range.allows((3, minor)));
            if python.as_ref().is_some_and(is_old) {
                roots.reverse();
            }
        }
        Self::Made {
            spark,
            from,
            roots,
            python,
            has_own,
        }
    }
}

/// The Python that the project says it is for.
fn python_of(survey: &ProjectSurvey) -> Option<PythonRange> {
    let files = survey.requirements.found.iter();
    let mut read = files.filter_map(|found| found.read.as_ref().ok()?.python.clone());
    read.next()
}

/// The version of Spark: that of a lock or a pin, else that of manifests, else what a Dockerfile downloads, else the
/// newest that a range allows.
pub(super) fn spark_of(survey: &ProjectSurvey) -> Option<Stated> {
    let required = survey.requirements.spark();
    let pinned =
        required.and_then(|(_, spark)| Some((spark.pinned()?.to_owned(), spark.place.clone())));
    pinned
        .filter(|(version, _)| is_whole(version))
        .or_else(|| in_locks(survey))
        .or_else(|| in_manifests(&survey.manifests))
        .or_else(|| in_dockerfiles(survey))
        .or_else(|| anywhere(survey))
        .or_else(|| in_range(required?.1))
}

fn in_manifests(manifests: &[Manifest]) -> Option<Stated> {
    let versions = manifests.iter().flat_map(|manifest| &manifest.versions);
    let mut whole = versions.filter(|(_, version)| is_whole(version));
    whole
        .next()
        .map(|(place, version)| (version.clone(), place.clone()))
}

/// A lock has PySpark in a group that jobs do not get, since the image has it.
fn in_locks(survey: &ProjectSurvey) -> Option<Stated> {
    let locks = survey
        .tree
        .files()
        .filter(|path| ["uv.lock", "poetry.lock"].contains(&name_of(path)));
    locks.filter(|path| !path.contains('/')).find_map(|path| {
        let text = survey.tree.text(path)?;
        let mut lines = text.lines().enumerate();
        lines.find(|(_, line)| *line == "name = \"pyspark\"")?;
        let (index, line) = lines.next()?;
        let version = line.strip_prefix("version = \"")?.strip_suffix('"')?;
        is_whole(version).then(|| (version.to_owned(), Place::of_line(path, index + 1)))
    })
}

/// A version of PySpark in a file that is not read otherwise, or in a group of it that jobs do not get.
fn anywhere(survey: &ProjectSurvey) -> Option<Stated> {
    let names = [
        "pyproject.toml",
        "Pipfile",
        "setup.py",
        "setup.cfg",
        "environment.yml",
        "environment.yaml",
    ];
    let files = survey.tree.files().filter(|path| {
        names.contains(path) || is_kind(path, "txt") && path.contains("requirements")
    });
    files.into_iter().find_map(|path| {
        let text = survey.tree.text(path)?;
        text.lines().enumerate().find_map(|(index, line)| {
            let (_, rest) = line.split_once("pyspark")?;
            let rest = rest.split_once(']').map_or(rest, |(extras, rest)| {
                if extras.starts_with('[') {
                    rest
                } else {
                    extras
                }
            });
            let rest = rest.trim_start_matches(['"', '\'', ' ', '=', '{', '^', '~', 'v']);
            let rest = rest.strip_prefix("ersion = \"").unwrap_or(rest);
            let end = rest.find(|of: char| !of.is_ascii_digit() && of != '.');
            let version = &rest[..end.unwrap_or(rest.len())];
            is_whole(version).then(|| (version.to_owned(), Place::of_line(path, index + 1)))
        })
    })
}

fn in_dockerfiles(survey: &ProjectSurvey) -> Option<Stated> {
    let names = ["SPARK_VERSION", "PYSPARK_VERSION", "SPARK_VER"];
    let mut dockerfiles = survey.dockerfiles.found.iter();
    let of_argument = dockerfiles.find_map(|found| {
        let (line, version) = found.value(&names)?;
        is_whole(&version).then(|| (version, found.at(line)))
    });
    of_argument.or_else(|| {
        let value = names
            .iter()
            .find_map(|name| survey.commands.variables.get(name))?;
        let place = survey
            .commands
            .builds
            .first()
            .map(|build| build.place.clone())?;
        is_whole(&value).then_some((value, place))
    })
}

fn in_range(spark: &Requirement) -> Option<Stated> {
    let version = SPARKS.iter().find(|version| spark.allows(version))?;
    (!spark.specifiers.is_empty()).then(|| ((*version).to_owned(), spark.place.clone()))
}

/// The images that many use and that manifests of Spark name: no code is in them.
pub(super) fn public_images(manifests: &[Manifest]) -> Vec<(String, Place)> {
    let names = manifests.iter().flat_map(Manifest::names);
    let public = names.filter(|(image, name)| image.is_spark && name.is_public());
    let shown = public.map(|(image, _)| {
        let text = image.reference.to_string();
        (short(&text).to_owned(), image.place.clone())
    });
    shown.collect()
}

/// Where the versions of Spark that the project states differ.
pub(super) fn contradictions(survey: &ProjectSurvey, chosen: &str, from: &Place) -> Vec<Remark> {
    let in_manifests = survey
        .manifests
        .iter()
        .flat_map(|manifest| &manifest.versions);
    let required = survey
        .requirements
        .spark()
        .and_then(|(_, spark)| Some((spark.place.clone(), spark.pinned()?.to_owned())));
    let mut told: Vec<Remark> = Vec::new();
    for (place, version) in in_manifests.cloned().chain(required) {
        if is_whole(&version) && version != chosen && told.len() < 3 {
            let text = format!("Spark is {version} here, and {chosen} at {}", shown(from));
            told.push(Remark::at(&place, text).cure("let both name the same version"));
        }
    }
    told
}

/// `3.5.8`, and not `3.5` or an expression.
fn is_whole(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}

/// The facts that a chain follows from.
pub(super) fn facts(plan: &ChainPlan) -> Vec<Fact> {
    match plan {
        ChainPlan::Made {
            spark,
            from: Some(from),
            python,
            ..
        } => {
            let range = python
                .iter()
                .map(|range| Fact::new("python", &range.text, &range.place));
            std::iter::once(Fact::new("spark", spark, from))
                .chain(range)
                .collect()
        }
        ChainPlan::Made { python, .. } => {
            let range = python
                .iter()
                .map(|range| Fact::new("python", &range.text, &range.place));
            range.collect()
        }
        ChainPlan::Elsewhere { image, from } => vec![Fact::new("spark image", image, from)],
    }
}
