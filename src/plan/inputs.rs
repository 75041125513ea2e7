//! The inputs of a project's stages, and the order of the stages that follows from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{order::Order, recipe::Recipe};
use crate::{
    code::Code,
    project::{
        FILE_NAME, Project,
        inputs::ImageRequirements,
        job_files::PackageInputs,
        place::{Defect, Place},
    },
};

/// The inputs of one stage.
#[derive(Debug)]
pub struct StageInputs {
    /// How it is built, with its files on this machine.
    pub recipe: Recipe,
    /// The job's code, if it is a job.
    pub package: Option<PackageInputs>,
    /// Its requirements, if it has any.
    pub requirements: Option<ImageRequirements>,
}

/// The inputs of all stages of a project, without cycles.
#[derive(Debug)]
pub struct Inputs {
    of_stages: BTreeMap<String, Arc<StageInputs>>,
    order: Vec<String>,
}

impl Inputs {
    /// Sorts the stages by their dependencies.
    ///
    /// # Errors
    /// Stages depend on each other in a cycle.
    pub fn new(
        project: &Project,
        of_stages: BTreeMap<String, StageInputs>,
    ) -> Result<Self, Defect> {
        let parents = of_stages
            .iter()
            .map(|(name, inputs)| (name.clone(), inputs.recipe.parents()));
        let order = Order::new(parents)
            .parents_first()
            .map_err(|circle| refused(project, &circle))?;
        let of_stages = of_stages.into_iter();
        Ok(Self {
            of_stages: of_stages
                .map(|(name, inputs)| (name, Arc::new(inputs)))
                .collect(),
            order,
        })
    }

    /// Those of these stages, and of all that they stand on or copy from.
    #[must_use]
    pub fn with_parents(&self, names: &[String]) -> Self {
        let (mut of_stages, mut queue) = (BTreeMap::new(), names.to_vec());
        while let Some(name) = queue.pop() {
            let read = self.of_stages.get(&name);
            if let Some(read) = read.filter(|_| !of_stages.contains_key(&name)) {
                queue.extend(read.recipe.parents());
                of_stages.insert(name, Arc::clone(read));
            }
        }
        let order = self.order.iter();
        let order = order.filter(|name| of_stages.contains_key(*name));
        Self {
            order: order.cloned().collect(),
            of_stages,
        }
    }

    /// The names of the stages, parents first.
    #[must_use]
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// The inputs of a stage.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<StageInputs>> {
        self.of_stages.get(name)
    }

    /// The inputs of all stages, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Arc<StageInputs>)> + Clone {
        self.of_stages.iter()
    }
}

fn refused(project: &Project, circle: &BTreeSet<String>) -> Defect {
    let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
    let place = circle
        .first()
        .and_then(|name| project.images.get(name))
        .map(|image| image.place.clone());
    let place = place.unwrap_or_else(|| Place::of_line(FILE_NAME, 1));
    let message = format!(
        "images stand on each other in a circle: {}",
        names.join(", ")
    );
    Defect::new(Code::E085, place, message).hint("take one `FROM` or `COPY --from` away")
}
