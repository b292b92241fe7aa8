//! Plans: made for all rooms that need one at once, kept with their epochs, then told to edges.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_types::ids::{Epoch, MeetingId};
use sluice_types::mesh::control::{CoordinatorMessage, RoomPlan};
use sluice_types::room::LeaveReason;
use sluice_types::units::Time;

use crate::feed::Happening;
use crate::registry::{Outlook, Replanned, residency};
use crate::state::Shared;
use crate::store::StoreError;

/// How long a coordinator that was just started leaves rooms alone that were planned before: edges
/// come back one after the other, and a plan without those that are still to come would end calls.
const SETTLING: Duration = Duration::from_secs(6);

/// How long to wait when the store does not take a plan.
const RETRY: Duration = Duration::from_secs(1);

/// How often measured round trips are looked at, besides when rooms are to be planned.
const LOOK: Duration = Duration::from_secs(1);

/// How many rooms are looked at again at once whose plans may have become dearer than they need be.
const REFRESH_MAX: usize = 200;

/// What became of rooms that were to be planned.
#[derive(Default)]
struct Batch {
    /// Plans, with epochs that are on the disk.
    plans: Vec<(Replanned, Epoch)>,
    /// Rooms of meetings that were ended while their edge could not hear of it.
    ended: Vec<MeetingId>,
    /// Rooms to be looked at again when every edge had time to come back.
    later: BTreeSet<MeetingId>,
    /// Rooms whose plans could not be kept, and why.
    failed: Option<(StoreError, BTreeSet<MeetingId>)>,
    /// There are rooms left that were planned when the mesh was another.
    unfinished: bool,
}

/// Plans rooms as they are asked for, and as the mesh changes. An epoch is on the disk before any
/// edge hears of it.
pub(crate) async fn plan(shared: Shared) {
    loop {
        let rooms = shared.rooms_to_plan(LOOK).await;
        let started = Instant::now();
        let unsettled = SETTLING.saturating_sub(shared.now().since(Time::ZERO));
        let (planning, settling) = (shared.clone(), !unsettled.is_zero());
        let batch = tokio::task::spawn_blocking(move || make(&planning, &rooms, settling));
        // It panicked, which was reported; without plans there is no mesh.
        let Ok(batch) = batch.await else { return };
        replan_after(&shared, unsettled, batch.later);
        if let Some((error, rooms)) = batch.failed {
            tracing::error!(%error, rooms = rooms.len(), "plans cannot be kept and are not sent");
            replan_after(&shared, RETRY, rooms);
        }
        if batch.unfinished {
            shared.look_again();
        }
        batch.ended.iter().for_each(|room| end(&shared, room));
        if !batch.plans.is_empty() {
            metrics::histogram!("sluice_coordinator_plan_seconds").record(started.elapsed());
        }
        for (replanned, epoch) in batch.plans {
            tell(&shared, replanned, epoch);
        }
    }
}

/// Blocks for the length of planning and of one write.
fn make(shared: &Shared, rooms: &BTreeSet<MeetingId>, settling: bool) -> Batch {
    let mut batch = Batch::default();
    let mut concerned = rooms.clone();
    if let Err(error) = plan_and_keep(shared, rooms, settling, &mut concerned, &mut batch) {
        batch.failed = Some((error, concerned));
    }
    batch
}

fn plan_and_keep(
    shared: &Shared,
    rooms: &BTreeSet<MeetingId>,
    settling: bool,
    concerned: &mut BTreeSet<MeetingId>,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let (mesh, outlooks) = {
        let registry = shared.registry();
        (registry.mesh(), registry.outlooks(rooms))
    };
    let store = &*shared.store;
    let mut plans = shared.plans();
    concerned.extend(plans.follow(&mesh));
    let known: BTreeSet<_> = outlooks.iter().map(Outlook::room).collect();
    for over in rooms.iter().filter(|room| !known.contains(*room)) {
        plans.forget(over);
    }
    for outlook in &outlooks {
        let room = outlook.room();
        let meeting = store.meeting(room)?;
        let residency = {
            let settings = meeting.as_ref().map(|meeting| meeting.settings.clone());
            let registry = shared.registry();
            residency(registry.topology(), &settings.unwrap_or_default())
        };
        if outlook.is_new() && meeting.is_some_and(|meeting| meeting.ended) {
            batch.ended.push(room.clone());
            plans.forget(room);
        } else if settling && outlook.is_new() && store.last_epoch(room)?.is_some() {
            batch.later.insert(room.clone());
        } else {
            plans.plan(outlook, residency);
        }
    }
    concerned.extend(plans.refresh(REFRESH_MAX));
    batch.unfinished = plans.is_stale();
    let in_force = shared.registry().trees_of(concerned);
    let planned: Vec<_> = (in_force.iter())
        .filter(|(room, _)| !batch.later.contains(*room))
        .filter_map(|(room, trees)| plans.replanned(room, trees))
        .collect();
    drop(plans);
    let rooms: Vec<_> = planned
        .iter()
        .map(|replanned| replanned.room.clone())
        .collect();
    if !rooms.is_empty() {
        let epochs = store.next_epochs(&rooms)?;
        batch.plans = planned.into_iter().zip(epochs).collect();
    }
    Ok(())
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
    let enacted = shared.registry().enact(&replanned, epoch);
    let Some((members, released)) = enacted else {
        return;
    };
    let Replanned {
        room,
        trees,
        broken,
    } = replanned;
    for broken in broken {
        tracing::warn!(meeting = %room, %epoch, %broken, "a plan breaks a limit");
    }
    metrics::counter!("sluice_coordinator_plans_total").increment(1);
    tracing::info!(meeting = %room, %epoch, trees = trees.len(), "planned");
    let over = trees.is_empty();
    let text = match members.len() {
        0 => format!("epoch {epoch}: nobody is left"),
        1 => format!("epoch {epoch}: one edge"),
        edges => format!("epoch {epoch}: {edges} edges, {} trees", trees.len()),
    };
    shared.feed.tell(Happening::room("planned", &room, text));
    let plan = RoomPlan {
        room: room.clone(),
        epoch,
        trees,
    };
    // Released edges hear of the plan too: they serve their children until those have moved.
    for edge in members.iter().chain(&released) {
        shared.tell(edge, CoordinatorMessage::Plan(plan.clone()));
    }
    for edge in released.iter().filter(|_| over) {
        let (room, reason) = (room.clone(), None);
        shared.tell(edge, CoordinatorMessage::End { room, reason });
    }
}

/// Tells every edge of a room that its meeting was ended.
pub(crate) fn end(shared: &Shared, room: &MeetingId) {
    let edges = shared.registry().end_room(room);
    let text = "the meeting was ended";
    shared.feed.tell(Happening::room("ended", room, text));
    // What it put on links is free again.
    shared.replan([room.clone()]);
    for edge in edges {
        let (room, reason) = (room.clone(), Some(LeaveReason::MeetingEnded));
        shared.tell(&edge, CoordinatorMessage::End { room, reason });
    }
}
