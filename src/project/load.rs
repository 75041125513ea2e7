//! Turns the text of `sparkpack.toml` into a [`Project`].

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use globset::GlobMatcher;
use serde_spanned::Spanned;

use super::{
    config::{self, FILE_NAME, Origin, Text, listed},
    elsewhere::{ElsewhereChain, two_numbers},
    exclusions::NeverContext,
    fit::{self, Misfitting},
    glob::{self, PathKind},
    image_matcher::ImageMatcher,
    images::Images,
    loader::{Environment, Loader},
    place::{Defect, Place, nearest},
    secrets::{Allowance, SecretRule},
    settings::{
        Chain, ChainOrigin, ConfiguredPlace, Image, ManifestGlob, Mirrors, PathStep, PinMode,
        Project, PythonSettings, Registry,
    },
    source::{Origin as SourceOrigin, Source, Unpack},
    template::ReferenceTemplate,
};
use crate::{code::Code, image::Repository};

/// The minutes that an installer may take to choose the wheels of an image, if nothing else is configured.
const MINUTES: u64 = 10;

/// The most minutes that can be configured: a day.
const LONGEST: u64 = 24 * 60;

/// The glibc of the oldest distribution that current wheels support.
const GLIBC: (u8, u8) = (2, 28);

/// Reads the configuration in `root`.
///
/// # Errors
/// The first mistake in it.
pub fn load(root: &Path, environment: Environment<'_>) -> Result<Project, Defect> {
    let file = Path::new(FILE_NAME);
    let path = root.join(FILE_NAME);
    let unreadable = |reason: String| Defect::new(Code::E010, Place::of_line(file, 1), reason);
    let metadata = fs_err::metadata(&path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable(format!("`{FILE_NAME}` is not a file"))
            .hint("put the configuration into a regular file"));
    }
    let bytes = fs_err::read(&path).map_err(|error| {
        unreadable(error.to_string()).hint("give yourself the right to read it")
    })?;
    load_text(root, config::decode(file, &bytes)?, environment)
}

/// Reads a configuration that is not written yet, as if it stood in `root`.
///
/// # Errors
/// The first mistake in it.
pub fn load_text(root: &Path, text: &str, environment: Environment<'_>) -> Result<Project, Defect> {
    let file = Path::new(FILE_NAME);
    let origin = Origin { file, text };
    let config = config::parse(origin)?;
    Loader {
        origin,
        root,
        environment,
        config: &config,
        used_sources: std::cell::RefCell::default(),
    }
    .project()
}

fn texts(written: &[Text]) -> Vec<String> {
    let texts = written.iter().map(|text| text.get_ref().clone());
    texts.collect()
}

impl Loader<'_> {
    fn project(&self) -> Result<Project, Defect> {
        let config = self.config;
        let name = self.name(&config.project, "a project")?;
        let reference = match &config.reference {
            None => ReferenceTemplate::default(),
            Some(text) => {
                let parsed = ReferenceTemplate::parse(text.get_ref());
                parsed.map_err(|reason| {
                    let message = format!("`reference`: {reason}");
                    let defect = self.origin.defect(Code::E024, text, message);
                    defect.hint(
                        "write `reference = \"{registry}/{image}:{fingerprint}\"`, or the like",
                    )
                })?
            }
        };
        let chains = self.chains()?;
        let sources = self.sources(&chains)?;
        let mut project = Project {
            root: self.root.to_owned(),
            name,
            registries: self.registries()?,
            reference,
            formerly: texts(&config.formerly),
            insecure: texts(&config.insecure),
            ca: config
                .ca
                .as_ref()
                .map(|path| self.root.join(path.get_ref())),
            mirrors: self.mirrors()?,
            builders: self.builders()?,
            python: self.python()?,
            chains,
            sources,
            images: BTreeMap::new(),
            manifests: BTreeMap::new(),
            image_matcher: ImageMatcher::default(),
            pin: self.pin()?,
            anchors: self.globs(&config.anchors)?,
            untracked: self.untracked()?,
            allowed_secrets: self.allowed_secrets()?,
            places: self.places()?,
            warnings: Vec::new(),
            ineffective: Vec::new(),
            unnamed_sources: BTreeMap::new(),
        };
        project.images = self.images(&project)?;
        Self::add_chains_of_parents(&mut project);
        project.image_matcher = matcher(&project);
        project.manifests = self.manifests(&project)?;
        self.check_local_sources(&project)?;
        Self::check_references(&project)?;
        self.check_chains(&project)?;
        self.warn(&mut project);
        Ok(project)
    }

    fn registries(&self) -> Result<BTreeMap<String, Registry>, Defect> {
        if self.config.registries.is_empty() {
            let defect = Defect::new(
                Code::E023,
                Place::of_line(self.origin.file, 1),
                "no registry is configured",
            );
            return Err(defect.hint("add `registries.main = \"registry.example/team\"`"));
        }
        let mut registries: BTreeMap<String, Registry> = BTreeMap::new();
        for (name, text) in &self.config.registries {
            let layout = self.layout(text)?;
            if layout.is_some() && registries.values().any(|other| other.layout.is_some()) {
                let message = "two registries are OCI layouts, whose references are the same";
                let defect = self.origin.defect(Code::E025, text, message);
                return Err(defect.hint("keep one of them"));
            }
            let registry = Registry {
                name: name.clone(),
                prefix: match layout {
                    Some(_) => String::new(),
                    None => self.registry_prefix(text)?,
                },
                layout,
            };
            registries.insert(name.clone(), registry);
        }
        Ok(registries)
    }

    /// The folder of a registry that is an OCI layout, `oci:PATH`.
    fn layout(&self, text: &Text) -> Result<Option<PathBuf>, Defect> {
        let prefix = self.expanded(text)?;
        let Some(folder) = prefix.strip_prefix("oci:") else {
            return Ok(None);
        };
        if folder.is_empty() {
            let defect = self
                .origin
                .defect(Code::E025, text, "`oci:` names no folder");
            return Err(defect.hint("write where the layout is: `oci:images`"));
        }
        Ok(Some(self.root.join(folder)))
    }

    fn registry_prefix(&self, text: &Text) -> Result<String, Defect> {
        let prefix = self.expanded(text)?;
        let prefix = prefix.trim_end_matches('/');
        match format!("{prefix}/image").parse::<Repository>() {
            Ok(repository) => Ok(format!(
                "{}/{}",
                repository.registry,
                repository.path.trim_end_matches("/image")
            )
            .trim_end_matches("/image")
            .to_owned()),
            Err(error) => {
                let defect =
                    self.origin
                        .defect(Code::E025, text, error.to_string().replace("/image`", "`"));
                Err(if prefix.starts_with("http://") {
                    defect.hint("drop the scheme, and list the host under `insecure`")
                } else {
                    defect.hint("a registry is a host and what comes before the image: `registry.example/team`")
                })
            }
        }
    }

    fn mirrors(&self) -> Result<Mirrors, Defect> {
        let mirrors = &self.config.mirrors;
        let optional =
            |text: &Option<Text>| text.as_ref().map(|text| self.expanded(text)).transpose();
        let registries = mirrors.registries.iter();
        Ok(Mirrors {
            registries: registries
                .map(|(host, text)| Ok((host.clone(), self.expanded(text)?)))
                .collect::<Result<_, Defect>>()?,
            python: optional(&mirrors.python)?,
            maven: optional(&mirrors.maven)?,
            debian: optional(&mirrors.debian)?,
        })
    }

    /// Replaces `${NAME}` by the environment's value. Only for values that no fingerprint covers.
    pub(super) fn expanded(&self, text: &Text) -> Result<String, Defect> {
        let (mut rest, mut expanded) = (text.get_ref().as_str(), String::new());
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| {
                self.origin.defect(
                    Code::E022,
                    text,
                    format!("`{}` has a `${{` without `}}`", text.get_ref()),
                )
            })?;
            let value = (self.environment)(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                let defect = self.origin.defect(
                    Code::E027,
                    text,
                    format!("the environment variable `{name}` is not set"),
                );
                defect.hint(format!("set it: `export {name}=…`"))
            })?;
            expanded.push_str(before);
            expanded.push_str(&value);
            rest = after;
        }
        Ok(expanded + rest)
    }

    fn python(&self) -> Result<PythonSettings, Defect> {
        let python = &self.config.python;
        let installer = python
            .installer
            .as_ref()
            .map(|text| match text.get_ref().as_str() {
                "uv" | "pip" => Ok(text.get_ref().clone()),
                other => Err(self.origin.defect(
                    Code::E022,
                    text,
                    format!("`{other}` is no installer: `uv` or `pip`"),
                )),
            });
        let glibc = python.glibc.as_ref().map(|text| {
            two_numbers(text.get_ref()).ok_or_else(|| {
                self.origin.defect(
                    Code::E022,
                    text,
                    format!("`{}` is no glibc version such as `2.36`", text.get_ref()),
                )
            })
        });
        let minutes = python.time_limit.as_ref().map(|minutes| {
            let number = u64::try_from(*minutes.get_ref()).ok();
            number
                .filter(|number| (1..=LONGEST).contains(number))
                .ok_or_else(|| {
                    let message = format!(
                        "`{}` is no number of minutes from 1 to {LONGEST}",
                        minutes.get_ref()
                    );
                    self.origin.defect(Code::E022, minutes, message)
                })
        });
        let indexes = python.indexes.iter();
        let indexes =
            indexes.map(|(name, url)| (super::wheel::normalise(name), url.get_ref().clone()));
        Ok(PythonSettings {
            indexes: indexes.collect(),
            installer: installer.transpose()?,
            minutes: minutes.transpose()?.unwrap_or(MINUTES),
            glibc: glibc.transpose()?.unwrap_or(GLIBC),
        })
    }

    /// Refuses a chain whose versions do not fit each other or its root image.
    fn check_chains(&self, project: &Project) -> Result<(), Defect> {
        for (name, table) in &self.config.chains {
            let misfits = project
                .chains
                .get(name)
                .map(|chain| fit::misfits(project, chain));
            let Some(misfit) = misfits.into_iter().flatten().next() else {
                continue;
            };
            let table = table.get_ref();
            let text = match misfit.what {
                Misfitting::Java => table.java.as_ref().or(table.spark.as_ref()),
                Misfitting::Python => table.python.as_ref(),
            };
            let Some(text) = text else {
                continue;
            };
            let defect = self.origin.defect(Code::E039, text, misfit.message);
            return Err(defect.hint(misfit.hint));
        }
        Ok(())
    }

    fn sources(
        &self,
        chains: &BTreeMap<String, Chain>,
    ) -> Result<BTreeMap<String, Source>, Defect> {
        let mut sources = BTreeMap::new();
        for (name, table) in &self.config.sources {
            let mut made = chains.values().filter_map(Chain::made);
            let is_spark = made.any(|chain| chain.spark_source == *name);
            sources.insert(name.clone(), self.source(name, table, is_spark)?);
        }
        for chain in chains.values().filter_map(Chain::made) {
            let origin = SourceOrigin::PythonSdist {
                name: "pyspark".to_owned(),
                version: chain.spark.clone(),
            };
            let name = chain.spark_source.clone();
            sources.entry(name.clone()).or_insert(Source {
                name,
                origin,
                sha256: None,
                unpack: Unpack::Spark,
            });
        }
        Ok(sources)
    }

    fn source(
        &self,
        name: &str,
        table: &Spanned<config::SourceTable>,
        is_spark: bool,
    ) -> Result<Source, Defect> {
        let source = table.get_ref();
        let sha256 = source.sha256.as_ref().map(|text| {
            let digest = format!("sha256:{}", text.get_ref().trim_start_matches("sha256:"));
            let wrong = || {
                self.origin.defect(
                    Code::E028,
                    text,
                    format!(
                        "`{}` is no SHA-256: 64 hex digits are wanted",
                        text.get_ref()
                    ),
                )
            };
            digest.parse().map_err(|_| wrong())
        });
        let unpack = match (is_spark, source.unpack.unwrap_or(source.strip.is_some())) {
            (true, _) => Unpack::Spark,
            (false, true) => Unpack::Archive {
                strip: source.strip.unwrap_or(0),
            },
            (false, false) => Unpack::No,
        };
        Ok(Source {
            name: name.to_owned(),
            origin: self.source_origin(table)?,
            sha256: sha256.transpose()?,
            unpack,
        })
    }

    /// Refuses a source of what sparkpack writes, or of a file that is never part of an image: a tag that depended on
    /// the manifest that it is written into would change with it.
    fn check_local_sources(&self, project: &Project) -> Result<(), Defect> {
        let real = |path: &Path| fs_err::canonicalize(path).ok();
        let dist = self.root.join("dist");
        let never = OnceCell::new();
        for (name, table) in &self.config.sources {
            let source = project.sources.get(name);
            let (Some(text), Some(SourceOrigin::Path(path))) =
                (&table.get_ref().path, source.map(|source| &source.origin))
            else {
                continue;
            };
            let leads_there = || real(path)?.starts_with(real(&dist)?).then_some(());
            let what = if path.starts_with(&dist) || leads_there().is_some() {
                "`dist` is what sparkpack makes"
            } else if path.is_file() && never.get_or_init(|| NeverContext::of(project)).has(path) {
                "a manifest, a lock, sparkpack.toml or the file of a secret is never part of an image"
            } else {
                continue;
            };
            let message = format!("`path = \"{}\"`: {what}", text.get_ref());
            let defect = self.origin.defect(Code::E090, text, message);
            return Err(defect.hint("name a file or a folder of your own"));
        }
        Ok(())
    }

    fn source_origin(&self, table: &Spanned<config::SourceTable>) -> Result<SourceOrigin, Defect> {
        let source = table.get_ref();
        match (&source.url, &source.path, &source.maven, &source.pypi) {
            (Some(url), None, None, None) => {
                if url.get_ref().starts_with("http://") || url.get_ref().starts_with("https://") {
                    Ok(SourceOrigin::Url(url.get_ref().clone()))
                } else {
                    Err(self
                        .origin
                        .defect(
                            Code::E022,
                            url,
                            format!("`{}` is no http or https URL", url.get_ref()),
                        )
                        .hint("a file on this machine is a `path`"))
                }
            }
            (None, Some(path), None, None) => {
                Ok(SourceOrigin::Path(self.root.join(path.get_ref())))
            }
            (None, None, Some(maven), None) => {
                let parsed = maven.get_ref().parse().map(SourceOrigin::Maven);
                parsed.map_err(|reason| self.origin.defect(Code::E022, maven, reason))
            }
            (None, None, None, Some(pypi)) => match pypi.get_ref().split_once("==") {
                Some((name, version)) => Ok(SourceOrigin::PythonSdist {
                    name: name.to_owned(),
                    version: version.to_owned(),
                }),
                None => Err(self.origin.defect(
                    Code::E022,
                    pypi,
                    format!("`{}` is not `name==version`", pypi.get_ref()),
                )),
            },
            _ => {
                let defect = self.origin.defect(
                    Code::E023,
                    table,
                    "a source has exactly one of `url`, `path`, `maven` and `pypi`",
                );
                Err(defect.hint("for example `url = \"https://…\"` with `sha256 = \"…\"`"))
            }
        }
    }

    /// Checks the name of a project or an image, which becomes part of a repository's name.
    fn name(&self, text: &Text, what: &str) -> Result<String, Defect> {
        if Self::is_name(text.get_ref()) {
            Ok(text.get_ref().clone())
        } else {
            Err(self
                .origin
                .defect(
                    Code::E029,
                    text,
                    format!("`{}` cannot name {what}", text.get_ref()),
                )
                .hint("use lower-case letters, digits and `-`"))
        }
    }

    fn manifests(&self, project: &Project) -> Result<BTreeMap<String, Vec<ManifestGlob>>, Defect> {
        let mut manifests = BTreeMap::new();
        for (registry, globs) in &self.config.manifests {
            if !project.registries.contains_key(registry) {
                let names: Vec<&String> = project.registries.keys().collect();
                let defect = self.origin.defect(
                    Code::E087,
                    globs,
                    format!("manifests of the registry `{registry}`, which is not configured"),
                );
                return Err(defect.hint(format!("the registries are {}", listed(&names))));
            }
            if project.registries[registry].layout.is_some() {
                let message =
                    format!("`{registry}` is an OCI layout, and no cluster pulls from one");
                let defect = self.origin.defect(Code::E087, globs, message);
                return Err(
                    defect.hint("list the manifests under a registry that has a host, or none")
                );
            }
            manifests.insert(registry.clone(), self.globs(globs.get_ref())?);
        }
        Ok(manifests)
    }

    fn globs(&self, globs: &[Text]) -> Result<Vec<ManifestGlob>, Defect> {
        let globs = globs.iter().map(|text| {
            glob::check(text.get_ref()).map_err(|reason| {
                let message = format!("`{}` is no glob: {reason}", text.get_ref());
                self.origin.defect(Code::E022, text, message)
            })?;
            let files = glob::matching(self.root, text.get_ref(), PathKind::Files)
                .map_err(|reason| self.origin.defect(Code::E022, text, reason))?;
            Ok(ManifestGlob {
                place: self.origin.place(text),
                pattern: text.get_ref().clone(),
                files,
            })
        });
        globs.collect()
    }

    fn untracked(&self) -> Result<Vec<GlobMatcher>, Defect> {
        let globs = self.config.untracked.iter().map(|text| {
            let pattern = text.get_ref().trim_start_matches("./");
            // A folder's own name allows everything in it, with and without the slash.
            glob::compile(pattern.trim_end_matches('/')).map_err(|reason| {
                let message = format!("`{}` is no glob: {reason}", text.get_ref());
                self.origin.defect(Code::E022, text, message)
            })
        });
        globs.collect()
    }

    fn allowed_secrets(&self) -> Result<Vec<Allowance>, Defect> {
        let allowed = self.config.secrets.allow.iter().map(|table| {
            let pattern = table.path.get_ref().trim_start_matches("./");
            let paths = glob::compile(pattern.trim_end_matches('/')).map_err(|reason| {
                let message = format!("`{}` is no glob: {reason}", table.path.get_ref());
                self.origin.defect(Code::E022, &table.path, message)
            })?;
            let name = table.rule.get_ref();
            let rule = SecretRule::named(name).ok_or_else(|| {
                let names: Vec<&str> = SecretRule::ALL.iter().map(|rule| rule.name()).collect();
                let message = format!("there is no rule `{name}` for secrets");
                let hint = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the rules are {}", listed(&names)),
                };
                let defect = self.origin.defect(Code::E022, &table.rule, message);
                defect.hint(hint)
            })?;
            Ok(Allowance {
                pattern: table.path.get_ref().clone(),
                paths,
                rule,
                place: self.origin.place(&table.path),
            })
        });
        allowed.collect()
    }

    fn pin(&self) -> Result<PinMode, Defect> {
        match self
            .config
            .pin
            .as_ref()
            .map(|text| (text, text.get_ref().as_str()))
        {
            None | Some((_, "tag")) => Ok(PinMode::Tag),
            Some((_, "tag+digest")) => Ok(PinMode::TagAndDigest),
            Some((text, other)) => {
                let message = format!("`pin = \"{other}\"` is unknown");
                let defect = self.origin.defect(Code::E022, text, message);
                Err(defect.hint("write `pin = \"tag\"` or `pin = \"tag+digest\"`"))
            }
        }
    }

    fn places(&self) -> Result<Vec<ConfiguredPlace>, Defect> {
        let places = self.config.places.iter().map(|table| {
            let path = path_steps(table.path.get_ref()).map_err(|reason| {
                let message = format!("`{}` is no path: {reason}", table.path.get_ref());
                let defect = self.origin.defect(Code::E022, &table.path, message);
                defect.hint("write keys with dots between, `[]` for every item of a list, and `[\"a.b\"]` for a key with dots: `spec.steps[].image`")
            })?;
            Ok(ConfiguredPlace {
                group: table.group.get_ref().clone(),
                kind: table.kind.get_ref().clone(),
                path,
                place: self.origin.place(&table.path),
            })
        });
        places.collect()
    }

    /// Checks that every image makes a valid reference, and that no two make the same one.
    fn check_references(project: &Project) -> Result<(), Defect> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let digest = crate::image::Digest::of(b"");
        for registry in project.registries.values() {
            for image in project.images.values() {
                let names = super::template::Names {
                    registry: &registry.prefix,
                    project: &project.name,
                    image: &image.name,
                };
                let reference = project
                    .reference
                    .reference(names, &digest)
                    .map_err(|error| {
                        Defect::new(
                            Code::E025,
                            image.place.clone(),
                            format!("the reference of `{}`: {error}", image.name),
                        )
                    })?;
                if let Some(other) = seen
                    .insert(reference.to_string(), &image.name)
                    .filter(|other| *other != image.name)
                {
                    let message = format!(
                        "`{}` and `{other}` would have the same references",
                        image.name
                    );
                    return Err(Defect::new(Code::E024, image.place.clone(), message)
                        .hint("put `{image}` into `reference`"));
                }
            }
        }
        Ok(())
    }

    fn warn(&self, project: &mut Project) {
        for (registry, globs) in &project.manifests {
            for glob in globs {
                if glob.files.is_empty() {
                    let message = format!(
                        "`{}` (manifests of `{registry}`) matches no file",
                        glob.pattern
                    );
                    let defect = Defect::new(Code::W101, glob.place.clone(), message);
                    project.warnings.push(defect.hint(Code::W101.cure()));
                }
            }
        }
        self.warn_of_what_has_no_effect(project);
        if project.mirrors.debian.is_some() {
            let place = self
                .config
                .mirrors
                .debian
                .as_ref()
                .map(|text| self.origin.place(text));
            let message = "`mirrors.debian` has no effect yet: builds use the root image's own package sources";
            project
                .warnings
                .extend(place.map(|place| Defect::new(Code::W102, place, message)));
        }
    }

    /// Warns of prefixes and sources that nothing can use.
    fn warn_of_what_has_no_effect(&self, project: &mut Project) {
        let used = self.used_sources.borrow();
        for (name, table) in &self.config.sources {
            let mut made = project.chains.values().filter_map(Chain::made);
            let is_spark = made.any(|chain| chain.spark_source == *name);
            if !is_spark && !used.contains(name) {
                let message = format!("nothing uses the source `{name}`");
                let defect = Defect::new(Code::W124, self.origin.place(table), message).hint(
                    "use it as `source:NAME`, as jars or as the operator's binary, or remove it",
                );
                project.unnamed_sources.insert(name.clone(), defect);
            }
        }
        for prefix in &self.config.formerly {
            let text = prefix.get_ref().as_str();
            let is_current = project.registries.values().any(|of| of.prefix == text);
            let is_prefix = format!("{text}/x").parse::<Repository>().is_ok();
            if is_current || !is_prefix {
                let why = if is_current {
                    "is a registry of the project"
                } else {
                    "begins no reference"
                };
                let message = format!("`{text}` in `formerly` {why}, so that it changes nothing");
                let defect = Defect::new(Code::W124, self.origin.place(prefix), message).hint(
                    "remove it, or write the prefix as it stood in the manifests: `HOST/PATH`",
                );
                project.ineffective.push(defect);
            }
        }
    }

    /// Adds a chain for each image from elsewhere that an image names as its `parent` and no chain names.
    fn add_chains_of_parents(project: &mut Project) {
        for image in project.images.values() {
            let (Some(name), Some(elsewhere)) = (&image.chain, &image.elsewhere) else {
                continue;
            };
            if project.chains.contains_key(name) {
                continue;
            }
            let chain = Chain {
                name: name.clone(),
                place: image.place.clone(),
                origin: ChainOrigin::Elsewhere(Box::new(ElsewhereChain::of(
                    elsewhere,
                    image.place.clone(),
                ))),
                ds_jars: Vec::new(),
                operator: None,
            };
            project.chains.insert(name.clone(), chain);
        }
    }

    fn images(&self, project: &Project) -> Result<BTreeMap<String, Arc<Image>>, Defect> {
        let images = Images {
            loader: self,
            project,
        };
        let images = images.all()?.into_iter();
        Ok(images
            .map(|(name, image)| (name, Arc::new(image)))
            .collect())
    }
}

/// The matcher for the project's images, under all its registries and its former prefixes.
fn matcher(project: &Project) -> ImageMatcher {
    let current = project.registries.values().map(|registry| &registry.prefix);
    // No manifest names an image of a layout.
    let current = current.filter(|prefix| !prefix.is_empty());
    let prefixes = current.chain(&project.formerly);
    ImageMatcher::of(
        &project.name,
        prefixes,
        project.images.keys(),
        &project.reference,
    )
}

/// Parses a path such as `spec.steps[].image` or `spec.conf["a.b"]`: keys, `[]` for every item, quoted keys that hold
/// dots.
fn path_steps(text: &str) -> Result<Vec<PathStep>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("[]") {
            steps.push(PathStep::Each);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("[\"") {
            let (key, behind) = behind.split_once("\"]").ok_or("`[\"` without `\"]`")?;
            steps.push(PathStep::Key(key.to_owned()));
            rest = behind;
        } else {
            let key = match (steps.is_empty(), rest.strip_prefix('.')) {
                (false, Some(key)) => key,
                (true, None) => rest,
                _ => return Err(format!("a key was expected at `{rest}`")),
            };
            let end = key.find(['.', '[']).unwrap_or(key.len());
            if end == 0 {
                return Err(format!("a key was expected at `{rest}`"));
            }
            steps.push(PathStep::Key(key[..end].to_owned()));
            rest = &key[end..];
        }
    }
    if matches!(steps.first(), None | Some(PathStep::Each)) {
        return Err("it has to begin with a key".to_owned());
    }
    Ok(steps)
}
