//! The receiving end of one relay: joins halves, drops what came before, counts what did not come.

use bytes::{Bytes, BytesMut};
use sluice_types::sequence::Unroller;

use crate::datagram::{Datagram, Kind};
use crate::window::Window;

/// How many halves wait for their other half, which may have to be repaired first. When they are too
/// many, the oldest is given up.
const HALVES_MAX: usize = 64;

/// What a relay received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JoinStats {
    /// Whole packets, joined ones included.
    pub packets: u64,
    /// Packets that came in two halves.
    pub joined: u64,
    /// Datagrams that came before.
    pub duplicates: u64,
    /// Halves whose other half did not come in time.
    pub orphans: u64,
    /// The highest hop sequence number so far and the first, unrolled.
    span: Option<(u64, u64)>,
}

impl JoinStats {
    /// Packets that have not come, so far; what is merely late counts until it comes.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.span.map_or(0, |(first, highest)| {
            (highest + 1 - first).saturating_sub(self.packets)
        })
    }
}

#[derive(Debug)]
struct Half {
    number: u64,
    kind: Kind,
    payload: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Joiner {
    unroller: Unroller,
    seen: Window,
    halves: Vec<Half>,
    stats: JoinStats,
}

impl Joiner {
    /// What was received.
    #[must_use]
    pub const fn stats(&self) -> JoinStats {
        self.stats
    }

    /// Takes a datagram of media, and gives the packet that it completes.
    pub fn join(&mut self, datagram: Datagram) -> Option<Bytes> {
        let number = self.unroller.unroll(datagram.sequence);
        let packet = match datagram.kind {
            Kind::Clock => return None,
            Kind::Whole => Some(datagram.payload),
            kind @ (Kind::FirstHalf | Kind::SecondHalf) => {
                self.match_half(number, kind, datagram.payload)
            }
        }?;
        if !self.seen.take(number) {
            self.stats.duplicates += 1;
            return None;
        }
        let (first, highest) = self.stats.span.unwrap_or((number, number));
        self.stats.span = Some((first.min(number), highest.max(number)));
        self.stats.packets += 1;
        Some(packet)
    }

    fn match_half(&mut self, number: u64, kind: Kind, payload: Bytes) -> Option<Bytes> {
        let Some(at) = self.halves.iter().position(|half| half.number == number) else {
            if self.halves.len() == HALVES_MAX {
                self.halves.remove(0);
                self.stats.orphans += 1;
            }
            self.halves.push(Half {
                number,
                kind,
                payload,
            });
            return None;
        };
        if self.halves[at].kind == kind {
            self.stats.duplicates += 1;
            return None;
        }
        let other = self.halves.remove(at);
        let (first, second) = if kind == Kind::FirstHalf {
            (payload, other.payload)
        } else {
            (other.payload, payload)
        };
        let mut packet = BytesMut::with_capacity(first.len() + second.len());
        packet.extend_from_slice(&first);
        packet.extend_from_slice(&second);
        self.stats.joined += 1;
        Some(packet.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_types::ids::RelayId;

    use super::*;
    use crate::datagram::{DatagramError, RELAY_ID_MAX, Split, Splitter, read_clock, write_clock};

    fn datagrams(split: Split) -> Vec<Bytes> {
        match split {
            Split::Whole(one) => vec![one],
            Split::Halves(two) => two.to_vec(),
        }
    }

    #[test]
    fn clocks_come_through() {
        let bytes = Splitter::new(RelayId(5)).clock(&write_clock(u64::MAX - 1, 7, 2));
        let datagram = Datagram::parse(bytes).expect("well formed");
        assert_eq!(datagram.kind, Kind::Clock);
        assert_eq!(read_clock(&datagram.payload), Some((u64::MAX - 1, 7, 2)));
        assert_eq!(read_clock(&datagram.payload[1..]), None);
    }

    #[test]
    fn what_two_datagrams_do_not_hold_is_an_error() {
        let mut splitter = Splitter::new(RelayId(1));
        assert_eq!(
            splitter.split(&[0; 2_400], 1_200),
            Err(DatagramError::TooLong {
                bytes: 2_400,
                datagram: 1_200
            })
        );
        assert!(matches!(
            splitter.split(&[0; 1_200], 1_200),
            Ok(Split::Halves(_))
        ));
        assert!(matches!(
            splitter.split(&[0; 1_193], 1_200),
            Ok(Split::Whole(_))
        ));
    }

    proptest! {
        #[test]
        fn every_packet_comes_out_once(
            lengths in proptest::collection::vec(0usize..2_300, 1..60),
            relay in 0..=RELAY_ID_MAX,
            swaps in proptest::collection::vec((0usize..100, 0usize..5), 0..40),
            repeats in proptest::collection::vec(0usize..100, 0..20),
        ) {
            let mut splitter = Splitter::new(RelayId(relay));
            let packets: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, &l)| vec![n as u8; l]).collect();
            let mut wire: Vec<Bytes> = packets
                .iter()
                .flat_map(|packet| datagrams(splitter.split(packet, 1_200).expect("fits")))
                .collect();
            for at in repeats {
                let again = wire[at % wire.len()].clone();
                wire.push(again);
            }
            for (at, far) in swaps {
                let at = at % wire.len();
                let to = (at + far).min(wire.len() - 1);
                wire.swap(at, to);
            }
            let mut joiner = Joiner::default();
            let mut received: Vec<Vec<u8>> = Vec::new();
            for bytes in wire {
                let datagram = Datagram::parse(bytes).expect("well formed");
                prop_assert_eq!(datagram.relay, RelayId(relay));
                received.extend(joiner.join(datagram).map(|packet| packet.to_vec()));
            }
            received.sort();
            let mut wanted = packets.clone();
            wanted.sort();
            prop_assert_eq!(received, wanted);
            prop_assert_eq!(joiner.stats().missing(), 0);
        }

        #[test]
        fn losses_are_counted(lost in proptest::collection::btree_set(1usize..99, 0..40)) {
            let (mut splitter, mut joiner) = (Splitter::new(RelayId(9)), Joiner::default());
            for n in 0..100 {
                let split = splitter.split(&[n as u8; 1_500], 1_200).expect("fits");
                for (half, bytes) in datagrams(split).into_iter().enumerate() {
                    if half == 1 && lost.contains(&n) {
                        continue;
                    }
                    let _ = joiner.join(Datagram::parse(bytes).expect("well formed"));
                }
            }
            prop_assert_eq!(joiner.stats().missing(), lost.len() as u64);
        }

        #[test]
        fn no_bytes_panic(wire in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..60)) {
            let mut joiner = Joiner::default();
            for bytes in wire {
                if let Ok(datagram) = Datagram::parse(Bytes::from(bytes)) {
                    let _ = joiner.join(datagram);
                }
            }
        }
    }
}
