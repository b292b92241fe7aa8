//! RTP packets (RFC 3550): reading headers once, writing them anew for each sink.

mod extension;
mod outgoing;
#[cfg(test)]
mod tests;

pub use extension::{Extension, ExtensionBlock, ExtensionIds};
pub use outgoing::{OUTGOING_OVERHEAD_MAX, Outgoing};

use thiserror::Error;

/// The RTP version that there is (RFC 3550, section 5.1).
const VERSION: u8 = 2;

/// The fixed part of a header, in bytes.
pub const FIXED_HEADER_BYTES: usize = 12;

/// The most known extensions that one header is searched for; more are ignored.
const EXTENSIONS_MAX: usize = 8;

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtpError {
    /// The packet ends before its header does.
    #[error("an RTP packet of {bytes} bytes ends inside its header")]
    Short {
        /// Its length.
        bytes: usize,
    },
    /// The version bits are not 2.
    #[error("RTP version {found}; only 2 is known")]
    Version {
        /// The version bits.
        found: u8,
    },
    /// The padding is longer than the payload.
    #[error("{padding} bytes of padding in a payload of {payload}")]
    Padding {
        /// What the last byte says.
        padding: usize,
        /// What there is.
        payload: usize,
    },
}

/// A header, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The marker bit: for video the last packet of a picture.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp, in units of the codec's clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
    payload_start: u16,
    payload_end: u16,
    extensions: [(Extension, u16, u8); EXTENSIONS_MAX],
    extension_count: u8,
    describes_media: bool,
}

/// The length of the header of `packet`, which is what SRTP leaves in clear (RFC 3711, section 3.1).
///
/// # Errors
/// When it is not RTP, or ends inside its header.
pub fn header_bytes(packet: &[u8]) -> Result<usize, RtpError> {
    let short = RtpError::Short {
        bytes: packet.len(),
    };
    if packet.len() < FIXED_HEADER_BYTES {
        return Err(short);
    }
    let version = packet[0] >> 6;
    if version != VERSION {
        return Err(RtpError::Version { found: version });
    }
    let mut length = FIXED_HEADER_BYTES + usize::from(packet[0] & 0x0f) * 4;
    if packet[0] & 0x10 != 0 {
        let words = packet
            .get(length + 2..length + 4)
            .ok_or(short)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))?;
        length += 4 + usize::from(words) * 4;
    }
    if length > packet.len() {
        return Err(short);
    }
    Ok(length)
}

impl Header {
    /// Reads the header of a plain packet whose extensions have the ids `ids`.
    ///
    /// # Errors
    /// See [`RtpError`].
    pub fn parse(packet: &[u8], ids: &ExtensionIds) -> Result<Self, RtpError> {
        let payload_start = header_bytes(packet)?;
        let mut payload_end = packet.len();
        if packet[0] & 0x20 != 0 {
            let padding = usize::from(packet[payload_end - 1]);
            let payload = payload_end - payload_start;
            if padding == 0 || padding > payload {
                return Err(RtpError::Padding { padding, payload });
            }
            payload_end -= padding;
        }
        let word = |at: usize| {
            u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
        };
        let mut header = Self {
            marker: packet[1] & 0x80 != 0,
            payload_type: packet[1] & 0x7f,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: word(4),
            ssrc: word(8),
            payload_start: narrow(payload_start)?,
            payload_end: narrow(payload_end)?,
            extensions: [(Extension::Mid, 0, 0); EXTENSIONS_MAX],
            extension_count: 0,
            describes_media: false,
        };
        if packet[0] & 0x10 != 0 {
            let start = FIXED_HEADER_BYTES + usize::from(packet[0] & 0x0f) * 4;
            extension::elements(packet, start, payload_start, |id, at, length| {
                header.note(ids.extension(id), at, length);
            });
        }
        Ok(header)
    }

    fn note(&mut self, extension: Option<Extension>, at: usize, length: usize) {
        let free = usize::from(self.extension_count);
        if let (Some(extension), true, Ok(at), Ok(length)) = (
            extension,
            free < EXTENSIONS_MAX,
            u16::try_from(at),
            u8::try_from(length),
        ) {
            self.extensions[free] = (extension, at, length);
            self.extension_count += 1;
            self.describes_media |= extension.is_end_to_end();
        }
    }

    /// Whether any of the extensions describes the media, and so travels with it.
    #[must_use]
    pub const fn describes_media(&self) -> bool {
        self.describes_media
    }

    /// The payload, without padding, of the packet that this header was read from.
    #[must_use]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        &packet[usize::from(self.payload_start)..usize::from(self.payload_end)]
    }

    /// Takes the original sequence number off a retransmission's payload (RFC 4588, section 4);
    /// `None` when the payload is too short for one.
    pub fn take_original_sequence(&mut self, packet: &[u8]) -> Option<u16> {
        let &[high, low, ..] = self.payload(packet) else {
            return None;
        };
        self.payload_start += 2;
        Some(u16::from_be_bytes([high, low]))
    }

    /// The value of an extension, when the header carries it.
    #[must_use]
    pub fn extension<'a>(&self, packet: &'a [u8], wanted: Extension) -> Option<&'a [u8]> {
        self.extensions(packet)
            .find_map(|(extension, value)| (extension == wanted).then_some(value))
    }

    /// Every known extension that the header carries.
    pub fn extensions<'a>(
        &self,
        packet: &'a [u8],
    ) -> impl Iterator<Item = (Extension, &'a [u8])> + use<'a> {
        let found = self.extensions;
        (0..usize::from(self.extension_count)).map(move |i| {
            let (extension, at, length) = found[i];
            (
                extension,
                &packet[usize::from(at)..usize::from(at) + usize::from(length)],
            )
        })
    }
}

/// A position in a packet as 16 bits: UDP payloads are shorter than 64 KiB.
fn narrow(position: usize) -> Result<u16, RtpError> {
    u16::try_from(position).map_err(|_| RtpError::Short { bytes: position })
}
