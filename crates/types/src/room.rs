//! The state of a room as clients and edges tell it to one another.

use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::ids::{EdgeId, ParticipantId, RegionName, TrackId};

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// Where a track comes from at its publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A shared screen or window.
    Screen,
    /// The sound of a shared screen or window.
    ScreenAudio,
}

impl TrackSource {
    /// Whether the source gives sound or pictures.
    #[must_use]
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Microphone | Self::ScreenAudio => MediaKind::Audio,
            Self::Camera | Self::Screen => MediaKind::Video,
        }
    }
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInfo {
    /// The track's id, unique in the mesh.
    pub track_id: TrackId,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Where it comes from at its publisher.
    pub source: TrackSource,
}

/// What a participant shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// The microphone is muted.
    pub audio_muted: bool,
    /// The camera is off.
    pub video_muted: bool,
    /// A hand is raised.
    pub hand_raised: bool,
    /// A screen is being shared.
    pub screen_sharing: bool,
}

/// A change of presence: what is absent stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceChange {
    /// The microphone is muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_muted: Option<bool>,
    /// The camera is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_muted: Option<bool>,
    /// A hand is raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_raised: Option<bool>,
    /// A screen is being shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_sharing: Option<bool>,
}

impl Presence {
    /// This presence after `change`.
    #[must_use]
    pub fn changed(self, change: PresenceChange) -> Self {
        Self {
            audio_muted: change.audio_muted.unwrap_or(self.audio_muted),
            video_muted: change.video_muted.unwrap_or(self.video_muted),
            hand_raised: change.hand_raised.unwrap_or(self.hand_raised),
            screen_sharing: change.screen_sharing.unwrap_or(self.screen_sharing),
        }
    }
}

/// A participant as its own edge, and no other, writes it. The highest version wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRecord {
    /// Who it is.
    pub participant_id: ParticipantId,
    /// Rises with each change.
    pub version: u64,
    /// The name that others see.
    pub name: String,
    /// Its part in the meeting.
    pub role: Role,
    /// The region of its edge.
    pub region: RegionName,
    /// Its edge.
    pub edge: EdgeId,
    /// When it joined, in milliseconds since 1970.
    pub joined_at_ms: u64,
    /// What it shows of itself.
    pub presence: Presence,
    /// What it publishes.
    pub tracks: Vec<TrackInfo>,
}

/// The most participants that one data message may be addressed to by name.
pub const DATA_RECIPIENTS_MAX: usize = 256;

/// The longest topic of a data message, in bytes.
pub const DATA_TOPIC_BYTES_MAX: usize = 64;

/// The longest data message, its header included, in bytes.
pub const DATA_BYTES_MAX: usize = 16 * 1024;

/// A message from one participant to others, over their data channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMessage {
    /// Who sends it.
    pub from: ParticipantId,
    /// To whom; everybody else when empty.
    pub to: Vec<ParticipantId>,
    /// What it is about, as applications agree among themselves.
    pub topic: Option<String>,
    /// Whether it must arrive, in order; else it may be lost, and overtake.
    pub reliable: bool,
    /// What it says.
    pub payload: Vec<u8>,
}

impl DataMessage {
    /// Whether `participant` should get it.
    #[must_use]
    pub fn is_for(&self, participant: &ParticipantId) -> bool {
        self.from != *participant && (self.to.is_empty() || self.to.contains(participant))
    }
}

/// Why a participant is no longer in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// It fell silent and did not come back in time.
    TimedOut,
    /// A host removed it.
    Removed,
    /// The same participant joined again, here or elsewhere.
    Replaced,
    /// The meeting was ended.
    MeetingEnded,
    /// Its edge can no longer be reached.
    EdgeLost,
}
