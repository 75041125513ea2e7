//! Gives an image its tag, unless another image already has the tag.

use std::collections::BTreeSet;

use super::{
    agreement::{Agreement, Mark, Next},
    whole::{Kept, find_whole},
};
use crate::{
    adapters::{
        destination::ImageRegistry,
        docker::STAGING_DIGITS,
        registry::{RegistryError, RegistryImage},
    },
    error::{Error, ImageProblem},
    image::{Digest, Platform, Reference},
    operations::build::{Run, refuse_conflict},
    plan::PlatformStage,
};

/// The tags of one stage in a registry: its own, and those that belong to it.
pub(super) struct StageTags<'a> {
    pub(super) registry: &'a dyn ImageRegistry,
    pub(super) platform: &'a Platform,
    /// The stage's fingerprint. Every image with one of the stage's tags must have it in its label.
    pub(super) fingerprint: &'a Digest,
    /// The stage's own tag.
    pub(super) reference: &'a Reference,
}

/// Which image has the tag after [`StageTags::claim`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The image that was to get the tag.
    Ours,
    /// Another image with the same inputs.
    Theirs(Box<RegistryImage>),
}

impl<'a> StageTags<'a> {
    /// Those of a stage in the registry of a run.
    ///
    /// # Errors
    /// No registry may be asked.
    pub(super) fn of(run: &'a Run<'_>, stage: &'a PlatformStage) -> Result<Self, Error> {
        Ok(Self {
            registry: run.services.registry()?,
            platform: &stage.platform,
            fingerprint: &stage.fingerprint,
            reference: stage.reference(run.registry),
        })
    }
}

impl StageTags<'_> {
    /// The stage's image with a reference; `None` if the registry has none, or has lost blobs of it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the image was made from other inputs, or not by sparkpack.
    pub(super) fn find(&self, reference: &Reference) -> Result<Option<RegistryImage>, Error> {
        let named = (reference, self.platform);
        let Kept::Whole(image) = find_whole(self.registry, named, self.fingerprint)? else {
            return Ok(None);
        };
        refuse_conflict(self.fingerprint, reference, &image.info)?;
        Ok(Some(*image))
    }

    /// The stage's image with a reference that was just pushed or tagged.
    ///
    /// # Errors
    /// [`Error::UnexpectedImage`] if there is no image, and those of [`Self::find`].
    pub(super) fn read_back(&self, reference: &Reference) -> Result<RegistryImage, Error> {
        self.find(reference)?
            .ok_or_else(|| Error::unexpected(reference, ImageProblem::NotKept))
    }

    /// Gives an image in the registry the stage's tag, unless another image has it. If the image was made on this machine and
    /// `staged` with this image ID, pushes of other machines may have staged others, and they agree on one of them.
    ///
    /// # Errors
    /// Those of [`Self::read_back`], or the tag cannot be set.
    pub(super) fn claim(
        &self,
        image: &RegistryImage,
        staged: Option<&Digest>,
    ) -> Result<Claim, Error> {
        if let Some(theirs) = self.find(self.reference)? {
            return Ok(claimed(image, theirs));
        }
        let agreed = match staged {
            Some(id) => self.agree(image, Mark::staged(id.short(STAGING_DIGITS)))?,
            None => image.clone(),
        };
        if staged.is_some()
            && let Some(theirs) = self.find(self.reference)?
        {
            return Ok(claimed(image, theirs));
        }
        let is_set = self.registry.tag(&agreed, self.reference)?;
        let there = if is_set {
            agreed
        } else {
            self.read_back(self.reference)?
        };
        Ok(claimed(image, there))
    }

    /// The image on which all pushes of the stage agree.
    fn agree(&self, image: &RegistryImage, staged: Mark) -> Result<RegistryImage, Error> {
        let mut image = image.clone();
        // A list may be older than the marks that this push has put.
        let mut own = vec![staged.clone()];
        let mut agreement = Agreement::new(staged, image.digest.short(STAGING_DIGITS));
        loop {
            let Some(mut marks) = self.marks()? else {
                return Ok(image);
            };
            marks.extend(own.iter().cloned());
            let mark = match agreement.next(&marks) {
                Next::Agreed => return Ok(image),
                Next::Put(mark) => mark,
                Next::Take(from) => {
                    image = self.first_of(&from)?.unwrap_or(image);
                    agreement.adopt(image.digest.short(STAGING_DIGITS))
                }
            };
            // Another push may put the same mark, and then on the same image.
            self.registry.tag(&image, &self.with(&mark))?;
            own.push(mark);
        }
    }

    /// The marks of the stage's images; `None` of a registry that lists no tags, where nobody can agree with another.
    fn marks(&self) -> Result<Option<BTreeSet<Mark>>, Error> {
        let prefix = format!("{}-", self.reference.tag.as_deref().unwrap_or_default());
        let tags = match self.registry.tags(&self.reference.repository, &prefix) {
            Ok(tags) => tags,
            Err(
                RegistryError::Refused { .. }
                | RegistryError::Denied { .. }
                | RegistryError::NotSignedIn { .. }
                | RegistryError::NotUnderstood { .. },
            ) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let suffixes = tags.iter().filter_map(|tag| tag.strip_prefix(&prefix));
        Ok(Some(suffixes.filter_map(Mark::parse).collect()))
    }

    /// The image of the first of these marks that is one of the stage's.
    fn first_of(&self, marks: &[Mark]) -> Result<Option<RegistryImage>, Error> {
        for mark in marks {
            match self.find(&self.with(mark)) {
                Ok(Some(image)) => return Ok(Some(image)),
                // It was removed, or somebody else has taken the name.
                Ok(None) | Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn with(&self, mark: &Mark) -> Reference {
        self.reference.with_suffix(&mark.suffix())
    }
}

fn claimed(image: &RegistryImage, there: RegistryImage) -> Claim {
    if there.digest == image.digest {
        Claim::Ours
    } else {
        Claim::Theirs(Box::new(there))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{
        docker::{DockerError, staging_tag},
        fakes::{RegistryInMemory, image, refused, registry_image},
    };
    use crate::image::LABEL_FINGERPRINT;

    const TAG: &str = "reg.example/team/job:1";
    const STAGING: &str = "reg.example/team/job:1-0123";
    const STAGING_OF_OTHERS: &str = "reg.example/team/job:1-000000000000";

    /// An image that is labelled with the fingerprint of `inputs`.
    fn made_from(inputs: &str, content: &str) -> RegistryImage {
        let mut info = image(content);
        let fingerprint = Digest::of(inputs.as_bytes()).hex().to_owned();
        info.labels
            .insert(LABEL_FINGERPRINT.to_owned(), fingerprint);
        registry_image(info)
    }

    fn with_tags<T>(registry: &RegistryInMemory, work: impl FnOnce(&StageTags<'_>) -> T) -> T {
        work(&StageTags {
            registry,
            platform: &Platform::default(),
            fingerprint: &Digest::of(b"inputs"),
            reference: &TAG.parse().unwrap(),
        })
    }

    fn claim(registry: &RegistryInMemory, image: &RegistryImage) -> Result<Claim, Error> {
        with_tags(registry, |tags| tags.claim(image, None))
    }

    /// Stages an image, and claims the tag for it.
    fn stage_and_claim(registry: &RegistryInMemory, image: &RegistryImage) -> Claim {
        with_tags(registry, |tags| {
            let staged = staging_tag(tags.reference, &image.info.id);
            registry.images.put(&staged.to_string(), image.clone());
            tags.claim(image, Some(&image.info.id)).unwrap()
        })
    }

    /// The tags that were made, with the short digests of two images as `OURS` and `THEIRS`.
    fn tags(registry: &RegistryInMemory, images: [&RegistryImage; 2]) -> Vec<String> {
        let repository: Reference = TAG.parse().unwrap();
        let tags = registry.tags(&repository.repository, "").unwrap();
        let named = |tag: String| {
            let mut tag = tag;
            for (image, name) in images.iter().zip(["OURS", "THEIRS"]) {
                for id in [&image.info.id, &image.digest] {
                    tag = tag.replace(id.short(STAGING_DIGITS), name);
                }
            }
            tag
        };
        tags.into_iter().map(named).collect()
    }

    #[test]
    fn a_free_tag_is_ours() {
        let registry = RegistryInMemory::default();
        let ours = made_from("inputs", "ours");
        assert_eq!(claim(&registry, &ours).unwrap(), Claim::Ours);
        assert_eq!(registry.images.get(TAG), Some(ours));
    }

    #[test]
    fn a_tag_that_was_there_is_not_overwritten() {
        let registry = RegistryInMemory::default();
        let theirs = made_from("inputs", "theirs");
        registry.images.put(TAG, theirs.clone());
        let claimed = claim(&registry, &made_from("inputs", "ours"));
        assert_eq!(claimed.unwrap(), Claim::Theirs(Box::new(theirs.clone())));
        assert_eq!(registry.images.get(TAG), Some(theirs));
    }

    #[test]
    fn who_is_beaten_to_the_tag_takes_the_winners_image() {
        let registry = RegistryInMemory::default();
        let theirs = made_from("inputs", "theirs");
        registry.images.be_beaten_by(TAG, theirs.clone());
        let claimed = claim(&registry, &made_from("inputs", "ours"));
        assert_eq!(claimed.unwrap(), Claim::Theirs(Box::new(theirs)));
        assert_eq!(registry.images.looked_up(), [TAG, TAG]);
    }

    #[test]
    fn a_winner_from_other_inputs_is_a_conflict() {
        let registry = RegistryInMemory::default();
        registry
            .images
            .be_beaten_by(TAG, made_from("other inputs", "theirs"));
        let error = claim(&registry, &made_from("inputs", "ours")).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }

    #[test]
    fn an_image_from_other_inputs_is_a_conflict_and_stays() {
        let registry = RegistryInMemory::default();
        let other = made_from("other inputs", "theirs");
        registry.images.put(TAG, other.clone());
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
        assert_eq!(registry.images.get(TAG), Some(other));
    }

    #[test]
    fn a_strangers_image_is_a_conflict() {
        let registry = RegistryInMemory::default();
        registry.images.put(TAG, registry_image(image("stranger")));
        let found = with_tags(&registry, |tags| tags.find(&TAG.parse().unwrap()));
        let error = found.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert!(error.to_string().ends_with("it was not made by sparkpack"));
    }

    #[test]
    fn what_was_sent_must_be_there() {
        let registry = RegistryInMemory::default();
        let read_back = |registry: &RegistryInMemory| {
            with_tags(registry, |tags| tags.read_back(&STAGING.parse().unwrap()))
        };
        let error = read_back(&registry).unwrap_err();
        assert!(matches!(error, Error::UnexpectedImage { .. }), "{error}");
        let ours = made_from("inputs", "ours");
        registry.images.put(STAGING, ours.clone());
        assert_eq!(read_back(&registry).unwrap(), ours);
    }

    #[test]
    fn a_destination_that_does_not_answer_gives_no_tag() {
        let registry = RegistryInMemory::default();
        registry.images.fail_next(DockerError::Answer {
            doing: "answer".to_owned(),
            message: "busy".to_owned(),
        });
        let error = claim(&registry, &made_from("inputs", "ours")).unwrap_err();
        assert!(matches!(error, Error::Docker(_)), "{error}");
        assert_eq!(registry.images.get(TAG), None);
    }

    #[test]
    fn an_image_that_is_staged_alone_is_ours() {
        let (registry, ours) = (RegistryInMemory::default(), made_from("inputs", "ours"));
        assert_eq!(stage_and_claim(&registry, &ours), Claim::Ours);
        assert_eq!(registry.images.get(TAG), Some(ours.clone()));
        let tags = tags(&registry, [&ours, &ours]);
        assert_eq!(tags, ["1", "1-OURS", "1-OURS-r1-alone"]);
    }

    #[test]
    fn what_others_agreed_on_is_taken_although_the_tag_is_not_set_yet() {
        let registry = RegistryInMemory::default();
        let (ours, theirs) = (made_from("inputs", "ours"), made_from("inputs", "theirs"));
        stage_and_claim(&registry, &theirs);
        registry.images.remove(TAG);
        assert_eq!(
            stage_and_claim(&registry, &ours),
            Claim::Theirs(Box::new(theirs.clone()))
        );
        assert_eq!(registry.images.get(TAG), Some(theirs));
    }

    #[test]
    fn what_has_such_a_name_and_is_not_of_the_stage_is_passed_over() {
        let (registry, ours) = (RegistryInMemory::default(), made_from("inputs", "ours"));
        registry
            .images
            .put(STAGING_OF_OTHERS, made_from("other inputs", "theirs"));
        assert_eq!(stage_and_claim(&registry, &ours), Claim::Ours);
        assert_eq!(registry.images.get(TAG), Some(ours));
    }

    #[test]
    fn where_no_tags_are_listed_the_tag_alone_counts() {
        let (registry, ours) = (RegistryInMemory::default(), made_from("inputs", "ours"));
        registry.images.list_no_tags(refused);
        assert_eq!(stage_and_claim(&registry, &ours), Claim::Ours);
        let theirs = made_from("inputs", "theirs");
        assert_eq!(
            stage_and_claim(&registry, &theirs),
            Claim::Theirs(Box::new(ours))
        );
    }
}
