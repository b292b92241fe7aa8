//! What planning needs to know of rooms, so that the registry is not held up by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Broken, Demand, Residency, Stream, WarmCopy};
use sluice_types::ids::{EdgeId, Epoch, MeetingId};
use sluice_types::mesh::control::{RelayTree, RoomPlan};
use sluice_types::units::Bitrate;

use super::Registry;
use super::room::RoomState;

/// A room to be planned, as it was when it was asked for.
#[derive(Debug, Clone)]
pub struct Outlook {
    pub(super) room: MeetingId,
    pub(super) bitrates: BTreeMap<EdgeId, Bitrate>,
    pub(super) trees: Vec<RelayTree>,
    /// Relays that flow although the planner knows of no plan: the coordinator was started anew, and
    /// edges go on as they were told before, or another coordinator planned. By the root.
    pub(super) flowing: BTreeMap<EdgeId, BTreeSet<WarmCopy>>,
    pub(super) foreign: bool,
}

/// A plan that has no epoch yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replanned {
    /// The room.
    pub room: MeetingId,
    /// Its new trees.
    pub trees: Vec<RelayTree>,
    /// What limits they break.
    pub broken: Vec<Broken>,
}

impl Outlook {
    /// Whether the room had no plan.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.trees.is_empty()
    }

    /// Whether the plan was made by another coordinator.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// The room.
    #[must_use]
    pub const fn room(&self) -> &MeetingId {
        &self.room
    }

    /// What the room needs: everybody hears everybody. Edges where nobody publishes have a tree
    /// too, since their participants' names travel along it.
    pub(super) fn demand(&self, residency: Residency) -> Demand {
        let wanted_by: BTreeSet<_> = self.bitrates.keys().cloned().collect();
        let stream = |(edge, bitrate): (&EdgeId, &Bitrate)| {
            let stream = Stream {
                bitrate: *bitrate,
                wanted_by: wanted_by.clone(),
                warm: self.flowing.get(edge).cloned().unwrap_or_default(),
            };
            (edge.clone(), stream)
        };
        Demand {
            streams: self.bitrates.iter().map(stream).collect(),
            residency,
        }
    }
}

/// A room's plan as it is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Its epoch.
    pub epoch: Epoch,
    /// The limits that it breaks.
    pub broken: Vec<Broken>,
    /// By root and edge: since which epoch the one's tracks take the way to the other that they take.
    pub since: BTreeMap<(EdgeId, EdgeId), Epoch>,
}

impl Registry {
    /// A room's plan; none when nobody is in.
    #[must_use]
    pub fn in_force(&self, id: &MeetingId) -> Option<InForce> {
        let room = self.rooms.get(id).filter(|room| !room.trees.is_empty())?;
        Some(InForce {
            epoch: room.epoch,
            broken: room.broken.clone(),
            since: room.since.clone(),
        })
    }

    /// Rooms to be planned, as they are now; those that are over are left out.
    #[must_use]
    pub fn outlooks(&self, rooms: &BTreeSet<MeetingId>) -> Vec<Outlook> {
        let outlook = |id: &MeetingId| {
            let room = self.rooms.get(id)?;
            let mut flowing = BTreeMap::new();
            if room.trees.is_empty() && !room.needs.is_empty() {
                flowing = self.flowing(id);
            } else if room.foreign {
                flowing = planned(&room.trees);
            }
            Some(Outlook {
                room: id.clone(),
                bitrates: room.bitrates(),
                trees: room.trees.clone(),
                flowing,
                foreign: room.foreign && !room.trees.is_empty(),
            })
        };
        rooms.iter().filter_map(outlook).collect()
    }

    /// The relays that edges report of a room.
    fn flowing(&self, id: &MeetingId) -> BTreeMap<EdgeId, BTreeSet<WarmCopy>> {
        let mut flowing: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (edge, state) in &self.edges {
            let reports = state.heartbeat.rooms.iter();
            for relay in reports
                .filter(|report| report.room == *id)
                .flat_map(|report| &report.relays)
            {
                let copy = WarmCopy {
                    from: relay.from.clone(),
                    to: edge.clone(),
                };
                flowing.entry(relay.root.clone()).or_default().insert(copy);
            }
        }
        flowing
    }

    /// The trees in force of these rooms; those that are over are left out.
    #[must_use]
    pub fn trees_of(&self, rooms: &BTreeSet<MeetingId>) -> BTreeMap<MeetingId, Vec<RelayTree>> {
        let trees = |id: &MeetingId| Some((id.clone(), self.rooms.get(id)?.trees.clone()));
        rooms.iter().filter_map(trees).collect()
    }

    /// A plan has its epoch and is in force; gives the edges that hear of it: those that are in it,
    /// and those that were in the one before. `None` when the room has ended meanwhile.
    pub fn enact(
        &mut self,
        replanned: &Replanned,
        epoch: Epoch,
    ) -> Option<(BTreeSet<EdgeId>, BTreeSet<EdgeId>)> {
        let room = self.rooms.get_mut(&replanned.room)?;
        // Another coordinator may have planned it since.
        if epoch <= room.epoch {
            return None;
        }
        let before = room.members();
        room.adopt(&replanned.trees, &replanned.broken, epoch);
        let members = room.members();
        let released = before.difference(&members).cloned().collect();
        if room.is_idle() {
            self.rooms.remove(&replanned.room);
        }
        Some((members, released))
    }

    /// The plans that an edge is in, for when it registers again.
    #[must_use]
    pub fn plans_of(&self, edge: &EdgeId) -> Vec<RoomPlan> {
        let plan = |(id, room): (&MeetingId, &RoomState)| RoomPlan {
            room: id.clone(),
            epoch: room.epoch,
            trees: room.trees.clone(),
        };
        let rooms = self.rooms.iter().filter(|(_, room)| room.has(edge));
        rooms.map(plan).collect()
    }
}

/// The relays of a plan.
fn planned(trees: &[RelayTree]) -> BTreeMap<EdgeId, BTreeSet<WarmCopy>> {
    let of_tree = |tree: &RelayTree| {
        let copies = tree.branches.iter().map(|branch| WarmCopy {
            from: branch.parent.clone(),
            to: branch.edge.clone(),
        });
        (tree.root.clone(), copies.collect())
    };
    trees.iter().map(of_tree).collect()
}
