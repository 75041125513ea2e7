//! Where paths lead: git has every symbolic link and every file by a path of its own, without links above it.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

/// A path that goes through more links than this is taken for an endless loop, as the system does.
const LIMIT: usize = 40;

/// Follows symbolic links, and looks at each folder only once.
#[derive(Debug, Default)]
pub struct Links {
    known: HashMap<PathBuf, Trail>,
}

/// The links that a path goes through, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// The links in the order of the way, each by its path without links above it.
    pub links: Vec<PathBuf>,
    /// What is at the end, which need not exist; never a link.
    pub end: PathBuf,
}

impl Links {
    /// The way of an absolute path to its end. `None` where links lead in a circle.
    pub fn trail(&mut self, path: &Path) -> Option<Trail> {
        self.walk(path, 0)
    }

    /// The same, but a link at the end of the path is itself the end.
    pub fn trail_to_link(&mut self, path: &Path) -> Option<Trail> {
        let (Some(folder), Some(Component::Normal(name))) =
            (path.parent(), path.components().next_back())
        else {
            return self.trail(path);
        };
        let mut trail = self.trail(folder)?;
        trail.end.push(name);
        Some(trail)
    }

    /// What a path leads to, or the path itself where links lead in a circle.
    pub fn end(&mut self, path: &Path) -> PathBuf {
        self.trail(path)
            .map_or_else(|| path.to_owned(), |trail| trail.end)
    }

    fn walk(&mut self, path: &Path, followed: usize) -> Option<Trail> {
        if let Some(known) = self.known.get(path) {
            return Some(known.clone());
        }
        let trail = match (path.parent(), path.components().next_back()) {
            (Some(above), Some(Component::ParentDir)) => {
                let mut trail = self.walk(above, followed)?;
                trail.end.pop();
                trail
            }
            (Some(above), Some(Component::Normal(name))) => {
                let mut trail = self.walk(above, followed)?;
                let here = trail.end.join(name);
                match fs_err::read_link(&here) {
                    Err(_) => trail.end = here,
                    Ok(_) if followed == LIMIT => return None,
                    Ok(target) => {
                        let rest = self.walk(&trail.end.join(target), followed + 1)?;
                        trail.links.push(here);
                        trail.links.extend(rest.links);
                        trail.end = rest.end;
                    }
                }
                trail
            }
            _ => Trail {
                links: Vec::new(),
                end: path.to_owned(),
            },
        };
        self.known.insert(path.to_owned(), trail.clone());
        Some(trail)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        fs_err::create_dir_all(root.join("real/deep")).unwrap();
        for (target, link) in [
            ("deep/gone", "real/last"),
            ("real", "first"),
            ("first", "second"),
            ("circle", "circle"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let mut links = Links::default();
        let here = |paths: &[&str]| paths.iter().map(|path| root.join(path)).collect();
        let trail = |paths: &[&str], end| {
            let links: Vec<PathBuf> = here(paths);
            let end = root.join(end);
            Some(Trail { links, end })
        };
        let way = ["second", "first", "real/last"];
        let path = root.join("second/last");
        assert_eq!(links.trail(&path), trail(&way, "real/deep/gone"));
        assert_eq!(links.trail_to_link(&path), trail(&way[..2], "real/last"));
        let up = root.join("second/../real/deep/x");
        assert_eq!(links.trail(&up), trail(&way[..2], "real/deep/x"));
        assert_eq!(links.trail(&root.join("circle/x")), None);
        assert_eq!(links.trail(&root.join("real/x")), trail(&[], "real/x"));
    }
}
