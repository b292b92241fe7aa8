//! The latest packets of a track, for retransmission.

use sluice_types::room::MediaKind;

use super::encoding::Passing;
use crate::codec::Codec;
use crate::layer::Unit;
use crate::layer::dependency::Descriptor;
use crate::rtp::Header;

/// The longest packet that is kept, in bytes. Browsers stay below 1,250.
pub(super) const PACKET_BYTES_MAX: usize = 1_500;

/// Packets of a video's largest encoding: 0.4 s at 2.5 Mbit/s, 160 KB once full. Each smaller one
/// has half of that, which lasts longer, since it has a quarter of the bits.
const VIDEO_PACKETS: usize = 128;
const VIDEO_PACKETS_MIN: usize = 64;

/// An audio track's packets: 0.6 s.
const AUDIO_PACKETS: usize = 32;

/// A packet that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) header: Header,
    pub(super) codec: Codec,
    pub(super) unit: Unit,
    pub(super) picture: Option<u64>,
    pub(super) dependency: Option<Descriptor>,
    bytes: Vec<u8>,
}

impl Kept {
    pub(super) fn packet(&self) -> &[u8] {
        &self.bytes
    }
}

/// A ring of packets by their unrolled sequence number. A slot's buffer grows to the longest packet
/// it ever held and is used again, so that a warm ring allocates nothing.
#[derive(Debug)]
pub(super) struct History {
    slots: Vec<Option<Kept>>,
}

impl History {
    /// Of an encoding with so many larger ones above it.
    pub(super) fn new(kind: MediaKind, larger: usize) -> Self {
        let packets = match kind {
            MediaKind::Audio => AUDIO_PACKETS,
            MediaKind::Video => (VIDEO_PACKETS >> larger.min(8)).max(VIDEO_PACKETS_MIN),
        };
        let mut slots = Vec::new();
        slots.resize_with(packets, || None);
        Self { slots }
    }

    fn slot(&self, number: u64) -> usize {
        // The remainder is below the slots' count.
        (number % self.slots.len() as u64) as usize
    }

    /// Keeps a packet in place of the one that is a whole ring older.
    pub(super) fn keep(&mut self, passing: &Passing<'_>) {
        if passing.packet.len() > PACKET_BYTES_MAX {
            return;
        }
        let number = passing.number;
        let slot = self.slot(number);
        let mut bytes = match self.slots[slot].take() {
            Some(newer) if newer.number > number => {
                self.slots[slot] = Some(newer);
                return;
            }
            Some(older) => older.bytes,
            None => Vec::new(),
        };
        bytes.clear();
        bytes.reserve_exact(passing.packet.len());
        bytes.extend_from_slice(passing.packet);
        self.slots[slot] = Some(Kept {
            number,
            header: *passing.header,
            codec: passing.codec,
            unit: passing.unit,
            picture: passing.picture,
            dependency: passing.dependency,
            bytes,
        });
    }

    /// Lends a packet out, until [`Self::give_back`].
    pub(super) fn lend(&mut self, number: u64) -> Option<Kept> {
        let slot = self.slot(number);
        self.slots[slot].take_if(|kept| kept.number == number)
    }

    /// Takes back what was lent.
    pub(super) fn give_back(&mut self, kept: Kept) {
        let slot = self.slot(kept.number);
        self.slots[slot] = Some(kept);
    }

    /// The packet with that number, while it is kept.
    pub(super) fn packet(&self, number: u64) -> Option<&Kept> {
        self.slots[self.slot(number)]
            .as_ref()
            .filter(|kept| kept.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::EncodingId;
    use crate::rtp::ExtensionIds;

    fn passing<'a>(number: u64, header: &'a Header, packet: &'a [u8]) -> Passing<'a> {
        Passing {
            encoding: EncodingId(0),
            number,
            codec: Codec::Opus,
            header,
            packet,
            unit: Unit::default(),
            picture: None,
            dependency: None,
        }
    }

    #[test]
    fn a_newer_packet_is_never_replaced_by_an_older_one() {
        let mut history = History::new(MediaKind::Audio, 0);
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        let header = Header::parse(&packet, &ExtensionIds::NONE).expect("RTP");
        history.keep(&passing(100, &header, &packet));
        packet[12] = 8;
        history.keep(&passing(100 - AUDIO_PACKETS as u64, &header, &packet));
        assert_eq!(history.packet(100).map(|kept| kept.packet()[12]), Some(7));
        assert!(history.packet(100 - AUDIO_PACKETS as u64).is_none());
        history.keep(&passing(100 + AUDIO_PACKETS as u64, &header, &packet));
        assert!(history.packet(100).is_none());
    }
}
