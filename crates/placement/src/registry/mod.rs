//! What the coordinator knows of its edges and rooms right now. Pure state: it owns no socket and
//! no clock, and everything in it comes back from the edges after a restart.

mod attendance;
mod change;
mod edge;
mod foreign;
mod links;
mod look;
mod mesh;
mod outlook;
mod plans;
mod residency;
mod room;
#[cfg(test)]
mod tests;
pub mod traffic;
mod way;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::Candidate;
use sluice_types::ids::{EdgeId, Epoch, MeetingId, ParticipantId, RegionName};
use sluice_types::mesh::control::{
    EdgeAddress, Heartbeat, LinksReport, Registration, RelayTree, RoomDemand,
};
use sluice_types::quality::Attendance;
use sluice_types::topology::Topology;
use sluice_types::units::{Bitrate, Time};

use self::attendance::Attendances;
pub use self::attendance::News;
pub use self::change::Cut;
pub use self::edge::{EdgeState, RegistrationError};
use self::links::Links;
pub use self::look::{Kept, Looked, Refused, SETTLING, View};
pub use self::mesh::Mesh;
pub use self::outlook::{InForce, Outlook, Replanned};
pub use self::plans::Plans;
pub use self::residency::{Forbidden, residency};
use self::room::{Need, RoomState};
pub use self::room::{Waiting, Word};

/// With this heartbeat an edge has repeated every demand that it still has.
const BEATS_TO_REPEAT: u32 = 2;

/// How much longer than a dead edge a failed link is reported before it counts.
const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Registry {
    topology: Topology,
    edges: BTreeMap<EdgeId, EdgeState>,
    rooms: BTreeMap<MeetingId, RoomState>,
    attendances: Attendances,
    links: Links,
    next_connection: u64,
}

impl Registry {
    /// Nobody is registered yet.
    #[must_use]
    pub fn new(topology: Topology) -> Self {
        // A dead edge is dropped before its links can be taken for what failed.
        let patience = topology.coordinator().silent_after().duration() + LINK_PATIENCE;
        Self {
            links: Links::new(patience),
            topology,
            edges: BTreeMap::new(),
            rooms: BTreeMap::new(),
            attendances: Attendances::default(),
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
        // The line was lost, perhaps, and the edge was not: it has whom it had.
        let before = self.edges.remove(&edge);
        let state = EdgeState {
            registration,
            heartbeat: before.map(|before| before.heartbeat).unwrap_or_default(),
            heard: now,
            addresses,
            draining: false,
            links: LinksReport::default(),
            connection: self.next_connection,
            beats: 0,
            underway: VecDeque::new(),
        };
        self.edges.insert(edge, state);
        Ok(self.next_connection)
    }

    /// An edge measured itself; gives the rooms that must be planned anew: they send much more or
    /// less than was planned with, or the edge has not asked for them again after it was connected
    /// anew.
    pub fn heartbeat(
        &mut self,
        now: Time,
        edge: &EdgeId,
        heartbeat: Heartbeat,
    ) -> BTreeSet<MeetingId> {
        let mut affected = BTreeSet::new();
        let Some(state) = self.edges.get_mut(edge) else {
            return affected;
        };
        let before = std::mem::replace(&mut state.heartbeat, heartbeat);
        state.heard = now;
        state.beats = state.beats.saturating_add(1);
        let before: BTreeMap<_, _> = (before.rooms.iter())
            .map(|report| (&report.room, report))
            .collect();
        for report in &state.heartbeat.rooms {
            let room = self.rooms.get_mut(&report.room);
            let Some(need) = room.and_then(|room| room.needs.get_mut(edge)) else {
                continue;
            };
            let bitrate = traffic::reported(report, before.get(&report.room).copied());
            if traffic::differ(need.bitrate, bitrate) {
                need.bitrate = bitrate;
                affected.insert(report.room.clone());
            }
        }
        if state.beats == BEATS_TO_REPEAT {
            let connection = state.connection;
            for (id, room) in &mut self.rooms {
                let need = room.needs.get(edge);
                if need.is_some_and(|need| need.connection != connection) {
                    room.needs.remove(edge);
                    affected.insert(id.clone());
                }
            }
        }
        affected
    }

    /// An edge takes nobody new any more; `false` when it is not registered.
    pub fn drain(&mut self, edge: &EdgeId) -> bool {
        let known = self.edges.get_mut(edge);
        known.map(|state| state.draining = true).is_some()
    }

    /// An edge tells how its backbone fares.
    pub fn take_links(&mut self, now: Time, edge: &EdgeId, report: LinksReport) {
        let unreachable = report.unreachable.clone();
        match self.edges.get_mut(edge) {
            Some(state) => state.links = report,
            None => return,
        }
        let failed: Vec<_> = (unreachable.iter())
            .filter_map(|peer| self.failed_link(edge, peer))
            .collect();
        for pair in failed {
            self.links.report(now, pair);
        }
    }

    /// Links that edges cannot use, and that plans go around.
    #[must_use]
    pub fn links_down(&self) -> BTreeSet<(RegionName, RegionName)> {
        self.links.down()
    }

    /// Links that were left alone for long enough are tried again.
    pub fn retry_links(&mut self, now: Time) {
        self.links.retry(now);
    }

    /// The link that is to blame when one edge cannot reach another: none when another pair of edges
    /// uses it.
    fn failed_link(&self, edge: &EdgeId, peer: &EdgeId) -> Option<(RegionName, RegionName)> {
        let region = |edge: &EdgeId| Some(&self.edges.get(edge)?.registration.region);
        let (here, there) = (region(edge)?, region(peer)?);
        self.topology.link_between(here, there)?;
        let crosses = |from: &EdgeId, to: &EdgeId| {
            let ends = region(from).zip(region(to));
            ends == Some((here, there)) || ends == Some((there, here))
        };
        let works = self.edges.iter().any(|(from, state)| {
            let mut up = state.links.up.iter();
            up.any(|link| {
                !state.links.unreachable.contains(&link.peer) && crosses(from, &link.peer)
            })
        });
        let pair = (here.min(there).clone(), here.max(there).clone());
        (!works).then_some(pair)
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
            room.needs.remove(edge);
        }
        Some(self.rooms_with(edge))
    }

    /// Rooms whose trees an edge is in.
    fn rooms_with(&self, edge: &EdgeId) -> Vec<MeetingId> {
        self.rooms
            .iter()
            .filter(|(_, room)| room.has(edge))
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
        let Some(state) = self.edges.get_mut(edge) else {
            return false;
        };
        let known = self.rooms.get(&demand.room);
        let before = known.and_then(|room| room.needs.get(edge)).cloned();
        if demand.participants == 0 && before.is_none() {
            return false;
        }
        let counted = before.as_ref().map_or(0, |need| need.demand.participants);
        let arrived = demand.participants.saturating_sub(counted) as usize;
        state.arrive(arrived);
        let connection = state.connection;
        let room = self.rooms.entry(demand.room.clone()).or_default();
        room.arrive(edge, arrived);
        let is_new = room.trees.is_empty();
        if demand.participants == 0 {
            room.needs.remove(edge);
            return true;
        }
        let same = (before.as_ref()).filter(|need| need.demand.publishing == demand.publishing);
        let bitrate =
            same.map_or_else(|| traffic::expected(demand.publishing), |need| need.bitrate);
        let need = Need {
            demand,
            connection,
            bitrate,
        };
        room.needs.insert(edge.clone(), need);
        is_new || before.is_none_or(|before| before.bitrate != bitrate)
    }

    /// An edge tells who came to a room and who went; gives what is new of it.
    pub fn attend(&mut self, edge: &EdgeId, attendance: Attendance, now_ms: u64) -> Vec<News> {
        self.attendances.tell(edge, attendance, now_ms)
    }

    /// An edge that was dropped has lost everybody; gives who that was.
    pub fn lose_attendance(&mut self, edge: &EdgeId, now_ms: u64) -> Vec<(MeetingId, News)> {
        self.attendances.lose(edge, now_ms)
    }

    /// Forgets what nobody came back for.
    pub fn forget_old(&mut self, now: Time) {
        self.rooms.retain(|_, room| {
            room.forget_old(now);
            !room.is_idle()
        });
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
    pub fn candidates(&self, now: Time, id: &MeetingId) -> Vec<Candidate> {
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
                    participants: state.participants(now),
                    capacity: state.registration.capacity,
                    has_room: room.is_some_and(|room| room.is_at(edge)),
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

    /// Every room's id, participants, those on their way to it, and what all of them send, as plans
    /// count with it.
    pub fn occupied(&self) -> impl Iterator<Item = (&MeetingId, u32, u32, Bitrate)> {
        self.rooms
            .iter()
            .map(|(id, room)| (id, room.participants(), room.coming(), room.bitrate()))
    }

    /// How many are in a meeting.
    #[must_use]
    pub fn participants(&self, id: &MeetingId) -> u32 {
        self.rooms.get(id).map_or(0, RoomState::participants)
    }

    /// How many were let in and are still on their way.
    pub fn coming(&mut self, now: Time, id: &MeetingId) -> u32 {
        let Some(room) = self.rooms.get_mut(id) else {
            return 0;
        };
        room.forget_old(now);
        room.coming()
    }

    /// Takes a seat for somebody who is about to join at an edge; `false` when all of `max` are
    /// taken.
    pub fn take_seat(&mut self, now: Time, id: &MeetingId, edge: &EdgeId, max: u32) -> bool {
        let room = self.rooms.entry(id.clone()).or_default();
        let seated = room.take_seat(now, edge, max);
        if seated && let Some(state) = self.edges.get_mut(edge) {
            state.expect_one(now);
        }
        seated
    }

    /// Somebody wants to be admitted, as `known` if it asked before, else as `fresh`.
    pub fn wait(
        &mut self,
        now: Time,
        id: &MeetingId,
        known: Option<&ParticipantId>,
        fresh: ParticipantId,
        name: &str,
        since_ms: u64,
    ) -> Word {
        let room = self.rooms.entry(id.clone()).or_default();
        room.wait(now, known, fresh, name, since_ms)
    }

    /// Those who wait for the host's word.
    pub fn waiting(&self, id: &MeetingId) -> impl Iterator<Item = (&ParticipantId, &Waiting)> {
        self.rooms.get(id).into_iter().flat_map(RoomState::waiting)
    }

    /// The host admits somebody who waits, or not; `false` when nobody of that name does.
    pub fn admit(&mut self, id: &MeetingId, participant: &ParticipantId, admitted: bool) -> bool {
        let room = self.rooms.get_mut(id);
        room.is_some_and(|room| room.admit(participant, admitted))
    }

    /// A meeting was ended; gives the edges to tell.
    pub fn end_room(&mut self, id: &MeetingId) -> BTreeSet<EdgeId> {
        let Some(room) = self.rooms.remove(id) else {
            return BTreeSet::new();
        };
        let mut edges = room.members();
        edges.extend(room.needs.into_keys());
        edges
    }
}
