//! What is remembered of packets that went out, so that they can be written again from those that are
//! kept.

use sluice_types::layers::ENCODINGS_MAX;

use super::encoding::EncodingId;
use crate::layer::Counters;

/// A packet as it went out, or is about to: enough to write it again from the one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentPacket {
    pub(super) index: u64,
    pub(super) number: u64,
    pub(super) timestamp: u32,
    pub(super) picture_id: u16,
    pub(super) frame: u16,
    pub(super) base_layer_index: u8,
    pub(super) encoding: EncodingId,
    pub(super) marker: bool,
    /// It took the place of a packet that was left out, and has no payload.
    pub(super) filler: bool,
}

/// The same in 16 bytes, of which each receiver has as many for each video as are remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    /// The lower half of the publisher's number.
    number: u32,
    timestamp: u32,
    picture_id: u16,
    frame: u16,
    /// The lowest quarter of the index: those of one place are a whole ring apart.
    index: u16,
    base_layer_index: u8,
    /// See the bits below; none is set where nothing is remembered.
    flags: u8,
}

/// The encoding's place in the lower bits, of which there are [`ENCODINGS_MAX`].
const ENCODING: u8 = 0b11;
const MARKER: u8 = 1 << 2;
const FILLER: u8 = 1 << 3;
const THERE: u8 = 1 << 4;

const _: () = assert!(ENCODINGS_MAX <= ENCODING as usize + 1);

impl Remembered {
    pub(super) const NOTHING: Self = Self {
        number: 0,
        timestamp: 0,
        picture_id: 0,
        frame: 0,
        index: 0,
        base_layer_index: 0,
        flags: 0,
    };

    pub(super) fn new(sent: &SentPacket) -> Self {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        Self {
            // Lower halves, as said above.
            number: sent.number as u32,
            timestamp: sent.timestamp,
            picture_id: sent.picture_id,
            frame: sent.frame,
            index: sent.index as u16,
            base_layer_index: sent.base_layer_index,
            flags: sent.encoding.0 & ENCODING
                | flag(sent.marker, MARKER)
                | flag(sent.filler, FILLER)
                | THERE,
        }
    }

    /// The packet, if it is the one with that index; `near` is a number of the publisher within 2³¹ of
    /// its own.
    pub(super) fn as_sent(&self, index: u64, near: u64) -> Option<SentPacket> {
        let number =
            near.wrapping_add_signed(i64::from(self.number.wrapping_sub(near as u32) as i32));
        (self.flags & THERE != 0 && self.index == index as u16).then_some(SentPacket {
            index,
            number,
            timestamp: self.timestamp,
            picture_id: self.picture_id,
            frame: self.frame,
            base_layer_index: self.base_layer_index,
            encoding: EncodingId(self.flags & ENCODING),
            marker: self.flags & MARKER != 0,
            filler: self.flags & FILLER != 0,
        })
    }
}

impl SentPacket {
    /// The payload's counters with the sink's values.
    pub(super) fn counters(&self, publishers: &Counters) -> Counters {
        let mut counters = *publishers;
        if let Some(id) = &mut counters.picture_id {
            id.value = self.picture_id & if id.wide { 0x7fff } else { 0x7f };
        }
        if let Some((_, value)) = &mut counters.base_layer_index {
            *value = self.base_layer_index;
        }
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_sent() {
        for bits in 0..16u8 {
            let sent = SentPacket {
                index: 0x1_0000_0403 + u64::from(bits),
                number: (1 << 40) + u64::from(bits) * 7,
                timestamp: u32::MAX - u32::from(bits),
                picture_id: 0x7fff,
                frame: 0xfffe,
                base_layer_index: 255,
                encoding: EncodingId(bits % ENCODINGS_MAX as u8),
                marker: bits & 4 != 0,
                filler: bits & 8 != 0,
            };
            let remembered = Remembered::new(&sent);
            for near in [1 << 40, (1 << 40) - 5_000_000, (1 << 40) + 5_000_000] {
                assert_eq!(remembered.as_sent(sent.index, near), Some(sent));
            }
            assert_eq!(remembered.as_sent(sent.index + 128, 1 << 40), None);
        }
        assert_eq!(Remembered::NOTHING.as_sent(0, 0), None);
    }
}
