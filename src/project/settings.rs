//! The project as its configuration means it: names resolved, defaults filled in, every mistake named.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    image_matcher::ImageMatcher,
    place::{Defect, Place},
    source::Source,
    template::ReferenceTemplate,
    wheel::Target,
};
use crate::image::Platform;

/// A `PySpark` project.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder that holds `sparkpack.toml`.
    pub root: PathBuf,
    /// Its name.
    pub name: String,
    /// The registries by their names in the configuration.
    pub registries: BTreeMap<String, Registry>,
    /// How references are put together.
    pub reference: ReferenceTemplate,
    /// Prefixes that manifests may still name.
    pub formerly: Vec<String>,
    /// Registry hosts that may be spoken to without TLS.
    pub insecure: Vec<String>,
    /// A CA bundle beside the system's.
    pub ca: Option<PathBuf>,
    /// Where to fetch instead.
    pub mirrors: Mirrors,
    /// How requirements are installed.
    pub python: PythonSettings,
    /// The chains by name.
    pub chains: BTreeMap<String, Chain>,
    /// The sources by name, with each chain's Spark.
    pub sources: BTreeMap<String, Source>,
    /// The images by name: the configured ones, and of the chains' those that are needed.
    pub images: BTreeMap<String, Arc<Image>>,
    /// The manifests' globs by registry.
    pub manifests: BTreeMap<String, Vec<ManifestGlob>>,
    /// Which image a reference names.
    pub image_matcher: ImageMatcher,
    /// What of a reference the manifests hold.
    pub pin: PinMode,
    /// Globs of manifests in which the value of an anchor may change wherever it is used.
    pub anchors: Vec<ManifestGlob>,
    /// Where kinds of objects that are not built in name their images.
    pub places: Vec<ConfiguredPlace>,
    /// What is odd but no mistake.
    pub warnings: Vec<Defect>,
}

/// Where images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its name in the configuration.
    pub name: String,
    /// What references begin with: the host, and what comes before the image.
    pub prefix: String,
}

/// `[mirrors]`: never an input of a fingerprint.
#[derive(Clone, Debug, Default)]
pub struct Mirrors {
    /// Image registries: host to host.
    pub registries: BTreeMap<String, String>,
    /// The URL of a Python index.
    pub python: Option<String>,
    /// The URL of a Maven repository.
    pub maven: Option<String>,
    /// The URL of a Debian mirror.
    pub debian: Option<String>,
}

/// `[python]`.
#[derive(Clone, Debug)]
pub struct PythonSettings {
    /// `uv` or `pip`; by default uv where it is there.
    pub installer: Option<String>,
    /// The oldest glibc that the images have: wheels for newer ones are not chosen.
    pub glibc: (u8, u8),
}

/// `[chains.NAME]`.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it is configured.
    pub place: Place,
    /// Spark's version.
    pub spark: String,
    /// Python's version, major and minor.
    pub python: (u8, u8),
    /// Java's major version.
    pub java: String,
    /// The root image, as it is written.
    pub root: String,
    /// The name of the source that holds Spark.
    pub spark_source: String,
    /// Sources whose jars base gets.
    pub base_jars: Vec<String>,
    /// Sources whose jars ds gets.
    pub ds_jars: Vec<String>,
    /// Where the operator's binary comes from, if the chain has an operator.
    pub operator: Option<Operator>,
}

/// `[chains.NAME.operator]`.
#[derive(Clone, Debug)]
pub struct Operator {
    /// A published image, or a source.
    pub origin: OperatorOrigin,
    /// The binary's path in there.
    pub path: String,
}

/// What holds the operator's binary.
#[derive(Clone, Debug)]
pub enum OperatorOrigin {
    /// An image of a registry.
    Image(String),
    /// A source, by name.
    Source(String),
}

/// The images that a chain is made of, and the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JRE and Spark.
    Base,
    /// With Python.
    Py,
    /// With the data-science packages.
    Ds,
    /// With the Spark operator's binary.
    Operator,
    /// The project's own code.
    Job,
    /// Whatever the image's own Dockerfile says.
    Own,
}

/// One image of the project.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Where it, or the chain that it belongs to, is configured.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// The chain whose Spark and Python it has.
    pub chain: Option<String>,
    /// The image that it stands on.
    pub parent: Option<String>,
    /// Its own Dockerfile, below the project's folder; the built-in one of its kind serves where there is none.
    pub dockerfile: Option<String>,
    /// What its own Dockerfile may copy from.
    pub context: Context,
    /// Sources that its Dockerfile may name in `FROM` and `COPY --from`.
    pub contexts: BTreeMap<String, String>,
    /// Build arguments.
    pub build_arguments: BTreeMap<String, String>,
    /// The Dockerfile's stage that is wanted.
    pub target: Option<String>,
    /// The platforms that it is made for.
    pub platforms: Vec<Platform>,
    /// The job's code, where it has any.
    pub package: Option<Package>,
    /// The requirements file, below the project's folder.
    pub requirements: Option<String>,
}

/// Where a Dockerfile's `COPY` finds its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// A folder below the project's.
    Folder(String),
    /// A source, by name.
    Source(String),
}

/// What `sparkpack package` packs for an image; paths are below the project's folder.
#[derive(Clone, Debug)]
pub struct Package {
    /// Where it is configured.
    pub place: Place,
    /// The folder with the code.
    pub src: String,
    /// The file in `src` that `spark-submit` runs.
    pub main: String,
    /// Globs of what is left out, besides the default excludes and tests.
    pub exclude: Vec<String>,
    /// Where the archives go.
    pub dist: String,
}

/// A glob of manifests.
#[derive(Clone, Debug)]
pub struct ManifestGlob {
    /// Where it stands.
    pub place: Place,
    /// As it is written.
    pub pattern: String,
    /// The files that match it, below the project's folder, sorted.
    pub files: Vec<String>,
}

/// What of a reference a manifest holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinMode {
    /// The tag: known from the checkout alone.
    #[default]
    Tag,
    /// The tag, and the digest that a push has written into `sparkpack.pins`.
    TagAndDigest,
}

/// `[[places]]`: a path to images in a kind of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredPlace {
    /// The API group, empty for the core one.
    pub group: String,
    /// `kind`.
    pub kind: String,
    /// From the object to the image.
    pub path: Vec<PathStep>,
}

/// One step of a configured path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// The value of a mapping's key.
    Key(String),
    /// Every item of a sequence.
    Each,
}

impl Kind {
    /// The name of the built-in Dockerfile, by which a chain's images are called as well.
    #[must_use]
    pub fn built_in(self) -> Option<&'static str> {
        match self {
            Self::Base => Some("base"),
            Self::Py => Some("py"),
            Self::Ds => Some("ds"),
            Self::Operator => Some("operator"),
            Self::Job => Some("job"),
            Self::Own => None,
        }
    }
}

/// There is no registry of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no registry `{name}`; configured: {}",
    super::config::listed(registries)
)]
pub struct UnknownRegistry {
    /// The name that was typed, or the one that stands for all.
    pub name: String,
    /// Those that there are.
    pub registries: Vec<String>,
}

impl Project {
    /// The registry that is meant: the named one, else the only one, else `main`.
    ///
    /// # Errors
    /// There is no such registry, or the choice is open.
    pub fn registry(&self, name: Option<&str>) -> Result<&Registry, UnknownRegistry> {
        let name = match (name, self.registries.len()) {
            (Some(name), _) => name,
            (None, 1) => self.registries.keys().next().map_or("main", String::as_str),
            (None, _) => "main",
        };
        self.registries.get(name).ok_or_else(|| UnknownRegistry {
            name: name.to_owned(),
            registries: self.registries.keys().cloned().collect(),
        })
    }

    /// What an image's wheels are chosen for; nothing where no chain says for which Python.
    #[must_use]
    pub fn target(&self, image: &Image, platform: &Platform) -> Option<Target> {
        let chain = self.chain_of(image)?;
        Some(Target {
            python: chain.python,
            platform: platform.clone(),
            glibc: self.python.glibc,
        })
    }

    /// The chain of an image.
    #[must_use]
    pub fn chain_of(&self, image: &Image) -> Option<&Chain> {
        image.chain.as_ref().and_then(|name| self.chains.get(name))
    }
}
