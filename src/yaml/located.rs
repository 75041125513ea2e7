//! The result of a search in a text.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
    path::Path,
};

use super::{
    image_place::ImagePlace,
    no_comment::{Block, NoComment, no_comment},
    shared::SharedAnchor,
    stray::Stray,
};
use crate::project::place::{Defect, Place};

/// The relevant content of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// The places that name images, in the order of the text.
    pub places: Vec<ImagePlace>,
    /// The objects of the kinds that are looked at, in the order of the text.
    pub objects: Vec<Object>,
    /// The text is a template, which is YAML only after rendering: only its marks count.
    pub is_template: bool,
    /// Where a template with the name of a YAML file stops being YAML.
    pub not_yaml: Option<Place>,
    /// The numbers of the configured places that are there.
    pub configured: BTreeSet<usize>,
    /// Images of the project whose tag stands elsewhere in the document, where sparkpack does not rewrite.
    pub apart: Vec<ApartImage>,
    /// Values that belong to images of the project and are not rewritten.
    pub strays: Vec<Stray>,
    /// The block scalars, in the order of the text.
    pub(super) blocks: Vec<Block>,
    /// The bytes of the lines that a mark says to ignore, in the order of the text.
    pub(super) ignored: Vec<Range<usize>>,
    /// The bytes of the values whose anchor has aliases.
    pub(super) shared: Vec<(Range<usize>, SharedAnchor)>,
}

/// Why the places of a text cannot be told.
#[derive(Debug)]
pub struct Unlocated {
    /// All that is wrong, in the order of the text.
    pub defects: Vec<Defect>,
    /// The text is YAML, and only what stands in it is wrong.
    pub is_yaml: bool,
}

/// An image of the project, without a tag, at no place of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApartImage {
    /// The bytes of its value.
    pub span: Range<usize>,
    /// The values that may be its tag, by the names of their keys.
    pub tags: Vec<(Place, String)>,
}

/// An object of a kind that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where its `kind` stands.
    pub place: Place,
    /// Its `kind`.
    pub kind: String,
    /// Its API group.
    pub group: String,
    /// Whether it is of a kind of a Spark operator.
    pub is_spark: bool,
    /// The Spark version that it states, and where.
    pub spark_version: Option<(Place, String)>,
    /// The files of its image that it names.
    pub local: LocalFiles,
    /// Whether it names any image.
    pub has_images: bool,
}

/// The files of its own image that an object of a Spark operator names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalFiles {
    /// `local://…`, and where each stands.
    pub files: Vec<(Place, String)>,
    /// The folders of volumes, whose files are not the image's.
    pub mounts: Vec<String>,
}

impl ApartImage {
    /// The same, from a text within a text to the one around it.
    pub(super) fn moved(
        self,
        place: &dyn Fn(Place) -> Place,
        span: &dyn Fn(Range<usize>) -> Range<usize>,
    ) -> Self {
        let tags = self.tags.into_iter();
        Self {
            span: span(self.span),
            tags: tags.map(|(at, tag)| (place(at), tag)).collect(),
        }
    }
}

impl Stray {
    /// The same, from a text within the text at `path` to the one around it.
    pub(super) fn moved(
        self,
        place: &dyn Fn(Place) -> Place,
        span: &dyn Fn(Range<usize>) -> Range<usize>,
        path: &str,
    ) -> Self {
        Self {
            place: place(self.place),
            span: span(self.span),
            path: format!("{path}: {}", self.path),
            ..self
        }
    }
}

impl Located {
    /// Whether a mark says to ignore the line with the byte at `offset`.
    #[must_use]
    pub fn is_ignored(&self, offset: usize) -> bool {
        let line = self.ignored.partition_point(|line| line.end <= offset);
        let line = self.ignored.get(line);
        line.is_some_and(|line| line.contains(&offset))
    }

    /// Why no mark can stand on the line of the byte `offset` of the text.
    #[must_use]
    pub fn no_comment(&self, file: &Path, text: &str, offset: usize) -> Option<NoComment> {
        no_comment(file, text, &self.blocks, offset)
    }

    /// The key of the innermost block scalar around the byte at `offset`.
    #[must_use]
    pub fn block_key(&self, offset: usize) -> Option<&str> {
        let mut blocks = self.blocks.iter().rev();
        let block = blocks.find(|block| block.span.contains(&offset));
        block.map(|block| block.key.as_str())
    }

    /// The bytes of the scalars of all places that `is_meant` selects, in the order of the text.
    #[must_use]
    pub fn spans(&self, is_meant: &dyn Fn(&ImagePlace) -> bool) -> Vec<Range<usize>> {
        let places = self.places.iter().filter(|place| is_meant(place));
        let scalars = places.flat_map(|place| place.parts.scalars());
        let mut spans: Vec<_> = scalars.map(|scalar| scalar.span.clone()).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// Appends what was found further down in the text.
    fn append(&mut self, behind: Self) {
        let before = self.objects.len();
        let places = behind.places.into_iter().map(|place| ImagePlace {
            object: place.object.map(|object| object + before),
            ..place
        });
        self.places.extend(places);
        self.objects.extend(behind.objects);
        self.shared.extend(behind.shared);
        self.apart.extend(behind.apart);
        self.strays.extend(behind.strays);
        self.configured.extend(behind.configured);
        self.blocks.extend(behind.blocks);
    }
}

/// What was found in a text, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) located: Located,
    pub(super) defects: Vec<Defect>,
    /// Where the text first stops being YAML, which is one of the defects.
    pub(super) not_yaml: Option<Place>,
    /// The bytes at which comments begin; `None` if the text has no marks or is a template.
    pub(super) comments: Option<HashSet<usize>>,
}

impl Findings {
    /// What is found in a template before its marks are read.
    pub(super) fn template() -> Self {
        let located = Located {
            is_template: true,
            ..Located::default()
        };
        Self {
            located,
            ..Self::default()
        }
    }

    /// Appends what was found further down in the text.
    pub(super) fn append(&mut self, behind: Self) {
        self.located.append(behind.located);
        self.defects.extend(behind.defects);
        self.not_yaml = self.not_yaml.take().or(behind.not_yaml);
        if let Some(comments) = behind.comments {
            self.comments.get_or_insert_default().extend(comments);
        }
    }
}
