//! A `BuildKit` at an address: it builds Dockerfiles, wherever it runs, and no Docker daemon has a part in it.
//!
//! It is asked by its own API rather than by `buildctl`: everything that the API needs is part of this binary for
//! Docker's own `BuildKit`, so that nobody has to install a second program of the right version; steps and errors arrive
//! as values, and not as text to be read; and blobs that are already here are not sent.
//!
//! `connection` reaches it, and `session` is the way back: through it `BuildKit` asks this process for what the build
//! needs. `context` sends the context, `content` hands over images and takes in the layers that are made, and `auth` has
//! the credentials of registries. `solve` runs a build, and `store` keeps the images, in an OCI image layout;
//! `images` has them do as those of a daemon.

mod auth;
mod connection;
mod content;
mod context;
mod error;
mod images;
mod session;
mod solve;
mod store;

pub use connection::ask;
pub use error::{BuildKitError, BuildKitUnreachable};
pub use store::{BuildKitStore, StoreSettings};
