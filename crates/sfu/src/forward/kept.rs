//! Packets that were kept, and buffers for those that will be.

use std::mem;
use std::time::Duration;

use sluice_types::units::Time;

use super::encoding::Passing;
use crate::codec::Codec;
use crate::layer::Unit;
use crate::layer::dependency::Descriptor;
use crate::rtp::Header;

/// The longest packet that is kept, in bytes. Browsers stay below 1,250.
pub(super) const PACKET_BYTES_MAX: usize = 1_500;

/// A packet that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) at: Time,
    pub(super) header: Header,
    pub(super) codec: Codec,
    pub(super) unit: Unit,
    pub(super) picture: Option<u64>,
    pub(super) dependency: Option<Descriptor>,
    bytes: Vec<u8>,
}

impl Kept {
    /// What its buffer takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn packet(&self) -> &[u8] {
        &self.bytes
    }
}

/// Buffers have lengths of so many bytes and their multiples.
const CLASS_BYTES: usize = 128;
const CLASSES: usize = PACKET_BYTES_MAX.div_ceil(CLASS_BYTES);

/// The most bytes of buffers that wait for a packet; with more, they go back to where they came from.
const POOLED_BYTES_MAX: usize = 2 * 1_024 * 1_024;

/// How often buffers that were not needed since the last time go back to where they came from: longer than
/// key frames are apart.
pub(super) const TRIM_INTERVAL: Duration = Duration::from_secs(10);

/// Buffers of packets that are no longer kept, for those that will be: once warm, nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Pool {
    #[expect(clippy::vec_box, reason = "rings of packets hold them by their boxes")]
    pub(super) free: [Vec<Box<Kept>>; CLASSES],
    pub(super) bytes: usize,
    /// The least that there were of each class since [`Self::trim`].
    spare: [usize; CLASSES],
    trimmed: Time,
}

impl Pool {
    /// Gives up what was not needed for [`TRIM_INTERVAL`].
    pub(super) fn trim(&mut self, now: Time) {
        if now.since(self.trimmed) < TRIM_INTERVAL {
            return;
        }
        self.trimmed = now;
        for (free, spare) in self.free.iter_mut().zip(&mut self.spare) {
            let kept = free.len() - (*spare).min(free.len());
            let unneeded = free.drain(kept..).map(|kept| kept.bytes());
            self.bytes -= unneeded.sum::<usize>();
            *spare = kept;
        }
    }

    /// A copy of a packet of at most [`PACKET_BYTES_MAX`].
    pub(super) fn keep(&mut self, now: Time, passing: &Passing<'_>) -> Box<Kept> {
        let length = passing.packet.len();
        let class = length.div_ceil(CLASS_BYTES).clamp(1, CLASSES) - 1;
        let mut place = self.free[class].pop();
        let mut bytes = match &mut place {
            Some(place) => mem::take(&mut place.bytes),
            None => Vec::with_capacity((class + 1) * CLASS_BYTES),
        };
        if place.is_some() {
            self.bytes -= bytes.capacity();
            self.spare[class] = self.spare[class].min(self.free[class].len());
        }
        bytes.clear();
        bytes.extend_from_slice(passing.packet);
        let kept = Kept {
            number: passing.number,
            at: now,
            header: *passing.header,
            codec: passing.codec,
            unit: passing.unit,
            picture: passing.picture,
            dependency: passing.dependency,
            bytes,
        };
        match place {
            Some(mut place) => {
                *place = kept;
                place
            }
            None => Box::new(kept),
        }
    }

    pub(super) fn give(&mut self, kept: Box<Kept>) {
        let bytes = kept.bytes();
        let class = (bytes / CLASS_BYTES).clamp(1, CLASSES) - 1;
        if self.bytes + bytes <= POOLED_BYTES_MAX {
            self.bytes += bytes;
            self.free[class].push(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::EncodingId;
    use crate::rtp::ExtensionIds;

    #[test]
    fn buffers_that_are_not_needed_go_back_and_those_that_are_stay() {
        let mut packet = [0; 1_100];
        packet[0] = 0x80;
        let header = Header::parse(&packet, &ExtensionIds::NONE).expect("RTP");
        let passing = Passing {
            encoding: EncodingId(0),
            number: 1,
            codec: Codec::Vp8,
            header: &header,
            packet: &packet,
            unit: Unit::default(),
            picture: None,
            dependency: None,
        };
        let keep = |pool: &mut Pool| pool.keep(Time::ZERO, &passing);
        let mut pool = Pool::default();
        let mut out: Vec<_> = (0..50).map(|_| keep(&mut pool)).collect();
        out.drain(..).for_each(|kept| pool.give(kept));
        let mut now = Time::ZERO;
        for _ in 0..3 {
            // So many are out at once, at some time.
            out.extend((0..8).map(|_| keep(&mut pool)));
            out.drain(..).for_each(|kept| pool.give(kept));
            now = now + TRIM_INTERVAL;
            pool.trim(now);
        }
        let class = 1_100usize.div_ceil(CLASS_BYTES) - 1;
        assert_eq!(pool.free[class].len(), 8);
        assert_eq!(pool.bytes, 8 * (class + 1) * CLASS_BYTES);
    }
}
