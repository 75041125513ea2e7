//! Gives an image its tag, unless another image already has the tag.

use crate::{
    adapters::destination::Destination,
    error::{Error, ImageProblem},
    image::{Digest, ImageInfo, Platform, Reference},
    operations::build::refuse_conflict,
};

/// The tags of one stage in a destination: its own and its staging tags.
pub(super) struct StageTags<'a, I> {
    pub(super) destination: &'a dyn Destination<Stored = I>,
    pub(super) platform: &'a Platform,
    /// The stage's fingerprint. Every image with one of the stage's tags must have it in its label.
    pub(super) fingerprint: &'a Digest,
}

/// Which image has the tag after [`StageTags::claim`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim<I> {
    /// The image that was to get the tag.
    Ours,
    /// Another image with the same inputs, which had the tag first.
    Theirs(I),
}

impl<I: AsRef<ImageInfo>> StageTags<'_, I> {
    /// The stage's image with a reference; `None` if the destination has none.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the image was made from other inputs, or not by sparkpack.
    pub(super) fn find(&self, reference: &Reference) -> Result<Option<I>, Error> {
        let found = self.destination.find(reference, self.platform)?;
        if let Some(image) = &found {
            refuse_conflict(self.fingerprint, reference, image.as_ref())?;
        }
        Ok(found)
    }

    /// The stage's image with a reference that was just pushed or tagged.
    ///
    /// # Errors
    /// [`Error::UnexpectedImage`] if there is no image, and those of [`Self::find`].
    pub(super) fn read_back(&self, reference: &Reference) -> Result<I, Error> {
        self.find(reference)?
            .ok_or_else(|| Error::unexpected(reference, ImageProblem::NotKept))
    }

    /// Gives an image in the destination the tag of `reference`, unless another image has it.
    ///
    /// # Errors
    /// Those of [`Self::read_back`], or the tag cannot be set.
    pub(super) fn claim(&self, image: &I, reference: &Reference) -> Result<Claim<I>, Error> {
        if let Some(theirs) = self.find(reference)? {
            return Ok(Claim::Theirs(theirs));
        }
        if self.destination.tag(image, reference)? {
            return Ok(Claim::Ours);
        }
        Ok(Claim::Theirs(self.read_back(reference)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{
        docker::DockerError,
        fakes::{InMemory, image, registry_image},
        registry::RegistryImage,
    };
    use crate::image::LABEL_FINGERPRINT;

    const TAG: &str = "reg.example/team/job:1";
    const STAGING: &str = "reg.example/team/job:1-0123";

    /// An image that is labelled with the fingerprint of `inputs`.
    fn made_from(inputs: &str, content: &str) -> RegistryImage {
        let mut info = image(content);
        let fingerprint = Digest::of(inputs.as_bytes()).hex().to_owned();
        info.labels
            .insert(LABEL_FINGERPRINT.to_owned(), fingerprint);
        registry_image(info)
    }

    fn with_tags<T>(
        registry: &InMemory<RegistryImage>,
        work: impl FnOnce(&StageTags<'_, RegistryImage>) -> T,
    ) -> T {
        work(&StageTags {
            destination: registry,
            platform: &Platform::default(),
            fingerprint: &Digest::of(b"inputs"),
        })
    }

    fn claim(
        registry: &InMemory<RegistryImage>,
        image: &RegistryImage,
    ) -> Result<Claim<RegistryImage>, Error> {
        with_tags(registry, |tags| tags.claim(image, &TAG.parse().unwrap()))
    }

    #[test]
    fn a_free_tag_is_ours() {
        let registry = InMemory::default();
        let ours = made_from("inputs", "ours");
        assert_eq!(claim(&registry, &ours).unwrap(), Claim::Ours);
        assert_eq!(registry.get(TAG), Some(ours));
    }

    #[test]
    fn a_tag_that_was_there_is_not_overwritten() {
        let registry = InMemory::default();
        let theirs = made_from("inputs", "theirs");
        registry.put(TAG, theirs.clone());
        let claimed = claim(&registry, &made_from("inputs", "ours"));
        assert_eq!(claimed.unwrap(), Claim::Theirs(theirs.clone()));
        assert_eq!(registry.get(TAG), Some(theirs));
    }

    #[test]
    fn who_is_beaten_to_the_tag_takes_the_winners_image() {
        let registry = InMemory::default();
        let theirs = made_from("inputs", "theirs");
        registry.be_beaten_by(theirs.clone());
        let claimed = claim(&registry, &made_from("inputs", "ours"));
        assert_eq!(claimed.unwrap(), Claim::Theirs(theirs));
        assert_eq!(registry.looked_up(), [TAG, TAG]);
    }

    #[test]
    fn a_winner_from_other_inputs_is_a_conflict() {
        let registry = InMemory::default();
        registry.be_beaten_by(made_from("other inputs", "theirs"));
        let error = claim(&registry, &made_from("inputs", "ours")).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }

    #[test]
    fn an_image_from_other_inputs_is_a_conflict_and_stays() {
        let registry = InMemory::default();
        let other = made_from("other inputs", "theirs");
        registry.put(TAG, other.clone());
        let error = claim(&registry, &made_from("inputs", "ours")).unwrap_err();
        let fingerprints = ["other inputs", "inputs"].map(|text| {
            let digest = Digest::of(text.as_bytes());
            digest.hex()[..16].to_owned()
        });
        let [found, wanted] = fingerprints;
        assert_eq!(
            error.to_string(),
            format!(
                "`{TAG}` is in the registry with another fingerprint: {found} instead of {wanted}"
            )
        );
        assert_eq!(registry.get(TAG), Some(other));
    }

    #[test]
    fn a_strangers_image_is_a_conflict() {
        let registry = InMemory::default();
        registry.put(TAG, registry_image(image("stranger")));
        let found = with_tags(&registry, |tags| tags.find(&TAG.parse().unwrap()));
        let error = found.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert!(error.to_string().ends_with("it was not made by sparkpack"));
    }

    #[test]
    fn what_was_sent_must_be_there() {
        let registry = InMemory::default();
        let read_back = |registry: &InMemory<RegistryImage>| {
            with_tags(registry, |tags| tags.read_back(&STAGING.parse().unwrap()))
        };
        let error = read_back(&registry).unwrap_err();
        assert!(matches!(error, Error::UnexpectedImage { .. }), "{error}");
        let ours = made_from("inputs", "ours");
        registry.put(STAGING, ours.clone());
        assert_eq!(read_back(&registry).unwrap(), ours);
    }

    #[test]
    fn a_destination_that_does_not_answer_gives_no_tag() {
        let registry = InMemory::default();
        registry.fail_next(DockerError::Answer {
            doing: "answer".to_owned(),
            message: "busy".to_owned(),
        });
        let error = claim(&registry, &made_from("inputs", "ours")).unwrap_err();
        assert!(matches!(error, Error::Docker(_)), "{error}");
        assert_eq!(registry.get(TAG), None);
    }
}
