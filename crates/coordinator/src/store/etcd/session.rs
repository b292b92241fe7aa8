//! Who leads: whoever holds the key `leader` with a lease that it keeps alive. Each time that one
//! takes it, the term is counted up in the same transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use sluice_types::ids::Term;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::super::StoreError;
use super::super::redb_store::next_term;
use super::keys::Keys;
use super::members::Members;

/// How long to wait before another lease is asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// A lead that was won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) term: Term,
    /// The revision at which the key `leader` was made: as long as it has this one, nobody else led.
    pub(super) revision: i64,
    pub(super) lease: i64,
}

pub(super) struct Session {
    pub(super) members: Arc<Members>,
    pub(super) keys: Arc<Keys>,
    /// What the key `leader` says, for people.
    pub(super) name: String,
    pub(super) lease: Duration,
    pub(super) lead: Arc<watch::Sender<Option<Lead>>>,
    /// The key `leader` is gone.
    pub(super) vacant: Arc<Notify>,
    /// The lease was given back for good.
    pub(super) resigned: Arc<AtomicBool>,
}

impl Session {
    /// Leads whenever it can, until it is to resign.
    pub(super) async fn run(self) {
        while !self.resigned.load(Ordering::Relaxed) {
            if let Err(error) = self.live().await {
                tracing::warn!(%error, "the lease of the store is lost");
            }
            self.set(None);
            sleep(PAUSE).await;
        }
    }

    /// Whether this one leads from now on.
    fn set(&self, lead: Option<Lead>) {
        let before = *self.lead.borrow();
        if before == lead {
            return;
        }
        if let Some(before) = before {
            tracing::warn!(term = %before.term, "this coordinator leads no more");
        }
        if let Some(lead) = lead {
            tracing::info!(term = %lead.term, "this coordinator leads");
        }
        self.lead.send_replace(lead);
    }

    /// Lives on one lease until it is lost.
    async fn live(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let seconds = i64::try_from(self.lease.as_secs()).unwrap_or(i64::MAX);
        let granted = self
            .members
            .call(|mut client| async move { client.lease_grant(seconds, None).await })
            .await?;
        let lease = granted.id();
        // Counted from before the question, so that it ends here before it ends there.
        let mut until = asked + self.lease;
        let mut beats = interval(self.lease / 3);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whether the key `leader` may be gone although nobody told this one.
        let mut unsure = false;
        while !self.resigned.load(Ordering::Relaxed) {
            if unsure || self.lead.borrow().is_none() {
                match timeout_at(until, self.campaign(lease)).await {
                    Ok(Ok(lead)) => self.set(lead),
                    Ok(Err(error)) => tracing::info!(%error, "cannot ask to lead"),
                    Err(_) => return Ok(()),
                }
            }
            unsure = false;
            tokio::select! {
                _ = beats.tick() => {}
                () = self.vacant.notified() => {
                    unsure = true;
                    continue;
                }
            }
            let asked = Instant::now();
            let beat = self
                .members
                .call(|mut client| async move { client.lease_keep_alive(lease).await });
            match timeout_at(until, beat).await {
                Ok(Ok(_)) => until = asked + self.lease,
                // etcd has forgotten it.
                Ok(Err(error @ StoreError::Database(_))) => return Err(error),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the store's lease could not be kept alive");
                    if Instant::now() >= until {
                        return Err(error);
                    }
                }
                Err(_) => {
                    let reason = "it was not kept alive in time".to_owned();
                    return Err(StoreError::Unavailable(reason));
                }
            }
        }
        Ok(())
    }

    /// Takes the lead, if nobody has it.
    async fn campaign(&self, lease: i64) -> Result<Option<Lead>, StoreError> {
        let (leader, term_key) = (self.keys.leader(), self.keys.term());
        let known = self
            .members
            .call(|mut client| {
                let keys = [leader.clone(), term_key.clone()];
                async move {
                    client
                        .txn(Txn::new().and_then(keys.map(|key| TxnOp::get(key, None))))
                        .await
                }
            })
            .await?;
        let mut found = super::gets(&known);
        let (term, leader_now) = (found.pop().flatten(), found.pop().flatten());
        if let Some(holder) = leader_now {
            // An answer that was lost may have been that it is ours.
            let ours = holder.lease() == lease;
            let term = term.as_ref().and_then(super::number).filter(|_| ours);
            return Ok(term.map(|term| Lead {
                term: Term(term),
                revision: holder.create_revision(),
                lease,
            }));
        }
        let next = next_term(term.as_ref().and_then(super::number));
        let revision = term.as_ref().map_or(0, |term| term.mod_revision());
        let won = self
            .members
            .call(|mut client| {
                let txn = Txn::new()
                    .when([
                        Compare::create_revision(leader.clone(), CompareOp::Equal, 0),
                        Compare::mod_revision(term_key.clone(), CompareOp::Equal, revision),
                    ])
                    .and_then([
                        TxnOp::put(
                            leader.clone(),
                            self.name.clone(),
                            Some(PutOptions::new().with_lease(lease)),
                        ),
                        TxnOp::put(term_key.clone(), next.to_string(), None),
                    ]);
                async move { client.txn(txn).await }
            })
            .await?;
        let revision = won.header().map_or(0, |header| header.revision());
        Ok(won.succeeded().then_some(Lead {
            term: next,
            revision,
            lease,
        }))
    }
}
