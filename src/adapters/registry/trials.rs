//! The results of credentials in this run. A credential is tried by one request alone until it is accepted, and never
//! again after it was refused. Otherwise parallel requests would try a wrong password once for each image, which locks
//! accounts.

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

/// A registry's answer to a credential.
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

/// The permission to try a credential. As long as the result is not known, only one request has it. If it is dropped
/// without a result, the next request gets it.
pub(super) struct Trial(Option<OwnedMutexGuard<Option<Verdict>>>);

impl Trials {
    /// Waits until no other request is trying this credential for the first time.
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
    /// Reports that the credential works, so that other requests may use it in parallel.
    pub(super) fn accepted(&mut self) {
        self.settle(Verdict::Accepted);
    }

    /// Reports that the credential was refused, so that no other request tries it.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.settle(Verdict::Refused(refusal));
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(mut guard) = self.0.take() {
            *guard = Some(verdict);
        }
    }
}
