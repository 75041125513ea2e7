//! Which files are inputs: `.dockerignore`, what is never one, what the project excludes; and the walk that lists them.

mod default_excludes;
mod docker;
mod walk;

pub use default_excludes::{DefaultExcludes, Excluded, GlobError};
pub use docker::{DockerIgnore, DockerIgnoreRule};
pub use walk::{Digests, Keep, Listing, TreeError, escaped, list, read};
