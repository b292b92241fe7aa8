//! Leases for what is kept for a while, whoever wrote it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::StoreError;
use super::members::Members;

/// For how long one lease is used for new keys.
const USED: Duration = Duration::from_secs(60);

/// One lease for all keys of a kind that are written within [`USED`].
pub(super) struct PassingLease {
    kept_s: i64,
    used: Mutex<Option<(i64, Instant)>>,
}

impl PassingLease {
    /// Keys are kept for so many seconds at least, and at most [`USED`] more.
    pub(super) const fn new(kept_s: i64) -> Self {
        Self {
            kept_s,
            used: Mutex::const_new(None),
        }
    }

    /// The lease to write a key with now.
    pub(super) async fn current(&self, members: &Members) -> Result<i64, StoreError> {
        let mut used = self.used.lock().await;
        if let Some((lease, since)) = *used
            && since.elapsed() < USED
        {
            return Ok(lease);
        }
        let seconds = self.kept_s + USED.as_secs() as i64;
        let granted = members
            .call(|mut client| async move { client.lease_grant(seconds, None).await })
            .await?;
        *used = Some((granted.id(), Instant::now()));
        Ok(granted.id())
    }
}
