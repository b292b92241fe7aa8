//! What the coordinator knows of its edges and rooms right now. Pure state: it owns no socket and
//! no clock, and everything in it comes back from the edges after a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sluice_placement::{Broken, Candidate, Graph, PlannedTrees, plan_trees};
use sluice_types::ids::{EdgeId, Epoch, MeetingId, ParticipantId};
use sluice_types::mesh::control::{
    EdgeAddress, Heartbeat, Registration, RelayTree, RoomDemand, RoomPlan,
};
use sluice_types::topology::Topology;
use sluice_types::units::Time;
use thiserror::Error;

/// How long a join counts as taken before its edge reports it.
const SEAT_LIFETIME: Duration = Duration::from_secs(60);

/// The most who wait in one meeting, and how long without asking again.
const WAITING_MAX: usize = 1_000;
const WAITING_LIFETIME: Duration = Duration::from_secs(60);

/// Why an edge is not registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// The topology does not have it.
    #[error("the topology has no edge `{0}`")]
    UnknownEdge(EdgeId),
    /// The topology has it elsewhere.
    #[error("edge `{edge}` belongs to region `{region}`")]
    WrongRegion {
        /// The edge.
        edge: EdgeId,
        /// Its region.
        region: String,
    },
}

/// An edge that is registered.
#[derive(Debug, Clone)]
pub struct EdgeState {
    /// What it said of itself.
    pub registration: Registration,
    /// What it measured last.
    pub heartbeat: Heartbeat,
    /// When it was last heard of.
    pub heard: Time,
    /// Its backbone's addresses.
    pub addresses: Vec<SocketAddr>,
    /// It takes nobody new.
    pub draining: bool,
    /// Which connection it is registered over; a newer one replaces an older.
    connection: u64,
}

/// One who waits to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The name it gave.
    pub name: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the host said; `None` while it has not.
    pub admitted: Option<bool>,
    asked: Time,
}

#[derive(Debug, Default)]
struct RoomState {
    demand: BTreeMap<EdgeId, RoomDemand>,
    trees: Vec<RelayTree>,
    epoch: Epoch,
    broken: Vec<Broken>,
    /// Joins that no edge has reported yet.
    seats: VecDeque<Time>,
    waiting: BTreeMap<ParticipantId, Waiting>,
}

impl RoomState {
    fn participants(&self) -> u32 {
        self.demand.values().map(|demand| demand.participants).sum()
    }

    fn is_idle(&self) -> bool {
        self.demand.is_empty() && self.seats.is_empty() && self.waiting.is_empty()
    }
}

/// A plan to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replanned {
    /// The plan, without its epoch yet.
    pub trees: Vec<RelayTree>,
    /// Edges that were in the plan before and are no longer.
    pub released: BTreeSet<EdgeId>,
}

/// See the module.
pub struct Registry {
    topology: Topology,
    edges: BTreeMap<EdgeId, EdgeState>,
    rooms: BTreeMap<MeetingId, RoomState>,
    next_connection: u64,
}

impl Registry {
    /// Nobody is registered yet.
    #[must_use]
    pub const fn new(topology: Topology) -> Self {
        Self {
            topology,
            edges: BTreeMap::new(),
            rooms: BTreeMap::new(),
            next_connection: 0,
        }
    }

    /// The topology that is in force.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Takes in an edge, in place of its own earlier connection; gives this connection's number.
    ///
    /// # Errors
    /// When the topology says otherwise.
    pub fn register(
        &mut self,
        now: Time,
        registration: Registration,
        addresses: Vec<SocketAddr>,
    ) -> Result<u64, RegistrationError> {
        let edge = registration.edge.clone();
        let (region, _) = self
            .topology
            .edge(&edge)
            .ok_or_else(|| RegistrationError::UnknownEdge(edge.clone()))?;
        if *region.name() != registration.region {
            return Err(RegistrationError::WrongRegion {
                edge,
                region: region.name().to_string(),
            });
        }
        self.next_connection += 1;
        let state = EdgeState {
            registration,
            heartbeat: Heartbeat::default(),
            heard: now,
            addresses,
            draining: false,
            connection: self.next_connection,
        };
        self.edges.insert(edge, state);
        Ok(self.next_connection)
    }

    /// An edge measured itself.
    pub fn heartbeat(&mut self, now: Time, edge: &EdgeId, heartbeat: Heartbeat) {
        if let Some(state) = self.edges.get_mut(edge) {
            state.heartbeat = heartbeat;
            state.heard = now;
        }
    }

    /// An edge takes nobody new any more.
    pub fn drain(&mut self, edge: &EdgeId) {
        if let Some(state) = self.edges.get_mut(edge) {
            state.draining = true;
        }
    }

    /// An edge's addresses changed.
    pub fn set_addresses(&mut self, edge: &EdgeId, addresses: Vec<SocketAddr>) {
        if let Some(state) = self.edges.get_mut(edge) {
            state.addresses = addresses;
        }
    }

    /// A connection ended, or its edge fell silent; gives the rooms that must be planned anew.
    /// Nothing happens when the edge is registered over another connection by now.
    pub fn drop_edge(&mut self, edge: &EdgeId, connection: u64) -> Option<Vec<MeetingId>> {
        if self.edges.get(edge)?.connection != connection {
            return None;
        }
        self.edges.remove(edge);
        for room in self.rooms.values_mut() {
            room.demand.remove(edge);
        }
        Some(self.rooms_with(edge))
    }

    /// Rooms whose trees an edge is in.
    fn rooms_with(&self, edge: &EdgeId) -> Vec<MeetingId> {
        self.rooms
            .iter()
            .filter(|(_, room)| {
                room.trees
                    .iter()
                    .any(|tree| tree.root == *edge || tree.branch(edge).is_some())
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Every room with participants. When an edge comes up, ways may have become shorter.
    #[must_use]
    pub fn active_rooms(&self) -> Vec<MeetingId> {
        self.rooms
            .iter()
            .filter(|(_, room)| room.demand.len() > 1)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Edges that were not heard of for `silence`, with their connections.
    #[must_use]
    pub fn silent(&self, now: Time, silence: Duration) -> Vec<(EdgeId, u64)> {
        self.edges
            .iter()
            .filter(|(_, state)| now.since(state.heard) > silence)
            .map(|(edge, state)| (edge.clone(), state.connection))
            .collect()
    }

    /// A room's need at an edge changed; says whether the room must be planned anew.
    pub fn demand(&mut self, edge: &EdgeId, demand: RoomDemand) -> bool {
        if !self.edges.contains_key(edge) {
            return false;
        }
        let id = demand.room.clone();
        let room = self.rooms.entry(id.clone()).or_default();
        let before = room
            .demand
            .get(edge)
            .map_or(0, |demand| demand.participants);
        let arrived = demand.participants.saturating_sub(before) as usize;
        room.seats.drain(..arrived.min(room.seats.len()));
        let was = room.demand.contains_key(edge);
        if demand.participants == 0 {
            room.demand.remove(edge);
        } else {
            room.demand.insert(edge.clone(), demand);
        }
        was != room.demand.contains_key(edge) || room.trees.is_empty()
    }

    /// Plans a room anew; `None` when its trees stay as they are.
    pub fn replan(&mut self, id: &MeetingId) -> Option<Replanned> {
        let up = self.edges.keys().cloned();
        let graph = Graph::new(&self.topology, up);
        let policy = self.topology.policy();
        let room = self.rooms.get_mut(id)?;
        let demand: BTreeSet<_> = room.demand.keys().cloned().collect();
        let PlannedTrees { trees, broken } =
            plan_trees(&graph, &demand, policy.hops_max(), policy.fan_out_max());
        if trees == room.trees {
            return None;
        }
        let members = |trees: &[RelayTree]| -> BTreeSet<EdgeId> {
            trees
                .iter()
                .flat_map(|tree| {
                    let branches = tree.branches.iter().map(|branch| branch.edge.clone());
                    branches.chain([tree.root.clone()])
                })
                .collect()
        };
        let released = members(&room.trees)
            .difference(&members(&trees))
            .cloned()
            .collect();
        room.trees.clone_from(&trees);
        room.broken = broken;
        if room.is_idle() {
            self.rooms.remove(id);
        }
        Some(Replanned { trees, released })
    }

    /// A plan got its epoch.
    pub fn set_epoch(&mut self, id: &MeetingId, epoch: Epoch) {
        if let Some(room) = self.rooms.get_mut(id) {
            room.epoch = epoch;
        }
    }

    /// The plans that an edge is in, for when it registers again.
    #[must_use]
    pub fn plans_of(&self, edge: &EdgeId) -> Vec<RoomPlan> {
        self.rooms_with(edge)
            .into_iter()
            .filter_map(|id| {
                let room = self.rooms.get(&id)?;
                Some(RoomPlan {
                    room: id,
                    epoch: room.epoch,
                    trees: room.trees.clone(),
                })
            })
            .collect()
    }

    /// What limits a room's plan breaks.
    #[must_use]
    pub fn broken(&self, id: &MeetingId) -> &[Broken] {
        self.rooms.get(id).map_or(&[], |room| &room.broken)
    }

    /// Where every edge is reached.
    #[must_use]
    pub fn directory(&self) -> Vec<EdgeAddress> {
        self.edges
            .iter()
            .map(|(edge, state)| EdgeAddress {
                edge: edge.clone(),
                region: state.registration.region.clone(),
                backbone: state.addresses.clone(),
                signal_endpoint: state.registration.signal_endpoint.clone(),
            })
            .collect()
    }

    /// Edges that take newcomers to a room.
    #[must_use]
    pub fn candidates(&self, id: &MeetingId) -> Vec<Candidate> {
        let room = self.rooms.get(id);
        self.edges
            .iter()
            .filter(|(_, state)| !state.draining)
            .filter_map(|(edge, state)| {
                let region = self.topology.region(&state.registration.region)?;
                Some(Candidate {
                    edge: edge.clone(),
                    region: region.name().clone(),
                    position: region.position(),
                    participants: state.heartbeat.participants,
                    capacity: state.registration.capacity,
                    has_room: room.is_some_and(|room| room.demand.contains_key(edge)),
                })
            })
            .collect()
    }

    /// A registered edge.
    #[must_use]
    pub fn edge(&self, edge: &EdgeId) -> Option<&EdgeState> {
        self.edges.get(edge)
    }

    /// Every registered edge.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeId, &EdgeState)> {
        self.edges.iter()
    }

    /// Every room's id, epoch, participants and trees.
    pub fn rooms(&self) -> impl Iterator<Item = (&MeetingId, Epoch, u32, &[RelayTree])> {
        self.rooms
            .iter()
            .map(|(id, room)| (id, room.epoch, room.participants(), &*room.trees))
    }

    /// How many are in a meeting.
    #[must_use]
    pub fn participants(&self, id: &MeetingId) -> u32 {
        self.rooms.get(id).map_or(0, RoomState::participants)
    }

    /// Takes a seat for somebody who is about to join; `false` when all of `max` are taken.
    pub fn take_seat(&mut self, now: Time, id: &MeetingId, max: u32) -> bool {
        let room = self.rooms.entry(id.clone()).or_default();
        while room
            .seats
            .front()
            .is_some_and(|taken| now.since(*taken) > SEAT_LIFETIME)
        {
            room.seats.pop_front();
        }
        let taken = room.participants() as usize + room.seats.len();
        if taken >= max as usize {
            return false;
        }
        room.seats.push_back(now);
        true
    }

    /// Somebody waits, or asks again; gives what the host said. `None` when too many wait.
    pub fn wait(
        &mut self,
        now: Time,
        id: &MeetingId,
        participant: &ParticipantId,
        name: &str,
        since_ms: u64,
    ) -> Option<Option<bool>> {
        let room = self.rooms.entry(id.clone()).or_default();
        room.waiting
            .retain(|_, waiting| now.since(waiting.asked) <= WAITING_LIFETIME);
        if let Some(waiting) = room.waiting.get_mut(participant) {
            waiting.asked = now;
            let said = waiting.admitted;
            if said.is_some() {
                room.waiting.remove(participant);
            }
            return Some(said);
        }
        if room.waiting.len() >= WAITING_MAX {
            return None;
        }
        let waiting = Waiting {
            name: name.to_owned(),
            since_ms,
            admitted: None,
            asked: now,
        };
        room.waiting.insert(participant.clone(), waiting);
        Some(None)
    }

    /// Those who wait for the host's word.
    pub fn waiting(&self, id: &MeetingId) -> impl Iterator<Item = (&ParticipantId, &Waiting)> {
        self.rooms
            .get(id)
            .into_iter()
            .flat_map(|room| &room.waiting)
            .filter(|(_, waiting)| waiting.admitted.is_none())
    }

    /// The host admits somebody who waits, or not; `false` when nobody of that name does.
    pub fn admit(&mut self, id: &MeetingId, participant: &ParticipantId, admitted: bool) -> bool {
        let waiting = self
            .rooms
            .get_mut(id)
            .and_then(|room| room.waiting.get_mut(participant));
        match waiting {
            Some(waiting) => {
                waiting.admitted = Some(admitted);
                true
            }
            None => false,
        }
    }

    /// A meeting was ended; gives the edges to tell.
    pub fn end_room(&mut self, id: &MeetingId) -> BTreeSet<EdgeId> {
        let Some(room) = self.rooms.remove(id) else {
            return BTreeSet::new();
        };
        let planned = room.trees.iter().flat_map(|tree| {
            let branches = tree.branches.iter().map(|branch| branch.edge.clone());
            branches.chain([tree.root.clone()])
        });
        planned.chain(room.demand.keys().cloned()).collect()
    }
}
