//! The classic builder of old daemons, and Podman's, which answers in the same way. It runs one step after the other.

use super::{build, daemon::Daemon};
use crate::{
    adapters::{
        build_output::log::ClassicLog,
        builder::{BuildError, BuildEvent, BuildRequest, Builder, Features, StepNumbers},
    },
    image::ImageInfo,
};

/// How often to try a build that fails because another client removes images at the same time.
const ATTEMPTS: u32 = 5;

/// The daemon's classic builder.
pub(super) struct ClassicBuilder<'a>(pub(super) &'a Daemon);

impl Builder for ClassicBuilder<'_> {
    fn name(&self) -> &'static str {
        "the classic builder"
    }

    fn cache_id(&self) -> String {
        format!("{} classic", self.0.address())
    }

    fn features(&self) -> Features {
        Features {
            extended_syntax: false,
            skips_unneeded_stages: false,
            step_numbers: StepNumbers::PerFile,
        }
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<ImageInfo, BuildError> {
        build::limit_request(request)?;
        let mut attempt = 1;
        loop {
            let options = build::options(request).build();
            let mut log = ClassicLog::default();
            match self
                .0
                .run_build(request, (&self.0.client, options), &mut log, events)
            {
                Ok(id) => return self.0.accept(&id, request),
                Err(error) if attempt < ATTEMPTS && lost_an_image(&error) => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the builder failed because an image was removed while it read all images for its cache.
///
/// It fails even if the image has nothing to do with the build.
fn lost_an_image(error: &BuildError) -> bool {
    matches!(error, BuildError::Failed { message, .. } if message.starts_with("unable to find image \"sha256:"))
}
