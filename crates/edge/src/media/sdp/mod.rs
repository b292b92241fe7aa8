//! Offers and answers (RFC 3264, RFC 8829): reading a client's, writing the edge's.
//!
//! Nothing here decides anything about a session; [`super::session`] does.

mod codec;
mod read;
#[cfg(test)]
mod tests;
mod write;

use sluice_sfu::codec::Codec;
use sluice_sfu::codec::PayloadTypes;
use sluice_sfu::forward::{AnnouncedEncoding, Formats};
use sluice_sfu::rtp::{Extension, ExtensionIds};
use sluice_types::room::MediaKind;
use thiserror::Error;

use sluice_wire::dtls::Fingerprint;

pub(crate) use read::read;
pub(crate) use write::{Description, LocalMedia, SendStream, Transport};

/// The most m-lines in one description: an audio and a video line for each of 100 participants.
pub(crate) const MEDIA_MAX: usize = 256;

/// Why a client's description is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SdpError {
    /// It is not SDP.
    #[error("the SDP cannot be read: {0}")]
    Syntax(String),
    /// Something the edge needs is missing.
    #[error("the SDP lacks `{0}`")]
    Missing(&'static str),
    /// Something has a value that is not allowed.
    #[error("`{attribute}:{value}` in the SDP; allowed: {allowed}")]
    Value {
        /// The attribute.
        attribute: &'static str,
        /// Its value, cut to 100 characters.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The m-lines do not continue those of the session (RFC 3264, section 8).
    #[error("m-line {index} of the SDP is not the one of the session so far (`mid:{expected}`)")]
    Changed {
        /// Which, from 0.
        index: usize,
        /// What it was.
        expected: String,
    },
    /// There are too many m-lines.
    #[error("{found} m-lines; at most {MEDIA_MAX} are allowed")]
    TooManyMedia {
        /// How many.
        found: usize,
    },
    /// The answer is not to the outstanding offer.
    #[error("an answer to offer {found}; {expected}")]
    StaleRevision {
        /// What the answer names.
        found: u64,
        /// What it should.
        expected: String,
    },
    /// The edge's own offer is under way.
    #[error("the edge's own offer is under way: answer it, then offer again")]
    Glare,
}

/// Which way an m-line's media goes, as seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) sends: bool,
    pub(crate) receives: bool,
}

/// One format of an m-line that the edge knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    pub(crate) retransmission: Option<u8>,
    /// Its `a=rtpmap` and `a=fmtp` values, which are given back as they came.
    pub(crate) rtpmap: String,
    pub(crate) fmtp: Option<String>,
    /// Whether the client answers NACKs for it.
    pub(crate) nack: bool,
}

/// An m-line as the client describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteMedia {
    pub(crate) mid: String,
    /// `None` for data channels and whatever else is not passed through.
    pub(crate) kind: Option<MediaKind>,
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) rejected: bool,
    pub(crate) direction: Direction,
    pub(crate) formats: Vec<Format>,
    pub(crate) extensions: Vec<(Extension, u8)>,
    /// What it sends, the lowest encoding first.
    pub(crate) encodings: Vec<AnnouncedEncoding>,
}

impl RemoteMedia {
    /// Whether it is for data channels (RFC 8841).
    pub(crate) fn is_data(&self) -> bool {
        self.name == "application" && self.protocol.ends_with("DTLS/SCTP")
    }
}

/// A client's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteDescription {
    pub(crate) ufrag: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) media: Vec<RemoteMedia>,
}

/// The formats and extensions of one kind, as the client's first m-line of that kind numbers them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KindFormats {
    pub(crate) formats: Vec<Format>,
    pub(crate) extensions: Vec<(Extension, u8)>,
}

/// How a client numbers things, over all its m-lines.
pub(crate) fn numbering<'a>(kinds: impl IntoIterator<Item = &'a KindFormats>) -> Formats {
    let mut numbering = Formats {
        payload_types: PayloadTypes::default(),
        extensions: ExtensionIds::NONE,
    };
    for kind in kinds {
        for format in &kind.formats {
            numbering
                .payload_types
                .set(format.codec, format.payload_type, format.retransmission);
        }
        for &(extension, id) in &kind.extensions {
            numbering.extensions.set(extension, id);
        }
    }
    numbering
}
