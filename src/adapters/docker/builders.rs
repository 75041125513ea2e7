//! Which of the daemon's builders is in use.

use super::{
    buildkit::BuildKit,
    classic::ClassicBuilder,
    daemon::{BuilderKind, Daemon},
};
use crate::adapters::builder::Builder;

impl Daemon {
    /// The builder in use: the daemon's best, or what `DOCKER_BUILDKIT` demands.
    #[must_use]
    pub fn builder(&self) -> Box<dyn Builder + '_> {
        match self.builder {
            BuilderKind::BuildKit => Box::new(BuildKit(self)),
            BuilderKind::Classic => Box::new(ClassicBuilder(self)),
        }
    }
}
