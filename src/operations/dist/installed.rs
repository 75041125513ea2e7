//! Installed wheels. Each is kept in the cache by itself, so that a project that gets one more installs only that.
//!
//! A listing lies beside each of them. It says what the files are, so that nobody walks them whose result is
//! already there: only who reads the files has them compared first, and installed again if they are damaged.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;

use super::{
    built_wheels::Files,
    to_install::{ToInstall, digest_of, row},
};
use crate::{
    adapters::{cache::CacheKind, digest_cache, file_lock::FileLock, store},
    error::Error,
    image::Digest,
    operations::{
        events::{Progress, Step},
        workspace::{Services, Session},
    },
    package::vendor::{self, Vendored},
    project::{
        requirements::LockedWheel,
        tree::{Content, Entry, Location},
        wheel::Target,
    },
};

/// The first words of a listing; the number changes with its form.
const HEAD: &str = "listing 3";

/// The installed wheels of a run.
pub(super) struct Installations<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    /// The sets of wheels that this run has compared with their listings.
    whole: Mutex<BTreeSet<Digest>>,
}

/// Where an installed wheel is in the cache.
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

    fn place(&self, wheel: &LockedWheel, target: &Target) -> Place {
        let cache = &self.session.cache;
        let key = digest_of("wheel 2", target, &row(wheel));
        let name = |end: &str| cache.entry(CacheKind::Packages, &format!("{}{end}", key.hex()));
        Place {
            tree: name(""),
            listing: name(".listing"),
            lock: name(".lock"),
        }
    }

    /// What the files of the wheels are, by their listings. Who reads them calls [`Self::make_whole`] before.
    pub(super) fn listed(
        &self,
        wanted: ToInstall<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vendored, Error> {
        let Some((key, target)) = wanted.key().zip(wanted.target) else {
            return Ok(Vendored::default());
        };
        let listed = wanted.wheels.iter().map(|wheel| {
            let place = self.place(wheel, target);
            let bytes = digest_cache::own_bytes(&place.listing)?;
            Some((wheel, parse(&bytes, &place.tree)?))
        });
        let listed = if let Some(listed) = listed.collect::<Option<Vec<_>>>() {
            listed
        } else {
            let files = self.whole(key, wanted, target, progress)?;
            wanted.wheels.iter().zip(files).collect()
        };
        Ok(vendor::split(&listed)?)
    }

    /// What the files of the wheels are, if that is known without installing any.
    pub(super) fn known(&self, wanted: ToInstall<'_>) -> Option<Vendored> {
        let target = wanted.target?;
        let listed = wanted.wheels.iter();
        let listed = listed.map(|wheel| Some((wheel, self.known_wheel(wheel, target)?)));
        vendor::split(&listed.collect::<Option<Vec<_>>>()?).ok()
    }

    /// What the files of a wheel are, if that is known without installing it.
    pub(super) fn known_wheel(&self, wheel: &LockedWheel, target: &Target) -> Option<Vec<Entry>> {
        let place = self.place(wheel, target);
        parse(&digest_cache::own_bytes(&place.listing)?, &place.tree)
    }

    /// Whether the files of each wheel may be known; no listing is read.
    pub(super) fn are_listed(&self, wanted: ToInstall<'_>) -> Vec<bool> {
        let Some(target) = wanted.target else {
            return Vec::new();
        };
        let wheels = wanted.wheels.iter();
        let is_listed = |wheel| self.place(wheel, target).listing.is_file();
        wheels.map(is_listed).collect()
    }

    /// Makes sure that the files of the wheels are as their listings say.
    pub(super) fn make_whole(
        &self,
        wanted: ToInstall<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let Some((key, target)) = wanted.key().zip(wanted.target) else {
            return Ok(());
        };
        // A poisoned lock is safe: every change is a single insertion.
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = whole.contains(&key);
        drop(whole);
        if !is_known {
            self.whole(key, wanted, target, progress)?;
        }
        Ok(())
    }

    /// The files of each wheel, which are as its listing says.
    fn whole(
        &self,
        key: Digest,
        wanted: ToInstall<'_>,
        target: &Target,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<Entry>>, Error> {
        let wheels = wanted.wheels;
        let places: Vec<Place> = wheels
            .iter()
            .map(|wheel| self.place(wheel, target))
            .collect();
        let mut files: Vec<Option<Vec<Entry>>> = places
            .par_iter()
            .map(|place| self.unchanged(place))
            .collect();
        if files.contains(&None) {
            let missing = || (0..wheels.len()).filter(|number| files[*number].is_none());
            let _alone = self.lock(missing().map(|number| &places[number]).collect())?;
            // Another process may have installed some meanwhile.
            for number in missing().collect::<Vec<_>>() {
                files[number] = self.unchanged(&places[number]);
            }
            let missing: Vec<(&LockedWheel, &Place)> = (0..wheels.len())
                .filter(|number| files[*number].is_none())
                .map(|number| (&wheels[number], &places[number]))
                .collect();
            let mut installed = self
                .install(&missing, wanted, target, progress)?
                .into_iter();
            for files in files.iter_mut().filter(|files| files.is_none()) {
                *files = installed.next();
            }
        }
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.insert(key);
        Ok(files.into_iter().flatten().collect())
    }

    /// Locks wheels against other processes, each in the same order, so that no two wait for each other.
    fn lock(&self, mut places: Vec<&Place>) -> Result<Vec<FileLock>, Error> {
        places.sort_by(|left, right| left.lock.cmp(&right.lock));
        let locks = places.into_iter();
        let what = "installs the same packages";
        locks
            .map(|place| self.session.alone_with_entry(&place.lock, what))
            .collect()
    }

    /// The files of an installed wheel, if they are as its listing says.
    fn unchanged(&self, place: &Place) -> Option<Vec<Entry>> {
        let listed = digest_cache::own_bytes(&place.listing)?;
        let kept = digest_cache::file_for(&self.session.cache, &place.tree);
        // The files of jobs in `dist` are links to them.
        let digests = digest_cache::open(&kept).of_linked();
        let found = vendor::walk(&place.tree, &digests).ok()?;
        if text(&found).as_bytes() != listed {
            return None;
        }
        digest_cache::keep(&kept, &digests);
        Some(found)
    }

    /// Installs wheels into their places, and returns the files of each.
    fn install(
        &self,
        missing: &[(&LockedWheel, &Place)],
        wanted: ToInstall<'_>,
        target: &Target,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<Entry>>, Error> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let wheels = missing.iter().map(|(wheel, _)| *wheel);
        let files = Files {
            session: self.session,
            services: self.services,
            wanted,
            target,
        };
        let (wheels, origins) = files.of(wheels, progress)?;
        let origins = origins.as_ref().or(wanted.origins);
        progress.step(Step::InstallWheels(missing.len()));
        let temporary = self.session.cache.unfinished(CacheKind::Packages)?;
        let (installer, into) = (self.services.installer()?, temporary.path());
        let recorded = installer.install(&wheels, target, origins, into)?;
        let files = missing.par_iter().zip(&wheels).zip(recorded);
        let files = files.map(|(((_, place), wheel), recorded)| {
            let folder = into.join(&wheel.wheel.file_name);
            let files = self.keep(&folder, place)?;
            if vendor::is_as_recorded(&files, &recorded) {
                return Ok(files);
            }
            // The installer's cache is damaged, or else the list in the wheel is wrong.
            installer.install_anew(wheel, target, origins, into)?;
            self.keep(&folder, place)
        });
        files.collect()
    }

    /// Moves the files of a wheel to their place, and writes their listing.
    fn keep(&self, folder: &Path, place: &Place) -> Result<Vec<Entry>, Error> {
        let Place { tree, listing, .. } = place;
        store::move_folder(folder, tree)?;
        let kept = digest_cache::file_for(&self.session.cache, tree);
        let digests = digest_cache::open(&kept).of_linked();
        let files = vendor::walk(tree, &digests)?;
        // What a power failure leaves of it is no listing.
        store::replace_unsynced(listing, text(&files).as_bytes())?;
        Ok(files)
    }
}

/// The listing of a wheel's files: a head with the digest of what follows, and a line for each file.
fn text(files: &[Entry]) -> String {
    let mut rows = String::new();
    for entry in files {
        if let Content::File {
            digest,
            executable,
            size,
            ..
        } = &entry.content
        {
            // Writing to a string does not fail.
            let _ = writeln!(rows, "{digest} {executable} {size} {}", entry.path);
        }
    }
    format!("{HEAD} {}\n{rows}", Digest::of(rows.as_bytes()))
}

/// The files in `tree` that have this listing; `None` if it is damaged or of another form.
fn parse(bytes: &[u8], tree: &Path) -> Option<Vec<Entry>> {
    let (head, rows) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let digest: Digest = head.strip_prefix(HEAD)?.strip_prefix(' ')?.parse().ok()?;
    if Digest::of(rows.as_bytes()) != digest {
        return None;
    }
    rows.split_terminator('\n')
        .map(|row| entry(row, tree))
        .collect()
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

    fn installed(tree: &Path) -> Vec<Entry> {
        for (path, bytes) in [
            ("six.py", "six = 6\n"),
            ("numpy/core.so", "\u{7f}ELF"),
            ("numpy/a b.py", ""),
        ] {
            let file = tree.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, bytes).unwrap();
        }
        let digests = crate::project::digest_cache::DigestCache::read(b"", digest_cache::now());
        vendor::walk(tree, &digests).unwrap()
    }

    #[test]
    fn a_listing_says_what_a_walk_finds() {
        let folder = tempfile::tempdir().unwrap();
        let walked = installed(folder.path());
        assert_eq!(walked.len(), 3);
        let listing = text(&walked);
        assert_eq!(parse(listing.as_bytes(), folder.path()), Some(walked));
        let listing = text(&[]);
        assert_eq!(parse(listing.as_bytes(), folder.path()), Some(Vec::new()));
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
