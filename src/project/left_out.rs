//! The files in an image's folders that are no input of it, each with the rule that excludes it.
//!
//! The functions that choose the inputs decide here too, so that the two lists cannot disagree.

use std::{collections::BTreeSet, path::Path};

use walkdir::WalkDir;

use super::{
    Context, Image, Project,
    exclusions::{ContextRules, JobRules, LeftOut, NeverContext},
    ignore::escaped,
    place::Defect,
    tree::Entry,
};

/// A folder of an image, and the files in it that are no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// `context` or `src`.
    pub role: &'static str,
    /// The folder, relative to the project.
    pub folder: String,
    /// Paths below the folder, sorted; a whole folder ends with `/`.
    pub paths: Vec<(String, LeftOut)>,
}

/// The files in an image's folders that are no input; `context` are the inputs from its context folder. A built-in
/// Dockerfile reads no folder of the project, so it has none.
///
/// # Errors
/// The rules cannot be read.
pub fn of(
    project: &Project,
    image: &Image,
    context: &[Entry],
    never: &NeverContext,
) -> Result<Vec<Folder>, Defect> {
    let mut folders = Vec::new();
    if let (Context::Folder(folder), Some(file)) = (&image.context, &image.dockerfile) {
        let rules = ContextRules::of(project, image, folder, never)?;
        let inputs: BTreeSet<&str> = context.iter().map(|entry| &*entry.path).collect();
        let why = |path: &str, is_folder: bool| {
            let no_copy =
                || (!is_folder && !inputs.contains(path)).then(|| LeftOut::NoCopy(file.clone()));
            rules.left_out(path, is_folder).or_else(no_copy)
        };
        folders.push(Folder {
            role: "context",
            folder: folder.clone(),
            paths: list(&project.root.join(folder), false, &why),
        });
    }
    if let Some(package) = &image.package {
        for tree in package.trees.iter().filter(|tree| !tree.is_module) {
            let rules = JobRules::of(project, package, tree, never)?;
            let why = |path: &str, is_folder: bool| rules.left_out(path, is_folder);
            folders.push(Folder {
                role: "src",
                folder: tree.path.clone(),
                paths: list(&project.root.join(&tree.path), true, &why),
            });
        }
    }
    Ok(folders)
}

/// Gets a path and whether it is a folder, and returns the reason why it is no input.
pub(super) type Why<'a> = dyn Fn(&str, bool) -> Option<LeftOut> + 'a;

/// The paths below `root` that `why` gives a reason for. Unreadable ones are skipped: reading the inputs has reported
/// them.
pub(super) fn list(root: &Path, follow: bool, why: &Why<'_>) -> Vec<(String, LeftOut)> {
    let mut walker = WalkDir::new(root)
        .min_depth(1)
        .follow_links(follow)
        .sort_by_file_name()
        .into_iter();
    let mut listed = Listed::default();
    while let Some(next) = walker.next() {
        let Ok(entry) = next else { continue };
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let path = relative.to_string_lossy();
        let is_folder = entry.file_type().is_dir();
        listed.leave(entry.depth());
        match why(&path, is_folder) {
            Some(reason) => {
                let end = if is_folder { "/" } else { "" };
                listed
                    .paths
                    .push((format!("{}{end}", escaped(&*path)), reason));
                if is_folder {
                    walker.skip_current_dir();
                }
            }
            None if is_folder => listed.enter(entry.depth(), &path),
            None => listed.keep(),
        }
    }
    listed.leave(0);
    listed.paths
}

/// The paths left out so far, and the folders that the walk is in.
#[derive(Default)]
struct Listed {
    paths: Vec<(String, LeftOut)>,
    open: Vec<OpenFolder>,
}

struct OpenFolder {
    depth: usize,
    path: String,
    /// The length of `paths` when the walk entered the folder.
    start: usize,
    /// Whether something in it is an input.
    is_kept: bool,
}

impl Listed {
    fn enter(&mut self, depth: usize, path: &str) {
        self.open.push(OpenFolder {
            depth,
            path: escaped(path),
            start: self.paths.len(),
            is_kept: false,
        });
    }

    fn keep(&mut self) {
        for folder in &mut self.open {
            folder.is_kept = true;
        }
    }

    /// Leaves the folders that do not contain an entry at `depth`. A folder that is left out whole for one reason
    /// becomes one row.
    fn leave(&mut self, depth: usize) {
        while let Some(folder) = self.open.pop_if(|folder| folder.depth >= depth) {
            let [(_, reason), others @ ..] = &self.paths[folder.start..] else {
                continue;
            };
            if !folder.is_kept && others.iter().all(|(_, other)| other == reason) {
                let reason = reason.clone();
                self.paths.truncate(folder.start);
                self.paths.push((format!("{}/", folder.path), reason));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for path in files {
            let file = folder.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, path).unwrap();
        }
        let why = |path: &str, is_folder: bool| {
            let name = path.rsplit('/').next().unwrap();
            let out = name.starts_with("no") || (!is_folder && name.starts_with('x'));
            out.then(|| LeftOut::NoCopy(name[..1].to_owned()))
        };
        let paths = list(folder.path(), false, &why);
        let shown = paths.into_iter().map(|(path, why)| format!("{path} {why}"));
        shown.collect()
    }

    #[test]
    fn whole_folders_are_one_row() {
        let row = |path: &str, name: &str| format!("{path} no COPY of {name} can match it");
        assert_eq!(
            listed(&[
                "a/x1", "a/b/x2", "c/x3", "c/keep", "no/keep", "d/x4", "d/no/x5", "x6"
            ]),
            [
                row("a/", "x"),
                row("c/x3", "x"),
                row("d/no/", "n"),
                row("d/x4", "x"),
                row("no/", "n"),
                row("x6", "x")
            ]
        );
        assert_eq!(listed(&["a/keep"]), [""; 0]);
    }
}
