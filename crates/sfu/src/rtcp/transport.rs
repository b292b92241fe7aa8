//! Reading transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

use sluice_types::units::Time;

/// One tick of the reference time, and of a delta, in microseconds.
const REFERENCE_MICROS: i64 = 64_000;
const DELTA_MICROS: i64 = 250;

/// Where the body's parts begin, after the two SSRCs.
const CHUNKS_AT: usize = 16;

/// What feedback says of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketStatus {
    /// Its transport-wide sequence number.
    pub sequence: u16,
    /// When it arrived, on the receiver's clock; `None` when it did not.
    pub arrival: Option<Time>,
}

/// A feedback packet, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    base: u16,
    count: u16,
    reference: u32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// Reads the body of a feedback packet, after its RTCP header; `None` when it is malformed.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
        let (base, count) = (short(8)?, short(10)?);
        let &[high, middle, low] = body.get(12..15)? else {
            return None;
        };
        let reference = u32::from_be_bytes([0, high, middle, low]);
        let mut covered = 0u32;
        let mut at = CHUNKS_AT;
        while covered < u32::from(count) {
            covered += u32::from(Chunk::parse(short(at)?).length());
            at += 2;
        }
        Some(Self {
            base,
            count,
            reference,
            chunks: &body[CHUNKS_AT..at],
            deltas: &body[at..],
        })
    }

    /// How many packets it speaks of.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// What it says, packet by packet. Where deltas are missing at the end, it ends early.
    pub fn packets(&self) -> impl Iterator<Item = PacketStatus> + use<'a> {
        let &Self {
            base,
            count,
            reference,
            chunks,
            mut deltas,
        } = self;
        // Deltas may go below the reference: a wide margin keeps the clock positive.
        let mut micros = (i64::from(reference) << 8) * (REFERENCE_MICROS >> 8) + (1 << 40);
        let symbols = chunks.chunks_exact(2).flat_map(|chunk| {
            let chunk = Chunk::parse(u16::from_be_bytes([chunk[0], chunk[1]]));
            (0..chunk.length()).map(move |n| chunk.symbol(n))
        });
        (0..count).zip(symbols).map_while(move |(n, symbol)| {
            let delta = match symbol {
                1 => {
                    let (&first, rest) = deltas.split_first()?;
                    deltas = rest;
                    Some(i64::from(first))
                }
                2 => {
                    let (first, rest) = deltas.split_first_chunk::<2>()?;
                    deltas = rest;
                    Some(i64::from(i16::from_be_bytes(*first)))
                }
                _ => None,
            };
            Some(PacketStatus {
                sequence: base.wrapping_add(n),
                arrival: delta.map(|delta| {
                    micros += delta * DELTA_MICROS;
                    Time::from_micros(micros.max(0) as u64)
                }),
            })
        })
    }
}

/// A chunk of packet statuses (sections 3.1.3 and 3.1.4).
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Run { symbol: u8, length: u16 },
    OneBit(u16),
    TwoBit(u16),
}

impl Chunk {
    const fn parse(bits: u16) -> Self {
        if bits & 0x8000 == 0 {
            Self::Run {
                symbol: (bits >> 13 & 3) as u8,
                length: bits & 0x1fff,
            }
        } else if bits & 0x4000 == 0 {
            Self::OneBit(bits)
        } else {
            Self::TwoBit(bits)
        }
    }

    const fn length(self) -> u16 {
        match self {
            // A run of nothing would never end.
            Self::Run { length: 0, .. } => 1,
            Self::Run { length, .. } => length,
            Self::OneBit(_) => 14,
            Self::TwoBit(_) => 7,
        }
    }

    const fn symbol(self, n: u16) -> u8 {
        match self {
            Self::Run { symbol, .. } => symbol,
            Self::OneBit(bits) => (bits >> (13 - n) & 1) as u8,
            Self::TwoBit(bits) => (bits >> (12 - 2 * n) & 3) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtcp::transport_feedback;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            gaps in proptest::collection::vec((1u64..40, 0u64..30_000), 1..200),
        ) {
            let (mut number, mut micros) = (70_000u64, 5_000_000u64);
            let arrivals: Vec<_> = gaps
                .iter()
                .map(|&(gap, pause)| {
                    number += gap;
                    micros += pause;
                    (number, Time::from_micros(micros))
                })
                .collect();
            let mut packet = Vec::new();
            let reported = transport_feedback(&mut packet, 7, 0, &arrivals);
            let feedback = TransportFeedback::parse(&packet[4..]).expect("our own");
            let read: Vec<_> = feedback.packets().filter(|status| status.arrival.is_some()).collect();
            prop_assert_eq!(read.len(), reported);
            for (pair, expected) in read.windows(2).zip(arrivals.windows(2)) {
                prop_assert_eq!(pair[0].sequence, expected[0].0 as u16);
                let found = pair[1].arrival.expect("came").since(pair[0].arrival.expect("came"));
                let sent = expected[1].1.since(expected[0].1);
                prop_assert!(found.abs_diff(sent).as_micros() <= 500, "{:?} {:?}", found, sent);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(feedback) = TransportFeedback::parse(&bytes) {
                prop_assert!(feedback.packets().count() <= usize::from(feedback.count()));
            }
        }
    }
}
