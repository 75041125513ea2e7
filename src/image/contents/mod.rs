//! What is in an image from elsewhere: found out from its config and its layers, without running anything.
//!
//! The layers are streamed: all names are kept, and of the contents only the few that tell something. Then they are put
//! on top of each other as a container runtime does it, and the facts are read from the result.

mod facts;
mod python;
mod runtime;
mod scan;
mod spark;
mod tree;

pub use facts::ContentFacts;
pub use python::{Distribution, PythonFacts, normalise};
pub use runtime::{JavaFacts, Libc};
pub use scan::{LayerContents, LayerScanner};
pub use spark::SparkFacts;
pub use tree::Tree;

#[cfg(test)]
mod tests;
