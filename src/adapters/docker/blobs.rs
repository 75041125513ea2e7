//! The blobs in the containerd store of a daemon, by their digests. The BuildKit in the daemon lets them be read.

use std::io::{self, Write};

use bollard::ClientVersion;
use futures_util::TryStreamExt as _;
use tonic::{
    Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{error::DockerError, host::Host, upgrade};
use crate::{
    adapters::{
        channel,
        content_service::{self, InfoRequest, InfoResponse, ReadRequest, ReadResponse},
    },
    image::{Descriptor, Digest, Hasher},
};

/// The largest document that is read, in bytes. That of registries.
const LIMIT: usize = 4 * 1024 * 1024;

/// The blobs of a daemon.
#[derive(Clone)]
pub(super) struct Blobs(Grpc<Channel>);

impl Blobs {
    /// Connects to the service. Needs a tokio runtime.
    pub(super) async fn open(host: &Host, version: &ClientVersion) -> Result<Self, DockerError> {
        let mut stream = upgrade::connect(host).await?;
        let upgraded = upgrade::upgrade(&mut stream, version, "grpc", "").await;
        upgraded.map_err(answer)?;
        let channel = channel::over(stream).await;
        let channel = channel.map_err(|error| answer(error.to_string()))?;
        Ok(Self(Grpc::new(channel)))
    }

    /// Whether a blob is there.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, DockerError> {
        let mut service = self.0.clone();
        let answered = async {
            ready(&mut service).await?;
            let path = PathAndQuery::from_static(content_service::INFO);
            let codec = ProstCodec::<InfoRequest, InfoResponse>::default();
            let digest = digest.to_string();
            service
                .unary(Request::new(InfoRequest { digest }), path, codec)
                .await
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
        let path = PathAndQuery::from_static(content_service::READ);
        let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
        let whole = ReadRequest {
            digest: digest.to_string(),
            ..ReadRequest::default()
        };
        let parts = service
            .server_streaming(Request::new(whole), path, codec)
            .await?;
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
