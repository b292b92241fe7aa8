//! What happens.

use bytes::Bytes;
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, RelayId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::mesh::control::{CoordinatorMessage, EdgeMessage};
use sluice_types::signal::ServerMessage;

use super::client::Ask;
use super::faults::Fault;
use super::network::{ConnId, End, HostIx};

/// What travels on streams.
#[derive(Debug, Clone)]
pub(super) enum Carried {
    Backbone(BackboneMessage),
    FromEdge(EdgeMessage),
    ToEdge(CoordinatorMessage),
}

/// A host during one of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) host: HostIx,
    pub(super) run: u32,
}

/// A participant's stay at an edge: which of its attempts at joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stay {
    pub(super) client: usize,
    pub(super) number: u32,
}

pub(super) enum Event {
    /// Something arrives on a stream.
    Arrive { to: End, carried: Carried },
    /// A datagram arrives.
    Datagram { to: End, bytes: Bytes },
    /// The other end has closed.
    Closed { end: End },
    /// An end looks whether the other is still there.
    LookAfter { end: End },
    /// Something for one edge alone.
    Edge(Running, EdgeEvent),
    /// Something for the coordinator alone.
    Coordinator(u32, CoordinatorEvent),
    /// A participant is told something over its socket.
    Told(Stay, ServerMessage),
    /// A participant does something.
    Ask(usize, Ask),
    /// Something fails, or is mended.
    Fault(Fault),
}

pub(super) enum EdgeEvent {
    /// The next attempt to reach a peer.
    Dial { peer: EdgeId, attempt: u64 },
    /// A connection with a peer is greeted.
    Ready { conn: ConnId, dialled: bool },
    /// What waits for the hub.
    Hub,
    /// The hub's timer.
    Tick,
    /// The forwarder's timer.
    Forward,
    /// A connection's timer.
    Traffic { peer: EdgeId, end: End },
    /// Time to dial the coordinator.
    DialCoordinator { attempt: u64 },
    /// Time for a heartbeat.
    Beat { line: End },
    /// A client's sockets: what it says.
    Says(Stay, Said),
}

/// What a client says to its edge.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Answer { revision: u64 },
    Publish(super::client::Hello),
    Presence(sluice_types::room::PresenceChange),
    Wishes(Vec<sluice_types::signal::Subscription>),
    Data(u64),
    SocketGone,
    Resume { last_seq: u64 },
    Leave,
}

pub(super) enum CoordinatorEvent {
    Look(u64),
    Keep(Box<sluice_placement::registry::Looked>),
    Tell(
        Vec<(
            sluice_placement::registry::Replanned,
            sluice_types::ids::Epoch,
        )>,
    ),
    Replan(std::collections::BTreeSet<MeetingId>),
    Silence,
}

/// What waits for the hub.
#[derive(Debug)]
pub(super) enum HubEvent {
    PeerUp(EdgeId, End),
    PeerReplaced(EdgeId, End),
    PeerSilent(EdgeId),
    PeerHeard(EdgeId),
    PeerDown(EdgeId),
    Message(EdgeId, BackboneMessage),
    FirstPacket(EdgeId, RelayId),
    KeyFrameWanted(TrackId, u8),
    LayersWanted(TrackId, LayerSet),
    Coordinator(CoordinatorMessage),
    CoordinatorUp,
}

/// Somebody's id.
pub(super) fn participant(number: u64) -> ParticipantId {
    let mut bytes = [0; ParticipantId::RANDOM_BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ParticipantId::from_random(bytes)
}

/// A track's id.
pub(super) fn track(number: u32) -> TrackId {
    let mut bytes = [0; TrackId::RANDOM_BYTES];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    TrackId::from_random(bytes)
}

/// A room's id.
pub(super) fn meeting(number: u64) -> MeetingId {
    let mut bytes = [0; MeetingId::RANDOM_BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    MeetingId::from_random(bytes)
}

/// A number for a name, the same everywhere (FNV-1a).
pub(super) fn number_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
