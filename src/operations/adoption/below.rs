//! What the images of Dockerfiles stand on, and whether that says for which Python a job's packages are.

use super::{
    document::ConfigTable,
    draft::{Draft, TableMaker},
    image_name::ImageName,
    remark::{Fact, Remark},
    units::{Unit, UnitContext},
    variables::UNKNOWN,
};

/// Images without Spark, by the last parts of their names.
const PLAIN: [&str; 16] = [
    "debian",
    "ubuntu",
    "alpine",
    "python",
    "openjdk",
    "eclipse-temurin",
    "amazoncorretto",
    "minideb",
    "rockylinux",
    "almalinux",
    "centos",
    "ubi8",
    "ubi9",
    "ubi-minimal",
    "miniconda3",
    "scratch",
];

/// How the Python below a job is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PythonBelow {
    /// It is found in the image from elsewhere at the bottom.
    InImage,
    /// The images are those of a chain, by their names.
    OfChain,
    /// Nothing says it.
    Unknown,
}

impl TableMaker<'_> {
    /// `parent`: another image of the project, or the one from elsewhere below a job.
    pub(super) fn parent(&self, index: usize, table: &mut ConfigTable, draft: &mut Draft) {
        let unit = &self.units.all[index];
        let (image, line) = match &unit.resolved.base {
            Some((image, line)) => (image.as_str(), *line),
            None => ("scratch", 1),
        };
        let place = unit.dockerfile.at(line);
        let shown = image.replace(UNKNOWN, "?");
        draft.facts.push(Fact::new("from", shown.as_str(), &place));
        if let Some(key) = unit.parent.and_then(|parent| self.key_of(parent)) {
            let line = table.text("parent", key);
            if image.contains(UNKNOWN) {
                line.assumed("the FROM is only known in a run");
            } else {
                line.from("FROM in", &place);
            }
            return;
        }
        if image.contains(UNKNOWN) {
            let text =
                format!("it is only known in a run what this Dockerfile stands on: `{shown}`");
            let cure = "write what it is as `parent`, or give the ARG a default";
            draft.untold.push(Remark::at(&place, text).cure(cure));
        } else if self.has_job_above(index) && !is_plain(image) {
            table.text("parent", image).from("FROM in", &place);
        }
    }

    /// The name of the image that a Dockerfile makes.
    pub(super) fn key_of(&self, unit: usize) -> Option<&str> {
        let image = self
            .naming
            .images
            .iter()
            .find(|own| own.unit == Some(unit))?;
        Some(&image.key)
    }

    /// Whether an image, or one that stands on it, gets what `sparkpack package` makes.
    fn has_job_above(&self, index: usize) -> bool {
        let mut units = self.units.all.iter().enumerate();
        let has_unit = units
            .any(|(other, unit)| gets_package(unit) && self.root_of(other) == self.root_of(index));
        has_unit
            || self
                .standing()
                .is_some_and(|(leaf, _)| self.root_of(leaf) == self.root_of(index))
    }

    /// The image at the bottom of one.
    fn root_of(&self, index: usize) -> usize {
        let mut at = index;
        while let Some(parent) = self.units.all[at].parent {
            at = parent;
        }
        at
    }

    /// How the Python of a Dockerfile's image is known.
    pub(super) fn python_below(&self, index: usize) -> PythonBelow {
        let root = self.root_of(index);
        let base = self.units.all[root].resolved.base.as_ref();
        let is_image = base.is_some_and(|(image, _)| !is_plain(image) && !image.contains(UNKNOWN));
        if is_image {
            return PythonBelow::InImage;
        }
        match self.key_of(root) {
            Some("base" | "py") => PythonBelow::OfChain,
            _ => PythonBelow::Unknown,
        }
    }

    /// Where no Dockerfile has the code: the image of the project that a job without one stands on, and its name.
    pub(super) fn standing(&self) -> Option<(usize, &str)> {
        if self.has_job {
            return None;
        }
        let units = self.units.all.iter().enumerate();
        let mut leaves = units.filter(|(index, _)| {
            !self
                .units
                .all
                .iter()
                .any(|other| other.parent == Some(*index))
        });
        let leaf = leaves.find_map(|(index, _)| Some((index, self.key_of(index)?)));
        leaf.filter(|(_, key)| *key != "operator")
    }
}

/// Whether an image gets what `sparkpack package` makes.
pub(super) fn gets_package(unit: &Unit<'_>) -> bool {
    unit.resolved.copies_dist() || unit.context == UnitContext::Package
}

/// Whether an image has no Spark, as far as its name tells.
fn is_plain(image: &str) -> bool {
    let name = ImageName::parse(image);
    name.is_none_or(|name| PLAIN.contains(&name.last.as_str()))
}
