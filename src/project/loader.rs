//! What every part of loading needs: the configuration's text, and the folder that it lies in.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use serde_spanned::Spanned;

use super::{
    config::{Config, Origin},
    exclusions::has_link,
    place::{Defect, Place, nearest},
};
use crate::{code::Code, image::Repository};

/// Gives the value of an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Turns a configuration into a project.
pub(super) struct Loader<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) root: &'a Path,
    pub(super) environment: Environment<'a>,
    pub(super) config: &'a Config,
    /// The sources that something names.
    pub(super) used_sources: RefCell<BTreeSet<String>>,
}

impl Loader<'_> {
    /// The name of a source, if it is configured.
    pub(super) fn known_source(&self, text: &Spanned<String>) -> Result<String, Defect> {
        let name = text
            .get_ref()
            .strip_prefix("source:")
            .unwrap_or(text.get_ref());
        if self.config.sources.contains_key(name) {
            self.used_sources.borrow_mut().insert(name.to_owned());
            return Ok(name.to_owned());
        }
        let defect = self
            .origin
            .defect(Code::E086, text, format!("there is no source `{name}`"));
        Err(
            match nearest(name, self.config.sources.keys().map(String::as_str)) {
                Some(near) => defect.hint(format!("did you mean `{near}`?")),
                None => defect.hint(format!("add a table `[sources.{name}]`")),
            },
        )
    }

    /// A path in normal form, which must stay in the project's folder.
    pub(super) fn inside<T>(&self, text: &Spanned<T>, path: &str) -> Result<String, Defect> {
        inside(path, &self.origin.place(text))
    }

    /// Whether a folder of the project is `dist` or lies in it, by its path or by a symbolic link.
    pub(super) fn is_in_dist(&self, folder: &str) -> bool {
        let root = self.root;
        let real = |path: &str| fs_err::canonicalize(root.join(path)).ok();
        let leads_there = || Some(real(folder)?.starts_with(real("dist")?));
        Path::new(folder).starts_with("dist")
            || (has_link(root, Path::new(folder)) && leads_there().unwrap_or(false))
    }

    /// Whether a reference can hold this name of an image or a project.
    pub(super) fn is_name(name: &str) -> bool {
        format!("registry.example/{name}")
            .parse::<Repository>()
            .is_ok()
            && !name.contains('/')
    }
}

/// A path in normal form, which must stay in the project's folder; `place` is where it is configured.
pub(super) fn inside(path: &str, place: &Place) -> Result<String, Defect> {
    let outside = || {
        let message = format!("`{path}` is outside the project's folder");
        let defect = Defect::new(Code::E091, place.clone(), message);
        defect.hint("what lies elsewhere is a source: `[sources.NAME]` with `path = \"…\"`, used as `source:NAME`")
    };
    let mut parts: Vec<&str> = Vec::new();
    if path.starts_with('/') {
        return Err(outside());
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(outside)?),
            part => parts.push(part),
        }
    }
    Ok(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}
