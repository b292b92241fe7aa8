//! One look of the coordinator at what it knows: which rooms to plan, which to leave alone, which are
//! over, and what edges are told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::ids::{EdgeId, Epoch, MeetingId};
use sluice_types::mesh::control::{CoordinatorMessage, RelayTree, RoomPlan};
use sluice_types::room::LeaveReason;

use super::{Forbidden, Mesh, Outlook, Plans, Registry, Replanned};
use crate::residency::Residency;

/// How long a coordinator that was just started leaves rooms alone that were planned before: edges
/// come back one after the other, and a plan without those that are still to come would end calls.
pub const SETTLING: Duration = Duration::from_secs(6);

/// How many rooms are looked at again at once whose plans may have become dearer than they need be.
const REFRESH_MAX: usize = 200;

/// What outlives the coordinator of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where its media may be.
    pub residency: Residency,
    /// Its meeting was ended.
    pub ended: bool,
    /// It had a plan, perhaps of an earlier run of the coordinator; matters while settling.
    pub planned: bool,
}

/// What a look is at.
#[derive(Debug, Clone)]
pub struct View {
    /// The edges that are up, and how long links take.
    pub mesh: Mesh,
    /// Rooms that were asked for, also those that are over.
    pub rooms: BTreeSet<MeetingId>,
    /// Of these rooms, those that are not over.
    pub outlooks: Vec<Outlook>,
    /// The coordinator was just started, see [`SETTLING`].
    pub settling: bool,
}

/// What became of rooms that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// Rooms whose plans may be others than those in force.
    pub concerned: BTreeSet<MeetingId>,
    /// Rooms of meetings that were ended while their edge could not hear of it, or by another
    /// coordinator.
    pub ended: Vec<MeetingId>,
    /// Rooms to be looked at again when every edge had time to come back.
    pub later: BTreeSet<MeetingId>,
    /// There are rooms left that were planned when the mesh was another.
    pub unfinished: bool,
    /// Edges with participants of a room that may not be there any more.
    pub refused: Vec<Refused>,
}

/// An edge where a room may not be, though it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The room.
    pub room: MeetingId,
    /// The edge.
    pub edge: EdgeId,
    /// Why not.
    pub reason: Forbidden,
    /// Where the room may be.
    pub residency: Residency,
}

impl Registry {
    /// What there is to look at for these rooms.
    #[must_use]
    pub fn view(&self, rooms: BTreeSet<MeetingId>, settling: bool) -> View {
        View {
            mesh: self.mesh(),
            outlooks: self.outlooks(&rooms),
            rooms,
            settling,
        }
    }

    /// A plan has its epoch and is in force; gives what edges are told. Nothing when the room has ended
    /// meanwhile.
    pub fn announce(
        &mut self,
        replanned: Replanned,
        epoch: Epoch,
    ) -> Vec<(EdgeId, CoordinatorMessage)> {
        let Some((members, released)) = self.enact(&replanned, epoch) else {
            return Vec::new();
        };
        let Replanned { room, trees, .. } = replanned;
        let over = trees.is_empty();
        let plan = RoomPlan {
            room: room.clone(),
            epoch,
            trees,
        };
        // Released edges hear of the plan too: they serve their children until those have moved.
        let told = members.iter().chain(&released);
        let mut messages: Vec<_> = told
            .map(|edge| (edge.clone(), CoordinatorMessage::Plan(plan.clone())))
            .collect();
        messages.extend(released.into_iter().filter(|_| over).map(|edge| {
            let (room, reason) = (room.clone(), None);
            (edge, CoordinatorMessage::End { room, reason })
        }));
        messages
    }

    /// A meeting was ended; gives what edges are told.
    pub fn announce_end(&mut self, room: &MeetingId) -> Vec<(EdgeId, CoordinatorMessage)> {
        let end = CoordinatorMessage::End {
            room: room.clone(),
            reason: Some(LeaveReason::MeetingEnded),
        };
        let edges = self.end_room(room).into_iter();
        edges.map(|edge| (edge, end.clone())).collect()
    }
}

impl Plans {
    /// Plans what has to be planned; `kept` says of each outlook's room what is kept of it.
    pub fn look(&mut self, view: &View, kept: &BTreeMap<MeetingId, Kept>) -> Looked {
        let mut looked = Looked {
            concerned: view.rooms.clone(),
            ..Looked::default()
        };
        looked.concerned.extend(self.follow(&view.mesh));
        let known: BTreeSet<_> = view.outlooks.iter().map(Outlook::room).collect();
        for over in view.rooms.iter().filter(|room| !known.contains(*room)) {
            self.forget(over);
        }
        for outlook in &view.outlooks {
            let room = outlook.room();
            let kept = kept.get(room);
            let unsettled =
                outlook.is_foreign() || (outlook.is_new() && kept.is_some_and(|kept| kept.planned));
            if kept.is_some_and(|kept| kept.ended) {
                looked.ended.push(room.clone());
                self.forget(room);
            } else if view.settling && unsettled {
                looked.later.insert(room.clone());
            } else {
                let anywhere = Residency::anywhere;
                let residency = kept.map_or_else(anywhere, |kept| kept.residency.clone());
                self.plan(outlook, residency.clone());
                let refused = self.refused(room).into_iter();
                looked.refused.extend(refused.map(|(edge, reason)| Refused {
                    room: room.clone(),
                    edge,
                    reason,
                    residency: residency.clone(),
                }));
            }
        }
        looked.concerned.extend(self.refresh(REFRESH_MAX));
        looked.unfinished = self.is_stale();
        looked
    }

    /// Of the rooms that were looked at, those whose plans are others than the ones in force.
    #[must_use]
    pub fn news(
        &self,
        looked: &Looked,
        in_force: &BTreeMap<MeetingId, Vec<RelayTree>>,
    ) -> Vec<Replanned> {
        let settled = in_force
            .iter()
            .filter(|(room, _)| !looked.later.contains(*room));
        settled
            .filter_map(|(room, trees)| self.replanned(room, trees))
            .collect()
    }
}
