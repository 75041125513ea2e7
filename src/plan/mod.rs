//! Stages, recipes, fingerprints, order, references and decisions. All of it is pure.

pub mod decision;
pub mod difference;
#[cfg(test)]
pub(crate) mod examples;
mod inputs;
pub mod order;
mod recipe;
pub mod record;
mod stages;

pub use inputs::{Inputs, StageInputs};
pub use recipe::{NetworkUse, Recipe};
pub use record::{Input, Record};
pub use stages::{
    PYTHON_PATH, Plan, PlanError, PlanInputs, PlatformStage, Stage, make, make_for, source_digest,
};
