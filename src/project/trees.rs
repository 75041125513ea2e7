//! The trees of a project, each walked once in a run.

use std::path::Path;

use super::{
    ignore::{KnownDigest, TreeError, walk_known},
    tree::Entry,
};

/// Walks folders, and remembers what it found.
pub struct Trees {
    known: Box<dyn Fn(&Path, &std::fs::Metadata) -> Option<crate::image::Digest> + Send + Sync>,
}

impl Default for Trees {
    fn default() -> Self {
        Self {
            known: Box::new(|_, _| None),
        }
    }
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Trees").finish_non_exhaustive()
    }
}

impl Trees {
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
        walk_known(root, keep, known)
    }
}
