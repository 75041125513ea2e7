//! `sparkpack.lock`: resolved facts that a checkout does not contain.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    elsewhere::{LockedContents, Override, dotted, two_numbers},
    place::{Defect, Place},
    settings::{Chain, ChainOrigin, Image, Project},
    wheel::Target,
};
use crate::{
    code::Code,
    image::{Digest, Platform},
};

/// The lock's file name.
pub const FILE_NAME: &str = "sparkpack.lock";

/// The version of the fingerprint format that this sparkpack writes.
pub const FORMAT: u32 = 1;

/// Something that the locks lack and a plan needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlocked {
    /// The image that needs it.
    pub image: String,
    /// What it is.
    pub what: UnlockedInput,
}

/// What the locks can lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnlockedInput {
    /// The digest of an external image, by its name in the project.
    Image(String),
    /// What is in an image from elsewhere, by its name in the project.
    Contents(String),
    /// The checksum of a source, by its name.
    Source(String),
    /// Wheels.
    Wheels {
        /// The requirements, in words.
        requirements: String,
        /// The platform that the wheels are for.
        platform: Platform,
        /// The file to which the message refers.
        file: PathBuf,
    },
}

impl Unlocked {
    /// The same as a [`Defect`], with the reason why it was not looked up.
    #[must_use]
    pub fn defect(self, reason: &str) -> Defect {
        let Self { image, what } = self;
        let (file, message) = match what {
            UnlockedInput::Image(name) => (
                PathBuf::from(FILE_NAME),
                format!(
                    "`{image}` needs the digest of the image `{name}`, which the lock does not have"
                ),
            ),
            UnlockedInput::Contents(name) => (
                PathBuf::from(FILE_NAME),
                format!(
                    "`{image}` needs what is in the image `{name}`, which the lock does not have"
                ),
            ),
            UnlockedInput::Source(name) => (
                PathBuf::from(FILE_NAME),
                format!(
                    "`{image}` needs the checksum of the source `{name}`, which the lock does not have"
                ),
            ),
            UnlockedInput::Wheels {
                requirements,
                platform,
                file,
            } => (
                file,
                format!(
                    "`{image}` needs the wheels for {requirements} ({platform}), which no lock has"
                ),
            ),
        };
        Defect::new(Code::E033, Place::of_line(file, 1), message + reason)
            .hint("run `sparkpack lock`, which completes the locks")
    }
}

/// The lock's content. `lock` looks up missing entries, and so do `build`, `push` and `package`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of the fingerprint format.
    pub format: u32,
    /// The versions that each chain is configured with: for people and other programs, never an input of a fingerprint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chains: BTreeMap<String, LockedChain>,
    /// The digest of each built-in recipe in use, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recipes: BTreeMap<String, Digest>,
    /// The external images, by the name that the project gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, LockedImage>,
    /// What was found in the images of chains from elsewhere, by chain and platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contents: BTreeMap<String, BTreeMap<Platform, LockedContents>>,
    /// The sources, by their origin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, LockedSource>,
    /// The wheels of built-in recipes, by image and platform; a project's own lie in `requirements.lock`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wheels: BTreeMap<String, BTreeMap<Platform, LockedWheels>>,
    /// The rebuilds that people asked for, by stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, Revision>,
}

/// The versions of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedChain {
    /// Spark's version.
    pub spark: String,
    /// Scala's binary version, that of Spark's own distribution.
    pub scala: String,
    /// Java's major version.
    pub java: String,
    /// Python's version, major and minor.
    pub python: String,
}

impl LockedChain {
    /// The versions that a chain is configured with, or that were found in its image; `None` if one of them is not
    /// known.
    #[must_use]
    pub fn of(chain: &Chain, lock: &Lock) -> Option<Self> {
        let elsewhere = match &chain.origin {
            ChainOrigin::Made(made) => {
                return Some(Self {
                    spark: made.spark.clone(),
                    scala: scala_of(&made.spark).to_owned(),
                    java: made.java.clone(),
                    python: dotted(made.python),
                });
            }
            ChainOrigin::Elsewhere(elsewhere) => elsewhere,
        };
        let found = lock.contents.get(&chain.name)?.values().next()?;
        let spark = found.spark.as_ref();
        let or = |written: &Option<Override<String>>, found: Option<&String>| {
            let written = written.as_ref().map(|of| &of.value);
            written.or(found).cloned()
        };
        let python = elsewhere.python.as_ref().map(|of| dotted(of.value));
        Some(Self {
            spark: or(&elsewhere.spark, spark.map(|spark| &spark.version))?,
            scala: or(&elsewhere.scala, spark.map(|spark| &spark.scala))?,
            java: or(&elsewhere.java, found.java.as_ref())?,
            python: python.or_else(|| found.python.clone())?,
        })
    }
}

/// The Scala version of Spark's default distribution: 2.12 for all of Spark 3, 2.13 from Spark 4 on.
fn scala_of(spark: &str) -> &'static str {
    let major = spark.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major < 4) {
        "2.12"
    } else {
        "2.13"
    }
}

/// An external image, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub enum LockedImage {
    /// An image in a registry, by the digest of its manifest or index.
    Registry {
        /// The digest of the bytes that the registry serves; fingerprints cover nothing else of this entry.
        digest: Digest,
        /// The manifest digests of the platforms in use, as far as they are known.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        platforms: BTreeMap<Platform, Digest>,
    },
    /// An image that only the local daemon has: no other machine can build on it.
    LocalDaemon {
        /// The image ID in that daemon.
        local_id: Digest,
    },
}

impl LockedImage {
    /// The digest that goes into a fingerprint.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Registry { digest, .. } | Self::LocalDaemon { local_id: digest } => digest,
        }
    }
}

/// A source, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// The checksum of its bytes.
    pub sha256: Digest,
}

/// The wheels chosen for a built-in recipe on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedWheels {
    /// The digest of the requirements that they were chosen for.
    pub requirements: Digest,
    /// The Python version, major and minor.
    pub python: String,
    /// The glibc version, major and minor.
    pub glibc: String,
    /// Their checksums by file name.
    pub files: BTreeMap<String, Digest>,
}

/// A rebuild that a person asked for without a change of inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Counts up.
    pub number: u32,
    /// Why.
    pub reason: String,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            format: FORMAT,
            chains: BTreeMap::new(),
            recipes: BTreeMap::new(),
            images: BTreeMap::new(),
            contents: BTreeMap::new(),
            sources: BTreeMap::new(),
            wheels: BTreeMap::new(),
            revisions: BTreeMap::new(),
        }
    }
}

impl Lock {
    /// Parses a lock.
    ///
    /// # Errors
    /// The text is no lock, or its format is one that this version does not know.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Defect> {
        let lock: Self = toml::from_str(text).map_err(|error| {
            let place = Place::of_offset(file, text, error.span().map_or(0, |span| span.start));
            let defect = Defect::new(
                Code::E030,
                place,
                format!("not a lock: {}", error.message()),
            );
            defect.hint(format!(
                "take the committed file back, or delete {FILE_NAME} and run `sparkpack lock`"
            ))
        })?;
        if lock.format != FORMAT {
            let message = format!(
                "`format = {}` is not known to this sparkpack, which knows {FORMAT}",
                lock.format
            );
            return Err(Defect::new(Code::E031, Place::of_line(file, 1), message)
                .hint("install a newer sparkpack"));
        }
        Ok(lock)
    }

    /// What was found in the image of a chain from elsewhere, if that is the image which the lock names now and the
    /// configuration names the same folders in it.
    #[must_use]
    pub fn contents_of(&self, chain: &Chain, platform: &Platform) -> Option<&LockedContents> {
        let elsewhere = chain.elsewhere()?;
        let digest = self.images.get(&elsewhere.image)?.digest();
        let found = self.contents.get(&chain.name)?.get(platform)?;
        let is_current = found.digest == *digest && found.looked_at == elsewhere.looked_at();
        is_current.then_some(found)
    }

    /// The Python, platform and glibc that an image's wheels are chosen for; `None` if no chain gives the Python
    /// version, or if it is that of an image from elsewhere of which the lock has nothing.
    #[must_use]
    pub fn target(&self, project: &Project, image: &Image, platform: &Platform) -> Option<Target> {
        let chain = project.chain_of(image)?;
        let (python, glibc) = match &chain.origin {
            ChainOrigin::Made(made) => (made.python, None),
            ChainOrigin::Elsewhere(elsewhere) => {
                let found = self.contents_of(chain, platform)?;
                let python = || two_numbers(found.python.as_ref()?);
                let glibc = || two_numbers(found.glibc.as_ref()?);
                let written = elsewhere.python.as_ref().map(|of| of.value);
                let of_glibc = elsewhere.glibc.as_ref().map(|of| of.value);
                (written.or_else(python)?, of_glibc.or_else(glibc))
            }
        };
        Some(Target {
            python,
            platform: platform.clone(),
            glibc: glibc.unwrap_or(project.python.glibc),
        })
    }

    /// The version of an image's Spark; `None` if no chain or lock tells it.
    #[must_use]
    pub fn spark_of(&self, project: &Project, image: &Image) -> Option<String> {
        let chain = project.chain_of(image)?;
        match &chain.origin {
            ChainOrigin::Made(made) => Some(made.spark.clone()),
            ChainOrigin::Elsewhere(elsewhere) => {
                let found = self.contents_of(chain, image.platforms.first()?);
                let found = found.and_then(|found| Some(found.spark.as_ref()?.version.clone()));
                let written = elsewhere.spark.as_ref().map(|of| of.value.clone());
                written.or(found)
            }
        }
    }

    /// The lock's text: sorted, the same for the same content.
    #[must_use]
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).unwrap_or_default();
        format!(
            "# Written by sparkpack: what the checkout cannot know by itself. Commit it.\n{body}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_lock_turn_into_each_other() {
        let mut lock = Lock::default();
        lock.chains.insert(
            "main".to_owned(),
            LockedChain {
                spark: "4.1.4".to_owned(),
                scala: "2.13".to_owned(),
                java: "17".to_owned(),
                python: "3.11".to_owned(),
            },
        );
        let digest = Digest::of(b"x");
        lock.recipes.insert("base".to_owned(), digest.clone());
        lock.images.insert(
            "debian:bookworm-slim".to_owned(),
            LockedImage::Registry {
                digest: digest.clone(),
                platforms: [("linux/arm64".parse().unwrap(), digest.clone())].into(),
            },
        );
        lock.images.insert(
            "mine:1".to_owned(),
            LockedImage::LocalDaemon {
                local_id: digest.clone(),
            },
        );
        lock.sources
            .insert("pyspark==4.1.4".to_owned(), LockedSource { sha256: digest });
        let text = lock.to_text();
        assert_eq!(Lock::parse(Path::new(FILE_NAME), &text).unwrap(), lock);
        assert!(text.contains("[images.\"debian:bookworm-slim\"]"), "{text}");
    }

    /// A lock without platforms is read, and written back unchanged.
    #[test]
    fn the_platforms_of_an_image_need_not_be_known() {
        let text = format!(
            "format = 1\n\n[images.\"debian:bookworm-slim\"]\ndigest = \"{}\"\n",
            Digest::of(b"x")
        );
        let lock = Lock::parse(Path::new(FILE_NAME), &text).unwrap();
        assert!(lock.to_text().ends_with(&text), "{}", lock.to_text());
    }

    #[test]
    fn scala_is_that_of_sparks_own_distribution() {
        let known = ["2.12", "2.12", "2.13", "2.13", "2.13"];
        let sparks = ["3.0.0", "3.5.8", "4.0.1", "4.2.0", "10.0.0"];
        assert_eq!(sparks.map(scala_of), known);
    }

    #[test]
    fn a_newer_or_broken_lock_is_named() {
        let newer = Lock::parse(Path::new(FILE_NAME), "format = 2\n").unwrap_err();
        assert_eq!(
            newer.to_string(),
            "sparkpack.lock:1:1: `format = 2` is not known to this sparkpack, which knows 1"
        );
        assert_eq!(
            Lock::parse(Path::new(FILE_NAME), "format = 1\nx = 1\n")
                .unwrap_err()
                .code,
            "E030"
        );
    }
}
