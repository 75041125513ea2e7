//! One run of sparkpack on one project.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{dist_folder::DistFolder, manifest_cache::ManifestCache, project_locks::ProjectLocks};
use crate::{
    adapters::{
        cache::Cache,
        digest_cache,
        file_lock::{FileLock, HeldBy, LockWait},
        git::DiskConfig,
        journal::{self, Ready, Replacement},
        store,
    },
    code::Code,
    error::{Error, UsageError},
    operations::events::{Events, Note},
    project::{
        self, FILE_NAME, PinMode, Project, Registry,
        exclusions::ProjectFiles,
        file_trees::FileTrees,
        folded::Spelling,
        glob,
        lock::{self, Lock},
        pins::Pins,
        place::{Defect, Place},
        source::Origin,
    },
};

/// The project with its caches, and the receiver of events.
pub(crate) struct Session<'a> {
    pub(crate) events: &'a dyn Events,
    pub(crate) project: Project,
    pub(crate) cache: Cache,
    pub(crate) trees: FileTrees,
    manifest_cache: OnceLock<ManifestCache>,
    project_files: OnceLock<Arc<ProjectFiles>>,
    /// The replacement that was prepared.
    ready: Arc<Mutex<Option<HeldReady>>>,
    pub(crate) locks: ProjectLocks,
}

/// A replacement that was prepared. It goes before others may write.
struct HeldReady {
    ready: Ready,
    _files: Arc<FileLock>,
}

impl<'a> Session<'a> {
    /// Finds the project as [`find_root`] does, and reads its configuration.
    pub(crate) fn open(directory: Option<&Path>, events: &'a dyn Events) -> Result<Self, Error> {
        Self::open_with(directory, Cache::of_user()?, events)
    }

    /// [`Self::open`] with the given cache.
    pub(crate) fn open_with(
        directory: Option<&Path>,
        cache: Cache,
        events: &'a dyn Events,
    ) -> Result<Self, Error> {
        let root = find_root(directory)?;
        let project = project::load(&root, &store::environment)?;
        project
            .warnings
            .iter()
            .for_each(|warning| events.warn(warning));
        let locks = ProjectLocks::of(&root, &cache, LockWait::default())?;
        Self::of_project(project, cache, locks, events)
    }

    /// The same session with what it says to those who wait for it, and how long it waits for others.
    pub(crate) fn waiting(mut self, wait: LockWait) -> Self {
        self.locks.wait = wait;
        self
    }

    fn of_project(
        project: Project,
        cache: Cache,
        locks: ProjectLocks,
        events: &'a dyn Events,
    ) -> Result<Self, Error> {
        let digests = digest_cache::open(&digest_cache::file_for(&cache, &project.root));
        Ok(Self {
            events,
            trees: with_bits_of_git(&project.root, FileTrees::new(digests))?,
            project,
            cache,
            manifest_cache: OnceLock::new(),
            project_files: OnceLock::new(),
            ready: Arc::default(),
            locks,
        })
    }

    /// A session on these images of the project alone.
    pub(crate) fn of_images(&self, names: &[String]) -> Result<Self, Error> {
        let mut project = self.project.clone();
        project.images.retain(|name, _| names.contains(name));
        let (cache, locks) = (self.cache.clone(), self.locks.clone());
        Self::of_project(project, cache, locks, self.events)
    }

    /// A session on the same project with another cache.
    pub(crate) fn in_cache(&self, cache: Cache) -> Result<Self, Error> {
        let (project, locks) = (self.project.clone(), self.locks.clone());
        Self::of_project(project, cache, locks, self.events)
    }

    /// The files that no source has, if a source is a file or a folder of this machine.
    pub(crate) fn project_files(&self) -> Option<&Arc<ProjectFiles>> {
        let mut sources = self.project.sources.values();
        let is_local = sources.any(|source| matches!(source.origin, Origin::Path(_)));
        let files = || Arc::new(ProjectFiles::of(&self.project));
        is_local.then(|| self.project_files.get_or_init(files))
    }

    /// The results of earlier runs for manifests.
    pub(crate) fn manifest_cache(&self) -> &ManifestCache {
        self.manifest_cache
            .get_or_init(|| ManifestCache::open(&self.cache, &self.project.root))
    }

    /// The project's `dist`.
    pub(crate) fn dist(&self) -> DistFolder {
        DistFolder::of(&self.project.root)
    }

    /// Saves the digests of files and the results for manifests, so that the next run need not compute them again.
    pub(crate) fn keep_stats(&self) {
        if let Some(manifest_cache) = self.manifest_cache.get() {
            manifest_cache.keep(&self.cache, &self.project.root);
        }
        let file = digest_cache::file_for(&self.cache, &self.project.root);
        digest_cache::keep(&file, self.trees.digests());
    }

    /// Takes the project's lock: other runs that make something in the project wait until it is dropped.
    pub(crate) fn alone(&self) -> Result<FileLock, Error> {
        let mut waiting = |holder: &HeldBy| self.events.note(Note::WaitingForProject(holder));
        let alone = self.locks.project(&mut waiting)?;
        let _files = self.alone_with_files()?;
        self.clean_up()?;
        Ok(alone)
    }

    /// Takes the lock of the project's files, and cleans up: for a run that waits for nothing else.
    pub(crate) fn alone_briefly(&self) -> Result<Arc<FileLock>, Error> {
        let files = self.alone_with_files()?;
        self.clean_up()?;
        Ok(files)
    }

    /// Takes the lock of the project's files: nobody else replaces any until it is dropped. This run may take it again.
    pub(crate) fn alone_with_files(&self) -> Result<Arc<FileLock>, Error> {
        let mut waiting = |holder: &HeldBy| self.events.note(Note::WaitingForProject(holder));
        Ok(self.locks.files(&mut waiting)?)
    }

    /// Takes the lock of something in the cache that is to be made. `what` is what its holder does.
    pub(crate) fn alone_with_entry(&self, lock: &Path, what: &str) -> Result<FileLock, Error> {
        let mut waiting =
            |holder: &HeldBy| self.events.note(Note::WaitingForEntry { what, holder });
        Ok(FileLock::take(lock, &self.locks.wait, &mut waiting)?)
    }

    /// Completes or undoes the changes that a killed run began, and removes the unfinished files that it left.
    fn clean_up(&self) -> Result<(), Error> {
        let root = &self.project.root;
        let outside = |path: &str| {
            let globs = self.project.manifests.values().flatten();
            let mut globs = globs.filter_map(|glob| glob::compile(&glob.pattern).ok());
            globs.any(|glob| glob.is_match(path))
        };
        if let Some(recovered) = journal::recover(root, &outside)? {
            self.events.note(Note::Recovered(&recovered));
        }
        self.cache.sweep();
        store::sweep_temporary();
        self.dist().sweep();
        Ok(())
    }

    /// Prepares the replacement of files, so that [`Self::replace_together`] takes less time if it is about the same ones.
    /// It goes if there is none. The returned work may run beside other work; if it fails, nothing is prepared.
    pub(crate) fn preparation(&self, files: Vec<Replacement>) -> impl FnOnce() + Send + 'static {
        let (slot, root) = (Arc::clone(&self.ready), self.project.root.clone());
        let locks = self.locks.at_once();
        move || {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            *slot = None;
            let Ok(held) = locks.files(&mut |_| ()) else {
                return;
            };
            let ready = Ready::prepare(&root, &files).ok();
            *slot = ready.map(|ready| HeldReady {
                ready,
                _files: held,
            });
        }
    }

    fn prepared(&self) -> MutexGuard<'_, Option<HeldReady>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces files of the project, all or none. Warns of hard links: the other names of a replaced file keep the old
    /// content.
    pub(crate) fn replace_together(&self, files: &[Replacement]) -> Result<(), Error> {
        let root = &self.project.root;
        let is_of = |prepared: &HeldReady| prepared.ready.is_of(files);
        // What was prepared for other contents goes before these are written.
        let prepared = self.prepared().take().filter(is_of);
        let _files = match files {
            [] => None,
            _ => Some(self.alone_with_files()?),
        };
        let replaced = match prepared {
            Some(prepared) => prepared.ready.commit(),
            None => journal::replace_together(root, files),
        };
        for linked in replaced? {
            let file = linked.path.strip_prefix(root).unwrap_or(&linked.path);
            let names = match linked.others {
                1 => "another name, which keeps".to_owned(),
                several => format!("{several} other names, which keep"),
            };
            let message = format!("the file had {names} the old content");
            let hint = format!(
                "whoever replaces a file whole leaves its other names behind: make those symbolic links to {}",
                file.display()
            );
            let defect = Defect::new(Code::W111, Place::of_line(file, 1), message);
            self.events.warn(&defect.hint(hint));
        }
        Ok(())
    }

    /// The images to work on: those named on the command line, or all if none is named.
    pub(crate) fn targets(&self, named: &[String]) -> Result<Vec<String>, Error> {
        let images = &self.project.images;
        if let Some(name) = named.iter().find(|name| !images.contains_key(*name)) {
            let unknown = UsageError::UnknownImage {
                name: name.clone(),
                images: images.keys().cloned().collect(),
            };
            return Err(unknown.into());
        }
        Ok(if named.is_empty() {
            images.keys().cloned().collect()
        } else {
            named.to_vec()
        })
    }

    /// The pins of the project; empty if the manifests use tags without digests.
    pub(crate) fn pins(&self) -> Result<Pins, Error> {
        match self.project.pin {
            PinMode::Tag => Ok(Pins::default()),
            PinMode::TagAndDigest => Ok(Pins::read(&self.project.root)?),
        }
    }

    /// The registry with this name; without a name, the only one, or else `main`.
    pub(crate) fn registry(&self, name: Option<&str>) -> Result<&Registry, Error> {
        Ok(self.project.registry(name).map_err(UsageError::from)?)
    }
}

/// With `core.fileMode = false` the executable bits come from git's index instead of the disk, and the names where the disk
/// does not tell all apart.
fn with_bits_of_git(root: &Path, trees: FileTrees) -> Result<FileTrees, Error> {
    let config = DiskConfig::of(root);
    let trees = match config.folded_files() {
        None => trees,
        Some(files) => trees.with_spelling(Spelling::of(files)),
    };
    match config.executable_bits() {
        Ok(None) => Ok(trees),
        Ok(Some(bits)) => Ok(trees.with_executable_bits(bits.into())),
        Err(reason) => Err(UsageError::NoExecutableBits(reason).into()),
    }
}

/// The folder of the project: `directory` or, if none is given, the current folder or the nearest folder above it with
/// a configuration.
pub(crate) fn find_root(directory: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(directory) = directory {
        return if directory.join(FILE_NAME).exists() {
            Ok(directory.to_owned())
        } else {
            Err(no_project(directory, false))
        };
    }
    let here = store::current_folder().map_err(UsageError::NoCurrentFolder)?;
    let above = here
        .ancestors()
        .find(|folder| folder.join(FILE_NAME).exists());
    let above = above.map(Path::to_owned);
    above.ok_or_else(|| no_project(&here, true))
}

fn no_project(folder: &Path, with_parents: bool) -> Error {
    let folder = folder.to_owned();
    UsageError::NoProject {
        folder,
        with_parents,
    }
    .into()
}

/// Reads the `sparkpack.lock` of the project in `root`; an empty lock if there is no such file.
pub(crate) fn read_lock(root: &Path) -> Result<Lock, Error> {
    let file = root.join(lock::FILE_NAME);
    match fs_err::read_to_string(&file) {
        Ok(text) => Ok(Lock::parse(Path::new(lock::FILE_NAME), &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::cache::CacheKind;
    use crate::image::Digest;
    use crate::operations::testing::{Project as TestProject, Recorder};

    fn code<T>(result: Result<T, Error>) -> &'static str {
        result.map(drop).unwrap_err().code().as_str()
    }

    #[test]
    fn a_session_is_of_the_project_in_its_folder() {
        let (project, events) = (TestProject::small(), Recorder::default());
        let session = project.session(&events);
        assert_eq!(session.project.name, "small");
        assert_eq!(session.cache, project.cache());
        assert!(events.told().is_empty());
    }

    #[test]
    fn without_a_configuration_there_is_no_project() {
        let (project, events) = (TestProject::new(&[]), Recorder::default());
        assert_eq!(code(project.open(&events)), "E010");
    }

    #[test]
    fn a_wrong_configuration_opens_nothing() {
        let (project, events) = (TestProject::small(), Recorder::default());
        project.edit("sparkpack.toml", "base.Dockerfile", "nowhere.Dockerfile");
        assert!(project.open(&events).is_err());
        project.write("sparkpack.toml", "format = 1\nproject = 7\n");
        assert!(project.open(&events).is_err());
    }

    #[test]
    fn bits_of_an_index_that_cannot_be_read_are_an_error() {
        let (project, events) = (TestProject::small(), Recorder::default());
        project.git(&["init", "--quiet"]);
        project.git(&["add", "--all"]);
        project.git(&["config", "core.fileMode", "false"]);
        project.session(&events);
        fs_err::write(project.path(".git/index"), "no index").unwrap();
        assert_eq!(code(project.open(&events)), "E097");
    }

    #[test]
    fn targets_are_the_named_images_or_all() {
        let (project, events) = (TestProject::small(), Recorder::default());
        let session = project.session(&events);
        assert_eq!(session.targets(&[]).unwrap(), ["base", "job"]);
        assert_eq!(session.targets(&["job".to_owned()]).unwrap(), ["job"]);
        for (name, hint) in [
            ("jbo", "did you mean `job`?"),
            ("zzzzzz", "the images are base, job"),
        ] {
            let error = session.targets(&[name.to_owned()]).unwrap_err();
            assert_eq!(error.code(), Code::E084);
            assert_eq!(error.hint().as_deref(), Some(hint));
        }
    }

    #[test]
    fn the_registry_is_the_named_one_or_the_only_one() {
        let (project, events) = (TestProject::small(), Recorder::default());
        let session = project.session(&events);
        let main = Registry {
            name: "main".to_owned(),
            prefix: "registry.example/small".to_owned(),
            layout: None,
        };
        assert_eq!(session.registry(None).unwrap(), &main);
        assert_eq!(session.registry(Some("main")).unwrap(), &main);
        assert_eq!(code(session.registry(Some("other"))), "E087");
    }

    #[test]
    fn a_lock_is_read_and_its_lack_is_an_empty_one() {
        let project = TestProject::small();
        let lock = read_lock(&project.root()).unwrap();
        assert!(lock.images.contains_key("registry.example/root:1"));
        project.write("sparkpack.lock", "format = \n");
        read_lock(&project.root()).unwrap_err();
        fs_err::remove_file(project.path("sparkpack.lock")).unwrap();
        assert_eq!(read_lock(&project.root()).unwrap(), Lock::default());
        fs_err::create_dir(project.path("sparkpack.lock")).unwrap();
        assert!(matches!(read_lock(&project.root()), Err(Error::Io(_))));
    }

    #[test]
    fn a_second_writer_waits_for_the_first() {
        let (project, first, second) = (
            TestProject::small(),
            Recorder::default(),
            Recorder::default(),
        );
        let alone = project.session(&first).alone().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| drop(project.session(&second).alone().unwrap()));
            while second.told() != ["waits for `sparkpack`"] {
                assert!(!waiter.is_finished());
                std::thread::yield_now();
            }
            drop(alone);
        });
        assert!(first.told().is_empty());
    }

    #[test]
    fn a_writer_takes_away_what_a_killed_one_left() {
        let (project, events) = (TestProject::small(), Recorder::default());
        let tree = project.cache().entry(CacheKind::Packages, ".sparkpack-x");
        let left = [
            tree.join("wheel/a.py"),
            project.path("dist/job/.sparkpack-y/z"),
        ];
        for file in &left {
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "half").unwrap();
        }
        drop(project.session(&events).alone().unwrap());
        assert!(!tree.exists());
        assert_eq!(
            fs_err::read_dir(project.path("dist/job")).unwrap().count(),
            0
        );
    }

    #[test]
    fn what_a_killed_writer_began_is_told_and_undone() {
        let (project, events) = (TestProject::small(), Recorder::default());
        project.write(".sparkpack-journal", "");
        drop(project.session(&events).alone().unwrap());
        assert!(!project.path(".sparkpack-journal").exists());
        assert_eq!(events.told().len(), 1);
    }

    #[test]
    fn a_file_with_another_name_is_replaced_and_warned_of() {
        let (project, events) = (TestProject::small(), Recorder::default());
        fs_err::hard_link(project.path("base.txt"), project.path("other.txt")).unwrap();
        let session = project.session(&events);
        let replacement = Replacement {
            path: project.path("base.txt"),
            old: Some(Digest::of(b"base\n")),
            bytes: b"new\n".to_vec(),
        };
        session.replace_together(&[replacement]).unwrap();
        assert_eq!(project.read("base.txt"), "new\n");
        assert_eq!(project.read("other.txt"), "base\n");
        let told = events.told();
        assert!(
            matches!(&told[..], [told] if told.starts_with("W111")),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_prepared_is_replaced_and_goes_where_something_else_is() {
        let (project, events) = (TestProject::small(), Recorder::default());
        let session = project.session(&events);
        let new = |bytes: &str| Replacement {
            path: project.path("base.txt"),
            old: Some(Digest::of(b"base\n")),
            bytes: bytes.into(),
        };
        let unfinished = || {
            let files = fs_err::read_dir(project.root()).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with(".sparkpack-")).count()
        };
        session.preparation(vec![new("a")])();
        assert_eq!(
            (project.read("base.txt"), unfinished()),
            ("base\n".to_owned(), 2)
        );
        session.replace_together(&[new("b")]).unwrap();
        assert_eq!(
            (project.read("base.txt"), unfinished()),
            ("b".to_owned(), 0)
        );
        project.write("base.txt", "base\n");
        session.preparation(vec![new("a")])();
        session.replace_together(&[new("a")]).unwrap();
        assert_eq!(
            (project.read("base.txt"), unfinished()),
            ("a".to_owned(), 0)
        );
        // What is no longer as it was read is noticed as late as it can be.
        project.write("base.txt", "base\n");
        session.preparation(vec![new("a")])();
        project.write("base.txt", "other\n");
        session.replace_together(&[new("a")]).unwrap_err();
        assert_eq!(
            (project.read("base.txt"), unfinished()),
            ("other\n".to_owned(), 0)
        );
        session.preparation(vec![new("a")])();
        project.write("base.txt", "base\n");
        session.preparation(vec![new("a")])();
        assert_eq!(unfinished(), 2);
        drop(session);
        assert_eq!(
            (project.read("base.txt"), unfinished()),
            ("base\n".to_owned(), 0)
        );
    }

    #[test]
    fn what_changed_meanwhile_is_not_replaced() {
        let (project, events) = (TestProject::small(), Recorder::default());
        let session = project.session(&events);
        let replacement = Replacement {
            path: project.path("base.txt"),
            old: Some(Digest::of(b"what was read\n")),
            bytes: b"new\n".to_vec(),
        };
        session.replace_together(&[replacement]).unwrap_err();
        assert_eq!(project.read("base.txt"), "base\n");
    }
}
