//! Sources as file trees on this disk: downloaded, verified, unpacked once, and cached.

mod cache;
mod download;
mod error;
mod installers;
mod spark_extras;
mod unpack;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use error::SourceError;
pub use spark_extras::SparkExtras;

use crate::{
    adapters::{cache::Cache, digest_cache},
    image::{Digest, Hasher},
    project::{
        exclusions::{ProjectFiles, SourceRules},
        file_trees::ExecutableBits,
        folded::Spelling,
        ignore::{self, TreeError, escaped},
        source::{Origin, Source, Unpack},
        tree::{Content, Entry, Location},
    },
};
use cache::SourceCache;

/// Gets the bytes received so far, and the total if it is known.
pub type Progress<'a> = &'a mut dyn FnMut(u64, Option<u64>);

/// Fetches sources and caches them.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// The cache.
    pub cache: Cache,
    /// Certificates to trust besides the system's: a PEM file.
    pub ca: Option<PathBuf>,
    /// The URL of a Maven repository to use instead of `mvn`.
    pub maven: Option<String>,
    /// The URL of a Python index to use instead of the installer's own.
    pub python_index: Option<String>,
    /// Whether to use only the cache and this machine's files.
    pub offline: bool,
    /// The executable bits of files of the checkout, where the disk's do not count.
    pub executable: Option<ExecutableBits>,
    /// The spelling of the checkout's files, where the disk's does not count.
    pub spelling: Option<Spelling>,
    /// The files of the project that no source has.
    pub project_files: Option<Arc<ProjectFiles>>,
}

/// Unpacks an archive into a folder; messages call it `shown`.
///
/// # Errors
/// It is none, or not a safe one.
pub fn unpack_into(archive: &Path, shown: &str, folder: &Path) -> Result<(), SourceError> {
    unpack::unpack(archive, shown, Unpack::Archive { strip: 0 }, folder).map(drop)
}

impl Fetcher {
    /// The checksum of a source: the digest of a file, or the [`tree_digest`] of a folder.
    ///
    /// A checksum in the configuration is returned without a download; [`Self::fetch`] verifies it.
    ///
    /// # Errors
    /// The source cannot be fetched, or a path has another checksum than the configuration.
    pub fn checksum(&self, source: &Source, progress: Progress<'_>) -> Result<Digest, SourceError> {
        let actual = match (&source.origin, &source.sha256) {
            (Origin::Path(path), _) => self.path_checksum(path)?,
            (_, Some(demanded)) => return Ok(demanded.clone()),
            (_, None) => self.blob(source, None, progress)?.0,
        };
        match &source.sha256 {
            Some(demanded) => same(source, demanded, &actual).map(|()| actual),
            None => Ok(actual),
        }
    }

    /// The source's files. Their bytes lie in the cache, or at the source's path.
    ///
    /// # Errors
    /// The source cannot be fetched, has another checksum than `expected`, or cannot be unpacked safely.
    pub fn fetch(
        &self,
        source: &Source,
        expected: &Digest,
        progress: Progress<'_>,
    ) -> Result<Vec<Entry>, SourceError> {
        let entries = self.files(source, expected, progress)?;
        // An older sparkpack may have unpacked it into the cache, and did not look.
        let mut paths = entries.iter().map(|entry| entry.path.as_str());
        match paths.find(|path| ignore::whiteout(path).is_some()) {
            None => Ok(entries),
            Some(path) => Err(TreeError::of_whiteout(path).into()),
        }
    }

    fn files(
        &self,
        source: &Source,
        expected: &Digest,
        progress: Progress<'_>,
    ) -> Result<Vec<Entry>, SourceError> {
        match &source.origin {
            Origin::Path(path) if path.is_dir() => {
                let entries = self.folder(path)?;
                same(source, expected, &tree_digest(&entries))?;
                Ok(entries)
            }
            Origin::Path(path) if source.unpack == Unpack::No => {
                self.single_file(source, path, expected)
            }
            _ => self.cached(source, expected, progress),
        }
    }

    fn cached(
        &self,
        source: &Source,
        expected: &Digest,
        progress: Progress<'_>,
    ) -> Result<Vec<Entry>, SourceError> {
        let cache = SourceCache::new(&self.cache);
        let tree = cache.tree(expected, source.unpack);
        if let Some(entries) = tree.as_ref().and_then(cache::Tree::entries) {
            if let Origin::Path(path) = &source.origin {
                same(source, expected, &self.path_checksum(path)?)?;
            }
            return Ok(entries);
        }
        let (actual, blob) = self.blob(source, Some(expected), progress)?;
        same(source, expected, &actual)?;
        let Some(tree) = tree else {
            let size = fs_err::metadata(&blob)?.len();
            let location = Location::Disk(blob);
            let content = Content::File {
                digest: actual,
                executable: false,
                size,
                location,
            };
            return Ok(vec![Entry {
                path: source.file_name(),
                content,
            }]);
        };
        tree.make(|folder| unpack::unpack(&blob, &shown(&source.origin), source.unpack, folder))
    }

    fn single_file(
        &self,
        source: &Source,
        path: &Path,
        expected: &Digest,
    ) -> Result<Vec<Entry>, SourceError> {
        let metadata = fs_err::metadata(path).map_err(|error| SourceError::reading(path, error))?;
        let known = self.executable.as_ref().and_then(|bits| bits.of(path));
        let executable = known.unwrap_or(metadata.permissions().mode() & 0o100 != 0);
        let actual = self.path_checksum(path)?;
        same(source, expected, &actual)?;
        let location = Location::Disk(path.to_owned());
        let content = Content::File {
            digest: actual,
            executable,
            size: metadata.len(),
            location,
        };
        Ok(vec![Entry {
            path: source.file_name(),
            content,
        }])
    }

    fn path_checksum(&self, path: &Path) -> Result<Digest, SourceError> {
        if path.is_dir() {
            return Ok(tree_digest(&self.folder(path)?));
        }
        SourceCache::new(&self.cache)
            .digest_of(path)
            .map_err(|error| SourceError::reading(path, error))
    }

    fn folder(&self, path: &Path) -> Result<Vec<Entry>, SourceError> {
        let rules = SourceRules::of(self.project_files.as_ref(), path);
        let keep = |path: &str, is_folder: bool| rules.keep(path, is_folder);
        let kept = digest_cache::file_for(&self.cache, path);
        let known = digest_cache::open(&kept);
        let mut entries = ignore::list_spelled(path, &keep, None, self.spelling.as_ref())?.choose(
            &[""],
            &|_| true,
            &known,
        )?;
        digest_cache::keep(&kept, &known);
        if let Some(bits) = &self.executable {
            // A source from outside the checkout has the disk's.
            bits.correct(&mut entries, |disk| disk);
        }
        Ok(entries)
    }

    /// The file of a source and its digest. With `expected`, a download is skipped if the cache has that blob, and
    /// verified otherwise.
    fn blob(
        &self,
        source: &Source,
        expected: Option<&Digest>,
        progress: Progress<'_>,
    ) -> Result<(Digest, PathBuf), SourceError> {
        if let Origin::Path(path) = &source.origin {
            return Ok((self.path_checksum(path)?, path.clone()));
        }
        let cache = SourceCache::new(&self.cache);
        let remembered = self
            .unchanging(&source.origin)
            .and_then(|name| cache.remembered(&name));
        if let Some(found) = expected
            .cloned()
            .or(remembered)
            .and_then(|digest| cache.blob(digest))
        {
            return Ok(found);
        }
        let folder = cache.unfinished_blob()?;
        let file = self.download(source, expected, folder.path(), progress)?;
        let actual = Digest::of_reader(&mut fs_err::File::open(&file)?)?;
        expected.map_or(Ok(()), |expected| same(source, expected, &actual))?;
        let blob = cache.add_blob(&actual, &file)?;
        if let Some(name) = self.unchanging(&source.origin) {
            cache.remember(&name, &actual)?;
        }
        Ok((actual, blob))
    }

    /// The cache key of an origin whose bytes never change: the origin, and where it is fetched from.
    fn unchanging(&self, origin: &Origin) -> Option<String> {
        match origin {
            Origin::Maven(_) => Some(format!(
                "{origin}\n{}",
                self.maven.as_deref().unwrap_or_default()
            )),
            Origin::PythonSdist { .. } => Some(format!(
                "{origin}\n{}",
                self.python_index.as_deref().unwrap_or_default()
            )),
            Origin::Url(_) | Origin::Path(_) => None,
        }
    }

    fn download(
        &self,
        source: &Source,
        expected: Option<&Digest>,
        folder: &Path,
        progress: Progress<'_>,
    ) -> Result<PathBuf, SourceError> {
        if self.offline && !matches!(source.origin, Origin::Path(_)) {
            let from = shown(&source.origin);
            return Err(SourceError::Offline { from });
        }
        let file = folder.join("download");
        match (&source.origin, &self.maven) {
            (Origin::Url(url), _) => download::download(url, self.ca.as_deref(), &file, progress)?,
            (Origin::Maven(coordinates), Some(mirror)) => {
                let group = coordinates.group.replace('.', "/");
                let (artifact, version) = (&coordinates.artifact, &coordinates.version);
                let name = coordinates.file_name();
                let url = format!(
                    "{}/{group}/{artifact}/{version}/{name}",
                    mirror.trim_end_matches('/')
                );
                download::download(&url, self.ca.as_deref(), &file, progress)?;
            }
            (Origin::Maven(coordinates), None) => return installers::maven(coordinates, folder),
            (Origin::PythonSdist { name, version }, _) => {
                let wanted = installers::Sdist {
                    name,
                    version,
                    expected,
                };
                let index = self.python_index.as_deref();
                return installers::python_sdist(
                    &wanted,
                    index,
                    self.ca.as_deref(),
                    folder,
                    progress,
                );
            }
            (Origin::Path(path), _) => return Ok(path.clone()),
        }
        Ok(file)
    }
}

fn same(source: &Source, expected: &Digest, actual: &Digest) -> Result<(), SourceError> {
    if expected == actual {
        return Ok(());
    }
    Err(SourceError::Checksum {
        name: source.name.clone(),
        from: shown(&source.origin),
        expected: expected.clone(),
        actual: actual.clone(),
    })
}

/// An origin for messages: without a password, a URL's query or control characters.
fn shown(origin: &Origin) -> String {
    match origin {
        Origin::Url(url) => download::shown(url),
        Origin::Path(path) => escaped(path),
        other => other.to_string(),
    }
}

/// The digest of a tree: that of the sorted list of its paths, each with its kind, its executable bit and the digest of
/// its content.
#[must_use]
pub fn tree_digest(entries: &[Entry]) -> Digest {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|left, right| left.path.as_bytes().cmp(right.path.as_bytes()));
    let mut hasher = Hasher::default();
    for entry in sorted {
        let (kind, content) = match &entry.content {
            Content::File {
                digest,
                executable: true,
                ..
            } => ('x', digest.as_str()),
            Content::File {
                digest,
                executable: false,
                ..
            } => ('f', digest.as_str()),
            Content::Symlink { target } => ('l', target.as_str()),
        };
        let path = &entry.path;
        hasher.update(format!("{}:{path}{kind}{}:{content}", path.len(), content.len()).as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
