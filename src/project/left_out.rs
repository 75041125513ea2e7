//! What lies in an image's folders and is no input of it, each with the rule that says so.
//!
//! The rules are asked by the same functions that choose the inputs, so that the two cannot disagree.

use std::{collections::BTreeSet, path::Path};

use walkdir::WalkDir;

use super::{
    Context, Image, Project,
    exclusions::{ContextRules, JobRules, LeftOut, NeverContext},
    ignore::escaped,
    place::Defect,
    tree::Entry,
};

/// A folder of an image, and what of it is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// `context` or `src`.
    pub role: &'static str,
    /// The folder, below the project's.
    pub folder: String,
    /// Paths below the folder, a whole folder with `/` at its end, in their order.
    pub paths: Vec<(String, LeftOut)>,
}

/// What of an image's folders is no input, where `context` is what of its context folder is; nothing for a built-in
/// Dockerfile, which sees no folder.
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
        let rules = JobRules::of(project, package, never)?;
        let why = |path: &str, is_folder: bool| rules.left_out(path, is_folder);
        folders.push(Folder {
            role: "src",
            folder: package.src.clone(),
            paths: list(&project.root.join(&package.src), true, &why),
        });
    }
    Ok(folders)
}

/// Gives the reason why a path, a folder or not, is no input.
type Why<'a> = dyn Fn(&str, bool) -> Option<LeftOut> + 'a;

/// What `why` leaves out below `root`; what cannot be read was told when the inputs were read.
fn list(root: &Path, follow: bool, why: &Why<'_>) -> Vec<(String, LeftOut)> {
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

/// What is left out so far, with the folders that are being read.
#[derive(Default)]
struct Listed {
    paths: Vec<(String, LeftOut)>,
    open: Vec<OpenFolder>,
}

struct OpenFolder {
    depth: usize,
    path: String,
    /// How much was left out before it.
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

    /// Closes the folders that an entry at `depth` does not lie in: one that is left out whole, for one reason, is one row.
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
