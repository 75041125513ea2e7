use oci_spec::image::MediaType;

use super::ImageError;

/// The two families of equivalent media types. An image uses one family throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The Open Container Initiative's.
    Oci,
    /// Those of Docker's image manifest, schema 2, on which OCI's are based.
    Docker,
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Uncompressed.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// The media types of layers, OCI's beside Docker's, with their compression.
///
/// Docker defines none for Zstandard, but some tools write one in Docker's style. An image with such layers may be
/// built on, but no other layer is given that type.
const LAYERS: [(Compression, &str, &str); 6] = [
    (
        Compression::None,
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
    ),
    (
        Compression::Gzip,
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
    (Compression::Zstd, OCI_ZSTD, DOCKER_ZSTD),
    (
        Compression::None,
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ),
    (
        Compression::Gzip,
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ),
    (
        Compression::Zstd,
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd",
    ),
];
const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const DOCKER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// The row of [`LAYERS`] with a media type.
fn layer(media_type: &str) -> Option<(Compression, &'static str, &'static str)> {
    let mut rows = LAYERS.into_iter();
    rows.find(|(_, oci, docker)| [*oci, *docker].contains(&media_type))
}

impl Family {
    const BOTH: [Self; 2] = [Self::Oci, Self::Docker];

    /// The family to which the media type of a manifest, an index or a config belongs.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|family| {
            [family.manifest(), family.index(), family.config()]
                .iter()
                .any(|own| own.as_ref() == media_type)
        })
    }

    /// The media type of a manifest of one image.
    #[must_use]
    pub fn manifest(self) -> MediaType {
        match self {
            Self::Oci => MediaType::ImageManifest,
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json".into(),
        }
    }

    /// The media type of an index.
    #[must_use]
    pub fn index(self) -> MediaType {
        match self {
            Self::Oci => MediaType::ImageIndex,
            Self::Docker => "application/vnd.docker.distribution.manifest.list.v2+json".into(),
        }
    }

    /// The media type of a config.
    #[must_use]
    pub fn config(self) -> MediaType {
        match self {
            Self::Oci => MediaType::ImageConfig,
            Self::Docker => "application/vnd.docker.container.image.v1+json".into(),
        }
    }

    /// This family's equivalent of a layer's media type, which may be of either family.
    ///
    /// # Errors
    /// It is not the media type of a layer, or this family has no equivalent.
    pub fn layer(self, media_type: &MediaType) -> Result<MediaType, ImageError> {
        let text = media_type.as_ref();
        let wrong = |family| ImageError::media_type("layer", media_type, family);
        let (compression, oci, docker) = layer(text).ok_or_else(|| wrong("OCI or Docker"))?;
        match self {
            Self::Oci => Ok(oci.into()),
            Self::Docker if compression == Compression::Zstd && text == oci => {
                Err(wrong(self.name()))
            }
            Self::Docker => Ok(docker.into()),
        }
    }

    /// The family's usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Oci => "OCI",
            Self::Docker => "Docker",
        }
    }
}

impl Compression {
    /// The compression of a layer with this media type; `None` if it is not a layer's.
    #[must_use]
    pub fn of(media_type: &MediaType) -> Option<Self> {
        layer(media_type.as_ref()).map(|(compression, ..)| compression)
    }

    /// OCI's media type for a layer of this compression.
    #[must_use]
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::Zstd => MediaType::ImageLayerZstd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layers_media_type_is_said_in_either_family() {
        for (compression, oci, docker) in LAYERS {
            let (oci, docker) = (MediaType::from(oci), MediaType::from(docker));
            assert_eq!(Compression::of(&oci), Some(compression));
            assert_eq!(Compression::of(&docker), Some(compression));
            for own in [&oci, &docker] {
                assert_eq!(Family::Oci.layer(own).unwrap(), oci);
            }
            assert_eq!(Family::Docker.layer(&docker).unwrap(), docker);
            match Family::Docker.layer(&oci) {
                Ok(same) => assert_eq!(same, docker),
                Err(error) => {
                    assert_eq!(compression, Compression::Zstd);
                    assert_eq!(
                        error.to_string(),
                        format!("`{oci}` is not the media type of a layer in the Docker format")
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_layer_has_no_media_type_of_one() {
        let helm = MediaType::from("application/vnd.cncf.helm.chart.content.v1.tar+gzip");
        assert_eq!(Compression::of(&helm), None);
        for family in Family::BOTH {
            let error = family.layer(&helm).unwrap_err();
            assert!(error.to_string().contains("OCI or Docker"), "{error}");
        }
    }

    #[test]
    fn documents_tell_their_family() {
        for family in Family::BOTH {
            for own in [family.manifest(), family.index(), family.config()] {
                assert_eq!(Family::of(own.as_ref()), Some(family));
            }
        }
        assert_eq!(Family::of("application/json"), None);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(
                Compression::of(&compression.media_type()),
                Some(compression)
            );
        }
    }
}
