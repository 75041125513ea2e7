use oci_spec::image::MediaType;

use super::{
    ConfigChanges, Descriptor, Digest, Family, ImageConfig, ImageError, ImageInfo, ImageManifest,
    Layer,
};

/// The image to build on, as its registry serves it.
#[derive(Clone, Copy, Debug)]
pub struct ParentImage<'a> {
    /// The manifest, byte for byte.
    pub manifest: &'a [u8],
    /// The config, byte for byte.
    pub config: &'a [u8],
}

/// The documents of an image, byte for byte as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDocuments {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The config.
    pub config: Vec<u8>,
}

impl ImageDocuments {
    /// The same as a parent.
    #[must_use]
    pub fn as_parent(&self) -> ParentImage<'_> {
        ParentImage {
            manifest: &self.manifest,
            config: &self.config,
        }
    }
}

/// An assembled image: its two documents, and its properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledImage {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: MediaType,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The config.
    pub config: Vec<u8>,
    /// The image's properties.
    pub info: ImageInfo,
}

impl AssembledImage {
    /// The descriptor of the manifest, with the platform.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            platform: Some(self.info.platform.clone()),
            ..Descriptor::of(self.media_type.clone(), &self.manifest)
        }
    }

    /// Its documents.
    #[must_use]
    pub fn documents(&self) -> ImageDocuments {
        ImageDocuments {
            manifest: self.manifest.clone(),
            config: self.config.clone(),
        }
    }
}

/// The same image with the media types of OCI, as layouts hold it. Its config and its layers stay as they are, and so does
/// the manifest of an image that has them.
///
/// # Errors
/// The documents are not valid, or OCI has no media type for a layer.
pub fn as_oci(image: &ImageDocuments) -> Result<AssembledImage, ImageError> {
    let (manifest, config) = agreeing(&image.manifest, &image.config)?;
    let manifest = match family_of(&manifest)? {
        Family::Oci => image.manifest.clone(),
        Family::Docker => {
            let descriptor = Descriptor::of(Family::Oci.config(), &image.config);
            manifest.with_layers(Family::Oci, &descriptor, &[])?
        }
    };
    let info = config.info(&ImageManifest::parse(&manifest)?)?;
    Ok(AssembledImage {
        digest: Digest::of(&manifest),
        media_type: Family::Oci.manifest(),
        manifest,
        config: image.config.clone(),
        info,
    })
}

/// The image of a config and its layers, with the media types of OCI.
///
/// # Errors
/// The config is none, or has another number of layers.
pub fn oci_image(config: &[u8], layers: &[Descriptor]) -> Result<AssembledImage, ImageError> {
    let descriptor = Descriptor::of(Family::Oci.config(), config);
    let empty = serde_json::json!({"schemaVersion": 2, "config": descriptor, "layers": []});
    let empty = ImageManifest::parse(empty.to_string().as_bytes())?;
    let layers: Vec<&Descriptor> = layers.iter().collect();
    as_oci(&ImageDocuments {
        manifest: empty.with_layers(Family::Oci, &descriptor, &layers)?,
        config: config.to_vec(),
    })
}

/// Puts layers on a parent, and changes its config.
///
/// Everything else of the parent's config stays: known and unknown fields, the history, the time of creation. Equal
/// parents, layers and changes give equal bytes. All media types are of the parent's family, OCI or Docker.
///
/// # Errors
/// The parent's documents or a layer are not valid.
pub fn assemble(
    parent: ParentImage<'_>,
    layers: &[Layer],
    changes: &ConfigChanges,
) -> Result<AssembledImage, ImageError> {
    let of_parent = |error| ImageError::Parent(Box::new(error));
    let (base, mut config) = agreeing(parent.manifest, parent.config).map_err(of_parent)?;
    let family = family_of(&base).map_err(of_parent)?;
    check_history(&config, usize::gt).map_err(of_parent)?;

    config.add_layers(layers)?;
    config.change(changes)?;
    let config = config.to_bytes()?;
    let descriptor = Descriptor::of(family.config(), &config);
    let added: Vec<&Descriptor> = layers.iter().map(|layer| &layer.descriptor).collect();
    let manifest = base.with_layers(family, &descriptor, &added)?;
    let info = validate(&manifest, &config)?;
    Ok(AssembledImage {
        digest: Digest::of(&manifest),
        media_type: family.manifest(),
        manifest,
        config,
        info,
    })
}

/// Checks that a manifest and a config form a valid image: they agree on sizes, digests and the number of layers, the
/// config names a platform, the history covers every layer or is missing, and all media types are of one family.
///
/// # Errors
/// The first of these checks that fails.
pub fn validate(manifest: &[u8], config: &[u8]) -> Result<ImageInfo, ImageError> {
    let (manifest, config) = agreeing(manifest, config)?;
    let family = family_of(&manifest)?;
    check_family(&manifest, family)?;
    check_history(&config, usize::ne)?;
    config.info(&manifest)
}

/// The parsed documents of an image, if they agree.
fn agreeing(manifest: &[u8], config: &[u8]) -> Result<(ImageManifest, ImageConfig), ImageError> {
    let manifest = ImageManifest::parse(manifest)?;
    manifest.config.check(config, "config")?;
    let config = ImageConfig::parse(config)?;
    if config.platform.os.is_empty() || config.platform.architecture.is_empty() {
        return Err(ImageError::NoPlatform);
    }
    config.info(&manifest)?;
    Ok((manifest, config))
}

/// The family of an image's media types; documents that are not an image's have none.
fn family_of(manifest: &ImageManifest) -> Result<Family, ImageError> {
    let config = &manifest.config.media_type;
    let is_config = |family: &Family| family.config() == *config;
    if ![Family::Oci, Family::Docker].iter().any(is_config) {
        return Err(ImageError::media_type("config", config, "OCI or Docker"));
    }
    match (manifest.family(), &manifest.media_type) {
        (Some(family), None) => Ok(family),
        (Some(family), Some(own)) if *own == family.manifest() => Ok(family),
        (_, own) => {
            let own = own.as_ref().unwrap_or(config);
            Err(ImageError::media_type("manifest", own, "OCI or Docker"))
        }
    }
}

fn check_family(manifest: &ImageManifest, family: Family) -> Result<(), ImageError> {
    if manifest.config.media_type != family.config() {
        let config = &manifest.config.media_type;
        return Err(ImageError::media_type("config", config, family.name()));
    }
    for layer in &manifest.layers {
        if family.layer(&layer.media_type)? != layer.media_type {
            return Err(ImageError::media_type(
                "layer",
                &layer.media_type,
                family.name(),
            ));
        }
    }
    Ok(())
}

/// Refuses a history whose number of layers `is_wrong` for the number of diff IDs.
fn check_history(
    config: &ImageConfig,
    is_wrong: impl Fn(&usize, &usize) -> bool,
) -> Result<(), ImageError> {
    let diff_ids = config.diff_ids.len();
    match config.layers_in_history()? {
        Some(history) if is_wrong(&history, &diff_ids) => {
            Err(ImageError::HistoryCount { diff_ids, history })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
