//! What a worker is told, by sessions, the hub and ICE-TCP connections.

use bytes::Bytes;
use sluice_sfu::forward::{AnnouncedEncoding, EncodingId, Formats};
use sluice_types::ids::{MeetingId, ParticipantId, RelayId};
use sluice_types::layers::LayerSet;
use sluice_types::room::TrackInfo;
use sluice_types::signal::Wish;

use super::Mailbox;
use crate::media::ice::LocalCredentials;
use crate::media::keys::{ConnectionKey, PeerKey, SinkKey, TrackKey};
use crate::media::relay::RelayOutlet;
use sluice_wire::dtls::Fingerprint;

/// ICE of one participant.
pub(crate) struct Ice {
    pub(crate) local: LocalCredentials,
    pub(crate) remote_ufrag: String,
}

/// Where a track comes from.
pub(crate) enum TrackOrigin {
    /// A participant of the same worker.
    Peer {
        peer: PeerKey,
        /// The lowest first.
        encodings: Vec<AnnouncedEncoding>,
        mid: String,
        repairs: bool,
    },
    /// Another edge.
    Backbone,
    /// Another worker, which sends it to that sink of its own.
    Worker { from: Mailbox, sink: SinkKey },
}

/// Where a track goes.
pub(crate) enum TrackTarget {
    /// A participant of the same worker.
    Peer {
        peer: PeerKey,
        ssrc: u32,
        retransmission_ssrc: Option<u32>,
    },
    /// Another edge.
    Relay {
        relay: RelayId,
        outlet: Box<dyn RelayOutlet>,
    },
}

/// One thing to do.
pub(crate) enum Command {
    AddPeer {
        peer: PeerKey,
        room: MeetingId,
        participant: ParticipantId,
        ice: Ice,
        fingerprint: Fingerprint,
        formats: Formats,
    },
    /// The client restarted ICE (RFC 8445, section 9).
    RestartIce {
        peer: PeerKey,
        ice: Ice,
    },
    SetFormats {
        peer: PeerKey,
        formats: Formats,
    },
    RemovePeer {
        peer: PeerKey,
    },
    AddTrack {
        room: MeetingId,
        owner: ParticipantId,
        track: TrackInfo,
        origin: TrackOrigin,
    },
    RemoveTrack {
        track: TrackKey,
    },
    AddSink {
        sink: SinkKey,
        track: TrackKey,
        target: TrackTarget,
        /// How its receiver wants it, if it said so.
        wish: Option<Wish>,
    },
    /// A receiver wants it otherwise.
    SetWish {
        sink: SinkKey,
        wish: Option<Wish>,
    },
    /// The layers that travel over a relay.
    SetLayers {
        sink: SinkKey,
        layers: LayerSet,
    },
    RemoveSink {
        sink: SinkKey,
    },
    RequestKeyFrame {
        track: TrackKey,
        encoding: EncodingId,
    },
    /// A data message for a participant.
    SendData {
        peer: PeerKey,
        reliable: bool,
        bytes: Bytes,
    },
    /// An ICE-TCP connection whose first packet names a participant of this worker.
    Connected {
        connection: ConnectionKey,
        from: std::net::SocketAddr,
        outgoing: tokio::sync::mpsc::Sender<Bytes>,
    },
    /// A packet that came over it.
    Arrived {
        connection: ConnectionKey,
        packet: Vec<u8>,
    },
    Disconnected {
        connection: ConnectionKey,
    },
    Stop,
}
