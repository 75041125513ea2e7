//! Runs a build: sends the request, follows its steps, and gets the digest of what was made.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard_buildkit_proto::moby::buildkit::v1::{
    CacheOptions, CacheOptionsEntry, Exporter, SolveRequest, SolveResponse, StatusRequest,
    StatusResponse, control_client::ControlClient,
};
use futures_util::StreamExt;
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status};

use super::{
    auth,
    connection::{Connection, MESSAGE_LIMIT, causes},
    content::{BuildContent, ContentServer},
    context::{self, ContextUpload},
    error::BuildKitError,
    session::{BuildSession, SessionServices},
    store::BuildKitStore,
};
use crate::{
    adapters::{
        build_output::{self, trace::BuildKitTrace},
        builder::{BuildError, BuildEvent, BuildRequest, Builder, Features},
        session_services,
    },
    image::{Digest, ImageInfo, LABEL_STAGE, Repository},
};

/// How often the progress of sending a context is reported.
const TICK: Duration = Duration::from_millis(100);

/// How long a `BuildKit` may be silent. It asks every few seconds whether the session is alive.
const SILENCE: Duration = Duration::from_mins(1);

/// How long the last steps are waited for once a build has ended.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// The field of the answer with the digest of the image.
const DIGEST: &str = "containerimage.digest";

/// A `BuildKit` that puts its images into a store.
pub(super) struct BuildKitBuilder<'a> {
    pub(super) store: &'a BuildKitStore,
    pub(super) connection: Connection,
}

/// What a build is about, besides its request.
struct RunningBuild<'a> {
    request: &'a BuildRequest,
    content: Arc<BuildContent>,
    context: Arc<ContextUpload>,
    contexts: BTreeMap<String, String>,
    repositories: Vec<Repository>,
}

/// What is heard of a build.
enum Heard {
    Steps(StatusResponse),
    End(Box<Result<SolveResponse, Status>>),
}

impl Builder for BuildKitBuilder<'_> {
    fn name(&self) -> &'static str {
        "BuildKit"
    }

    fn cache_id(&self) -> String {
        self.connection.address.clone()
    }

    fn features(&self) -> Features {
        Features::BUILDKIT
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<ImageInfo, BuildError> {
        let handed = self.store.handed_over(request, &self.connection)?;
        let build = RunningBuild {
            request,
            content: Arc::new(handed.content),
            context: ContextUpload::new(&request.entries, &request.folders),
            contexts: handed.contexts,
            repositories: handed.repositories,
        };
        let secrets = &request.secrets;
        let mut masked = |event: BuildEvent| events(event.masked(secrets));
        let solved = self
            .connection
            .runtime
            .block_on(self.run(&build, &mut masked));
        if let Some(error) = build.context.take_error() {
            let reference = Box::new(request.reference.clone());
            return Err(BuildKitError::Archive { reference, error }.into());
        }
        let digest = solved.map_err(|error| error.masked(secrets))?;
        Ok(self.store.accept(&digest, request, &build.content.there)?)
    }
}

impl BuildKitBuilder<'_> {
    /// Runs the build to its end, and returns the digest of the image's manifest, which is in the layout then.
    async fn run(
        &self,
        build: &RunningBuild<'_>,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Digest, BuildError> {
        let (connection, request) = (&self.connection, build.request);
        let id = session_services::new_id();
        let services = SessionServices {
            secrets: &request.secrets,
            context: build.context.server(),
            auth: auth::server(self.store.credentials(), build.repositories.clone()),
            content: ContentServer(Arc::clone(&build.content)),
        };
        let silent = || Status::deadline_exceeded("it was silent for a minute");
        let session = timeout(SILENCE, BuildSession::open(connection, &id, services)).await;
        let session = session.unwrap_or_else(|_elapsed| Err(silent()));
        let session = session.map_err(|status| self.lost(request, &status))?;
        let mut heard = self.begin(&id, build);
        let mut trace = BuildKitTrace::of_named_images();
        let (mut told, mut end) = (0, None);
        loop {
            let sent = build.context.sent();
            if sent > std::mem::replace(&mut told, sent) {
                events(BuildEvent::Sent(sent));
            }
            match timeout(TICK, heard.recv()).await {
                Ok(Some(Heard::Steps(steps))) => {
                    session.heard.now();
                    trace.take_trace(steps, events);
                }
                Ok(Some(Heard::End(answer))) => end = Some((answer, Instant::now())),
                Ok(None) => break,
                Err(_elapsed) if session.heard.silence() > SILENCE => {
                    return Err(self.lost(request, &silent()));
                }
                Err(_elapsed) => {}
            }
            let is_over = |(_, since): &(_, Instant)| since.elapsed() > LAST_STEPS;
            if end.as_ref().is_some_and(is_over) {
                break;
            }
        }
        let ended = || Status::unavailable("it stopped talking before it named an image");
        let answer = end.map_or_else(|| Err(ended()), |(answer, _)| *answer);
        let answer = answer.map_err(|status| self.failure(request, &mut trace, &status))?;
        let named = answer.exporter_response.get(DIGEST);
        named.and_then(|text| text.parse().ok()).ok_or_else(|| {
            let message = "the BuildKit ended the build without naming an image";
            self.failed(&mut trace, message)
        })
    }

    /// Sends the request, and begins to listen.
    fn begin(&self, session: &str, build: &RunningBuild<'_>) -> mpsc::UnboundedReceiver<Heard> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let control = ControlClient::new(self.connection.channel.clone());
        let control = control.max_decoding_message_size(MESSAGE_LIMIT);
        let request = self.solve_request(session, build);
        let watched = StatusRequest {
            r#ref: request.r#ref.clone(),
        };
        let (mut solving, mut watching) = (control.clone(), control);
        let ends = sender.clone();
        tokio::spawn(async move {
            let answer = solving.solve(request).await;
            let answer = answer.map(tonic::Response::into_inner);
            // Who does not listen any more has given up.
            drop(ends.send(Heard::End(Box::new(answer))));
        });
        tokio::spawn(async move {
            let Ok(steps) = watching.status(watched).await else {
                return;
            };
            let mut steps = steps.into_inner();
            while let Some(Ok(step)) = steps.next().await {
                if sender.send(Heard::Steps(step)).is_err() {
                    break;
                }
            }
        });
        receiver
    }

    fn solve_request(&self, session: &str, build: &RunningBuild<'_>) -> SolveRequest {
        let exporter = Exporter {
            r#type: "oci".to_owned(),
            // The blobs go into the session's store, one by one.
            attrs: HashMap::from([("tar".to_owned(), "false".to_owned())]),
        };
        let mut frontend_attrs = frontend_attributes(session, build);
        let cache = self.cache(build.request).map(|mut attributes| {
            // A frontend asks for the cache by itself.
            let imported = json!([{"Type": "registry", "Attrs": attributes}]);
            frontend_attrs.insert("cache-imports".to_owned(), imported.to_string());
            // A cache that cannot be written is no reason for a build to fail.
            for (key, value) in [("mode", "max"), ("ignore-error", "true")] {
                attributes.insert(key.to_owned(), value.to_owned());
            }
            CacheOptions {
                exports: vec![CacheOptionsEntry {
                    r#type: "registry".to_owned(),
                    attrs: attributes,
                }],
                ..CacheOptions::default()
            }
        });
        SolveRequest {
            r#ref: session.to_owned(),
            exporter_deprecated: exporter.r#type.clone(),
            exporter_attrs_deprecated: exporter.attrs.clone(),
            exporters: vec![exporter],
            session: session.to_owned(),
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs,
            cache,
            ..SolveRequest::default()
        }
    }

    /// Where the cache of a build is kept besides the `BuildKit`'s own: by the image and the platform.
    fn cache(&self, request: &BuildRequest) -> Option<HashMap<String, String>> {
        let (repository, is_insecure) = self.store.cache()?;
        let stage = request.labels.get(LABEL_STAGE)?;
        let platform = request.platform.to_string().replace('/', "-");
        let reference = repository.with_tag(&format!("{stage}-{platform}"));
        let mut attributes = HashMap::from([("ref".to_owned(), reference.to_string())]);
        if is_insecure {
            attributes.insert("registry.insecure".to_owned(), "true".to_owned());
        }
        Some(attributes)
    }

    /// The error of a build that ended with this status.
    fn failure(
        &self,
        request: &BuildRequest,
        trace: &mut BuildKitTrace,
        status: &Status,
    ) -> BuildError {
        let is_lost = status.source().is_some()
            || matches!(status.code(), Code::Unavailable | Code::Cancelled);
        if is_lost {
            return self.lost(request, status);
        }
        let message = status.message();
        let message = message.strip_prefix("failed to solve: ").unwrap_or(message);
        self.failed(trace, message)
    }

    fn failed(&self, trace: &mut BuildKitTrace, message: &str) -> BuildError {
        let address = &self.connection.address;
        let if_full = format!(
            "its disk is full: `buildctl --addr {address} du` says of what, `buildctl --addr {address} prune` frees some"
        );
        build_output::failure(trace, message.to_owned(), &if_full)
    }

    fn lost(&self, request: &BuildRequest, status: &Status) -> BuildError {
        let error = BuildKitError::Lost {
            address: self.connection.address.clone(),
            reference: Box::new(request.reference.clone()),
            message: match status.source() {
                Some(_) => causes(status),
                None => status.message().to_owned(),
            },
        };
        error.into()
    }
}

/// What the Dockerfile frontend is told.
fn frontend_attributes(session: &str, build: &RunningBuild<'_>) -> HashMap<String, String> {
    let request = build.request;
    let mut attributes = HashMap::from([
        ("context".to_owned(), context::address(session)),
        ("filename".to_owned(), request.dockerfile.clone()),
        ("platform".to_owned(), request.platform.to_string()),
    ]);
    if let Some(target) = &request.target {
        attributes.insert("target".to_owned(), target.clone());
    }
    if request.no_cache {
        attributes.insert("no-cache".to_owned(), String::new());
    }
    for (prefix, map) in [
        ("label", &request.labels),
        ("build-arg", &request.build_arguments),
        ("context", &build.contexts),
    ] {
        let prefixed =
            |(key, value): (&String, &String)| (format!("{prefix}:{key}"), value.clone());
        attributes.extend(map.iter().map(prefixed));
    }
    attributes
}
