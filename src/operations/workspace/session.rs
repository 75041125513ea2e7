//! One run on one project.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    adapters::{
        digest_cache, git,
        journal::{self, Replacement},
        store,
    },
    error::Error,
    image::Digest,
    operations::{
        events::{Events, Note},
        manifests::ManifestCache,
    },
    project::{
        self, FILE_NAME, PinMode, Project,
        file_trees::FileTrees,
        glob,
        lock::{self, Lock},
        pins::Pins,
        place::{Defect, Place, nearest},
    },
};

/// What every verb has at hand.
pub(crate) struct Session<'a> {
    pub(crate) events: &'a dyn Events,
    pub(crate) project: Project,
    pub(crate) cache: PathBuf,
    pub(crate) trees: FileTrees,
    manifest_cache: OnceLock<ManifestCache>,
}

impl<'a> Session<'a> {
    /// Finds the project in `directory`, or here and above, and reads its configuration.
    pub(crate) fn open(directory: Option<&Path>, events: &'a dyn Events) -> Result<Self, Error> {
        let root = find_root(directory)?;
        let project = project::load(&root, &store::environment)?;
        project
            .warnings
            .iter()
            .for_each(|warning| events.warn(warning));
        let cache = store::cache_folder();
        let digests = digest_cache::open(&digest_cache::file_for(&cache, &root));
        let trees = with_bits_of_git(&root, FileTrees::new(digests))?;
        Ok(Self {
            events,
            project,
            cache,
            trees,
            manifest_cache: OnceLock::new(),
        })
    }

    /// What is known of the manifests.
    pub(crate) fn manifest_cache(&self) -> &ManifestCache {
        self.manifest_cache
            .get_or_init(|| ManifestCache::open(&self.cache, &self.project.root))
    }

    /// Keeps what is known of the files for the next run.
    pub(crate) fn keep_stats(&self) {
        if let Some(manifest_cache) = self.manifest_cache.get() {
            manifest_cache.keep(&self.cache, &self.project.root);
        }
        let file = digest_cache::file_for(&self.cache, &self.project.root);
        digest_cache::keep(&file, self.trees.digests());
    }

    /// Keeps other runs that write out of this project until the result is dropped.
    pub(crate) fn alone(&self) -> Result<File, Error> {
        let root = fs_err::canonicalize(&self.project.root)?;
        let name = Digest::of(root.as_os_str().as_encoded_bytes());
        let file = self.cache.join("locks").join(name.short(32));
        let waiting = || self.events.note(Note::WaitingForProject);
        let alone = store::lock(&file, waiting)?;
        self.clean_up()?;
        Ok(alone)
    }

    /// Completes or undoes what a killed run has begun, and takes away what it has left.
    fn clean_up(&self) -> Result<(), Error> {
        let root = &self.project.root;
        let globs = self.project.manifests.values().flatten();
        let globs: Vec<_> = globs
            .filter_map(|glob| glob::compile(&glob.pattern).ok())
            .collect();
        let services = |path: &str| globs.iter().any(|glob| glob.is_match(path));
        if let Some(recovered) = journal::recover(root, &services)? {
            self.events.note(Note::Recovered(&recovered));
        }
        for kind in ["stats", "archives", "origins", "records", "revisions"] {
            store::sweep(&self.cache.join(kind));
        }
        let dist = root.join("dist");
        store::sweep(&dist);
        for entry in fs_err::read_dir(&dist).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                store::sweep(&entry.path());
            }
        }
        Ok(())
    }

    /// Replaces files of the project, all or none, and warns of those that have other names.
    pub(crate) fn replace_together(&self, files: &[Replacement]) -> Result<(), Error> {
        let root = &self.project.root;
        for linked in journal::replace_together(root, files)? {
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
            let defect = Defect::new("W111", Place::of_line(file, 1), message);
            self.events.warn(&defect.hint(hint));
        }
        Ok(())
    }

    /// The images that are meant: the named ones, else all.
    pub(crate) fn targets(&self, named: &[String]) -> Result<Vec<String>, Error> {
        let images = &self.project.images;
        if let Some(name) = named.iter().find(|name| !images.contains_key(*name)) {
            let known: Vec<&str> = images.keys().map(String::as_str).collect();
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || format!("the images are {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("there is no image `{name}`");
            return Err(Error::Usage {
                code: "E084",
                message,
                hint,
            });
        }
        Ok(if named.is_empty() {
            images.keys().cloned().collect()
        } else {
            named.to_vec()
        })
    }

    /// The pins of the project; none where the manifests hold tags alone.
    pub(crate) fn pins(&self) -> Result<Pins, Error> {
        match self.project.pin {
            PinMode::Tag => Ok(Pins::default()),
            PinMode::TagAndDigest => Ok(Pins::read(&self.project.root)?),
        }
    }

    /// The name and the prefix of the registry that is meant.
    pub(crate) fn registry<'b>(
        &'b self,
        name: Option<&'b str>,
    ) -> Result<(&'b str, &'b str), Error> {
        let registry = self.project.registry(name);
        registry.map_err(|message| Error::Usage {
            code: "E087",
            message,
            hint: "choose one with `--registry NAME`".to_owned(),
        })
    }
}

/// Where git does not trust the disk's executable bits, nor must a tag: those of its index count.
fn with_bits_of_git(root: &Path, trees: FileTrees) -> Result<FileTrees, Error> {
    match git::executable_bits(root) {
        Ok(None) => Ok(trees),
        Ok(Some(bits)) => Ok(trees.with_executable_bits(bits)),
        Err(reason) => Err(Error::Usage {
            code: "E097",
            message: format!(
                "`core.fileMode` is off, so executable bits come from git's index, but {reason}"
            ),
            hint: reason.hint(),
        }),
    }
}

/// The folder of the project in `directory`, or here or above.
pub(crate) fn find_root(directory: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(directory) = directory {
        return if directory.join(FILE_NAME).exists() {
            Ok(directory.to_owned())
        } else {
            Err(no_project(&format!(
                "no {FILE_NAME} in {}",
                directory.display()
            )))
        };
    }
    let here = store::current_folder()?;
    let above = here
        .ancestors()
        .find(|folder| folder.join(FILE_NAME).exists());
    above.map(Path::to_owned).ok_or_else(|| {
        no_project(&format!(
            "no {FILE_NAME} in {} or its parents",
            here.display()
        ))
    })
}

fn no_project(message: &str) -> Error {
    Error::Usage {
        code: "E010",
        message: message.to_owned(),
        hint:
            "go to the project's folder, or write one: the README shows the ten lines that it needs"
                .to_owned(),
    }
}

/// The lock of the project in `root` as it is now; an empty one where there is none.
pub(crate) fn read_lock(root: &Path) -> Result<Lock, Error> {
    let file = root.join(lock::FILE_NAME);
    match fs_err::read_to_string(&file) {
        Ok(text) => Ok(Lock::parse(Path::new(lock::FILE_NAME), &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(error.into()),
    }
}
