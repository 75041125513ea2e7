//! The blobs in the containerd store of a daemon, by their digests. The BuildKit in the daemon lets them be read.

use std::io::{self, Write};

use bollard::ClientVersion;
use futures_util::TryStreamExt as _;
use hyper_util::rt::TokioIo;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{error::DockerError, host::Host, upgrade};
use crate::image::{Descriptor, Digest, Hasher};

/// The largest document that is read, in bytes. That of registries.
const LIMIT: usize = 4 * 1024 * 1024;

/// The blobs of a daemon.
#[derive(Clone)]
pub(super) struct Blobs(Grpc<Channel>);

#[derive(Clone, PartialEq, prost::Message)]
struct BlobName {
    #[prost(string, tag = "1")]
    digest: String,
}

/// An answer of which nothing is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

impl Blobs {
    /// Connects to the service. Needs a tokio runtime.
    pub(super) async fn open(host: &Host, version: &ClientVersion) -> Result<Self, DockerError> {
        let mut stream = upgrade::connect(host).await?;
        let upgraded = upgrade::upgrade(&mut stream, version, "grpc", "").await;
        upgraded.map_err(answer)?;
        let mut stream = Some(TokioIo::new(stream));
        let connected = || std::io::Error::other("the connection broke");
        // The address is only a name in the requests: the connection is there.
        let endpoint = Endpoint::from_static("http://localhost");
        let connector = service_fn(move |_| {
            let stream = stream.take().ok_or_else(connected);
            async { stream }
        });
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|error| answer(error.to_string()))?;
        Ok(Self(Grpc::new(channel)))
    }

    /// Whether a blob is there.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, DockerError> {
        let mut service = self.0.clone();
        let answered = async {
            ready(&mut service).await?;
            let path = PathAndQuery::from_static("/containerd.services.content.v1.Content/Info");
            let codec = ProstCodec::<BlobName, Nothing>::default();
            service.unary(name(digest), path, codec).await
        };
        Ok(found(answered.await)?.is_some())
    }

    /// A document of the store; `None` if it is not there.
    pub(super) async fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>, DockerError> {
        let mut bytes = Vec::new();
        let mut take = |part| {
            bytes.extend(part);
            if bytes.len() > LIMIT {
                return Err(Status::out_of_range("it is larger than 4 MiB"));
            }
            Ok(())
        };
        let read = self.read(digest, &mut take).await;
        if found(read)?.is_none() {
            return Ok(None);
        }
        if Digest::of(&bytes) != *digest {
            return Err(answer(format!("`{digest}` has other bytes")));
        }
        Ok(Some(bytes))
    }

    /// Writes a blob of the store to `output`; false if it is not there. `written` gets the error of `output`.
    pub(super) async fn save(
        &self,
        blob: &Descriptor,
        output: &mut (dyn Write + Send),
        written: &mut io::Result<()>,
    ) -> Result<bool, DockerError> {
        let (mut hasher, mut size) = (Hasher::default(), 0);
        let mut take = |part: Vec<u8>| {
            hasher.update(&part);
            size += part.len() as u64;
            *written = output.write_all(&part);
            match written {
                Ok(()) => Ok(()),
                Err(error) => Err(Status::aborted(error.to_string())),
            }
        };
        let read = self.read(&blob.digest, &mut take).await;
        if found(read)?.is_none() {
            return Ok(false);
        }
        if (size, hasher.finish()) != (blob.size, blob.digest.clone()) {
            return Err(answer(format!("`{}` has other bytes", blob.digest)));
        }
        Ok(true)
    }

    /// Hands the bytes of a blob to `take`, part by part.
    async fn read(
        &self,
        digest: &Digest,
        take: &mut (dyn FnMut(Vec<u8>) -> Result<(), Status> + Send),
    ) -> Result<(), Status> {
        let mut service = self.0.clone();
        ready(&mut service).await?;
        let path = PathAndQuery::from_static("/containerd.services.content.v1.Content/Read");
        let codec = ProstCodec::<BlobName, Part>::default();
        let parts = service.server_streaming(name(digest), path, codec).await?;
        let mut parts = parts.into_inner();
        while let Some(part) = parts.try_next().await? {
            take(part.data)?;
        }
        Ok(())
    }
}

async fn ready(service: &mut Grpc<Channel>) -> Result<(), Status> {
    let ready = service.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))
}

fn name(digest: &Digest) -> Request<BlobName> {
    let digest = digest.to_string();
    Request::new(BlobName { digest })
}

fn found<T>(answered: Result<T, Status>) -> Result<Option<T>, DockerError> {
    match answered {
        Ok(value) => Ok(Some(value)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(answer(status.message().to_owned())),
    }
}

fn answer(message: String) -> DockerError {
    DockerError::Answer {
        doing: "read its blobs".to_owned(),
        message,
    }
}
