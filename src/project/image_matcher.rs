//! Which image of the project a reference names.

use std::collections::HashMap;

use super::template::{Names, ReferenceTemplate, TagPattern};
use crate::image::{Reference, Repository};

/// The repositories of a project's images, under all its registries and the prefixes that it had.
#[derive(Clone, Debug, Default)]
pub struct ImageMatcher {
    by_repository: HashMap<Repository, Vec<(String, TagPattern)>>,
}

impl ImageMatcher {
    /// Of the images of a project under all of `prefixes`.
    #[must_use]
    pub fn of<'a>(
        project: &str,
        prefixes: impl IntoIterator<Item = &'a String>,
        images: impl IntoIterator<Item = &'a String, IntoIter: Clone>,
        template: &ReferenceTemplate,
    ) -> Self {
        let images = images.into_iter();
        let mut by_repository: HashMap<Repository, Vec<(String, TagPattern)>> = HashMap::new();
        for registry in prefixes {
            for image in images.clone() {
                let names = Names {
                    registry,
                    project,
                    image,
                };
                let Ok(pattern) = template.tag_pattern(names) else {
                    continue;
                };
                let known = by_repository.entry(pattern.repository.clone()).or_default();
                if known.iter().all(|(name, _)| name != image) {
                    known.push((image.clone(), pattern));
                }
            }
        }
        Self { by_repository }
    }

    /// Whether an image of the project lies in `repository`.
    #[must_use]
    pub fn has(&self, repository: &Repository) -> bool {
        self.by_repository.contains_key(repository)
    }

    /// The image that lies in `repository`, under a tag such as `tag` where images share a repository.
    #[must_use]
    pub fn image(&self, repository: &Repository, tag: Option<&str>) -> Option<&str> {
        let images = self.by_repository.get(repository)?;
        let fits = |tag_pattern: &TagPattern| match tag {
            Some(tag) => tag_pattern.fits(tag),
            // Nothing else tells the images of a shared repository apart.
            None => images.len() == 1,
        };
        let (name, _) = images.iter().find(|(_, tag_pattern)| fits(tag_pattern))?;
        Some(name)
    }

    /// The image that a reference names.
    #[must_use]
    pub fn named(&self, reference: &Reference) -> Option<&str> {
        self.image(&reference.repository, reference.tag.as_deref())
    }

    /// The image that a reference to a shared repository seems to mean, under a tag that cannot be that image's.
    #[must_use]
    pub fn near_miss(&self, reference: &Reference) -> Option<&str> {
        if self.named(reference).is_some() {
            return None;
        }
        let images = self.by_repository.get(&reference.repository)?;
        let tag = reference.tag.as_deref()?;
        // The longest prefix and suffix win: `job-b` over `job`.
        let like = images.iter().filter(|(_, image)| image.resembles(tag));
        let nearest = like.max_by_key(|(_, image)| image.tag_prefix.len() + image.tag_suffix.len());
        nearest.map(|(name, _)| name.as_str())
    }
}
