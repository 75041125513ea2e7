//! The BuildKit inside the daemon, by the daemon's API. It runs independent steps of a Dockerfile side by side.

use std::hash::{BuildHasher, Hasher, RandomState};

use bollard::query_parameters::BuilderVersion;

use super::{build, daemon::Daemon, output::trace::BuildKitTrace};
use crate::{
    adapters::builder::{BuildError, BuildEvent, BuildRequest, Builder, Features, StepNumbers},
    image::ImageInfo,
};

/// The daemon's BuildKit.
pub(super) struct BuildKit<'a>(pub(super) &'a Daemon);

impl Builder for BuildKit<'_> {
    fn name(&self) -> &'static str {
        "BuildKit"
    }

    fn cache_id(&self) -> String {
        self.0.address().to_owned()
    }

    fn features(&self) -> Features {
        Features {
            extended_syntax: true,
            skips_unneeded_stages: true,
            step_numbers: StepNumbers::PerStage,
        }
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<ImageInfo, BuildError> {
        build::limit_request(request)?;
        let options = build::options(request)
            .version(BuilderVersion::BuilderBuildKit)
            .session(&build_session_id())
            .build();
        let mut trace = BuildKitTrace::default();
        let id = self.0.run_build(request, options, &mut trace, events)?;
        self.0.accept(&id, request)
    }
}

/// An ID that no other build session of the daemon has.
fn build_session_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("sparkpack-{:016x}{:016x}", random(), random())
}
