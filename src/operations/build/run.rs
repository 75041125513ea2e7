//! What a run works on: the plan, what it was made from, and the registry that its references name.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::destination::Destination,
    error::Error,
    image::ImageInfo,
    operations::{
        resolution::Prepared,
        workspace::{Services, Session, side_by_side},
    },
    plan::decision::{Answers, Asked},
    project::Registry,
};

/// A plan on its way to one registry's references.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) services: &'a Services<'a>,
    pub(crate) prepared: &'a Prepared,
    pub(crate) registry: &'a Registry,
}

impl Run<'_> {
    /// What decisions on `targets` are made from.
    pub(crate) fn asked<'b>(&'b self, targets: &'b [String]) -> Asked<'b> {
        Asked {
            plan: &self.prepared.plan,
            registry: self.registry,
            targets,
        }
    }

    /// What a destination says of the targets and, where they are missing, of what they stand on, side by side.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(crate) fn ask_for_needed(
        &self,
        targets: &[String],
        destination: &dyn Destination<Stored = ImageInfo>,
    ) -> Result<Answers, Error> {
        let asked = self.asked(targets);
        let mut answers = Answers::new();
        loop {
            let names = asked.unanswered(&answers);
            if names.is_empty() {
                return Ok(answers);
            }
            answers.extend(self.ask(names, destination)?);
        }
    }

    /// What a destination has of these stages, side by side.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(crate) fn ask<I>(
        &self,
        names: BTreeSet<String>,
        destination: &dyn Destination<Stored = I>,
    ) -> Result<BTreeMap<String, Option<I>>, Error>
    where
        I: AsRef<ImageInfo> + Clone + Send,
    {
        let names: Vec<String> = names.into_iter().collect();
        let found = side_by_side(&names, &|name: &String| {
            // Of a stage for several platforms nothing is made yet: one of its images stands for all.
            let stage = self.prepared.plan.stages[name].first();
            destination.find(stage.reference(self.registry), &stage.platform)
        });
        // A destination that fails fails for all: it is told once.
        let found: Vec<Option<I>> = found.into_iter().collect::<Result<_, _>>()?;
        Ok(names.into_iter().zip(found).collect())
    }
}
