//! The result of examining a manifest.

use std::collections::BTreeSet;

use crate::{
    image::Reference,
    project::place::{Defect, Place},
    yaml::{Located, Object, Rewritten},
};

/// Which manifests a run covers, and which images in them.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The manifests of one registry, or of all.
    pub(crate) registry: Option<&'a str>,
    /// The images whose references are brought up to date.
    pub(crate) images: &'a [String],
}

/// The result of examining one manifest.
pub(crate) struct Examined {
    /// The path relative to the project's folder.
    pub(crate) file: String,
    /// The present text if the manifest is to be rewritten, else empty.
    pub(crate) text: String,
    /// The changes that a rewrite makes, the new text, and the changes that must wait for a push.
    pub(crate) rewritten: Rewritten,
    /// The images of the project that it names.
    pub(crate) named: BTreeSet<String>,
    /// The places that are left alone: images that are not of the project, templates, and places with the mark
    /// `ignore`.
    pub(crate) skipped: Vec<Skipped>,
    /// References that are out of date, at places that sparkpack does not rewrite.
    pub(crate) stale: Vec<Defect>,
    /// The warnings about the manifest.
    pub(crate) warnings: Vec<Defect>,
    /// The objects of Spark operators' kinds that it has.
    pub(crate) objects: Objects,
    /// The numbers of the configured places that it has.
    pub(crate) places: BTreeSet<usize>,
}

/// A place that is left alone.
pub(crate) struct Skipped {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) value: String,
    pub(crate) why: &'static str,
}

/// Which objects of Spark operators' kinds a manifest has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    /// Whether there is any.
    pub(crate) has_spark: bool,
    /// The first one that names no image.
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
