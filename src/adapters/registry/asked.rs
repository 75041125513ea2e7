//! What a push has asked for before its image was put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio::task::JoinHandle;

use super::transport::Answer;
use crate::image::{Digest, Repository};

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct AskedAhead {
    /// When the registry said that the tag is free, if that can still be believed.
    pub(super) free_since: Option<Instant>,
    /// Blobs that the repository has.
    pub(super) there: BTreeSet<Digest>,
    /// Uploads that have begun, and that nothing uses yet.
    pub(super) uploads: Mutex<Vec<Answer>>,
}

/// Requests by the manifest that they were made for, until its push takes them.
pub(super) type Pushes = Mutex<BTreeMap<(Repository, String), JoinHandle<AskedAhead>>>;

impl AskedAhead {
    /// An upload that has begun.
    pub(super) fn upload(&self) -> Option<Answer> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.pop()
    }
}
