//! Installed wheels, which are kept in the cache under a digest of the wheels.
//!
//! A listing lies beside each installation. It says what the files are, so that nobody walks them whose result is
//! already there: only who reads the files has them compared first, and installed again if they are damaged.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{
    adapters::{cache::CacheKind, digest_cache, store},
    error::Error,
    image::Digest,
    operations::{
        events::{Note, Progress, Step},
        workspace::{Services, Session},
    },
    package::vendor::{self, Vendored},
    plan::PlatformStage,
    project::{
        requirements::LockedWheel,
        tree::{Content, Entry, Location},
        wheel::Target,
    },
};

/// The first words of a listing; the number changes with its form.
const HEAD: &str = "listing 2";

/// What is to be installed.
#[derive(Clone, Copy)]
pub(super) struct ToInstall<'a> {
    pub(super) wheels: &'a [LockedWheel],
    pub(super) target: Option<&'a Target>,
    /// The Python package index that the requirements name.
    pub(super) index: Option<&'a str>,
}

impl<'a> ToInstall<'a> {
    pub(super) fn of(stage: &'a PlatformStage) -> Self {
        let requirements = stage.inputs.requirements.as_ref();
        Self {
            wheels: &stage.wheels,
            target: stage.target.as_ref(),
            index: requirements.and_then(|known| known.requirements.index.as_deref()),
        }
    }

    /// A digest of everything that decides what is installed.
    pub(super) fn key(&self) -> Option<Digest> {
        let target = self.target.filter(|_| !self.wheels.is_empty())?;
        let (major, minor) = target.python;
        let mut key = format!(
            "packages 1\npython {major}.{minor}\nplatform {}\n",
            target.platform
        );
        let rows = self.wheels.iter();
        let mut rows: Vec<String> = rows
            .map(|locked| format!("{} {}\n", locked.wheel.file_name, locked.sha256))
            .collect();
        rows.sort();
        key.extend(rows);
        Some(Digest::of(key.as_bytes()))
    }
}

/// The installations of a run.
pub(super) struct Installations<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    /// Those that this run has compared with their listings.
    whole: Mutex<BTreeSet<Digest>>,
}

/// Where an installation is in the cache.
struct Place {
    tree: PathBuf,
    listing: PathBuf,
    lock: PathBuf,
}

impl<'a> Installations<'a> {
    pub(super) fn new(session: &'a Session<'a>, services: &'a Services<'a>) -> Self {
        Self {
            session,
            services,
            whole: Mutex::default(),
        }
    }

    fn place(&self, key: &Digest) -> Place {
        let cache = &self.session.cache;
        let name = |end: &str| cache.entry(CacheKind::Packages, &format!("{}{end}", key.hex()));
        Place {
            tree: name(""),
            listing: name(".listing"),
            lock: name(".lock"),
        }
    }

    /// What the files of the wheels are, by their listing. Who reads them calls [`Self::make_whole`] before.
    pub(super) fn listed(
        &self,
        wanted: ToInstall<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vendored, Error> {
        let Some(key) = wanted.key() else {
            return Ok(Vendored::default());
        };
        let place = self.place(&key);
        let listed = digest_cache::own_bytes(&place.listing);
        match listed.and_then(|bytes| parse(&bytes, &place.tree)) {
            Some(listed) => Ok(listed),
            None => self.whole(&key, wanted, progress),
        }
    }

    /// Makes sure that the files of the wheels are as their listing says.
    pub(super) fn make_whole(
        &self,
        wanted: ToInstall<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let Some(key) = wanted.key() else {
            return Ok(());
        };
        // A poisoned lock is safe: every change is a single insertion.
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = whole.contains(&key);
        drop(whole);
        if !is_known {
            self.whole(&key, wanted, progress)?;
        }
        Ok(())
    }

    fn whole(
        &self,
        key: &Digest,
        wanted: ToInstall<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vendored, Error> {
        let Place {
            tree,
            listing,
            lock,
        } = self.place(key);
        let Some(target) = wanted.target else {
            return Ok(Vendored::default());
        };
        let waiting = || self.session.events.note(Note::WaitingForPackages);
        let _alone = store::lock(&lock, waiting)?;
        let kept = digest_cache::file_for(&self.session.cache, &tree);
        let digests = digest_cache::open(&kept);
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(found) = vendor::split(&tree, &digests)
            && digest_cache::own_bytes(&listing)
                .is_some_and(|bytes| bytes == text(&found).as_bytes())
        {
            digest_cache::keep(&kept, &digests);
            whole.insert(key.clone());
            return Ok(found);
        }
        drop(whole);
        progress.step(Step::InstallWheels(wanted.wheels.len()));
        let temporary = self.session.cache.unfinished(CacheKind::Packages)?;
        let into = temporary.path().join("tree");
        self.services
            .installer()?
            .install(wanted.wheels, target, wanted.index, &into)?;
        store::move_folder(&into, &tree)?;
        let installed = vendor::split(&tree, &digests)?;
        store::replace(&listing, text(&installed).as_bytes())?;
        whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.insert(key.clone());
        Ok(installed)
    }
}

/// The listing of an installation: a head with the digest of what follows, and a line for each file.
fn text(installed: &Vendored) -> String {
    let mut rows = String::new();
    for (part, entries) in [
        (vendor::LIBS, &installed.libs),
        (vendor::SITE_PACKAGES, &installed.site_packages),
    ] {
        for entry in entries {
            if let Content::File {
                digest,
                executable,
                size,
                ..
            } = &entry.content
            {
                // Writing to a string does not fail.
                let _ = writeln!(rows, "{part} {digest} {executable} {size} {}", entry.path);
            }
        }
    }
    format!("{HEAD} {}\n{rows}", Digest::of(rows.as_bytes()))
}

/// The installation in `tree` that has this listing; `None` if it is damaged or of another form.
fn parse(bytes: &[u8], tree: &Path) -> Option<Vendored> {
    let (head, rows) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let digest: Digest = head.strip_prefix(HEAD)?.strip_prefix(' ')?.parse().ok()?;
    if Digest::of(rows.as_bytes()) != digest {
        return None;
    }
    let mut installed = Vendored::default();
    for row in rows.split_terminator('\n') {
        let (part, row) = row.split_once(' ')?;
        let entries = match part {
            vendor::LIBS => &mut installed.libs,
            vendor::SITE_PACKAGES => &mut installed.site_packages,
            _ => return None,
        };
        entries.push(entry(row, &tree.join(part))?);
    }
    Some(installed)
}

fn entry(row: &str, folder: &Path) -> Option<Entry> {
    let mut words = row.splitn(4, ' ');
    let digest = words.next()?.parse().ok()?;
    let executable = words.next()?.parse().ok()?;
    let size = words.next()?.parse().ok()?;
    let path = words.next()?;
    let content = Content::File {
        digest,
        executable,
        size,
        location: Location::Disk(folder.join(path)),
    };
    Some(Entry {
        path: path.to_owned(),
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(tree: &Path) -> Vendored {
        for (path, bytes) in [
            ("libs/six.py", "six = 6\n"),
            ("site-packages/numpy/core.so", "\u{7f}ELF"),
            ("site-packages/numpy/a b.py", ""),
        ] {
            let file = tree.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, bytes).unwrap();
        }
        let digests = crate::project::digest_cache::DigestCache::read(b"", digest_cache::now());
        vendor::split(tree, &digests).unwrap()
    }

    #[test]
    fn a_listing_says_what_a_walk_finds() {
        let folder = tempfile::tempdir().unwrap();
        let walked = installed(folder.path());
        assert_eq!((walked.libs.len(), walked.site_packages.len()), (1, 2));
        let listing = text(&walked);
        assert_eq!(parse(listing.as_bytes(), folder.path()), Some(walked));
        let nothing = Vendored::default();
        let listing = text(&nothing);
        assert_eq!(parse(listing.as_bytes(), folder.path()), Some(nothing));
    }

    #[test]
    fn a_damaged_listing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let listing = text(&installed(folder.path()));
        let bytes = listing.as_bytes();
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut], folder.path()), None, "{cut}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            assert_eq!(parse(&flipped, folder.path()), None, "{at}");
        }
    }
}
