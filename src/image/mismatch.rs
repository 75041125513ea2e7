//! Checks that an image is the one that was asked for.

use std::collections::BTreeMap;

use super::{Digest, ImageInfo, Platform, Program, Reference};

/// The image that another one must be built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedBase {
    /// Its reference.
    pub reference: Reference,
    /// The digests of its uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// An image is not the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("`{reference}` is not what was asked for: wanted {wanted}, found {found}")]
pub struct ImageMismatch {
    /// The reference by which it was asked for.
    pub reference: Box<Reference>,
    /// The wanted property, for example a platform.
    pub wanted: String,
    /// The image's own value of it.
    pub found: String,
    /// The likely cause, and what to do.
    pub hint: &'static str,
}

impl ImageMismatch {
    /// Fails unless an image is for a platform.
    ///
    /// # Errors
    /// It is for another.
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

    /// Fails unless a program of an image runs on a platform.
    ///
    /// # Errors
    /// It is for another machine.
    pub fn of_program(
        program: &Program,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<(), Self> {
        if program.runs_on(platform) {
            return Ok(());
        }
        Err(Self {
            reference: Box::new(reference.clone()),
            wanted: format!("programs for {platform}"),
            found: format!("`{}` for {}", program.path, program.architecture()),
            hint: "a file that it copies, or its `FROM`, is of another platform: take that of the wanted one, or correct `platforms`",
        })
    }

    /// Fails unless an image has all of `labels`.
    ///
    /// A daemon such as Podman may ignore parameters of a build. Without its labels, an image could not be told from a
    /// foreign one.
    ///
    /// # Errors
    /// A label is missing, or has another value.
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
    /// They differ.
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
