//! The files of a job: the code that is packed, the file that is run, and what lies beside them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    BesideFile, CodeForm, CodeTree, Package, Project, distribution,
    exclusions::{JobRules, LeftOut, NeverContext},
    file_trees::{FileTrees, Rules},
    folded::folded,
    ignore::{Excluded, Follow, TreeError, whiteout},
    importable, left_out,
    place::Defect,
    tree::{Content, Entry},
};
use crate::{code::Code, image::Digest};

/// What `sparkpack package` packs.
#[derive(Debug)]
pub struct PackageInputs {
    /// The file that `spark-submit` runs; its path is its name.
    pub main: Entry,
    /// The files of `jobs.zip`.
    pub modules: Vec<Entry>,
    /// Where the files of `jobs.zip` lie, relative to the project's folder, in the same order.
    pub module_paths: Vec<String>,
    /// The form of the code in an image.
    pub form: CodeForm,
    /// The files beside the code, by their paths there: further main files, and those of `files`; sorted.
    pub beside: Vec<Entry>,
    /// What built-in rules leave out, sorted.
    pub left_out: Vec<PassedOver>,
    /// Oddities that are no mistakes.
    pub warnings: Vec<Defect>,
}

/// A file of a job's code that a built-in rule leaves out, or a folder with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassedOver {
    /// Where it lies, relative to the project's folder; a folder ends with `/`.
    pub path: String,
    /// Where it would be packed.
    pub packed: String,
}

impl PackageInputs {
    /// The files of the code's folder, if it has that form.
    ///
    /// An `__init__.py` at the top is none of them: nothing can import it, and it would make a package of the folder.
    #[must_use]
    pub fn folder(&self) -> Option<Vec<Entry>> {
        let is_wanted = |entry: &&Entry| entry.path != "__init__.py";
        let modules = self.modules.iter().filter(is_wanted);
        (self.form == CodeForm::Folder).then(|| modules.cloned().collect())
    }

    /// The files beside the code that lie in its folder, by their paths there.
    pub fn beside_code(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let beside = self.beside.iter();
        beside.filter_map(|entry| Some((entry.path.strip_prefix("jobs/")?, entry)))
    }

    /// The digest of the main file.
    #[must_use]
    pub fn main_digest(&self) -> Digest {
        match &self.main.content {
            Content::File { digest, .. } => digest.clone(),
            Content::Symlink { target } => Digest::of(target.as_bytes()),
        }
    }
}

/// What built-in rules left out of a job's folders, by the folder and the rules: a folder is walked only once.
pub(super) type KnownLeftOut = Mutex<HashMap<(PathBuf, String), Vec<PassedOver>>>;

/// Why the files of a job cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error(transparent)]
    Defect(#[from] Defect),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Reads the files of jobs.
pub(super) struct JobReader<'a> {
    pub(super) project: &'a Project,
    pub(super) trees: &'a FileTrees,
    pub(super) never: &'a NeverContext,
    pub(super) left_out: &'a KnownLeftOut,
    /// The project's folder without symbolic links.
    pub(super) root: PathBuf,
}

/// The files of one tree.
struct TreeFiles {
    /// Sorted by the paths that they are packed under.
    files: Vec<(Entry, String)>,
    left_out: Vec<PassedOver>,
}

impl JobReader<'_> {
    /// The files of a job whose code `python` is to import.
    pub(super) fn read(
        &self,
        package: &Package,
        python: Option<(u8, u8)>,
    ) -> Result<PackageInputs, JobError> {
        let mut rules = Vec::new();
        for tree in &package.trees {
            rules.push((tree, JobRules::of(self.project, package, tree, self.never)?));
        }
        let mut trees = Vec::new();
        for (tree, rules) in &rules {
            trees.push(self.tree(package, tree, rules)?);
        }
        let mut left_out: Vec<PassedOver> = Vec::new();
        for tree in &mut trees {
            left_out.append(&mut tree.left_out);
        }
        left_out.sort();
        let files = match trees.len() {
            1 => trees.pop().map(|tree| tree.files).unwrap_or_default(),
            _ => together(package, trees.into_iter().flat_map(|tree| tree.files))?,
        };
        let (mut modules, mut module_paths): (Vec<Entry>, Vec<String>) = files.into_iter().unzip();
        let main = self.main(package)?;
        importable::refuse_what_python_cannot_read(package, "jobs.zip", &modules, python)?;
        importable::refuse_without_module(package, &modules, &main, || {
            let list = |(tree, rules): &(&CodeTree, JobRules<'_>)| {
                let why = |path: &str, is_folder: bool| rules.left_out(path, is_folder);
                let listed = left_out::list(&self.project.root.join(tree.folder()), true, &why);
                let packed = listed
                    .into_iter()
                    .map(|(path, why)| (tree.packed_path(&path), why));
                packed.collect::<Vec<_>>()
            };
            rules.iter().flat_map(list).collect()
        })?;
        let form = package.form.unwrap_or_else(|| usual_form(&modules));
        let beside = self.beside(package)?;
        if form == CodeForm::Folder {
            refuse_beside_code(package, &modules)?;
        }
        let distribution = distribution::of_job(&self.project.root, package, &modules);
        for (entry, path) in distribution.files {
            let at =
                modules.partition_point(|module| module.path.as_bytes() < entry.path.as_bytes());
            modules.insert(at, entry);
            module_paths.insert(at, path);
        }
        Ok(PackageInputs {
            main,
            modules,
            module_paths,
            form,
            beside,
            left_out,
            warnings: distribution.warnings,
        })
    }

    /// Links may lead to code elsewhere in the project: another checkout has it too.
    fn follow<'f>(&'f self, keep: &'f (dyn Fn(&Path) -> bool + Sync)) -> Follow<'f> {
        Follow {
            within: &self.root,
            keep,
        }
    }

    /// The files of a tree. The main file is none of them where it lies in no package: nothing imports it.
    fn tree(
        &self,
        package: &Package,
        tree: &CodeTree,
        job: &JobRules<'_>,
    ) -> Result<TreeFiles, JobError> {
        let root = self.project.root.join(tree.folder());
        let found = Mutex::new(Vec::new());
        let main = package.main.packed.as_deref();
        let main = main.filter(|packed| !packed.contains('/'));
        let allows = |real: &Path| self.never.allows(&self.root, real);
        let rules = Rules {
            name: format!(
                "src {} {}\n{}\n{}",
                tree.path,
                tree.packed,
                main.unwrap_or_default(),
                package.exclude.join("\n")
            ),
            keep: &|path, is_folder| {
                let reason = job.left_out(path, is_folder);
                // What tests and tools at the top of a project are for is clear.
                let is_told = !tree.is_project() || path.contains('/');
                if let Some(LeftOut::Excluded(Excluded::BuiltIn { .. })) = &reason
                    && is_told
                {
                    let end = if is_folder { "/" } else { "" };
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push(PassedOver {
                        path: format!("{}{end}", tree.project_path(path)),
                        packed: format!("{}{end}", tree.packed_path(path)),
                    });
                }
                reason.is_none() && main != Some(&*tree.packed_path(path))
            },
            follow: Some(self.follow(&allows)),
        };
        let module = tree.path.rsplit('/').next().unwrap_or(&tree.path);
        let near = if tree.is_module { module } else { "" };
        let entries = self.trees.choose(&root, &rules, &[near], &|_| true)?;
        let left_out = {
            let mut found =
                std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
            found.sort();
            let mut known = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.entry((root, rules.name.clone()));
            known.or_insert(found).clone()
        };
        let files = entries.into_iter().map(|entry| {
            let path = tree.project_path(&entry.path);
            let packed = tree.packed_path(&entry.path);
            let entry = Entry {
                path: packed,
                ..entry
            };
            (entry, path)
        });
        Ok(TreeFiles {
            files: files.collect(),
            left_out,
        })
    }

    /// The files beside the code. Manifests, locks and secrets are none, whatever matches them.
    fn beside(&self, package: &Package) -> Result<Vec<Entry>, JobError> {
        let root = &self.project.root;
        let spelled = package.beside.iter().map(|(name, file)| {
            let path = self.trees.spelled(&self.root, &file.path);
            (with_end_of(name, &path), path, file)
        });
        let spelled: Vec<(String, String, &BesideFile)> = spelled.collect();
        let wanted: BTreeSet<&str> = spelled.iter().map(|(_, path, _)| path.as_str()).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut files = package.beside.values();
        if let Some(file) = files.find(|file| self.never.has(&root.join(&file.path))) {
            let message = format!(
                "`{}` is a manifest, a lock or a secret, and no image has those",
                file.path
            );
            return Err(Defect::new(Code::E090, file.place.clone(), message)
                .hint("narrow the glob, or that of `[manifests]`")
                .into());
        }
        let near: Vec<&str> = wanted.iter().copied().collect();
        let allows = |real: &Path| self.never.allows(&self.root, real);
        let rules = Rules {
            name: format!("beside {}", near.join("\n")),
            keep: &|path, is_folder| is_folder || wanted.contains(path),
            follow: Some(self.follow(&allows)),
        };
        let found = self.trees.choose(root, &rules, &near, &|_| true)?;
        let found: HashMap<String, Entry> = found
            .into_iter()
            .map(|entry| (entry.path.clone(), entry))
            .collect();
        let mut beside = Vec::new();
        for (name, path, file) in spelled {
            if let Some(entry) = found.get(&path) {
                let mut entry = Entry {
                    path: name,
                    ..entry.clone()
                };
                if let (Content::File { executable, .. }, true) = (&mut entry.content, file.is_main)
                {
                    *executable = false;
                }
                beside.push(entry);
            }
        }
        beside.sort();
        Ok(beside)
    }

    fn main(&self, package: &Package) -> Result<Entry, JobError> {
        let name = package.main.name();
        if whiteout(name).is_some() {
            return Err(TreeError::of_whiteout(name).into());
        }
        let main = self.project.root.join(&package.main.path);
        let unreadable = |error: std::io::Error| {
            Defect::new(Code::E089, package.place.clone(), error.to_string())
        };
        Ok(Entry::of_file(name, &main, false).map_err(unreadable)?)
    }
}

/// The name of a file beside the code, spelled as the end of its path, from which it was made.
fn with_end_of(name: &str, path: &str) -> String {
    let count = name.split('/').count();
    let names: Vec<&str> = path.rsplitn(count + 1, '/').take(count).collect();
    let end: Vec<&str> = names.into_iter().rev().collect();
    let end = end.join("/");
    if folded(&end) == folded(name) {
        end
    } else {
        name.to_owned()
    }
}

/// A folder if the code has files that it can only open, not import: not so from an archive.
fn usual_form(modules: &[Entry]) -> CodeForm {
    let is_data = |entry: &Entry| {
        let extension = Path::new(&entry.path).extension();
        !extension.is_some_and(|extension| extension == "py" || extension == "pyi")
            && entry.path.rsplit('/').next() != Some("py.typed")
    };
    if modules.iter().any(is_data) {
        CodeForm::Folder
    } else {
        CodeForm::Zip
    }
}

/// Refuses files beside the code that would be other files of its folder.
fn refuse_beside_code(package: &Package, modules: &[Entry]) -> Result<(), Defect> {
    for (name, file) in &package.beside {
        let Some(inside) = name.strip_prefix("jobs/") else {
            continue;
        };
        let below = format!("{inside}/");
        let is_taken = modules.iter().any(|module| {
            module.path == inside
                || module.path.starts_with(&below)
                || inside
                    .strip_prefix(module.path.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        });
        if is_taken {
            let message = format!(
                "`{}` would be `{name}` beside the job's code, where the folder of the code has a file",
                file.path
            );
            return Err(Defect::new(Code::E152, file.place.clone(), message)
                .hint("put it into a folder with another name"));
        }
    }
    Ok(())
}

/// The files of several trees, sorted by the paths that they are packed under.
fn together(
    package: &Package,
    files: impl IntoIterator<Item = (Entry, String)>,
) -> Result<Vec<(Entry, String)>, JobError> {
    let mut by_path: BTreeMap<String, (Entry, String)> = BTreeMap::new();
    let mut by_name: HashMap<String, String> = HashMap::new();
    for (entry, path) in files {
        let mut ends: Vec<usize> = entry.path.match_indices('/').map(|(end, _)| end).collect();
        ends.push(entry.path.len());
        for end in ends {
            let name = &entry.path[..end];
            let other = by_name
                .entry(folded(name).into_owned())
                .or_insert_with(|| name.to_owned());
            if other != name {
                return Err(TreeError::of_same(other, name).into());
            }
            let taken = by_path.get(name).filter(|(_, other)| *other != path);
            if let Some((_, other)) = taken {
                return Err(both(package, name, [other, &path]).into());
            }
        }
        by_path.insert(entry.path.clone(), (entry, path));
    }
    let is_folder = |path: &String| {
        let below = format!("{path}/");
        let mut next = by_path.range(below.clone()..);
        next.next()
            .filter(|(next, _)| next.starts_with(&below))
            .map(|(_, (_, other))| other.clone())
    };
    for (name, (_, path)) in &by_path {
        if let Some(other) = is_folder(name) {
            return Err(both(package, name, [path, &other]).into());
        }
    }
    Ok(by_path.into_values().collect())
}

/// The error for two files of a project that would be packed at one place.
fn both(package: &Package, packed: &str, [first, second]: [&str; 2]) -> Defect {
    let message = format!("`{first}` and `{second}` would both be `{packed}` in the job");
    Defect::new(Code::E151, package.place.clone(), message)
        .hint("rename one of them, or leave one out by `exclude` or another `src`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{MainFile, place::Place};

    fn package() -> Package {
        Package {
            place: Place::of_line("sparkpack.toml", 7),
            trees: Vec::new(),
            main: MainFile {
                path: "main.py".to_owned(),
                packed: None,
            },
            beside: BTreeMap::new(),
            form: None,
            exclude: Vec::new(),
            ignored_imports: Vec::new(),
            dist: "dist".to_owned(),
        }
    }

    #[test]
    fn files_of_several_trees_have_a_place_each() {
        let merged = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(packed, path)| {
                let entry = Entry::in_memory(*packed, *path, false);
                (entry, (*path).to_owned())
            });
            let merged = together(&package(), files);
            merged
                .map(|files| files.into_iter().map(|(_, path)| path).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        let two = merged(&[("b/x.py", "b/x.py"), ("a/x.py", "src/a/x.py")]);
        assert_eq!(two.unwrap(), ["src/a/x.py", "b/x.py"]);
        let same = merged(&[("a.py", "src/a.py"), ("a.py", "src/a.py")]);
        assert_eq!(same.unwrap(), ["src/a.py"]);
        for (files, wanted) in [
            (
                &[("a/x.py", "one/a/x.py"), ("a/x.py", "two/a/x.py")][..],
                "`one/a/x.py` and `two/a/x.py` would both be `a/x.py` in the job",
            ),
            (
                &[("a/x", "one/a/x"), ("a", "two/a")],
                "`two/a` and `one/a/x` would both be `a` in the job",
            ),
            (
                &[("a", "two/a"), ("a/x", "one/a/x")],
                "`two/a` and `one/a/x` would both be `a` in the job",
            ),
            (
                &[("A/x.py", "one/A/x.py"), ("a/y.py", "two/a/y.py")],
                "`A` and `a` differ only in case",
            ),
        ] {
            let error = merged(files).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
