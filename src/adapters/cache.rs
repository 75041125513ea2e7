//! The cache folder: the kinds of things that are kept in it, and where. All of it can be deleted at any time.
//!
//! Unfinished files and folders lie beside the finished ones of their kind, under a common prefix. The process that
//! makes one holds a lock on it, so that those of killed runs can be recognised and removed.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::store::{self, TemporaryFolder};
use crate::image::Digest;

/// The cache of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// The kinds of things in the cache; each has its own folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheKind {
    /// Digests of files that were read, by the files' metadata.
    Digests,
    /// Digests of archives that were packed, by the archives' content.
    Archives,
    /// Downloaded files and layers, by their digest.
    Blobs,
    /// Digests of sources whose bytes never change, by the sources' origin.
    Origins,
    /// Unpacked sources.
    Trees,
    /// Installed wheels.
    Packages,
    /// Wheels that were built from their sources.
    BuiltWheels,
    /// Repositories that were fetched, for wheels that are built.
    Repositories,
    /// Records that are too large for a label, by their digest.
    Records,
    /// Layers by what they are made from; their bytes are among the blobs.
    Layers,
    /// Images that were taken out of a daemon, by their image IDs: their documents and layers are among the blobs.
    Exports,
    /// The revisions for which a build without the build cache has been done.
    Revisions,
    /// Manifests that were examined without findings.
    Manifests,
    /// The programs that were found in images, by the image ID.
    Programs,
    /// What the Python files of jobs import, and what was found about it.
    Imports,
    /// What looks like a credential in files, by their digests.
    Secrets,
    /// When repositories had all blobs of an image.
    Whole,
    /// The IDs of the images that were made in a daemon, by their fingerprints.
    Made,
    /// Lock files, by which runs on the same project wait for each other.
    Locks,
}

impl CacheKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Digests,
        Self::Archives,
        Self::Blobs,
        Self::Origins,
        Self::Trees,
        Self::Packages,
        Self::BuiltWheels,
        Self::Repositories,
        Self::Records,
        Self::Layers,
        Self::Exports,
        Self::Revisions,
        Self::Manifests,
        Self::Programs,
        Self::Imports,
        Self::Secrets,
        Self::Whole,
        Self::Made,
        Self::Locks,
    ];

    /// Its folder below the cache's.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Digests => "stats",
            Self::Archives => "archives",
            Self::Blobs => "blobs/sha256",
            Self::Origins => "origins",
            Self::Trees => "trees",
            Self::Packages => "packages",
            Self::BuiltWheels => "wheels",
            Self::Repositories => "repositories",
            Self::Records => "records",
            Self::Layers => "layers",
            Self::Exports => "exports",
            Self::Revisions => "revisions",
            Self::Manifests => "manifests",
            Self::Programs => "programs",
            Self::Imports => "imports",
            Self::Secrets => "secrets",
            Self::Whole => "whole",
            Self::Made => "made",
            Self::Locks => "locks",
        }
    }
}

impl Cache {
    /// A cache in this folder, which is created when the first thing is kept.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The current user's cache, where [`store::cache_folder`] says.
    ///
    /// # Errors
    /// It would lie where others may write.
    pub fn of_user() -> io::Result<Self> {
        Ok(Self::new(store::own_cache_folder()?))
    }

    /// The folder of a kind.
    #[must_use]
    pub fn folder(&self, kind: CacheKind) -> PathBuf {
        self.folder.join(kind.folder())
    }

    /// The path of one thing of a kind.
    #[must_use]
    pub fn entry(&self, kind: CacheKind, name: &str) -> PathBuf {
        self.folder(kind).join(name)
    }

    /// The path of what is kept of a kind for a folder or a file of the disk, by where it really lies.
    #[must_use]
    pub fn entry_of_path(&self, kind: CacheKind, path: &Path) -> PathBuf {
        let real = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = Digest::of(real.as_os_str().as_encoded_bytes());
        self.entry(kind, name.hex())
    }

    /// A folder for an unfinished thing of a kind. It is removed with the returned value, or by a later sweep if the
    /// process is killed.
    ///
    /// # Errors
    /// The disk's.
    pub fn unfinished(&self, kind: CacheKind) -> io::Result<TemporaryFolder> {
        let folder = self.folder(kind);
        fs_err::create_dir_all(&folder)?;
        TemporaryFolder::within(&folder)
    }

    /// Removes what killed runs have left unfinished, files and folders, but nothing that a living process is still
    /// making.
    pub fn sweep(&self) {
        for kind in CacheKind::ALL {
            store::sweep(&self.folder(kind));
        }
    }

    /// The size on the disk of each kind, in bytes.
    #[must_use]
    pub fn sizes(&self) -> Vec<(CacheKind, u64)> {
        let kinds = CacheKind::ALL.into_iter();
        kinds.map(|kind| (kind, size(&self.folder(kind)))).collect()
    }
}

/// The size of all files below a folder; files that vanish meanwhile count nothing.
fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter();
    let metadata = files.filter_map(|entry| entry.ok()?.metadata().ok());
    metadata
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &Path, text: &str) {
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    #[test]
    fn every_kind_has_a_folder_of_its_own() {
        let folders = CacheKind::ALL.map(CacheKind::folder);
        let different: std::collections::BTreeSet<&str> = folders.into_iter().collect();
        assert_eq!(different.len(), CacheKind::ALL.len());
        let cache = Cache::new("/cache");
        assert_eq!(
            cache.entry(CacheKind::Blobs, "0a"),
            Path::new("/cache/blobs/sha256/0a")
        );
    }

    #[test]
    fn what_killed_runs_left_is_swept_in_every_kind() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let left = |kind| {
            [
                cache.entry(kind, ".sparkpack-file"),
                cache.entry(kind, ".sparkpack-folder/a/b"),
            ]
        };
        for kind in CacheKind::ALL {
            for file in left(kind) {
                write(&file, "half");
            }
            write(&cache.entry(kind, "whole"), "whole");
        }
        let living = CacheKind::ALL.map(|kind| cache.unfinished(kind).unwrap());
        cache.sweep();
        for kind in CacheKind::ALL {
            assert!(left(kind).iter().all(|file| !file.exists()), "{kind:?}");
            assert!(!cache.entry(kind, ".sparkpack-folder").exists());
            assert!(cache.entry(kind, "whole").exists(), "{kind:?}");
        }
        for folder in &living {
            assert!(folder.path().is_dir(), "somebody still works in it");
        }
        drop(living);
        for kind in CacheKind::ALL {
            assert_eq!(fs_err::read_dir(cache.folder(kind)).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_size_is_that_of_all_files_of_a_kind() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        write(&cache.entry(CacheKind::Trees, "a/files/x"), "12345");
        write(&cache.entry(CacheKind::Trees, "a/index.json"), "{}");
        write(&cache.entry(CacheKind::Records, "r"), "1");
        for (kind, size) in cache.sizes() {
            let wanted = match kind {
                CacheKind::Trees => 7,
                CacheKind::Records => 1,
                _ => 0,
            };
            assert_eq!(size, wanted, "{kind:?}");
        }
    }
}
