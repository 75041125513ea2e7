//! Images that are handed over to a build, and the blobs that it made: the content service of containerd, on the side of
//! the session.
//!
//! What is here already is never sent. `BuildKit` asks for the blobs that it lacks, and of the image that it made it sends
//! only those that are neither here nor in the registry that has its parent.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body as ResponseBody,
    codegen::{Body, BoxFuture, Context, Poll, Service, StdError, http},
    server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::connection::MESSAGE_LIMIT;
use crate::{
    adapters::{
        content_service::{
            self, BlobInfo, INFO, InfoRequest, InfoResponse, READ, ReadRequest, ReadResponse,
            WRITE, WriteAction, WriteRequest, WriteResponse,
        },
        destination::ImageRegistry,
        layout::{BlobInMaking, ImageLayout},
        session_services::Answers,
        store::TemporaryFolder,
    },
    image::{Descriptor, Digest, MediaType, Repository},
};

/// The methods that a session announces.
pub(super) const METHODS: [&str; 3] = [INFO, READ, WRITE];

/// The size of the pieces that are sent.
const PIECE: usize = 1 << 20;

/// A blob that a build may read.
#[derive(Clone, Debug)]
pub(super) struct HandedBlob {
    pub(super) size: u64,
    pub(super) origin: HandedOrigin,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug)]
pub(super) enum HandedOrigin {
    Bytes(Bytes),
    File(PathBuf),
    /// In a registry; it is fetched when it is asked for.
    Repository(Repository, Descriptor),
}

/// What a build may read, and where its blobs go.
pub(super) struct BuildContent {
    pub(super) layout: ImageLayout,
    pub(super) handed: BTreeMap<Digest, HandedBlob>,
    /// The layers that are not to be sent, beside those in the layout, and the repositories that have them.
    pub(super) there: BTreeMap<Digest, Repository>,
    pub(super) registry: Option<Arc<dyn ImageRegistry>>,
    /// What was fetched from a registry, for the time of the build.
    pub(super) fetched: Mutex<BTreeMap<Digest, PathBuf>>,
    pub(super) folder: TemporaryFolder,
}

impl BuildContent {
    fn handed(&self, digest: &str) -> Result<(Digest, &HandedBlob), Status> {
        let digest: Digest = digest
            .parse()
            .map_err(|_| Status::invalid_argument(format!("`{digest}` is no digest")))?;
        match self.handed.get(&digest) {
            Some(blob) => Ok((digest, blob)),
            None => Err(Status::not_found(format!("{digest} is not there"))),
        }
    }

    /// The file of a blob in a registry. It is fetched once.
    fn file(
        &self,
        digest: &Digest,
        (repository, descriptor): (&Repository, &Descriptor),
    ) -> Result<PathBuf, Status> {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = fetched.get(digest) {
            return Ok(file.clone());
        }
        let Some(registry) = &self.registry else {
            return Err(Status::internal("no registry may be asked (`--offline`)"));
        };
        let file = self.folder.path().join(digest.hex());
        let saved = registry.save_blob(repository, descriptor, &file, &mut |_| ());
        saved.map_err(|error| Status::internal(error.to_string()))?;
        fetched.insert(digest.clone(), file.clone());
        Ok(file)
    }

    /// Sends the bytes of a blob from `offset` on, at most `limit` of them.
    fn send(
        &self,
        (digest, blob): (&Digest, &HandedBlob),
        (offset, limit): (u64, u64),
        sender: &mpsc::Sender<Result<ReadResponse, Status>>,
    ) -> Result<(), Status> {
        // False once nobody reads any more.
        let send = |offset: u64, data: Vec<u8>| {
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            sender
                .blocking_send(Ok(ReadResponse { offset, data }))
                .is_ok()
        };
        let broken = |error: std::io::Error| Status::internal(error.to_string());
        let file = match &blob.origin {
            HandedOrigin::Bytes(bytes) => {
                let begin = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = usize::try_from(limit).unwrap_or(usize::MAX);
                let end = begin.saturating_add(end).min(bytes.len());
                send(offset, bytes[begin..end].to_vec());
                return Ok(());
            }
            HandedOrigin::File(file) => file.clone(),
            HandedOrigin::Repository(repository, descriptor) => {
                self.file(digest, (repository, descriptor))?
            }
        };
        let mut file = fs_err::File::open(file).map_err(broken)?;
        file.seek(SeekFrom::Start(offset)).map_err(broken)?;
        let mut done = 0;
        while done < limit {
            let left = usize::try_from(limit - done).unwrap_or(PIECE);
            let mut data = vec![0; left.min(PIECE)];
            let count = file.read(&mut data).map_err(broken)?;
            data.truncate(count);
            if count == 0 || !send(offset + done, data) {
                break;
            }
            done += count as u64;
        }
        Ok(())
    }
}

/// The content service of a session.
#[derive(Clone)]
pub(super) struct ContentServer(pub(super) Arc<BuildContent>);

impl NamedService for ContentServer {
    const NAME: &'static str = content_service::NAME;
}

impl<B> Service<http::Request<B>> for ContentServer
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let limit = Some(MESSAGE_LIMIT);
            Ok(match path.as_str() {
                INFO => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.unary(Info(service), request).await
                }
                READ => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.server_streaming(BlobReading(service), request).await
                }
                WRITE => {
                    let grpc = Grpc::new(ProstCodec::default());
                    let mut grpc = grpc.apply_max_message_size_config(limit, limit);
                    grpc.streaming(Writing(service), request).await
                }
                _ => Status::unimplemented("only Info, Read and Write").into_http(),
            })
        })
    }
}

struct Info(ContentServer);

impl UnaryService<InfoRequest> for Info {
    type Response = InfoResponse;
    type Future = BoxFuture<Response<InfoResponse>, Status>;

    fn call(&mut self, request: Request<InfoRequest>) -> Self::Future {
        let found = self.0.0.handed(&request.get_ref().digest);
        let answer = found.map(|(digest, blob)| {
            let info = Some(BlobInfo {
                digest: digest.to_string(),
                size: i64::try_from(blob.size).unwrap_or(i64::MAX),
            });
            Response::new(InfoResponse { info })
        });
        Box::pin(std::future::ready(answer))
    }
}

struct BlobReading(ContentServer);

impl ServerStreamingService<ReadRequest> for BlobReading {
    type Response = ReadResponse;
    type ResponseStream = Answers<ReadResponse>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<ReadRequest>) -> Self::Future {
        let content = Arc::clone(&self.0.0);
        Box::pin(async move {
            let asked = request.into_inner();
            let (digest, blob) = content.handed(&asked.digest)?;
            let blob = blob.clone();
            let offset = u64::try_from(asked.offset).unwrap_or(0);
            let rest = blob.size.saturating_sub(offset);
            let limit = match u64::try_from(asked.size) {
                Ok(size) if size > 0 => size.min(rest),
                _ => rest,
            };
            let (sender, receiver) = mpsc::channel(4);
            let reading = Arc::clone(&content);
            tokio::task::spawn_blocking(move || {
                if limit == 0 {
                    return;
                }
                let sent = reading.send((&digest, &blob), (offset, limit), &sender);
                if let Err(status) = sent {
                    // Nobody reads any more.
                    drop(sender.blocking_send(Err(status)));
                }
            });
            let messages = stream::unfold(receiver, |mut receiver| async {
                Some((receiver.recv().await?, receiver))
            });
            let messages: Self::ResponseStream = Box::pin(messages);
            Ok(Response::new(messages))
        })
    }
}

struct Writing(ContentServer);

impl StreamingService<WriteRequest> for Writing {
    type Response = WriteResponse;
    type ResponseStream = Answers<WriteResponse>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<WriteRequest>>) -> Self::Future {
        let content = Arc::clone(&self.0.0);
        Box::pin(async move {
            let blob = ReceivedBlob {
                content,
                making: None,
            };
            let state = (request.into_inner(), blob);
            let answers = stream::try_unfold(state, |(mut requests, mut blob)| async {
                let Some(request) = requests.next().await else {
                    return Ok(None);
                };
                let request = request?;
                // The disk may be slow.
                let answer = tokio::task::block_in_place(|| blob.take(&request))?;
                Ok(Some((answer, (requests, blob))))
            });
            let answers: Self::ResponseStream = Box::pin(answers);
            Ok(Response::new(answers))
        })
    }
}

/// A blob that is being sent to us.
struct ReceivedBlob {
    content: Arc<BuildContent>,
    making: Option<BlobInMaking>,
}

impl ReceivedBlob {
    fn take(&mut self, request: &WriteRequest) -> Result<WriteResponse, Status> {
        match WriteAction::try_from(request.action) {
            Ok(WriteAction::Stat) if self.making.is_some() => {}
            Ok(WriteAction::Stat) => self.begin(request)?,
            Ok(WriteAction::Write) => self.write(request)?,
            Ok(WriteAction::Commit) => {
                self.write(request)?;
                return self.end(request);
            }
            Err(_) => return Err(Status::invalid_argument("an unknown action")),
        }
        let total = request.total;
        let offset = self.making.as_ref().map_or(0, BlobInMaking::size);
        Ok(WriteResponse {
            action: request.action,
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            total,
            digest: String::new(),
        })
    }

    fn begin(&mut self, request: &WriteRequest) -> Result<(), Status> {
        let malformed = |_| Status::invalid_argument("a blob without a digest");
        let digest: Digest = request.expected.parse().map_err(malformed)?;
        let size = u64::try_from(request.total).unwrap_or(0);
        let content = &self.content;
        let descriptor = Descriptor {
            media_type: MediaType::Other("application/octet-stream".to_owned()),
            digest,
            size,
            platform: None,
        };
        if content.there.contains_key(&descriptor.digest) || content.layout.has(&descriptor) {
            return Err(Status::already_exists(format!(
                "{} is there",
                descriptor.digest
            )));
        }
        let making = content.layout.begin_blob(descriptor);
        let making = making.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        self.making = Some(making);
        Ok(())
    }

    fn write(&mut self, request: &WriteRequest) -> Result<(), Status> {
        if request.data.is_empty() {
            return Ok(());
        }
        let Some(making) = &mut self.making else {
            return Err(Status::failed_precondition("the blob was not begun"));
        };
        if u64::try_from(request.offset).ok() != Some(making.size()) {
            return Err(Status::out_of_range("the blob is not written in order"));
        }
        let written = making.add(&request.data);
        written.map_err(|error| Status::resource_exhausted(error.to_string()))
    }

    fn end(&mut self, request: &WriteRequest) -> Result<WriteResponse, Status> {
        let Some(making) = self.making.take() else {
            return Err(Status::failed_precondition("the blob was not begun"));
        };
        let (size, digest) = (making.size(), making.digest().to_string());
        let is_whole = making.finish();
        if !is_whole.map_err(|error| Status::resource_exhausted(error.to_string()))? {
            let message = format!("{digest} has arrived with other bytes");
            return Err(Status::data_loss(message));
        }
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(WriteResponse {
            action: request.action,
            offset: size,
            total: size,
            digest,
        })
    }
}
