//! The codecs that are passed through.

use sluice_types::room::MediaKind;

/// A codec, with what makes two of its streams undecodable for one another's receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628), profile 0.
    Vp9,
    /// H.264 (RFC 6184), constrained baseline, packetization mode 1.
    H264ConstrainedBaseline,
    /// H.264, baseline, packetization mode 1.
    H264Baseline,
    /// H.264, main, packetization mode 1.
    H264Main,
    /// H.264, high, packetization mode 1.
    H264High,
    /// AV1, main profile.
    Av1,
    /// Opus with earlier packets repeated before each (RFC 2198).
    RedOpus,
}

impl Codec {
    /// All of them; a codec's place is its payload type on the backbone.
    pub const ALL: [Self; 9] = [
        Self::Opus,
        Self::Vp8,
        Self::Vp9,
        Self::H264ConstrainedBaseline,
        Self::H264Baseline,
        Self::H264Main,
        Self::H264High,
        Self::Av1,
        Self::RedOpus,
    ];

    /// Sound or pictures.
    #[must_use]
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::RedOpus => MediaKind::Audio,
            _ => MediaKind::Video,
        }
    }

    /// Ticks of the RTP clock in a second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::RedOpus => 48_000,
            _ => 90_000,
        }
    }

    /// The payload type between edges.
    #[must_use]
    pub fn backbone_payload_type(self) -> u8 {
        // There are nine.
        Self::ALL
            .iter()
            .position(|&codec| codec == self)
            .unwrap_or(0) as u8
    }
}

/// The payload types of one participant, or of the backbone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayloadTypes {
    formats: Vec<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    codec: Codec,
    payload_type: u8,
    retransmission: Option<u8>,
}

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Media of this codec.
    Media(Codec),
    /// Retransmissions of this codec (RFC 4588).
    Retransmission(Codec),
}

impl PayloadTypes {
    /// The payload types used between edges.
    #[must_use]
    pub fn backbone() -> Self {
        let mut types = Self::default();
        for codec in Codec::ALL {
            types.set(codec, codec.backbone_payload_type(), None);
        }
        types
    }

    /// Gives `codec` a payload type, and one for its retransmissions. A codec that has one already
    /// keeps it.
    pub fn set(&mut self, codec: Codec, payload_type: u8, retransmission: Option<u8>) {
        if self.of(codec).is_none() {
            self.formats.push(Format {
                codec,
                payload_type,
                retransmission,
            });
        }
    }

    /// What `payload_type` stands for.
    #[must_use]
    pub fn payload(&self, payload_type: u8) -> Option<Payload> {
        self.formats.iter().find_map(|format| {
            if format.payload_type == payload_type {
                Some(Payload::Media(format.codec))
            } else if format.retransmission == Some(payload_type) {
                Some(Payload::Retransmission(format.codec))
            } else {
                None
            }
        })
    }

    /// The payload type of `codec`.
    #[must_use]
    pub fn of(&self, codec: Codec) -> Option<u8> {
        self.formats
            .iter()
            .find_map(|format| (format.codec == codec).then_some(format.payload_type))
    }

    /// The payload type of retransmissions of `codec`.
    #[must_use]
    pub fn retransmission_of(&self, codec: Codec) -> Option<u8> {
        self.formats
            .iter()
            .find(|format| format.codec == codec)
            .and_then(|format| format.retransmission)
    }
}
