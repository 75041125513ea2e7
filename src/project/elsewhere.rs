//! Chains whose base and `py` are an image from elsewhere: what the configuration says of it, and what was found in it,
//! which the lock keeps.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    place::{Defect, Place},
    requirements::Pin,
    wheel::normalise,
};
use crate::{
    code::Code,
    image::{ContentFacts, Digest, Libc, SparkFacts},
};

/// An image from elsewhere, and what the configuration says of it: each of the optional values replaces what would be
/// found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElsewhereChain {
    /// The image, as it is written.
    pub image: String,
    /// Where it is written.
    pub place: Place,
    /// Spark's version.
    pub spark: Option<Override<String>>,
    /// The binary version of Scala.
    pub scala: Option<Override<String>>,
    /// Java's major version.
    pub java: Option<Override<String>>,
    /// Python's version, major and minor.
    pub python: Option<Override<(u8, u8)>>,
    /// The version of the GNU C library.
    pub glibc: Option<Override<(u8, u8)>>,
    /// Spark's folder.
    pub spark_home: Option<Override<String>>,
    /// The folders with the packages of its Python.
    pub site_packages: Option<Override<Vec<String>>>,
    /// The names of the packages that bind a job.
    pub binding: Option<Override<Vec<String>>>,
    /// What the platform that runs the image brings, so that the image need not have it.
    pub supplied: BTreeSet<Supplied>,
}

/// A value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// What a platform can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Supplied {
    /// Spark, with its own Python packages.
    Spark,
    /// The Python that runs a job.
    Python,
}

impl ElsewhereChain {
    /// The chain of an image of which nothing else is said.
    #[must_use]
    pub fn of(image: &str, place: Place) -> Self {
        Self {
            image: image.to_owned(),
            place,
            spark: None,
            scala: None,
            java: None,
            python: None,
            glibc: None,
            spark_home: None,
            site_packages: None,
            binding: None,
            supplied: BTreeSet::new(),
        }
    }

    /// What decides where is looked in its image.
    #[must_use]
    pub fn looked_at(&self) -> LookedAt {
        LookedAt {
            spark_home: value(self.spark_home.as_ref()),
            site_packages: value(self.site_packages.as_ref()).unwrap_or_default(),
        }
    }
}

fn value<T: Clone>(of: Option<&Override<T>>) -> Option<T> {
    of.map(|of| of.value.clone())
}

/// The folders that the configuration named when an image was looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LookedAt {
    /// Spark's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark_home: Option<String>,
    /// Those of Python's packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub site_packages: Vec<String>,
}

/// What was found in an image from elsewhere, for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedContents {
    /// The digest in the lock of the image that was looked into.
    pub digest: Digest,
    /// The digest of the manifest for the platform; none if only a daemon has the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// Its distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Its Java's major version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub java: Option<String>,
    /// Its Python, major and minor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Why it has no Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_python: Option<String>,
    /// The version of its GNU C library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
    /// Whether its C library is musl.
    #[serde(default, skip_serializing_if = "is_false")]
    pub musl: bool,
    /// The user that it runs as.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Whether its entrypoint knows `driver` and `executor`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub knows_roles: bool,
    /// What is in the place of a folder that files have to be put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_the_way: Option<String>,
    /// The folders of its Python's packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub site_packages: Vec<String>,
    /// What is installed there, and binds a job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binding: Vec<String>,
    /// What merely came along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installed: Vec<String>,
    /// The folders that the configuration named.
    #[serde(default, skip_serializing_if = "is_default")]
    pub looked_at: LookedAt,
    /// Its Spark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark: Option<LockedSpark>,
}

/// The Spark of an image from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSpark {
    /// Its version.
    pub version: String,
    /// What a vendor added to the version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// The binary version of its Scala.
    pub scala: String,
    /// Its folder.
    pub home: String,
    /// The folder of its jars, at the end of all links.
    pub jars: String,
    /// Where its own Python packages are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python_path: Vec<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_default(value: &LookedAt) -> bool {
    *value == LookedAt::default()
}

impl LockedContents {
    /// What the lock keeps of the facts about the image with this digest.
    #[must_use]
    pub fn of(facts: &ContentFacts, digest: Digest, chain: &ElsewhereChain) -> Self {
        let (binding, installed) = by_binding(facts);
        let python = facts.python.as_ref();
        Self {
            digest,
            manifest: None,
            system: facts.system.clone(),
            java: facts.java.as_ref().and_then(|java| java.version.clone()),
            python: python.ok().and_then(|python| python.version).map(dotted),
            no_python: python.err().cloned(),
            glibc: match facts.libc {
                Libc::Glibc(version) => version.map(dotted),
                Libc::Musl | Libc::Unknown => None,
            },
            musl: facts.libc == Libc::Musl,
            user: facts.user.clone(),
            knows_roles: facts.knows_roles,
            in_the_way: facts.in_the_way.clone(),
            site_packages: python
                .map_or_else(|_| Vec::new(), |python| python.site_packages.clone()),
            binding,
            installed,
            looked_at: chain.looked_at(),
            spark: facts.spark.as_ref().map(LockedSpark::of),
        }
    }

    /// What stands for an image that was not looked into.
    #[must_use]
    pub fn unknown(digest: Digest, chain: &ElsewhereChain) -> Self {
        Self {
            digest,
            manifest: None,
            system: None,
            java: None,
            python: None,
            no_python: None,
            glibc: None,
            musl: false,
            user: String::new(),
            knows_roles: true,
            in_the_way: None,
            site_packages: Vec::new(),
            binding: Vec::new(),
            installed: Vec::new(),
            looked_at: chain.looked_at(),
            spark: None,
        }
    }

    /// What was found, in a few words.
    #[must_use]
    pub fn described(&self) -> String {
        let spark = self.spark.as_ref();
        let parts = [
            (
                "Spark",
                spark.map(|spark| format!("{}{}", spark.version, spark.suffix)),
            ),
            ("Scala", spark.map(|spark| spark.scala.clone())),
            ("Java", self.java.clone()),
            ("Python", self.python.clone()),
            ("glibc", self.glibc.clone()),
        ];
        let known = parts.into_iter();
        let known = known.filter_map(|(name, version)| Some(format!("{name} {}", version?)));
        let known: Vec<String> = known.collect();
        let packages = self.binding.len() + self.installed.len();
        format!("{} and {packages} packages", known.join(", "))
    }

    /// The packages that a job has to agree with.
    #[must_use]
    pub fn binding(&self, chain: &ElsewhereChain) -> Vec<Pin> {
        match &chain.binding {
            None => pins(&self.binding).collect(),
            Some(names) => {
                let names: Vec<String> = names.value.iter().map(|name| normalise(name)).collect();
                let all = pins(&self.binding).chain(pins(&self.installed));
                all.filter(|pin| names.contains(&pin.name)).collect()
            }
        }
    }

    /// All packages, whether a job has to agree with them or not.
    #[must_use]
    pub fn all_installed(&self) -> Vec<Pin> {
        pins(&self.binding).chain(pins(&self.installed)).collect()
    }

    /// Refuses an image on which nothing can be put.
    ///
    /// # Errors
    /// It has no Spark, no Python, another C library, or something in the way.
    pub fn check(&self, chain: &ElsewhereChain) -> Result<(), Defect> {
        let image = &chain.image;
        let lacks_spark = self.spark.is_none() && !chain.supplied.contains(&Supplied::Spark);
        let lacks_python = self
            .no_python
            .as_ref()
            .filter(|_| !chain.supplied.contains(&Supplied::Python));
        let (message, hint) = if self.musl {
            (
                format!(
                    "`{image}` has musl as its C library, for which most packages have no wheels"
                ),
                "name an image of Debian, Ubuntu or another distribution with the GNU C library"
                    .to_owned(),
            )
        } else if lacks_spark {
            (self.without_spark(image), supplied_hint("spark", "4.1.4"))
        } else if let Some(reason) = lacks_python {
            (
                format!("`{image}` has no Python: {reason}"),
                supplied_hint("python", "3.11"),
            )
        } else if self.python.is_none() && chain.python.is_none() {
            (
                format!("nothing in `{image}` tells the version of its Python"),
                "tell it: `python = \"3.11\"`, for a chain with `image`".to_owned(),
            )
        } else if let Some(path) = &self.in_the_way {
            (
                format!(
                    "`{path}` in `{image}` is no folder, and what is put below it would take its place"
                ),
                "make it a folder in that image".to_owned(),
            )
        } else {
            return Ok(());
        };
        Err(Defect::new(Code::E131, chain.place.clone(), message).hint(hint))
    }

    fn without_spark(&self, image: &str) -> String {
        match &self.looked_at.spark_home {
            Some(home) => {
                format!("`{image}` has no Spark in `{home}`: no `jars/spark-core_*.jar` in it")
            }
            None => format!("`{image}` has no Spark: no `spark-core_*.jar` in any folder `jars`"),
        }
    }

    /// What the configuration says otherwise than what was found, and an entrypoint that cannot be started by Spark.
    #[must_use]
    pub fn warnings(&self, chain: &ElsewhereChain) -> Vec<Defect> {
        let mut warnings = Vec::new();
        let mut compare = |key: &str, written: Option<(String, &Place)>, found: Option<&String>| {
            if let (Some((written, place)), Some(found)) = (written, found)
                && written != *found
            {
                let message = format!("`{key} = \"{written}\"`, and `{}` has {found}", chain.image);
                let hint = format!("remove `{key}`, unless what was found is wrong");
                warnings.push(Defect::new(Code::W135, place.clone(), message).hint(hint));
            }
        };
        for (key, written, found) in [
            (
                "spark",
                &chain.spark,
                self.spark.as_ref().map(|spark| &spark.version),
            ),
            (
                "scala",
                &chain.scala,
                self.spark.as_ref().map(|spark| &spark.scala),
            ),
            ("java", &chain.java, self.java.as_ref()),
        ] {
            let written = written.as_ref().map(|of| (of.value.clone(), &of.place));
            compare(key, written, found);
        }
        for (key, written, found) in [
            ("python", &chain.python, self.python.as_ref()),
            ("glibc", &chain.glibc, self.glibc.as_ref()),
        ] {
            let written = written.as_ref().map(|of| (dotted(of.value), &of.place));
            compare(key, written, found);
        }
        warnings.extend(self.unknown_binding(chain));
        if !self.knows_roles && !chain.supplied.contains(&Supplied::Spark) {
            let message = format!(
                "the entrypoint of `{}` does not know `driver` and `executor`, with which Spark starts pods on Kubernetes",
                chain.image
            );
            warnings.push(Defect::new(Code::W136, chain.place.clone(), message).hint(
                "give the image Spark's own `entrypoint.sh`, or start its jobs in another way",
            ));
        }
        warnings
    }

    fn unknown_binding(&self, chain: &ElsewhereChain) -> Option<Defect> {
        let names = chain.binding.as_ref()?;
        let there = self.all_installed();
        let is_there = |name: &&String| there.iter().any(|pin| pin.name == normalise(name));
        let unknown = names.value.iter().find(|name| !is_there(name))?;
        let message = format!(
            "`binding` names `{unknown}`, which `{}` does not have",
            chain.image
        );
        Some(
            Defect::new(Code::W135, names.place.clone(), message)
                .hint("remove it, or correct its name"),
        )
    }
}

fn supplied_hint(key: &str, version: &str) -> String {
    format!(
        "name another image; if the platform that runs it brings {key}, write `supplied = [\"{key}\"]` and `{key} = \"{version}\"`"
    )
}

impl LockedSpark {
    fn of(spark: &SparkFacts) -> Self {
        Self {
            version: spark.version.clone(),
            suffix: spark.suffix.clone(),
            scala: spark.scala.clone(),
            home: spark.home.clone(),
            jars: spark.jars.clone(),
            python_path: spark.python_path.clone(),
        }
    }
}

/// The packages that bind a job, because somebody asked for them or nothing else needs them, and the others. Packages with
/// a version that is none for an index are in neither list: nothing could agree with them.
fn by_binding(facts: &ContentFacts) -> (Vec<String>, Vec<String>) {
    let needed: BTreeSet<String> = facts
        .distributions
        .iter()
        .flat_map(|one| one.requires.iter().map(|name| normalise(name)))
        .collect();
    let known = facts
        .distributions
        .iter()
        .filter(|one| is_version(&one.version));
    let (binding, others): (Vec<_>, Vec<_>) =
        known.partition(|one| one.is_requested || !needed.contains(&normalise(&one.name)));
    let sorted = |found: Vec<&crate::image::Distribution>| {
        let pins = found
            .iter()
            .map(|one| Pin::new(&one.name, &one.version).to_string());
        let pins: BTreeSet<String> = pins.collect();
        pins.into_iter().collect::<Vec<_>>()
    };
    (sorted(binding), sorted(others))
}

/// Whether a version is one by the rules of Python's indexes, in their normal form.
fn is_version(text: &str) -> bool {
    let (public, local) = text
        .split_once('+')
        .map_or((text, None), |(public, local)| (public, Some(local)));
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
    };
    let mut rest = public;
    let digits = |rest: &mut &str| {
        let end = rest.find(|character: char| !character.is_ascii_digit());
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        *rest = after;
        !number.is_empty()
    };
    if !digits(&mut rest) {
        return false;
    }
    loop {
        let suffix = ["a", "b", "rc", ".post", ".dev", "."];
        let Some(after) = suffix.iter().find_map(|suffix| rest.strip_prefix(suffix)) else {
            break;
        };
        rest = after;
        if !digits(&mut rest) {
            return false;
        }
    }
    rest.is_empty() && local.is_none_or(is_word)
}

/// The pins in these texts, `name==version`.
fn pins(texts: &[String]) -> impl Iterator<Item = Pin> {
    texts.iter().filter_map(|text| {
        let (name, version) = text.split_once("==")?;
        Some(Pin::new(name, version))
    })
}

/// `3.11` of (3, 11).
pub(super) fn dotted((major, minor): (u8, u8)) -> String {
    format!("{major}.{minor}")
}

/// (3, 11) of `3.11`.
pub(super) fn two_numbers(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Distribution, PythonFacts};

    fn facts(distributions: Vec<Distribution>) -> ContentFacts {
        ContentFacts {
            spark: None,
            java: None,
            python: Ok(PythonFacts {
                program: "/usr/bin/python3.10".to_owned(),
                version: Some((3, 10)),
                site_packages: Vec::new(),
            }),
            distributions,
            libc: Libc::Glibc(None),
            user: String::new(),
            entrypoint: Vec::new(),
            knows_roles: true,
            python_path: None,
            system: None,
            program: None,
            in_the_way: None,
        }
    }

    fn package(name: &str, version: &str, is_requested: bool, requires: &[&str]) -> Distribution {
        Distribution {
            name: name.to_owned(),
            version: version.to_owned(),
            is_requested,
            requires: requires.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn chain() -> ElsewhereChain {
        ElsewhereChain::of("x:1", Place::of_line("sparkpack.toml", 1))
    }

    fn written<T>(value: T) -> Override<T> {
        let place = Place::of_line("sparkpack.toml", 2);
        Override { value, place }
    }

    #[test]
    fn what_was_asked_for_or_what_nothing_needs_binds_a_job() {
        let facts = facts(vec![
            package(
                "pandas",
                "2.2.0",
                false,
                &["NumPy", "python_dateutil", "pytz"],
            ),
            package("numpy", "1.26.4", true, &[]),
            package("python-dateutil", "2.9.0.post0", false, &["six"]),
            package("pytz", "2024.1", false, &[]),
            package("six", "1.16.0", false, &[]),
            // Debian's own version is none for an index.
            package("distro-info", "1.1build1", true, &[]),
        ]);
        let contents = LockedContents::of(&facts, Digest::of(b"x"), &chain());
        assert_eq!(contents.binding, ["numpy==1.26.4", "pandas==2.2.0"]);
        let others = [
            "python-dateutil==2.9.0.post0",
            "pytz==2024.1",
            "six==1.16.0",
        ];
        assert_eq!(contents.installed, others);
        let names = |chain: &ElsewhereChain| {
            let pins = contents.binding(chain).into_iter();
            pins.map(|pin| pin.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&chain()), ["numpy", "pandas"]);
        let told = ElsewhereChain {
            binding: Some(written(vec!["Six".to_owned(), "no-such".to_owned()])),
            ..chain()
        };
        assert_eq!(names(&told), ["six"]);
        let warning = &contents.warnings(&told)[0];
        assert_eq!(warning.code, "W135");
        assert!(warning.message.contains("`no-such`"), "{warning}");
    }

    #[test]
    fn versions_are_those_of_an_index() {
        for version in [
            "1",
            "1.26.4",
            "2.9.0.post0",
            "1.0rc1",
            "1.0.dev3",
            "2024.1",
            "1.0+local.1",
            "3.0a1.dev2",
        ] {
            assert!(is_version(version), "{version}");
        }
        for version in [
            "",
            "1.1build1",
            "0.1.43ubuntu1",
            "1.0-1",
            "v1",
            "1.",
            "1.0+",
            "unknown",
        ] {
            assert!(!is_version(version), "{version}");
        }
    }

    #[test]
    fn what_a_platform_brings_need_not_be_there() {
        let without = LockedContents {
            no_python: Some("why".to_owned()),
            ..LockedContents::of(&facts(Vec::new()), Digest::of(b"x"), &chain())
        };
        let with = |supplied: &[Supplied]| ElsewhereChain {
            supplied: supplied.iter().copied().collect(),
            ..chain()
        };
        let refused = |supplied: &[Supplied]| {
            let checked = without.check(&with(supplied));
            checked.map_or_else(|defect| defect.message, |()| String::new())
        };
        assert!(refused(&[]).contains("has no Spark"), "{}", refused(&[]));
        assert_eq!(refused(&[Supplied::Spark]), "`x:1` has no Python: why");
        assert_eq!(refused(&[Supplied::Spark, Supplied::Python]), "");
        let musl = LockedContents {
            musl: true,
            ..without
        };
        let checked = musl.check(&with(&[Supplied::Spark, Supplied::Python]));
        assert_eq!(checked.unwrap_err().code, "E131");
    }
}
