//! Which files are inputs: `.dockerignore`, what is never one, what the project excludes; and the walk that lists them.

mod docker;
mod litter;
mod walk;

pub use docker::{DockerIgnore, DockerIgnoreRule};
pub use litter::{Excluded, GlobError, Litter};
pub use walk::{Digests, Keep, Listing, TreeError, escaped, list, read};
