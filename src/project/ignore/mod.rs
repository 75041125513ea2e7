//! Which files are inputs: `.dockerignore`, the built-in excludes, the project's own excludes, and the walk that lists
//! the files.

mod default_excludes;
mod docker;
mod walk;

pub use default_excludes::{DefaultExcludes, Excluded, GlobError};
pub use docker::{DockerIgnore, DockerIgnoreRule};
pub use walk::{
    Digests, Follow, Keep, Listing, TreeError, WHITEOUT, escaped, list, list_spelled, read,
    whiteout,
};
