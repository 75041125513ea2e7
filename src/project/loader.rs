//! What every part of loading has at hand: the configuration as it is written, and the folder that it lies in.

use std::path::Path;

use serde_spanned::Spanned;

use super::{
    config::{Config, Origin},
    place::{Defect, nearest},
};
use crate::{code::Code, image::Repository};

/// Gives the value of an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Makes a project of a configuration.
pub(super) struct Loader<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) root: &'a Path,
    pub(super) environment: Environment<'a>,
    pub(super) config: &'a Config,
}

impl Loader<'_> {
    /// The name of a source that is configured.
    pub(super) fn known_source(&self, text: &Spanned<String>) -> Result<String, Defect> {
        let name = text
            .get_ref()
            .strip_prefix("source:")
            .unwrap_or(text.get_ref());
        if self.config.sources.contains_key(name) {
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

    /// Whether an image or a project can have this name in a reference.
    pub(super) fn is_name(name: &str) -> bool {
        format!("registry.example/{name}")
            .parse::<Repository>()
            .is_ok()
            && !name.contains('/')
    }
}
