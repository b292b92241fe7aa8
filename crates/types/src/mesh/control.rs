//! Messages between an edge and the coordinator, on one bidirectional stream that the edge opens.

use serde::{Deserialize, Serialize};

use crate::ids::{EdgeId, Epoch, MeetingId, ParticipantId, RegionName, Term, TrackId};
use crate::mesh::version::Version;
use crate::quality::{Attendance, QualitySample};
use crate::revocation::Revocation;
use crate::room::{LeaveReason, MediaKind};
use crate::topology::Overhead;

/// The ALPN protocol name of a control connection of the newest version.
pub const ALPN: &[u8] = b"sluice-control/2";

/// The names of all versions that are spoken, the newest first. Since version 2 coordinators say in
/// which term they lead.
pub const ALPNS: &[&[u8]] = &[ALPN, b"sluice-control/1"];

/// The first version with [`EdgeMessage::Links`] and [`CoordinatorMessage::Drain`].
pub const LINKS_AND_DRAIN: Version = Version(2);
/// The first version with [`CoordinatorMessage::Lead`].
pub const LEADS: Version = Version(2);
/// The first version with [`CoordinatorMessage::Repairs`].
pub const REPAIRS: Version = Version(2);
/// The first version with [`CoordinatorMessage::Vacate`].
pub const VACATE: Version = Version(2);
/// Since which version an edge tells who is in a room and how calls go.
pub const RECORDS_SINCE: Version = Version(2);

/// What an edge says to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeMessage {
    /// The first message: who the edge is and where it is reached. Its name must be the one in its
    /// certificate.
    Hello(Registration),
    /// Sent at the interval that `Welcome` set.
    Heartbeat(Heartbeat),
    /// A room's need at this edge; sent when it changes, and for every room after `Welcome`.
    Demand(RoomDemand),
    /// The edge takes no new participants any more, and will go away.
    Draining {},
    /// Who came to a room there and who went; of every room, whole, after `Welcome`. Since
    /// [`RECORDS_SINCE`].
    Attendance(Attendance),
    /// How the call goes for one participant. Since [`RECORDS_SINCE`].
    Quality(QualitySample),
    /// How its backbone connections fare; sent with each heartbeat, since version 2.
    Links(LinksReport),
}

/// How an edge's backbone connections fare.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinksReport {
    /// Those that are up.
    pub up: Vec<LinkQuality>,
    /// Edges that it needs and has not heard of for a second or more.
    pub unreachable: Vec<EdgeId>,
}

/// What a connection measures beyond its [`LinkReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkQuality {
    /// The edge at the other end.
    pub peer: EdgeId,
    /// How much the way here varies (RFC 3550, section 6.4.1), in microseconds.
    pub jitter_us: u64,
    /// How much of what the path is found to carry is used, in thousandths.
    pub used_permille: u32,
}

/// Who an edge is and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The edge.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// The HTTP endpoint for clients, for example `https://paris-1.sluice.example`.
    pub sfu_endpoint: String,
    /// The WebSocket endpoint for clients, for example `wss://paris-1.sluice.example/v1/signal`.
    pub signal_endpoint: String,
    /// Where other edges reach its backbone: `host:port`, the host a DNS name or an address.
    pub backbone: String,
    /// How many participants it takes.
    pub capacity: u32,
    /// The version of its software.
    pub software: String,
}

/// What an edge measures of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Connected participants.
    pub participants: u32,
    /// The busiest media worker's share of one core, in thousandths.
    pub load_permille: u32,
    /// Its backbone connections.
    pub links: Vec<LinkReport>,
    /// Its rooms, at most [`ROOMS_REPORTED_MAX`], the largest first.
    pub rooms: Vec<RoomReport>,
}

/// The most rooms in one heartbeat.
pub const ROOMS_REPORTED_MAX: usize = 200;

/// A backbone connection as one of its ends sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The edge at the other end.
    pub peer: EdgeId,
    /// Smoothed round trip, in microseconds.
    pub round_trip_us: u64,
    /// Lost of a million packets sent since the last report.
    pub loss_ppm: u32,
    /// Datagram payload sent, in bytes since the start.
    pub sent_bytes: u64,
    /// Datagram payload received, in bytes since the start.
    pub received_bytes: u64,
}

/// A room as one edge sees it, for people who watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomReport {
    /// The room.
    pub room: MeetingId,
    /// The plan that the edge follows.
    pub epoch: Epoch,
    /// Participants at this edge.
    pub participants: u32,
    /// Tracks published at this edge.
    pub tracks: Vec<TrackReport>,
    /// Relays that this edge receives.
    pub relays: Vec<RelayReport>,
}

/// A track published at the reporting edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackReport {
    /// The track.
    pub track: TrackId,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Who publishes it.
    pub publisher: ParticipantId,
    /// Its publisher's name.
    pub name: String,
    /// Packets received from the publisher.
    pub packets: u64,
}

/// A relay that the reporting edge receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayReport {
    /// The track.
    pub track: TrackId,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The parent that it comes from.
    pub from: EdgeId,
    /// The edge at the root of its tree.
    pub root: EdgeId,
    /// Packets received over it.
    pub packets: u64,
}

/// What a room needs at an edge. The coordinator plans from these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDemand {
    /// The room.
    pub room: MeetingId,
    /// Participants at the edge; none means that the room is gone from it.
    pub participants: u32,
    /// Whether any of them publishes.
    pub publishing: bool,
}

/// What the coordinator says to an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoordinatorMessage {
    /// The edge is registered.
    Welcome {
        /// The mesh, the `iss` of join tokens.
        mesh: String,
        /// The public keys of join tokens, a JWK set (RFC 7517) as JSON.
        jwks: String,
        /// How often to send heartbeats, in milliseconds.
        heartbeat_ms: u32,
        /// The coordinator's public HTTP endpoint, for the page.
        public_url: String,
    },
    /// The edge is not registered; the connection ends.
    Refuse {
        /// Why, for the edge's log.
        reason: String,
    },
    /// New public keys.
    Jwks {
        /// A JWK set as JSON.
        jwks: String,
    },
    /// Every registered edge; replaces the one before.
    Directory {
        /// The edges.
        edges: Vec<EdgeAddress>,
    },
    /// A room's plan, for an edge that is in it.
    Plan(RoomPlan),
    /// The meeting was ended, or the plan no longer has this edge: let go.
    End {
        /// The room.
        room: MeetingId,
        /// Why; `None` when only the plan no longer has this edge.
        reason: Option<LeaveReason>,
    },
    /// This coordinator plans from now on; since [`LEADS`]. Directories, plans, and ends without a reason count only
    /// from the coordinator that said the highest term.
    Lead {
        /// Its term.
        term: Term,
    },
    /// What was taken back before its time; replaces the list before.
    Revoked {
        /// All of it, at most [`REVOCATIONS_MAX`](crate::revocation::REVOCATIONS_MAX).
        revocations: Vec<Revocation>,
    },
    /// Send your participants elsewhere and take nobody new; since [`LINKS_AND_DRAIN`].
    Drain {},
    /// How much may be spent on repairs towards other regions; replaces the list before. For a region
    /// that is not in it, [`Overhead::USUAL`]. Since [`REPAIRS`].
    Repairs {
        /// By the region at the other end of the link.
        overheads: Vec<(RegionName, Overhead)>,
    },
    /// The meeting may not be at this edge any more: send those who are in it elsewhere, and away who
    /// does not go. Since [`VACATE`]. It counts only from the coordinator that leads.
    Vacate {
        /// The room.
        room: MeetingId,
        /// Signalling endpoints where it may be, best first.
        candidates: Vec<String>,
        /// Which rule forbids it, for people.
        reason: String,
    },
}

impl CoordinatorMessage {
    /// The first version of the protocol that has the message: it is not sent where an older one was
    /// agreed on.
    #[must_use]
    pub const fn since(&self) -> Version {
        match self {
            Self::Lead { .. } => LEADS,
            Self::Revoked { .. } => Version(2),
            Self::Drain {} => LINKS_AND_DRAIN,
            Self::Repairs { .. } => REPAIRS,
            Self::Vacate { .. } => VACATE,
            _ => Version(1),
        }
    }
}

/// Where an edge is reached on the backbone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeAddress {
    /// The edge.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// Its backbone's `ip:port`s, as the coordinator resolved them, best first.
    pub backbone: Vec<std::net::SocketAddr>,
    /// Its signalling endpoint, for clients that must move.
    pub signal_endpoint: String,
}

/// The relay trees of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPlan {
    /// The room.
    pub room: MeetingId,
    /// Higher than that of every earlier plan of the room.
    pub epoch: Epoch,
    /// One tree for each edge that has participants.
    pub trees: Vec<RelayTree>,
}

/// The tree along which one edge's participants and tracks travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayTree {
    /// The edge where the tracks are published.
    pub root: EdgeId,
    /// Every other edge of the tree, parents before children.
    pub branches: Vec<Branch>,
}

/// One edge's place in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// The edge.
    pub edge: EdgeId,
    /// The edge it receives from.
    pub parent: EdgeId,
    /// Whom to turn to when the parent is lost; not below this edge in the tree.
    pub backup: Option<EdgeId>,
}

impl RelayTree {
    /// The parent of `edge`, when it is in the tree and not its root.
    #[must_use]
    pub fn branch(&self, edge: &EdgeId) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.edge == *edge)
    }
}
