//! Bodies of the coordinator's REST interface, version 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::ids::{EdgeId, Epoch, HostKey, Invite, MeetingId, ParticipantId, RegionName, TrackId};
use crate::room::MediaKind;

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 200;

/// The longest participant's name, in characters.
pub const NAME_CHARS_MAX: usize = 80;

/// The most participants a meeting may allow.
pub const PARTICIPANTS_MAX: u32 = 10_000;

/// Settings of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeetingSettings {
    /// How many may be in at once, 1 to [`PARTICIPANTS_MAX`].
    pub max_participants: u32,
    /// Whether a host admits everybody else one by one.
    pub waiting_room: bool,
    /// The only regions in which its media may be, in transit too; all when absent. The mesh's own
    /// rules hold besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions_allowed: Option<Vec<RegionName>>,
    /// Regions in which its media may not be, whatever is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions_denied: Vec<RegionName>,
}

impl Default for MeetingSettings {
    fn default() -> Self {
        Self {
            max_participants: 100,
            waiting_room: false,
            regions_allowed: None,
            regions_denied: Vec::new(),
        }
    }
}

/// `POST /v1/meetings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateMeeting {
    /// What people call it.
    #[serde(default)]
    pub title: String,
    /// When it is to start, RFC 3339.
    #[serde(default)]
    pub scheduled_at: Option<String>,
    /// Its settings.
    #[serde(default)]
    pub settings: MeetingSettings,
}

/// `PATCH /v1/meetings/{id}`: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchMeeting {
    /// What people call it.
    pub title: Option<String>,
    /// When it is to start, RFC 3339.
    pub scheduled_at: Option<String>,
    /// Changes of its settings.
    pub settings: Option<PatchSettings>,
}

/// The part of [`PatchMeeting`] that changes settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchSettings {
    /// How many may be in at once.
    pub max_participants: Option<u32>,
    /// Whether a host admits everybody else one by one.
    pub waiting_room: Option<bool>,
    /// The only regions in which its media may be; `null` for all.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub regions_allowed: Option<Option<Vec<RegionName>>>,
    /// Regions in which its media may not be.
    pub regions_denied: Option<Vec<RegionName>>,
}

/// Tells `null` from what is absent.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Where a meeting is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeetingStatus {
    /// Nobody is in.
    Idle,
    /// Somebody is in.
    Active,
    /// It was ended, and nobody can join.
    Ended,
}

/// A meeting, as its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// Its id.
    pub id: MeetingId,
    /// What people call it.
    pub title: String,
    /// When it is to start, RFC 3339.
    pub scheduled_at: Option<String>,
    /// Its settings.
    pub settings: MeetingSettings,
    /// Where it is in its life.
    pub status: MeetingStatus,
    /// How many are in.
    pub participants: u32,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// The link that people open; whoever has it may join as a speaker.
    pub join_url: String,
    /// Makes its bearer a host; only in the answer that created the meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
}

/// `GET /v1/meetings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeetingPage {
    /// Newest first.
    pub meetings: Vec<Meeting>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `POST /v1/meetings/{id}/join`. The caller shows an API token, the invite of the join link, or
/// the host key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinRequest {
    /// The name that others see, 1 to [`NAME_CHARS_MAX`] characters; `Guest` when absent.
    pub name: Option<String>,
    /// The role to join in: at most what the caller's proof allows. An API token of the tenant
    /// allows all, the host key `host`, an invite `speaker`.
    pub role: Option<Role>,
    /// The secret from the join link.
    pub invite: Option<Invite>,
    /// The secret from the meeting's creation.
    pub host_key: Option<HostKey>,
    /// Round trips that the client measured, in milliseconds, by region.
    pub round_trips_ms: Option<std::collections::BTreeMap<RegionName, u32>>,
    /// The participant that waited, when it asks again whether it is admitted.
    pub participant_id: Option<ParticipantId>,
    /// May send data messages: `false` gives up what the caller's proof allows.
    pub publish_data: Option<bool>,
}

/// An entry of `RTCConfiguration.iceServers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// coturn's time-limited user name: expiry, a colon, the participant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The HMAC that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// An edge that a client may go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCandidate {
    /// The edge.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// Its HTTP endpoint.
    pub sfu_endpoint: String,
    /// Its WebSocket endpoint.
    pub signal_endpoint: String,
}

/// The answer to a join: a place, or a place in the waiting room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JoinResponse {
    /// 200: come in.
    Admitted(Box<Admission>),
    /// 202: wait, and ask again.
    Waiting(Waiting),
}

/// Everything a client needs to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Who the client now is.
    pub participant_id: ParticipantId,
    /// The proof of it for the edge: a JWT that lasts five minutes.
    pub join_token: String,
    /// When the token ends, in seconds since 1970.
    pub expires_at: u64,
    /// The part that the client has.
    pub role: Role,
    /// The edge's HTTP endpoint.
    pub sfu_endpoint: String,
    /// The edge's WebSocket endpoint.
    pub signal_endpoint: String,
    /// What to give to `RTCPeerConnection`.
    pub ice_servers: Vec<IceServer>,
    /// The region that serves the client.
    pub region: RegionName,
    /// The edge that serves the client.
    pub edge: EdgeId,
    /// The next-nearest edges, for when that one does not answer.
    pub candidates: Vec<EdgeCandidate>,
}

/// A place in the waiting room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Always `waiting`.
    pub status: String,
    /// Who the client will be; it asks again with this.
    pub participant_id: ParticipantId,
    /// How long to wait before asking again, in milliseconds.
    pub retry_after_ms: u32,
}

/// One who waits, as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingParticipant {
    /// Who it will be.
    pub participant_id: ParticipantId,
    /// The name it gave.
    pub name: String,
    /// Since when it waits, RFC 3339.
    pub since: String,
}

/// `GET /v1/meetings/{id}/explain`: why the meeting's tracks travel as they do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeetingExplanation {
    /// The meeting.
    pub meeting: MeetingId,
    /// The plan that is in force.
    pub epoch: Epoch,
    /// The limits that it breaks, in words.
    pub broken: Vec<String>,
    /// One tree for each edge with participants.
    pub trees: Vec<TreeExplanation>,
}

/// The tree along which the tracks of one edge travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeExplanation {
    /// The edge.
    pub root: EdgeId,
    /// What was planned with for its tracks, in bits per second.
    pub bitrate_bps: u64,
    /// The tracks that the edge reported last.
    pub tracks: Vec<ExplainedTrack>,
    /// Every other edge of the tree, parents before children.
    pub edges: Vec<EdgeExplanation>,
}

/// A track that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedTrack {
    /// The track.
    pub track: TrackId,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Its publisher's name.
    pub name: String,
}

/// An edge's place in a tree, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeExplanation {
    /// The edge that receives.
    pub edge: EdgeId,
    /// The way from the root, both ends included.
    pub path: Vec<EdgeId>,
    /// Since which plan it is that way.
    pub since: Epoch,
    /// The way's round trip, in microseconds.
    pub round_trip_us: u64,
    /// Whether all of it was measured; otherwise some links count as declared.
    pub measured: bool,
    /// The shortest that the rules allow, in microseconds.
    pub shortest_us: u64,
    /// The longest that the policy allows, in microseconds.
    pub allowed_us: u64,
    /// The round trip in thousandths of the shortest.
    pub stretch_permille: u64,
    /// What the last hop costs, in millionths of a USD for 10⁹ bytes.
    pub micro_usd_per_gb: u32,
    /// Why it receives from its parent.
    pub reason: PlacementReason,
    /// The next best parent; absent when nothing else could feed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_best: Option<NextBest>,
    /// Whom it turns to when the parent is lost.
    pub backup: Option<EdgeId>,
    /// All of it in words.
    pub text: String,
}

/// Why an edge receives from its parent and not from the next best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementReason {
    /// Nothing else could feed it.
    OnlyOne,
    /// The next best costs more, or as much and takes longer.
    Best,
    /// The tree as a whole is better this way, or not so much worse that a change is worth it.
    BetterForTheTree,
    /// Every other would break a limit.
    OthersBreakLimits,
}

/// Another parent that an edge could have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextBest {
    /// Which.
    pub parent: EdgeId,
    /// The round trip over it, in microseconds.
    pub round_trip_us: u64,
    /// What its hop would cost, in millionths of a USD for 10⁹ bytes.
    pub micro_usd_per_gb: u32,
}

/// `POST /v1/ops/topology`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyTopology {
    /// The files' text by their paths: `topology.toml` and `regions/*.toml`.
    pub files: BTreeMap<String, String>,
    /// Even if it cuts off who is in a meeting.
    #[serde(default)]
    pub force: bool,
    /// Only say what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/ops/topology/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollBackTopology {
    /// A version that is kept.
    pub version: u64,
    /// Even if it cuts off who is in a meeting.
    #[serde(default)]
    pub force: bool,
    /// Only say what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// What another topology does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyApplied {
    /// Its version.
    pub version: u64,
    /// It is in force; otherwise it was only looked at.
    pub applied: bool,
    /// What is different now, one line each; empty when nothing is.
    pub changes: Vec<String>,
    /// Whom it cut off, one line each.
    pub cuts: Vec<String>,
}

/// `GET /v1/ops/topology`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyHistory {
    /// The version in force at the coordinator that answers.
    pub in_force: u64,
    /// Those that are kept, the newest first.
    pub versions: Vec<TopologyVersion>,
}

/// One version of the topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyVersion {
    /// Its number.
    pub version: u64,
    /// When it came into force, RFC 3339.
    pub at: String,
    /// Where it came from.
    pub by: String,
}

/// `GET /v1/ops/topology/{version}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionFiles {
    /// Which.
    #[serde(flatten)]
    pub version: TopologyVersion,
    /// The files' text by their paths.
    pub files: BTreeMap<String, String>,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The faulty fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One faulty field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field, as a path with dots.
    pub field: String,
    /// What came.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}
