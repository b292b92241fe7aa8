//! Parity over blocks of consecutive hop numbers: Reed–Solomon, so that any `m` lost packets of a
//! block come back from any `m` of its parities.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use sluice_types::units::Time;

use super::wire::{LENGTH_BYTES, Parity, write_parity};

/// The most packets of a block.
pub(super) const PACKETS_MAX: usize = 96;

/// The most parities of a block.
pub(super) const PARITIES_MAX: usize = 16;

/// Received packets that are kept to decode blocks with: two of the longest blocks and what arrives
/// until their parities do. The oldest is forgotten first.
const KEPT: usize = 512;

/// Blocks that wait for more packets or parities. The oldest is given up first.
const BLOCKS_MAX: usize = 32;

/// Packet, length before it, padding behind.
fn fill(shard: &mut Vec<u8>, inner: &[u8], bytes: usize) {
    shard.clear();
    shard.extend_from_slice(&(inner.len() as u16).to_be_bytes());
    shard.extend_from_slice(inner);
    shard.resize(bytes, 0);
}

fn shard_bytes(longest: usize) -> usize {
    (LENGTH_BYTES + longest).next_multiple_of(2)
}

/// Gathers a block and makes its parities.
#[derive(Default)]
pub(super) struct BlockEncoder {
    first: u64,
    packets: Vec<Bytes>,
    longest: usize,
    /// When the block began.
    pub(super) began: Time,
    coder: Option<ReedSolomonEncoder>,
    shard: Vec<u8>,
}

impl BlockEncoder {
    pub(super) fn push(&mut self, now: Time, number: u64, inner: Bytes) {
        if self.packets.is_empty() {
            self.first = number;
            self.began = now;
        }
        self.longest = self.longest.max(inner.len());
        self.packets.push(inner);
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// How long each parity's shard would be, in bytes.
    pub(super) fn shard_bytes(&self) -> usize {
        shard_bytes(self.longest)
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.longest = 0;
    }

    /// Ends the block with so many parities, at least 1, and hands each out.
    pub(super) fn close(&mut self, parities: usize, mut out: impl FnMut(Bytes)) {
        let (packets, bytes) = (self.packets.len(), self.shard_bytes());
        let coder = match &mut self.coder {
            Some(coder) => coder.reset(packets, parities, bytes).map(|()| coder),
            none => ReedSolomonEncoder::new(packets, parities, bytes).map(|new| none.insert(new)),
        };
        // Counts and lengths are within what the code supports; without parity there is still repair.
        if let Ok(coder) = coder {
            let whole = self.packets.iter().all(|inner| {
                fill(&mut self.shard, inner, bytes);
                coder.add_original_shard(&self.shard).is_ok()
            });
            if whole && let Ok(encoded) = coder.encode() {
                for (place, shard) in encoded.recovery_iter().enumerate() {
                    let counts = [packets as u8, parities as u8, place as u8];
                    out(write_parity(self.first as u32, counts, shard));
                }
            }
        }
        self.clear();
    }
}

struct Block {
    packets: u64,
    parities: u8,
    shards: Vec<(u8, Bytes)>,
}

/// Keeps what came, and gives back what did not.
#[derive(Default)]
pub(super) struct BlockDecoder {
    kept: VecDeque<(u64, Bytes)>,
    blocks: BTreeMap<u64, Block>,
    coder: Option<ReedSolomonDecoder>,
    shard: Vec<u8>,
}

impl BlockDecoder {
    /// Keeps a packet, and tries the block that it belongs to.
    pub(super) fn packet(&mut self, number: u64, inner: &Bytes, out: &mut Vec<(u64, Bytes)>) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((number, inner.clone()));
        let of = self
            .blocks
            .range(..=number)
            .next_back()
            .filter(|(first, block)| number < **first + block.packets)
            .map(|(&first, _)| first);
        if let Some(first) = of {
            self.decode(first, out);
        }
    }

    /// Takes a parity whose block begins at `first`, and tries that block.
    pub(super) fn parity(&mut self, first: u64, parity: Parity, out: &mut Vec<(u64, Bytes)>) {
        let (packets, parities) = (parity.packets, parity.parities);
        if usize::from(packets) > PACKETS_MAX || usize::from(parities) > PARITIES_MAX {
            return;
        }
        let block = self.blocks.entry(first).or_insert_with(|| Block {
            packets: packets.into(),
            parities,
            shards: Vec::new(),
        });
        let fits = block.packets == u64::from(packets)
            && block.parities == parities
            && block
                .shards
                .iter()
                .all(|(place, shard)| *place != parity.place && shard.len() == parity.shard.len());
        if !fits {
            return;
        }
        block.shards.push((parity.place, parity.shard));
        self.decode(first, out);
        while self.blocks.len() > BLOCKS_MAX {
            self.blocks.pop_first();
        }
    }

    /// Gives back what a block lost, once it can; forgets a block that lost nothing more.
    fn decode(&mut self, first: u64, out: &mut Vec<(u64, Bytes)>) {
        let Some(block) = self.blocks.get(&first) else {
            return;
        };
        let end = first + block.packets;
        let mut came = [None; PACKETS_MAX];
        for (number, inner) in &self.kept {
            if (first..end).contains(number) {
                came[(number - first) as usize] = Some(inner);
            }
        }
        let lost = block.packets as usize - came.iter().flatten().count();
        if lost > block.shards.len() {
            return;
        }
        if lost > 0 {
            let bytes = block.shards[0].1.len();
            let counts = (block.packets as usize, usize::from(block.parities));
            let coder = match &mut self.coder {
                Some(coder) => coder.reset(counts.0, counts.1, bytes).map(|()| coder),
                none => {
                    ReedSolomonDecoder::new(counts.0, counts.1, bytes).map(|new| none.insert(new))
                }
            };
            // A block that a peer made up may not decode; it is forgotten like any other.
            if let Ok(coder) = coder {
                let fits = came.iter().enumerate().all(|(place, inner)| {
                    inner.is_none_or(|inner| {
                        inner.len() + LENGTH_BYTES <= bytes && {
                            fill(&mut self.shard, inner, bytes);
                            coder.add_original_shard(place, &self.shard).is_ok()
                        }
                    })
                });
                let fits = fits
                    && block.shards.iter().all(|(place, shard)| {
                        coder.add_recovery_shard((*place).into(), shard).is_ok()
                    });
                if fits && let Ok(decoded) = coder.decode() {
                    for (place, shard) in decoded.restored_original_iter() {
                        if let Some(inner) = unfilled(shard) {
                            out.push((first + place as u64, inner));
                        }
                    }
                }
            }
        }
        self.blocks.remove(&first);
    }
}

fn unfilled(shard: &[u8]) -> Option<Bytes> {
    let (length, rest) = shard.split_first_chunk::<LENGTH_BYTES>()?;
    let inner = rest.get(..u16::from_be_bytes(*length).into())?;
    Some(Bytes::copy_from_slice(inner))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::Frame;
    use super::*;

    proptest! {
        #[test]
        fn as_many_as_there_are_parities_come_back(
            lengths in proptest::collection::vec(0usize..1_300, 1..PACKETS_MAX),
            parities in 1usize..8,
            lost in proptest::collection::btree_set(0usize..PACKETS_MAX, 0..10),
            late in any::<bool>(),
        ) {
            let packets: Vec<Bytes> = lengths.iter().enumerate()
                .map(|(place, &length)| vec![place as u8; length].into()).collect();
            let lost: Vec<usize> = lost.into_iter().filter(|place| *place < packets.len()).collect();
            let mut encoder = BlockEncoder::default();
            for (place, inner) in packets.iter().enumerate() {
                encoder.push(Time::ZERO, 70 + place as u64, inner.clone());
            }
            let mut made = Vec::new();
            encoder.close(parities, |datagram| made.push(datagram));
            prop_assert_eq!(made.len(), parities);
            let (mut decoder, mut out) = (BlockDecoder::default(), Vec::new());
            let give_packets = |decoder: &mut BlockDecoder, out: &mut Vec<_>| {
                for (place, inner) in packets.iter().enumerate().filter(|(place, _)| !lost.contains(place)) {
                    decoder.packet(70 + place as u64, inner, out);
                }
            };
            if !late {
                give_packets(&mut decoder, &mut out);
            }
            for datagram in made {
                let Some(Frame::Parity(parity)) = Frame::parse(datagram) else {
                    return Err(TestCaseError::fail("no parity"));
                };
                decoder.parity(parity.first.into(), parity, &mut out);
            }
            if late {
                give_packets(&mut decoder, &mut out);
            }
            out.sort_by_key(|(number, _)| *number);
            let back: Vec<usize> = out.iter().map(|(number, _)| (number - 70) as usize).collect();
            if lost.len() <= parities {
                prop_assert!(lost.iter().all(|place| back.contains(place)), "{back:?} of {lost:?}");
            } else if !late {
                prop_assert!(back.is_empty());
            }
            for (number, inner) in out {
                prop_assert_eq!(&inner, &packets[(number - 70) as usize]);
            }
        }

        #[test]
        fn made_up_parities_do_no_harm(
            made_up in proptest::collection::vec((0u64..20, 1u8..=255, 1u8..=255, any::<u8>(), 2usize..9), 1..60),
        ) {
            let (mut decoder, mut out) = (BlockDecoder::default(), Vec::new());
            for (first, packets, parities, place, half) in made_up {
                let shard = Bytes::from(vec![9; 2 * half]);
                let parity = Parity { first: first as u32, packets, parities, place: place % parities, shard };
                decoder.parity(first, parity, &mut out);
                decoder.packet(first, &Bytes::from_static(&[1, 2, 3]), &mut out);
            }
            prop_assert!(decoder.blocks.len() <= BLOCKS_MAX);
        }
    }
}
