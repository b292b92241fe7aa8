//! Plans: made for all rooms that need one at once, kept with their epochs, then told to edges.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_placement::{Graph, Limits};
use sluice_types::ids::{Epoch, MeetingId};
use sluice_types::mesh::control::{CoordinatorMessage, RoomPlan};
use sluice_types::room::LeaveReason;
use sluice_types::units::Time;

use crate::registry::{Outlook, Replanned};
use crate::state::Shared;
use crate::store::{Store, StoreError};

/// How long a coordinator that was just started leaves rooms alone that were planned before: edges
/// come back one after the other, and a plan without those that are still to come would end calls.
const SETTLING: Duration = Duration::from_secs(6);

/// How long to wait when the store does not take a plan.
const RETRY: Duration = Duration::from_secs(1);

/// What became of rooms that were to be planned.
#[derive(Default)]
struct Batch {
    /// Plans, with epochs that are on the disk.
    plans: Vec<(Replanned, Epoch)>,
    /// Rooms of meetings that were ended while their edge could not hear of it.
    ended: Vec<MeetingId>,
    /// Rooms to be looked at again when every edge had time to come back.
    later: Vec<MeetingId>,
}

/// Plans rooms as they are asked for. An epoch is on the disk before any edge hears of it.
pub(crate) async fn plan(shared: Shared) {
    loop {
        let rooms = shared.rooms_to_plan().await;
        let started = Instant::now();
        let (graph, outlooks, limits) = {
            let registry = shared.registry();
            let limits = Limits::from(registry.topology().policy());
            (registry.graph(), registry.outlooks(&rooms), limits)
        };
        let unsettled = SETTLING.saturating_sub(shared.now().since(Time::ZERO));
        let (store, settling) = (shared.store.clone(), !unsettled.is_zero());
        let batch =
            tokio::task::spawn_blocking(move || make(&*store, &graph, outlooks, &limits, settling));
        match batch.await {
            Ok(Ok(batch)) => {
                metrics::histogram!("sluice_coordinator_plan_seconds").record(started.elapsed());
                replan_after(&shared, unsettled, batch.later);
                batch.ended.iter().for_each(|room| end(&shared, room));
                for (replanned, epoch) in batch.plans {
                    tell(&shared, replanned, epoch);
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, rooms = rooms.len(), "plans cannot be kept and are not sent");
                replan_after(&shared, RETRY, rooms);
            }
            // It panicked, which was reported; without plans there is no mesh.
            Err(_) => return,
        }
    }
}

/// Blocks for the length of one write.
fn make(
    store: &dyn Store,
    graph: &Graph,
    outlooks: Vec<Outlook>,
    limits: &Limits,
    settling: bool,
) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    let mut planned = Vec::new();
    for outlook in outlooks {
        let room = outlook.room();
        if outlook.is_new() && store.meeting(room)?.is_some_and(|meeting| meeting.ended) {
            batch.ended.push(room.clone());
        } else if settling && outlook.is_new() && store.last_epoch(room)?.is_some() {
            batch.later.push(room.clone());
        } else {
            planned.extend(outlook.plan(graph, limits));
        }
    }
    let rooms: Vec<_> = planned
        .iter()
        .map(|replanned| replanned.room.clone())
        .collect();
    let epochs = store.next_epochs(&rooms)?;
    batch.plans = planned.into_iter().zip(epochs).collect();
    Ok(batch)
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
    for edge in edges {
        let (room, reason) = (room.clone(), Some(LeaveReason::MeetingEnded));
        shared.tell(&edge, CoordinatorMessage::End { room, reason });
    }
}
