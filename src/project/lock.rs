//! `sparkpack.lock`: the resolved facts that a checkout cannot know by itself.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::place::{Defect, Place};
use crate::image::{Digest, Platform};

/// The lock's file name.
pub const FILE_NAME: &str = "sparkpack.lock";

/// The version of the fingerprint's format that this sparkpack writes.
pub const FORMAT: u32 = 1;

/// The lock's content; what is not there yet is made by `build`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of the fingerprint's format.
    pub format: u32,
    /// The digest of each built-in recipe in use, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recipes: BTreeMap<String, Digest>,
    /// The external images, by the name that the project gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, LockedImage>,
    /// The sources, by their origin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, LockedSource>,
    /// The wheels of built-in recipes, by image and platform; a project's own lie in `requirements.lock`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wheels: BTreeMap<String, BTreeMap<Platform, LockedWheels>>,
    /// Rebuilds that were asked for, by stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, Revision>,
}

/// An external image, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub enum LockedImage {
    /// The digest of its manifest or index in a registry.
    Registry {
        /// Of the bytes that the registry serves.
        digest: Digest,
    },
    /// Only the local daemon has it: other machines cannot build on it.
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
            Self::Registry { digest } | Self::LocalDaemon { local_id: digest } => digest,
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

/// The chosen wheels of a built-in recipe on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedWheels {
    /// The digest of the requirements that they were chosen for.
    pub requirements: Digest,
    /// The Python, major and minor.
    pub python: String,
    /// The glibc, major and minor.
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
            recipes: BTreeMap::new(),
            images: BTreeMap::new(),
            sources: BTreeMap::new(),
            wheels: BTreeMap::new(),
            revisions: BTreeMap::new(),
        }
    }
}

impl Lock {
    /// Reads a lock's text.
    ///
    /// # Errors
    /// It is no lock, or one of a format that this version does not know.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Defect> {
        let lock: Self = toml::from_str(text).map_err(|error| {
            let place = Place::of_offset(file, text, error.span().map_or(0, |span| span.start));
            let defect = Defect::new("E030", place, format!("not a lock: {}", error.message()));
            defect.hint(format!(
                "take the committed file back, or delete {FILE_NAME} and run `sparkpack build`"
            ))
        })?;
        if lock.format != FORMAT {
            let message = format!(
                "`format = {}` is not known to this sparkpack, which knows {FORMAT}",
                lock.format
            );
            return Err(Defect::new("E031", Place::of_line(file, 1), message)
                .hint("install a newer sparkpack"));
        }
        Ok(lock)
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
        let digest = Digest::of(b"x");
        lock.recipes.insert("base".to_owned(), digest.clone());
        lock.images.insert(
            "debian:bookworm-slim".to_owned(),
            LockedImage::Registry {
                digest: digest.clone(),
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
