//! Files that git has and the disk has not, and that would be inputs of an image if they were there: without them its
//! tag is that of no commit.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    path::{Path, PathBuf},
};

use super::{
    Context, Image, Project,
    exclusions::{ContextRules, JobRules, NeverContext, SourceRules, is_kept},
    inputs::DockerfileInputs,
    links::Links,
    place::Defect,
    tree::{Content, Entry},
};

/// A folder of a job that is reached by more ways than this, by links to folders, is not searched further.
const WAYS_LIMIT: usize = 1000;

/// The files and links that git has and the disk has not.
pub struct Lost<'a> {
    /// The project's folder without symbolic links.
    pub root: &'a Path,
    /// The absolute paths, without symbolic links above them.
    pub paths: &'a [PathBuf],
    /// All links that git has, with their targets.
    pub git_links: &'a BTreeMap<PathBuf, PathBuf>,
    /// Where paths lead.
    pub links: &'a mut Links,
}

impl Lost<'_> {
    /// Those that would be inputs of an image.
    ///
    /// # Errors
    /// The rules that leave files out cannot be read.
    pub fn of_image(
        &mut self,
        project: &Project,
        (image, dockerfile): (&Image, Option<&DockerfileInputs>),
        never: &NeverContext,
    ) -> Result<Vec<PathBuf>, Defect> {
        let mut missing = Vec::new();
        if let (Context::Folder(folder), Some(file), Some(inputs)) =
            (&image.context, &image.dockerfile, dockerfile)
        {
            let rules = ContextRules::of(project, image, folder, never)?;
            let context = self.links.end(&self.root.join(folder));
            let left_out = |path: &str, is_folder: bool| rules.left_out(path, is_folder);
            let is_kept = |path: &str| is_kept(path, left_out);
            missing.extend(self.copied(inputs, &context, &is_kept));
            // A file of rules decides without being copied.
            let of_dockerfile = self.root.join(format!("{file}.dockerignore"));
            missing.extend(self.itself(&of_dockerfile));
            missing.extend(self.itself(&context.join(".dockerignore")));
        }
        if let Some(package) = &image.package {
            for tree in &package.trees {
                let rules = JobRules::of(project, package, tree, never)?;
                let src = self.links.end(&self.root.join(tree.folder()));
                for (path, name) in self.below_and_linked(&src) {
                    if is_kept(&name, |path, is_folder| rules.left_out(path, is_folder)) {
                        missing.push(path.to_owned());
                    }
                }
            }
        }
        if let Some(requirements) = &image.requirements {
            let lock = self.root.join(requirements.lock_file());
            missing.extend(self.itself(&lock));
        }
        Ok(missing)
    }

    /// Those that would be files of a source.
    pub fn of_source(&mut self, source: &Path, rules: &SourceRules) -> Vec<PathBuf> {
        let folder = self.links.end(source);
        let below = self.below(&folder).into_iter();
        below
            .filter(|(_, name)| rules.keep(name, false))
            .map(|(path, _)| path.to_owned())
            .collect()
    }

    /// The file, if it is missing.
    fn itself(&mut self, file: &Path) -> Option<PathBuf> {
        let way = self.links.trail_to_link(file)?;
        self.paths.contains(&way.end).then_some(way.end)
    }

    /// Those below a folder, each with its name in the folder.
    fn below(&self, folder: &Path) -> Vec<(&Path, String)> {
        let in_folder = self.paths.iter().filter_map(|path| {
            let name = path.strip_prefix(folder).ok()?.to_str()?;
            Some((path.as_path(), name.to_owned()))
        });
        in_folder.collect()
    }

    /// The same, also through the links in the folder, which a job's code is packed with.
    fn below_and_linked(&mut self, folder: &Path) -> Vec<(&Path, String)> {
        let mut ways = vec![(String::new(), folder.to_owned())];
        let mut next = 0;
        while let Some((prefix, folder)) = ways.get(next).cloned() {
            next += 1;
            let below = self.git_links.range(folder.clone()..);
            for (link, target) in below.take_while(|(link, _)| link.starts_with(&folder)) {
                let Some(above) = link.parent() else { continue };
                let end = self.links.end(&above.join(target));
                let name = link.strip_prefix(&folder).ok().and_then(Path::to_str);
                let is_circle = link.starts_with(&end);
                if let Some(name) = name.filter(|_| !is_circle && ways.len() < WAYS_LIMIT) {
                    ways.push((joined(&prefix, name), end));
                }
            }
        }
        let found = ways.into_iter().flat_map(|(prefix, folder)| {
            let below = self.below(&folder).into_iter();
            below.map(move |(path, name)| (path, joined(&prefix, &name)))
        });
        found.collect()
    }

    /// Those in a context that the Dockerfile would copy.
    fn copied(
        &self,
        inputs: &DockerfileInputs,
        context: &Path,
        is_kept: &dyn Fn(&str) -> bool,
    ) -> Vec<PathBuf> {
        let mut names = self.below(context);
        names.retain(|(_, name)| is_kept(name));
        // A builder follows links in the context, so they are needed to find what they lead to.
        let links = self.git_links.iter().filter_map(|(link, target)| {
            let path = link.strip_prefix(context).ok()?.to_str()?.to_owned();
            let target = target.to_str()?.to_owned();
            let content = Content::Symlink { target };
            is_kept(&path).then_some(Entry { path, content })
        });
        let mut entries: BTreeMap<String, Entry> = names
            .iter()
            .map(|(_, name)| (name.clone(), Entry::in_memory(name.clone(), "", false)))
            .collect();
        entries.extend(links.map(|entry| (entry.path.clone(), entry)));
        let mut list = |_: &[&str], wanted: &dyn Fn(&str) -> bool| {
            let wanted = entries.values().filter(|entry| wanted(&entry.path));
            Ok::<_, Infallible>(wanted.cloned().collect())
        };
        let selected = if inputs.has_triggers {
            list(&[""], &|_| true)
        } else {
            inputs.resolution.select(&mut list)
        };
        let Ok(selected) = selected;
        let selected: HashSet<String> = selected.into_iter().map(|entry| entry.path).collect();
        let copied = names
            .into_iter()
            .filter(|(_, name)| selected.contains(name));
        copied.map(|(path, _)| path.to_owned()).collect()
    }
}

fn joined(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}/{name}"),
    }
}
