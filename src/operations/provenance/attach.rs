//! Pushes a record that is too large for a label to the registry, as an artifact beside its image.

use crate::{
    adapters::registry::{Attachment, RegistryImage},
    error::Error,
    image::{Digest, LABEL_RECORD_DIGEST, Reference, is_tag},
    operations::workspace::Services,
    plan::PlatformStage,
};

/// The media type of a record in a registry. The blob is the record's canonical bytes.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.sparkpack.record.v1";

/// Pushes the record of an image beside it, if the image's label has only the record's digest.
pub(crate) fn push_beside(
    services: &Services<'_>,
    stage: &PlatformStage,
    image: &RegistryImage,
    reference: &Reference,
) -> Result<(), Error> {
    let says = image.info.labels.get(LABEL_RECORD_DIGEST);
    if says.is_none_or(String::is_empty) {
        return Ok(());
    }
    let attachment = Attachment {
        media_type: MEDIA_TYPE,
        bytes: &stage.record.bytes(),
        subject: image,
    };
    let beside = beside(reference, &stage.fingerprint);
    Ok(services.registry()?.attach(attachment, &beside)?)
}

/// The reference of an image's record. If the image's tag is too long to be extended, the fingerprint takes its place.
pub(crate) fn beside(reference: &Reference, fingerprint: &Digest) -> Reference {
    let tag = tag_beside(reference).unwrap_or_else(|| format!("{}.record", fingerprint.hex()));
    reference.repository.with_tag(&tag)
}

/// The tag of an image's record; `None` if the image has no tag, or its tag is too long for the suffix.
pub(crate) fn tag_beside(reference: &Reference) -> Option<String> {
    let tag = format!("{}.record", reference.tag.as_deref()?);
    is_tag(&tag).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::fakes::{image, registry_image},
        code::Code,
        operations::{
            resolution,
            testing::{Project, Recorder},
            workspace::LockPolicy,
        },
    };

    #[test]
    fn only_a_record_too_large_for_its_label_is_put_beside_its_image() {
        let (project, events) = (Project::small(), Recorder::default());
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::Offline);
        let prepared = resolution::prepare(&session, &services).unwrap();
        let stage = &prepared.plan.stages["job"].platforms[0];
        let reference = "registry.example/small/job:1".parse().unwrap();
        let push = |label: Option<&str>| {
            let mut info = image("job");
            let label = label.map(|label| (LABEL_RECORD_DIGEST.to_owned(), label.to_owned()));
            info.labels.extend(label);
            push_beside(&services, stage, &registry_image(info), &reference)
        };
        // These two ask no registry: it would be an error, as in the third case.
        push(None).unwrap();
        push(Some("")).unwrap();
        let error = push(Some(stage.fingerprint.as_str())).unwrap_err();
        assert_eq!(error.code(), Code::E035);
    }

    #[test]
    fn a_record_has_a_tag_whatever_the_images_is() {
        let fingerprint = Digest::of(b"x");
        let beside = |tag: &str| {
            let reference: Reference = format!("reg.example/a:{tag}").parse().unwrap();
            beside(&reference, &fingerprint).tag.unwrap()
        };
        assert_eq!(beside("0123456789abcdef"), "0123456789abcdef.record");
        assert_eq!(beside(&"t".repeat(121)).len(), 128);
        let named = format!("{}.record", fingerprint.hex());
        assert_eq!(beside(&"t".repeat(122)), named);
    }
}
