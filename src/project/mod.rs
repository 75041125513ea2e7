//! What the user has: configuration, locks, sources and requirements. Reads files, writes none.

pub mod source;
pub mod tree;
