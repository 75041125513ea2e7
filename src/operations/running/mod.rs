//! Runs a job: in its real image through the daemon, or from `dist` by a Spark of this machine.

mod choose;
mod in_image;
mod local;
mod request;
mod submission;

pub(crate) use in_image::run_in_image;
pub(crate) use local::run_locally;
pub(crate) use request::{Program, RunRequest};
