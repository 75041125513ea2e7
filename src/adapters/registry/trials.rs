//! What registries have said of credentials in this run: one is tried alone until it is accepted, and not again once it
//! was refused. Side by side, a wrong password would be tried once for each image, which locks accounts.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::error::Cause;
use crate::adapters::credentials::Credential;

/// The credentials that were tried, and where.
#[derive(Default)]
pub(super) struct Trials(Mutex<Vec<Tried>>);

struct Tried {
    registry: String,
    credential: Credential,
    verdict: Arc<AsyncMutex<Option<Verdict>>>,
}

/// What a registry has said of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused(Refusal),
}

/// Why a credential is not tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) username: String,
    pub(super) because: Cause,
}

/// Leave to try a credential. Whoever holds it for one that was not judged yet holds it alone; dropped without a
/// verdict, it leaves the trial to the next.
pub(super) struct Trial(Option<OwnedMutexGuard<Option<Verdict>>>);

impl Trials {
    /// Waits until nobody else tries this credential for the first time.
    ///
    /// # Errors
    /// The registry has refused it.
    pub(super) async fn begin(
        &self,
        registry: &str,
        credential: &Credential,
    ) -> Result<Trial, Refusal> {
        if *credential == Credential::Anonymous {
            return Ok(Trial(None));
        }
        let verdict = self.verdict(registry, credential).lock_owned().await;
        match &*verdict {
            None => Ok(Trial(Some(verdict))),
            Some(Verdict::Accepted) => Ok(Trial(None)),
            Some(Verdict::Refused(refusal)) => Err(refusal.clone()),
        }
    }

    fn verdict(&self, registry: &str, credential: &Credential) -> Arc<AsyncMutex<Option<Verdict>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all
            .iter()
            .find(|tried| tried.registry == registry && tried.credential == *credential);
        if let Some(tried) = known {
            return Arc::clone(&tried.verdict);
        }
        let verdict = Arc::default();
        all.push(Tried {
            registry: registry.to_owned(),
            credential: credential.clone(),
            verdict: Arc::clone(&verdict),
        });
        verdict
    }
}

impl Trial {
    /// The others may use it, side by side.
    pub(super) fn accepted(&mut self) {
        self.settle(Verdict::Accepted);
    }

    /// The others are not to try it.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.settle(Verdict::Refused(refusal));
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(mut guard) = self.0.take() {
            *guard = Some(verdict);
        }
    }
}
