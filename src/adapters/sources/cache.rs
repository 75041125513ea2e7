//! The cache: blobs by digest, unpacked trees beside an index, and digests of files that have not changed.
//!
//! All of it can be deleted at any time. What is made lies in a temporary folder first and is renamed when it is whole.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::SourceError;
use crate::{
    adapters::{digest_cache, store},
    image::Digest,
    project::{
        ignore::Digests as _,
        source::Unpack,
        tree::{Content, Entry, Location},
    },
};

pub(super) struct Cache<'a> {
    folder: &'a Path,
}

/// What a file was when it was hashed; times in seconds and nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stat {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// A copied or restored cache has other inodes and other times of change.
    fn same_content(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }
}

impl<'a> Cache<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    /// A folder in the cache that vanishes with its value.
    pub(super) fn temporary(&self) -> Result<TempDir, SourceError> {
        fs_err::create_dir_all(self.folder)?;
        Ok(tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(self.folder)?)
    }

    /// The blob, if it is there and whole.
    pub(super) fn blob(&self, digest: Digest) -> Option<(Digest, PathBuf)> {
        let file = self.blob_path(&digest);
        let actual = Digest::of_reader(&mut fs_err::File::open(&file).ok()?).ok()?;
        (actual == digest).then_some((digest, file))
    }

    /// Takes over a file whose digest is known.
    pub(super) fn add_blob(&self, digest: &Digest, file: &Path) -> Result<PathBuf, SourceError> {
        let blob = self.blob_path(digest);
        fs_err::create_dir_all(blob.parent().unwrap_or(self.folder))?;
        fs_err::rename(file, &blob)?;
        Ok(blob)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// The digest that an origin had, where its bytes never change.
    pub(super) fn remembered(&self, origin: &str) -> Option<Digest> {
        fs_err::read_to_string(self.origin_path(origin))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    pub(super) fn remember(&self, origin: &str, digest: &Digest) -> Result<(), SourceError> {
        Ok(store::replace(
            &self.origin_path(origin),
            format!("{digest}\n").as_bytes(),
        )?)
    }

    fn origin_path(&self, origin: &str) -> PathBuf {
        self.folder
            .join("origins")
            .join(Digest::of(origin.as_bytes()).hex())
    }

    /// Where the unpacked tree of a blob lies; `None` where nothing is unpacked.
    pub(super) fn tree(&self, digest: &Digest, unpack: Unpack) -> Option<Tree<'_>> {
        // A change of what unpacking does needs other names here.
        let kind = match unpack {
            Unpack::No => return None,
            Unpack::Archive { strip } => format!("strip{strip}"),
            Unpack::Spark => "spark".to_owned(),
        };
        let folder = self
            .folder
            .join("trees")
            .join(format!("{}-{kind}", digest.hex()));
        Some(Tree {
            cache: self,
            folder,
        })
    }

    /// The digest of a file outside the cache, read only if it may have changed.
    pub(super) fn digest_of(&self, file: &Path) -> io::Result<Digest> {
        let kept = digest_cache::file_for(self.folder, file);
        let known = digest_cache::open(&kept);
        let metadata = fs_err::metadata(file)?;
        if let Some(digest) = known.known(file, &metadata) {
            return Ok(digest);
        }
        let digest = Digest::of_reader(&mut fs_err::File::open(file)?)?;
        known.learn(file, &metadata, &digest);
        digest_cache::keep(&kept, &known);
        Ok(digest)
    }
}

/// An unpacked tree: `files/` and `index.json` in one folder.
pub(super) struct Tree<'a> {
    cache: &'a Cache<'a>,
    folder: PathBuf,
}

/// One file or link of an unpacked tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Unpacked {
    pub(super) path: String,
    pub(super) content: UnpackedContent,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum UnpackedContent {
    File {
        digest: Digest,
        executable: bool,
        stat: Stat,
    },
    /// Links are in the index only: nothing on the disk can be followed.
    Symlink { target: String },
}

const FILES: &str = "files";
const INDEX: &str = "index.json";

impl Tree<'_> {
    /// The tree's entries, if it is there and whole; a file is read only if its size or time is not the index's.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        let index = fs_err::read(self.folder.join(INDEX)).ok()?;
        let index: Vec<Unpacked> = serde_json::from_slice(&index).ok()?;
        index
            .into_iter()
            .map(|unpacked| self.entry(unpacked))
            .collect()
    }

    fn entry(&self, unpacked: Unpacked) -> Option<Entry> {
        let file = self.folder.join(FILES).join(&unpacked.path);
        let content = match unpacked.content {
            UnpackedContent::Symlink { target } => Content::Symlink { target },
            UnpackedContent::File {
                digest,
                executable,
                stat,
            } => {
                let metadata = fs_err::symlink_metadata(&file)
                    .ok()
                    .filter(Metadata::is_file)?;
                if !stat.same_content(&Stat::of(&metadata)) {
                    let actual = Digest::of_reader(&mut fs_err::File::open(&file).ok()?).ok()?;
                    (actual == digest).then_some(())?;
                }
                Content::File {
                    digest,
                    executable,
                    size: stat.size,
                    location: Location::Disk(file),
                }
            }
        };
        Some(Entry {
            path: unpacked.path,
            content,
        })
    }

    /// Makes the tree by `unpack`, which fills the folder that it is given.
    pub(super) fn make(
        &self,
        unpack: impl FnOnce(&Path) -> Result<Vec<Unpacked>, SourceError>,
    ) -> Result<Vec<Entry>, SourceError> {
        let temporary = self.cache.temporary()?;
        let made = temporary.path().join("tree");
        fs_err::create_dir_all(made.join(FILES))?;
        let mut index = unpack(&made.join(FILES))?;
        index.sort_by(|left, right| left.path.as_bytes().cmp(right.path.as_bytes()));
        let bytes = serde_json::to_vec(&index).map_err(io::Error::from)?;
        fs_err::write(made.join(INDEX), bytes)?;
        fs_err::create_dir_all(self.folder.parent().unwrap_or(&self.folder))?;
        if fs_err::rename(&made, &self.folder).is_err() {
            // Another process was faster, or what lies there is damaged.
            if let Some(entries) = self.entries() {
                return Ok(entries);
            }
            fs_err::rename(&self.folder, temporary.path().join("damaged"))?;
            fs_err::rename(&made, &self.folder)?;
        }
        self.entries().ok_or_else(|| {
            io::Error::other(format!(
                "{} changed while it was made",
                self.folder.display()
            ))
            .into()
        })
    }
}
