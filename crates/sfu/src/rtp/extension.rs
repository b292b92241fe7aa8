//! Header extensions (RFC 8285): what they are in the mesh, whatever number a client gives them.

use super::FIXED_HEADER_BYTES;

/// `0xBEDE`: elements with a one-byte header (RFC 8285, section 4.2).
const ONE_BYTE_PROFILE: u16 = 0xbede;

/// `0x100…`: elements with a two-byte header (RFC 8285, section 4.3).
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// The largest id that a one-byte header can carry.
const ONE_BYTE_ID_MAX: u8 = 14;

/// The largest value that a one-byte header can carry.
const ONE_BYTE_VALUE_MAX: usize = 16;

/// The longest block that is written, in bytes. What does not fit is left out. The dependency
/// structure of three spatial and three temporal layers takes about 100.
const BLOCK_BYTES_MAX: usize = 192;

/// A header extension that the mesh knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Extension {
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    AudioLevel = 1,
    /// The transport-wide sequence number of transport-cc.
    TransportCc = 2,
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 8843).
    Mid = 3,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    RtpStreamId = 4,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852).
    RepairedRtpStreamId = 5,
    /// `urn:3gpp:video-orientation`: how a phone is held.
    VideoOrientation = 6,
    /// The sender's wish for the receiver's playout delay.
    PlayoutDelay = 7,
    /// The AV1 dependency descriptor, which is used with other codecs too.
    DependencyDescriptor = 8,
    /// When a frame was captured, on the capturer's clock.
    AbsoluteCaptureTime = 9,
    /// Colour space of a picture, with HDR metadata.
    ColorSpace = 10,
    /// Between edges alone: how many packets, and how many whole pictures, were left out on purpose just
    /// before this packet, a byte each.
    LeftOut = 11,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::AudioLevel,
        Self::TransportCc,
        Self::Mid,
        Self::RtpStreamId,
        Self::RepairedRtpStreamId,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::DependencyDescriptor,
        Self::AbsoluteCaptureTime,
        Self::ColorSpace,
        Self::LeftOut,
    ];

    /// The URI that names it in SDP (RFC 8285, section 5); empty for what no client sends.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::RtpStreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRtpStreamId => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::AbsoluteCaptureTime => {
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
            }
            Self::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Self::LeftOut => "",
        }
    }

    /// The extension that `uri` names.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|extension| !uri.is_empty() && extension.uri() == uri)
    }

    /// Whether it describes the media, and so travels with it; the others describe one transport.
    #[must_use]
    pub const fn is_end_to_end(self) -> bool {
        !matches!(
            self,
            Self::TransportCc
                | Self::Mid
                | Self::RtpStreamId
                | Self::RepairedRtpStreamId
                | Self::LeftOut
        )
    }
}

/// The numbers that one participant, or the backbone, gives to extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionIds {
    ids: [u8; Extension::ALL.len() + 1],
}

impl ExtensionIds {
    /// No extension has a number.
    pub const NONE: Self = Self {
        ids: [0; Extension::ALL.len() + 1],
    };

    /// The numbers used between edges: those of [`Extension`] itself.
    #[must_use]
    pub fn backbone() -> Self {
        let mut ids = Self::NONE;
        for extension in Extension::ALL {
            ids.set(extension, extension as u8);
        }
        ids
    }

    /// Gives `extension` the number `id`; 0 takes it away.
    pub fn set(&mut self, extension: Extension, id: u8) {
        self.ids[extension as usize] = id;
    }

    /// The number of `extension`.
    #[must_use]
    pub fn id(&self, extension: Extension) -> Option<u8> {
        Some(self.ids[extension as usize]).filter(|&id| id != 0)
    }

    /// The extension with the number `id`.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<Extension> {
        Extension::ALL
            .into_iter()
            .find(|&extension| id != 0 && self.ids[extension as usize] == id)
    }
}

/// Calls `found(id, position, length)` for each element of the extension block that starts at
/// `start` and ends before `end`. Malformed elements end the search.
pub(super) fn elements(
    packet: &[u8],
    start: usize,
    end: usize,
    mut found: impl FnMut(u8, usize, usize),
) {
    let profile = u16::from_be_bytes([packet[start], packet[start + 1]]);
    let two_byte = profile & 0xfff0 == TWO_BYTE_PROFILE;
    if !two_byte && profile != ONE_BYTE_PROFILE {
        return;
    }
    let mut at = start + 4;
    while at < end {
        let first = packet[at];
        if first == 0 {
            at += 1;
            continue;
        }
        let (id, length, value) = if two_byte {
            let Some(&length) = packet[..end].get(at + 1) else {
                return;
            };
            (first, usize::from(length), at + 2)
        } else {
            let id = first >> 4;
            if id == 15 {
                return;
            }
            (id, usize::from(first & 0x0f) + 1, at + 1)
        };
        if value + length > end {
            return;
        }
        found(id, value, length);
        at = value + length;
    }
}

/// An extension block being put together for one sink, as it is written, without its header and padding.
#[derive(Debug, Clone)]
pub struct ExtensionBlock {
    /// Zeroes from `used` on: padding.
    elements: [u8; BLOCK_BYTES_MAX],
    used: usize,
    two_byte: bool,
}

impl Default for ExtensionBlock {
    fn default() -> Self {
        Self {
            elements: [0; BLOCK_BYTES_MAX],
            used: 0,
            two_byte: false,
        }
    }
}

impl ExtensionBlock {
    /// Adds an element and gives its value as it stands in the block. What would make the block too
    /// long is left out.
    #[inline]
    pub fn push(&mut self, id: u8, value: &[u8]) -> Option<&mut [u8]> {
        let length = value.len();
        let short = id <= ONE_BYTE_ID_MAX && (1..=ONE_BYTE_VALUE_MAX).contains(&length);
        if !short && !self.two_byte {
            self.lengthen(length)?;
        }
        let start = self.used + 1 + usize::from(self.two_byte);
        let end = start + length;
        if length > u8::MAX as usize || end > BLOCK_BYTES_MAX {
            return None;
        }
        // Both lengths fit their bits, as was seen above.
        if self.two_byte {
            self.elements[self.used] = id;
            self.elements[self.used + 1] = length as u8;
        } else {
            self.elements[self.used] = id << 4 | (length as u8 - 1);
        }
        self.used = end;
        let written = &mut self.elements[start..end];
        written.copy_from_slice(value);
        Some(written)
    }

    /// Gives each element the longer header, if there is room for that and for one more of `length`.
    fn lengthen(&mut self, length: usize) -> Option<()> {
        let mut longer = [0; BLOCK_BYTES_MAX];
        let (mut from, mut to) = (0, 0);
        while from < self.used {
            let first = self.elements[from];
            let bytes = usize::from(first & 0x0f) + 1;
            let value = self.elements.get(from + 1..from + 1 + bytes)?;
            longer
                .get_mut(to + 2..to + 2 + bytes)?
                .copy_from_slice(value);
            // One to sixteen.
            (longer[to], longer[to + 1]) = (first >> 4, bytes as u8);
            from += 1 + bytes;
            to += 2 + bytes;
        }
        if length > u8::MAX as usize || to + 2 + length > BLOCK_BYTES_MAX {
            return None;
        }
        (self.elements, self.used, self.two_byte) = (longer, to, true);
        Some(())
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The longest block, with its header.
    pub(super) const BYTES_MAX: usize = 4 + BLOCK_BYTES_MAX;

    /// Writes the block into `buffer`, which has room for [`Self::BYTES_MAX`], and says how long
    /// it is.
    #[inline]
    pub(super) fn write(&self, buffer: &mut [u8]) -> usize {
        let profile = if self.two_byte {
            TWO_BYTE_PROFILE
        } else {
            ONE_BYTE_PROFILE
        };
        let words = self.used.div_ceil(WORD);
        let (head, rest) = buffer.split_at_mut(WORD);
        head[..2].copy_from_slice(&profile.to_be_bytes());
        // At most 48.
        head[2..].copy_from_slice(&(words as u16).to_be_bytes());
        // Word by word: there are one or two, which is no work for a call.
        let (to, from) = (
            rest.as_chunks_mut::<WORD>().0,
            self.elements.as_chunks::<WORD>().0,
        );
        for (to, from) in to.iter_mut().zip(&from[..words]) {
            *to = *from;
        }
        WORD + words * WORD
    }
}

/// Blocks are this long and multiples of it (RFC 3550, section 5.3.1).
const WORD: usize = 4;

const _: () = assert!(BLOCK_BYTES_MAX.is_multiple_of(WORD));
const _: () = assert!(FIXED_HEADER_BYTES.is_multiple_of(4));
