//! Signalling between a client and its edge: JSON envelopes typed by `"type"`.
//!
//! `docs/SIGNALLING.md` tells the order of things; this module is the one definition of the
//! messages.

use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::ids::{EdgeId, MeetingId, ParticipantId, RegionName, ResumeToken, TrackId};
use crate::quality::QualityReport;
use crate::room::{
    LeaveReason, MediaKind, ParticipantRecord, Presence, PresenceChange, TrackInfo, TrackSource,
};

/// The WebSocket subprotocol that every client offers and every edge chooses.
pub const SUBPROTOCOL: &str = "sluice.v1";

/// The prefix of the subprotocol that carries the join token, since a browser cannot set a header.
pub const TOKEN_SUBPROTOCOL: &str = "sluice.token.";

/// The prefix of the subprotocol that carries the resume token.
pub const RESUME_SUBPROTOCOL: &str = "sluice.resume.";

/// The longest message either side accepts, in bytes. An offer of 100 m-lines is about 150 KB.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// How long a client may be away and still resume, in milliseconds.
pub const RESUME_WINDOW_MS: u32 = 30_000;

/// The most speakers that one `room.speakers` names.
pub const SPEAKERS_MAX: usize = 5;

/// What the client says an m-line of its offer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedMid {
    /// The m-line's `a=mid`.
    pub mid: String,
    /// Where the track comes from; microphone or camera, by the m-line's kind, when absent.
    pub source: TrackSource,
    /// The height of the largest picture that it will send, in pixels; unknown when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// The most tracks that one `subscription.update` may name.
pub const SUBSCRIPTIONS_MAX: usize = 256;

/// How a client wants one track. A later one for the same track takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The track.
    pub track_id: TrackId,
    /// How; the edge chooses again when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<Wish>,
}

/// What a client wants of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// Whether to receive it at all. A track that is not subscribed has no m-line.
    pub subscribed: bool,
    /// Whether anybody sees it now. A video that is hidden keeps its m-line and costs nothing.
    pub visible: bool,
    /// The height at which it is shown, in physical pixels; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
    /// The most pictures a second that are of use; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<u8>,
    /// Which tracks get better first when not all can be at their best.
    pub priority: Priority,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            subscribed: true,
            visible: true,
            height: None,
            frame_rate: None,
            priority: Priority::Normal,
        }
    }
}

/// How much a track matters to one receiver.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Others first.
    Low,
    /// As any other.
    #[default]
    Normal,
    /// Before others.
    High,
}

/// Whether a video is being sent to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackState {
    /// It is.
    Active,
    /// It is not, since the receiver's network cannot carry it.
    PausedByBandwidth,
}

/// One encoding of a simulcast track, and whether anybody wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodingState {
    /// The encoding's `a=rid` (RFC 8851).
    pub rid: String,
    /// Whether to send it.
    pub active: bool,
}

/// Somebody who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaker {
    /// Who.
    pub participant_id: ParticipantId,
    /// How loud, in decibels below the loudest possible: 0 to 127, lower is louder (RFC 6464).
    pub level: u8,
}

/// What a client says to its edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ClientMessage {
    /// The first message of a session.
    #[serde(rename = "participant.hello")]
    Hello {
        /// An SDP offer (RFC 3264, RFC 8829) with one audio and one video m-line, or more.
        sdp_offer: String,
        /// What the m-lines are; what is not listed is a microphone or a camera by its kind.
        #[serde(default)]
        tracks: Vec<PublishedMid>,
        /// The presence to start with.
        #[serde(default)]
        presence: Presence,
    },
    /// A later offer of the client, after it added, removed or restarted something.
    #[serde(rename = "participant.offer")]
    Offer {
        /// The SDP offer.
        sdp_offer: String,
        /// As in `participant.hello`.
        #[serde(default)]
        tracks: Vec<PublishedMid>,
    },
    /// The answer to an `sfu.offer`.
    #[serde(rename = "participant.answer")]
    Answer {
        /// The SDP answer.
        sdp_answer: String,
        /// The revision of the `sfu.offer` that it answers.
        revision: u64,
    },
    /// Takes up a session again: the first message on a socket opened with a resume token.
    #[serde(rename = "participant.resume")]
    Resume {
        /// The highest `seq` that the client has seen.
        last_seq: u64,
    },
    /// Leaves for good.
    #[serde(rename = "participant.leave")]
    Leave {},
    /// How the client wants tracks that others publish.
    #[serde(rename = "subscription.update")]
    Subscribe {
        /// The tracks whose subscriptions change; at most [`SUBSCRIPTIONS_MAX`].
        tracks: Vec<Subscription>,
    },
    /// Changes the sender's own presence.
    #[serde(rename = "presence.update")]
    Presence(PresenceChange),
    /// A candidate of the client. An ICE-lite edge needs none (RFC 8445, section 2.5).
    #[serde(rename = "ice.candidate")]
    Candidate(Candidate),
    /// What the client measured of its call, every
    /// [`REPORT_INTERVAL_MS`](crate::quality::REPORT_INTERVAL_MS).
    #[serde(rename = "quality.report")]
    Quality(QualityReport),
    /// A host removes a participant.
    #[serde(rename = "participant.remove")]
    Remove {
        /// Whom.
        participant_id: ParticipantId,
    },
    /// Asks for a `pong`, so that a client notices a dead socket.
    #[serde(rename = "ping")]
    Ping {},
}

/// A trickled ICE candidate, as `RTCIceCandidate.toJSON()` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The `candidate:` line; empty at the end of candidates.
    #[serde(default)]
    pub candidate: String,
    /// The m-line's `a=mid`.
    #[serde(default, rename = "sdpMid", skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The m-line's index.
    #[serde(
        default,
        rename = "sdpMLineIndex",
        skip_serializing_if = "Option::is_none"
    )]
    pub sdp_m_line_index: Option<u16>,
}

/// What an edge says to a client: an event, numbered when it can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMessage {
    /// Rises by one with each numbered event of a session; absent in `error` and `pong`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The event.
    #[serde(flatten)]
    pub event: ServerEvent,
}

/// The events of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ServerEvent {
    /// The answer to `participant.hello` or `participant.offer`.
    #[serde(rename = "sfu.answer")]
    Answer {
        /// The SDP answer.
        sdp_answer: String,
        /// The tracks that the offer's m-lines now publish.
        tracks: Vec<PublishedTrack>,
    },
    /// An offer of the edge: tracks to receive came or went.
    #[serde(rename = "sfu.offer")]
    Offer {
        /// The SDP offer.
        sdp_offer: String,
        /// Rises with each offer; the answer names it.
        revision: u64,
        /// Which m-line carries whose track. An m-line that is not listed is idle.
        tracks: Vec<ReceivedTrack>,
    },
    /// Everything about the room, for the newcomer.
    #[serde(rename = "room.snapshot")]
    Snapshot {
        /// The meeting.
        meeting_id: MeetingId,
        /// The receiver itself.
        you: ParticipantView,
        /// Everybody else, in order of joining.
        participants: Vec<ParticipantView>,
        /// With this secret the session is resumed, within `resume_window_ms`.
        resume_token: ResumeToken,
        /// How long the client may be away, in milliseconds.
        resume_window_ms: u32,
        /// The edge that serves the receiver.
        edge: EdgeId,
    },
    /// Somebody joined.
    #[serde(rename = "room.participant_joined")]
    ParticipantJoined {
        /// Who.
        participant: ParticipantView,
    },
    /// Somebody left.
    #[serde(rename = "room.participant_left")]
    ParticipantLeft {
        /// Who.
        participant_id: ParticipantId,
        /// Why.
        reason: LeaveReason,
    },
    /// Somebody's presence changed.
    #[serde(rename = "room.presence_changed")]
    PresenceChanged {
        /// Whose.
        participant_id: ParticipantId,
        /// The whole presence after the change.
        #[serde(flatten)]
        presence: Presence,
    },
    /// Somebody publishes one more track.
    #[serde(rename = "room.track_published")]
    TrackPublished {
        /// Who.
        participant_id: ParticipantId,
        /// What.
        track: TrackInfo,
    },
    /// Somebody stopped publishing a track.
    #[serde(rename = "room.track_unpublished")]
    TrackUnpublished {
        /// Who.
        participant_id: ParticipantId,
        /// What.
        track_id: TrackId,
    },
    /// A participant's tracks now come along another path.
    #[serde(rename = "room.path_changed")]
    PathChanged {
        /// Whose.
        participant_id: ParticipantId,
        /// The regions from its edge to the receiver's, both included.
        path: Vec<RegionName>,
    },
    /// Who speaks, the dominant speaker first; empty when nobody does. Not numbered: the latest is
    /// all that counts.
    #[serde(rename = "room.speakers")]
    Speakers {
        /// At most [`SPEAKERS_MAX`].
        speakers: Vec<Speaker>,
    },
    /// A video that the client receives was paused, or goes on. Not numbered.
    #[serde(rename = "track.state")]
    TrackState {
        /// Which.
        track_id: TrackId,
        /// What it is now.
        state: TrackState,
    },
    /// Which encodings of one of the client's own tracks anybody wants: the others need not be
    /// sent. Not numbered.
    #[serde(rename = "publish.encodings")]
    Encodings {
        /// The m-line that publishes the track.
        mid: String,
        /// All encodings of the track, lowest first.
        encodings: Vec<EncodingState>,
    },
    /// The meeting is over for all.
    #[serde(rename = "room.ended")]
    Ended {
        /// Why the receiver is out.
        reason: LeaveReason,
    },
    /// A candidate of the edge; all of them are in its descriptions already, so this only ends them.
    #[serde(rename = "ice.candidate")]
    Candidate(Candidate),
    /// The session goes on; the missed events follow.
    #[serde(rename = "session.resumed")]
    Resumed {
        /// The highest `seq` before this resumption.
        last_seq: u64,
    },
    /// The edge is about to go away: join again, at the first of these that answers.
    #[serde(rename = "session.moved")]
    Moved {
        /// Signalling endpoints, best first; empty when the coordinator should be asked.
        candidates: Vec<String>,
    },
    /// A request failed; the session goes on unless `fatal`.
    #[serde(rename = "error")]
    Error {
        /// What went wrong, for programs.
        code: ErrorCode,
        /// What went wrong, for people: field, value, what is allowed.
        message: String,
        /// Whether the edge closes the socket after this.
        fatal: bool,
    },
    /// The answer to `ping`.
    #[serde(rename = "pong")]
    Pong {},
}

/// A participant as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantView {
    /// Who it is.
    pub participant_id: ParticipantId,
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
    /// The regions from its edge to the receiver's, both included.
    pub path: Vec<RegionName>,
}

impl ParticipantView {
    /// The record as seen over `path`.
    #[must_use]
    pub fn new(record: &ParticipantRecord, path: Vec<RegionName>) -> Self {
        Self {
            participant_id: record.participant_id.clone(),
            name: record.name.clone(),
            role: record.role,
            region: record.region.clone(),
            edge: record.edge.clone(),
            joined_at_ms: record.joined_at_ms,
            presence: record.presence,
            tracks: record.tracks.clone(),
            path,
        }
    }
}

/// A track of the client's own and the m-line that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedTrack {
    /// The m-line's `a=mid`.
    pub mid: String,
    /// The track.
    #[serde(flatten)]
    pub track: TrackInfo,
}

/// A track of another participant and the m-line that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedTrack {
    /// The m-line's `a=mid`.
    pub mid: String,
    /// Who publishes it.
    pub participant_id: ParticipantId,
    /// The track.
    pub track_id: TrackId,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Where it comes from at its publisher.
    pub source: TrackSource,
}

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The message is not JSON, has no known `type`, or lacks a field.
    BadMessage,
    /// The message is not allowed at this point of the session.
    OutOfOrder,
    /// The SDP cannot be read or lacks something the edge needs.
    BadSdp,
    /// The answer names an offer that is not the outstanding one.
    StaleRevision,
    /// The edge's own offer is under way: answer it, then offer again (RFC 8829, section 4.1.8.2).
    Glare,
    /// The role does not allow it.
    Forbidden,
    /// The session to resume is gone: join again.
    ResumeExpired,
    /// The message is longer than [`MESSAGE_BYTES_MAX`], or they come too fast.
    TooMuch,
    /// The edge has no room left.
    EdgeFull,
    /// The edge is about to go away.
    Draining,
    /// The edge's fault.
    Internal,
}
