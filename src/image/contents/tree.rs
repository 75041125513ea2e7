use std::collections::{BTreeMap, BTreeSet};

use super::scan::{LayerContents, Node, name_of, normal};

/// As many links are followed on the way to a file; more are a circle.
const LINKS_LIMIT: usize = 40;

/// The files of an image: all its layers, on top of each other.
///
/// Paths have no slash at their beginning.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// A file at the end of all links.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The file's own path.
    pub(super) path: String,
    /// The paths on the way: first the one that was asked for, then what each link leads to.
    pub(super) way: Vec<String>,
}

impl Tree {
    /// Puts a layer on top.
    pub fn add(&mut self, layer: LayerContents) {
        // What a layer hides is below it: its own files stay, wherever in it the whiteout stands.
        for path in layer.opaque {
            let folder = self.below_links(&path);
            self.remove_below(&folder);
        }
        for path in layer.deleted {
            let path = self.below_links(&path);
            self.remove_below(&path);
            self.nodes.remove(&path);
        }
        for (path, node) in layer.files {
            self.put(&path, node);
        }
    }

    fn put(&mut self, path: &str, node: Node) {
        let path = self.below_links(path);
        if path.is_empty() {
            return;
        }
        let node = match node {
            Node::Hard(target) => match self.nodes.get(&self.below_links(&target)) {
                Some(same) => same.clone(),
                None => return,
            },
            node => node,
        };
        let is_folder = matches!(node, Node::Folder { .. });
        if !is_folder && matches!(self.nodes.get(&path), Some(Node::Folder { .. })) {
            self.remove_below(&path);
        }
        self.nodes.insert(path, node);
    }

    fn remove_below(&mut self, folder: &str) {
        if folder.is_empty() {
            self.nodes.clear();
            return;
        }
        let below: Vec<String> = self.paths_below(folder).map(str::to_owned).collect();
        for path in below {
            self.nodes.remove(&path);
        }
    }

    /// A path whose folders are no links: a file is put where they lead, and takes the place of a link of its own name.
    fn below_links(&self, path: &str) -> String {
        let path = normal(path);
        let Some((folder, name)) = path.rsplit_once('/') else {
            return path;
        };
        let folder = match self.resolve(folder) {
            Some(resolved) => resolved.path,
            // It is made with the file, below what its own folders lead to.
            None => self.below_links(folder),
        };
        format!("{folder}/{name}")
            .trim_start_matches('/')
            .to_owned()
    }

    /// All paths below a folder, sorted.
    fn paths_below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        // `0` comes after `/`.
        let range = if folder.is_empty() {
            String::new()..String::from("\u{10ffff}")
        } else {
            format!("{folder}/")..format!("{folder}0")
        };
        self.nodes.range(range).map(|(path, _)| path.as_str())
    }

    /// The names in a folder, sorted.
    pub(super) fn names_in(&self, folder: &str) -> Vec<String> {
        let Some(folder) = self.resolve(folder) else {
            return Vec::new();
        };
        let start = match folder.path.len() {
            0 => 0,
            length => length + 1,
        };
        let below = self.paths_below(&folder.path);
        let names = below.filter_map(|path| path.get(start..)?.split('/').next());
        // A file may be there without an entry of its own for its folder.
        let names: BTreeSet<&str> = names.collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// All paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Follows all links, within the image. `None` if the file is not there, or the links go round in a circle.
    pub(super) fn resolve(&self, path: &str) -> Option<Resolved> {
        let mut rest: Vec<String> = parts(path);
        let mut done: Vec<String> = Vec::new();
        let mut way = vec![normal(path)];
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = done.join("/");
            if let Some(Node::Link(target)) = self.nodes.get(&here) {
                links += 1;
                if links > LINKS_LIMIT {
                    return None;
                }
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                let is_last = rest.is_empty();
                rest.extend(parts(target));
                if is_last {
                    let to = format!("{}/{target}", done.join("/"));
                    way.push(normal(&to));
                }
            } else if !rest.is_empty() && matches!(self.nodes.get(&here), Some(Node::File(_))) {
                return None;
            }
        }
        let path = done.join("/");
        let is_there = path.is_empty()
            || self.nodes.contains_key(&path)
            || self.paths_below(&path).next().is_some();
        is_there.then_some(Resolved { path, way })
    }

    /// The file at a path, at the end of all links, with as much of its content as was kept.
    pub(super) fn file(&self, path: &str) -> Option<(Resolved, Option<&[u8]>)> {
        let resolved = self.resolve(path)?;
        match self.nodes.get(&resolved.path)? {
            Node::File(content) => Some((resolved, content.as_deref())),
            Node::Folder { .. } | Node::Link(_) | Node::Hard(_) => None,
        }
    }

    /// The text of a file, if it was kept.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let (_, content) = self.file(path)?;
        content.map(|content| String::from_utf8_lossy(content).into_owned())
    }

    /// Whether a path leads to a folder.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        self.resolve(path).is_some_and(|resolved| {
            matches!(
                self.nodes.get(&resolved.path),
                None | Some(Node::Folder { .. })
            )
        })
    }

    /// The first of a path's folders, or the path itself, that is no folder of its own: a file that is put below it would
    /// take its place.
    pub(super) fn not_a_folder(&self, path: &str) -> Option<String> {
        let path = normal(path);
        let ends = path.match_indices('/').map(|(end, _)| end);
        let mut above = ends.chain([path.len()]).map(|end| &path[..end]);
        let found = above.find(|path| {
            matches!(
                self.nodes.get(*path),
                Some(Node::File(_) | Node::Link(_) | Node::Hard(_))
            )
        });
        found.map(|path| format!("/{path}"))
    }

    /// The first folder on the way to a path that only its owner may enter, if that is not `user`.
    pub(super) fn locked(&self, path: &str, user: u64) -> Option<String> {
        let path = self.resolve(path)?.path;
        let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
        let found = above.find(|folder| match self.nodes.get(*folder) {
            Some(Node::Folder { mode, owner }) => mode & 0o011 == 0 && *owner != user,
            _ => false,
        });
        found.map(|folder| format!("/{folder}"))
    }

    /// The program that a command means: by its path, or by its name on the `PATH`.
    pub(super) fn program(&self, command: &str, search: &str) -> Option<Resolved> {
        if command.contains('/') {
            return self.file(command).map(|(resolved, _)| resolved);
        }
        let mut folders = search.split(':').filter(|folder| folder.starts_with('/'));
        folders.find_map(|folder| {
            let path = format!("{folder}/{command}");
            self.file(&path).map(|(resolved, _)| resolved)
        })
    }
}

/// The components of a path, the last one first; `..` stays, since it is that of what a link leads to.
fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').rev();
    let parts = parts.filter(|part| !matches!(*part, "" | "."));
    parts.map(str::to_owned).collect()
}

/// The folder of a path.
pub(super) fn folder_of(path: &str) -> &str {
    let name = name_of(path);
    path.strip_suffix(name)
        .unwrap_or_default()
        .trim_end_matches('/')
}
