use oci_spec::image as oci;
use oci_spec::image::MediaType;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::Value;

use super::{Digest, ImageError, Platform, fields::Fields};

const WHAT: &str = "descriptor";

/// A descriptor: how an index refers to a manifest, and a manifest to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of the content; empty if it is missing.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// The platform that the content is for, if there is one.
    pub platform: Option<Platform>,
}

/// The keys that are read. Others are ignored: they may be malformed in a way that OCI's types would refuse.
const KEYS: [&str; 3] = ["mediaType", "digest", "size"];
/// The keys that are read of its platform.
pub(super) const PLATFORM_KEYS: [&str; 3] = ["os", "architecture", "variant"];

impl Descriptor {
    /// The descriptor of `bytes`.
    #[must_use]
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self {
            media_type,
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
        }
    }

    /// Compares `bytes` with the descriptor; errors call them `what`.
    ///
    /// # Errors
    /// Size or digest differ.
    pub fn check(&self, bytes: &[u8], what: &'static str) -> Result<(), ImageError> {
        self.compare(bytes.len() as u64, Digest::of(bytes), what)
    }

    pub(super) fn compare(
        &self,
        size: u64,
        digest: Digest,
        what: &'static str,
    ) -> Result<(), ImageError> {
        if size != self.size {
            return Err(ImageError::Size {
                what,
                expected: self.size,
                actual: size,
            });
        }
        if digest != self.digest {
            return Err(ImageError::OtherDigest {
                what,
                expected: self.digest.clone(),
                actual: digest,
            });
        }
        Ok(())
    }

    /// The descriptor as OCI's type.
    pub(super) fn to_oci(&self) -> Result<oci::Descriptor, ImageError> {
        let digest = oci::Digest::try_from(self.digest.as_str());
        let digest = digest.map_err(|error| ImageError::Unwritable {
            digest: self.digest.clone(),
            because: error.to_string(),
        })?;
        let mut descriptor = oci::Descriptor::new(self.media_type.clone(), self.size, digest);
        descriptor.set_platform(self.platform.as_ref().map(|platform| {
            let mut written = oci::Platform::default();
            written
                .set_os(platform.os.as_str().into())
                .set_architecture(platform.architecture.as_str().into())
                .set_variant(platform.variant.clone());
            written
        }));
        Ok(descriptor)
    }
}

impl Serialize for Descriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_oci()
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let platform: Option<Fields> = fields.get("platform", WHAT).map_err(de::Error::custom)?;
        let mut fields = fields.only(&KEYS).map_err(de::Error::custom)?;
        if let Some(platform) = platform {
            let platform = platform.only(&PLATFORM_KEYS).map_err(de::Error::custom)?;
            fields.insert("platform".to_owned(), platform.into());
        }
        fields.entry("mediaType").or_insert_with(|| "".into());
        // Parsed here because OCI's types accept digests of other algorithms, which could not be verified.
        let digest = fields
            .get("digest")
            .ok_or_else(|| de::Error::missing_field("digest"))?;
        let digest = Digest::deserialize(digest).map_err(de::Error::custom)?;
        let read = oci::Descriptor::deserialize(Value::Object(fields));
        let read = read.map_err(de::Error::custom)?;
        let platform = read.platform().as_ref().map(|platform| {
            Platform::normal(
                platform.os().to_string(),
                platform.architecture().to_string(),
                platform.variant().clone(),
            )
        });
        Ok(Self {
            media_type: read.media_type().clone(),
            digest,
            size: read.size(),
            platform,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut descriptor = Descriptor::of(MediaType::ImageManifest, b"{}");
        for platform in [None, Some("linux/amd64"), Some("linux/arm64/v8")] {
            descriptor.platform = platform.map(|platform| platform.parse().unwrap());
            let written = to_value(&descriptor).unwrap();
            assert_eq!(written["size"], 2);
            assert_eq!(from_value::<Descriptor>(written).unwrap(), descriptor);
        }
    }

    #[test]
    fn what_others_say_in_it_is_no_reason_not_to_read_it() {
        let digest = Digest::of(b"x");
        let odd = json!({"digest": digest, "size": 1, "annotations": {"a": 1}, "urls": "none",
            "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "6"}});
        let read: Descriptor = from_value(odd).unwrap();
        assert_eq!(read.media_type.as_ref(), "");
        assert_eq!(read.platform.unwrap().to_string(), "linux/arm/v7");
        for wrong in [
            json!({"size": 1}),
            json!({"digest": digest}),
            json!({"digest": digest, "size": -1}),
            json!({"digest": format!("sha512:{}", "0".repeat(128)), "size": 1}),
            json!({"digest": digest, "size": 1, "mediaType": null}),
            json!({"digest": digest, "size": 1, "platform": {"os": "linux"}}),
        ] {
            assert!(from_value::<Descriptor>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_bytes_are_told_by_size_then_by_digest() {
        let descriptor = Descriptor::of(MediaType::ImageConfig, b"ab");
        descriptor.check(b"ab", "config").unwrap();
        let said = |bytes: &[u8]| descriptor.check(bytes, "config").unwrap_err().to_string();
        assert_eq!(
            said(b"abc"),
            "the config has 3 bytes, its descriptor says 2"
        );
        assert!(said(b"ac").starts_with("the config has the digest sha256:"));
    }
}
