//! The BuildKit inside the daemon, by the daemon's API. It runs independent steps of a Dockerfile side by side.

use bollard::query_parameters::{BuildImageOptions, BuilderVersion};

use super::{
    build,
    daemon::{Daemon, building_in_session},
    session::Session,
};
use crate::{
    adapters::{
        build_output::trace::BuildKitTrace,
        builder::{BuildError, BuildEvent, BuildRequest, Builder, Features},
        session_services,
    },
    image::{Digest, ImageInfo},
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
        Features::BUILDKIT
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<ImageInfo, BuildError> {
        build::limit_request(request)?;
        let session = session_services::new_id();
        let mut trace = BuildKitTrace::default();
        let options = build::options(request).session(&session);
        let id = if request.secrets.is_empty() {
            let options = options.version(BuilderVersion::BuilderBuildKit).build();
            let client = (&self.0.client, options);
            self.0.run_build(request, client, &mut trace, events)?
        } else {
            self.build_with_secrets(request, (&session, options.build()), &mut trace, events)?
        };
        self.0.accept(&id, request)
    }
}

impl BuildKit<'_> {
    /// Builds in a session that offers the request's secrets. What the steps print is told without them.
    fn build_with_secrets(
        &self,
        request: &BuildRequest,
        (id, options): (&str, BuildImageOptions),
        trace: &mut BuildKitTrace,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Digest, BuildError> {
        let daemon = self.0;
        let secrets = &request.secrets;
        let version = daemon.client.client_version();
        let opening = Session::open(&daemon.host, &version, id, secrets);
        let _session = daemon.runtime.block_on(opening)?;
        let client = building_in_session(&daemon.client);
        let mut masked = |event: BuildEvent| events(event.masked(secrets));
        let built = daemon.run_build(request, (&client, options), trace, &mut masked);
        built.map_err(|error| error.masked(secrets))
    }
}
