//! Leading: what a coordinator does when its turn begins, and how it keeps up with whoever leads
//! while it is not.

use sluice_types::ids::{EdgeId, Term};
use sluice_types::mesh::control::CoordinatorMessage;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::registry::Plans;
use crate::revocations;
use crate::state::Shared;
use crate::store::{Change, StoreError};
use crate::tokens::Signer;
use crate::topology;

/// How long to wait before the store is asked again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(500);

/// Takes over whenever the store says so.
pub(crate) async fn follow(shared: Shared) {
    let mut leading = shared.watch_leading();
    loop {
        let term = *leading.borrow_and_update();
        metrics::gauge!("sluice_coordinator_leading").set(if term.is_some() { 1.0 } else { 0.0 });
        if let Some(term) = term {
            take_over(&shared, term).await;
        }
        if leading.changed().await.is_err() {
            // Alone: nothing changes for as long as the store is open.
            std::future::pending::<()>().await;
        }
    }
}

/// Learns what was planned before, says who leads, and plans everything.
async fn take_over(shared: &Shared, term: Term) {
    metrics::counter!("sluice_coordinator_takeovers_total").increment(1);
    while shared.leading() == Some(term) {
        let known = shared.clone();
        let begun = tokio::task::spawn_blocking(move || begin(&known)).await;
        match begun {
            Ok(Ok(())) => break,
            Ok(Err(error)) => tracing::warn!(%error, "the plans in force cannot be read yet"),
            // It panicked, which was reported.
            Err(_) => return,
        }
        sleep(RETRY).await;
    }
    if shared.leading() != Some(term) {
        return;
    }
    for edge in shared.connected() {
        announce(shared, &edge, term);
    }
    shared.publish_directory();
    let rooms = shared.registry().room_ids();
    tracing::info!(%term, rooms = rooms.len(), "planning");
    shared.replan(rooms);
}

fn begin(shared: &Shared) -> Result<(), StoreError> {
    adopt_plans(shared)?;
    shared.registry().disown_plans();
    // What it planned in an earlier term, others may have planned anew.
    let fresh = Plans::new(shared.registry().topology());
    *shared.plans() = fresh;
    Ok(())
}

fn adopt_plans(shared: &Shared) -> Result<(), StoreError> {
    let plans = shared.store().plans()?;
    let mut registry = shared.registry();
    for plan in plans {
        registry.adopt_plan(plan);
    }
    Ok(())
}

/// Tells an edge that this coordinator leads, and every plan that the edge is in.
pub(crate) fn announce(shared: &Shared, edge: &EdgeId, term: Term) {
    shared.tell(edge, CoordinatorMessage::Lead { term });
    let plans = shared.registry().plans_of(edge);
    for plan in plans {
        shared.tell(edge, CoordinatorMessage::Plan(plan));
    }
}

/// Keeps up with what others write.
pub(crate) async fn keep_up(shared: Shared, mut changes: mpsc::Receiver<Change>) {
    while let Some(change) = changes.recv().await {
        let known = shared.clone();
        let anything = change == Change::Anything;
        let taken = tokio::task::spawn_blocking(move || take(&known, change)).await;
        match taken {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "what others changed cannot be read");
                if anything {
                    sleep(RETRY).await;
                }
            }
            Err(_) => return,
        }
    }
}

fn take(shared: &Shared, change: Change) -> Result<(), StoreError> {
    let leads = shared.leading().is_some();
    match change {
        Change::Meeting(id) => shared.replan([id]),
        // Its own plans come back to whoever leads.
        Change::Plan(plan) if !leads => shared.registry().adopt_plan(plan),
        Change::NoPlan(room) if !leads => shared.registry().forget_plan(&room),
        Change::Plan(_) | Change::NoPlan(_) => {}
        Change::Topology => topology::adopt_newest(shared)?,
        Change::SigningKeys => adopt_signing_keys(shared)?,
        Change::Revocations => revocations::adopt(shared)?,
        Change::Waiting(waiting) => adopt_waiting(shared, &waiting),
        Change::Anything => {
            topology::adopt_newest(shared)?;
            adopt_signing_keys(shared)?;
            revocations::adopt(shared)?;
            for waiting in shared.store().waiting()? {
                adopt_waiting(shared, &waiting);
            }
            if !leads {
                adopt_plans(shared)?;
            }
            let rooms = shared.registry().room_ids();
            shared.replan(rooms);
        }
    }
    Ok(())
}

fn adopt_waiting(shared: &Shared, waiting: &crate::store::StoredWaiting) {
    let now = shared.now();
    shared.registry().adopt_waiting(
        now,
        &waiting.meeting,
        waiting.participant.clone(),
        &waiting.name,
        waiting.since_ms,
        waiting.admitted,
    );
}

fn adopt_signing_keys(shared: &Shared) -> Result<(), StoreError> {
    let keys = shared.store().signing_keys()?;
    let mut keys = keys.iter().map(Vec::as_slice);
    let Some(now) = keys.next() else {
        return Ok(());
    };
    match Signer::new(now, keys.next()) {
        Ok(signer) if signer.jwks() != shared.signer().jwks() => {
            tracing::info!("join tokens are signed with another key");
            shared.set_signer(signer);
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the signing key of the store is of no use"),
    }
    Ok(())
}
