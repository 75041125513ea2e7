//! The media types of manifests and indexes, for requests in both directions.

use crate::image::ImageManifest;

/// The accepted media types.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of a manifest that was sent as `content_type`: the manifest's own, or else the registry's.
pub(super) fn media_type(manifest: &ImageManifest, content_type: &str) -> String {
    if let Some(own) = &manifest.media_type {
        return own.to_string();
    }
    let served = content_type.split(';').next().unwrap_or_default().trim();
    let known = ACCEPT.split(", ").find(|known| *known == served);
    known.unwrap_or(OCI_MANIFEST).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::Digest;

    #[test]
    fn media_types_come_from_the_body_then_from_the_header() {
        let descriptor = json!({"digest": Digest::of(b"c"), "size": 1});
        let of = |own: Option<&str>, content_type: &str| {
            let text =
                json!({"schemaVersion": 2, "mediaType": own, "config": descriptor, "layers": []});
            let manifest = ImageManifest::parse(text.to_string().as_bytes()).unwrap();
            media_type(&manifest, content_type)
        };
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        assert_eq!(of(Some(docker), OCI_MANIFEST), docker);
        assert_eq!(of(None, &format!("{docker}; charset=utf-8")), docker);
        assert_eq!(of(None, "application/json"), OCI_MANIFEST);
    }
}
