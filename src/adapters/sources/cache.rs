//! Sources in the cache: blobs by digest, unpacked trees with an index, and digests of files that have not changed.
//!
//! Everything is made in a temporary folder, and renamed once it is complete.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::SourceError;
use crate::{
    adapters::{
        cache::{Cache, CacheKind},
        digest_cache,
        store::{self, TemporaryFolder},
    },
    image::Digest,
    project::{
        digest_cache::DigestCache,
        ignore::Digests as _,
        source::Unpack,
        tree::{Content, Entry, Location},
    },
};

pub(super) struct SourceCache<'a> {
    cache: &'a Cache,
}

impl<'a> SourceCache<'a> {
    pub(super) fn new(cache: &'a Cache) -> Self {
        Self { cache }
    }

    /// A folder to download into, which is removed with its value.
    pub(super) fn unfinished_blob(&self) -> io::Result<TemporaryFolder> {
        self.cache.unfinished(CacheKind::Blobs)
    }

    /// The blob, if it exists and its bytes have its digest.
    pub(super) fn blob(&self, digest: Digest) -> Option<(Digest, PathBuf)> {
        let file = self.blob_path(&digest);
        let actual = Digest::of_reader(&mut fs_err::File::open(&file).ok()?).ok()?;
        (actual == digest).then_some((digest, file))
    }

    /// Moves a file with a known digest into the cache.
    pub(super) fn add_blob(&self, digest: &Digest, file: &Path) -> Result<PathBuf, SourceError> {
        fs_err::create_dir_all(self.cache.folder(CacheKind::Blobs))?;
        let blob = self.blob_path(digest);
        fs_err::rename(file, &blob)?;
        Ok(blob)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.cache.entry(CacheKind::Blobs, digest.hex())
    }

    /// The digest that an earlier run stored for an origin whose bytes never change.
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
        let name = Digest::of(origin.as_bytes());
        self.cache.entry(CacheKind::Origins, name.hex())
    }

    /// The unpacked tree of a blob; `None` if the source is not unpacked.
    pub(super) fn tree(&self, digest: &Digest, unpack: Unpack) -> Option<Tree<'_>> {
        // If unpacking ever gives another result, these names must change.
        let kind = match unpack {
            Unpack::No => return None,
            Unpack::Archive { strip } => format!("strip{strip}"),
            Unpack::Spark => "spark".to_owned(),
        };
        let name = format!("{}-{kind}", digest.hex());
        let folder = self.cache.entry(CacheKind::Trees, &name);
        let kept = digest_cache::file_for(self.cache, &folder);
        Some(Tree {
            cache: self.cache,
            digests: digest_cache::open(&kept),
            kept,
            folder,
        })
    }

    /// The digest of a file outside the cache; the file is read only if it may have changed.
    pub(super) fn digest_of(&self, file: &Path) -> io::Result<Digest> {
        let kept = digest_cache::file_for(self.cache, file);
        let known = digest_cache::open(&kept);
        let digest = digest_of(file, &fs_err::metadata(file)?, &known)?;
        digest_cache::keep(&kept, &known);
        Ok(digest)
    }
}

/// The digest of a file, which is read only if it may have changed since the last time.
fn digest_of(file: &Path, metadata: &Metadata, digests: &DigestCache) -> io::Result<Digest> {
    if let Some(digest) = digests.known(file, metadata) {
        return Ok(digest);
    }
    let digest = Digest::of_reader(&mut fs_err::File::open(file)?)?;
    digests.learn(file, metadata, &digest);
    Ok(digest)
}

/// An unpacked tree: `files/` and `index.json` in one folder.
pub(super) struct Tree<'a> {
    cache: &'a Cache,
    folder: PathBuf,
    /// The stat cache of its files, and the file of that cache.
    digests: DigestCache,
    kept: PathBuf,
}

/// A file or link of an unpacked tree.
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
    },
    /// Symbolic links exist in the index only, so that none on the disk can be followed.
    Symlink {
        target: String,
    },
}

const FILES: &str = "files";
const INDEX: &str = "index.json";

impl Tree<'_> {
    /// The tree's entries, if it exists and is complete; a file is read only if it may have changed.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        let index = fs_err::read(self.folder.join(INDEX)).ok()?;
        let index: Vec<Unpacked> = serde_json::from_slice(&index).ok()?;
        let entries: Option<Vec<Entry>> = index
            .into_iter()
            .map(|unpacked| self.entry(unpacked))
            .collect();
        digest_cache::keep(&self.kept, &self.digests);
        entries
    }

    fn entry(&self, unpacked: Unpacked) -> Option<Entry> {
        let content = match unpacked.content {
            UnpackedContent::Symlink { target } => Content::Symlink { target },
            UnpackedContent::File { digest, executable } => {
                let file = self.folder.join(FILES).join(&unpacked.path);
                let metadata = fs_err::symlink_metadata(&file)
                    .ok()
                    .filter(Metadata::is_file)?;
                let actual = digest_of(&file, &metadata, &self.digests).ok()?;
                (actual == digest).then_some(())?;
                Content::File {
                    digest,
                    executable,
                    size: metadata.len(),
                    location: Location::Disk(file),
                }
            }
        };
        Some(Entry {
            path: unpacked.path,
            content,
        })
    }

    /// Stores the digests of the files just unpacked, so that this run need not read them again.
    fn learn(&self, index: &[Unpacked]) {
        for unpacked in index {
            let file = self.folder.join(FILES).join(&unpacked.path);
            if let UnpackedContent::File { digest, .. } = &unpacked.content
                && let Ok(metadata) = fs_err::symlink_metadata(&file)
            {
                self.digests.learn(&file, &metadata, digest);
            }
        }
    }

    /// Makes the tree: `unpack` fills the folder that it is given.
    pub(super) fn make(
        &self,
        unpack: impl FnOnce(&Path) -> Result<Vec<Unpacked>, SourceError>,
    ) -> Result<Vec<Entry>, SourceError> {
        let temporary = self.cache.unfinished(CacheKind::Trees)?;
        let made = temporary.path().join("tree");
        fs_err::create_dir_all(made.join(FILES))?;
        let mut index = unpack(&made.join(FILES))?;
        index.sort_by(|left, right| left.path.as_bytes().cmp(right.path.as_bytes()));
        let bytes = serde_json::to_vec(&index).map_err(io::Error::from)?;
        fs_err::write(made.join(INDEX), bytes)?;
        if fs_err::rename(&made, &self.folder).is_err() {
            // Another process was faster, or the existing tree is damaged.
            if let Some(entries) = self.entries() {
                return Ok(entries);
            }
            fs_err::rename(&self.folder, temporary.path().join("damaged"))?;
            fs_err::rename(&made, &self.folder)?;
        }
        self.learn(&index);
        self.entries().ok_or_else(|| {
            io::Error::other(format!(
                "{} changed while it was made",
                self.folder.display()
            ))
            .into()
        })
    }
}
