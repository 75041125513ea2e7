//! A place that names an image: the scalars that make up its reference, and how they change for another reference.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::{
    marks::ReferencePart,
    scalar::{Plain, before_expression},
    shared::SharedAnchor,
    siblings::{is_bare_digest, is_digest},
    stray::{Stray, StrayKind},
};
use crate::{
    code::Code,
    image::{Digest, Reference, Repository},
    project::place::{Defect, Place},
};

/// One place that names an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlace {
    /// Where its first scalar stands, or the alias (`*x`) that leads to it.
    pub place: Place,
    /// From the document's root: `spec.driver.image`, `spec.containers[0].image`.
    pub path: String,
    /// The `kind` of the object; `values` in Helm's values, `mark` where only a mark says that it is one.
    pub kind: String,
    /// The index of its object in `Located::objects`.
    pub object: Option<usize>,
    /// The scalars.
    pub parts: ReferenceParts,
    /// The image of the project that a mark on the line names.
    pub mark: Option<String>,
    /// The image of the project that it names: by its mark, else by its reference. Set when all marks are read.
    pub image: Option<String>,
    /// Why the place is never changed; `None` if it may be.
    pub left_alone: Option<LeftAlone>,
    /// The mark covers only the tag or the digest, so the repository is not changed.
    pub(super) keeps_repository: bool,
    /// The object's operator refuses an image at this place.
    pub is_refused: bool,
    /// A key that is there twice, which is an error only if the image is one of the project's.
    pub(super) duplicate_key: Option<DuplicateKey>,
    /// Why it cannot be told which keys belong to the image.
    pub(super) unclear: Option<Unclear>,
    /// What is added to the tag, so that no tag that is written would be the whole one.
    pub(super) affixes: Vec<Scalar>,
    /// What stands beside an image without a tag: a mark may say that it is the tag.
    pub(super) others: Vec<Scalar>,
}

/// Why it cannot be told which keys belong to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclear {
    pub(super) what: UnclearPart,
    /// The keys with the values that may belong to it.
    pub(super) candidates: Vec<Scalar>,
}

/// The part of a reference that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnclearPart {
    Tag,
    Digest,
    /// A digest stands beside the image under a name that does not tell whose it is.
    OtherDigest,
    /// Its tag or its digest, in a list or a mapping.
    Collection,
}

impl Unclear {
    /// What to say of it, for the image at `path`.
    fn defect(&self, path: &str) -> Defect {
        let named = |scalar: &Scalar| {
            let Place { line, column, .. } = scalar.place;
            format!("`{}` ({line}:{column})", last_key(&scalar.path))
        };
        let names: Vec<String> = self.candidates.iter().map(named).collect();
        let names = names.join(" or ");
        let place = self
            .candidates
            .first()
            .map_or_else(|| Place::of_line("", 1), |first| first.place.clone());
        let (code, message, hint) = match self.what {
            UnclearPart::Tag => (
                Code::E206,
                match self.candidates.as_slice() {
                    [_] => {
                        format!("the tag of `{path}` may be {names}, or that is another image's")
                    }
                    _ => format!("the tag of `{path}` may be {names}"),
                },
                "put `# sparkpack: IMAGE tag` behind the one that it is, or `# sparkpack: ignore` behind the others",
            ),
            UnclearPart::Digest => (
                Code::E206,
                format!("the digest of `{path}` may be {names}"),
                "remove the one that is not used, or put `# sparkpack: ignore` behind it",
            ),
            UnclearPart::OtherDigest => (
                Code::E207,
                format!(
                    "a digest stands beside `{path}`, as {names}: with a new tag it would still run the old image"
                ),
                "remove it if it is the image's, else put `# sparkpack: ignore` behind it",
            ),
            UnclearPart::Collection => (
                Code::E206,
                format!("a part of `{path}` may be within {names}, which is a list or a mapping"),
                "write it as one value, or put `# sparkpack: ignore` behind the first line of the list or mapping",
            ),
        };
        Defect::new(code, place, message).hint(hint)
    }
}

/// The last key of a path.
fn last_key(path: &str) -> &str {
    let path = path.trim_end_matches(".value").trim_end_matches(".default");
    path.rsplit('.').next().unwrap_or(path)
}

/// A key that a mapping has twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DuplicateKey {
    pub(super) key: String,
    pub(super) first: Place,
    pub(super) second: Place,
}

impl DuplicateKey {
    pub(super) fn defect(&self) -> Defect {
        let Self { key, first, second } = self;
        let message = format!("the key `{key}` is there twice: first at {first}");
        Defect::new(Code::E061, second.clone(), message).hint("remove one of the two")
    }
}

/// Why a place is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// A value holds a template's expression: something else writes the image.
    Template,
    /// The mark `# sparkpack: ignore` says so.
    Ignored,
}

/// The scalars that together make up a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceParts {
    /// The whole reference.
    Reference(Scalar),
    /// A reference with its tag, and its registry or its digest beside it.
    Beside {
        /// The host, perhaps with the beginning of the path.
        registry: Option<Scalar>,
        /// The reference, without what stands in `registry`.
        reference: Scalar,
        /// The digest under another key.
        digest: Option<Scalar>,
    },
    /// Helm's values.
    Values {
        /// `registry`, the host.
        registry: Option<Scalar>,
        /// `repository`, with the host where there is no `registry`.
        repository: Scalar,
        /// `tag`.
        tag: Option<Scalar>,
        /// `digest`, empty where there is none.
        digest: Option<Scalar>,
    },
    /// An entry of kustomize's `images`.
    Kustomize {
        /// `name`: the images that the entry is for, and their repository if there is no `newName`.
        name: Scalar,
        /// `newName`.
        new_name: Option<Scalar>,
        /// `newTag`.
        new_tag: Option<Scalar>,
        /// `digest`.
        digest: Option<Scalar>,
    },
    /// The tag alone, by a mark.
    Tag(Scalar),
    /// The digest alone, by a mark.
    Digest(Scalar),
}

/// A scalar of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Of the scalar, or of the alias that leads to it.
    pub place: Place,
    /// From the document's root.
    pub path: String,
    /// The value, without the final line break of a block scalar; the raw bytes if it is a template.
    pub value: String,
    /// It holds an expression of a template.
    pub is_template: bool,
    /// The byte offset of the scalar, or of the alias that leads to it.
    pub(super) offset: usize,
    /// The bytes that a new value replaces, including quotes but not the line end of a block scalar.
    pub(super) span: Range<usize>,
    pub(super) style: ScalarStyle,
    /// Only the end of a longer scalar or line is replaced, so a new value gets no quotes of its own.
    pub(super) is_suffix: bool,
    /// How many line breaks its value ends with.
    pub(super) line_ends: usize,
    /// A block scalar that cannot be changed without reflowing it.
    pub(super) needs_reflow: bool,
    /// The type of the value if it is not a string.
    pub(super) other_type: Option<String>,
    /// Quotes for a plain value that needs some: `"`, with a backslash within other quotes.
    pub(super) quotes: &'static str,
    pub(super) plain: Plain,
    pub(super) shared: Option<Box<SharedAnchor>>,
}

/// The reference that a place has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The image, by its name in the project.
    pub image: String,
    /// Its repository.
    pub repository: Repository,
    /// Its tag.
    pub tag: String,
    /// The digest after the tag.
    pub digest: ExpectedDigest,
}

/// The digest after a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedDigest {
    /// None: the tag alone.
    Never,
    /// The one of the last push.
    Known(Digest),
    /// Not known: a present digest is kept if the tag is right, and removed with a wrong tag.
    Unknown,
}

/// What is to be written into one scalar.
pub(super) type ScalarChange<'p> = (&'p Scalar, String);

/// Why a place cannot be changed to the expected reference.
#[derive(Debug)]
pub(super) enum Hindrance {
    /// Somebody has to change the text.
    Defect(Defect),
    /// It will be possible once the image has been pushed.
    NotPushed(Defect),
}

impl From<Defect> for Hindrance {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

impl ReferenceParts {
    /// The scalars, in the order of a reference.
    pub fn scalars(&self) -> impl Iterator<Item = &Scalar> {
        let scalars = match self {
            Self::Reference(scalar) | Self::Tag(scalar) | Self::Digest(scalar) => {
                [Some(scalar), None, None, None]
            }
            Self::Beside {
                registry,
                reference,
                digest,
            } => [registry.as_ref(), Some(reference), None, digest.as_ref()],
            Self::Values {
                registry,
                repository,
                tag,
                digest,
            } => [
                registry.as_ref(),
                Some(repository),
                tag.as_ref(),
                digest.as_ref(),
            ],
            Self::Kustomize {
                name,
                new_name,
                new_tag,
                digest,
            } => [
                Some(name),
                new_name.as_ref(),
                new_tag.as_ref(),
                digest.as_ref(),
            ],
        };
        scalars.into_iter().flatten()
    }

    pub(super) fn scalars_mut(&mut self) -> impl Iterator<Item = &mut Scalar> {
        let scalars = match self {
            Self::Reference(scalar) | Self::Tag(scalar) | Self::Digest(scalar) => {
                [Some(scalar), None, None, None]
            }
            Self::Beside {
                registry,
                reference,
                digest,
            } => [registry.as_mut(), Some(reference), None, digest.as_mut()],
            Self::Values {
                registry,
                repository,
                tag,
                digest,
            } => [
                registry.as_mut(),
                Some(repository),
                tag.as_mut(),
                digest.as_mut(),
            ],
            Self::Kustomize {
                name,
                new_name,
                new_tag,
                digest,
            } => [
                Some(name),
                new_name.as_mut(),
                new_tag.as_mut(),
                digest.as_mut(),
            ],
        };
        scalars.into_iter().flatten()
    }
}

impl ImagePlace {
    /// The reference as it is written; if the place holds only a tag or a digest, only that.
    #[must_use]
    pub fn written(&self) -> String {
        let text = |scalar: &Option<Scalar>| {
            let value = scalar.as_ref().map_or("", |scalar| scalar.text());
            value.to_owned()
        };
        match &self.parts {
            ReferenceParts::Reference(scalar)
            | ReferenceParts::Tag(scalar)
            | ReferenceParts::Digest(scalar) => scalar.value.clone(),
            ReferenceParts::Beside {
                registry,
                reference,
                digest,
            } => {
                let name = joined(registry.as_ref(), &reference.value);
                let digest = digest.as_ref().map_or_else(String::new, digest_text);
                if name.contains('@') {
                    name
                } else {
                    format!("{name}{}", prefixed(digest, "@", ""))
                }
            }
            ReferenceParts::Values { tag, digest, .. }
            | ReferenceParts::Kustomize {
                new_tag: tag,
                digest,
                ..
            } => {
                let tag = prefixed(text(tag), ":", "");
                let digest = digest.as_ref().map_or_else(String::new, digest_text);
                let digest = prefixed(digest, "@", "");
                let name = self.name().unwrap_or_default();
                let name = name.split('@').next().unwrap_or_default();
                format!("{name}{tag}{digest}")
            }
        }
    }

    /// The repository as it is written, if it is a part of its own.
    fn name(&self) -> Option<String> {
        match &self.parts {
            ReferenceParts::Reference(_)
            | ReferenceParts::Beside { .. }
            | ReferenceParts::Tag(_)
            | ReferenceParts::Digest(_) => None,
            ReferenceParts::Values {
                registry,
                repository,
                ..
            } => Some(joined(registry.as_ref(), &repository.value)),
            ReferenceParts::Kustomize { name, new_name, .. } => {
                Some(new_name.as_ref().unwrap_or(name).value.clone())
            }
        }
    }

    /// The parts whose values end with a line break, which is in no reference.
    pub fn with_line_ends(&self) -> impl Iterator<Item = &Scalar> {
        self.parts.scalars().filter(|scalar| scalar.line_ends > 0)
    }

    /// The image of the project that is written there; `None` if that is nobody's, or left alone.
    #[must_use]
    pub fn managed(&self) -> Option<&str> {
        let image = self.image.as_deref();
        image.filter(|_| self.left_alone.is_none())
    }

    /// The reference of the place, if what is written is one.
    #[must_use]
    pub fn reference(&self) -> Option<Reference> {
        if matches!(
            self.parts,
            ReferenceParts::Tag(_) | ReferenceParts::Digest(_)
        ) {
            return None;
        }
        // Even if tag or digest are invalid, the repository tells whose image it is.
        let whole = self.written().parse();
        whole.ok().or_else(|| match &self.parts {
            ReferenceParts::Beside {
                registry,
                reference,
                ..
            } => joined(registry.as_ref(), &reference.value).parse().ok(),
            _ => self.name()?.parse().ok(),
        })
    }

    /// What is fixed at a place of which an expression fills in a part: digests, which win over the tag, and a tag beside
    /// a digest that is filled in.
    #[must_use]
    pub fn fixed_versions(&self) -> Vec<Stray> {
        let Some(repository) = self.fixed_repository() else {
            return Vec::new();
        };
        let (tag, digest) = match &self.parts {
            ReferenceParts::Values { tag, digest, .. }
            | ReferenceParts::Kustomize {
                new_tag: tag,
                digest,
                ..
            } => (tag.as_ref(), digest.as_ref()),
            ReferenceParts::Beside { digest, .. } => (None, digest.as_ref()),
            ReferenceParts::Reference(_) | ReferenceParts::Tag(_) | ReferenceParts::Digest(_) => {
                (None, None)
            }
        };
        let in_name = match &self.parts {
            ReferenceParts::Values { repository, .. } => Some(repository),
            ReferenceParts::Kustomize { name, new_name, .. } => new_name.as_ref().or(Some(name)),
            _ => None,
        };
        let in_name = in_name.filter(|name| name.value.contains('@'));
        let unclear = self.unclear.iter().flat_map(|unclear| &unclear.candidates);
        let unclear = unclear.filter(|scalar| is_digest(scalar.text().trim_start_matches('@')));
        let digests = digest.into_iter().chain(in_name).chain(unclear);
        let digests = digests.map(|digest| (StrayKind::Digest, digest));
        let tags = tag.into_iter().map(|tag| (StrayKind::Tag, tag));
        digests
            .chain(tags)
            .filter(|(_, scalar)| !scalar.is_template && !scalar.text().is_empty())
            .map(|(kind, scalar)| Stray {
                kind,
                repository: repository.clone(),
                place: scalar.place.clone(),
                span: scalar.span.clone(),
                path: scalar.path.clone(),
                value: scalar.text().to_owned(),
            })
            .collect()
    }

    /// Whether some of its values share bytes with a range.
    #[must_use]
    pub fn overlaps(&self, range: &Range<usize>) -> bool {
        let mut spans = self.parts.scalars().map(|scalar| &scalar.span);
        spans.any(|span| span.start < range.end && range.start < span.end)
    }

    /// The bytes of a repository whose tag is a value of its own that an expression fills in, and that expression.
    #[must_use]
    pub fn filled_in_tag(&self) -> Option<(Range<usize>, &str)> {
        let (name, tag) = match &self.parts {
            ReferenceParts::Values {
                repository,
                tag: Some(tag),
                ..
            } => (repository, tag),
            ReferenceParts::Kustomize {
                name,
                new_name,
                new_tag: Some(tag),
                ..
            } => (new_name.as_ref().unwrap_or(name), tag),
            _ => return None,
        };
        (tag.is_template && !name.is_template).then(|| (name.span.clone(), tag.value.as_str()))
    }

    /// The repository of a place, before any expression.
    #[must_use]
    pub fn fixed_repository(&self) -> Option<Repository> {
        let name = match &self.parts {
            ReferenceParts::Beside {
                registry,
                reference,
                ..
            } => joined(registry.as_ref(), &reference.value),
            ReferenceParts::Reference(reference) => reference.value.clone(),
            _ => self.name()?,
        };
        // What holds an expression is kept with its quotes.
        let name = before_expression(&name).trim_start_matches(['"', '\'']);
        let name = name.split('@').next()?;
        written_repository(name).trim_end_matches(':').parse().ok()
    }

    /// The byte offset of its first scalar, or of the alias that leads to that.
    pub(super) fn start(&self) -> usize {
        let scalars = self.parts.scalars().map(|scalar| scalar.offset);
        scalars.min().unwrap_or_default()
    }

    /// The scalars of its parts, and those that may be parts.
    pub(super) fn scalars_mut(&mut self) -> impl Iterator<Item = &mut Scalar> {
        let candidates = self.unclear.iter_mut();
        let candidates = candidates.flat_map(|unclear| &mut unclear.candidates);
        let others = self.others.iter_mut();
        let besides = candidates.chain(others).chain(&mut self.affixes);
        self.parts.scalars_mut().chain(besides)
    }

    /// Moves all places and spans, from a text within a text to the one around it.
    pub(super) fn moved(
        mut self,
        place: &dyn Fn(Place) -> Place,
        span: &dyn Fn(Range<usize>) -> Range<usize>,
        path: &str,
    ) -> Self {
        let below = |inner: &str| format!("{path}: {inner}");
        self.place = place(self.place);
        self.path = below(&self.path);
        if let Some(twice) = &mut self.duplicate_key {
            twice.first = place(twice.first.clone());
            twice.second = place(twice.second.clone());
        }
        for scalar in self.scalars_mut() {
            scalar.place = place(scalar.place.clone());
            scalar.path = below(&scalar.path);
            scalar.span = span(scalar.span.clone());
            scalar.offset = span(scalar.offset..scalar.offset).start;
            if let Some(shared) = &mut scalar.shared {
                shared.move_by(place);
            }
        }
        self
    }

    /// The scalars that have to change, so that the place names what is expected.
    pub(super) fn changes(&self, expected: &Expected) -> Result<Vec<ScalarChange<'_>>, Hindrance> {
        if let Some(twice) = &self.duplicate_key {
            return Err(twice.defect().into());
        }
        if let Some(unclear) = &self.unclear {
            return Err(unclear.defect(&self.path).into());
        }
        if let Some(affix) = self.affixes.first() {
            return Err(self.affix_defect(affix).into());
        }
        let changes = match &self.parts {
            ReferenceParts::Reference(scalar) => self.reference_change(scalar, expected),
            ReferenceParts::Beside { .. } => self.changes_beside(expected),
            ReferenceParts::Values { .. } => self.values_changes(expected)?,
            ReferenceParts::Kustomize { .. } => self.kustomize_changes(expected)?,
            ReferenceParts::Tag(scalar) => vec![(scalar, expected.tag.clone())],
            ReferenceParts::Digest(scalar) => {
                let digest = match &expected.digest {
                    ExpectedDigest::Known(digest) => digest.to_string(),
                    ExpectedDigest::Never | ExpectedDigest::Unknown => String::new(),
                };
                vec![(scalar, digest)]
            }
        };
        // Beside a part that a mark names, an expression stays.
        let is_new = |(scalar, new): &ScalarChange<'_>| {
            let is_other = *scalar.text() != *new;
            !scalar.is_template && (is_other || scalar.other_type.is_some() && !new.is_empty())
        };
        Ok(changes.into_iter().filter(is_new).collect())
    }

    /// The defect that something is added to the tag.
    fn affix_defect(&self, affix: &Scalar) -> Defect {
        let key = last_key(&affix.path);
        let what = match affix.text() {
            "" => "something".to_owned(),
            text => format!("`{text}`"),
        };
        let message = format!(
            "`{key}` adds {what} to the tag of `{}`: with it, no image of this project has that tag",
            self.path
        );
        let hint = format!(
            "remove `{key}`, or put `# sparkpack: ignore` behind it if nothing adds it to the tag"
        );
        Defect::new(Code::E206, affix.place.clone(), message).hint(hint)
    }

    /// Applies a mark for only the tag or the digest to a place that has them in scalars of their own.
    pub(super) fn keep_repository(&mut self, part: ReferencePart) {
        let (tag, digest) = match &self.parts {
            ReferenceParts::Values { tag, digest, .. } => (tag, digest),
            ReferenceParts::Kustomize {
                new_tag, digest, ..
            } => (new_tag, digest),
            ReferenceParts::Beside { digest, .. } => (&None, digest),
            ReferenceParts::Reference(_) | ReferenceParts::Tag(_) | ReferenceParts::Digest(_) => {
                return;
            }
        };
        self.keeps_repository = true;
        let marked = if part == ReferencePart::Digest {
            digest
        } else {
            tag
        };
        if self.left_alone == Some(LeftAlone::Template)
            && marked.as_ref().is_some_and(|marked| !marked.is_template)
        {
            self.left_alone = None;
        }
    }

    /// Adds the key that turned out to belong to the image.
    pub(super) fn settle(&mut self, what: UnclearPart, chosen: Option<Scalar>) {
        match (&mut self.parts, what) {
            (
                ReferenceParts::Values {
                    registry: None,
                    repository,
                    tag: None,
                    digest: None,
                },
                UnclearPart::Collection | UnclearPart::Tag,
            ) if chosen.is_none() && last_key(&repository.path) == "image" => {
                self.parts = ReferenceParts::Reference(repository.clone());
            }
            (ReferenceParts::Values { tag, .. }, UnclearPart::Tag) => *tag = chosen,
            (ReferenceParts::Reference(repository), UnclearPart::Tag) => {
                self.parts = ReferenceParts::Values {
                    registry: None,
                    repository: repository.clone(),
                    tag: chosen,
                    digest: None,
                };
            }
            (
                ReferenceParts::Values { digest, .. } | ReferenceParts::Beside { digest, .. },
                UnclearPart::Digest,
            ) => *digest = chosen,
            (ReferenceParts::Reference(reference), UnclearPart::Digest) => {
                self.parts = ReferenceParts::Beside {
                    registry: None,
                    reference: reference.clone(),
                    digest: chosen,
                };
            }
            _ => {}
        }
    }

    /// Whether the repository is the expected one, or is not to be changed.
    fn is_named(&self, expected: &Expected) -> bool {
        let name = self.name().and_then(|name| name.parse().ok());
        self.keeps_repository || name.as_ref() == Some(&expected.repository)
    }

    /// Whether repository and tag are what they should be.
    fn is_tagged(&self, expected: &Expected) -> bool {
        if let ReferenceParts::Values { tag: Some(tag), .. } = &self.parts
            && self.keeps_repository
        {
            return tag.text() == expected.tag;
        }
        self.reference().is_some_and(|present| {
            present.repository == expected.repository
                && present.tag.as_deref() == Some(expected.tag.as_str())
        })
    }

    fn reference_change<'p>(
        &self,
        scalar: &'p Scalar,
        expected: &Expected,
    ) -> Vec<ScalarChange<'p>> {
        let present = self.reference();
        let before = present.as_ref().and_then(|present| present.digest.clone());
        let is_tagged = self.is_tagged(expected);
        let digest = match &expected.digest {
            ExpectedDigest::Never => None,
            ExpectedDigest::Known(digest) => Some(digest.clone()),
            ExpectedDigest::Unknown => before.clone().filter(|_| is_tagged),
        };
        if is_tagged && digest == before {
            return Vec::new();
        }
        vec![(scalar, self.spelled(scalar, expected, digest.as_ref()))]
    }

    /// The expected reference, with the repository spelled as it is now if it is the same one.
    fn spelled(&self, scalar: &Scalar, expected: &Expected, digest: Option<&Digest>) -> String {
        let repository = if self.is_same_repository(expected) {
            written_repository(&scalar.value).to_owned()
        } else {
            expected.repository.to_string()
        };
        with_version(&repository, expected, digest)
    }

    fn is_same_repository(&self, expected: &Expected) -> bool {
        self.reference()
            .is_some_and(|present| present.repository == expected.repository)
    }

    /// The changes of a reference that has its registry or its digest under another key.
    fn changes_beside(&self, expected: &Expected) -> Vec<ScalarChange<'_>> {
        let ReferenceParts::Beside {
            registry,
            reference,
            digest,
        } = &self.parts
        else {
            return Vec::new();
        };
        let is_tagged = self.is_tagged(expected);
        let mut changes = match digest {
            None => self.reference_change(reference, expected),
            // The reference itself gets no digest.
            Some(_) if is_tagged && !reference.value.contains('@') => Vec::new(),
            Some(_) => vec![(reference, self.spelled(reference, expected, None))],
        };
        if let (Some(registry), [(_, new)]) = (registry, changes.as_mut_slice())
            && !self.is_same_repository(expected)
        {
            let name = expected.repository.to_string();
            let path = written_repository(&reference.value);
            let (host, path) = split_name(&expected.repository, registry, path);
            *new = new.replacen(&name, &path, 1);
            changes.push((registry, host));
        }
        let is_kept = expected.digest == ExpectedDigest::Unknown && is_tagged;
        if let Some(digest) = digest.as_ref().filter(|_| !is_kept) {
            changes.push((digest, expected_digest(digest, expected)));
        }
        changes
    }

    fn values_changes(&self, expected: &Expected) -> Result<Vec<ScalarChange<'_>>, Hindrance> {
        let ReferenceParts::Values {
            registry,
            repository,
            tag,
            digest,
        } = &self.parts
        else {
            return Ok(Vec::new());
        };
        let mut changes = Vec::new();
        if !self.is_named(expected) {
            match registry {
                Some(registry) => {
                    let (host, path) =
                        split_name(&expected.repository, registry, &repository.value);
                    changes.push((registry, host));
                    changes.push((repository, path));
                }
                None => changes.push((repository, expected.repository.to_string())),
            }
        }
        match tag {
            Some(tag) => changes.push((tag, expected.tag.clone())),
            None if self.keeps_repository => {}
            None => return Err(self.lacks("tag", "tag: \"\"", "beside `repository`").into()),
        }
        match (digest, &expected.digest) {
            (Some(scalar), ExpectedDigest::Known(_)) => {
                changes.push((scalar, expected_digest(scalar, expected)));
            }
            (None, ExpectedDigest::Known(_)) if !self.keeps_repository => {
                return Err(self.lacks("digest", "digest: \"\"", "beside `tag`").into());
            }
            (Some(_), ExpectedDigest::Unknown) if self.is_tagged(expected) => {}
            (Some(scalar), _) => changes.push((scalar, String::new())),
            (None, _) => {}
        }
        Ok(changes)
    }

    fn kustomize_changes(&self, expected: &Expected) -> Result<Vec<ScalarChange<'_>>, Hindrance> {
        let ReferenceParts::Kustomize {
            new_name,
            new_tag,
            digest,
            ..
        } = &self.parts
        else {
            return Ok(Vec::new());
        };
        let mut changes = Vec::new();
        if !self.is_named(expected) {
            let repository = expected.repository.to_string();
            let new_name = new_name.as_ref().ok_or_else(|| {
                self.lacks(
                    "newName",
                    &format!("newName: {repository}"),
                    "beside `name`",
                )
            })?;
            changes.push((new_name, repository));
        }
        changes.push(self.kustomize_version(new_tag.as_ref(), digest.as_ref(), expected)?);
        Ok(changes)
    }

    /// The change of `newTag` or `digest`, whichever of the two is there.
    fn kustomize_version<'p>(
        &self,
        new_tag: Option<&'p Scalar>,
        digest: Option<&'p Scalar>,
        expected: &Expected,
    ) -> Result<ScalarChange<'p>, Hindrance> {
        match (new_tag, digest, &expected.digest) {
            (Some(_), Some(second), mode) => {
                let message = format!(
                    "`newTag` and `digest` of `{}` exclude each other",
                    self.path
                );
                let defect = Defect::new(Code::E201, second.place.clone(), message);
                let hint = match mode {
                    ExpectedDigest::Never => {
                        "remove `digest`: with `pin = \"tag\"` the tag says all"
                    }
                    ExpectedDigest::Known(_) | ExpectedDigest::Unknown => {
                        "remove `newTag`: the digest says more"
                    }
                };
                Err(defect.hint(hint).into())
            }
            (None, None, ExpectedDigest::Known(_)) => {
                Err(self.lacks("digest", "digest: \"\"", "beside `name`").into())
            }
            (None, None, _) => Err(self.lacks("newTag", "newTag: \"\"", "beside `name`").into()),
            (Some(_), None, ExpectedDigest::Known(_)) => {
                let instead = "in the place of `newTag`: kustomize takes one of the two";
                Err(self.lacks("digest", "digest: \"\"", instead).into())
            }
            (Some(new_tag), None, _) => Ok((new_tag, expected.tag.clone())),
            (None, Some(digest), ExpectedDigest::Known(known)) => Ok((digest, known.to_string())),
            (None, Some(_), ExpectedDigest::Never) => {
                let instead = "in the place of `digest`: only a push knows that";
                Err(self.lacks("newTag", "newTag: \"\"", instead).into())
            }
            (None, Some(digest), ExpectedDigest::Unknown) => {
                let message = format!(
                    "`{}` holds a digest, and of `{}:{}` none is known yet",
                    self.path, expected.image, expected.tag
                );
                let defect = Defect::new(Code::W108, digest.place.clone(), message);
                let hint = "run `sparkpack push`, which writes it";
                Err(Hindrance::NotPushed(defect.hint(hint)))
            }
        }
    }

    /// The defect that a required part is missing.
    fn lacks(&self, part: &str, line: &str, place: &str) -> Defect {
        let message = format!(
            "`{}` names `{}` and has no `{part}`",
            self.path,
            self.written()
        );
        let hint = format!("add `{line}` {place}");
        Defect::new(Code::E200, self.place.clone(), message).hint(hint)
    }
}

impl Scalar {
    /// Leaves its quotes out of the bytes that are replaced: they are within other quotes. A plain value gets `quotes`.
    pub(super) fn without_quotes(&mut self, quotes: &'static str) {
        if matches!(
            self.style,
            ScalarStyle::DoubleQuoted | ScalarStyle::SingleQuoted
        ) {
            self.span = self.span.start + 1..self.span.end - 1;
            self.style = ScalarStyle::Plain;
            self.is_suffix = true;
        }
        self.quotes = quotes;
    }

    /// The value, empty if it is null.
    fn text(&self) -> &str {
        match self.other_type.as_deref() {
            Some("null") => "",
            _ => &self.value,
        }
    }
}

/// A registry and what stands behind it: some charts join the two with a slash, others expect the slash in one of them.
fn joined(registry: Option<&Scalar>, path: &str) -> String {
    match registry.map_or("", Scalar::text).trim_end_matches('/') {
        "" => path.to_owned(),
        registry => format!("{registry}/{}", path.trim_start_matches('/')),
    }
}

/// What to write into the registry and behind it, so that they are a repository together: split where they are now, if
/// that is possible, with the slashes that they have now.
fn split_name(repository: &Repository, registry: &Scalar, path: &str) -> (String, String) {
    let slash = |is_there: bool| if is_there { "/" } else { "" };
    let behind = slash(registry.text().ends_with('/'));
    let before = slash(path.starts_with('/'));
    let name = repository.to_string();
    let is_long = registry.text().trim_end_matches('/').contains('/');
    let end = format!("/{}", path.trim_start_matches('/'));
    match name.strip_suffix(&end).filter(|_| is_long) {
        Some(head) => (format!("{head}{behind}"), path.to_owned()),
        None => (
            format!("{}{behind}", repository.registry),
            format!("{before}{}", repository.path),
        ),
    }
}

/// A repository with the tag that is expected.
fn with_version(repository: &str, expected: &Expected, digest: Option<&Digest>) -> String {
    let digest = digest.map_or_else(String::new, |digest| format!("@{digest}"));
    format!("{repository}:{}{digest}", expected.tag)
}

/// A repository without the tag and the digest behind it.
fn written_repository(text: &str) -> &str {
    let text = text.split('@').next().unwrap_or_default();
    match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => text,
    }
}

/// The digest that a scalar holds, with its algorithm even where that is left out.
fn digest_text(scalar: &Scalar) -> String {
    match scalar.text() {
        bare if is_bare_digest(bare) => format!("sha256:{bare}"),
        text => text.to_owned(),
    }
}

/// What to write where a digest stands under a key of its own: the algorithm is left out where it was, and no digest
/// is written where it is not known how the key wants it.
fn expected_digest(scalar: &Scalar, expected: &Expected) -> String {
    match &expected.digest {
        ExpectedDigest::Known(digest) if is_bare_digest(scalar.text()) => digest.hex().to_owned(),
        ExpectedDigest::Known(_) if scalar.text().is_empty() && scalar.path.ends_with("sha") => {
            String::new()
        }
        ExpectedDigest::Known(digest) => digest.to_string(),
        ExpectedDigest::Never | ExpectedDigest::Unknown => String::new(),
    }
}

fn prefixed(text: String, before: &str, after: &str) -> String {
    if text.is_empty() {
        text
    } else {
        format!("{before}{text}{after}")
    }
}
