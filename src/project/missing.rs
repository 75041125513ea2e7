//! Files that git has and the disk has not, and that would be inputs of an image if they were there: without them its
//! tag is that of no commit.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use super::{
    Context, Image, Project,
    exclusions::{ContextRules, JobRules, NeverContext},
    inputs::DockerfileInputs,
    place::Defect,
    tree::Entry,
};

/// Those of `paths` (absolute, below `root`, which is the project's folder) that would be inputs of an image.
///
/// # Errors
/// The rules that leave files out cannot be read.
pub fn of<'p>(
    project: &Project,
    root: &Path,
    (image, dockerfile): (&Image, Option<&DockerfileInputs>),
    never: &NeverContext,
    paths: &'p [PathBuf],
) -> Result<Vec<&'p Path>, Defect> {
    let mut missing = Vec::new();
    if let (Context::Folder(folder), Some(file), Some(inputs)) =
        (&image.context, &image.dockerfile, dockerfile)
    {
        let rules = ContextRules::of(project, image, folder, never)?;
        let context = root.join(folder);
        let is_out = |path: &str, is_folder: bool| rules.left_out(path, is_folder).is_some();
        let kept = below(&context, paths, &is_out);
        missing.extend(copied(inputs, &kept));
        // A file of rules decides without being copied.
        let of_dockerfile = root.join(format!("{file}.dockerignore"));
        let rules = [of_dockerfile, context.join(".dockerignore")];
        let of_rules = paths.iter().filter(|path| rules.contains(path));
        missing.extend(of_rules.map(PathBuf::as_path));
    }
    if let Some(package) = &image.package {
        let rules = JobRules::of(project, package, never)?;
        let is_out = |path: &str, is_folder: bool| rules.left_out(path, is_folder).is_some();
        let kept = below(&root.join(&package.src), paths, &is_out);
        missing.extend(kept.into_iter().map(|(path, _)| path));
    }
    Ok(missing)
}

/// The paths below a folder that no rule leaves out, each with its name in the folder.
fn below<'p>(
    folder: &Path,
    paths: &'p [PathBuf],
    is_out: &dyn Fn(&str, bool) -> bool,
) -> Vec<(&'p Path, &'p str)> {
    let in_folder = paths.iter().filter_map(|path| {
        let name = path.strip_prefix(folder).ok()?.to_str()?;
        Some((path.as_path(), name))
    });
    let is_kept = |(_, name): &(&Path, &str)| {
        let mut folders = name.match_indices('/').map(|(end, _)| &name[..end]);
        !folders.any(|folder| is_out(folder, true)) && !is_out(name, false)
    };
    in_folder.filter(is_kept).collect()
}

/// Those of the paths that the Dockerfile would copy.
fn copied<'p>(inputs: &DockerfileInputs, paths: &[(&'p Path, &'p str)]) -> Vec<&'p Path> {
    let entries: Vec<Entry> = paths
        .iter()
        .map(|(_, name)| Entry::in_memory(*name, "", false))
        .collect();
    let mut list = |_: &[&str], wanted: &dyn Fn(&str) -> bool| {
        let wanted = entries.iter().filter(|entry| wanted(&entry.path));
        Ok::<_, Infallible>(wanted.cloned().collect())
    };
    let Ok(selected) = inputs.resolution.select(&mut list);
    let is_copied = |name: &str| selected.iter().any(|entry| entry.path == name);
    let copied = paths.iter().filter(|(_, name)| is_copied(name));
    copied.map(|(path, _)| *path).collect()
}
