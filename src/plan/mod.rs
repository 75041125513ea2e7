//! Stages, fingerprints, the graph and the decision (pure).

pub mod decision;
pub mod difference;
pub mod order;
pub mod record;
mod stages;

pub use record::{Input, Record};
pub use stages::{
    ContextSource, Plan, PlanInputs, PlatformStage, Stage, fetched_into_context, make,
    parents_first, source_digest,
};
