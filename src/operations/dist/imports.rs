//! Checks where the imports of jobs lead, before anything is made of their code.
//!
//! What a file imports is kept in the cache by the file's digest, and what was found in a job by the digest of everything
//! that it depends on: if nothing has changed, no file is read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use super::world::JobImage;
use super::{
    installed::Installations,
    keys::key_of_dist,
    whereabouts::ModulesOfProject,
    world::{BELOW, IN_ZIP, World},
};
use crate::{
    adapters::{cache::CacheKind, digest_cache, store},
    code::Code,
    error::Error,
    image::Digest,
    operations::workspace::Session,
    package::imports::{self, Imported, Job, JobFile, PartNeed, Told},
    project::{
        Context, Package,
        job_files::PackageInputs,
        place::{Defect, Place},
        python_code::{self, PythonCode},
        tree::{Content, Entry},
    },
};

/// The version of the code that reads files and follows imports. Must change whenever the same files may give another
/// result.
const READER: &str = "imports 3";

/// The most warnings about one job.
const MOST: usize = 100;

/// The checks of one run.
pub(super) struct Imports<'a> {
    session: &'a Session<'a>,
    installations: &'a Installations<'a>,
    is_strict: bool,
    modules: ModulesOfProject,
    /// What was told: jobs may share their code.
    told: Mutex<BTreeSet<String>>,
}

impl<'a> Imports<'a> {
    pub(super) fn new(
        session: &'a Session<'a>,
        installations: &'a Installations<'a>,
        is_strict: bool,
    ) -> Self {
        Self {
            session,
            installations,
            is_strict,
            modules: ModulesOfProject::default(),
            told: Mutex::default(),
        }
    }

    /// Warns of everything that was found.
    ///
    /// # Errors
    /// Python cannot read a file; or an import leads nowhere, and the run is strict. All such are told at once.
    pub(super) fn check(&self, jobs: &[JobImage]) -> Result<(), Error> {
        let mut errors = Vec::new();
        for job in jobs {
            let imported = self.imported(job)?;
            errors.extend(self.tell(job, &imported));
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Error::of_all(errors))
    }

    /// Tells the warnings, and returns the errors.
    fn tell(&self, job: &JobImage, imported: &Imported) -> Vec<Defect> {
        let found = imported.findings.iter().map(|finding| {
            let known = self.modules.of(&self.session.project, &job.image, finding);
            finding.defect(&known, self.is_strict)
        });
        let not_copied = not_copied(job, &imported.needs).map(|defect| {
            let code = Code::E209;
            if self.is_strict {
                Told::Error(Defect { code, ..defect })
            } else {
                Told::Warning(defect)
            }
        });
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut errors, mut warnings) = (Vec::new(), 0);
        for defect in found.chain(not_copied) {
            if !told.insert(defect.to_string()) {
                continue;
            }
            match defect {
                Told::Error(defect) => errors.push(defect),
                Told::Warning(defect) => {
                    warnings += 1;
                    if warnings <= MOST {
                        self.session.events.warn(&defect);
                    }
                }
            }
        }
        if warnings > MOST {
            let place = job.image.place.clone();
            let (more, name) = (warnings - MOST, &job.image.name);
            let message = format!("{more} more imports of `{name}` lead nowhere");
            let defect = Defect::new(Code::W140, place, message);
            self.session.events.warn(&defect);
        }
        errors
    }

    /// What is found in a job; from the cache if nothing has changed.
    fn imported(&self, job: &JobImage) -> Result<Imported, Error> {
        let (Some(package), Some(inputs)) = (&job.image.package, &job.job.inputs.package) else {
            return Ok(Imported::default());
        };
        let Some(target) = &job.job.target else {
            return Ok(Imported::default());
        };
        let wanted = job.job.to_install();
        if job.installs && self.installations.are_listed(wanted).contains(&false) {
            let mut progress = self.session.events.begin(&job.image.name);
            self.installations.listed(wanted, progress.as_mut())?;
        }
        let key = format!(
            "{READER}\n{}\npython {:?}\n{:?}\n{:?}\n{}{}\n{}",
            env!("CARGO_PKG_VERSION"),
            target.python,
            package.trees,
            package.main,
            job.key_of_world(self.installations),
            key_of_dist(inputs, wanted),
            package.ignored_imports.join("\n"),
        );
        let key = Digest::of(key.as_bytes());
        let file = self.file_for(&job.image.name, "found");
        if let Some(found) = kept(&file, &key) {
            return Ok(found);
        }
        let (found, has_changed) = self.examined(job, (package, inputs), target.python)?;
        if !has_changed {
            keep(&file, &key, &found);
        }
        Ok(found)
    }

    /// The cache's file for a job.
    fn file_for(&self, image: &str, what: &str) -> PathBuf {
        let root = &self.session.project.root;
        let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.clone());
        let name = Digest::of(format!("{what} of {image} in {}", root.display()).as_bytes());
        self.session.cache.entry(CacheKind::Imports, name.hex())
    }

    /// What is found in a job, and whether a file changed meanwhile.
    fn examined(
        &self,
        job: &JobImage,
        (package, inputs): (&Package, &PackageInputs),
        python: (u8, u8),
    ) -> Result<(Imported, bool), Error> {
        let (code, data) = files_of(package, inputs);
        let known_file = self.file_for(&job.image.name, "files");
        let read = ReadFiles::of(&known_file, python, &code)?;
        let files: Vec<(JobFile, &PythonCode)> = code
            .iter()
            .zip(&read.codes)
            .map(|((file, _), code)| (file.clone(), &**code))
            .collect();
        let world = World::of(job, self.installations);
        let found = imports::check(&Job {
            python,
            files: &files,
            data: &data,
            packages: &world.packages,
            others: &world.others,
            has_unknown: world.has_unknown,
            ignored: &package.ignored_imports,
        });
        read.keep(&known_file, python, &code);
        Ok((found, read.has_changed))
    }
}

/// The Python files of a job, with the entries that have their bytes, and the paths of its other files.
fn files_of<'i>(
    package: &Package,
    inputs: &'i PackageInputs,
) -> (Vec<(JobFile, &'i Entry)>, Vec<&'i str>) {
    let main = JobFile {
        path: package
            .main
            .packed
            .clone()
            .unwrap_or_else(|| inputs.main.path.clone()),
        shown: package.main.path.clone(),
        is_main: true,
    };
    let (mut files, mut data) = (vec![(main, &inputs.main)], Vec::new());
    for (entry, path) in inputs.modules.iter().zip(&inputs.module_paths) {
        if !is_python(&entry.path) {
            data.push(entry.path.as_str());
            continue;
        }
        let file = JobFile {
            path: entry.path.clone(),
            shown: path.clone(),
            is_main: false,
        };
        files.push((file, entry));
    }
    // What lies beside the code is found by the file that is started there.
    for entry in &inputs.beside {
        let file = package.beside.get(&entry.path);
        match file.filter(|file| is_python(&file.path)) {
            Some(file) => files.push((
                JobFile {
                    path: entry.path.clone(),
                    shown: file.path.clone(),
                    is_main: file.is_main,
                },
                entry,
            )),
            None => data.push(entry.path.as_str()),
        }
    }
    (files, data)
}

fn is_python(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|ending| ending == "py")
}

/// What the Python files of a job say.
struct ReadFiles {
    codes: Vec<Arc<PythonCode>>,
    /// Whether any of them is not in the cache.
    has_news: bool,
    /// Whether a file is not what it was when its digest was taken.
    has_changed: bool,
}

/// One file in the cache: its digest, and what it says.
#[derive(Deserialize, Serialize)]
struct Row(Digest, Arc<PythonCode>);

impl ReadFiles {
    fn of(known: &Path, python: (u8, u8), files: &[(JobFile, &Entry)]) -> Result<Self, Error> {
        let mut known = rows(known, python);
        let mut missing: BTreeMap<&Digest, &Entry> = BTreeMap::new();
        for (_, entry) in files {
            if let Some(digest) = digest_of(entry).filter(|digest| !known.contains_key(*digest)) {
                missing.insert(digest, entry);
            }
        }
        let (has_news, mut has_changed) = (!missing.is_empty(), false);
        if has_news {
            for (digest, code, is_same) in read_all(&missing, python)? {
                known.insert(digest.clone(), Arc::new(code));
                has_changed |= !is_same;
            }
        }
        let codes = files.iter().map(|(_, entry)| {
            let code = digest_of(entry).and_then(|digest| known.get(digest));
            code.cloned().unwrap_or_default()
        });
        Ok(Self {
            codes: codes.collect(),
            has_news,
            has_changed,
        })
    }

    /// Keeps what the files say for the next run; a failure only costs time.
    fn keep(&self, file: &Path, python: (u8, u8), files: &[(JobFile, &Entry)]) {
        if !self.has_news || self.has_changed {
            return;
        }
        let entries = files.iter().map(|(_, entry)| digest_of(entry));
        let rows = entries.zip(&self.codes);
        let rows: BTreeMap<&Digest, &Arc<PythonCode>> = rows
            .filter_map(|(digest, code)| Some((digest?, code)))
            .collect();
        let rows: Vec<String> = rows
            .par_iter()
            .filter_map(|row| Some(serde_json::to_string(&row).ok()? + "\n"))
            .collect();
        let text: String = rows.concat();
        let head = head(python, &Digest::of(text.as_bytes()));
        drop(store::replace_unsynced(
            file,
            format!("{head}\n{text}").as_bytes(),
        ));
    }
}

/// What these files say, each with whether it still has the digest that it had.
fn read_all<'d>(
    entries: &BTreeMap<&'d Digest, &Entry>,
    python: (u8, u8),
) -> Result<Vec<(&'d Digest, PythonCode, bool)>, std::io::Error> {
    let read = |(digest, entry): (&&'d Digest, &&Entry)| {
        let mut bytes = Vec::new();
        if let Content::File { location, .. } = &entry.content {
            location.open()?.read_to_end(&mut bytes)?;
        }
        let is_same = Digest::of(&bytes) == **digest;
        Ok((*digest, python_code::read(&bytes, python), is_same))
    };
    let pool = rayon::ThreadPoolBuilder::new().stack_size(python_code::STACK);
    let pool = pool.build().map_err(std::io::Error::other)?;
    pool.install(|| entries.par_iter().map(read).collect())
}

/// What an earlier run read, by digest. A file that is damaged, or of another version, counts as empty.
fn rows(file: &Path, python: (u8, u8)) -> HashMap<Digest, Arc<PythonCode>> {
    let known = || {
        let bytes = digest_cache::own_bytes(file)?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (first, rest) = text.split_once('\n')?;
        if first != head(python, &Digest::of(rest.as_bytes())) {
            return None;
        }
        let rows = rest.par_lines().map(|row| {
            let Row(digest, code) = serde_json::from_str(row).ok()?;
            Some((digest, code))
        });
        rows.collect::<Option<HashMap<Digest, Arc<PythonCode>>>>()
    };
    known().unwrap_or_default()
}

fn head((major, minor): (u8, u8), digest: &Digest) -> String {
    format!(
        "{READER} {} {major}.{minor} {digest}",
        env!("CARGO_PKG_VERSION")
    )
}

fn digest_of(entry: &Entry) -> Option<&Digest> {
    match &entry.content {
        Content::File { digest, .. } => Some(digest),
        Content::Symlink { .. } => None,
    }
}

/// What was found before under the same key.
fn kept(file: &Path, key: &Digest) -> Option<Imported> {
    let bytes = digest_cache::own_bytes(file)?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let mut lines = text.splitn(3, '\n');
    let (of, digest, found) = (lines.next()?, lines.next()?, lines.next()?);
    (of == key.as_str() && digest == Digest::of(found.as_bytes()).as_str())
        .then(|| serde_json::from_str(found).ok())?
}

/// Keeps what was found; a failure only costs time.
fn keep(file: &Path, key: &Digest, found: &Imported) {
    if let Ok(found) = serde_json::to_string(found) {
        let text = format!("{key}\n{}\n{found}", Digest::of(found.as_bytes()));
        drop(store::replace_unsynced(file, text.as_bytes()));
    }
}

/// The parts of the packages that the code needs, and that the job's own Dockerfile does not copy.
fn not_copied<'j>(job: &'j JobImage, needs: &'j [PartNeed]) -> impl Iterator<Item = Defect> + 'j {
    let own = job.job.own_dockerfile().filter(|_| !job.job.has_unknown());
    needs.iter().filter_map(move |need| {
        let inputs = own.filter(|_| need.part < BELOW)?;
        let name = if need.part == IN_ZIP {
            "libs.zip"
        } else {
            "site-packages"
        };
        let path = match job.image.context {
            Context::Package => name.to_owned(),
            _ => format!("dist/{name}"),
        };
        if inputs.resolution.may_copy(&path) {
            return None;
        }
        let file = inputs.dockerfile.file();
        let message = format!(
            "your Dockerfile does not copy `{path}`, which has `{}`, and {}:{} imports it",
            need.module, need.file, need.at.0
        );
        let to = if need.part == IN_ZIP {
            "/opt/job/"
        } else {
            "/opt/job/site-packages/"
        };
        let defect = Defect::new(Code::W142, Place::of_line(file, 1), message);
        Some(defect.hint(format!(
            "write `COPY {path} {to}`, which `PYTHONPATH` has to name"
        )))
    })
}
