//! What a stage is made from, as it lies on this disk: its Dockerfile, its context, the job's code.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    Chain, Context, Image, Kind, OperatorOrigin, Project,
    built_in::{self, BuiltInRecipe},
    dockerfile::{Dockerfile, Given, Resolution, Role, SecretMount, Used},
    exclusions::{self, ContextRules, NeverContext},
    file_trees::{FileTrees, Rules},
    ignore::{TreeError, whiteout},
    job_files::{JobError, JobReader, KnownLeftOut, PackageInputs},
    lock::{self, Lock},
    place::{Defect, Place, nearest},
    requirements::Requirements,
    source::{Origin, SingleFile, Source},
    tree::Entry,
};
use crate::{code::Code, image::Digest};

/// What was read for an image that has a Dockerfile.
#[derive(Debug)]
pub struct DockerfileInputs {
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// Its stages for the build arguments and the target.
    pub resolution: Resolution,
    /// The digest of its bytes, with CRLF as LF.
    pub digest: Digest,
    /// The built-in Dockerfile, if it is one.
    pub built_in: Option<&'static BuiltInRecipe>,
    /// The stage of the Dockerfile that is built.
    pub target: Option<String>,
    /// The values of the build arguments that it declares.
    pub build_arguments: BTreeMap<String, String>,
    /// The values of the arguments that choose among the Dockerfile's own stages.
    pub stage_arguments: BTreeMap<String, String>,
    /// The images that it names, in the file's order.
    pub image_uses: Vec<ImageUse>,
    /// The project's stage at the bottom of its layers: the image that its final `FROM` leads to.
    pub base: Option<String>,
    /// The image from elsewhere at the bottom of its layers, by its name as it is written.
    pub external_base: Option<String>,
    /// The files of the context that it can copy, without generated and fetched ones.
    pub context: Vec<Entry>,
    /// Whether an image that one of its stages stands on may copy any file of the context and read any argument, by
    /// `ONBUILD`.
    pub has_triggers: bool,
    /// The sources that are fetched into its context for a build.
    pub context_sources: Vec<ContextSource>,
    /// The sources that it uses and that are a single file.
    pub single_files: BTreeMap<String, SingleFile>,
    /// Oddities that are no mistakes.
    pub warnings: Vec<Defect>,
}

/// What was read for an image that only gets files; nothing is executed.
#[derive(Debug)]
pub struct FilesInputs {
    /// The image that the files are added to.
    pub base: UsedImage,
    /// The built-in recipe with its requirements, if it has one.
    pub built_in: Option<&'static BuiltInRecipe>,
    /// Where its files go, by what they are.
    pub places: Vec<FilesPlace>,
    /// What comes first in its `PYTHONPATH`, in this order.
    pub python_path: Vec<&'static str>,
    /// The jars that it gets.
    pub jars: Vec<ContextSource>,
    /// The jars that are a single file.
    pub single_files: BTreeMap<String, SingleFile>,
}

/// Where some of the files that are added to an image go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesPlace {
    /// What they are: `job`, `jobs`, `libs.zip`, `site-packages`, `jars`.
    pub what: &'static str,
    /// The folder in the image; `$SPARK_HOME` is the parent's.
    pub folder: &'static str,
}

/// Where Spark is in an image that does not say so.
const USUAL_SPARK_HOME: &str = "/opt/spark";

impl FilesInputs {
    /// Adds the folder that holds the code besides its archive, and is searched before it.
    pub fn add_code_folder(&mut self) {
        self.places.push(CODE_FOLDER);
        let archive = self
            .python_path
            .iter()
            .position(|item| *item == CODE_ARCHIVE);
        if let Some(archive) = archive {
            self.python_path.insert(archive, CODE_FOLDER.folder);
        }
    }
}

impl FilesPlace {
    /// The folder in an image whose parent has this `SPARK_HOME`.
    #[must_use]
    pub fn folder_in(&self, spark_home: Option<&str>) -> String {
        let spark_home = spark_home.unwrap_or(USUAL_SPARK_HOME);
        self.folder.replace("$SPARK_HOME", spark_home)
    }
}

/// An image that a Dockerfile names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// Which of the Dockerfile's images it is: `FROM 1`, `COPY --from 3`.
    pub role: String,
    /// Where its name stands in the Dockerfile, in bytes.
    pub span: std::ops::Range<usize>,
    /// What the name stands for.
    pub image: UsedImage,
}

/// What an image's name in a Dockerfile stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsedImage {
    /// Another stage of the project.
    Stage(String),
    /// An image from elsewhere, by its name as it is written.
    External(String),
    /// A source of the project.
    Source(String),
    /// `scratch`: no image.
    Scratch,
}

/// A source whose files become files of a build context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextSource {
    /// The source's name.
    pub source: String,
    /// Its row in the record.
    pub role: String,
    /// The folder of the context that its files go to.
    pub folder: &'static str,
}

/// An image's requirements.
#[derive(Clone, Debug)]
pub struct ImageRequirements {
    /// What they say.
    pub requirements: Requirements,
    /// Whether they belong to a built-in Dockerfile: their wheels are then locked in `sparkpack.lock`.
    pub built_in: bool,
}

/// Why the inputs of an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Something is wrong in a file that a person wrote.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// Several things are wrong in such a file.
    #[error("{} defects", .0.len())]
    Defects(Vec<Defect>),
    /// Something is wrong with a file in a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The lock names a built-in recipe that this sparkpack does not carry.
    #[error(transparent)]
    UnknownRecipe(#[from] UnknownRecipe),
}

/// The lock names a built-in recipe of this name that this sparkpack does not carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock names a built-in recipe `{0}` that this sparkpack does not carry")]
pub struct UnknownRecipe(pub String);

impl From<JobError> for InputError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Defect(defect) => Self::Defect(defect),
            JobError::Tree(error) => Self::Tree(error),
        }
    }
}

impl UnknownRecipe {
    /// The same as a [`Defect`] of the lock.
    #[must_use]
    pub fn defect(&self) -> Defect {
        Defect::new(
            Code::E032,
            Place::of_line(lock::FILE_NAME, 1),
            self.to_string(),
        )
        .hint("run `sparkpack lock --upgrade`, which may move tags, or install the sparkpack that wrote the lock")
    }
}

/// Reads what the images of a project are made from.
pub struct InputReader<'a> {
    project: &'a Project,
    lock: &'a Lock,
    trees: &'a FileTrees,
    never: NeverContext,
    /// The context files chosen so far: many images may share a Dockerfile and a folder.
    contexts: Mutex<HashMap<ContextChoice, Vec<Entry>>>,
    left_out: KnownLeftOut,
}

/// Everything that decides which files of a folder are the context of an image.
#[derive(PartialEq, Eq, Hash)]
struct ContextChoice {
    root: PathBuf,
    /// The name of the exclusion rules.
    rules: String,
    dockerfile: Digest,
    target: Option<String>,
    /// All build arguments, and those that the builder is given.
    arguments: [BTreeMap<String, String>; 2],
    has_triggers: bool,
}

impl<'a> InputReader<'a> {
    /// A reader that uses the built-in Dockerfiles that `lock` names, and walks folders by `trees`.
    #[must_use]
    pub fn new(project: &'a Project, lock: &'a Lock, trees: &'a FileTrees) -> Self {
        Self {
            project,
            lock,
            trees,
            never: NeverContext::of(project),
            contexts: Mutex::default(),
            left_out: KnownLeftOut::default(),
        }
    }

    /// Refuses a lock with a recipe that this sparkpack does not carry, whether an image uses it or not.
    ///
    /// # Errors
    /// The first such recipe.
    pub fn refuse_unknown_recipes(&self) -> Result<(), InputError> {
        let mut recipes = self.lock.recipes.iter();
        let unknown = recipes.find(|(name, digest)| built_in::locked(name, digest).is_none());
        match unknown {
            None => Ok(()),
            Some((name, _)) => Err(UnknownRecipe(name.clone()).into()),
        }
    }

    /// The Dockerfile of `image`, and what it may copy.
    ///
    /// # Errors
    /// The Dockerfile or its context cannot be read, or is wrong.
    pub fn dockerfile(&self, image: &Image) -> Result<DockerfileInputs, InputError> {
        let project = self.project;
        let (bytes, file, built_in) = dockerfile(project, self.lock, image)?;
        // The bytes that are sent must be the bytes that the fingerprint covers: a heredoc would copy carriage returns
        // into the image.
        let bytes = without_carriage_returns(&bytes);
        let allows = |rule| project.allows_secret(rule, &file);
        let dockerfile = Dockerfile::parse_allowing(&file, &bytes, &allows);
        let dockerfile = dockerfile.map_err(InputError::Defects)?;
        let digest = Digest::of(&bytes);
        let arguments = build_arguments(project, image);
        let sent = sent(image, &dockerfile, &arguments);
        let given = Given {
            all: &arguments,
            sent: &sent,
        };
        let resolution = dockerfile
            .resolve_given(given, image.target.as_deref())
            .map_err(InputError::Defects)?;
        let image_uses = image_uses(project, image, &dockerfile, &resolution)?;
        let triggering = triggering(project, &resolution, &image_uses);
        refuse_other_base(image, &dockerfile, &resolution, &image_uses)?;
        refuse_unconfigured_secrets(image, &dockerfile, &resolution)?;
        refuse_copied_dockerfile(project, &dockerfile, &resolution, &triggering)?;
        let (base, external_base) = match base(&resolution, &image_uses) {
            Some(UsedImage::Stage(name)) => (Some(name), None),
            Some(UsedImage::External(text)) => (None, Some(text)),
            Some(UsedImage::Source(_) | UsedImage::Scratch) | None => (None, None),
        };
        let has_triggers = !triggering.is_empty();
        let context = match built_in {
            Some(built_in) => built_in
                .files
                .iter()
                .map(|file| Entry::in_memory(file.path, file.text, file.executable))
                .collect(),
            None => self.own_context(image, &resolution, has_triggers, (&digest, given))?,
        };
        let mut warnings = nearly_ours(project, &dockerfile, &resolution, &image_uses);
        warnings.extend(oddities(image, &dockerfile, &resolution));
        if let (Context::Folder(folder), None) = (&image.context, built_in) {
            warnings.extend(exclusions::taken_back_secrets(project, image, folder)?);
        }
        let context_sources = context_sources(project, image);
        Ok(DockerfileInputs {
            digest,
            target: image.target.clone(),
            build_arguments: sent,
            stage_arguments: choosing(&dockerfile, &resolution, arguments),
            single_files: single_files(project, self.trees, (&image_uses, &context_sources))?,
            dockerfile,
            resolution,
            built_in,
            image_uses,
            base,
            external_base,
            context,
            has_triggers,
            context_sources,
            warnings,
        })
    }

    /// What `image` gets, if it only gets files: a job, or the packages of a chain, without a Dockerfile.
    ///
    /// # Errors
    /// It has settings that only a Dockerfile can use, or its recipe is not known.
    pub fn files(&self, image: &Image) -> Result<Option<FilesInputs>, InputError> {
        if image.dockerfile.is_some() || !matches!(image.kind, Kind::Job | Kind::Ds) {
            return Ok(None);
        }
        refuse_settings_of_dockerfiles(image)?;
        // Whoever loads the project gives both kinds a parent.
        let base = match (&image.parent, &image.elsewhere) {
            (Some(parent), _) => UsedImage::Stage(parent.clone()),
            (None, Some(text)) => from_elsewhere(self.project, image, text)?,
            (None, None) => return Ok(None),
        };
        let built_in = match image.kind {
            Kind::Ds if image.requirements.is_none() => Some(built_in_of(self.lock, "ds")?),
            _ => None,
        };
        let mut places = Vec::new();
        let mut python_path = Vec::new();
        if image.package.is_some() {
            places.extend([JOB_PLACE, LIBS_PLACE, JOB_PACKAGES]);
            python_path.extend(["/opt/job/site-packages", "/opt/job/libs.zip", CODE_ARCHIVE]);
        } else {
            places.push(DS_PACKAGES);
            python_path.push(DS_PACKAGES.folder);
        }
        let jars = context_sources(self.project, image);
        if !jars.is_empty() {
            places.push(JARS_PLACE);
        }
        let single_files = single_files(self.project, self.trees, (&[], &jars))?;
        Ok(Some(FilesInputs {
            base,
            built_in,
            places,
            python_path,
            jars,
            single_files,
        }))
    }

    /// The code of `image`, if it is a job.
    ///
    /// # Errors
    /// The code cannot be read, or its rules are wrong.
    pub fn package(&self, image: &Image) -> Result<Option<PackageInputs>, InputError> {
        let Some(package) = &image.package else {
            return Ok(None);
        };
        let target = |platform| self.lock.target(self.project, image, platform);
        let platform = image.platforms.first();
        let python = platform.and_then(target).map(|target| target.python);
        let reader = JobReader {
            project: self.project,
            trees: self.trees,
            never: &self.never,
            left_out: &self.left_out,
            root: fs_err::canonicalize(&self.project.root)
                .unwrap_or_else(|_| self.project.root.clone()),
        };
        Ok(Some(reader.read(package, python)?))
    }

    /// The requirements of `image`: its own file, or else that of its built-in Dockerfile.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong.
    pub fn requirements(
        &self,
        image: &Image,
        built_in: Option<&'static BuiltInRecipe>,
    ) -> Result<Option<ImageRequirements>, InputError> {
        if let Some(file) = &image.requirements {
            let requirements =
                Requirements::choose(&self.project.root, file).map_err(InputError::Defects)?;
            return Ok(Some(ImageRequirements {
                requirements,
                built_in: false,
            }));
        }
        let Some((built_in, text)) =
            built_in.and_then(|built_in| Some((built_in, built_in.requirements?)))
        else {
            return Ok(None);
        };
        let file = format!("dockerfiles/{}/requirements.txt", built_in.name);
        let mut requirements =
            Requirements::of_text(Path::new(&file), text).map_err(InputError::Defects)?;
        let names = requirements.names().map(|(name, _)| name.to_owned());
        requirements.along = names
            .filter(|name| !built_in.asked.contains(&name.as_str()))
            .collect();
        Ok(Some(ImageRequirements {
            requirements,
            built_in: true,
        }))
    }

    fn own_context(
        &self,
        image: &Image,
        resolution: &Resolution,
        has_triggers: bool,
        (dockerfile, given): (&Digest, Given<'_>),
    ) -> Result<Vec<Entry>, InputError> {
        let Context::Folder(folder) = &image.context else {
            return Ok(Vec::new());
        };
        let root = self.project.root.join(folder);
        let rules = ContextRules::of(self.project, image, folder, &self.never)?;
        let kept = Rules {
            name: rules.name.clone(),
            keep: &|path, is_folder| rules.left_out(path, is_folder).is_none(),
            follow: None,
        };
        let choice = ContextChoice {
            root: root.clone(),
            rules: rules.name.clone(),
            dockerfile: dockerfile.clone(),
            target: image.target.clone(),
            arguments: [given.all, given.sent].map(Clone::clone),
            has_triggers,
        };
        let known = || self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chosen) = known().get(&choice) {
            refuse_mixed(image, chosen)?;
            return Ok(chosen.clone());
        }
        let chosen = self.choose(&root, &kept, resolution, choice.has_triggers)?;
        refuse_mixed(image, &chosen)?;
        known().insert(choice, chosen.clone());
        Ok(chosen)
    }

    /// The files of a folder that a Dockerfile may copy.
    fn choose(
        &self,
        root: &Path,
        kept: &Rules<'_>,
        resolution: &Resolution,
        has_triggers: bool,
    ) -> Result<Vec<Entry>, InputError> {
        let mut list = |near: &[&str], wanted: &dyn Fn(&str) -> bool| {
            self.trees.choose(root, kept, near, wanted)
        };
        let chosen = if has_triggers {
            list(&[""], &|_| true)
        } else {
            resolution.select(&mut list)
        };
        Ok(chosen?)
    }
}

const JOB_PLACE: FilesPlace = FilesPlace {
    what: "job",
    folder: "/opt/job",
};
const CODE_ARCHIVE: &str = "/opt/job/jobs.zip";
const CODE_FOLDER: FilesPlace = FilesPlace {
    what: "jobs",
    folder: "/opt/job/jobs",
};
const LIBS_PLACE: FilesPlace = FilesPlace {
    what: "libs.zip",
    folder: "/opt/job",
};
const JOB_PACKAGES: FilesPlace = FilesPlace {
    what: "site-packages",
    folder: "/opt/job/site-packages",
};
const DS_PACKAGES: FilesPlace = FilesPlace {
    what: "site-packages",
    folder: "/opt/ds/site-packages",
};
const JARS_PLACE: FilesPlace = FilesPlace {
    what: "jars",
    folder: "$SPARK_HOME/jars",
};

/// Refuses what only a Dockerfile can use at an image that has none.
fn refuse_settings_of_dockerfiles(image: &Image) -> Result<(), Defect> {
    let settings = [
        ("build-args", !image.build_arguments.is_empty()),
        ("contexts", !image.contexts.is_empty()),
        ("secrets", !image.secrets.is_empty()),
        ("ssh", image.ssh),
        ("target", image.target.is_some()),
    ];
    let Some((key, _)) = settings.into_iter().find(|(_, is_set)| *is_set) else {
        return Ok(());
    };
    let message = format!(
        "`{}` has `{key}`, and no Dockerfile that could use it: files are added to its parent, and nothing is executed",
        image.name
    );
    Err(
        Defect::new(Code::E022, image.place.clone(), message).hint(format!(
            "remove `{key}`, or name a Dockerfile by `dockerfile`"
        )),
    )
}

/// Refuses files of a context that have the names of what sparkpack itself puts there: a build would have one of the two.
fn refuse_mixed(image: &Image, context: &[Entry]) -> Result<(), Defect> {
    let is_below = |path: &str, folder: &str| {
        let rest = path.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_made = |path: &str| match &image.package {
        Some(package) => {
            let main = package.main.name();
            let inside = path.strip_prefix("dist/").unwrap_or_default();
            path == "dist"
                || [main, "jobs.zip", "libs.zip"].contains(&inside)
                || is_below(inside, "site-packages")
                || is_below(inside, "jobs")
                || package.beside.contains_key(inside)
        }
        None => image.requirements.is_some() && is_below(path, "site-packages"),
    };
    let Some(mixed) = context.iter().find(|entry| is_made(&entry.path)) else {
        return Ok(());
    };
    let message = format!(
        "`{}` in the context of `{}` has the name of what sparkpack puts there",
        mixed.path, image.name
    );
    Err(Defect::new(Code::E090, image.place.clone(), message)
        .hint("rename it, or give the image another `context`"))
}

/// The sources that a Dockerfile uses and that are a single file; others have no entry.
fn single_files(
    project: &Project,
    trees: &FileTrees,
    (image_uses, context_sources): (&[ImageUse], &[ContextSource]),
) -> Result<BTreeMap<String, SingleFile>, TreeError> {
    let copied = image_uses.iter().filter_map(|used| match &used.image {
        UsedImage::Source(name) => Some(name),
        UsedImage::Stage(_) | UsedImage::External(_) | UsedImage::Scratch => None,
    });
    let names = copied.chain(context_sources.iter().map(|wanted| &wanted.source));
    let found = names.filter_map(|name| {
        let source = project.sources.get(name)?;
        let mut file = source.single_file()?;
        if let (Some(bits), Origin::Path(path)) = (trees.executable_bits(), &source.origin) {
            file.executable = bits.of(path).unwrap_or(file.executable);
        }
        Some((name.clone(), file))
    });
    let found: BTreeMap<String, SingleFile> = found.collect();
    let mut files = found.values().map(|file| &file.name);
    match files.find(|name| whiteout(name).is_some()) {
        None => Ok(found),
        Some(name) => Err(TreeError::of_whiteout(name)),
    }
}

/// The sources that are fetched into the context of `image` for a build.
fn context_sources(project: &Project, image: &Image) -> Vec<ContextSource> {
    let mut wanted = Vec::new();
    if let (Context::Source(source), Some(_)) = (&image.context, &image.dockerfile) {
        wanted.push(ContextSource {
            source: source.clone(),
            role: "context".to_owned(),
            folder: "",
        });
    }
    let jars = project
        .chain_of(image)
        .map_or(&[][..], |chain| jars_of(chain, image.kind));
    wanted.extend(jars.iter().map(|source| {
        let name = project
            .sources
            .get(source)
            .map(Source::file_name)
            .unwrap_or_default();
        ContextSource {
            source: source.clone(),
            role: format!("jars/{name}"),
            folder: "jars",
        }
    }));
    wanted
}

fn jars_of(chain: &Chain, kind: Kind) -> &[String] {
    match kind {
        Kind::Base => chain.made().map_or(&[], |made| &made.base_jars),
        Kind::Ds => &chain.ds_jars,
        Kind::Py | Kind::Operator | Kind::Job | Kind::Own => &[],
    }
}

/// A Dockerfile's bytes, its name, and the built-in Dockerfile if it is one.
type NamedDockerfile = (Vec<u8>, PathBuf, Option<&'static BuiltInRecipe>);

fn dockerfile(
    project: &Project,
    lock: &Lock,
    image: &Image,
) -> Result<NamedDockerfile, InputError> {
    if let Some(file) = &image.dockerfile {
        let bytes = fs_err::read(project.root.join(file))
            .map_err(|error| Defect::new(Code::E089, image.place.clone(), error.to_string()))?;
        return Ok((bytes, PathBuf::from(file), None));
    }
    let name = image.kind.built_in().unwrap_or_default();
    let built_in = built_in_of(lock, name)?;
    let file = PathBuf::from(format!("dockerfiles/{name}/Dockerfile"));
    let text = built_in.dockerfile;
    let text = text.ok_or_else(|| UnknownRecipe(name.to_owned()))?;
    Ok((text.as_bytes().to_vec(), file, Some(built_in)))
}

/// The built-in recipe of this name that the lock names, or else the newest.
fn built_in_of(lock: &Lock, name: &str) -> Result<&'static BuiltInRecipe, UnknownRecipe> {
    let built_in = match lock.recipes.get(name) {
        None => built_in::newest(name),
        Some(digest) => built_in::locked(name, digest),
    };
    built_in.ok_or_else(|| UnknownRecipe(name.to_owned()))
}

/// The bytes with CRLF as LF: git may check text out with CRLF, and that must not change a tag.
#[must_use]
pub fn without_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        if byte != b'\r' || bytes.get(index + 1) != Some(&b'\n') {
            kept.push(byte);
        }
    }
    kept
}

/// The values of all build arguments, with those that name images. A Dockerfile uses the ones that it declares.
fn build_arguments(project: &Project, image: &Image) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(arguments.insert(name.to_owned(), value));
    if let Some(chain) = project.chain_of(image) {
        if let Some(made) = chain.made() {
            set("ROOT", made.root.clone());
            set("SPARK", format!("source:{}", made.spark_source));
            set("SPARK_VERSION", made.spark.clone());
            set("JAVA", made.java.clone());
            set("PYTHON", format!("{}.{}", made.python.0, made.python.1));
        }
        if let Some(operator) = &chain.operator {
            set("OPERATOR_PATH", operator.path_in(&project.sources));
            match &operator.origin {
                OperatorOrigin::Image(reference) => set("OPERATOR", reference.clone()),
                OperatorOrigin::Source(name) => set("OPERATOR", format!("source:{name}")),
            }
        }
    }
    if let Some(parent) = image.parent.as_ref().or(image.elsewhere.as_ref()) {
        set("PARENT", parent.clone());
    }
    arguments.extend(image.build_arguments.clone());
    arguments
}

/// The values of the arguments that have a part in choosing among the Dockerfile's own stages.
fn choosing(
    dockerfile: &Dockerfile,
    resolution: &Resolution,
    arguments: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let arguments = arguments.into_iter();
    arguments
        .filter(|(name, _)| dockerfile.chooses_stage(name, resolution))
        .collect()
}

/// The values of the arguments that the builder is given. Those by which a chain names images are left out, because the
/// record has the images themselves; where the configuration sets one of these names, it is an argument like any other.
fn sent(
    image: &Image,
    dockerfile: &Dockerfile,
    arguments: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    const IMAGES: [&str; 4] = ["ROOT", "SPARK", "OPERATOR", "PARENT"];
    let is_wanted = |name: &String| {
        let is_set = image.build_arguments.contains_key(name);
        dockerfile.takes(name) && (is_set || !IMAGES.contains(&name.as_str()))
    };
    let wanted = arguments.iter().filter(|(name, _)| is_wanted(name));
    wanted
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Build arguments that the Dockerfile does not declare. They are worth a warning: a misspelt one would silently build
/// with the default.
fn undeclared(image: &Image, dockerfile: &Dockerfile) -> Vec<Defect> {
    let declared: Vec<String> = dockerfile
        .arguments()
        .into_iter()
        .map(|argument| argument.name)
        .collect();
    let unknown = image
        .build_arguments
        .keys()
        .filter(|name| !dockerfile.takes(name));
    let warning = |name: &String| {
        let message = format!(
            "`{}` has the build argument `{name}`, which its Dockerfile does not declare",
            image.name
        );
        let defect = Defect::new(Code::W103, image.place.clone(), message);
        match nearest(name, declared.iter().map(String::as_str)) {
            Some(near) => defect.hint(format!("did you mean `{near}`?")),
            None => defect.hint(format!(
                "write `ARG {name}` in the Dockerfile, or leave the argument out"
            )),
        }
    };
    unknown.map(warning).collect()
}

/// Images from elsewhere whose names are nearly those of a stage or of an image of the project: a misspelt name would be
/// looked up in a registry, or pulled from it.
fn nearly_ours(
    project: &Project,
    dockerfile: &Dockerfile,
    resolution: &Resolution,
    image_uses: &[ImageUse],
) -> Vec<Defect> {
    let stages = resolution.stages().iter();
    let names = stages.filter_map(|stage| stage.name.as_deref());
    let names: Vec<&str> = names
        .chain(project.images.keys().map(String::as_str))
        .collect();
    let warning = |used: &crate::project::dockerfile::ImageUse| {
        let meant = image_uses.iter().find(|other| other.span == used.span)?;
        let UsedImage::External(text) = &meant.image else {
            return None;
        };
        let is_bare = !text.contains([':', '/', '@']);
        let near = nearest(text, names.iter().copied()).filter(|_| is_bare)?;
        let message = format!(
            "`{text}` is no stage of this Dockerfile and no image of the project, so it comes from docker.io"
        );
        let place = Place::of_line(dockerfile.file(), used.line);
        Some(Defect::new(Code::W134, place, message).hint(format!(
            "did you mean `{near}`? if not, write `docker.io/library/{text}`"
        )))
    };
    resolution.uses().filter_map(warning).collect()
}

fn image_uses(
    project: &Project,
    image: &Image,
    dockerfile: &Dockerfile,
    resolution: &Resolution,
) -> Result<Vec<ImageUse>, Defect> {
    let mut image_uses = Vec::new();
    for (index, used) in resolution.uses().enumerate() {
        let keyword = match used.role {
            Role::From => "FROM",
            Role::Copy => "COPY --from",
            Role::Mount => "RUN --mount",
        };
        let meant = match &used.used {
            Used::Stage(_) => continue,
            Used::Scratch => UsedImage::Scratch,
            Used::Image(text) => used_image(project, image, text).map_err(|reason| {
                Defect::new(
                    Code::E093,
                    Place::of_line(dockerfile.file(), used.line),
                    reason,
                )
            })?,
        };
        image_uses.push(ImageUse {
            role: format!("{keyword} {}", index + 1),
            span: used.span.clone(),
            image: meant,
        });
    }
    Ok(image_uses)
}

/// What an image's name in a Dockerfile stands for: a source, a stage of the project, or an image from elsewhere.
fn used_image(project: &Project, image: &Image, text: &str) -> Result<UsedImage, String> {
    if text == "scratch" {
        return Ok(UsedImage::Scratch);
    }
    if let Some(source) = text
        .strip_prefix("source:")
        .or_else(|| image.contexts.get(text).map(String::as_str))
    {
        return if project.sources.contains_key(source) {
            Ok(UsedImage::Source(source.to_owned()))
        } else {
            Err(format!("there is no source `{source}`"))
        };
    }
    if project.images.contains_key(text) {
        return Ok(UsedImage::Stage(text.to_owned()));
    }
    if let Some(elsewhere) = project.elsewhere_by_name(text) {
        return Ok(UsedImage::External(elsewhere.to_owned()));
    }
    let reference: crate::image::Reference = text.parse().map_err(|error| format!("{error}"))?;
    match project.image_matcher.named(&reference) {
        Some(stage) => Ok(UsedImage::Stage(stage.to_owned())),
        None => Ok(UsedImage::External(text.to_owned())),
    }
}

/// The image from elsewhere that an image without a Dockerfile stands on.
fn from_elsewhere(project: &Project, image: &Image, text: &str) -> Result<UsedImage, Defect> {
    let place = || image.place.clone();
    match used_image(project, image, text) {
        Err(reason) => Err(Defect::new(Code::E093, place(), reason)),
        Ok(UsedImage::Stage(name)) => {
            let message = format!("`{text}` is an image of this project, `{name}`");
            Err(Defect::new(Code::E084, place(), message)
                .hint(format!("write `parent = \"{name}\"`")))
        }
        Ok(used) => Ok(used),
    }
}

/// The image that the final `FROM` leads to.
fn base(resolution: &Resolution, image_uses: &[ImageUse]) -> Option<UsedImage> {
    let mut stage = resolution.stages().get(resolution.target())?;
    while let Used::Stage(below) = stage.base.used {
        stage = resolution.stages().get(below)?;
    }
    let used = image_uses
        .iter()
        .find(|used| used.span == stage.base.span)?;
    Some(used.image.clone())
}

/// A stage of the project that a needed stage of a Dockerfile stands on, and whose own Dockerfile has `ONBUILD`.
struct Triggering<'a> {
    stage: &'a str,
    /// The line of the `FROM`.
    line: usize,
    /// That of the stage.
    dockerfile: Dockerfile,
}

/// The stages below a Dockerfile whose triggers copy files that it does not name itself.
fn triggering<'a>(
    project: &Project,
    resolution: &Resolution,
    image_uses: &'a [ImageUse],
) -> Vec<Triggering<'a>> {
    let bases = resolution.uses().filter(|used| used.role == Role::From);
    let found = bases.filter_map(|base| {
        let used = image_uses.iter().find(|used| used.span == base.span)?;
        let UsedImage::Stage(stage) = &used.image else {
            return None;
        };
        let file = project.images.get(stage)?.dockerfile.as_ref()?;
        let bytes = fs_err::read(project.root.join(file)).ok()?;
        let dockerfile = Dockerfile::parse_allowing(Path::new(stage), &bytes, &|_| true).ok()?;
        let mut instructions = dockerfile.instructions().iter();
        let has_triggers = instructions.any(|instruction| instruction.keyword == "ONBUILD");
        has_triggers.then_some(Triggering {
            stage,
            line: base.line,
            dockerfile,
        })
    });
    found.collect()
}

/// Refuses a Dockerfile that does not stand on the configured parent, wherever else it names it.
fn refuse_other_base(
    image: &Image,
    dockerfile: &Dockerfile,
    resolution: &Resolution,
    image_uses: &[ImageUse],
) -> Result<(), Defect> {
    let (parent, wanted) = match (&image.parent, &image.elsewhere) {
        (Some(parent), _) => (parent, UsedImage::Stage(parent.clone())),
        (None, Some(text)) => (text, UsedImage::External(text.clone())),
        (None, None) => return Ok(()),
    };
    let found = base(resolution, image_uses);
    if found.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let is_used = image_uses.iter().any(|used| used.image == wanted);
    let message = format!(
        "`{}` is to stand on `{parent}` ({}), but {}",
        image.name,
        image.place,
        if is_used {
            "the last FROM here is another image"
        } else {
            "no FROM here names it"
        }
    );
    let line = resolution
        .stages()
        .get(resolution.target())
        .map_or(1, |stage| stage.line);
    let place = Place::of_line(dockerfile.file(), line);
    Err(Defect::new(Code::E094, place, message)
        .hint("write `ARG PARENT` at the top and `FROM ${PARENT}`"))
}

/// Refuses a step that cannot do without a secret or an SSH agent that the configuration does not give it.
fn refuse_unconfigured_secrets(
    image: &Image,
    dockerfile: &Dockerfile,
    resolution: &Resolution,
) -> Result<(), Defect> {
    let is_given = |mount: &SecretMount| {
        if mount.is_ssh {
            image.ssh && mount.id == "default"
        } else {
            image.secrets.contains_key(&mount.id)
        }
    };
    let mut required = resolution.secret_mounts().filter(|mount| mount.required);
    let Some(mount) = required.find(|mount| !is_given(mount)) else {
        return Ok(());
    };
    let place = Place::of_line(dockerfile.file(), mount.line);
    let (id, name) = (&mount.id, &image.name);
    let (message, hint) = if mount.is_ssh && mount.id != "default" {
        let message =
            format!("`RUN --mount=type=ssh` needs the SSH agent `{id}`; there is only `default`");
        (message, "leave `id` out".to_owned())
    } else if mount.is_ssh {
        let message =
            format!("`RUN --mount=type=ssh` needs an SSH agent, and `{name}` is given none");
        (
            message,
            format!("write `ssh = true` under `[images.{name}]`"),
        )
    } else {
        let message = format!(
            "`RUN --mount=type=secret` needs the secret `{id}`, which `{name}` does not have"
        );
        let near = nearest(id, image.secrets.keys().map(String::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "write `secrets.{id} = {{ file = \"~/.{id}\" }}` or `{{ env = \"VARIABLE\" }}` under `[images.{name}]`"
            ),
        };
        (message, hint)
    };
    Err(Defect::new(Code::E110, place, message).hint(hint))
}

/// What works, but may not do what is meant.
fn oddities(image: &Image, dockerfile: &Dockerfile, resolution: &Resolution) -> Vec<Defect> {
    let mut warnings: Vec<Defect> = resolution.warnings().cloned().collect();
    warnings.extend(dockerfile.unchecked_bytecode());
    warnings.extend(undeclared(image, dockerfile));
    warnings.extend(unused_secrets(image, resolution));
    warnings
}

/// Secrets that no step mounts: a misspelt one would silently build without it.
fn unused_secrets(image: &Image, resolution: &Resolution) -> Vec<Defect> {
    let mounted: Vec<&str> = resolution
        .secret_mounts()
        .filter(|mount| !mount.is_ssh)
        .map(|mount| mount.id.as_str())
        .collect();
    let unused = image
        .secrets
        .keys()
        .filter(|id| !mounted.contains(&id.as_str()));
    let warning = |id: &String| {
        let message = format!(
            "`{}` has the secret `{id}`, which no step of its Dockerfile mounts",
            image.name
        );
        let defect = Defect::new(Code::W131, image.place.clone(), message);
        match nearest(id, mounted.iter().copied()) {
            Some(near) => defect.hint(format!("did you mean `{near}`?")),
            None => defect.hint(format!(
                "write `RUN --mount=type=secret,id={id} …`, or leave it out"
            )),
        }
    };
    unused.map(warning).collect()
}

/// Refuses a Dockerfile that cannot be rewritten so that what sparkpack sends of it stays out of the image.
fn refuse_copied_dockerfile(
    project: &Project,
    dockerfile: &Dockerfile,
    resolution: &Resolution,
    triggering: &[Triggering<'_>],
) -> Result<(), Defect> {
    if Dockerfile::needs_isolation(resolution) {
        dockerfile.isolated(resolution)?;
    }
    for below in triggering {
        if let Some(trigger) = copying_trigger(project, below) {
            let message = format!(
                "`{}` has `{trigger}`, which copies the whole context, and with it the Dockerfile that sparkpack sends",
                below.stage
            );
            let place = Place::of_line(dockerfile.file(), below.line);
            return Err(Defect::new(Code::E113, place, message)
                .hint("name the files in the `ONBUILD`, or write the `COPY` here in place of it"));
        }
    }
    Ok(())
}

/// The `ONBUILD` of a stage that copies the whole context.
fn copying_trigger(project: &Project, below: &Triggering<'_>) -> Option<String> {
    let image = project.images.get(below.stage)?;
    let arguments = build_arguments(project, image);
    let dockerfile = &below.dockerfile;
    let resolution = dockerfile.resolve(&arguments, image.target.as_deref());
    dockerfile.copying_trigger(&resolution.ok()?)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, time::Duration};

    use super::*;
    use crate::project::{digest_cache::DigestCache, load};

    /// The context of an image whose Dockerfile copies `source`, from a folder with links and with a socket, which
    /// cannot become part of an image.
    fn context(source: &str) -> Result<Vec<String>, InputError> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        fs_err::create_dir_all(root.join("lib/deep")).unwrap();
        for file in ["lib/a.py", "lib/deep/b.py", "other.py"] {
            fs_err::write(root.join(file), file).unwrap();
        }
        symlink("../other.py", root.join("lib/link.py")).unwrap();
        symlink("lib", root.join("linked")).unwrap();
        fs_err::write(
            root.join("Dockerfile"),
            format!("FROM scratch\nCOPY {source} /\n"),
        )
        .unwrap();
        let configuration = "format = 1\nproject = \"p\"\nregistries.main = \"r.example/t\"\n\n\
                             [images.own]\ndockerfile = \"Dockerfile\"\n";
        fs_err::write(root.join("sparkpack.toml"), configuration).unwrap();
        let project = load::load(root, &|_| None).unwrap();
        let trees = FileTrees::new(DigestCache::read(b"", Duration::ZERO));
        let lock = Lock::default();
        let reader = InputReader::new(&project, &lock, &trees);
        let inputs = reader.dockerfile(&project.images["own"])?;
        Ok(inputs.context.into_iter().map(|entry| entry.path).collect())
    }

    #[test]
    fn links_on_the_way_are_followed_and_what_nothing_leads_to_is_not_read() {
        let lib = ["lib/a.py", "lib/deep/b.py", "lib/link.py"];
        assert_eq!(context("lib").unwrap(), lib);
        assert_eq!(context("lib/link.py").unwrap(), ["lib/link.py", "other.py"]);
        assert_eq!(context("linked/deep").unwrap(), ["lib/deep/b.py", "linked"]);
        assert_eq!(context("linked").unwrap(), [&lib[..], &["linked"]].concat());
    }

    /// A base image may have `ONBUILD`, whichever stage stands on it.
    #[test]
    fn a_trigger_may_copy_the_whole_context_and_read_all_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, text: &str| fs_err::write(root.join(name), text).unwrap();
        write("a.txt", "a");
        write("b.txt", "b");
        write("plain", "FROM scratch\nCOPY a.txt /\n");
        write(
            "triggers",
            "FROM scratch\nCOPY a.txt /\nonbuild copy b.txt /all\n",
        );
        let images = ["plain", "triggers", "own"]
            .map(|name| format!("[images.{name}]\ndockerfile = \"{name}\"\n"));
        let configuration = format!(
            "format = 1\nproject = \"p\"\nregistries.main = \"r.example/t\"\n\n{}",
            images.concat()
        );
        write("sparkpack.toml", &configuration);
        for (text, wanted) in [
            ("FROM triggers\nCOPY a.txt /\n", true),
            ("FROM plain\nCOPY a.txt /\n", false),
            (
                "FROM triggers AS one\nFROM one AS two\nFROM plain\nCOPY --from=two / /\nCOPY a.txt /\n",
                true,
            ),
            (
                "FROM r.example/t/triggers:1 AS one\nFROM one\nCOPY a.txt /\n",
                true,
            ),
            ("FROM triggers AS unused\nFROM plain\nCOPY a.txt /\n", false),
            (
                "FROM plain\nCOPY --from=triggers / /\nCOPY a.txt /\n",
                false,
            ),
        ] {
            write("own", text);
            let project = load::load(root, &|_| None).unwrap();
            let trees = FileTrees::new(DigestCache::read(b"", Duration::ZERO));
            let lock = Lock::default();
            let reader = InputReader::new(&project, &lock, &trees);
            let inputs = reader.dockerfile(&project.images["own"]).unwrap();
            assert_eq!(inputs.has_triggers, wanted, "{text}");
            let mut files = inputs.context.iter();
            assert_eq!(files.any(|file| file.path == "b.txt"), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_part_of_an_image_is_told_where_it_is_copied() {
        let InputError::Tree(error) = context(".").unwrap_err() else {
            panic!("no error of a tree");
        };
        assert_eq!(
            error.to_string(),
            "`socket` is a socket: only files, folders and symbolic links can be packed"
        );
    }
}
