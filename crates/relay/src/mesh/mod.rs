//! One edge's part in the relay trees of all its rooms.
//!
//! For each root (an edge with participants) there is a tree. Down the tree flow the root's roster
//! and, along relays, its tracks; up the tree flow subscriptions and key-frame requests. An edge
//! asks its parent for a track only while somebody here or below wants it, so one copy crosses each
//! link.
//!
//! Feed a [`Mesh`] what happens and take what is to be done from [`Mesh::poll_output`].

mod data;
mod handover;
mod interest;
mod peers;
mod plan;
mod reroute;
mod roster;
mod serving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sluice_types::ids::{EdgeId, Epoch, MeetingId, ParticipantId, RegionName, RelayId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::mesh::backbone::{BackboneMessage, Departure, Hop};
use sluice_types::room::{DataMessage, ParticipantRecord, TrackInfo};
use sluice_types::units::Time;

use self::data::DataLog;

/// The most rooms of one edge. Plans and joins for more are ignored.
const ROOMS_MAX: usize = 20_000;

/// The most departures that a tree remembers, so that a late record brings nobody back. The oldest
/// ids are forgotten first.
const DEPARTED_MAX: usize = 4_096;

/// How long a relay from a former parent is kept when none of the new one's packets come. A muted
/// track has no packets at all.
const OVERLAP: Duration = Duration::from_secs(2);

/// How long a relay from a former parent is kept once the new one's packets come: longer than one way
/// may be than another, or a repair may take.
const LINGER: Duration = Duration::from_millis(500);

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Keep a connection to this edge, again and again until [`Output::Disconnect`].
    Connect {
        /// The edge.
        peer: EdgeId,
    },
    /// A connection to this edge is no longer needed as a parent's.
    Disconnect {
        /// The edge.
        peer: EdgeId,
    },
    /// Send a message.
    Send {
        /// To whom.
        peer: EdgeId,
        /// What.
        message: BackboneMessage,
    },
    /// The participants of another edge came, changed or left.
    RosterChanged {
        /// The room.
        room: MeetingId,
        /// Their edge.
        root: EdgeId,
        /// The regions from it to here, both included.
        path: Vec<RegionName>,
        /// Who came or changed.
        upserts: Vec<ParticipantRecord>,
        /// Who left.
        left: Vec<Departure>,
    },
    /// A track of another edge will come: be ready to forward it.
    OpenTrack {
        /// The room.
        room: MeetingId,
        /// Who publishes it.
        owner: ParticipantId,
        /// The track.
        track: TrackInfo,
    },
    /// That track comes no more.
    CloseTrack {
        /// The room.
        room: MeetingId,
        /// The track.
        track: TrackId,
    },
    /// Packets of this relay belong to this track.
    Route {
        /// From whom.
        peer: EdgeId,
        /// The relay.
        relay: RelayId,
        /// The room.
        room: MeetingId,
        /// The edge at the root of its tree.
        root: EdgeId,
        /// The track.
        track: TrackId,
    },
    /// Packets of this relay belong nowhere any more.
    Unroute {
        /// From whom.
        peer: EdgeId,
        /// The relay.
        relay: RelayId,
    },
    /// Send this track's packets to this edge.
    StartSending {
        /// To whom.
        peer: EdgeId,
        /// The relay.
        relay: RelayId,
        /// The room.
        room: MeetingId,
        /// The track.
        track: TrackId,
        /// Which of its layers.
        layers: LayerSet,
    },
    /// Send these layers over that relay from now on.
    SetLayers {
        /// To whom.
        peer: EdgeId,
        /// The relay.
        relay: RelayId,
        /// Which.
        layers: LayerSet,
    },
    /// Stop that.
    StopSending {
        /// To whom.
        peer: EdgeId,
        /// The relay.
        relay: RelayId,
    },
    /// A receiver somewhere needs a key frame of a track that is published here.
    KeyFrameWanted {
        /// The room.
        room: MeetingId,
        /// The track.
        track: TrackId,
        /// Of which encoding.
        encoding: u8,
    },
    /// A participant of another edge sends a message.
    Data {
        /// The room.
        room: MeetingId,
        /// The message.
        message: DataMessage,
    },
    /// A host elsewhere removes a participant of this edge.
    RemoveLocal {
        /// The room.
        room: MeetingId,
        /// Whom.
        participant: ParticipantId,
    },
}

/// A relay that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ingress {
    peer: EdgeId,
    relay: RelayId,
    /// The relay that it takes over from, until this time.
    former: Option<(EdgeId, RelayId, Time)>,
}

/// One root's tree, as this edge sees it.
#[derive(Debug, Default)]
struct Tree {
    /// Whom the plan, or after a loss its backup, says to receive from; `None` at the root.
    parent: Option<EdgeId>,
    backup: Option<EdgeId>,
    /// Whom the plan says to receive from, also while the backup stands in.
    planned: Option<EdgeId>,
    /// To whom a join was sent.
    joined: Option<EdgeId>,
    /// The parent before, which still sends until the new one does.
    former: Option<EdgeId>,
    /// The plan no longer has this edge in the tree; it serves its children until they are gone.
    retired: bool,
    /// The whole roster is known.
    complete: bool,
    /// The whole roster came from the parent that was joined last.
    confirmed: bool,
    /// Since when that has been waited for, and a connection to the parent.
    waiting: Option<Time>,
    unreachable: Option<Time>,
    /// The parent's whole roster was of a lower revision than what is known here, so that it could not
    /// say who is gone.
    doubted: bool,
    /// The edges from the root to this edge's parent; at the root empty.
    path: Vec<Hop>,
    /// The highest version that the root has written, as far as it is known here.
    revision: u64,
    roster: BTreeMap<ParticipantId, ParticipantRecord>,
    departed: BTreeMap<ParticipantId, u64>,
    children: BTreeSet<EdgeId>,
    /// Tracks that were opened here.
    open: BTreeSet<TrackId>,
    ingress: BTreeMap<TrackId, Ingress>,
    egress: BTreeMap<(EdgeId, RelayId), TrackId>,
    /// Which layers of a track are wanted here or below; all when it is not told.
    layers: BTreeMap<TrackId, LayerSet>,
    data: DataLog,
}

impl Tree {
    fn track(&self, track: &TrackId) -> Option<&TrackInfo> {
        self.owned(track).map(|(_, info)| info)
    }

    /// A track and who publishes it.
    fn owned(&self, track: &TrackId) -> Option<(&ParticipantId, &TrackInfo)> {
        self.roster.values().find_map(|record| {
            let info = record.tracks.iter().find(|info| info.track_id == *track)?;
            Some((&record.participant_id, info))
        })
    }
}

#[derive(Debug, Default)]
struct Room {
    epoch: Epoch,
    trees: BTreeMap<EdgeId, Tree>,
    /// What participants at this edge want of other edges' tracks.
    wants: BTreeSet<TrackId>,
}

/// What a relay on a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RelayUse {
    room: MeetingId,
    root: EdgeId,
    track: TrackId,
}

#[derive(Debug, Default)]
struct Peer {
    up: bool,
    /// Connected, but nothing comes from it.
    silent: bool,
    /// Since when it has been heard, and has answered; as seen by the next look at the time.
    steady: Option<Time>,
    /// Since when it has been needed and not heard; seen likewise.
    missing: Option<Time>,
    next_relay: u32,
    receiving: BTreeMap<RelayId, RelayUse>,
    sending: BTreeMap<RelayId, RelayUse>,
}

/// See the module.
#[derive(Debug)]
pub struct Mesh {
    edge: EdgeId,
    region: RegionName,
    rooms: BTreeMap<MeetingId, Room>,
    peers: BTreeMap<EdgeId, Peer>,
    /// Peers that a connection was asked for.
    connected: BTreeSet<EdgeId>,
    outputs: VecDeque<Output>,
}

impl Mesh {
    /// The part of this edge.
    #[must_use]
    pub const fn new(edge: EdgeId, region: RegionName) -> Self {
        Self {
            edge,
            region,
            rooms: BTreeMap::new(),
            peers: BTreeMap::new(),
            connected: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The epoch of the plan that a room follows.
    #[must_use]
    pub fn epoch(&self, room: &MeetingId) -> Option<Epoch> {
        self.rooms.get(room).map(|room| room.epoch)
    }

    /// Every relay that comes in, with its room, root and track.
    pub fn receiving(
        &self,
    ) -> impl Iterator<Item = (&EdgeId, RelayId, &MeetingId, &EdgeId, &TrackId)> {
        self.peers.iter().flat_map(|(peer, state)| {
            state
                .receiving
                .iter()
                .map(move |(&relay, of)| (peer, relay, &of.room, &of.root, &of.track))
        })
    }

    /// Every relay that goes out, with its room, root and track.
    pub fn sending(
        &self,
    ) -> impl Iterator<Item = (&EdgeId, RelayId, &MeetingId, &EdgeId, &TrackId)> {
        self.peers.iter().flat_map(|(peer, state)| {
            state
                .sending
                .iter()
                .map(move |(&relay, of)| (peer, relay, &of.room, &of.root, &of.track))
        })
    }

    /// Whom each tree is received from: the room, the root, the parent that was joined last, and
    /// whether the whole roster came from it.
    pub fn parents(&self) -> impl Iterator<Item = (&MeetingId, &EdgeId, &EdgeId, bool)> {
        self.rooms.iter().flat_map(|(id, room)| {
            let trees = room.trees.iter();
            trees.filter_map(move |(root, tree)| {
                Some((id, root, tree.joined.as_ref()?, tree.confirmed))
            })
        })
    }

    /// What a track is, when it is one of another edge's.
    #[must_use]
    pub fn track(&self, room: &MeetingId, track: &TrackId) -> Option<&TrackInfo> {
        self.rooms
            .get(room)?
            .trees
            .values()
            .find_map(|tree| tree.track(track))
    }

    fn send(&mut self, peer: &EdgeId, message: BackboneMessage) {
        if self.peers.get(peer).is_some_and(|state| state.up) {
            self.outputs.push_back(Output::Send {
                peer: peer.clone(),
                message,
            });
        }
    }

    fn tree(&self, room: &MeetingId, root: &EdgeId) -> Option<&Tree> {
        self.rooms.get(room)?.trees.get(root)
    }

    fn tree_mut(&mut self, room: &MeetingId, root: &EdgeId) -> Option<&mut Tree> {
        self.rooms.get_mut(room)?.trees.get_mut(root)
    }

    /// The room, made when it is new and there is room for it.
    fn room_mut(&mut self, room: &MeetingId) -> Option<&mut Room> {
        if !self.rooms.contains_key(room) && self.rooms.len() >= ROOMS_MAX {
            return None;
        }
        Some(self.rooms.entry(room.clone()).or_default())
    }

    /// Forgets trees and rooms that nothing speaks of any more.
    fn tidy(&mut self, id: &MeetingId) {
        if let Some(room) = self.rooms.get_mut(id) {
            room.trees.retain(|root, tree| {
                *root == self.edge
                    || tree.parent.is_some()
                    || tree.joined.is_some()
                    || !tree.children.is_empty()
            });
            if room.epoch == Epoch::default() && room.trees.is_empty() {
                self.rooms.remove(id);
            }
        }
    }
}
