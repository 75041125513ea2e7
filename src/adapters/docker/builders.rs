//! The choice between the daemon's builders.

use super::{
    buildkit::BuildKit,
    classic::ClassicBuilder,
    daemon::{BuilderKind, Daemon},
};
use crate::adapters::builder::Builder;

impl Daemon {
    /// The builder in use: the daemon's best, or the one that `DOCKER_BUILDKIT` demands.
    #[must_use]
    pub fn builder(&self) -> Box<dyn Builder + '_> {
        match self.builder {
            BuilderKind::BuildKit => Box::new(BuildKit(self)),
            BuilderKind::Classic => Box::new(ClassicBuilder(self)),
        }
    }
}
