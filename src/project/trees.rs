//! The trees of a project, each walked once in a run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    ignore::{KnownDigest, TreeError, walk_following, walk_known},
    tree::{Content, Entry, Location},
};

/// Walks folders, and remembers what it found.
pub struct Trees {
    known: Box<dyn Fn(&Path, &std::fs::Metadata) -> Option<crate::image::Digest> + Send + Sync>,
    executable: Option<BTreeMap<PathBuf, bool>>,
}

impl Default for Trees {
    fn default() -> Self {
        Self {
            known: Box::new(|_, _| None),
            executable: None,
        }
    }
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Trees").finish_non_exhaustive()
    }
}

impl Trees {
    /// The same with executable bits that do not come from the disk, by absolute path; a file without one has none.
    #[must_use]
    pub fn with_executable_bits(self, bits: BTreeMap<PathBuf, bool>) -> Self {
        Self {
            executable: Some(bits),
            ..self
        }
    }

    /// The files and links below `root` that `keep` keeps.
    ///
    /// # Errors
    /// Those of [`super::ignore::walk`].
    pub fn walk(
        &self,
        root: &Path,
        keep: &dyn Fn(&str, bool) -> bool,
    ) -> Result<Vec<Entry>, TreeError> {
        let known: &KnownDigest<'_> = &|path, metadata| (self.known)(&root.join(path), metadata);
        Ok(self.with_known_bits(walk_known(root, keep, known)?))
    }

    /// [`Self::walk`], but symbolic links are followed.
    ///
    /// # Errors
    /// Those of [`super::ignore::walk_following`].
    pub fn walk_following(
        &self,
        root: &Path,
        keep: &dyn Fn(&str, bool) -> bool,
    ) -> Result<Vec<Entry>, TreeError> {
        Ok(self.with_known_bits(walk_following(root, keep)?))
    }

    fn with_known_bits(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let Some(bits) = &self.executable else {
            return entries;
        };
        let known = |file: &Path| {
            let real = || bits.get(&fs_err::canonicalize(file).ok()?).copied();
            bits.get(file).copied().or_else(real)
        };
        for entry in &mut entries {
            if let Content::File {
                executable,
                location: Location::Disk(file),
                ..
            } = &mut entry.content
            {
                *executable = known(file).unwrap_or(false);
            }
        }
        entries
    }
}
