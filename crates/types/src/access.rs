//! Who may do what: roles, the grants that follow from them, and the claims of tokens.

use serde::{Deserialize, Serialize};

use crate::ids::{ApiKeyId, EdgeId, MeetingId, ParticipantId};
use crate::trace::{TraceParent, if_valid};

/// A participant's part in a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the meeting: everything a speaker may, and admits, removes and ends.
    Host,
    /// Publishes microphone, camera and screen.
    Speaker,
    /// Publishes microphone and camera.
    Attendee,
    /// Watches and listens.
    Viewer,
}

/// What a join token lets its bearer do at an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// May publish a microphone.
    pub publish_audio: bool,
    /// May publish a camera.
    pub publish_video: bool,
    /// May publish a screen.
    pub publish_screen: bool,
    /// May send data messages. A token that does not say so allows it.
    #[serde(default = "yes")]
    pub publish_data: bool,
    /// May receive other participants' tracks.
    pub subscribe: bool,
    /// May admit and remove others, and end the meeting.
    pub moderate: bool,
}

impl Role {
    /// What the role may do.
    #[must_use]
    pub const fn grants(self) -> Grants {
        let publish = !matches!(self, Self::Viewer);
        Grants {
            publish_audio: publish,
            publish_video: publish,
            publish_screen: matches!(self, Self::Host | Self::Speaker),
            publish_data: true,
            subscribe: true,
            moderate: matches!(self, Self::Host),
        }
    }

    /// The role as text, as in tokens and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Speaker => "speaker",
            Self::Attendee => "attendee",
            Self::Viewer => "viewer",
        }
    }
}

const fn yes() -> bool {
    true
}

/// The `aud` of a join token.
pub const JOIN_AUDIENCE: &str = "sluice-edge";

/// The longest join token an edge reads, in bytes.
pub const JOIN_TOKEN_BYTES_MAX: usize = 2_048;

/// Claims of a join token: a JWT (RFC 7519) signed by the coordinator with Ed25519 (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinClaims {
    /// The mesh that issued the token.
    pub iss: String,
    /// Always [`JOIN_AUDIENCE`].
    pub aud: String,
    /// When the token was made, in seconds since 1970.
    pub iat: u64,
    /// When the token ends, in seconds since 1970.
    pub exp: u64,
    /// Which token it is; empty in those of older coordinators.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// The API key whose token was shown for it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ApiKeyId>,
    /// The meeting that the token admits to, and no other.
    pub meeting_id: MeetingId,
    /// The participant that the bearer is, and no other.
    pub participant_id: ParticipantId,
    /// The name that others see, at most 80 characters.
    pub name: String,
    /// The bearer's part in the meeting.
    pub role: Role,
    /// What the bearer may do.
    pub grants: Grants,
    /// The edge that the coordinator chose first; any of the candidates accepts the token too.
    pub edge: EdgeId,
    /// The span that let the bearer in, when its join is traced: the edge's spans follow it.
    #[serde(
        default,
        deserialize_with = "if_valid",
        skip_serializing_if = "Option::is_none"
    )]
    pub trace: Option<TraceParent>,
}

/// Claims of a token that a product's back end signs with an API key's secret (HMAC-SHA-256).
///
/// Without `grants` it may do whatever its tenant may. With them it is a user token: it can join
/// that one meeting in that role, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiClaims {
    /// The API key whose secret signed the token.
    pub iss: ApiKeyId,
    /// The user, as the product knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When the token ends, in seconds since 1970.
    pub exp: u64,
    /// When the token begins, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Narrows the token to one user's join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<UserGrants>,
}

/// What a user token may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserGrants {
    /// The meeting that may be joined.
    pub meeting: MeetingId,
    /// The role that the user joins in.
    pub role: Role,
    /// The name that others see; the request's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// May send data messages; `true` when absent.
    #[serde(default = "yes")]
    pub publish_data: bool,
}
