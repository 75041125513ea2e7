//! Whether an image is the one that was asked for.

use std::collections::BTreeMap;

use super::{Digest, ImageInfo, Platform, Reference};

/// The image that another one must stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedBase {
    /// Its name.
    pub reference: Reference,
    /// The digests of its uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// An image is another than the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("`{reference}` is not what was asked for: wanted {wanted}, found {found}")]
pub struct ImageMismatch {
    /// The name under which it was asked for.
    pub reference: Box<Reference>,
    /// For example a platform.
    pub wanted: String,
    /// The same of the image.
    pub found: String,
    /// What may be the cause, and what to do.
    pub hint: &'static str,
}

impl ImageMismatch {
    /// Fails unless an image is of a platform.
    ///
    /// # Errors
    /// It is of another.
    pub fn of_platform(
        image: &ImageInfo,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<(), Self> {
        if image.platform == *platform {
            return Ok(());
        }
        Err(Self {
            reference: Box::new(reference.clone()),
            wanted: format!("the platform {platform}"),
            found: image.platform.to_string(),
            hint: "a `FROM` may name an image of another platform, or the daemon may be too old to build for a foreign one",
        })
    }

    /// Fails unless an image has all of `labels`.
    ///
    /// Podman and daemons to come may ignore a parameter. Nobody could tell a tag without its labels from a stranger's.
    ///
    /// # Errors
    /// One is missing, or has another value.
    pub fn of_labels(
        image: &ImageInfo,
        labels: &BTreeMap<String, String>,
        reference: &Reference,
    ) -> Result<(), Self> {
        let missing = labels
            .iter()
            .find(|(key, value)| image.labels.get(*key) != Some(value));
        match missing {
            None => Ok(()),
            Some((key, value)) => Err(Self {
                reference: Box::new(reference.clone()),
                wanted: format!("the label {key}={value}"),
                found: image
                    .labels
                    .get(key)
                    .map_or("none", String::as_str)
                    .to_owned(),
                hint: "the daemon leaves labels out: use Docker's own, or a newer one",
            }),
        }
    }

    /// Fails unless an image's lowest layers are those of `base`.
    ///
    /// # Errors
    /// They are others.
    pub fn of_base(
        image: &ImageInfo,
        base: &ExpectedBase,
        reference: &Reference,
    ) -> Result<(), Self> {
        if image.diff_ids.starts_with(&base.diff_ids) {
            return Ok(());
        }
        Err(Self {
            reference: Box::new(reference.clone()),
            wanted: format!("the layers of {} as its lowest", base.reference),
            found: "others".to_owned(),
            hint: "something else gave that name to another image during the build: run it again",
        })
    }
}
