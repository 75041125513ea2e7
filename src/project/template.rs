//! The `reference` template, and how an image is recognised by it.

use crate::image::{Digest, Reference, ReferenceError};

/// The `reference` template: how an image's reference is put together.
///
/// `{registry}`, `{project}`, `{image}` and `{fingerprint}` are replaced; only the tag may hold the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceTemplate {
    text: String,
}

/// What a template is filled with, but for the fingerprint.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The registry's prefix: host, and what comes before the image.
    pub registry: &'a str,
    /// The project's name.
    pub project: &'a str,
    /// The image's name.
    pub image: &'a str,
}

/// How an image is recognised in a manifest: its repository, and what surrounds the fingerprint in its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    /// The reference with an empty fingerprint's place taken by a stand-in; only its repository counts.
    pub repository: crate::image::Repository,
    /// What the tag begins with.
    pub tag_prefix: String,
    /// What the tag ends with.
    pub tag_suffix: String,
}

/// Whether a text can stand in the fingerprint's place of a tag.
pub(super) fn is_fingerprint(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text == UNBUILT || text.len() == TAG_DIGITS && text.bytes().all(lower_hex)
}

/// What stands for a fingerprint in a manifest that was never rewritten.
pub const UNBUILT: &str = "unbuilt";

/// Hex digits of a fingerprint that make the tag.
pub const TAG_DIGITS: usize = 16;

impl Default for ReferenceTemplate {
    fn default() -> Self {
        Self {
            text: "{registry}/{image}:{fingerprint}".to_owned(),
        }
    }
}

impl ReferenceTemplate {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Checks the template's placeholders.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let end = rest[start..]
                .find('}')
                .ok_or_else(|| format!("`{text}` has a `{{` without `}}`"))?
                + start;
            let placeholder = &rest[start..=end];
            if !matches!(
                placeholder,
                "{registry}" | "{project}" | "{image}" | "{fingerprint}"
            ) {
                return Err(format!(
                    "`{placeholder}` is unknown: `{{registry}}`, `{{project}}`, `{{image}}` and `{{fingerprint}}` are there"
                ));
            }
            rest = &rest[end + 1..];
        }
        let tag = text.rsplit_once(':').map_or("", |(_, tag)| tag);
        if text.matches("{fingerprint}").count() != 1 || !tag.contains("{fingerprint}") {
            return Err(format!(
                "`{text}` must hold `{{fingerprint}}` once, in the tag: else a tag would change its content"
            ));
        }
        if !text.contains("{image}") {
            return Err(format!(
                "`{text}` must hold `{{image}}`: else images could not be told apart"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The reference of the image that has this fingerprint (or of the list of them).
    ///
    /// # Errors
    /// The names and the template do not make a reference.
    pub fn reference(
        &self,
        names: Names<'_>,
        fingerprint: &Digest,
    ) -> Result<Reference, ReferenceError> {
        self.fill(names, fingerprint.short(TAG_DIGITS)).parse()
    }

    /// The reference that stands in a manifest before the image has ever been built.
    ///
    /// # Errors
    /// The names and the template do not make a reference.
    pub fn unbuilt(&self, names: Names<'_>) -> Result<Reference, ReferenceError> {
        self.fill(names, UNBUILT).parse()
    }

    /// How the image is told from others in a manifest.
    ///
    /// # Errors
    /// The names and the template do not make a reference.
    pub fn tag_pattern(&self, names: Names<'_>) -> Result<TagPattern, ReferenceError> {
        let stand_in = "0".repeat(TAG_DIGITS);
        let reference: Reference = self.fill(names, &stand_in).parse()?;
        let tag_template = self.text.rsplit_once(':').map_or("", |(_, tag)| tag);
        let (before, after) = tag_template.split_once("{fingerprint}").unwrap_or_default();
        Ok(TagPattern {
            repository: reference.repository,
            tag_prefix: fill(before, names),
            tag_suffix: fill(after, names),
        })
    }

    fn fill(&self, names: Names<'_>, fingerprint: &str) -> String {
        fill(&self.text, names).replace("{fingerprint}", fingerprint)
    }
}

fn fill(text: &str, names: Names<'_>) -> String {
    text.replace("{registry}", names.registry)
        .replace("{project}", names.project)
        .replace("{image}", names.image)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'static> = Names {
        registry: "reg.example/acme",
        project: "orders",
        image: "job",
    };

    #[test]
    fn a_template_gives_the_reference_and_what_recognises_it() {
        let fingerprint = Digest::of(b"");
        let plain = ReferenceTemplate::default();
        assert_eq!(
            plain.reference(NAMES, &fingerprint).unwrap().to_string(),
            "reg.example/acme/job:e3b0c44298fc1c14"
        );
        let shared = ReferenceTemplate::parse("{registry}/spark:{image}-{fingerprint}").unwrap();
        assert_eq!(
            shared.reference(NAMES, &fingerprint).unwrap().to_string(),
            "reg.example/acme/spark:job-e3b0c44298fc1c14"
        );
        let tag_pattern = shared.tag_pattern(NAMES).unwrap();
        assert_eq!(tag_pattern.repository.to_string(), "reg.example/acme/spark");
        assert_eq!(
            (
                tag_pattern.tag_prefix.as_str(),
                tag_pattern.tag_suffix.as_str()
            ),
            ("job-", "")
        );
    }

    #[test]
    fn a_template_that_would_lie_is_refused() {
        for wrong in [
            "{registry}/{image}",
            "{registry}/{image}:v1",
            "{registry}/x:{fingerprint}",
            "{regsitry}/{image}:{fingerprint}",
            "{fingerprint}/{image}:x",
            "{",
        ] {
            assert!(ReferenceTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
