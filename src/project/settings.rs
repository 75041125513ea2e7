//! The project that its configuration describes: names are resolved, defaults are filled in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use globset::GlobMatcher;

use super::{
    builders::Builders,
    elsewhere::ElsewhereChain,
    image_matcher::ImageMatcher,
    place::{Defect, Place},
    requirements::RequirementsFile,
    secrets::{Allowance, SecretRule},
    source::Source,
    template::ReferenceTemplate,
    wheel::WheelName,
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
    /// The template of references.
    pub reference: ReferenceTemplate,
    /// Former registry prefixes, which manifests may still use.
    pub formerly: Vec<String>,
    /// Registry hosts that may be reached without TLS.
    pub insecure: Vec<String>,
    /// A CA bundle that is trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Where to fetch from instead.
    pub mirrors: Mirrors,
    /// The `BuildKit`s that build Dockerfiles, in the place of a Docker daemon.
    pub builders: Option<Builders>,
    /// How requirements are installed.
    pub python: PythonSettings,
    /// The chains by name.
    pub chains: BTreeMap<String, Chain>,
    /// The sources by name, including each chain's Spark.
    pub sources: BTreeMap<String, Source>,
    /// The images by name: the configured ones, and the images of chains that are needed.
    pub images: BTreeMap<String, Arc<Image>>,
    /// The manifests' globs by registry.
    pub manifests: BTreeMap<String, Vec<ManifestGlob>>,
    /// Tells which image a reference names.
    pub image_matcher: ImageMatcher,
    /// What manifests hold of a reference.
    pub pin: PinMode,
    /// Manifests in which an anchor's value may be rewritten although it is used in several places.
    pub anchors: Vec<ManifestGlob>,
    /// Globs of input files that git need not have: what every checkout makes itself.
    pub untracked: Vec<GlobMatcher>,
    /// What looks like a credential, and may go into an image all the same.
    pub allowed_secrets: Vec<Allowance>,
    /// Where kinds of objects that sparkpack does not know hold image references.
    pub places: Vec<ConfiguredPlace>,
    /// Oddities that are no mistakes.
    pub warnings: Vec<Defect>,
    /// What has no effect: told where the manifests are looked at.
    pub ineffective: Vec<Defect>,
    /// The sources that nothing in the configuration uses, each with what is told if no Dockerfile uses it either.
    pub unnamed_sources: BTreeMap<String, Defect>,
}

/// A registry that images are pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its name in the configuration.
    pub name: String,
    /// The beginning of references: the host, and the path before the image's name; empty for a layout.
    pub prefix: String,
    /// The folder of the OCI layout that stands in the place of a registry.
    pub layout: Option<PathBuf>,
}

/// `[mirrors]`: never an input of a fingerprint.
#[derive(Clone, Debug, Default)]
pub struct Mirrors {
    /// Mirrors of image registries: host to host.
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
    /// `uv` or `pip`; the default is uv if it is installed.
    pub installer: Option<String>,
    /// The indexes that single packages come from, by their normalised names.
    pub indexes: BTreeMap<String, String>,
    /// The minutes that an installer may take to choose the wheels of an image.
    pub minutes: u64,
    /// The oldest glibc of the images: wheels that need a newer one are not chosen.
    pub glibc: (u8, u8),
}

/// `[chains.NAME]`, or an image from elsewhere that an image names as its `parent`.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its name; of an image that names a `parent` from elsewhere, that one's.
    pub name: String,
    /// Where it is configured.
    pub place: Place,
    /// Where its base and `py` come from.
    pub origin: ChainOrigin,
    /// Sources whose jars are added to the `ds` image.
    pub ds_jars: Vec<String>,
    /// Where the operator's binary comes from, if the chain has an operator.
    pub operator: Option<Operator>,
}

/// Where a chain's base and `py` come from.
#[derive(Clone, Debug)]
pub enum ChainOrigin {
    /// They are made.
    Made(MadeChain),
    /// An image from elsewhere is both.
    Elsewhere(Box<ElsewhereChain>),
}

impl Chain {
    /// The settings of a chain whose images are all made.
    #[must_use]
    pub fn made(&self) -> Option<&MadeChain> {
        match &self.origin {
            ChainOrigin::Made(made) => Some(made),
            ChainOrigin::Elsewhere(_) => None,
        }
    }

    /// The name of one of its images: those of the chain `main` have bare names, those of any other chain have its name
    /// as a prefix.
    #[must_use]
    pub fn image_name(&self, kind: Kind) -> String {
        let kind = kind.built_in().unwrap_or_default();
        if self.name == "main" {
            kind.to_owned()
        } else {
            format!("{}-{kind}", self.name)
        }
    }

    /// The settings of a chain that stands on an image from elsewhere.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&ElsewhereChain> {
        match &self.origin {
            ChainOrigin::Made(_) => None,
            ChainOrigin::Elsewhere(elsewhere) => Some(elsewhere),
        }
    }
}

/// The settings of a chain whose images are all made.
#[derive(Clone, Debug)]
pub struct MadeChain {
    /// Spark's version.
    pub spark: String,
    /// Python's version, major and minor.
    pub python: (u8, u8),
    /// Where Python's version is configured.
    pub python_place: Place,
    /// Java's major version.
    pub java: String,
    /// The root image, as it is written.
    pub root: String,
    /// The name of the source that holds Spark.
    pub spark_source: String,
    /// Sources whose jars are added to the `base` image.
    pub base_jars: Vec<String>,
}

/// `[chains.NAME.operator]`.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The image or source that holds the binary.
    pub origin: OperatorOrigin,
    /// The binary's path in the image or source, if the configuration names it.
    pub path: Option<String>,
    /// Where the path is configured, or else the operator.
    pub place: Place,
}

/// Where the operator's binary lies if nothing says otherwise.
const OPERATOR_PATH: &str = "/usr/bin/spark-operator";

impl Operator {
    /// The binary's path in the image or source: a source that is one file has it by its name.
    #[must_use]
    pub fn path_in(&self, sources: &BTreeMap<String, Source>) -> String {
        let only_file = || match &self.origin {
            OperatorOrigin::Image(_) => None,
            OperatorOrigin::Source(name) => sources.get(name)?.single_file(),
        };
        match &self.path {
            Some(path) => path.clone(),
            None => only_file().map_or(OPERATOR_PATH.to_owned(), |file| format!("/{}", file.name)),
        }
    }
}

/// What holds the operator's binary.
#[derive(Clone, Debug)]
pub enum OperatorOrigin {
    /// An image of a registry.
    Image(String),
    /// A source, by name.
    Source(String),
}

/// The kinds of images: those that a chain consists of, the job, and images with a Dockerfile of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Java runtime and Spark.
    Base,
    /// `base` with Python.
    Py,
    /// `py` with data-science packages.
    Ds,
    /// `base` with the Spark operator's binary.
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
    /// Where the image, or the chain that it belongs to, is configured.
    pub place: Place,
    /// Its kind.
    pub kind: Kind,
    /// The chain whose Spark and Python it has.
    pub chain: Option<String>,
    /// The image of the project that it is built on.
    pub parent: Option<String>,
    /// The image from elsewhere that it is built on, as it is written.
    pub elsewhere: Option<String>,
    /// Its own Dockerfile, relative to the project's folder; without one, the built-in Dockerfile of its kind is used.
    pub dockerfile: Option<String>,
    /// The build context of its own Dockerfile.
    pub context: Context,
    /// Sources that its Dockerfile may name in `FROM` and `COPY --from`.
    pub contexts: BTreeMap<String, String>,
    /// Build arguments.
    pub build_arguments: BTreeMap<String, String>,
    /// The Dockerfile's stage that is built.
    pub target: Option<String>,
    /// The secrets that its Dockerfile may mount, by their IDs. Only a builder ever sees their values.
    pub secrets: BTreeMap<String, SecretOrigin>,
    /// Whether its Dockerfile may use the SSH agent of the one who builds.
    pub ssh: bool,
    /// The platforms that it is built for.
    pub platforms: Vec<Platform>,
    /// The job's code, if the image has any.
    pub package: Option<Package>,
    /// The requirements file, with what is chosen in it.
    pub requirements: Option<RequirementsFile>,
    /// How wheels are built that no index has.
    pub wheel_builds: WheelBuilds,
}

/// How wheels are built from their sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WheelBuilds {
    /// The packages of the image's distribution that are installed for it, sorted.
    pub packages: Vec<String>,
    /// The folder of the project in which the wheels are kept.
    pub folder: Option<String>,
}

impl WheelBuilds {
    /// Where a wheel is kept, relative to the project's folder; `None` if none is.
    #[must_use]
    pub fn kept(&self, wheel: &WheelName) -> Option<String> {
        let folder = self.folder.as_ref()?;
        Some(format!("{folder}/{}", wheel.file_name))
    }
}

impl Image {
    /// What messages call it on some of its platforms.
    #[must_use]
    pub fn title(&self, platforms: &[Platform]) -> String {
        if self.platforms.len() < 2 {
            return self.name.clone();
        }
        let platforms: Vec<String> = platforms.iter().map(Platform::to_string).collect();
        format!("{} ({})", self.name, platforms.join(", "))
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrigin {
    /// A file, relative to the project's folder or by `~/`.
    File(String),
    /// An environment variable.
    Variable(String),
}

/// Where a Dockerfile's `COPY` finds its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// A folder, relative to the project's.
    Folder(String),
    /// A source, by name.
    Source(String),
    /// The image's own package, as a build makes it. What lies in `dist` is not read: a build replaces it.
    Package,
}

/// What `sparkpack package` packs for an image. Paths are relative to the project's folder.
#[derive(Clone, Debug)]
pub struct Package {
    /// Where it is configured.
    pub place: Place,
    /// The folders and modules with the code.
    pub trees: Vec<CodeTree>,
    /// The file that `spark-submit` runs.
    pub main: MainFile,
    /// The files beside the code: by their paths below the job's folder in an image, where they lie.
    pub beside: BTreeMap<String, BesideFile>,
    /// The form of the code in an image; without one, it follows from the files.
    pub form: Option<CodeForm>,
    /// Globs of files that are left out, besides the default excludes and tests; with `!`, of files that are taken.
    pub exclude: Vec<String>,
    /// Modules whose imports are not checked, with all modules in them; `*` is all.
    pub ignored_imports: Vec<String>,
    /// Where the archives go.
    pub dist: String,
}

/// A file that an image has beside the job's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BesideFile {
    /// Where it lies, relative to the project's folder.
    pub path: String,
    /// Where it is configured.
    pub place: Place,
    /// Whether it is one that `spark-submit` runs.
    pub is_main: bool,
}

/// The form of a job's code in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeForm {
    /// An archive that Python imports from.
    Zip,
    /// The archive, and before it a folder with the same files, which the code can open by its own path.
    Folder,
}

/// A folder with code, or a single module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodeTree {
    /// Where it lies, relative to the project's folder.
    pub path: String,
    /// The path that it is packed under: empty for a root of import, whose content is packed without a folder.
    pub packed: String,
    /// Whether it is a single module.
    pub is_module: bool,
}

/// A file that `spark-submit` runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MainFile {
    /// Where it lies, relative to the project's folder.
    pub path: String,
    /// The path that it would be packed under, if it lies among the code.
    pub packed: Option<String>,
}

impl CodeTree {
    /// The folder on the disk, relative to the project's: that of a single module is the one that it lies in.
    #[must_use]
    pub fn folder(&self) -> &str {
        if self.is_module {
            self.path.rsplit_once('/').map_or(".", |(folder, _)| folder)
        } else {
            &self.path
        }
    }

    /// Where a path in [`Self::folder`] is packed.
    #[must_use]
    pub fn packed_path(&self, path: &str) -> String {
        match self.packed.as_str() {
            "" => path.to_owned(),
            _ if self.is_module => path.to_owned(),
            packed => format!("{packed}/{path}"),
        }
    }

    /// Where a path in [`Self::folder`] lies, relative to the project's folder.
    #[must_use]
    pub fn project_path(&self, path: &str) -> String {
        match self.folder() {
            "." => path.to_owned(),
            folder => format!("{folder}/{path}"),
        }
    }

    /// Where a file of the project is packed, if it lies in this tree.
    #[must_use]
    pub fn packed_file(&self, path: &str) -> Option<String> {
        let folder = self.folder();
        let below = match folder {
            "." => path,
            _ => path.strip_prefix(folder)?.strip_prefix('/')?,
        };
        let is_here = !self.is_module || path == self.path;
        is_here.then(|| self.packed_path(below))
    }

    /// Whether it is the project's folder itself, as a root of import.
    #[must_use]
    pub fn is_project(&self) -> bool {
        self.path == "." && !self.is_module
    }
}

impl MainFile {
    /// Its name, without the folders that it lies in.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Package {
    /// The code as messages name it.
    #[must_use]
    pub fn shown(&self) -> String {
        let paths: Vec<String> = self.trees.iter().map(|tree| tree.path.clone()).collect();
        paths.join(", ")
    }
}

/// A glob of manifests.
#[derive(Clone, Debug)]
pub struct ManifestGlob {
    /// Where it is configured.
    pub place: Place,
    /// As it is written.
    pub pattern: String,
    /// The files that match it, relative to the project's folder, sorted.
    pub files: Vec<String>,
}

/// What manifests hold of a reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinMode {
    /// The tag, which follows from the checkout alone.
    #[default]
    Tag,
    /// The tag, and the digest that a push has written into `sparkpack.pins`.
    TagAndDigest,
}

/// `[[places]]`: a path to the images in objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredPlace {
    /// The API group, empty for the core one.
    pub group: String,
    /// The `kind` of the objects.
    pub kind: String,
    /// The path from the object to the image.
    pub path: Vec<PathStep>,
    /// Where it is configured.
    pub place: Place,
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
    /// The name of the built-in Dockerfile, which is also the name of the chain's image.
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
    /// The name that was asked for; `main` if none was.
    pub name: String,
    /// The registries that are configured.
    pub registries: Vec<String>,
}

impl Project {
    /// The registry of this name; without a name, the only one, or else `main`.
    ///
    /// # Errors
    /// There is no such registry, or none was named and several are configured.
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

    /// The folder of the OCI layout that stands in the place of a registry, if there is one.
    #[must_use]
    pub fn layout(&self) -> Option<&Path> {
        let mut registries = self.registries.values();
        registries.find_map(|registry| registry.layout.as_deref())
    }

    /// The image from elsewhere that is the base and `py` of a chain, by one of their names.
    #[must_use]
    pub fn elsewhere_by_name(&self, name: &str) -> Option<&str> {
        self.chains.values().find_map(|chain| {
            let elsewhere = chain.elsewhere()?;
            let is_named = [Kind::Base, Kind::Py]
                .iter()
                .any(|kind| chain.image_name(*kind) == name);
            is_named.then_some(elsewhere.image.as_str())
        })
    }

    /// Whether `untracked` allows a file, a path below the project: its glob matches the file or a folder above it.
    #[must_use]
    pub fn allows_untracked(&self, below: &Path) -> bool {
        let mut paths = below.ancestors();
        paths.any(|path| self.untracked.iter().any(|glob| glob.is_match(path)))
    }

    /// Whether `[secrets] allow` lets what this rule finds in a file, a path below the project, go into an image.
    #[must_use]
    pub fn allows_secret(&self, rule: SecretRule, below: &Path) -> bool {
        let mut allowed = self.allowed_secrets.iter();
        allowed.any(|allowed| allowed.allows(rule, below))
    }

    /// The chain of an image.
    #[must_use]
    pub fn chain_of(&self, image: &Image) -> Option<&Chain> {
        image.chain.as_ref().and_then(|name| self.chains.get(name))
    }
}
