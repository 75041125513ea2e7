//! What the user has: configuration, locks, sources and requirements. Reads files, writes none.

pub mod dockerfile;
pub mod ignore;
pub mod lock;
pub mod place;
pub mod requirements;
pub mod source;
pub mod template;
pub mod tree;
pub mod wheel;
