//! Control messages between edges, on the one bidirectional stream of each backbone connection.
//!
//! A child speaks to its parent about one root: the edge whose participants' state and tracks flow
//! down the tree. Media goes beside this, in datagrams (`sluice-relay`).

use serde::{Deserialize, Serialize};

use crate::ids::{EdgeId, Epoch, MeetingId, ParticipantId, RegionName, RelayId, TrackId};
use crate::layers::LayerSet;
use crate::mesh::version::Version;
use crate::room::{DataMessage, LeaveReason, ParticipantRecord};

/// The ALPN protocol name of a backbone connection of the newest version.
pub const ALPN: &[u8] = b"sluice-backbone/2";

/// The names of all versions that are spoken, the newest first. Since version 2, both ends send probes
/// at a steady pace, and take each other for silent when these stay away.
pub const ALPNS: &[&[u8]] = &[ALPN, b"sluice-backbone/1"];

/// The first version in which probes come at a steady pace.
pub const STEADY_PROBES: Version = Version(2);

/// The first version in which single layers of an encoding are asked for.
pub const LAYERS: Version = Version(2);

/// What edges say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackboneMessage {
    /// The first message in each direction.
    Hello {
        /// The sender, which must be the name in its certificate.
        edge: EdgeId,
        /// The sender's region.
        region: RegionName,
    },
    /// Child to parent: send me the roster of this root, and let me subscribe to its tracks.
    Join {
        /// The room.
        room: MeetingId,
        /// The edge at the root of the tree.
        root: EdgeId,
        /// The plan that says so.
        epoch: Epoch,
        /// The last data message of the root that came; `None` when only new ones matter.
        data_after: Option<u64>,
    },
    /// Child to parent: I am no longer in that tree. Ends its relays too.
    Leave {
        /// The room.
        room: MeetingId,
        /// The edge at the root of the tree.
        root: EdgeId,
    },
    /// Parent to child: who is at the root.
    Roster {
        /// The room.
        room: MeetingId,
        /// The edge at the root of the tree.
        root: EdgeId,
        /// The edges that this came through, the root first, the sender last.
        path: Vec<Hop>,
        /// The highest version that the root has written, as far as the sender knows.
        revision: u64,
        /// What follows is all there is; whoever is not in it has left, unless the receiver has heard
        /// of a higher revision.
        complete: bool,
        /// Participants that came or changed.
        participants: Vec<ParticipantRecord>,
        /// Participants that left.
        left: Vec<Departure>,
    },
    /// Child to parent: send me this track's packets under this relay.
    Subscribe {
        /// The relay, new on this connection.
        relay: RelayId,
        /// The room.
        room: MeetingId,
        /// The edge at the root of the tree.
        root: EdgeId,
        /// The track.
        track: TrackId,
        /// Which of its encodings, a bit each, the lowest first.
        encodings: u8,
    },
    /// Child to parent: these encodings of that relay's track are wanted from now on.
    Encodings {
        /// The relay.
        relay: RelayId,
        /// A bit each, the lowest first.
        encodings: u8,
    },
    /// Child to parent: that relay is over.
    Unsubscribe {
        /// The relay.
        relay: RelayId,
    },
    /// Parent to child: that relay is over, since its track is.
    RelayEnded {
        /// The relay.
        relay: RelayId,
    },
    /// Child to parent: a decoder behind me needs a key frame.
    KeyFrame {
        /// The relay.
        relay: RelayId,
        /// Of which encoding.
        encoding: u8,
    },
    /// Parent to child: a participant at the root sends a message.
    Data {
        /// The room.
        room: MeetingId,
        /// The edge at the root of the tree.
        root: EdgeId,
        /// Rises by one with each message of the root in the room.
        sequence: u64,
        /// The message.
        message: DataMessage,
    },
    /// Any edge of a room to the participant's own edge, up the tree: a host removes somebody.
    Remove {
        /// The room.
        room: MeetingId,
        /// The edge at the root of the tree, where the participant is.
        root: EdgeId,
        /// Whom.
        participant: ParticipantId,
    },
    /// The sender is going away in an orderly way.
    Goodbye {},
    /// Child to parent, in place of `Encodings`: these layers of that relay's track are wanted from now
    /// on. Since version 2.
    Layers {
        /// The relay.
        relay: RelayId,
        /// Which.
        layers: LayerSet,
    },
}

impl BackboneMessage {
    /// The message as software that speaks no more than that version knows it.
    #[must_use]
    pub fn for_version(self, version: Version) -> Self {
        match self {
            Self::Layers { relay, layers } if version < LAYERS => Self::Encodings {
                relay,
                encodings: layers.encodings(),
            },
            message => message,
        }
    }
}

/// One edge on a roster's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The edge.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
}

/// Somebody who left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// Who.
    pub participant: ParticipantId,
    /// The version of the departure. Higher than the record's when the root says so; the record's own
    /// when the participant is out of reach, and may be found again.
    pub version: u64,
    /// Why.
    pub reason: LeaveReason,
}
