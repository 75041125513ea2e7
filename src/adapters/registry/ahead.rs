//! Requests that a push can make before its image is put together: uploads are begun, and the parent's layers asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use futures_util::future::{join, join_all};
use reqwest::{Method, StatusCode};
use tokio::task::JoinHandle;

use super::{
    client::{RegistryClient, look_up},
    push::FRESH,
    session::{Actions, RegistrySession, Request, UploadUrl},
    transport::Answer,
    upload::{begin_request, continuation, head_of_blob},
};
use crate::image::{Digest, Reference, Repository};

/// An image that will be pushed unless somebody else is faster.
#[derive(Clone, Debug)]
pub struct PushAhead {
    /// The tag that it will get, which the registry does not have.
    pub reference: Reference,
    /// When the registry was asked for the tag.
    pub asked: Instant,
    /// The layers of its parent.
    pub below: Vec<Digest>,
    /// The repository of its parent.
    pub parent: Repository,
    /// The number of new blobs: its config and its code.
    pub uploads: usize,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When the registry said that the tag is free, if that can still be believed.
    pub(super) free_since: Option<Instant>,
    /// Blobs that the repository has.
    pub(super) there: BTreeSet<Digest>,
    /// Uploads that have begun, and that nothing uses yet.
    uploads: Mutex<Vec<Answer>>,
}

/// Requests by the manifest that they were made for, until its push takes them.
pub(super) type Pushes = Mutex<BTreeMap<(Repository, String), JoinHandle<Known>>>;

impl RegistryClient {
    /// Begins what [`Self::push_image`] will need for an image, and returns at once. Whatever fails is left to the push.
    pub fn begin_push_ahead(&self, ahead: PushAhead) {
        let key = key_of(&look_up("", &ahead.reference.repository, &ahead.reference));
        let session = Arc::clone(&self.session);
        let task = self
            .runtime
            .spawn(async move { session.ahead(&ahead).await });
        self.session.pushes().insert(key, task);
    }
}

fn key_of(request: &Request<'_>) -> (Repository, String) {
    (request.repository.clone(), request.path.clone())
}

impl Known {
    /// An upload that has begun.
    pub(super) fn upload(&self) -> Option<Answer> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.pop()
    }
}

impl RegistrySession {
    async fn ahead(&self, ahead: &PushAhead) -> Known {
        let (repository, action) = (
            &ahead.reference.repository,
            format!("push `{}`", ahead.reference),
        );
        let is_near = ahead.parent.registry == repository.registry && ahead.parent != *repository;
        let mounts = if is_near {
            std::slice::from_ref(&ahead.parent)
        } else {
            &[]
        };
        let request = Request {
            actions: Actions::PullPush,
            mounts,
            ..look_up(&action, repository, &ahead.reference)
        };
        let begin = async || {
            let answer = self.attempt(&begin_request(&request)).await.ok()?;
            (answer.status == StatusCode::ACCEPTED).then_some(answer)
        };
        let ask = async |digest: &Digest| {
            let answer = self.attempt(&head_of_blob(&request, digest)).await.ok()?;
            (answer.status == StatusCode::OK).then(|| digest.clone())
        };
        // The first request signs in for the others.
        let Some(first) = begin().await else {
            return Known::default();
        };
        let others = join_all((1..ahead.uploads).map(|_| begin()));
        let (others, there) = join(others, join_all(ahead.below.iter().map(ask))).await;
        let uploads = [Some(first)].into_iter().chain(others).flatten();
        Known {
            free_since: Some(ahead.asked),
            there: there.into_iter().flatten().collect(),
            uploads: Mutex::new(uploads.collect()),
        }
    }

    /// What was asked ahead for the push of a manifest. What is no longer fresh is left out.
    pub(super) async fn known_ahead(&self, request: &Request<'_>) -> Known {
        let task = self.pushes().remove(&key_of(request));
        let Some(task) = task else {
            return Known::default();
        };
        let known = task.await.unwrap_or_default();
        match known.free_since {
            Some(asked) if asked.elapsed() <= FRESH => known,
            _ => Known {
                uploads: known.uploads,
                ..Known::default()
            },
        }
    }

    /// Cancels the uploads that nothing has used. If that fails, the registry forgets them after some time.
    pub(super) async fn cancel_uploads(&self, request: &Request<'_>, known: &Known) {
        while let Some(answer) = known.upload() {
            let Ok(UploadUrl { url, own }) = continuation(request, &answer) else {
                continue;
            };
            let cancel = Request {
                method: Method::DELETE,
                upload_url: Some(UploadUrl { url, own }),
                content: None,
                ..begin_request(request)
            };
            drop(self.attempt(&cancel).await);
        }
    }

    fn pushes(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<(Repository, String), JoinHandle<Known>>> {
        // A poisoned lock is safe: every change is a single insertion or removal.
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
