//! What builds an image, wherever that stands.

use std::collections::BTreeMap;

use super::image_name::ImageName;
use crate::project::place::Place;

/// A `docker build`.
#[derive(Clone, Debug)]
pub(super) struct BuildLine {
    pub(super) place: Place,
    /// Below the project's folder, where it is known.
    pub(super) dockerfile: Option<String>,
    /// A folder below the project's or outside of it; `None` where it is not known.
    pub(super) context: Option<String>,
    pub(super) names: Vec<ImageName>,
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) target: Option<String>,
}

impl BuildLine {
    pub(super) fn at(place: &Place) -> Self {
        Self {
            place: place.clone(),
            dockerfile: None,
            context: None,
            names: Vec::new(),
            arguments: BTreeMap::new(),
            target: None,
        }
    }
}
