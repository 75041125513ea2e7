//! Packs a job: its code into `jobs.zip`, and into the folder `jobs` where it has data, its pure Python packages into
//! `libs.zip`, packages with native code into `site-packages/`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::Metadata,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    beside::{Beside, Write},
    imports::{Imports, JobImage},
    installed::Installations,
    keys::{key_of_dist, key_of_packages, listing_of},
    secrets::Secrets,
    to_install::ToInstall,
    world::{Layer, layers_of},
};
use crate::{
    adapters::{
        cache::{Cache, CacheKind},
        digest_cache,
        journal::Replacement,
        store::{self, TemporaryFolder},
    },
    error::Error,
    image::{Digest, LayerFile, Platform},
    operations::{
        events::{Outcome, Progress},
        resolution::{self, Prepared},
        workspace::{Services, Session},
    },
    package::{
        archive::{self, ArchiveError, EarlierZip},
        vendor::{self, SITE_PACKAGES},
    },
    plan::PlatformStage,
    project::{
        Package,
        digest_cache::DigestCache,
        ignore::{self, Digests as _},
        importable::{self, LARGEST_ARCHIVE},
        job_files::PackageInputs,
        tree::{Content, Entry, Location, folders_of, mode},
    },
};

/// The number must change with the format of the archives: those of another one, and their members, are not taken over.
const ARCHIVE: &str = "archive 1";

/// The archive of a job's packages.
const LIBS: &str = "libs.zip";

/// The folder of a job's code.
const CODE: &str = "jobs";

/// The most paths whose times are noted to see that a folder was changed.
const MANY_SIGNS: usize = 2_000;

/// The bytes that are sent in no time worth speaking of.
const SMALL: u64 = 1 << 20;

/// Packs jobs, each at most once in a run.
pub(crate) struct Packer<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    packed: Mutex<BTreeMap<(String, Platform), Packed>>,
    installations: Installations<'a>,
    /// The `dist` folders that were packed, and what they were packed from.
    keys: Mutex<BTreeMap<PathBuf, Keys>>,
    beside: Beside,
    /// The files of the project that will be replaced once the images are made.
    replacements: Mutex<Vec<Replacement>>,
    /// The largest archive in bytes.
    largest_archive: u64,
}

/// Digests of what a `dist` folder is packed from.
#[derive(Clone, Debug)]
struct Keys {
    /// Of everything.
    all: Digest,
    /// Of its `site-packages`, with the folders in it, if this run has compared or written them.
    site_packages: Option<(Digest, Vec<String>)>,
    /// Of its folder with the code, if it has one and this run has compared or written it.
    code: Option<Digest>,
    /// The files beside the code, by their paths.
    beside: Vec<String>,
}

/// The files of a packed job by how often they change, with paths relative to its `dist` folder.
#[derive(Clone)]
pub(crate) struct Packed {
    /// The main file, `jobs.zip`, and what lies beside them.
    pub(crate) code: Vec<Entry>,
    /// With paths below the folder of the code, `jobs`: the code in the form of a folder, if it has that.
    pub(crate) folder: Vec<Entry>,
    pub(crate) libs: Entry,
    /// With paths below the folder of packages, `site-packages`.
    pub(crate) site_packages: Vec<Entry>,
}

impl Packed {
    /// All files, with their paths in a build context that has the package in `folder`.
    pub(crate) fn entries(self, folder: &str) -> Vec<Entry> {
        let site_packages = self.site_packages.into_iter();
        let code = self.folder.into_iter();
        self.code
            .into_iter()
            .chain([self.libs])
            .chain(code.map(|entry| entry.prefixed(CODE)))
            .chain(site_packages.map(|entry| entry.prefixed("site-packages")))
            .map(|entry| entry.prefixed(folder))
            .collect()
    }
}

impl<'a> Packer<'a> {
    pub(crate) fn new(session: &'a Session<'a>, services: &'a Services<'a>) -> Self {
        Self {
            session,
            services,
            packed: Mutex::default(),
            installations: Installations::new(session, services),
            keys: Mutex::default(),
            beside: Beside::default(),
            replacements: Mutex::default(),
            largest_archive: LARGEST_ARCHIVE,
        }
    }

    /// One for the jobs among `targets`, after each of their imports was followed.
    ///
    /// # Errors
    /// Python cannot read a file, or an import leads nowhere and that is refused.
    pub(crate) fn checked(
        session: &'a Session<'a>,
        services: &'a Services<'a>,
        (prepared, targets): (&Prepared, &[String]),
        is_strict: bool,
    ) -> Result<Self, Error> {
        let packer = Self::new(session, services);
        let jobs = JobImage::of_plan(prepared, targets, &|_| true);
        let are_all_known = packer.refuse_secrets(prepared, targets)?;
        packer.check_imports(&jobs, is_strict)?;
        if !are_all_known {
            packer.refuse_secrets(prepared, targets)?;
        }
        Ok(packer)
    }

    /// Does the work, and meanwhile writes what it packs into `dist`: images are made from the same bytes in memory. All
    /// is written when it returns.
    ///
    /// # Errors
    /// Those of `work`, or else what could not be written.
    pub(crate) fn writing_beside<R>(
        &self,
        work: impl FnOnce() -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.beside.writing(work)
    }

    /// Takes files of the project as they will be once the images are made, for [`Self::prepare_replacements`].
    pub(crate) fn will_replace(&self, replacements: Vec<Replacement>) {
        *self.replacements() = replacements;
    }

    /// Prepares these files beside the work of [`Self::writing_beside`], if images with these new layers are made in no
    /// time worth speaking of: until then the new contents lie beside the old ones, also if the run is cut off.
    pub(crate) fn prepare_replacements(&self, layers: &[LayerFile]) -> Result<(), Error> {
        let layers = layers.iter().filter(|file| file.is_new);
        let bytes: u64 = layers.map(|file| file.layer.descriptor.size).sum();
        let replacements = std::mem::take(&mut *self.replacements());
        if bytes > SMALL || replacements.is_empty() {
            return Ok(());
        }
        let prepare = self.session.preparation(replacements);
        self.beside.write(Box::new(move || {
            prepare();
            Ok(())
        }))
    }

    fn replacements(&self) -> MutexGuard<'_, Vec<Replacement>> {
        // A poisoned lock is safe: every change is a single assignment.
        self.replacements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where the imports of these jobs lead nowhere. The packages are installed first if that has to be done anyway.
    ///
    /// # Errors
    /// Python cannot read a module; or an import leads nowhere, and the run is strict.
    pub(crate) fn check_imports(&self, jobs: &[JobImage], is_strict: bool) -> Result<(), Error> {
        Imports::new(self.session, &self.installations, is_strict).check(jobs)
    }

    /// Refuses credentials in what would get into these images and what they stand on. Returns whether all of that is known:
    /// what is in packages that are not installed yet is not.
    ///
    /// # Errors
    /// All that looks like one, and that `[secrets] allow` does not name.
    pub(crate) fn refuse_secrets(
        &self,
        prepared: &Prepared,
        targets: &[String],
    ) -> Result<bool, Error> {
        let layers = layers_of(prepared, targets);
        let names = prepared.plan.with_parents(targets);
        let is_whole = names.len() == self.session.project.images.len();
        self.secrets().refuse(&layers, is_whole)
    }

    fn secrets(&self) -> Secrets<'_> {
        Secrets {
            session: self.session,
            installations: &self.installations,
        }
    }

    /// Packs every job into its `dist` folder, unless it lies there, and returns the folders. Of the missing lock entries only wheels are
    /// looked up.
    pub(crate) fn pack_all(&self, is_strict: bool) -> Result<Vec<String>, Error> {
        let project = &self.session.project;
        let (read, wheels, lock) = resolution::inputs_and_wheels(self.session, self.services)?;
        resolution::warn_of_left_out(self.session, project.images.keys(), &|name| read.get(name));
        let jobs = JobImage::of_inputs(self.session, (&read, &wheels, &lock));
        self.check_imports(&jobs, is_strict)?;
        let layers: Vec<Layer> = jobs.iter().map(|job| job.job.clone()).collect();
        self.secrets()
            .refuse(&layers, layers.len() == project.images.len())?;
        let mut folders = Vec::new();
        for (name, image) in &project.images {
            let (Some(package), Some(inputs)) = (&image.package, read.get(name)) else {
                continue;
            };
            let Some(sources) = &inputs.package else {
                continue;
            };
            // `dist` holds the packages of one platform only: the first one.
            let Some(platform) = image.platforms.first() else {
                continue;
            };
            let wheels = wheels
                .get(&(name.clone(), platform.clone()))
                .cloned()
                .unwrap_or_default();
            let target = lock.target(project, image, platform);
            let mut progress = self.session.events.begin(name);
            let requirements = inputs.requirements.as_ref();
            let wanted = ToInstall::new(image, requirements, &wheels, target.as_ref());
            if !self.is_packed_from((package, sources), wanted) {
                let dist = self.session.dist().job(package);
                self.pack((package, sources), dist, wanted, progress.as_mut())?;
            }
            progress.end(Outcome::Packed(&package.dist));
            folders.push(package.dist.clone());
        }
        Ok(folders)
    }

    /// Packs those of `images` that are jobs. A job is skipped if its `dist` was packed from the same inputs and has
    /// not changed.
    pub(crate) fn pack_images(&self, images: &[String], prepared: &Prepared) -> Result<(), Error> {
        for name in images {
            let stage = prepared.plan.stages.get(name);
            // `dist` holds the packages of one platform only: the first one.
            let Some(stage) = stage.and_then(|stage| stage.platforms.first()) else {
                continue;
            };
            if stage.image.package.is_none() || self.is_packed(stage) {
                continue;
            }
            let mut progress = self.session.events.begin(&stage.title);
            self.pack_stage(stage, progress.as_mut())?;
        }
        Ok(())
    }

    /// Packs a job for one platform; `None` if the image is not a job.
    pub(crate) fn pack_stage(
        &self,
        stage: &PlatformStage,
        progress: &mut dyn Progress,
    ) -> Result<Option<Packed>, Error> {
        let (image, inputs) = (&stage.image, &stage.inputs);
        let Some(job) = image.package.as_ref().zip(inputs.package.as_ref()) else {
            return Ok(None);
        };
        let key = (stage.name.clone(), stage.platform.clone());
        if let Some(packed) = self.packed().get(&key) {
            return Ok(Some(packed.clone()));
        }
        let packed = self.pack(
            job,
            self.dist_of(stage, job.0),
            ToInstall::of(stage),
            progress,
        )?;
        self.packed().insert(key, packed.clone());
        Ok(Some(packed))
    }

    /// The folder that a job is packed into for a platform. `dist` itself holds the first platform's packages, and those of
    /// the others lie in hidden folders in it.
    fn dist_of(&self, stage: &PlatformStage, package: &Package) -> PathBuf {
        let dist = self.session.dist().job(package);
        if stage.image.platforms.first() == Some(&stage.platform) {
            dist
        } else {
            dist.join(format!(".{}", stage.platform.to_string().replace('/', "-")))
        }
    }

    /// Whether `dist` was packed from the same inputs and looks unchanged. Of `site-packages` the folders show it: that a
    /// file was edited is not noticed, and no image is made of it.
    fn is_packed(&self, stage: &PlatformStage) -> bool {
        let package = stage.image.package.as_ref();
        let job = package.zip(stage.inputs.package.as_ref());
        job.is_some_and(|job| self.is_packed_from(job, ToInstall::of(stage)))
    }

    fn is_packed_from(
        &self,
        (package, sources): (&Package, &PackageInputs),
        wanted: ToInstall<'_>,
    ) -> bool {
        let dist = self.session.dist().job(package);
        let code = whole_folder(sources);
        self.is_unchanged(&dist, &key_of_dist(sources, wanted))
            && self.is_unchanged(&dist.join(SITE_PACKAGES), &key_of_packages(wanted))
            && code.is_none_or(|code| self.is_unchanged(&dist.join(CODE), &key_of_code(&code)))
    }

    /// Whether an earlier run left this folder with this key, and it looks unchanged.
    fn is_unchanged(&self, folder: &Path, key: &Digest) -> bool {
        digest_cache::open(&self.signs_of(folder)).confirm(key)
    }

    /// The stat cache of what shows that a folder was changed.
    fn signs_of(&self, folder: &Path) -> PathBuf {
        digest_cache::file_for(&self.session.cache, &folder.join(".signs"))
    }

    /// Notes the state of the `dist` folders that this run packed, so that the next run need not pack them again.
    pub(crate) fn remember(&self) {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for (dist, keys) in keys.iter() {
            let files = ["main.py", "jobs.zip", LIBS].into_iter();
            let files = files.chain(keys.beside.iter().map(String::as_str));
            self.note(dist, &keys.all, files.map(|name| dist.join(name)));
            if let Some(key) = &keys.code {
                let folder = dist.join(CODE);
                self.note(&folder, key, signs_of_code(&folder));
            }
            if let Some((key, folders)) = &keys.site_packages {
                let root = dist.join(SITE_PACKAGES);
                let folders = folders.iter().map(|folder| root.join(folder));
                self.note(&root, key, folders.chain([root.clone()]));
            }
        }
    }

    /// Notes the times of `paths`, which show whether `folder` was changed.
    fn note(&self, folder: &Path, key: &Digest, paths: impl IntoIterator<Item = PathBuf>) {
        let known = DigestCache::read(b"", digest_cache::now());
        for path in paths {
            if let Ok(metadata) = path.symlink_metadata() {
                known.learn(&path, &metadata, key);
            }
        }
        if !known.has_doubts() {
            digest_cache::keep(&self.signs_of(folder), &known);
        }
    }

    fn packed(&self) -> MutexGuard<'_, BTreeMap<(String, Platform), Packed>> {
        // A poisoned lock is safe: every change is a single insertion.
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pack(
        &self,
        (package, inputs): (&Package, &PackageInputs),
        dist: PathBuf,
        wanted: ToInstall<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Packed, Error> {
        // What cannot be a folder for it is told before anything is made of it.
        self.session.dist().keep_out_of_git()?;
        let installed = self.installations.listed(wanted, progress)?;
        let mut make_whole = || self.installations.make_whole(wanted, progress);
        let python = wanted.target.map(|target| target.python);
        let (main, write) = read_main(&dist, &inputs.main)?;
        self.beside.write(write)?;
        let archive = |name, entries, before: &mut dyn FnMut() -> Result<(), Error>| {
            self.write_zip((package, python), (&dist, name), entries, before)
        };
        let jobs = archive("jobs.zip", &inputs.modules, &mut || Ok(()))?;
        let libs = archive(LIBS, &installed.libs, &mut make_whole)?;
        let code_key = self.write_code_folder((package, inputs), &dist)?;
        self.write_files_beside(inputs, &dist)?;
        let key = key_of_packages(wanted);
        let is_new = !self.is_unchanged(&dist.join(SITE_PACKAGES), &key);
        if is_new {
            make_whole()?;
            let (cache, entries) = (self.session.cache.clone(), installed.site_packages.clone());
            let (folder, within) = (dist.join(SITE_PACKAGES), self.session.dist().job(package));
            let write = move || write_folder(&cache, (&folder, &within), &entries);
            self.beside.write(Box::new(write))?;
        }
        let keys = Keys {
            all: key_of_dist(inputs, wanted),
            site_packages: is_new.then(|| {
                let folders = folders_of(&installed.site_packages).into_iter();
                (key, folders.map(str::to_owned).collect())
            }),
            code: code_key,
            beside: paths_of(&inputs.beside),
        };
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dist, keys);
        Ok(Packed {
            code: [&[main, jobs][..], &inputs.beside].concat(),
            folder: inputs.folder().unwrap_or_default(),
            libs,
            site_packages: installed.site_packages,
        })
    }

    /// Makes the folder `jobs` contain the code, or removes it where the code is an archive alone. Returns a digest of its
    /// files if they were written.
    fn write_code_folder(
        &self,
        (package, inputs): (&Package, &PackageInputs),
        dist: &Path,
    ) -> Result<Option<Digest>, Error> {
        let folder = dist.join(CODE);
        let Some(entries) = whole_folder(inputs) else {
            let is_job = |package: &Package| self.session.dist().job(package) == folder;
            let images = self.session.project.images.values();
            let mut packages = images.filter_map(|image| image.package.as_ref());
            if folder.is_dir() && !packages.any(is_job) && inputs.beside_code().next().is_none() {
                let remove = move || Ok(fs_err::remove_dir_all(&folder)?);
                self.beside.write(Box::new(remove))?;
            }
            return Ok(None);
        };
        let key = key_of_code(&entries);
        if self.is_unchanged(&folder, &key) {
            return Ok(None);
        }
        let (cache, within) = (self.session.cache.clone(), self.session.dist().job(package));
        let write = move || write_folder(&cache, (&folder, &within), &entries);
        self.beside.write(Box::new(write))?;
        Ok(Some(key))
    }

    /// Writes the files beside the code, and removes those that an earlier run wrote and that are none any more.
    fn write_files_beside(&self, inputs: &PackageInputs, dist: &Path) -> Result<(), Error> {
        let name = Digest::of(format!("files beside {}", dist.display()).as_bytes());
        let list = self.session.cache.entry(CacheKind::Archives, name.hex());
        let known = digest_cache::own_bytes(&list).unwrap_or_default();
        let mut known: Vec<String> = serde_json::from_slice(&known).unwrap_or_default();
        // A damaged list must name nothing outside of the folder.
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        known.retain(|path| Path::new(path).components().all(is_plain));
        let wanted = paths_of(&inputs.beside);
        for entry in &inputs.beside {
            let (file, entry) = (dist.join(&entry.path), entry.clone());
            self.beside.write(Box::new(move || {
                let Content::File { executable, .. } = &entry.content else {
                    return Ok(());
                };
                let mode = mode(*executable);
                write_of(file.clone(), &entry)()?;
                Ok(fs_err::set_permissions(
                    &file,
                    std::fs::Permissions::from_mode(mode),
                )?)
            }))?;
        }
        if known == wanted {
            return Ok(());
        }
        let old: Vec<String> = known
            .into_iter()
            .filter(|path| !wanted.contains(path))
            .collect();
        let dist = dist.to_owned();
        self.beside.write(Box::new(move || {
            for path in old {
                // What is not there any more need not be removed.
                drop(fs_err::remove_file(dist.join(&path)));
                let folders = Path::new(&path).ancestors().skip(1);
                for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
                    drop(fs_err::remove_dir(dist.join(folder)));
                }
            }
            Ok(())
        }))?;
        let text = serde_json::to_vec(&wanted).map_err(std::io::Error::other)?;
        Ok(store::replace_unsynced(&list, &text)?)
    }

    /// Makes sure that the installed packages of an image can be read; what they are is known without reading them.
    pub(crate) fn make_readable(
        &self,
        stage: &PlatformStage,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        self.installations
            .make_whole(ToInstall::of(stage), progress)
    }

    /// The installed packages of an image that is not a job, with paths below `site-packages/`.
    pub(crate) fn site_packages(
        &self,
        stage: &PlatformStage,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Entry>, Error> {
        let installed = self.installed_packages(stage, progress)?.into_iter();
        Ok(installed
            .map(|entry| entry.prefixed("site-packages"))
            .collect())
    }

    /// The installed packages of an image that is not a job.
    pub(crate) fn installed_packages(
        &self,
        stage: &PlatformStage,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Entry>, Error> {
        let installed = self.installations.listed(ToInstall::of(stage), progress)?;
        let all = installed.libs.into_iter().chain(installed.site_packages);
        let by_path: BTreeMap<String, Entry> =
            all.map(|entry| (entry.path.clone(), entry)).collect();
        Ok(by_path.into_values().collect())
    }

    /// Writes a zip archive of `entries` into `dist`. Symbolic links among the entries are already resolved.
    ///
    /// The same entries always give the same bytes. The cache has the digest of the archive that these entries gave
    /// before: if the file still has that digest, nothing is compressed. Else `before` is called first.
    ///
    /// An archive that `python` could not read whole is an error.
    fn write_zip(
        &self,
        (package, python): (&Package, Option<(u8, u8)>),
        (dist, name): (&Path, &str),
        entries: &[Entry],
        before: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Entry, Error> {
        importable::refuse_what_python_cannot_read(package, name, entries, python)?;
        let file = &dist.join(name);
        let listing = Digest::of(format!("{ARCHIVE}\n{}", listing_of(entries)).as_bytes());
        let remembered = self.session.cache.entry(CacheKind::Archives, listing.hex());
        let kept = digest_cache::file_for(&self.session.cache, file);
        let digests = digest_cache::open(&kept);
        let made = fs_err::read_to_string(&remembered)
            .ok()
            .and_then(|text| text.parse::<Digest>().ok());
        if let Some(made) = made {
            if let Some(there) = known_file(dist, name, &digests)
                && digest_of(&there) == Some(&made)
            {
                digest_cache::keep(&kept, &digests);
                return Ok(there);
            }
            if let Some(entry) = self.kept_archive(name, &made) {
                self.beside.write(write_of(file.clone(), &entry))?;
                return Ok(entry);
            }
        }
        before()?;
        let mut zip = std::io::Cursor::new(Vec::new());
        let members = self.members_of(file);
        let earlier = earlier_zip(file, &members);
        match archive::write_zip(entries, earlier.as_ref(), self.largest_archive, &mut zip) {
            Err(ArchiveError::TooLarge { .. }) => {
                return Err(importable::too_large_archive(package, name).into());
            }
            written => written?,
        }
        let bytes = zip.into_inner();
        let to_keep = (name == LIBS).then(|| bytes.clone());
        let entry = Entry::in_memory(name, bytes, false);
        self.beside.write(write_of(file.clone(), &entry))?;
        if let Some(digest) = digest_of(&entry) {
            if let Some(bytes) = to_keep {
                store::replace_unsynced(&self.blob(digest), &bytes)?;
            }
            store::replace_unsynced(&remembered, digest.as_str().as_bytes())?;
            let known = ZipMembers {
                zip: digest.clone(),
                rows: entries.iter().map(Entry::row).collect(),
            };
            let known = serde_json::to_vec(&known).map_err(std::io::Error::other)?;
            store::replace_unsynced(&members, &known)?;
        }
        Ok(entry)
    }

    /// The archive with this digest, if the cache has its bytes: of packages they are kept, for it takes long to compress
    /// them, and they seldom change.
    fn kept_archive(&self, name: &str, digest: &Digest) -> Option<Entry> {
        let bytes = digest_cache::own_bytes(&self.blob(digest))?;
        let entry = Entry::in_memory(name, bytes, false);
        (digest_of(&entry) == Some(digest)).then_some(entry)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.session.cache.entry(CacheKind::Blobs, digest.hex())
    }

    /// The cache's file with the members of an archive in `dist`.
    fn members_of(&self, zip: &Path) -> PathBuf {
        let name = Digest::of(format!("members of {ARCHIVE} {}", zip.display()).as_bytes());
        self.session.cache.entry(CacheKind::Archives, name.hex())
    }
}

/// What an archive was made of.
#[derive(Deserialize, Serialize)]
struct ZipMembers {
    zip: Digest,
    rows: Vec<String>,
}

/// The archive in `file`, if it is the one whose members are known.
fn earlier_zip(file: &Path, members: &Path) -> Option<EarlierZip> {
    let known = digest_cache::own_bytes(members)?;
    let known: ZipMembers = serde_json::from_slice(&known).ok()?;
    let bytes = digest_cache::own_bytes(file)?;
    (Digest::of(&bytes) == known.zip).then(|| EarlierZip::read(bytes, known.rows))?
}

/// A regular file with its digest. It is read only if the digest is not in the cache.
fn known_file(dist: &Path, name: &str, digests: &DigestCache) -> Option<Entry> {
    let metadata = dist.join(name).symlink_metadata();
    let metadata = metadata.ok().filter(Metadata::is_file)?;
    let files = vec![(name.to_owned(), metadata)];
    let mut entry = ignore::read(dist, files, digests).ok()?.pop()?;
    if let Content::File { executable, .. } = &mut entry.content {
        *executable = false;
    }
    Some(entry)
}

/// A folder and every folder below it: their times show that a file was added or removed.
fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let walk = walkdir::WalkDir::new(folder).into_iter();
    let folders = walk
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_dir());
    folders.map(walkdir::DirEntry::into_path)
}

/// What shows that somebody changed the folder with the code: its files too, unless they are many.
fn signs_of_code(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).into_iter();
    let found = walk.filter_map(Result::ok).take(MANY_SIGNS + 1);
    let all: Vec<PathBuf> = found.map(walkdir::DirEntry::into_path).collect();
    if all.len() > MANY_SIGNS {
        folders(folder).collect()
    } else {
        all
    }
}

/// The files of the folder with the code, and those beside the code that lie in it.
fn whole_folder(inputs: &PackageInputs) -> Option<Vec<Entry>> {
    let beside = inputs.beside_code().map(|(path, entry)| Entry {
        path: path.to_owned(),
        ..entry.clone()
    });
    let mut entries: Vec<Entry> = inputs.folder()?.into_iter().chain(beside).collect();
    entries.sort_by(|left, right| left.path.as_bytes().cmp(right.path.as_bytes()));
    Some(entries)
}

fn paths_of(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.path.clone()).collect()
}

/// A digest of the files of the folder with the code.
fn key_of_code(code: &[Entry]) -> Digest {
    Digest::of(format!("code 1\n{}", listing_of(code)).as_bytes())
}

/// Makes a folder contain these files and no others. What is the same stays: of the rest, each file or folder at the top,
/// such as a package, is replaced as a whole. `within` is the job's folder, in which the next run looks for what is unfinished.
fn write_folder(
    cache: &Cache,
    (folder, within): (&Path, &Path),
    entries: &[Entry],
) -> Result<(), Error> {
    let kept = digest_cache::file_for(cache, folder);
    let digests = digest_cache::open(&kept);
    let is_there = !made_folder(folder)?;
    let packages = cache.folder(CacheKind::Packages);
    let linked = Linked {
        by_inode: if is_there {
            inodes_of(&packages, entries)
        } else {
            HashMap::new()
        },
        others: &digests,
    };
    let found = vendor::walk(folder, &linked).ok();
    let is_same = |name: &str| {
        let rows = |entries: &[Entry]| rows_below(entries, name);
        let found = found.as_deref().map(rows);
        found.is_some_and(|found| !found.is_empty() && found == rows(entries))
    };
    let mut other = Vec::new();
    let mut kept_names = BTreeSet::new();
    for there in fs_err::read_dir(folder)? {
        let there = there?;
        let name = there.file_name();
        match name.to_str().filter(|name| is_same(name)) {
            Some(name) => drop(kept_names.insert(name.to_owned())),
            None => other.push(name),
        }
    }
    // All that is new is complete before anything old goes. Most files of a package are in its next version too.
    let temporary = TemporaryFolder::within(within)?;
    let (new, old) = (temporary.path().join("new"), temporary.path().join("old"));
    let rows: HashSet<String> = found.iter().flatten().map(Entry::row).collect();
    let same = |entry: &Entry| {
        let is_there = rows.contains(&entry.row());
        let own = || own_file(&packages, entry).filter(|file| has_usual_mode(file, entry));
        is_there
            .then(|| folder.join(&entry.path))
            .or_else(|| own().cloned())
    };
    let is_missing = |entry: &&Entry| !kept_names.contains(first_name(&entry.path));
    let missing: Vec<Entry> = entries.iter().filter(is_missing).cloned().collect();
    store::copy_tree(&missing, &new, same)?;
    fs_err::create_dir(&old)?;
    for name in other {
        fs_err::rename(folder.join(&name), old.join(name))?;
    }
    for made in fs_err::read_dir(&new)? {
        let made = made?;
        fs_err::rename(made.path(), folder.join(made.file_name()))?;
    }
    digest_cache::keep(&kept, &digests);
    Ok(())
}

/// Makes a folder if there is none, also in the place of a file; whether it was made. It must exist even if it is empty: its
/// times show whether somebody adds a file.
fn made_folder(folder: &Path) -> std::io::Result<bool> {
    match folder.symlink_metadata() {
        Ok(there) if there.is_dir() => return Ok(false),
        Ok(_) => fs_err::remove_file(folder)?,
        Err(_) => {}
    }
    fs_err::create_dir_all(folder)?;
    Ok(true)
}

/// The file of an entry that is one of the cache's installed wheels, whose folder is `packages`: it is compared with its
/// digest before anything is made of it.
fn own_file<'e>(packages: &Path, entry: &'e Entry) -> Option<&'e PathBuf> {
    match &entry.content {
        Content::File {
            location: Location::Disk(file),
            ..
        } if file.starts_with(packages) => Some(file),
        _ => None,
    }
}

/// The digests of files that are links to the cache's own, which have been compared; and of others.
struct Linked<'a> {
    by_inode: HashMap<(u64, u64), &'a Digest>,
    others: &'a DigestCache,
}

impl ignore::Digests for Linked<'_> {
    fn known(&self, file: &Path, metadata: &Metadata) -> Option<Digest> {
        let inode = (metadata.dev(), metadata.ino());
        match self.by_inode.get(&inode) {
            Some(digest) => Some((*digest).clone()),
            None => self.others.known(file, metadata),
        }
    }

    fn learn(&self, file: &Path, metadata: &Metadata, digest: &Digest) {
        self.others.learn(file, metadata, digest);
    }
}

/// The devices and inodes of those of `entries` that are files of the cache's installed wheels.
fn inodes_of<'e>(packages: &Path, entries: &'e [Entry]) -> HashMap<(u64, u64), &'e Digest> {
    let inodes = entries.par_iter().filter_map(|entry| {
        let metadata = own_file(packages, entry)?.symlink_metadata().ok()?;
        Some(((metadata.dev(), metadata.ino()), digest_of(entry)?))
    });
    inodes.collect()
}

/// Whether a file has the mode that the entry gets in `dist`: the cache has it as the installer made it.
fn has_usual_mode(file: &Path, entry: &Entry) -> bool {
    let Content::File { executable, .. } = &entry.content else {
        return false;
    };
    let metadata = file.symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o7777 == mode(*executable))
}

fn first_name(path: &str) -> &str {
    path.split_once('/').map_or(path, |(first, _)| first)
}

/// The rows of the entries in the folder `name`, or of the file with this name. The entries are sorted by the bytes of
/// their paths.
fn rows_below(entries: &[Entry], name: &str) -> Vec<String> {
    let start = entries.partition_point(|entry| entry.path.as_bytes() < name.as_bytes());
    // Names that only begin like it may lie in between: `a-b/c` comes before `a/b`.
    let near = entries[start..].iter();
    let near = near.take_while(|entry| entry.path.starts_with(name));
    let own = near.filter(|entry| first_name(&entry.path) == name);
    own.map(Entry::row).collect()
}

fn read_main(dist: &Path, main: &Entry) -> Result<(Entry, Write), Error> {
    let mut bytes = Vec::new();
    if let Content::File { location, .. } = &main.content {
        std::io::Read::read_to_end(&mut location.open()?, &mut bytes)?;
    }
    let entry = Entry::in_memory("main.py", bytes.clone(), false);
    if digest_of(&entry) != digest_of(main) {
        return Err(ArchiveError::Changed {
            path: main.path.clone(),
        }
        .into());
    }
    let write = write_of(dist.join("main.py"), &entry);
    Ok((entry, write))
}

fn digest_of(entry: &Entry) -> Option<&Digest> {
    match &entry.content {
        Content::File { digest, .. } => Some(digest),
        Content::Symlink { .. } => None,
    }
}

/// The write of a file of `dist` with the bytes of `entry`.
fn write_of(file: PathBuf, entry: &Entry) -> Write {
    let content = entry.content.clone();
    Box::new(move || {
        let mut bytes = Vec::new();
        if let Content::File { location, .. } = &content {
            std::io::Read::read_to_end(&mut location.open()?, &mut bytes)?;
        }
        write_if_other(&file, &bytes)
    })
}

fn write_if_other(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs_err::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    Ok(store::replace(file, bytes)?)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::MetadataExt, time::Duration};

    use super::*;
    use crate::{
        code::Code,
        operations::{
            events::Events as _,
            testing::{Project, Recorder},
            workspace::LockPolicy,
        },
        project::tree::Location,
    };

    /// Runs `work` with a packer and a plan of a project.
    fn with<T>(project: &Project, work: impl FnOnce(&Packer<'_>, &Prepared, &Recorder) -> T) -> T {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let prepared = resolution::prepare(&session, &services).unwrap();
        work(&Packer::new(&session, &services), &prepared, &events)
    }

    fn job(prepared: &Prepared) -> &PlatformStage {
        &prepared.plan.stages["job"].platforms[0]
    }

    const FILES: [&str; 3] = ["dist/main.py", "dist/jobs.zip", "dist/libs.zip"];

    #[test]
    fn every_job_is_packed_into_its_folder() {
        let project = Project::small();
        let told = with(&project, |packer, _, events| {
            assert_eq!(packer.pack_all(false).unwrap(), ["dist"]);
            events.told()
        });
        assert_eq!(told, ["job: packed into dist"]);
        assert_eq!(project.read("dist/main.py"), "print('main')\n");
        assert!(FILES.iter().all(|file| project.path(file).is_file()));
        assert!(project.path("dist/site-packages").is_dir());
        assert_eq!(project.read("dist/.gitignore"), "*\n");
    }

    #[test]
    fn what_has_no_code_is_not_packed() {
        let project = Project::small();
        project.edit("sparkpack.toml", "src = \"src\"\n", "");
        with(&project, |packer, prepared, events| {
            assert!(packer.pack_all(false).unwrap().is_empty());
            let base = &prepared.plan.stages["base"].platforms[0];
            let mut progress = events.begin("base");
            assert!(
                packer
                    .pack_stage(base, progress.as_mut())
                    .unwrap()
                    .is_none()
            );
        });
        assert!(!project.path("dist").exists());
    }

    #[test]
    fn a_damaged_list_of_files_beside_the_code_removes_nothing_elsewhere() {
        let (project, events) = (Project::small(), Recorder::default());
        project.write("kept.txt", "kept\n");
        project.write("dist/old.txt", "old\n");
        let session = project.session(&events);
        let job = session.project.images["job"].package.as_ref().unwrap();
        let dist = session.dist().job(job);
        let name = Digest::of(format!("files beside {}", dist.display()).as_bytes());
        let list = session.cache.entry(CacheKind::Archives, name.hex());
        fs_err::create_dir_all(list.parent().unwrap()).unwrap();
        let kept = project.path("kept.txt");
        let named = ["../kept.txt", kept.to_str().unwrap(), "old.txt"];
        fs_err::write(list, serde_json::to_vec(&named).unwrap()).unwrap();
        with(&project, |packer, _, _| packer.pack_all(false).unwrap());
        assert_eq!(project.read("kept.txt"), "kept\n");
        assert!(!project.path("dist/old.txt").exists());
    }

    #[test]
    fn the_same_again_writes_nothing() {
        let project = Project::small();
        let inodes = || FILES.map(|file| fs_err::metadata(project.path(file)).unwrap().ino());
        with(&project, |packer, _, _| packer.pack_all(false).unwrap());
        let first = inodes();
        with(&project, |packer, _, _| packer.pack_all(false).unwrap());
        assert_eq!(inodes(), first);
        project.write("src/jobs/one.py", "VALUE = 2\n");
        with(&project, |packer, _, _| packer.pack_all(false).unwrap());
        let second = inodes();
        assert_eq!((second[0], second[2]), (first[0], first[2]));
        assert_ne!(second[1], first[1], "only jobs.zip has other files");
    }

    #[test]
    fn an_archive_has_the_same_bytes_whatever_was_there_before() {
        let pack = |project: &Project| {
            with(project, |packer, _, _| packer.pack_all(false).unwrap());
            fs_err::read(project.path("dist/jobs.zip")).unwrap()
        };
        let change = |project: &Project| {
            project.write("src/jobs/one.py", "VALUE = 3\n");
            project.write("src/jobs/more.py", "MORE = 1\n");
        };
        let fresh = Project::small();
        change(&fresh);
        let wanted = pack(&fresh);
        let (project, events) = (Project::small(), Recorder::default());
        let first = pack(&project);
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let zip = session
            .dist()
            .job(session.project.images["job"].package.as_ref().unwrap());
        let members = Packer::new(&session, &services).members_of(&zip.join("jobs.zip"));
        assert!(earlier_zip(&zip.join("jobs.zip"), &members).is_some());
        change(&project);
        assert!(pack(&project) == wanted);
        for damage in [&b"no list"[..], b"", &wanted] {
            project.write("src/jobs/one.py", "VALUE = 1\n");
            fs_err::remove_file(project.path("src/jobs/more.py")).unwrap();
            fs_err::write(&members, damage).unwrap();
            assert!(pack(&project) == first);
            change(&project);
            // Another archive than the one whose members are known.
            fs_err::write(zip.join("jobs.zip"), damage).unwrap();
            assert!(pack(&project) == wanted);
        }
    }

    #[test]
    fn what_somebody_put_into_dist_goes() {
        let project = Project::small();
        with(&project, |packer, _, _| packer.pack_all(false).unwrap());
        project.write("dist/main.py", "print('other')\n");
        project.write("dist/jobs.zip", "no zip");
        project.write("dist/site-packages/stray.py", "");
        with(&project, |packer, _, _| packer.pack_all(false).unwrap());
        assert_eq!(project.read("dist/main.py"), "print('main')\n");
        assert!(
            fs_err::read(project.path("dist/jobs.zip"))
                .unwrap()
                .starts_with(b"PK")
        );
        assert!(!project.path("dist/site-packages/stray.py").exists());
    }

    #[test]
    fn a_stage_is_packed_once_in_a_run() {
        let project = Project::small();
        with(&project, |packer, prepared, events| {
            let pack = || {
                let mut progress = events.begin("job");
                let packed = packer.pack_stage(job(prepared), progress.as_mut());
                packed.unwrap().unwrap().entries("dist")
            };
            let first = pack();
            let paths: Vec<&str> = first.iter().map(|entry| entry.path.as_str()).collect();
            assert_eq!(paths, FILES);
            fs_err::remove_dir_all(project.path("dist")).unwrap();
            assert_eq!(pack(), first);
            assert!(!project.path("dist").exists(), "it was not packed again");
        });
    }

    #[test]
    fn what_is_packed_is_remembered_until_something_changes() {
        let project = Project::small();
        let targets = ["base".to_owned(), "job".to_owned()];
        with(&project, |packer, prepared, _| {
            packer.pack_images(&targets, prepared).unwrap();
            assert!(!packer.is_packed(job(prepared)), "nobody has said so yet");
            // A file written within the last clock tick is in doubt and would not be noted.
            std::thread::sleep(Duration::from_millis(300));
            packer.remember();
        });
        let is_packed = || {
            with(&project, |packer, prepared, _| {
                packer.is_packed(job(prepared))
            })
        };
        assert!(is_packed());
        project.write("src/jobs/one.py", "VALUE = 2\n");
        assert!(!is_packed());
        project.write("src/jobs/one.py", "VALUE = 1\n");
        assert!(is_packed());
        project.write("dist/site-packages/stray.py", "");
        assert!(!is_packed());
    }

    #[test]
    fn an_archive_that_python_could_not_read_is_refused_and_not_written() {
        let project = Project::small();
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let mut packer = Packer::new(&session, &services);
        let package = session.project.images["job"].package.as_ref().unwrap();
        let files: Vec<Entry> = (0..65_536)
            .map(|number| Entry::in_memory(format!("{number}.py"), "", false))
            .collect();
        let dist = project.path("dist");
        let write = |packer: &Packer<'_>, files: &[Entry], python| {
            let written = packer.write_zip(
                (package, Some(python)),
                (&dist, LIBS),
                files,
                &mut || Ok(()),
            );
            let defect = match written.err() {
                Some(Error::Defect(defect)) => defect,
                other => panic!("{other:?}"),
            };
            assert_eq!(defect.code, Code::E120);
            assert!(!project.path("dist/libs.zip").exists());
            defect
        };
        let defect = write(&packer, &files, (3, 12));
        let wanted = "`libs.zip` would have 65536 files and folders";
        assert!(defect.message.starts_with(wanted), "{defect}");
        assert_eq!(
            packer.largest_archive, 0xffff_fffe,
            "from here on, a zip has 64-bit offsets"
        );
        packer.largest_archive = 99;
        let defect = write(&packer, &files[..2], (3, 13));
        let wanted = "`libs.zip` would have 4 GiB or more";
        assert!(defect.message.starts_with(wanted), "{defect}");
        assert!(defect.hint.unwrap().contains("parent image"));
    }

    #[test]
    fn an_archive_of_packages_is_kept() {
        let (project, events) = (Project::small(), Recorder::default());
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let packer = Packer::new(&session, &services);
        let package = session.project.images["job"].package.as_ref().unwrap();
        let dist = project.path("dist");
        fs_err::create_dir_all(&dist).unwrap();
        let files = [Entry::in_memory("six.py", "six = 6\n", false)];
        // Returns the bytes, and whether they had to be packed.
        let write = |name| {
            let mut is_packed = false;
            let mut before = || {
                is_packed = true;
                Ok(())
            };
            let written = packer.write_zip((package, None), (&dist, name), &files, &mut before);
            let there = fs_err::read(dist.join(name)).unwrap();
            assert_eq!(digest_of(&written.unwrap()), Some(&Digest::of(&there)));
            fs_err::remove_file(dist.join(name)).unwrap();
            (there, is_packed)
        };
        let (first, is_packed) = write(LIBS);
        assert!(is_packed);
        assert_eq!(write(LIBS), (first.clone(), false));
        let blob = packer.blob(&Digest::of(&first));
        fs_err::write(&blob, "damaged").unwrap();
        assert_eq!(write(LIBS), (first.clone(), true));
        assert_eq!(write(LIBS), (first.clone(), false));
        fs_err::remove_file(&blob).unwrap();
        assert_eq!(write("jobs.zip"), (first, true));
        assert!(!blob.exists(), "code changes with every run");
    }

    #[test]
    fn a_main_that_changes_meanwhile_is_an_error() {
        let project = Project::small();
        let error = with(&project, |packer, prepared, events| {
            project.write("src/main.py", "print('late')\n");
            let mut progress = events.begin("job");
            packer.pack_stage(job(prepared), progress.as_mut()).err()
        });
        let error = error.unwrap();
        assert!(matches!(
            &error,
            Error::Archive(ArchiveError::Changed { .. })
        ));
        assert_eq!(error.code(), Code::E611);
        assert!(!project.path("dist/main.py").exists());
    }

    #[test]
    fn a_module_that_changes_meanwhile_is_an_error() {
        let project = Project::small();
        let error = with(&project, |packer, prepared, events| {
            project.write("src/jobs/one.py", "VALUE = 3\n");
            let mut progress = events.begin("job");
            packer.pack_stage(job(prepared), progress.as_mut()).err()
        });
        assert_eq!(error.unwrap().code(), Code::E611);
        assert!(!project.path("dist/jobs.zip").exists());
    }

    #[test]
    fn a_disk_that_does_not_take_it_is_an_error() {
        let project = Project::small();
        project.write("dist", "a file");
        let error = with(&project, |packer, _, _| packer.pack_all(false).unwrap_err());
        assert!(matches!(error, Error::Io(_)));
    }

    #[test]
    fn wheels_that_are_not_locked_are_not_chosen_where_that_is_forbidden() {
        let project = Project::small();
        project.write("requirements.txt", "numpy\n");
        project.edit(
            "sparkpack.toml",
            "src = \"src\"\n",
            "src = \"src\"\nrequirements = \"requirements.txt\"\n",
        );
        for (policy, flag) in [
            (LockPolicy::ReadOnly, ""),
            (LockPolicy::Locked, "`--locked`"),
            (LockPolicy::Offline, "`--offline`"),
        ] {
            let events = Recorder::default();
            let session = project.session(&events);
            let services = Services::new(&session, policy);
            let packed = Packer::new(&session, &services).pack_all(false);
            let error = packed.unwrap_err();
            assert_eq!(error.code(), Code::E033, "{policy:?}");
            assert!(error.headline().contains(flag), "{}", error.headline());
        }
        assert!(!project.path("dist").exists());
    }

    /// The paths, texts and inodes of the files below a folder.
    fn files_in(folder: &Path) -> Vec<(String, String, u64)> {
        let walk = walkdir::WalkDir::new(folder);
        let files = walk.into_iter().map(Result::unwrap);
        let files = files.filter(|file| file.file_type().is_file());
        let mut files: Vec<_> = files
            .map(|file| {
                let path = file.path().strip_prefix(folder).unwrap();
                let text = fs_err::read_to_string(file.path()).unwrap();
                let inode = file.metadata().unwrap().ino();
                (path.display().to_string(), text, inode)
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn packages_that_cannot_be_written_leave_the_old_ones_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"));
        let dist = folder.path().join("dist");
        let site = dist.join("site-packages");
        let write = |entries: &[Entry]| write_folder(&cache, (&site, &dist), entries);
        let file = |path: &str, text: &str| Entry::in_memory(path, text, false);
        write(&[file("a/x.py", "1"), file("b.py", "1"), file("c/x.py", "1")]).unwrap();
        let before = files_in(&site);
        let mut gone = file("c/x.py", "2");
        if let Content::File { location, .. } = &mut gone.content {
            *location = Location::Disk(folder.path().join("nowhere"));
        }
        write(&[file("a/x.py", "2"), gone]).unwrap_err();
        assert_eq!(files_in(&site), before);
        assert_eq!(fs_err::read_dir(&dist).unwrap().count(), 1);
    }

    #[test]
    fn of_the_packages_only_those_that_changed_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"));
        let site = folder.path().join("dist/site-packages");
        let write = |files: &[(&str, &str)]| {
            let entry = |(path, text): &(&str, &str)| Entry::in_memory(*path, *text, false);
            let entries: Vec<Entry> = files.iter().map(entry).collect();
            write_folder(&cache, (&site, site.parent().unwrap()), &entries).unwrap();
            files_in(&site)
        };
        let [same, old] = [("a-b/x.py", "1"), ("a/x.py", "1")];
        let before = write(&[same, old, ("a/y.py", "1"), ("c.py", "1"), ("d/x.py", "1")]);
        fs_err::create_dir_all(site.join("empty/deep")).unwrap();
        fs_err::write(site.join("stray.py"), "").unwrap();
        // Of `a` one file is other, `c.py` has become a folder, `d` is gone and `e` is new.
        let wanted = [
            same,
            old,
            ("a/y.py", "2"),
            ("c.py/z.py", "1"),
            ("e.py", "1"),
        ];
        let after = write(&wanted);
        let seen = after.iter().map(|(path, text, _)| (&**path, &**text));
        assert_eq!(seen.collect::<Vec<_>>(), wanted);
        assert!(!site.join("empty").exists());
        let kept = after.iter().filter(|file| before.contains(file));
        let kept: Vec<&str> = kept.map(|(path, _, _)| &**path).collect();
        assert_eq!(
            kept,
            ["a-b/x.py", "a/x.py"],
            "what is the same is not written again"
        );
        let left = fs_err::read_dir(site.parent().unwrap()).unwrap();
        assert_eq!(left.count(), 1, "nothing unfinished stays");
        fs_err::remove_dir_all(&site).unwrap();
        fs_err::write(&site, "").unwrap();
        assert_eq!(write(&[]), []);
        assert!(site.is_dir(), "what is no folder gives way to one");
    }
}
