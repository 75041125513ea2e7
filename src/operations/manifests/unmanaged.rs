//! Finds references to the project's images at places that sparkpack does not rewrite.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, path::Path};

use super::{
    expected::ExpectedReferences,
    filled_in::{OwnTags, expression_behind, is_in_expression, is_in_sentence},
    strays,
    unmanaged_reference::UnmanagedReference,
    words::{Word, is_escaped, is_for_people, is_whole, line_start, words},
};
use crate::{
    code::Code,
    image::{Digest, Reference, Repository},
    project::{
        Mention, Project,
        place::{Defect, Place, Places},
    },
    yaml::{
        ImagePlace, LeftAlone, Located, NoComment, Stray, StrayKind, before_expression,
        comment_start, holds_expression, versions_beside,
    },
};

/// The annotation with the object as it was applied last: it is replaced with the next `kubectl apply`.
const KUBECTLS_COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The references to the project's images in a text, except in comments, at the places that `is_rewritten` selects, and
/// where a mark says `ignore`.
pub(crate) fn unmanaged_references(
    project: &Project,
    expected: &ExpectedReferences,
    (file, text): (&Path, &str),
    located: &Located,
    is_rewritten: &dyn Fn(&ImagePlace) -> bool,
) -> Vec<UnmanagedReference> {
    let mut search = Search {
        project,
        expected,
        file,
        text,
        located,
        places: Places::of(text),
        rewritten: located.spans(is_rewritten),
        others: located.spans(&|place| !is_rewritten(place)),
        templates: located
            .places
            .iter()
            .filter_map(ImagePlace::filled_in_tag)
            .collect(),
        own_tags: OwnTags::default(),
        elsewhere: BTreeMap::new(),
    };
    let words = words(text).filter_map(|word| search.reference(&word));
    let mut found: Vec<UnmanagedReference> = words.collect();
    found.extend(search.elsewhere.into_values());
    found.extend(strays::strays(project, expected, located));
    found
}

/// The search in one text.
struct Search<'a> {
    project: &'a Project,
    expected: &'a ExpectedReferences,
    file: &'a Path,
    text: &'a str,
    located: &'a Located,
    places: Places<'a>,
    /// The bytes of the places that are rewritten.
    rewritten: Vec<Range<usize>>,
    /// The bytes of all other places.
    others: Vec<Range<usize>>,
    /// The bytes of repositories whose tags an expression fills in elsewhere, each with that expression.
    templates: Vec<(Range<usize>, &'a str)>,
    own_tags: OwnTags,
    /// The tags that seem to be those of repositories without one, by their first bytes.
    elsewhere: BTreeMap<usize, UnmanagedReference>,
}

impl<'a> Search<'a> {
    /// The word as a reference to an image of the project that nothing rewrites or silences.
    fn reference(&mut self, word: &Word<'_>) -> Option<UnmanagedReference> {
        let around = &word.range;
        let word = &without_scheme(word);
        if let Some(written) = self.behind_expression(word) {
            return self.with_registry_filled_in(&written, (around, word));
        }
        let Some(mention) = self.project.image_matcher.mention(&word.name) else {
            return self.broken(around, word);
        };
        let written = match mention {
            // An expression goes on with the tag.
            Mention::Whole(written) => match self.digest_behind_expression(word) {
                Some(digest) => Reference {
                    tag: None,
                    digest: Some(digest),
                    ..written
                },
                None => written,
            },
            Mention::Bare(repository) => Reference {
                repository,
                tag: None,
                digest: digest(&word.name).or_else(|| self.digest_behind_expression(word)),
            },
            Mention::Path(_) => return None,
        };
        let expression = self.expression(self.text, word);
        let expression = expression.filter(|_| written.tag.is_none());
        let is_told = expression.is_some_and(|expression| {
            self.tags_elsewhere(&written.repository, Some(expression), (around, word))
        });
        let image = self.project.image_matcher.named(&written)?.to_owned();
        // A digest behind an expression counts, whatever fills that in.
        let is_fixed = written.digest.is_some() && written.tag.is_none();
        let is_filled_in = is_fixed && !word.name.contains('@');
        let is_rewritten = is_within(&self.rewritten, around) && !is_filled_in;
        if is_rewritten || self.is_silenced(around) {
            return None;
        }
        let is_whole = is_whole(self.text, around)
            || is_within(&self.others, around)
            || is_filled_in
            || self.is_in_program(around);
        let found = UnmanagedReference {
            is_whole,
            stale: None,
            warning: None,
            image,
        };
        if is_told || !self.expected.is_meant(&found.image) {
            return Some(found);
        }
        if is_filled_in {
            return Some(self.filled_in(found, &written, word));
        }
        // A digest without a tag is that of some image of the past.
        if written.tag.is_some() || written.digest.is_some() {
            let hint = self.hint(&found.image, word);
            return Some(self.tagged(found, &written, (&word.name, word, hint)));
        }
        let found = self.bare(found, &written.repository, (around, word));
        // What is filled in is named all the same.
        let is_whole = found.is_whole || expression.is_some() && !self.is_in_sentence(around.start);
        Some(UnmanagedReference { is_whole, ..found })
    }

    /// A reference whose registry an expression fills in.
    fn with_registry_filled_in(
        &mut self,
        written: &Reference,
        (around, word): (&Range<usize>, &Word<'_>),
    ) -> Option<UnmanagedReference> {
        let image = self.project.image_matcher.named(written)?.to_owned();
        if is_within(&self.rewritten, around) || self.is_silenced(around) {
            return None;
        }
        let hint = format!(
            "let its tag be a value of its own, with `# sparkpack: {image} tag` behind it, or put `# sparkpack: ignore` behind it"
        );
        let found = UnmanagedReference {
            is_whole: !self.is_in_sentence(word.range.start),
            stale: None,
            warning: None,
            image,
        };
        if !self.expected.is_meant(&found.image) {
            return Some(found);
        }
        let name = word.name.split_once('/')?.1;
        Some(self.tagged(found, written, (name, word, hint)))
    }

    /// The reference of a word whose registry an expression before it fills in: `${REGISTRY}/PATH:TAG`, with a tag in the
    /// form of the project's own.
    fn behind_expression(&self, word: &Word<'_>) -> Option<Reference> {
        let (variable, path) = word.name.split_once('/')?;
        let before = &self.text[line_start(self.text, word.range.start)..word.range.start];
        let is_name = |part: char| part.is_ascii_alphanumeric() || part == '_';
        let is_expression = if variable.is_empty() {
            before.ends_with(['}', ')', ']', '>'])
        } else {
            before.ends_with('$') && variable.chars().all(is_name)
        };
        if !is_expression {
            return None;
        }
        let matcher = &self.project.image_matcher;
        let (path, version) = path.split_at(path.find([':', '@'])?);
        let repository = matcher.with_path(path)?;
        let (tag, digest) = version.split_once('@').unwrap_or((version, ""));
        let tag = tag.trim_start_matches(':');
        let is_own = matcher.is_own_tag(repository, tag);
        let digest = digest.parse().ok();
        (is_own || digest.is_some()).then(|| Reference {
            repository: repository.clone(),
            tag: (!tag.is_empty()).then(|| tag.to_owned()),
            digest,
        })
    }

    /// The digest of a reference whose tag an expression fills in: `HOST/PATH:${TAG}@sha256:…`.
    fn digest_behind_expression(&self, word: &Word<'_>) -> Option<Digest> {
        let behind = &self.text[word.range.end..];
        let line = behind.lines().next().unwrap_or_default();
        let (before, digest) = line.split_once("@sha256:")?;
        let before = before.trim_start_matches(':');
        let is_expression = before_expression(before).is_empty() && !before.is_empty();
        let digest = digest.get(..64)?;
        is_expression.then(|| format!("sha256:{digest}").parse().ok())?
    }

    /// Tells the values of the document that may be the tag of a repository: those that `expression` fills in, else all
    /// in the form of the project's own. Returns whether there are any.
    fn tags_elsewhere(
        &mut self,
        repository: &Repository,
        expression: Option<&'a str>,
        (around, word): (&Range<usize>, &Word<'_>),
    ) -> bool {
        let text: &'a str = self.text;
        if self.is_in_sentence(word.range.start) || self.is_silenced(around) {
            return false;
        }
        let matcher = &self.project.image_matcher;
        let at = (repository, expression.unwrap_or_default());
        let (tags, are_named) = self.own_tags.of(text, word.range.start, at, matcher);
        let (mut stale, mut is_settled, mut is_known) = (Vec::new(), false, false);
        for tag in tags {
            let value = &text[tag.range.clone()];
            let Some(image) = matcher.image(repository, Some(value)) else {
                continue;
            };
            let place = self.place_of(&tag.range);
            let is_free = place.is_none_or(|place| {
                place.left_alone == Some(LeftAlone::Template) || place.reference().is_none()
            });
            let is_current = self.expected.is_current_version(image, repository, value);
            if is_current
                || !is_free && place.is_some_and(|place| place.image.as_deref() == Some(image))
            {
                is_settled = true;
            } else if is_free
                && !self.expected.is_current_tag(value)
                && !self.is_silenced(&tag.range)
            {
                match self.stray_at(&tag.range) {
                    Some(stray) => is_known |= stray.kind != StrayKind::Version,
                    None => stale.push((image.to_owned(), tag.range)),
                }
            }
        }
        if is_settled && !are_named {
            return false;
        }
        let is_told = is_known || !stale.is_empty();
        let why = match expression {
            Some(_) => "which an expression fills in",
            None => "which has none of its own",
        };
        for (image, range) in stale {
            if !self.elsewhere.contains_key(&range.start) {
                let start = range.start;
                let found = self.tag_elsewhere(image, (&word.name, why), range);
                self.elsewhere.insert(start, found);
            }
        }
        is_told
    }

    /// The expression that fills in the tag of a repository: behind it, or in a value beside it.
    fn expression(&self, text: &'a str, word: &Word<'_>) -> Option<&'a str> {
        let behind = expression_behind(&text[word.range.end..]);
        behind.or_else(|| {
            let mut templates = self.templates.iter();
            let found = templates
                .find(|(span, _)| span.start <= word.range.start && word.range.end <= span.end);
            found.map(|(_, expression)| *expression)
        })
    }

    /// The place that a value is a part of.
    fn place_of(&self, value: &Range<usize>) -> Option<&'a ImagePlace> {
        if !is_within(&self.rewritten, value) && !is_within(&self.others, value) {
            return None;
        }
        let mut places = self.located.places.iter();
        places.find(|place| place.overlaps(value))
    }

    /// What is told of a value anyway.
    fn stray_at(&self, value: &Range<usize>) -> Option<&'a Stray> {
        let mut strays = self.located.strays.iter();
        strays.find(|stray| stray.span.start < value.end && value.start < stray.span.end)
    }

    /// What to say of a value that seems to be the tag of `name` and is not current.
    fn tag_elsewhere(
        &mut self,
        image: String,
        (name, why): (&str, &str),
        range: Range<usize>,
    ) -> UnmanagedReference {
        let value = &self.text[range.clone()];
        let mut stale = None;
        if self.expected.is_meant(&image) {
            let message = format!(
                "`{value}` seems to be the tag of `{name}`, {why}: it is not current, and stands where sparkpack does not rewrite"
            );
            let word = Word {
                name: Cow::Borrowed(value),
                range: range.clone(),
            };
            let hint = match self.no_comment(&word) {
                Some(no_comment) => no_comment.instead(&image, &format!("{name}:{value}")),
                None => format!(
                    "put `# sparkpack: {image} tag` behind it where it is a value of its own, or `# sparkpack: ignore`"
                ),
            };
            let place = self.places.at(self.file, range.start);
            stale = Some(Defect::new(Code::W105, place, message).hint(hint));
        }
        UnmanagedReference {
            is_whole: true,
            stale,
            warning: None,
            image,
        }
    }

    /// A reference with a digest behind an expression.
    fn filled_in(
        &mut self,
        found: UnmanagedReference,
        written: &Reference,
        word: &Word<'_>,
    ) -> UnmanagedReference {
        let place = self.places.at(self.file, word.range.start);
        let digest = written.digest.clone();
        if digest.is_some_and(|digest| self.expected.is_known_digest(&found.image, &digest)) {
            return found;
        }
        let defect = strays::fixed_by_digest(&found.image, place, &word.name);
        UnmanagedReference {
            stale: Some(defect),
            ..found
        }
    }

    /// A value that begins with a repository of the project and is no reference: nothing runs it.
    fn broken(&mut self, around: &Range<usize>, word: &Word<'_>) -> Option<UnmanagedReference> {
        let text = &word.name;
        let image = self.project.image_matcher.broken(text)?.to_owned();
        let is_value = is_whole(self.text, around) || is_within(&self.others, around);
        if !is_value || is_within(&self.rewritten, around) || self.is_silenced(around) {
            return None;
        }
        let place = self.places.at(self.file, word.range.start);
        let message = format!(
            "`{text}` is no image reference: what stands behind the repository of `{image}` is no tag and no digest"
        );
        let defect = Defect::new(Code::W105, place, message)
            .hint("write the repository, `:` and a tag: `sparkpack pin` corrects the tag");
        let stale = self.expected.is_meant(&image).then_some(defect);
        Some(UnmanagedReference {
            is_whole: true,
            stale,
            warning: None,
            image,
        })
    }

    /// Whether a byte stands in a text for people.
    fn is_in_sentence(&self, at: usize) -> bool {
        let block = self.located.block_key(at);
        is_in_sentence(self.text, at) || block.is_some_and(is_for_people)
    }

    fn is_silenced(&self, word: &Range<usize>) -> bool {
        is_comment(self.text, word.start)
            || self.located.is_ignored(word.start)
            || self.is_for_nobody(word.start)
    }

    /// Whether nothing runs what stands at a byte: in kubectl's copy of an object, or as the name of a builder's cache.
    fn is_for_nobody(&self, at: usize) -> bool {
        let before = &self.text[line_start(self.text, at)..at];
        let is_copy = |key: &str| key.contains(KUBECTLS_COPY);
        let is_cache = || {
            let value = before
                .rsplit(char::is_whitespace)
                .next()
                .unwrap_or_default();
            value.contains("type=registry,") && value.ends_with(",ref=")
        };
        is_copy(before) || self.located.block_key(at).is_some_and(is_copy) || is_cache()
    }

    fn tagged(
        &mut self,
        found: UnmanagedReference,
        written: &Reference,
        (name, word, hint): (&str, &Word<'_>, String),
    ) -> UnmanagedReference {
        let place = self.places.at(self.file, word.range.start);
        if !self.expected.is_current(&found.image, written) {
            let message =
                format!("`{name}` is not current, and stands where sparkpack does not rewrite");
            let defect = Defect::new(Code::W105, place, message).hint(hint);
            return UnmanagedReference {
                stale: Some(defect),
                ..found
            };
        }
        let message = format!(
            "`{name}` is current, and stands where sparkpack does not rewrite: the next change leaves it behind"
        );
        let warning = found
            .is_whole
            .then(|| Defect::new(Code::W120, place, message).hint(hint));
        UnmanagedReference { warning, ..found }
    }

    /// A repository alone: its tag may stand elsewhere in the document, or beside it in a command.
    fn bare(
        &mut self,
        found: UnmanagedReference,
        repository: &Repository,
        (around, word): (&Range<usize>, &Word<'_>),
    ) -> UnmanagedReference {
        let name = &word.name;
        let versions = self.versions(repository, word);
        let is_managed = |place: &Place| {
            let mut places = self.located.places.iter();
            places.any(|known| known.place == *place && known.mark.is_some())
        };
        if versions.iter().any(|(place, _)| is_managed(place)) {
            return found;
        }
        let is_current = |version: &str| {
            self.expected
                .is_current_version(&found.image, repository, version)
        };
        let image = &found.image;
        if let Some((place, version)) = versions.iter().find(|(_, version)| !is_current(version)) {
            let part = if is_digest(version) { "digest" } else { "tag" };
            let message = format!(
                "`{version}` seems to be the {part} of `{name}`, is not current, and stands where sparkpack does not rewrite"
            );
            let hint = format!(
                "put `# sparkpack: {image} {part}` behind it, or `# sparkpack: ignore` behind `{name}`"
            );
            let defect = Defect::new(Code::W105, place.clone(), message).hint(hint);
            return UnmanagedReference {
                stale: Some(defect),
                is_whole: true,
                ..found
            };
        }
        if !found.is_whole && !is_in_expression(self.text, word.range.start)
            || versions.is_empty() && self.tags_elsewhere(repository, None, (around, word))
        {
            return found;
        }
        if !found.is_whole {
            return found;
        }
        let image = &found.image;
        let place = self.places.at(self.file, word.range.start);
        let message = match versions.first() {
            Some((at, version)) => format!(
                "`{name}` seems to have its tag at {at}: `{version}` is current, and stands where sparkpack does not rewrite"
            ),
            None => format!("`{name}` has no tag, and stands where sparkpack does not rewrite"),
        };
        let hint = match self.no_comment(word) {
            Some(no_comment) => no_comment.instead(image, name),
            None => format!(
                "put `# sparkpack: {image}` behind it if it is a whole reference, `# sparkpack: {image} tag` behind its tag, or `# sparkpack: ignore` behind it"
            ),
        };
        let warning = Some(Defect::new(Code::W120, place, message).hint(hint));
        UnmanagedReference { warning, ..found }
    }

    /// The values that may be the tag or the digest of a repository.
    fn versions(&mut self, repository: &Repository, word: &Word<'_>) -> Vec<(Place, String)> {
        let range = &word.range;
        let apart = self.located.apart.iter();
        let apart = apart
            .filter(|image| image.span.start <= range.start && range.end <= image.span.end)
            .flat_map(|image| image.tags.clone());
        let versions: Vec<(Place, String)> = apart.collect();
        if versions.is_empty() {
            self.beside(repository, word)
        } else {
            versions
        }
    }

    /// The values that may be the tag or the digest of a repository in a command or a list of arguments.
    fn beside(&mut self, repository: &Repository, word: &Word<'_>) -> Vec<(Place, String)> {
        let matcher = &self.project.image_matcher;
        let is_own_tag = |tag: &str| matcher.is_own_tag(repository, tag);
        let found = versions_beside(self.text, &word.range, &is_own_tag);
        let found = found.into_iter();
        let told = found.filter(|(_, value)| !holds_expression(value));
        told.map(|(span, value)| (self.places.at(self.file, span.start), value.to_owned()))
            .collect()
    }

    fn no_comment(&self, word: &Word<'_>) -> Option<NoComment> {
        let place = word.range.start;
        let known = self.located.no_comment(self.file, self.text, place);
        known.or_else(|| is_escaped(self.text, &word.range).then_some(NoComment::Escaped))
    }

    /// Whether a word stands in a text of several lines that is more than sentences for people.
    fn is_in_program(&self, word: &Range<usize>) -> bool {
        let block = self.located.block_key(word.start);
        is_escaped(self.text, word) || block.is_some_and(|key| !is_for_people(key))
    }

    fn hint(&self, image: &str, word: &Word<'_>) -> String {
        let is_other = is_within(&self.others, &word.range);
        if is_other && !is_escaped(self.text, &word.range) {
            return "let the value be this reference and nothing else, on one line".to_owned();
        }
        match self.no_comment(word) {
            Some(no_comment) => no_comment.instead(image, &word.name),
            None if self.is_in_program(&word.range) && !is_whole(self.text, &word.range) => {
                format!(
                    "write `IMAGE={}  # sparkpack: {image}` on a line of its own before it, and use the variable, or put `# sparkpack: ignore` behind it",
                    word.name
                )
            }
            None => format!(
                "put `# sparkpack: {image}` behind it, or `# sparkpack: ignore`; a kind's place is told by `[[places]]`"
            ),
        }
    }
}

/// The digest behind a reference.
fn digest(reference: &str) -> Option<Digest> {
    reference.rsplit_once('@')?.1.parse().ok()
}

fn is_digest(text: &str) -> bool {
    text.parse::<Digest>().is_ok()
}

/// A word without a scheme before the reference, as in `docker://reg.example/job:1`, and without the end of a sentence
/// behind it.
fn without_scheme<'t>(word: &Word<'t>) -> Word<'t> {
    let of_scheme = word.name.find("://").map(|at| at + "://".len());
    let start = of_scheme.or_else(|| before_host(&word.name)).unwrap_or(0);
    let end = word.name.trim_end_matches(['.', ':', '/']).len().max(start);
    let cut = word.name.len() - end;
    let name = match &word.name {
        Cow::Borrowed(name) => Cow::Borrowed(&name[start..end]),
        Cow::Owned(name) => Cow::Owned(name[start..end].to_owned()),
    };
    // With slashes behind backslashes it is longer in the text, so that its bytes stay as they are.
    let range = match name {
        Cow::Borrowed(_) => word.range.start + start..word.range.end - cut,
        Cow::Owned(_) => word.range.clone(),
    };
    Word { range, name }
}

/// Where a host begins behind a colon that does not belong to it, as in `docker-daemon:reg.example/job:1`.
fn before_host(name: &str) -> Option<usize> {
    let (first, _) = name.split_once('/')?;
    let (before, host) = first.split_once(':')?;
    let is_host = host.contains(['.', ':']) || host == "localhost";
    is_host.then_some(before.len() + 1)
}

/// Whether a word overlaps one of the spans, which are in the order of the text.
fn is_within(spans: &[Range<usize>], word: &Range<usize>) -> bool {
    let next = spans.get(spans.partition_point(|span| span.end <= word.start));
    next.is_some_and(|span| span.start < word.end)
}

fn is_comment(text: &str, offset: usize) -> bool {
    comment_start(&text[line_start(text, offset)..offset]).is_some()
}
