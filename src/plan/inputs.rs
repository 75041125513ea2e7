//! What the stages of a project are made from, and the order that follows from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{order::Order, recipe::Recipe};
use crate::{
    code::Code,
    project::{
        FILE_NAME, Project,
        inputs::{ImageRequirements, PackageInputs},
        place::{Defect, Place},
    },
};

/// What was read for one stage.
#[derive(Debug)]
pub struct StageInputs {
    /// How it is made, and what of it is on this disk.
    pub recipe: Recipe,
    /// The job's code, where it is a job.
    pub package: Option<PackageInputs>,
    /// Its requirements, where it has any.
    pub requirements: Option<ImageRequirements>,
}

/// What was read for all stages of a project, which do not stand on each other in a circle.
#[derive(Debug)]
pub struct Inputs {
    of_stages: BTreeMap<String, Arc<StageInputs>>,
    order: Vec<String>,
}

impl Inputs {
    /// The inputs of the stages, by name.
    ///
    /// # Errors
    /// Stages stand on each other in a circle.
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

    /// The names of the stages, parents first.
    #[must_use]
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// What was read for a stage.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<StageInputs>> {
        self.of_stages.get(name)
    }

    /// The stages with their names, by name.
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
