//! `--upgrade` only removes entries from the locks: every missing entry is looked up afterwards anyway.

use std::collections::BTreeSet;

use super::{
    lock_files::{LockFiles, beside, used_sources},
    wheels::wheels_of,
};
use crate::{
    error::{Error, UsageError},
    operations::workspace::Session,
    plan::{Inputs, StageInputs},
    project::{Chain, Project, wheel::normalise},
};

/// Locks without the entries that are to be looked up again.
pub(crate) struct Upgrade {
    pub(crate) files: LockFiles,
    /// The Python packages to be upgraded to their newest versions. The other packages in the same lock keep their
    /// versions if possible.
    pub(crate) packages: BTreeSet<String>,
}

/// Applies `--upgrade`. `None` changes nothing, an empty name removes everything that may change, any other name
/// removes its entries.
pub(crate) fn upgrade(
    name: Option<&str>,
    session: &Session<'_>,
    inputs: &Inputs,
    old: &LockFiles,
) -> Result<Upgrade, Error> {
    let mut upgrade = Upgrade {
        files: old.clone(),
        packages: BTreeSet::new(),
    };
    match name {
        None => {}
        Some("") => upgrade.everything(),
        Some(name) if upgrade.one(name, &session.project, inputs) => {}
        Some(name) => return Err(unknown(name, inputs, old).into()),
    }
    Ok(upgrade)
}

impl Upgrade {
    /// Removes all entries that a look-up may change. Sources from Maven or a Python index stay: they name a version,
    /// and a version never changes.
    fn everything(&mut self) {
        let is_url = |origin: &str| origin.starts_with("http://") || origin.starts_with("https://");
        let lock = &mut self.files.lock;
        lock.images.clear();
        lock.contents.clear();
        lock.recipes.clear();
        lock.wheels.clear();
        lock.sources.retain(|origin, _| !is_url(origin));
        self.files.beside.clear();
    }

    /// Removes all entries with this name; a Python package of this name is only noted in `packages`. Returns whether
    /// the name is known.
    fn one(&mut self, name: &str, project: &Project, inputs: &Inputs) -> bool {
        let mut is_known = false;
        if let Some(inputs) = inputs.get(name) {
            self.image(name, project, inputs);
            is_known = true;
        }
        let mut all = inputs
            .iter()
            .flat_map(|(_, inputs)| inputs.recipe.external_images());
        if all.any(|text| text == name) || self.files.lock.images.contains_key(name) {
            self.external_image(name, project);
            is_known = true;
        }
        let mut sources = project.sources.values();
        let source =
            sources.find(|source| source.name == name || source.origin.to_string() == name);
        let origin = source.map(|source| source.origin.to_string());
        if origin.is_some() || self.files.lock.sources.contains_key(name) {
            let origin = origin.unwrap_or_else(|| name.to_owned());
            self.files.lock.sources.remove(&origin);
            is_known = true;
        }
        let mut built_in = inputs
            .iter()
            .filter_map(|(_, inputs)| inputs.recipe.built_in());
        if built_in.any(|built_in| built_in.name == name) {
            self.files.lock.recipes.remove(name);
            is_known = true;
        }
        let package = normalise(name);
        if packages(inputs, &self.files).contains(&package) {
            self.packages.insert(package);
            is_known = true;
        }
        is_known
    }

    /// Removes the digest of an image from elsewhere, and what was found in it.
    fn external_image(&mut self, text: &str, project: &Project) {
        let lock = &mut self.files.lock;
        lock.images.remove(text);
        lock.contents.retain(|name, _| {
            let chain = project.chains.get(name).and_then(Chain::elsewhere);
            chain.is_none_or(|elsewhere| elsewhere.image != text)
        });
    }

    /// Removes all entries of an image of the project: the external images and sources that its Dockerfile uses, its
    /// built-in Dockerfile, its wheels.
    fn image(&mut self, name: &str, project: &Project, inputs: &StageInputs) {
        for text in inputs.recipe.external_images() {
            self.external_image(text, project);
        }
        let lock = &mut self.files.lock;
        for source in inputs.recipe.sources() {
            if let Some(source) = project.sources.get(&source) {
                lock.sources.remove(&source.origin.to_string());
            }
        }
        if let Some(built_in) = inputs.recipe.built_in() {
            lock.recipes.remove(built_in.name);
        }
        lock.wheels.remove(name);
        if let Some(file) = inputs.requirements.as_ref().and_then(beside) {
            self.files.beside.remove(&file);
        }
    }
}

/// The names of all Python packages that are required or locked.
fn packages(inputs: &Inputs, files: &LockFiles) -> BTreeSet<String> {
    let requirements = inputs
        .iter()
        .filter_map(|(_, inputs)| inputs.requirements.as_ref());
    let wanted = requirements.flat_map(|of| of.requirements.names());
    let beside = files.beside.values().flat_map(|lock| lock.wheels.values());
    let built_in = files.lock.wheels.values().flat_map(|of| of.values());
    let locked = beside.flatten().map(|locked| locked.wheel.name.clone());
    let built_in = built_in.filter_map(wheels_of).flatten();
    let built_in = built_in.map(|locked| locked.wheel.name);
    let wanted = wanted.map(|(name, _)| name.to_owned());
    wanted.chain(locked).chain(built_in).collect()
}

fn unknown(name: &str, inputs: &Inputs, files: &LockFiles) -> UsageError {
    let built_in = inputs
        .iter()
        .filter_map(|(_, inputs)| inputs.recipe.built_in());
    let others: BTreeSet<String> = inputs
        .iter()
        .flat_map(|(_, inputs)| inputs.recipe.external_images())
        .map(str::to_owned)
        .chain(used_sources(inputs))
        .chain(files.lock.sources.keys().cloned())
        .chain(files.lock.images.keys().cloned())
        .chain(built_in.map(|built_in| built_in.name.to_owned()))
        .collect();
    UsageError::NotLocked {
        name: name.to_owned(),
        images: inputs.iter().map(|(name, _)| name.to_owned()).collect(),
        others,
        packages: packages(inputs, files),
    }
}
