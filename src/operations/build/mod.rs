//! Makes the images that a plan lacks.

mod cache_bust;
mod context;
mod failure;
mod schedule;
mod stage;

pub(crate) use schedule::run_on_stages;
pub(crate) use stage::StageBuilder;
