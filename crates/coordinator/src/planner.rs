//! Plans: made for all rooms that need one at once, kept with their epochs, then told to edges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sluice_types::ids::{Epoch, MeetingId, Term};
use sluice_types::units::Time;

use crate::feed::Happening;
use crate::registry::{Kept, Looked, Replanned, SETTLING, residency};
use crate::state::Shared;
use crate::store::StoreError;
use crate::vacate;

/// How long to wait when the store does not take a plan.
const RETRY: Duration = Duration::from_secs(1);

/// How often measured round trips are looked at, besides when rooms are to be planned.
const LOOK: Duration = Duration::from_secs(1);

/// What became of rooms that were to be planned.
#[derive(Default)]
struct Batch {
    looked: Looked,
    /// Plans, with epochs that are on the disk.
    plans: Vec<(Replanned, Epoch)>,
    /// Why the plans of these rooms could not be kept.
    failed: Option<(StoreError, BTreeSet<MeetingId>)>,
}

/// Plans rooms as they are asked for, and as the mesh changes. An epoch is on the disk before any
/// edge hears of it.
pub(crate) async fn plan(shared: Shared) {
    loop {
        let rooms = shared.rooms_to_plan(LOOK).await;
        let started = Instant::now();
        let unsettled = SETTLING.saturating_sub(shared.now().since(Time::ZERO));
        let (planning, settling) = (shared.clone(), !unsettled.is_zero());
        let batch = tokio::task::spawn_blocking(move || make(&planning, rooms, settling));
        // It panicked, which was reported; without plans there is no mesh.
        let Ok(batch) = batch.await else { return };
        replan_after(&shared, unsettled, batch.looked.later);
        if let Some((error, rooms)) = batch.failed {
            tracing::error!(%error, rooms = rooms.len(), "plans cannot be kept and are not sent");
            replan_after(&shared, RETRY, rooms);
        }
        if batch.looked.unfinished {
            shared.look_again();
        }
        batch
            .looked
            .ended
            .iter()
            .for_each(|room| end(&shared, room));
        for refused in &batch.looked.refused {
            vacate::tell(&shared, refused);
        }
        if !batch.plans.is_empty() {
            metrics::histogram!("sluice_coordinator_plan_seconds").record(started.elapsed());
        }
        for (replanned, epoch) in batch.plans {
            tell(&shared, replanned, epoch);
        }
    }
}

/// Blocks for the length of planning and of one write.
fn make(shared: &Shared, rooms: BTreeSet<MeetingId>, settling: bool) -> Batch {
    let mut batch = Batch::default();
    let mut concerned = rooms.clone();
    let Some(term) = shared.leading() else {
        return batch;
    };
    let made = plan_and_keep(shared, term, rooms, settling, &mut concerned, &mut batch);
    match made {
        Ok(()) => {}
        // Whoever leads now plans all rooms.
        Err(StoreError::Deposed(term)) => {
            tracing::warn!(%term, "plans of a term that is over are not sent");
        }
        Err(error) => batch.failed = Some((error, concerned)),
    }
    batch
}

fn plan_and_keep(
    shared: &Shared,
    term: Term,
    rooms: BTreeSet<MeetingId>,
    settling: bool,
    concerned: &mut BTreeSet<MeetingId>,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let view = shared.registry().view(rooms, settling);
    let kept = view.outlooks.iter().map(|outlook| {
        let room = outlook.room();
        Ok((room.clone(), kept(shared, room, settling)?))
    });
    let kept = kept.collect::<Result<BTreeMap<_, _>, StoreError>>()?;
    let mut plans = shared.plans();
    batch.looked = plans.look(&view, &kept);
    concerned.clone_from(&batch.looked.concerned);
    let in_force = shared.registry().trees_of(concerned);
    let planned = plans.news(&batch.looked, &in_force);
    drop(plans);
    if !planned.is_empty() {
        let rooms: Vec<_> = planned
            .iter()
            .map(|replanned| (replanned.room.clone(), &*replanned.trees))
            .collect();
        let epochs = shared.store().keep_plans(term, &rooms)?;
        batch.plans = planned.into_iter().zip(epochs).collect();
    }
    Ok(())
}

fn kept(shared: &Shared, room: &MeetingId, settling: bool) -> Result<Kept, StoreError> {
    let meeting = shared.store().meeting(room)?;
    let ended = meeting.as_ref().is_some_and(|meeting| meeting.ended);
    let settings = meeting.map(|meeting| meeting.settings).unwrap_or_default();
    // On its own, so that the registry is not held while the store is asked.
    let residency = residency(shared.registry().topology(), &settings);
    Ok(Kept {
        residency,
        ended,
        // Nobody asks later.
        planned: settling && shared.store().last_epoch(room)?.is_some(),
    })
}

fn replan_after(
    shared: &Shared,
    wait: Duration,
    rooms: impl IntoIterator<Item = MeetingId, IntoIter: Send> + Send + 'static,
) {
    let mut rooms = rooms.into_iter().peekable();
    if rooms.peek().is_none() {
        return;
    }
    let rooms: BTreeSet<_> = rooms.collect();
    let shared = shared.clone();
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        shared.replan(rooms);
    });
}

fn tell(shared: &Shared, replanned: Replanned, epoch: Epoch) {
    let (room, broken, trees) = (
        replanned.room.clone(),
        replanned.broken.clone(),
        replanned.trees.len(),
    );
    let messages = shared.registry().announce(replanned, epoch);
    if messages.is_empty() {
        return;
    }
    for broken in broken {
        tracing::warn!(meeting = %room, %epoch, %broken, "a plan breaks a limit");
    }
    metrics::counter!("sluice_coordinator_plans_total").increment(1);
    tracing::info!(meeting = %room, %epoch, trees, "planned");
    let text = match trees {
        0 => format!("epoch {epoch}: nobody is left"),
        1 => format!("epoch {epoch}: one tree"),
        trees => format!("epoch {epoch}: {trees} trees"),
    };
    shared.feed.tell(Happening::room("planned", &room, text));
    for (edge, message) in messages {
        shared.tell(&edge, message);
    }
}

/// Tells every edge of a room that its meeting was ended.
pub(crate) fn end(shared: &Shared, room: &MeetingId) {
    let messages = shared.registry().announce_end(room);
    let text = "the meeting was ended";
    shared.feed.tell(Happening::room("ended", room, text));
    // What it put on links is free again.
    shared.replan([room.clone()]);
    for (edge, message) in messages {
        shared.tell(&edge, message);
    }
}
