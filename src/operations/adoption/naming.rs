//! How the images of a project are called: the registries, the template of references, and each image's own name.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    image_name::ImageName,
    manifests::Manifest,
    survey::ProjectSurvey,
    tree::{folder_of, name_of},
    units::Units,
};
use crate::project::place::Place;

/// The beginning of references where nothing says one: nobody can push there.
const NOWHERE: &str = "registry.example";

/// Names without a registry are of Docker's own hub, where nobody else can push.
const LOCAL: &str = "docker.io/library";

/// An image of the project.
#[derive(Clone, Debug)]
pub(super) struct OwnImage {
    /// Its name in the configuration.
    pub(super) key: String,
    /// The index of the Dockerfile that makes it.
    pub(super) unit: Option<usize>,
    /// What it is called now, and where.
    pub(super) called: Option<(ImageName, Place)>,
}

/// The names of all images.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// The registries by their names, `main` first.
    pub(super) registries: Vec<(String, String)>,
    /// The template of references, where it is not the usual one.
    pub(super) reference: Option<String>,
    /// Where the registries after the first one are named.
    pub(super) others: Vec<(String, Place)>,
    pub(super) formerly: Vec<String>,
    /// Where the registry is named; `None` if it is assumed.
    pub(super) place: Option<Place>,
    pub(super) images: Vec<OwnImage>,
    /// Names in manifests of images that nothing here makes.
    pub(super) foreign: Vec<(ImageName, Place)>,
}

/// A name, the place, and the file's name if it is a manifest's.
type Called = (ImageName, Place);

/// Finds the names of all images.
pub(super) struct Namer<'s> {
    pub(super) survey: &'s ProjectSurvey,
    pub(super) units: &'s Units<'s>,
    pub(super) project: &'s str,
    /// Whether any Dockerfile's image has the code.
    pub(super) has_job: bool,
}

impl Namer<'_> {
    pub(super) fn naming(&self) -> Naming {
        let mut called = self.of_units();
        let loose = self.loose(&called);
        let mut naming = Naming::default();
        if self.has_job {
            naming.foreign = loose;
        } else {
            called.extend(loose.into_iter().map(|name| (None, self.all_of(&name))));
        }
        let shared = self.shared_repository(&called);
        self.registries(&called, &mut naming);
        if let Some(last) = &shared {
            naming.reference = Some(format!("{{registry}}/{last}:{{image}}-{{fingerprint}}"));
        }
        let mut seen = BTreeSet::new();
        for (unit, names) in called {
            let first = names.iter().find(|(name, _)| name.repository.is_some());
            let first = first.or(names.first()).cloned();
            let own = first.as_ref().map(|(name, _)| match &shared {
                Some(_) => name.tag_head().unwrap_or(&name.last).to_owned(),
                None => name.last.clone(),
            });
            let stem = unit.map(|unit| self.units.all[unit].stem.clone());
            let key = own.or(stem.filter(|stem| !stem.is_empty()));
            let key = as_name(&key.unwrap_or_else(|| "job".to_owned()));
            if seen.insert(key.clone()) {
                naming.images.push(OwnImage {
                    key,
                    unit,
                    called: first,
                });
            }
        }
        naming
    }

    /// All names in manifests of the image with this one: each environment may have its own registry.
    fn all_of(&self, first: &Called) -> Vec<Called> {
        let same = self
            .in_manifests()
            .filter(|(name, _)| is_same_image(&first.0, name));
        let mut all: Vec<Called> = same.collect();
        all.sort_by_key(|(name, place)| (*name != first.0, place.file.clone(), place.line));
        all
    }

    /// The names of the images that Dockerfiles make.
    fn of_units(&self) -> Vec<(Option<usize>, Vec<Called>)> {
        let mut all: Vec<(Option<usize>, Vec<Called>)> = Vec::new();
        for (index, unit) in self.units.all.iter().enumerate() {
            let place = unit.build.map(|build| build.place.clone());
            let place = place.unwrap_or_else(|| unit.dockerfile.at(1));
            let mut names: Vec<Called> = unit
                .names
                .iter()
                .map(|name| (name.clone(), place.clone()))
                .collect();
            for (name, at) in self.in_manifests() {
                let is_it = if unit.names.is_empty() {
                    self.is_called(&unit.stem, &name)
                } else {
                    unit.names.iter().any(|own| is_same_image(own, &name))
                };
                if is_it {
                    names.push((name, at));
                }
            }
            for child in self
                .units
                .all
                .iter()
                .filter(|child| child.parent == Some(index))
            {
                let base = child.resolved.base.as_ref().map_or(1, |(_, line)| *line);
                let name = child.resolved.base_name();
                names.extend(name.map(|name| (name, child.dockerfile.at(base))));
            }
            all.push((Some(index), names));
        }
        all
    }

    /// Whether an image without a build is the one that a manifest names: by the Dockerfile's folder, or as the only one.
    fn is_called(&self, stem: &str, name: &ImageName) -> bool {
        let is_below = ["base", "py", "ds", "operator"].contains(&stem);
        let is_only = self.units.all.len() == 1 && !is_below;
        let names: BTreeSet<_> = self
            .in_manifests()
            .map(|(name, _)| name.repository)
            .collect();
        let of_project = stem.is_empty() && [self.project, "job"].contains(&name.last.as_str());
        name.last == stem
            || name.tag_head() == Some(stem)
            || name.last.ends_with(&format!("-{stem}")) && !stem.is_empty()
            || of_project
            || is_only && names.len() == 1
    }

    /// The names in manifests that are nobody else's.
    fn in_manifests(&self) -> impl Iterator<Item = Called> {
        let names = self.survey.manifests.iter().flat_map(Manifest::names);
        let names = names.map(|(image, name)| (name, image.place.clone()));
        let variables = &self.survey.commands.variables;
        let rendered = self
            .survey
            .manifests
            .iter()
            .flat_map(|manifest| manifest.rendered(variables));
        let names = names.chain(rendered.map(|(place, name)| (name, place)));
        names.filter(|(name, _)| !name.is_public() && !self.is_below(name))
    }

    /// Whether a Dockerfile stands on an image that nothing here makes, by this name.
    fn is_below(&self, name: &ImageName) -> bool {
        let mut bases = self.units.all.iter().filter(|unit| unit.parent.is_none());
        bases.any(|unit| {
            unit.resolved
                .base_name()
                .is_some_and(|base| base.repository == name.repository && base.tag == name.tag)
        })
    }

    /// What variables of scripts fill into objects of a Spark operator.
    fn rendered_spark(&self) -> impl Iterator<Item = ImageName> {
        let manifests = self
            .survey
            .manifests
            .iter()
            .filter(|manifest| manifest.spark.is_some());
        let variables = &self.survey.commands.variables;
        manifests
            .flat_map(|manifest| manifest.rendered(variables))
            .map(|(_, name)| name)
    }

    /// The names in manifests that no Dockerfile's image has.
    fn loose(&self, known: &[(Option<usize>, Vec<Called>)]) -> Vec<Called> {
        let is_known = |name: &ImageName| {
            let mut names = known.iter().flat_map(|(_, names)| names);
            names.any(|(own, _)| is_same_image(own, name))
        };
        let spark: BTreeSet<ImageName> = self
            .survey
            .manifests
            .iter()
            .flat_map(Manifest::names)
            .filter(|(image, _)| image.is_spark)
            .map(|(_, name)| name)
            .chain(self.rendered_spark())
            .collect();
        let mut loose: Vec<Called> = Vec::new();
        for (name, place) in self.in_manifests() {
            let is_new = !loose.iter().any(|(other, _)| is_same_image(other, &name));
            let is_wanted = spark.is_empty() || spark.contains(&name);
            if is_new && is_wanted && !is_known(&name) {
                loose.push((name, place));
            }
        }
        let is_clear = !spark.is_empty() || loose.len() == 1;
        if is_clear { loose } else { Vec::new() }
    }

    /// The repository in which several images lie, told apart by their tags.
    fn shared_repository(&self, called: &[(Option<usize>, Vec<Called>)]) -> Option<String> {
        let mut heads: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (name, _) in called.iter().flat_map(|(_, names)| names) {
            if let Some(head) = name.tag_head() {
                heads.entry(name.last.clone()).or_default().insert(head);
            }
        }
        let stems = self.units.all.iter().map(|unit| unit.stem.as_str());
        let folders = self.survey.tree.folders().map(name_of);
        let known: BTreeSet<&str> = stems.chain(folders).chain([self.project]).collect();
        let is_shared = |(last, heads): &(String, BTreeSet<&str>)| {
            let is_known = |head: &&&str| known.contains(**head) && *head != last;
            heads.len() > 1 || heads.iter().any(|head| is_known(&head))
        };
        let of_images: usize = called.iter().filter(|(_, names)| !names.is_empty()).count();
        let found = heads.into_iter().find(is_shared)?;
        let in_it = called
            .iter()
            .filter(|(_, names)| names.iter().any(|(name, _)| name.last == found.0));
        (in_it.count() * 2 > of_images).then_some(found.0)
    }

    /// The registries, by how many images they have; other environments by the files that name them.
    fn registries(&self, called: &[(Option<usize>, Vec<Called>)], naming: &mut Naming) {
        let mut prefixes: BTreeMap<String, (usize, BTreeSet<String>, Place)> = BTreeMap::new();
        for (name, place) in called.iter().flat_map(|(_, names)| names) {
            if let Some(prefix) = name.prefix() {
                let entry = prefixes.entry(prefix);
                let entry = entry.or_insert_with(|| (0, BTreeSet::new(), place.clone()));
                entry.0 += 1;
                entry.1.insert(place.file.display().to_string());
            }
        }
        if prefixes.remove(LOCAL).is_some() {
            naming.formerly.push(LOCAL.to_owned());
        }
        let rank = |entry: &(&String, &(usize, BTreeSet<String>, Place))| {
            let is_production =
                entry.0.contains("prod") || entry.1.1.iter().all(|file| file.contains("prod"));
            (
                !is_production,
                entry.1.0,
                std::cmp::Reverse(entry.0.clone()),
            )
        };
        let Some(main) = prefixes
            .iter()
            .max_by_key(rank)
            .map(|(prefix, _)| prefix.clone())
        else {
            naming.registries = vec![("main".to_owned(), format!("{NOWHERE}/{}", self.project))];
            return;
        };
        let of_main = prefixes.remove(&main);
        naming.place = of_main.as_ref().map(|(_, _, place)| place.clone());
        naming.registries.push(("main".to_owned(), main));
        let files = of_main.map(|(_, files, _)| files).unwrap_or_default();
        for (prefix, (_, own, place)) in prefixes {
            let manifests = own.iter().filter(|file| self.is_manifest(file));
            let manifests: Vec<&String> = manifests.collect();
            let is_apart =
                !manifests.is_empty() && manifests.iter().all(|file| !files.contains(*file));
            match manifests.first().filter(|_| is_apart) {
                Some(file) => {
                    let name = environment(file, &naming.registries);
                    naming.others.push((prefix.clone(), place));
                    naming.registries.push((name, prefix));
                }
                None => naming.formerly.push(prefix),
            }
        }
    }

    fn is_manifest(&self, file: &str) -> bool {
        self.survey
            .manifests
            .iter()
            .any(|manifest| manifest.path == file)
    }
}

/// Whether two names are of one image: in one repository the heads of the tags may tell images apart.
pub(super) fn is_same_image(one: &ImageName, other: &ImageName) -> bool {
    if one.is_public() != other.is_public() {
        return false;
    }
    let heads = (one.tag_head(), other.tag_head());
    let is_same_head = heads.0 == heads.1 || !matches!(heads, (Some(_), Some(_)));
    one.may_be(other) && is_same_head
        || one.last == other.last
            && is_same_head
            && one.repository != other.repository
            && heads.0 == heads.1
}

/// The name of an environment by the file that names its registry: `prod` of `deploy/prod/values.yaml`, and of
/// `values-prod.yaml`.
fn environment(file: &str, taken: &[(String, String)]) -> String {
    const KNOWN: [&str; 12] = [
        "prod",
        "production",
        "live",
        "staging",
        "stage",
        "test",
        "qa",
        "uat",
        "int",
        "preprod",
        "dev",
        "development",
    ];
    let mut parts = file
        .split(['/', '.', '-', '_'])
        .filter(|part| KNOWN.contains(part));
    let last = parts.next_back().or_else(|| {
        let folder = name_of(folder_of(file));
        (folder != ".").then_some(folder)
    });
    let name = as_name(last.unwrap_or("other"));
    let mut free = name.clone();
    let mut number = 2;
    while taken.iter().any(|(other, _)| *other == free) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

/// A text as the name of an image or of a project.
pub(super) fn as_name(text: &str) -> String {
    let mut name = String::new();
    for character in text.to_ascii_lowercase().chars() {
        let is_kept = character.is_ascii_alphanumeric() || ".-_".contains(character);
        name.push(if is_kept { character } else { '-' });
    }
    let name = name.trim_matches(['-', '.', '_']);
    let mut clean = String::new();
    for character in name.chars() {
        let doubles = !character.is_ascii_alphanumeric()
            && clean.ends_with(|last: char| !last.is_ascii_alphanumeric());
        if !doubles {
            clean.push(character);
        }
    }
    if clean.is_empty() {
        "job".to_owned()
    } else {
        clean
    }
}
