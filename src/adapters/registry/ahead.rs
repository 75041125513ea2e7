//! Requests that a push can make before its image is put together: uploads are begun, and the parent's layers asked for.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::{
    StreamExt as _,
    future::{join, join_all},
    stream,
};
use reqwest::{Method, StatusCode};
use tokio::task::{JoinError, JoinHandle};

use super::{
    asked::AskedAhead,
    client::{RegistryClient, look_up},
    push::{FRESH, LOOK_UPS},
    session::{Actions, RegistrySession, Request},
    upload::{begin_request, can_mount, continuation, head_of_blob},
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

impl RegistryClient {
    /// Begins what [`Self::push_image`] will need for an image, and returns at once. Whatever fails is left to the push. If
    /// no push comes, the registry forgets the uploads after some time.
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

impl RegistrySession {
    async fn ahead(&self, ahead: &PushAhead) -> AskedAhead {
        let (repository, action) = (
            &ahead.reference.repository,
            format!("push `{}`", ahead.reference),
        );
        let mounts = if can_mount(&ahead.parent, repository) {
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
            return AskedAhead::default();
        };
        let others = join_all((1..ahead.uploads).map(|_| begin()));
        let there = stream::iter(ahead.below.iter().map(ask)).buffer_unordered(LOOK_UPS);
        let (others, there) = join(others, there.collect::<Vec<_>>()).await;
        let uploads = [Some(first)].into_iter().chain(others).flatten();
        AskedAhead {
            free_since: Some(ahead.asked),
            there: there.into_iter().flatten().collect(),
            uploads: Mutex::new(uploads.collect()),
        }
    }

    /// What was asked ahead for the push of a manifest. That the tag is free is believed only while it is fresh.
    pub(super) async fn known_ahead(&self, request: &Request<'_>) -> AskedAhead {
        let task = self.pushes().remove(&key_of(request));
        let Some(task) = task else {
            return AskedAhead::default();
        };
        let known = match task.await.map_err(JoinError::try_into_panic) {
            Ok(known) => known,
            Err(Ok(panic)) => resume_unwind(panic),
            // Only a runtime that ends breaks a task off.
            Err(Err(_)) => AskedAhead::default(),
        };
        let is_fresh = |asked: &Instant| asked.elapsed() <= FRESH;
        AskedAhead {
            free_since: known.free_since.filter(is_fresh),
            ..known
        }
    }

    /// Cancels the uploads that nothing has used. If that fails, the registry forgets them after some time.
    pub(super) async fn cancel_uploads(&self, request: &Request<'_>, known: &AskedAhead) {
        while let Some(answer) = known.upload() {
            let Ok(upload_url) = continuation(request, &answer) else {
                continue;
            };
            let cancel = Request {
                method: Method::DELETE,
                upload_url: Some(upload_url),
                content: None,
                ..begin_request(request)
            };
            drop(self.attempt(&cancel).await);
        }
    }

    fn pushes(&self) -> MutexGuard<'_, BTreeMap<(Repository, String), JoinHandle<AskedAhead>>> {
        // A poisoned lock is safe: every change is a single insertion or removal.
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
