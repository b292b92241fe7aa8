//! What was taken back before its time: certificates of the mesh, and tokens.

use serde::{Deserialize, Serialize};

use crate::access::JoinClaims;
use crate::ids::{ApiKeyId, MeetingId, ParticipantId};

/// The most revocations that hold at once.
pub const REVOCATIONS_MAX: usize = 10_000;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// A certificate of the mesh, by the SHA-256 digest of its DER in lower-case hexadecimal.
    Certificate(String),
    /// One join token, by its `jti`.
    Token(String),
    /// Every token of one participant; whoever is in as that participant is removed.
    Participant {
        /// The meeting.
        meeting: MeetingId,
        /// The participant.
        participant: ParticipantId,
    },
    /// Every token of a meeting that was made until then; whoever came with one is removed.
    Meeting(MeetingId),
    /// An API key: its tokens, and the join tokens that were given for them.
    ApiKey(ApiKeyId),
}

impl Revoked {
    /// As a name that no other has.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(fingerprint) => format!("certificate/{fingerprint}"),
            Self::Token(id) => format!("token/{id}"),
            Self::Participant {
                meeting,
                participant,
            } => format!("participant/{meeting}/{participant}"),
            Self::Meeting(meeting) => format!("meeting/{meeting}"),
            Self::ApiKey(key) => format!("api-key/{key}"),
        }
    }
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What is taken back.
    pub what: Revoked,
    /// Since when, in seconds since 1970.
    pub at_s: u64,
    /// Until when it must be remembered, in seconds since 1970: what it takes back has ended then.
    /// For ever when absent.
    pub until_s: Option<u64>,
}

impl Revocation {
    /// Whether it holds at that second since 1970.
    #[must_use]
    pub fn holds(&self, now_s: u64) -> bool {
        self.until_s.is_none_or(|until| now_s <= until)
    }

    /// Whether a join token is taken back by it.
    #[must_use]
    pub fn refuses(&self, claims: &JoinClaims) -> bool {
        match &self.what {
            Revoked::Certificate(_) => false,
            Revoked::Token(id) => !id.is_empty() && claims.jti == *id,
            Revoked::Participant {
                meeting,
                participant,
            } => claims.meeting_id == *meeting && claims.participant_id == *participant,
            Revoked::Meeting(meeting) => claims.meeting_id == *meeting && claims.iat <= self.at_s,
            Revoked::ApiKey(key) => claims.key.as_ref() == Some(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{JOIN_AUDIENCE, Role};

    fn claims(iat: u64) -> JoinClaims {
        JoinClaims {
            iss: "mesh".into(),
            aud: JOIN_AUDIENCE.into(),
            iat,
            exp: iat + 300,
            jti: "one".into(),
            key: Some("acme".parse().expect("a key")),
            meeting_id: MeetingId::from_random([1; 10]),
            participant_id: ParticipantId::from_random([2; 10]),
            name: "Ada".into(),
            role: Role::Host,
            grants: Role::Host.grants(),
            edge: "paris-1".parse().expect("an edge"),
            trace: None,
        }
    }

    #[test]
    fn a_token_is_refused_by_what_it_is_and_by_nothing_else() {
        let of = |what| Revocation {
            what,
            at_s: 1_000,
            until_s: None,
        };
        let token = claims(1_000);
        let (meeting, participant) = (token.meeting_id.clone(), token.participant_id.clone());
        let other = ParticipantId::from_random([3; 10]);
        let in_meeting = |participant| Revoked::Participant {
            meeting: meeting.clone(),
            participant,
        };
        for (what, refuses) in [
            (Revoked::Token("one".into()), true),
            (Revoked::Token("two".into()), false),
            (in_meeting(participant), true),
            (in_meeting(other), false),
            (Revoked::Meeting(meeting.clone()), true),
            (Revoked::Meeting(MeetingId::from_random([9; 10])), false),
            (Revoked::ApiKey("acme".parse().expect("a key")), true),
            (Revoked::ApiKey("other".parse().expect("a key")), false),
            (Revoked::Certificate("one".into()), false),
        ] {
            assert_eq!(of(what.clone()).refuses(&token), refuses, "{what:?}");
        }
        let later = claims(1_001);
        assert!(!of(Revoked::Meeting(meeting)).refuses(&later), "made since");
        // Tokens of older coordinators have no id.
        let mut nameless = claims(1_000);
        nameless.jti.clear();
        assert!(!of(Revoked::Token(String::new())).refuses(&nameless));
    }

    #[test]
    fn it_is_forgotten_when_what_it_takes_back_has_ended() {
        let revocation = Revocation {
            what: Revoked::Token("one".into()),
            at_s: 10,
            until_s: Some(20),
        };
        assert!(revocation.holds(20) && !revocation.holds(21));
    }
}
