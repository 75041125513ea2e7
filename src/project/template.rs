//! The `reference` template: makes an image's reference, and the pattern by which references are recognised.

use crate::image::{Digest, Reference, ReferenceError};

/// The `reference` template, from which an image's reference is made.
///
/// `{registry}`, `{project}`, `{image}` and `{fingerprint}` are replaced. `{fingerprint}` stands in the tag only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceTemplate {
    text: String,
}

/// The values for a template, except for the fingerprint.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The registry's prefix: the host, and the path before the image's name; empty for a layout.
    pub registry: &'a str,
    /// The project's name.
    pub project: &'a str,
    /// The image's name.
    pub image: &'a str,
}

/// How to recognise an image's reference in a manifest: its repository, and the text around the fingerprint in its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    /// The image's repository.
    pub repository: crate::image::Repository,
    /// The text of the tag before the fingerprint.
    pub tag_prefix: String,
    /// The text of the tag after the fingerprint.
    pub tag_suffix: String,
}

/// Whether a text can be the fingerprint in a tag.
pub(super) fn is_fingerprint(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text == UNBUILT || text.len() == TAG_DIGITS && text.bytes().all(lower_hex)
}

/// Stands in for the fingerprint in a manifest that was never rewritten.
pub const UNBUILT: &str = "unbuilt";

/// The number of a fingerprint's hex digits that a tag holds.
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

    /// The reference of an image with this fingerprint.
    ///
    /// # Errors
    /// The names and the template do not make a valid reference.
    pub fn reference(
        &self,
        names: Names<'_>,
        fingerprint: &Digest,
    ) -> Result<Reference, ReferenceError> {
        self.filled(names, fingerprint.short(TAG_DIGITS))
    }

    /// The reference in a manifest before the image has ever been built.
    ///
    /// # Errors
    /// The names and the template do not make a valid reference.
    pub fn unbuilt(&self, names: Names<'_>) -> Result<Reference, ReferenceError> {
        self.filled(names, UNBUILT)
    }

    /// The pattern by which the image's references are recognised.
    ///
    /// # Errors
    /// The names and the template do not make a valid reference.
    pub fn tag_pattern(&self, names: Names<'_>) -> Result<TagPattern, ReferenceError> {
        let stand_in = "0".repeat(TAG_DIGITS);
        let reference = self.filled(names, &stand_in)?;
        let tag_template = self.text.rsplit_once(':').map_or("", |(_, tag)| tag);
        let (before, after) = tag_template.split_once("{fingerprint}").unwrap_or_default();
        Ok(TagPattern {
            repository: reference.repository,
            tag_prefix: fill(before, names),
            tag_suffix: fill(after, names),
        })
    }

    fn filled(&self, names: Names<'_>, fingerprint: &str) -> Result<Reference, ReferenceError> {
        let text = fill(&self.text, names).replace("{fingerprint}", fingerprint);
        if names.registry.is_empty() {
            return Reference::in_layout(text.trim_start_matches('/'));
        }
        text.parse()
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
    fn in_a_layout_a_reference_has_no_host() {
        let of = |template: &str| {
            let names = Names {
                registry: "",
                ..NAMES
            };
            let template = ReferenceTemplate::parse(template).unwrap();
            let reference = template.reference(names, &Digest::of(b""));
            reference.map(|reference| reference.to_string()).ok()
        };
        for (template, expected) in [
            (
                "{registry}/{image}:{fingerprint}",
                Some("job:e3b0c44298fc1c14"),
            ),
            (
                "{registry}/{project}/{image}:{fingerprint}",
                Some("orders/job:e3b0c44298fc1c14"),
            ),
            (
                "{registry}/library/{image}:{fingerprint}",
                Some("library/job:e3b0c44298fc1c14"),
            ),
            ("reg.example/{image}:{fingerprint}", None),
            ("docker.io/{image}:{fingerprint}", None),
            ("{registry}:{image}-{fingerprint}", None),
        ] {
            assert_eq!(of(template).as_deref(), expected, "{template}");
        }
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
