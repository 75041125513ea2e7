//! Sends the context, as a tar, when `BuildKit` asks for it.
//!
//! It is not synchronised file by file: that compares files by their sizes and times, and a context has one time for all.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bollard_buildkit_proto::moby::upload::v1::{
    BytesMessage,
    upload_server::{Upload, UploadServer},
};
use futures_util::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    adapters::{session_services::Answers, tar_body},
    package::archive::ArchiveError,
    project::tree::Entry,
};

/// The method that a session announces.
pub(super) const METHOD: &str = "/moby.upload.v1.Upload/Pull";

/// Where the build of a session says that its context is. `BuildKit` fetches an address once for all builds that run at the
/// same time, so that each needs its own.
pub(super) fn address(session: &str) -> String {
    format!("http://buildkit-session/{session}")
}

/// The files of a context, and what became of them.
pub(super) struct ContextUpload {
    entries: Arc<[Entry]>,
    folders: Arc<[String]>,
    sent: AtomicU64,
    error: Mutex<Option<ArchiveError>>,
}

impl ContextUpload {
    pub(super) fn new(entries: &[Entry], folders: &[String]) -> Arc<Self> {
        Arc::new(Self {
            entries: entries.into(),
            folders: folders.into(),
            sent: AtomicU64::new(0),
            error: Mutex::default(),
        })
    }

    /// The bytes that were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Why a file could not be read; told once.
    pub(super) fn take_error(&self) -> Option<ArchiveError> {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.take()
    }

    pub(super) fn server(self: &Arc<Self>) -> UploadServer<impl Upload> {
        UploadServer::new(Uploading(Arc::clone(self)))
    }
}

struct Uploading(Arc<ContextUpload>);

#[tonic::async_trait]
impl Upload for Uploading {
    type PullStream = Answers<BytesMessage>;

    async fn pull(
        &self,
        _: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let context = Arc::clone(&self.0);
        let (entries, folders) = (Arc::clone(&context.entries), Arc::clone(&context.folders));
        let told = Arc::clone(&context);
        let body = tar_body::begin(entries, folders, move |written| {
            if let Err(error) = written {
                let mut kept = told.error.lock().unwrap_or_else(PoisonError::into_inner);
                *kept = Some(error);
            }
        });
        let messages = body.map(move |bytes| {
            let bytes = bytes.map_err(|error| Status::aborted(error.to_string()))?;
            context
                .sent
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(BytesMessage { data: bytes.into() })
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
