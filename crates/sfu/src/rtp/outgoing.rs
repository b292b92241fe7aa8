//! One packet for one sink.

use super::{ExtensionBlock, FIXED_HEADER_BYTES, VERSION};
use crate::layer::Counters;

/// The most that a written packet is longer than its payload, in bytes: header, extensions and the
/// original sequence number of a retransmission. Padding comes on top.
pub const OUTGOING_OVERHEAD_MAX: usize = FIXED_HEADER_BYTES + ExtensionBlock::BYTES_MAX + 2;

/// A packet as one sink gets it: a header of its own before a payload that is shared.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// The marker bit.
    pub marker: bool,
    /// The sink's payload type.
    pub payload_type: u8,
    /// The sink's sequence number, unrolled: the lower 16 bits travel, the upper are SRTP's
    /// rollover counter (RFC 3711, section 3.3.1).
    pub index: u64,
    /// The timestamp.
    pub timestamp: u32,
    /// The sink's synchronization source.
    pub ssrc: u32,
    /// The sink's extensions.
    pub extensions: &'a ExtensionBlock,
    /// For a retransmission, the sequence number of the packet that it repeats (RFC 4588,
    /// section 4).
    pub original_sequence: Option<u16>,
    /// The payload.
    pub payload: &'a [u8],
    /// What counts pictures in the payload, with the sink's values.
    pub counters: Counters,
    /// Bytes of padding after the payload (RFC 3550, section 5.1); 0 for none.
    pub padding: u8,
}

impl Outgoing<'_> {
    /// Writes the packet and says how long its header and the whole are; `None` when `buffer` is
    /// shorter than the payload and [`OUTGOING_OVERHEAD_MAX`].
    pub fn write(&self, buffer: &mut [u8]) -> Option<(usize, usize)> {
        let padding = usize::from(self.padding);
        if buffer.len() < OUTGOING_OVERHEAD_MAX + self.payload.len() + padding {
            return None;
        }
        buffer[0] = VERSION << 6
            | u8::from(self.padding > 0) << 5
            | u8::from(!self.extensions.is_empty()) << 4;
        buffer[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        buffer[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        buffer[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        buffer[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let mut header = FIXED_HEADER_BYTES;
        if !self.extensions.is_empty() {
            header += self.extensions.write(&mut buffer[header..]);
        }
        let mut end = header;
        if let Some(original) = self.original_sequence {
            buffer[end..end + 2].copy_from_slice(&original.to_be_bytes());
            end += 2;
        }
        let payload = &mut buffer[end..end + self.payload.len()];
        payload.copy_from_slice(self.payload);
        renumber(payload, &self.counters);
        end += self.payload.len();
        if padding > 0 {
            buffer[end..end + padding].fill(0);
            buffer[end + padding - 1] = self.padding;
            end += padding;
        }
        Some((header, end))
    }
}

/// Writes the sink's own picture id and base layer index over the publisher's.
fn renumber(payload: &mut [u8], counters: &Counters) {
    if let Some(id) = counters.picture_id {
        let at = usize::from(id.at);
        if let (true, Some(bytes)) = (id.wide, payload.get_mut(at..at + 2)) {
            bytes.copy_from_slice(&(0x8000 | id.value).to_be_bytes());
        } else if let (false, Some(byte)) = (id.wide, payload.get_mut(at)) {
            *byte = (id.value & 0x7f) as u8;
        }
    }
    if let Some((at, value)) = counters.base_layer_index
        && let Some(byte) = payload.get_mut(usize::from(at))
    {
        *byte = value;
    }
}
