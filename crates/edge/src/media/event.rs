//! What media has to say to the rest of the edge.

use std::time::Duration;

use sluice_types::ids::{MeetingId, ParticipantId, TrackId};

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
    },
}
