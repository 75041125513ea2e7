//! Stages, fingerprints, the graph and the reasons (pure).

pub mod difference;
pub mod order;
pub mod reasons;
pub mod record;
mod stages;

pub use record::{Input, Record};
pub use stages::{
    ContextSource, Plan, PlanInputs, PlatformStage, Stage, fetched_into_context, make,
    parents_first, source_digest,
};
