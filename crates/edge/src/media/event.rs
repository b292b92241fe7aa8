//! What media has to say to the rest of the edge.

use std::time::Duration;

use bytes::Bytes;
use sluice_sfu::forward::EncodingId;
use sluice_types::ids::{MeetingId, ParticipantId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::quality::QualityReport;

/// Something that happened at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// A participant's ICE and DTLS are up.
    Connected {
        /// Its room.
        room: MeetingId,
        /// Who.
        participant: ParticipantId,
        /// How long it took since the edge knew its description.
        after: Duration,
        /// How long it took until ICE had found a path, of the same time.
        path_after: Duration,
    },
    /// A participant's checks stopped coming, or it closed DTLS.
    Lost {
        /// Its room.
        room: MeetingId,
        /// Who.
        participant: ParticipantId,
    },
    /// Checks of a lost participant come again.
    Restored {
        /// Its room.
        room: MeetingId,
        /// Who.
        participant: ParticipantId,
    },
    /// The first packet of a track came, from its publisher or over a relay.
    FirstPacket {
        /// The track.
        track: TrackId,
    },
    /// A receiver of a relayed track needs a key frame.
    KeyFrameWanted {
        /// The track.
        track: TrackId,
        /// Of which encoding.
        encoding: EncodingId,
    },
    /// A participant sent a data message.
    Data {
        /// Its room.
        room: MeetingId,
        /// Who.
        participant: ParticipantId,
        /// Whether it came over the reliable channel.
        reliable: bool,
        /// The message with its header, as it came.
        bytes: Bytes,
    },
    /// A data message was dropped, since they come too fast or are too long.
    DataRefused {
        /// The room.
        room: MeetingId,
        /// Whose.
        participant: ParticipantId,
    },
    /// These layers of a track are wanted from now on, and no others.
    LayersWanted {
        /// The track.
        track: TrackId,
        /// Its layers.
        layers: LayerSet,
    },
    /// A video is paused for want of bandwidth, or goes on.
    Paused {
        /// The room.
        room: MeetingId,
        /// Who receives it.
        participant: ParticipantId,
        /// The track.
        track: TrackId,
        /// Whether it is paused now.
        paused: bool,
    },
    /// How the call goes for a participant.
    Quality {
        /// Its room.
        room: MeetingId,
        /// Who.
        participant: ParticipantId,
        /// What was measured at the edge.
        report: Box<QualityReport>,
    },
    /// Who speaks in a room changed.
    Speakers {
        /// The worker that says so.
        worker: usize,
        /// The room.
        room: MeetingId,
        /// Audio tracks, the dominant speaker's first, with their levels in decibels below the
        /// loudest possible.
        tracks: Vec<(TrackId, u8)>,
    },
}
