//! Names of things. Every id is parsed once, at the boundary; afterwards it is known to be valid.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is not a {kind}: {allowed} is allowed")]
pub struct InvalidId {
    /// What the text should have been, for example `meeting id`.
    pub kind: &'static str,
    /// The offending text, cut to 64 characters.
    pub value: String,
    /// What is allowed instead.
    pub allowed: &'static str,
}

impl InvalidId {
    fn new(kind: &'static str, value: &str, allowed: &'static str) -> Self {
        Self {
            kind,
            value: value.chars().take(64).collect(),
            allowed,
        }
    }
}

/// Crockford's base 32: no letter that is read as another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Writes `bytes` as Crockford base 32, five bits a character, most significant first.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for &byte in bytes {
        buffer = buffer << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(buffer >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(buffer << (5 - bits) & 31) as usize]));
    }
    text
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $allowed:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidId::new($kind, text, $allowed))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal, $bytes:literal) => {
        text_id!(
            $(#[$doc])*
            $name,
            $kind,
            concat!($prefix, " followed by 8 to 40 letters or digits"),
            |text| text.strip_prefix($prefix).is_some_and(|rest| {
                (8..=40).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        );

        impl $name {
            /// How many random bytes [`Self::from_random`] takes.
            pub const RANDOM_BYTES: usize = $bytes;

            /// The id made of these random bytes; unique when they are random.
            #[must_use]
            pub fn from_random(bytes: [u8; $bytes]) -> Self {
                Self(Arc::from(format!(concat!($prefix, "{}"), base32(&bytes))))
            }
        }
    };
}

random_id!(
    /// A meeting, and the room that is its live media state: `mtg_…`.
    MeetingId, "meeting id", "mtg_", 10
);
random_id!(
    /// A participant of one meeting: `pt_…`.
    ParticipantId, "participant id", "pt_", 10
);
random_id!(
    /// A published track, unique in the mesh: `tr_…`.
    TrackId, "track id", "tr_", 10
);
random_id!(
    /// The secret that makes its bearer a host of one meeting: `hk_…`. Never logged.
    HostKey, "host key", "hk_", 20
);
random_id!(
    /// The secret in a meeting's join link: `iv_…`. Never logged.
    Invite, "invite", "iv_", 15
);
random_id!(
    /// The secret with which a client resumes its signalling session: `rs_…`. Never logged.
    ResumeToken, "resume token", "rs_", 20
);

fn is_host_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

text_id!(
    /// A region's name, the stem of its file in `regions/`.
    RegionName,
    "region name",
    "1 to 40 of a-z, 0-9 and inner hyphens",
    is_host_label
);
text_id!(
    /// An edge's name: its region's, a hyphen, and what tells it from its neighbours (`paris-1`).
    EdgeId,
    "edge id",
    "1 to 40 of a-z, 0-9 and inner hyphens",
    is_host_label
);
text_id!(
    /// The public half of an API key, which names the key and through it the tenant.
    ApiKeyId,
    "API key",
    "3 to 64 of A-Z, a-z, 0-9, `-` and `_`",
    |text| (3..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);

impl EdgeId {
    /// The `n`th edge of a region, counted from 1.
    ///
    /// # Errors
    /// When the region's name leaves no room for the number.
    pub fn nth(region: &RegionName, n: u32) -> Result<Self, InvalidId> {
        format!("{region}-{n}").parse()
    }
}

/// The version of a room's plan; a higher one replaces a lower one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// For how long one coordinator plans: each time that one begins to, in place of another or after a
/// restart, its term is higher than all before. What is said in a lower term is void.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One relay on one backbone connection, in the direction from parent to child; chosen by the
/// child, unique among the relays it receives on that connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayId(pub u32);

impl fmt::Display for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
