//! The images of a project: the configured ones, one for each folder of an `each`, and the images of chains that these
//! are built on.

use std::collections::{BTreeMap, BTreeSet};

use serde_spanned::Spanned;

use super::{
    config::{self, Text},
    glob::{self, PathKind},
    ignore::DefaultExcludes,
    jobs::Jobs,
    loader::Loader,
    place::{Defect, Place, nearest},
    requirements::{Choice, RequirementsFile},
    settings::{Chain, Context, Image, Kind, Package, Project, SecretOrigin, WheelBuilds},
};
use crate::{
    code::Code,
    image::{Platform, PlatformError, Reference},
};

type Table = Spanned<config::ImageTable>;

/// What to do where an image of a chain would be the parent, and there is no chain.
const ADD_CHAIN: &str = "add a chain: `[chains.main]` with `spark` and `python`";

/// What the images are loaded from.
pub(super) struct Images<'a> {
    pub(super) loader: &'a Loader<'a>,
    pub(super) project: &'a Project,
}

/// A chain's image by its name.
struct ChainImage<'a> {
    chain: &'a Chain,
    kind: Kind,
}

impl Images<'_> {
    pub(super) fn all(&self) -> Result<BTreeMap<String, Image>, Defect> {
        let mut images: BTreeMap<String, Image> = BTreeMap::new();
        for (name, table) in &self.loader.config.images {
            for image in self.configured(name, table)? {
                Self::insert(&mut images, image)?;
            }
        }
        for chain in self
            .project
            .chains
            .values()
            .filter(|chain| chain.operator.is_some())
        {
            self.add_default(&mut images, &chain.image_name(Kind::Operator))?;
        }
        let mut queue: Vec<String> = images.keys().cloned().collect();
        while let Some(name) = queue.pop() {
            let Some(parent) = images.get(&name).and_then(|image| image.parent.clone()) else {
                continue;
            };
            if !images.contains_key(&parent) {
                if !self.add_default(&mut images, &parent)? {
                    return Err(self.unknown_parent(&images[&name], &parent, &images));
                }
                queue.push(parent);
            }
        }
        if images.is_empty() {
            let defect = Defect::new(
                Code::E023,
                Place::of_line(self.loader.origin.file, 1),
                "no image is configured",
            );
            return Err(defect.hint("add `[images.job]` with `parent = \"ds\"`, `src = \"src\"` and `requirements = \"requirements.txt\"`"));
        }
        Self::refuse_cycles(&images)?;
        inherit_chains(&mut images, self.project);
        Ok(images)
    }

    fn insert(images: &mut BTreeMap<String, Image>, image: Image) -> Result<(), Defect> {
        let same = |other: &&Image| other.name.eq_ignore_ascii_case(&image.name);
        if let Some(other) = images.values().find(same) {
            let message = format!("`{}` is an image already, at {}", image.name, other.place);
            return Err(Defect::new(Code::E083, image.place.clone(), message)
                .hint("give each image a name of its own"));
        }
        images.insert(image.name.clone(), image);
        Ok(())
    }

    /// Adds the built-in image of a chain that has this name, if there is one.
    fn add_default(
        &self,
        images: &mut BTreeMap<String, Image>,
        name: &str,
    ) -> Result<bool, Defect> {
        let Some(role) = self.role(name).filter(|_| !images.contains_key(name)) else {
            return Ok(images.contains_key(name));
        };
        let below = default_parent(&role);
        images.insert(
            name.to_owned(),
            Image {
                name: name.to_owned(),
                place: role.chain.place.clone(),
                kind: role.kind,
                chain: Some(role.chain.name.clone()),
                parent: below.stage(),
                elsewhere: below.elsewhere(),
                dockerfile: None,
                context: Context::Folder(".".to_owned()),
                contexts: BTreeMap::new(),
                build_arguments: BTreeMap::new(),
                target: None,
                secrets: BTreeMap::new(),
                ssh: false,
                platforms: self.platforms(None)?,
                package: None,
                requirements: None,
                wheel_builds: WheelBuilds::default(),
            },
        );
        Ok(true)
    }

    /// The images that `[images.NAME]` stands for: one, or one for each folder.
    fn configured(&self, key: &str, table: &Table) -> Result<Vec<Image>, Defect> {
        let Some(each) = &table.get_ref().each else {
            return Ok(vec![self.image(key, table, None)?]);
        };
        let found = glob::matching(self.loader.root, each.get_ref(), PathKind::Folders);
        let folders =
            found.map_err(|reason| self.loader.origin.defect(Code::E022, each, reason))?;
        if folders.is_empty() {
            let defect = self.loader.origin.defect(
                Code::E088,
                each,
                format!("`{}` matches no folder", each.get_ref()),
            );
            return Err(defect.hint("`each` makes one image of every folder that it matches"));
        }
        let excludes = DefaultExcludes::anywhere();
        let wanted = folders.iter().filter(|folder| {
            let name = folder.rsplit('/').next().unwrap_or(folder);
            !name.starts_with('.') && excludes.excluded(folder, true).is_none()
        });
        wanted
            .map(|folder| self.image(key, table, Some(folder)))
            .collect()
    }

    fn image(&self, key: &str, table: &Table, folder: Option<&str>) -> Result<Image, Defect> {
        let place = self.loader.origin.place(table);
        let settings = table.get_ref();
        let name = image_name(key, folder, &place)?;
        self.refuse_name_of_elsewhere(name, &place)?;
        let role = self.role(name);
        let fill = |text: &Text| text.get_ref().replace("{dir}", folder.unwrap_or("{dir}"));
        let jobs = Jobs {
            loader: self.loader,
        };
        let package = settings.src.as_ref();
        let package = package
            .map(|src| jobs.package((settings, src), folder, name))
            .transpose()?;
        let kind = kind(name, role.as_ref(), settings, &place)?;
        let below = self.below(settings, role.as_ref(), kind)?;
        if kind == Kind::Job && below == Below::Nothing && settings.dockerfile.is_none() {
            return Err(nothing_below(name, &place));
        }
        let requirements = self.requirements(settings, &fill, folder.is_some())?;
        let dockerfile = settings.dockerfile.as_ref();
        Ok(Image {
            name: name.to_owned(),
            place,
            kind,
            chain: match &below {
                Below::Elsewhere { chain, .. } => Some(chain.clone()),
                Below::Stage(_) | Below::Nothing => {
                    role.as_ref().map(|role| role.chain.name.clone())
                }
            },
            parent: below.stage(),
            elsewhere: below.elsewhere(),
            dockerfile: dockerfile
                .map(|text| self.file_below(text, &fill(text), "dockerfile"))
                .transpose()?,
            context: self.context(settings, &fill, name, package.as_ref())?,
            contexts: self.contexts(settings)?,
            build_arguments: settings
                .build_args
                .iter()
                .map(|(name, text)| (name.clone(), text.get_ref().clone()))
                .collect(),
            target: settings.target.as_ref().map(|text| text.get_ref().clone()),
            secrets: self.secrets(settings)?,
            ssh: settings.ssh,
            platforms: self.platforms(settings.platforms.as_ref())?,
            package,
            requirements,
            wheel_builds: self.wheel_builds(settings, &fill)?,
        })
    }

    /// How wheels are built that no index has.
    fn wheel_builds(
        &self,
        settings: &config::ImageTable,
        fill: &dyn Fn(&Text) -> String,
    ) -> Result<WheelBuilds, Defect> {
        let origin = self.loader.origin;
        let first = settings.build_packages.first().or(settings.wheels.as_ref());
        if let (Some(text), []) = (first, settings.from_source.as_slice()) {
            let message = "wheels are built only of packages that `from-source` names";
            let defect = origin.defect(Code::E022, text, message);
            return Err(defect.hint("add `from-source = [\"NAME\"]`, or take this out"));
        }
        let mut packages = Vec::new();
        for text in &settings.build_packages {
            if !is_debian_package(text.get_ref()) {
                let message = format!("`{}` is no name of a Debian package", text.get_ref());
                return Err(origin.defect(Code::E022, text, message).hint(
                    "they are written like `libpq-dev`, or `libpq-dev=15.8-0+deb12u1` for one version",
                ));
            }
            packages.push(text.get_ref().clone());
        }
        packages.sort();
        packages.dedup();
        let folder = settings.wheels.as_ref();
        let folder = folder.map(|text| self.loader.inside(text, &fill(text)));
        let folder = folder.transpose()?;
        if let (Some(folder), Some(text)) = (&folder, &settings.wheels)
            && self.loader.is_in_dist(folder)
        {
            let message = format!("`{folder}` lies in `dist`, which git does not keep");
            let defect = origin.defect(Code::E090, text, message);
            return Err(defect.hint("name a folder of your own: `wheels = \"wheels\"`"));
        }
        Ok(WheelBuilds { packages, folder })
    }

    fn requirements(
        &self,
        settings: &config::ImageTable,
        fill: &dyn Fn(&Text) -> String,
        is_one_of_many: bool,
    ) -> Result<Option<RequirementsFile>, Defect> {
        let choices = |names: &[Text]| -> Vec<Choice> {
            let names = names.iter().map(|name| Choice {
                name: name.get_ref().clone(),
                place: self.loader.origin.place(name),
            });
            names.collect()
        };
        let Some(text) = &settings.requirements else {
            let choice = settings.extras.first().or(settings.groups.first());
            let Some(choice) = choice.or(settings.from_source.first()) else {
                return Ok(None);
            };
            let message = format!("`{}` is in no file that is named", choice.get_ref());
            let defect = self.loader.origin.defect(Code::E022, choice, message);
            return Err(defect.hint("name the file that has it by `requirements`"));
        };
        let path = fill(text);
        // Some folders of an `each` may need no packages, so a missing requirements file is no mistake.
        if is_one_of_many && !self.loader.root.join(&path).exists() {
            return Ok(None);
        }
        Ok(Some(RequirementsFile {
            path: self.file_below(text, &path, "requirements")?,
            extras: choices(&settings.extras),
            groups: choices(&settings.groups),
            from_source: choices(&settings.from_source),
            keeps_wheels: settings.wheels.is_some(),
        }))
    }

    /// What an image stands on: what its `parent` names, or else what is usual for its kind.
    fn below(
        &self,
        settings: &config::ImageTable,
        role: Option<&ChainImage<'_>>,
        kind: Kind,
    ) -> Result<Below, Defect> {
        let Some(text) = &settings.parent else {
            return Ok(match (role, kind) {
                (Some(role), _) => default_parent(role),
                (None, Kind::Job) if settings.dockerfile.is_none() => {
                    self.first_chain().map_or(Below::Nothing, |chain| {
                        Below::Stage(chain.image_name(Kind::Ds))
                    })
                }
                _ => Below::Nothing,
            });
        };
        let parent = text.get_ref();
        let chains = self.project.chains.values();
        let mut elsewhere = chains.filter(|chain| chain.elsewhere().is_some());
        let is_below = |chain: &&Chain| {
            let names = [Kind::Base, Kind::Py].map(|kind| chain.image_name(kind));
            let image = chain.elsewhere().map(|elsewhere| &elsewhere.image);
            names.contains(parent) || image == Some(parent)
        };
        if let Some(chain) = elsewhere.find(is_below) {
            return Ok(Below::of_chain(chain));
        }
        // A name of an image of the project has none of these.
        if !parent.contains(['/', ':', '@']) {
            return Ok(Below::Stage(parent.clone()));
        }
        if let Some(role) = role {
            let message = format!(
                "`{parent}` would be below one image of the chain `{}` only, whose others stand on another Spark",
                role.chain.name
            );
            let defect = self.loader.origin.defect(Code::E130, text, message);
            return Err(defect.hint(format!("write `image = \"{parent}\"` for the chain")));
        }
        if let Err(error) = parent.parse::<Reference>() {
            return Err(self
                .loader
                .origin
                .defect(Code::E025, text, error.to_string()));
        }
        Ok(Below::Elsewhere {
            image: parent.clone(),
            chain: parent.clone(),
        })
    }

    fn secrets(
        &self,
        settings: &config::ImageTable,
    ) -> Result<BTreeMap<String, SecretOrigin>, Defect> {
        let origins = settings.secrets.iter().map(|(id, table)| {
            let origin = match (&table.get_ref().file, &table.get_ref().env) {
                (Some(file), None) => SecretOrigin::File(file.get_ref().clone()),
                (None, Some(variable)) => SecretOrigin::Variable(variable.get_ref().clone()),
                _ => {
                    let message = format!("the secret `{id}` needs either `file` or `env`");
                    let defect = self.loader.origin.defect(Code::E022, table, message);
                    let hint = format!(
                        "write `secrets.{id} = {{ file = \"~/.{id}\" }}` or `{{ env = \"VARIABLE\" }}`"
                    );
                    return Err(defect.hint(hint));
                }
            };
            Ok((id.clone(), origin))
        });
        origins.collect()
    }

    fn context(
        &self,
        settings: &config::ImageTable,
        fill: &dyn Fn(&Text) -> String,
        image: &str,
        package: Option<&Package>,
    ) -> Result<Context, Defect> {
        match &settings.context {
            None => Ok(Context::Folder(".".to_owned())),
            Some(text) if text.get_ref().starts_with("source:") => {
                Ok(Context::Source(self.loader.known_source(text)?))
            }
            Some(text) => {
                let folder = self.loader.inside(text, &fill(text))?;
                if self.loader.is_in_dist(&folder) {
                    self.own_package(text, &folder, image, package)
                } else if self.loader.root.join(&folder).is_dir() {
                    Ok(Context::Folder(folder))
                } else {
                    Err(self.loader.origin.defect(
                        Code::E089,
                        text,
                        format!("there is no folder `{folder}`"),
                    ))
                }
            }
        }
    }

    /// The context of an image that names `dist` or a folder in it: its own package.
    fn own_package(
        &self,
        text: &Text,
        folder: &str,
        image: &str,
        package: Option<&Package>,
    ) -> Result<Context, Defect> {
        let (message, hint) = match package {
            Some(package) if folder == "dist" || folder == package.dist => {
                return Ok(Context::Package);
            }
            Some(_) => (
                format!(
                    "`{folder}` is not the package of `{image}`, and nothing else in `dist` is an input"
                ),
                "write `context = \"dist\"`: that is the image's own package",
            ),
            None => (
                format!(
                    "`{folder}` is what sparkpack makes, and `{image}` has no package of its own"
                ),
                "name the folder that holds its files, or give the image `src`, whose package it then is",
            ),
        };
        let defect = self.loader.origin.defect(Code::E090, text, message);
        Err(defect.hint(hint))
    }

    fn contexts(&self, settings: &config::ImageTable) -> Result<BTreeMap<String, String>, Defect> {
        let contexts = settings.contexts.iter();
        contexts
            .map(|(name, text)| Ok((name.clone(), self.loader.known_source(text)?)))
            .collect()
    }

    fn platforms(&self, own: Option<&Vec<Text>>) -> Result<Vec<Platform>, Defect> {
        let Some(texts) = own.or(self.loader.config.platforms.as_ref()) else {
            return Ok(vec![Platform::default()]);
        };
        let parse = |text: &Text| {
            let parsed = text.get_ref().parse();
            parsed.map_err(|error: PlatformError| {
                let defect = self
                    .loader
                    .origin
                    .defect(Code::E022, text, error.to_string());
                defect.hint(error.hint())
            })
        };
        let platforms: BTreeSet<Platform> = texts.iter().map(parse).collect::<Result<_, _>>()?;
        if platforms.is_empty() {
            Ok(vec![Platform::default()])
        } else {
            Ok(platforms.into_iter().collect())
        }
    }

    fn file_below(&self, text: &Text, path: &str, key: &str) -> Result<String, Defect> {
        let path = self.loader.inside(text, path)?;
        if self.loader.root.join(&path).is_file() {
            Ok(path)
        } else {
            Err(self.loader.origin.defect(
                Code::E089,
                text,
                format!("`{key}`: there is no file `{path}`"),
            ))
        }
    }

    fn first_chain(&self) -> Option<&Chain> {
        self.project
            .chains
            .get("main")
            .or_else(|| self.project.chains.values().next())
    }

    /// Refuses an image that has the name of one that a chain takes from elsewhere.
    fn refuse_name_of_elsewhere(&self, name: &str, place: &Place) -> Result<(), Defect> {
        for chain in self.project.chains.values() {
            let Some(elsewhere) = chain.elsewhere() else {
                continue;
            };
            let names = [Kind::Base, Kind::Py].map(|kind| chain.image_name(kind));
            if names.iter().any(|of_chain| of_chain == name) {
                let message = format!(
                    "`{name}` is made here, and `image` at {} says that it is `{}`, which is not made",
                    elsewhere.place, elsewhere.image
                );
                return Err(Defect::new(Code::E130, place.clone(), message)
                    .hint("give this image another name, or remove one of the two"));
            }
        }
        Ok(())
    }

    /// The image of a chain that the name stands for.
    fn role(&self, name: &str) -> Option<ChainImage<'_>> {
        let kinds = [Kind::Base, Kind::Py, Kind::Ds, Kind::Operator];
        self.project.chains.values().find_map(|chain| {
            let is_made =
                |kind: &Kind| chain.made().is_some() || matches!(kind, Kind::Ds | Kind::Operator);
            let mut kinds = kinds.into_iter().filter(is_made);
            let kind = kinds.find(|kind| chain.image_name(*kind) == name)?;
            Some(ChainImage { chain, kind })
        })
    }

    fn unknown_parent(
        &self,
        image: &Image,
        parent: &str,
        images: &BTreeMap<String, Image>,
    ) -> Defect {
        let table = self
            .loader
            .config
            .images
            .get(&image.name)
            .map(Spanned::get_ref);
        let text = table.and_then(|table| table.parent.as_ref());
        let place = text.map_or(image.place.clone(), |text| self.loader.origin.place(text));
        let mut known: BTreeSet<String> = images.keys().cloned().collect();
        for chain in self.project.chains.values() {
            known.extend([Kind::Base, Kind::Py, Kind::Ds].map(|kind| chain.image_name(kind)));
        }
        known.remove(&image.name);
        let defect = Defect::new(
            Code::E084,
            place,
            format!(
                "`{}` stands on `{parent}`, which is no image of the project",
                image.name
            ),
        );
        match nearest(parent, known.iter().map(String::as_str)) {
            Some(near) => defect.hint(format!("did you mean `{near}`?")),
            None if self.project.chains.is_empty() => defect.hint(ADD_CHAIN),
            None => defect.hint(format!(
                "the images are {}",
                config::listed(&known.iter().collect::<Vec<_>>())
            )),
        }
    }

    fn refuse_cycles(images: &BTreeMap<String, Image>) -> Result<(), Defect> {
        for image in images.values() {
            let mut path = vec![image];
            while let Some(parent) = path
                .last()
                .and_then(|last| last.parent.as_ref())
                .and_then(|parent| images.get(parent))
            {
                if parent.name == image.name {
                    return Err(cycle(&path));
                }
                if path.iter().any(|seen| seen.name == parent.name) {
                    break;
                }
                path.push(parent);
            }
        }
        Ok(())
    }
}

/// An image's name: that of its table, or with `each` that of its folder.
/// Whether a text is the name of a Debian package, perhaps with a version.
fn is_debian_package(text: &str) -> bool {
    let (name, version) = text.split_once('=').unwrap_or((text, "0"));
    let of_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let of_version = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:~".contains(&byte);
    let is_name =
        name.len() > 1 && name.bytes().all(of_name) && name.as_bytes()[0].is_ascii_alphanumeric();
    is_name && !version.is_empty() && version.bytes().all(of_version)
}

fn image_name<'a>(key: &'a str, folder: Option<&'a str>, place: &Place) -> Result<&'a str, Defect> {
    let name = folder.map_or(key, |folder| folder.rsplit('/').next().unwrap_or(folder));
    if Loader::is_name(name) {
        return Ok(name);
    }
    let message = format!("`{name}` cannot name an image: it is a part of the reference");
    Err(Defect::new(Code::E029, place.clone(), message)
        .hint("use lower-case letters, digits and `-`"))
}

fn kind(
    name: &str,
    role: Option<&ChainImage<'_>>,
    settings: &config::ImageTable,
    place: &Place,
) -> Result<Kind, Defect> {
    match (role, &settings.src, &settings.dockerfile) {
        (Some(role), _, _) => Ok(role.kind),
        (None, Some(_), _) => Ok(Kind::Job),
        (None, None, Some(_)) => Ok(Kind::Own),
        (None, None, None) => {
            let message =
                format!("`{name}` has neither `src` nor `dockerfile`: nothing says what is in it");
            let hint = "a job has `src = \"src\"`, any other image a `dockerfile = \"…\"`";
            Err(Defect::new(Code::E023, place.clone(), message).hint(hint))
        }
    }
}

/// The error for a job without a Dockerfile in a project that has no Spark for it.
fn nothing_below(name: &str, place: &Place) -> Defect {
    let message = format!(
        "`{name}` has no `parent`, the project no chain that would be one, and no Dockerfile names another"
    );
    Defect::new(Code::E023, place.clone(), message).hint(ADD_CHAIN)
}

fn cycle(path: &[&Image]) -> Defect {
    let mut names: Vec<String> = path
        .iter()
        .map(|image| format!("`{}` ({})", image.name, image.place))
        .collect();
    names.push(format!("`{}`", path[0].name));
    let message = format!(
        "images stand on each other in a circle: {}",
        names.join(" → ")
    );
    Defect::new(Code::E085, path[0].place.clone(), message).hint("take one `parent` away")
}

/// Gives an image without a chain its parent's chain, or the only chain of the project.
fn inherit_chains(images: &mut BTreeMap<String, Image>, project: &Project) {
    let only = project
        .chains
        .keys()
        .next()
        .filter(|_| project.chains.len() == 1)
        .cloned();
    let names: Vec<String> = images.keys().cloned().collect();
    for name in names {
        let mut current = images.get(&name);
        let chain = loop {
            match current {
                Some(image) if image.chain.is_some() => break image.chain.clone(),
                Some(image) => {
                    current = image.parent.as_ref().and_then(|parent| images.get(parent));
                }
                None => break only.clone(),
            }
        };
        if let Some(image) = images.get_mut(&name) {
            image.chain = chain;
        }
    }
}

/// What an image stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Below {
    /// Nothing that the configuration names.
    Nothing,
    /// An image of the project.
    Stage(String),
    /// An image from elsewhere, and the name of the chain that it is.
    Elsewhere { image: String, chain: String },
}

impl Below {
    /// The base of a chain that stands on an image from elsewhere.
    fn of_chain(chain: &Chain) -> Self {
        match chain.elsewhere() {
            None => Self::Nothing,
            Some(elsewhere) => Self::Elsewhere {
                image: elsewhere.image.clone(),
                chain: chain.name.clone(),
            },
        }
    }

    fn stage(&self) -> Option<String> {
        match self {
            Self::Stage(name) => Some(name.clone()),
            Self::Nothing | Self::Elsewhere { .. } => None,
        }
    }

    fn elsewhere(&self) -> Option<String> {
        match self {
            Self::Elsewhere { image, .. } => Some(image.clone()),
            Self::Nothing | Self::Stage(_) => None,
        }
    }
}

fn default_parent(role: &ChainImage<'_>) -> Below {
    let below = match role.kind {
        Kind::Py | Kind::Operator => Kind::Base,
        Kind::Ds => Kind::Py,
        Kind::Base | Kind::Job | Kind::Own => return Below::Nothing,
    };
    if role.chain.elsewhere().is_some() {
        return Below::of_chain(role.chain);
    }
    Below::Stage(role.chain.image_name(below))
}
