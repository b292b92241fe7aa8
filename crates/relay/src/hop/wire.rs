//! What two ends of a hop say to each other in QUIC datagrams, around the datagrams of relays.
//!
//! | kind | what follows the kind's byte, integers big-endian |
//! | --- | --- |
//! | 4 media | hop number (4), a relay's datagram |
//! | 5 repair | the same, sent again |
//! | 6 parity | first hop number of the block (4), packets in the block (1), parities of it (1), which one this is (1), the shard |
//! | 7 missing | up to [`NACKS_MAX`] times: hop number (4), a bit for each of the 16 that follow it (2) |
//! | 8 probe | version (1), see [`Probe`] (44) |
//!
//! Hop numbers count what crosses the hop, whatever relay it belongs to: a gap shows with the next
//! packet of any of them. A peer that knows none of these kinds ignores them, so both ends begin with
//! probes, and number what they send once the other's probe came.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version of these kinds. A probe of another version is ignored, and so nothing is numbered.
pub const VERSION: u8 = 1;

/// The most entries of one datagram of missing numbers.
pub const NACKS_MAX: usize = 64;

/// What a numbered datagram is longer than the relay's datagram: kind and number.
pub const MEDIA_HEADER_BYTES: usize = 1 + 4;

/// The same of the parity of one, at most.
pub const PARITY_ENVELOPE_BYTES: usize = PARITY_HEADER_BYTES + LENGTH_BYTES + 1;

/// Kind, first number, packets, parities, place.
const PARITY_HEADER_BYTES: usize = 1 + 4 + 3;

/// A shard begins with its packet's length.
pub(super) const LENGTH_BYTES: usize = 2;

const MEDIA: u8 = 4;
const REPAIR: u8 = 5;
const PARITY: u8 = 6;
const NACK: u8 = 7;
const PROBE: u8 = 8;

/// Whether a datagram is one of these, and not a relay's.
#[must_use]
pub fn is_hop(datagram: &[u8]) -> bool {
    datagram
        .first()
        .is_some_and(|kind| (MEDIA..=PROBE).contains(kind))
}

/// One datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A relay's datagram under a hop number.
    Media {
        /// Its hop number.
        number: u32,
        /// It was sent before.
        repair: bool,
        /// The relay's datagram.
        inner: Bytes,
    },
    /// One parity of a block.
    Parity(Parity),
    /// Hop numbers that did not come.
    Missing(Vec<u32>),
    /// A measurement.
    Probe(Probe),
}

/// One parity of a block of consecutive hop numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parity {
    /// The block's first hop number.
    pub first: u32,
    /// How many packets the block has, at least 1.
    pub packets: u8,
    /// How many parities it has, at least 1.
    pub parities: u8,
    /// Which of them this is, from 0.
    pub place: u8,
    /// The code over the packets, each with its length before it and padded to the longest.
    pub shard: Bytes,
}

/// A measurement, and what the sender of it received so far. Counters wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Probe {
    /// The sender's clock, in microseconds.
    pub stamp: u64,
    /// The latest stamp of the other side; 0 when none came yet.
    pub echo: u64,
    /// How long ago that stamp came, in microseconds.
    pub held_us: u32,
    /// The hop number that will be sent next.
    pub next: u32,
    /// How many hop numbers there were from the first that came to the highest.
    pub expected: u32,
    /// How many of them came at the first try.
    pub received: u32,
    /// In how many runs the others were lost.
    pub runs: u32,
    /// Bytes of everything that came.
    pub bytes: u32,
    /// Milliseconds of the sender's clock when the counters were read, so that rates are exact
    /// however the probe travels.
    pub read_ms: u32,
}

const PROBE_BYTES: usize = 8 + 8 + 7 * 4;

impl Probe {
    /// The datagram.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut buffer = BytesMut::with_capacity(2 + PROBE_BYTES);
        buffer.put_u8(PROBE);
        buffer.put_u8(VERSION);
        buffer.put_u64(self.stamp);
        buffer.put_u64(self.echo);
        for value in [
            self.held_us,
            self.next,
            self.expected,
            self.received,
            self.runs,
            self.bytes,
            self.read_ms,
        ] {
            buffer.put_u32(value);
        }
        buffer.freeze()
    }

    fn read(mut bytes: Bytes) -> Option<Self> {
        // A later version may append.
        if bytes.len() < 1 + PROBE_BYTES || bytes.get_u8() != VERSION {
            return None;
        }
        Some(Self {
            stamp: bytes.get_u64(),
            echo: bytes.get_u64(),
            held_us: bytes.get_u32(),
            next: bytes.get_u32(),
            expected: bytes.get_u32(),
            received: bytes.get_u32(),
            runs: bytes.get_u32(),
            bytes: bytes.get_u32(),
            read_ms: bytes.get_u32(),
        })
    }
}

/// The datagram that carries a relay's one.
#[must_use]
pub fn write_media(number: u32, repair: bool, inner: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(MEDIA_HEADER_BYTES + inner.len());
    buffer.put_u8(if repair { REPAIR } else { MEDIA });
    buffer.put_u32(number);
    buffer.put_slice(inner);
    buffer.freeze()
}

/// The datagram of a parity.
#[must_use]
pub fn write_parity(first: u32, counts: [u8; 3], shard: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(PARITY_HEADER_BYTES + shard.len());
    buffer.put_u8(PARITY);
    buffer.put_u32(first);
    buffer.put_slice(&counts);
    buffer.put_slice(shard);
    buffer.freeze()
}

/// A datagram of missing numbers, which rise; and how many of them it holds.
#[must_use]
pub fn write_missing(numbers: &[u32]) -> (Bytes, usize) {
    let mut buffer = BytesMut::with_capacity(1 + 6 * numbers.len().min(NACKS_MAX));
    buffer.put_u8(NACK);
    let mut written = 0;
    for _ in 0..NACKS_MAX {
        let Some(&first) = numbers.get(written) else {
            break;
        };
        written += 1;
        let mut mask = 0u16;
        while let Some(&number) = numbers.get(written) {
            let behind = number.wrapping_sub(first);
            if !(1..=16).contains(&behind) {
                break;
            }
            mask |= 1 << (behind - 1);
            written += 1;
        }
        buffer.put_u32(first);
        buffer.put_u16(mask);
    }
    (buffer.freeze(), written)
}

impl Frame {
    /// Reads a datagram; `None` when it is malformed, or of a version that is not known.
    #[must_use]
    pub fn parse(mut bytes: Bytes) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        match kind {
            MEDIA | REPAIR => Some(Self::Media {
                number: bytes.try_get_u32().ok()?,
                repair: kind == REPAIR,
                inner: bytes,
            }),
            PARITY => {
                let first = bytes.try_get_u32().ok()?;
                let [packets, parities, place] = *bytes.first_chunk::<3>()?;
                let shard = bytes.split_off(3);
                let sound = packets > 0
                    && place < parities
                    && shard.len() > LENGTH_BYTES
                    && shard.len().is_multiple_of(2);
                sound.then_some(Self::Parity(Parity {
                    first,
                    packets,
                    parities,
                    place,
                    shard,
                }))
            }
            NACK => {
                let mut numbers = Vec::new();
                for _ in 0..NACKS_MAX {
                    let Ok(first) = bytes.try_get_u32() else {
                        break;
                    };
                    let mask = bytes.try_get_u16().ok()?;
                    numbers.push(first);
                    let following = (0..16).filter(|bit| mask >> bit & 1 == 1);
                    numbers.extend(following.map(|bit| first.wrapping_add(bit + 1)));
                }
                Some(Self::Missing(numbers))
            }
            PROBE => Probe::read(bytes).map(Self::Probe),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_come_through() {
        let media = Frame::parse(write_media(7, true, &[1, 2])).expect("sound");
        let inner = Bytes::from_static(&[1, 2]);
        assert_eq!(
            media,
            Frame::Media {
                number: 7,
                repair: true,
                inner
            }
        );
        let probe = Probe {
            stamp: u64::MAX,
            held_us: 5,
            read_ms: 9,
            ..Probe::default()
        };
        assert_eq!(Frame::parse(probe.write()), Some(Frame::Probe(probe)));
        let parity = Frame::parse(write_parity(9, [3, 2, 1], &[0; 4]));
        assert!(matches!(
            parity,
            Some(Frame::Parity(Parity {
                first: 9,
                packets: 3,
                parities: 2,
                place: 1,
                ..
            }))
        ));
        assert_eq!(Frame::parse(write_parity(9, [3, 2, 2], &[0; 4])), None);
    }

    proptest! {
        #[test]
        fn missing_numbers_come_through(
            start: u32,
            steps in proptest::collection::vec(1u32..40, 1..120),
        ) {
            let mut numbers: Vec<u32> = vec![start];
            for step in steps {
                numbers.push(numbers[numbers.len() - 1].wrapping_add(step));
            }
            let mut rest = numbers.as_slice();
            let mut read = Vec::new();
            while !rest.is_empty() {
                let (datagram, written) = write_missing(rest);
                prop_assert!(written > 0);
                rest = &rest[written..];
                match Frame::parse(datagram) {
                    Some(Frame::Missing(some)) => read.extend(some),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(read, numbers);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Frame::parse(Bytes::from(bytes));
        }
    }
}
