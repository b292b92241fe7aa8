//! QUIC datagrams of the backbone (RFC 9221): a compact header before what a relay carries.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | kind: 0 a whole packet, 1 its first half, 2 its second half, 3 a sender clock |
//! | 1 to 4 | relay id, a variable-length integer (RFC 9000, section 16) |
//! | 2 | hop sequence number, big-endian; both halves of a packet have the same |
//! | rest | the packet or its half; for a sender clock 8 bytes of NTP time, 4 of RTP time and 1 that says of which encoding |

use bytes::{BufMut, Bytes, BytesMut};
use sluice_types::ids::RelayId;
use thiserror::Error;

/// The longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 1 + 4 + 2;

/// The highest relay id: what four bytes of variable-length integer hold.
pub const RELAY_ID_MAX: u32 = (1 << 30) - 1;

/// Bytes of a sender clock.
pub const CLOCK_BYTES: usize = 13;

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole packet.
    Whole,
    /// The first half of a packet.
    FirstHalf,
    /// The second half of a packet.
    SecondHalf,
    /// A sender clock.
    Clock,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::FirstHalf => 1,
            Self::SecondHalf => 2,
            Self::Clock => 3,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Whole),
            1 => Some(Self::FirstHalf),
            2 => Some(Self::SecondHalf),
            3 => Some(Self::Clock),
            _ => None,
        }
    }
}

/// A datagram that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The relay that it belongs to.
    pub relay: RelayId,
    /// What it carries.
    pub kind: Kind,
    /// The hop sequence number.
    pub sequence: u16,
    /// What it carries, itself.
    pub payload: Bytes,
}

/// Why something cannot be a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// It ends inside its header, or its kind is unknown.
    #[error("not a datagram of a relay")]
    Malformed,
    /// Not even two datagrams hold the packet.
    #[error("a packet of {bytes} bytes does not fit into two datagrams of {datagram}")]
    TooLong {
        /// The packet's length.
        bytes: usize,
        /// The longest datagram.
        datagram: usize,
    },
}

/// Kind, relay and number.
const fn header_bytes(RelayId(relay): RelayId) -> usize {
    match relay {
        0..=63 => 1 + 1 + 2,
        64..=16_383 => 1 + 2 + 2,
        _ => HEADER_BYTES_MAX,
    }
}

fn put_header(buffer: &mut BytesMut, kind: Kind, RelayId(relay): RelayId, sequence: u16) {
    buffer.put_u8(kind.byte());
    match relay {
        0..=63 => buffer.put_u8(relay as u8),
        64..=16_383 => buffer.put_u16(0x4000 | relay as u16),
        _ => buffer.put_u32(0x8000_0000 | relay & RELAY_ID_MAX),
    }
    buffer.put_u16(sequence);
}

impl Datagram {
    /// Reads a datagram.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(mut bytes: Bytes) -> Result<Self, DatagramError> {
        let kind = bytes
            .first()
            .and_then(|&byte| Kind::from_byte(byte))
            .ok_or(DatagramError::Malformed)?;
        let length = match bytes.get(1).map(|byte| byte >> 6) {
            Some(0) => 1,
            Some(1) => 2,
            Some(2) => 4,
            _ => return Err(DatagramError::Malformed),
        };
        let header = bytes
            .get(1..1 + length + 2)
            .ok_or(DatagramError::Malformed)?;
        let mark = 0x3f;
        let relay = header[1..length]
            .iter()
            .fold(u32::from(header[0] & mark), |id, &byte| {
                id << 8 | u32::from(byte)
            });
        let sequence = u16::from_be_bytes([header[length], header[length + 1]]);
        Ok(Self {
            relay: RelayId(relay),
            kind,
            sequence,
            payload: bytes.split_off(1 + length + 2),
        })
    }
}

/// The sending end of one relay: numbers packets, and splits those that are too long.
#[derive(Debug, Clone)]
pub struct Splitter {
    relay: RelayId,
    next: u16,
    clocks: u16,
}

/// The datagrams of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// It fits.
    Whole(Bytes),
    /// It takes two.
    Halves([Bytes; 2]),
}

impl Splitter {
    /// The first packet gets the hop sequence number 0.
    #[must_use]
    pub const fn new(relay: RelayId) -> Self {
        Self {
            relay,
            next: 0,
            clocks: 0,
        }
    }

    /// The datagrams, of at most `datagram` bytes each, that carry `packet`.
    ///
    /// # Errors
    /// When two are not enough.
    pub fn split(&mut self, packet: &[u8], datagram: usize) -> Result<Split, DatagramError> {
        let room = datagram.saturating_sub(header_bytes(self.relay));
        if packet.len() > 2 * room {
            return Err(DatagramError::TooLong {
                bytes: packet.len(),
                datagram,
            });
        }
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        let one = |kind, part: &[u8]| {
            let mut buffer = BytesMut::with_capacity(HEADER_BYTES_MAX + part.len());
            put_header(&mut buffer, kind, self.relay, sequence);
            buffer.put_slice(part);
            buffer.freeze()
        };
        if packet.len() <= room {
            return Ok(Split::Whole(one(Kind::Whole, packet)));
        }
        let (first, second) = packet.split_at(packet.len().div_ceil(2));
        Ok(Split::Halves([
            one(Kind::FirstHalf, first),
            one(Kind::SecondHalf, second),
        ]))
    }

    /// The datagram that carries a sender clock: NTP time, RTP time and encoding, as [`write_clock`]
    /// has them.
    pub fn clock(&mut self, clock: &[u8; CLOCK_BYTES]) -> Bytes {
        let mut buffer = BytesMut::with_capacity(HEADER_BYTES_MAX + CLOCK_BYTES);
        put_header(&mut buffer, Kind::Clock, self.relay, self.clocks);
        self.clocks = self.clocks.wrapping_add(1);
        buffer.put_slice(clock);
        buffer.freeze()
    }
}

/// A sender clock as its datagram carries it.
#[must_use]
pub fn write_clock(ntp: u64, rtp: u32, encoding: u8) -> [u8; CLOCK_BYTES] {
    let mut clock = [encoding; CLOCK_BYTES];
    clock[..8].copy_from_slice(&ntp.to_be_bytes());
    clock[8..12].copy_from_slice(&rtp.to_be_bytes());
    clock
}

/// The two numbers of a sender clock, and whose it is.
#[must_use]
pub fn read_clock(payload: &[u8]) -> Option<(u64, u32, u8)> {
    let (ntp, rest) = payload.split_first_chunk::<8>()?;
    let (rtp, rest) = rest.split_first_chunk::<4>()?;
    let &[encoding] = rest else { return None };
    Some((u64::from_be_bytes(*ntp), u32::from_be_bytes(*rtp), encoding))
}
