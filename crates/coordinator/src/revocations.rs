//! What was taken back before its time: kept in the store, told to every edge, and enforced here.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use sluice_meshnet::{Admission, Fingerprint};
use sluice_types::ids::ApiKeyId;
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::revocation::{REVOCATIONS_MAX, Revocation, Revoked};
use thiserror::Error;

use crate::state::{Shared, wall_ms};
use crate::store::StoreError;

/// How long a join token lasts at most, with what clocks may differ, in seconds: so long a revocation
/// of tokens must be remembered.
const TOKENS_LAST_S: u64 = 3_600 + 60;

/// Why something is not taken back.
#[derive(Debug, Error)]
pub(crate) enum RevokeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{REVOCATIONS_MAX} revocations hold already")]
    TooMany,
}

/// See the module.
pub(crate) struct Revocations {
    admission: Admission,
    list: RwLock<Arc<Vec<Revocation>>>,
}

impl Revocations {
    /// Nothing is revoked yet; `admission` is told of certificates.
    pub(crate) fn new(admission: Admission) -> Self {
        Self {
            admission,
            list: RwLock::default(),
        }
    }

    /// All that hold.
    pub(crate) fn list(&self) -> Arc<Vec<Revocation>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&list)
    }

    /// Whether an API key was taken back.
    pub(crate) fn has_key(&self, key: &ApiKeyId) -> bool {
        let is = |one: &Revocation| matches!(&one.what, Revoked::ApiKey(known) if known == key);
        self.list().iter().any(is)
    }

    /// Whether a certificate was taken back.
    pub(crate) fn has_certificate(&self, fingerprint: &Fingerprint) -> bool {
        self.admission.is_revoked(fingerprint)
    }

    fn set(&self, list: Vec<Revocation>) {
        let fingerprints = list.iter().filter_map(|one| match &one.what {
            Revoked::Certificate(fingerprint) => fingerprint.parse().ok(),
            _ => None,
        });
        let fingerprints: BTreeSet<Fingerprint> = fingerprints.collect();
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
        let closed = self.admission.revoke(fingerprints);
        if closed > 0 {
            tracing::warn!(closed, "connections of revoked certificates are closed");
        }
    }
}

/// Takes something back from now on, until `until_s` or for as long as it may last. Blocks.
pub(crate) fn revoke(
    shared: &Shared,
    what: Revoked,
    until_s: Option<u64>,
) -> Result<Revocation, RevokeError> {
    let at_s = wall_ms() / 1_000;
    let until_s = match &what {
        Revoked::Certificate(_) => until_s,
        Revoked::ApiKey(_) => None,
        _ => Some(at_s + TOKENS_LAST_S),
    };
    let revocation = Revocation {
        what,
        at_s,
        until_s,
    };
    let known = shared.store().revocations()?;
    let (hold, over): (Vec<_>, Vec<_>) = known.into_iter().partition(|one| one.holds(at_s));
    let is_new = hold.iter().all(|one| one.what != revocation.what);
    if is_new && hold.len() >= REVOCATIONS_MAX {
        return Err(RevokeError::TooMany);
    }
    for one in &over {
        shared.store().forget_revocation(one)?;
    }
    shared.store().keep_revocation(&revocation)?;
    adopt(shared)?;
    Ok(revocation)
}

/// Gives something back that was taken; none when it was not. Blocks.
pub(crate) fn lift(shared: &Shared, what: &Revoked) -> Result<Option<Revocation>, StoreError> {
    let now_s = wall_ms() / 1_000;
    let known = shared.store().revocations()?;
    let found = known
        .into_iter()
        .find(|one| one.what == *what && one.holds(now_s));
    if let Some(revocation) = &found {
        shared.store().forget_revocation(revocation)?;
        adopt(shared)?;
    }
    Ok(found)
}

/// Has what the store says hold, here and at every edge. Blocks.
pub(crate) fn adopt(shared: &Shared) -> Result<(), StoreError> {
    let now_s = wall_ms() / 1_000;
    let mut list = shared.store().revocations()?;
    list.retain(|one| one.holds(now_s));
    shared.revocations.set(list);
    shared.tell_all(&message(shared));
    Ok(())
}

/// What edges are told.
pub(crate) fn message(shared: &Shared) -> CoordinatorMessage {
    let revocations = shared.revocations.list().to_vec();
    CoordinatorMessage::Revoked { revocations }
}
