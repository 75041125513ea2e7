//! The records of images' inputs: keeps them, pushes them beside images, finds them again, and explains how two differ.

mod attach;
mod explain;
mod find;
mod keep;

pub(crate) use attach::{beside, push_beside};
pub(crate) use explain::{Explainer, place_of, rows, unknown_record};
pub(crate) use find::{FoundOnPlatform, FoundRecord, RecordQuery, Records, prefix_of};
pub(crate) use keep::keep_records;
