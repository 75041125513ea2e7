//! What is to be said of a manifest.

use std::collections::BTreeSet;

use crate::{
    image::Reference,
    project::place::{Defect, Place},
    yaml::{Located, Object, Rewritten},
};

/// Which manifests, and whose references in them.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The manifests of one registry, or of all.
    pub(crate) registry: Option<&'a str>,
    /// The images whose references are brought up to date.
    pub(crate) images: &'a [String],
}

/// What is to be said of one manifest.
pub(crate) struct Examined {
    /// Below the project's folder.
    pub(crate) file: String,
    /// Its text if it is to be rewritten, else empty.
    pub(crate) text: String,
    /// What would change.
    pub(crate) rewritten: Rewritten,
    /// The images of the project that it names.
    pub(crate) named: BTreeSet<String>,
    /// The places that are left alone: other people's images, templates, marks that say so.
    pub(crate) skipped: Vec<Skipped>,
    /// References that are not current, where nothing is rewritten.
    pub(crate) stale: Vec<Defect>,
    /// What is odd.
    pub(crate) warnings: Vec<Defect>,
    /// What it has of Spark's kinds.
    pub(crate) objects: Objects,
}

/// A place that is left alone.
pub(crate) struct Skipped {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) value: String,
    pub(crate) why: &'static str,
}

/// Which kinds of objects a manifest has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    /// Whether one is of a Spark operator's kind.
    pub(crate) has_spark: bool,
    /// The first of a Spark operator's kind that names no image.
    pub(crate) without_image: Option<Object>,
}

/// An image of the project that a manifest names.
pub(crate) struct Named {
    pub(crate) image: String,
    pub(crate) reference: Reference,
    pub(crate) place: Place,
}

pub(crate) fn objects(located: &Located) -> Objects {
    let spark = || located.objects.iter().filter(|object| object.is_spark);
    Objects {
        has_spark: spark().next().is_some(),
        without_image: spark().find(|object| !object.has_images).cloned(),
    }
}
