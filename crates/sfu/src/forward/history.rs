//! The latest packets of a track, for retransmission.

use std::mem;
use std::time::Duration;

use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::encoding::Passing;
use super::kept::{Kept, PACKET_BYTES_MAX, Pool, TRIM_INTERVAL};

/// The most packets that are kept of one encoding of a video. Of sound none is: nobody asks for it again.
pub(super) const PACKETS_MAX: usize = 128;
const SLOTS_MIN: usize = 16;

/// No packet is kept for longer. When an encoding has taken so many bytes, only those are that somebody may
/// still ask for.
const AGE_MAX: Duration = Duration::from_millis(1_000);
const BYTES_MAX: usize = 48 * 1_024;

/// How long that is: until a gap is noticed, which the next picture shows, and for so many attempts over
/// the longest path of those who watch. Nobody who is too far away for that makes it longer, and where
/// one's path is not known it is this long.
const NOTICED: Duration = Duration::from_millis(120);
const ATTEMPTS: u32 = 3;
const REACH_MAX: Duration = Duration::from_millis(300);

/// How long ago a packet went out that a viewer may still ask for, when it is so far away and back.
pub(super) fn reach(round_trip: Option<Duration>) -> Duration {
    round_trip.map_or(REACH_MAX, |round_trip| {
        (NOTICED + round_trip * ATTEMPTS).min(REACH_MAX)
    })
}

/// A ring of packets by their unrolled sequence number, as long as the encoding makes it. Buffers come
/// from a pool that all tracks share, so that a quiet one holds none.
#[derive(Debug)]
pub(super) struct History {
    /// A power of two, or none at all. Packets stand elsewhere, since not every place has one.
    slots: Vec<Option<Box<Kept>>>,
    /// Nothing older is kept, nor anything from `next` on.
    oldest: u64,
    next: u64,
    /// That the buffers take.
    bytes: usize,
    /// See [`reach`].
    reach: Duration,
    /// The most places that were needed since [`Self::tidy`] looked.
    needed: usize,
    tidied: Time,
}

impl Default for History {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            oldest: 0,
            next: 0,
            bytes: 0,
            reach: NOTICED,
            needed: 0,
            tidied: Time::ZERO,
        }
    }
}

impl History {
    /// From now on those who watch may ask for what went out so long ago.
    pub(super) fn set_reach(&mut self, reach: Duration) {
        self.reach = reach;
    }

    /// Somebody's packets wait, and are needed when their turn comes.
    pub(super) fn reach_far(&mut self) {
        self.reach = REACH_MAX;
    }

    fn slot(&self, number: u64) -> usize {
        // Below the slots' count.
        number as usize & self.slots.len().wrapping_sub(1)
    }

    /// Keeps a packet, and lets go of those that are too old by then.
    pub(super) fn keep(&mut self, now: Time, passing: &Passing<'_>, pool: &mut Pool) {
        let number = passing.number;
        if passing.packet.len() > PACKET_BYTES_MAX || passing.codec.kind() == MediaKind::Audio {
            return;
        }
        if self.next == 0 || number.saturating_sub(self.next) >= PACKETS_MAX as u64 {
            self.let_go_before(self.next, pool);
            (self.oldest, self.next) = (number, number);
        }
        if number < self.oldest {
            return;
        }
        self.expire(now, pool);
        self.make_room(number, pool);
        self.next = self.next.max(number + 1);
        let kept = pool.keep(now, passing);
        self.bytes += kept.bytes();
        let slot = self.slot(number);
        if let Some(before) = self.slots[slot].replace(kept) {
            self.release(before, pool);
        }
    }

    /// Makes the ring long enough for `number`, or lets go of what is a whole ring older.
    fn make_room(&mut self, number: u64, pool: &mut Pool) {
        let needed = (number + 1).saturating_sub(self.oldest) as usize;
        if needed > PACKETS_MAX {
            self.let_go_before(number + 1 - PACKETS_MAX as u64, pool);
        }
        let needed = needed.min(PACKETS_MAX);
        self.needed = self.needed.max(needed);
        if needed > self.slots.len() {
            self.resize(needed);
        }
    }

    fn resize(&mut self, needed: usize) {
        let length = needed.next_power_of_two().max(SLOTS_MIN);
        let before = mem::replace(&mut self.slots, Vec::with_capacity(length));
        self.slots.resize_with(length, || None);
        for kept in before.into_iter().flatten() {
            let slot = self.slot(kept.number);
            self.slots[slot] = Some(kept);
        }
    }

    /// Lets go of what is too old, and of places that were not needed for [`TRIM_INTERVAL`].
    pub(super) fn tidy(&mut self, now: Time, pool: &mut Pool) {
        self.expire(now, pool);
        if now.since(self.tidied) < TRIM_INTERVAL {
            return;
        }
        self.tidied = now;
        let there = (self.next - self.oldest) as usize;
        let needed = mem::replace(&mut self.needed, there);
        if needed.next_power_of_two().max(SLOTS_MIN) < self.slots.len() {
            self.resize(needed);
        }
    }

    /// Lets go of what is too old.
    fn expire(&mut self, now: Time, pool: &mut Pool) {
        while self.oldest < self.next {
            let slot = self.slot(self.oldest);
            if let Some(kept) = &self.slots[slot] {
                let age = now.since(kept.at);
                if age <= self.reach || (age <= AGE_MAX && self.bytes <= BYTES_MAX) {
                    return;
                }
            }
            self.let_go_before(self.oldest + 1, pool);
        }
    }

    fn let_go_before(&mut self, number: u64, pool: &mut Pool) {
        while self.oldest < number.min(self.next) {
            let slot = self.slot(self.oldest);
            self.oldest += 1;
            if let Some(kept) = self.slots[slot].take() {
                self.release(kept, pool);
            }
        }
        self.oldest = self.oldest.max(number);
    }

    fn release(&mut self, kept: Box<Kept>, pool: &mut Pool) {
        self.bytes -= kept.bytes();
        pool.give(kept);
    }

    /// Lends a packet out, until [`Self::give_back`].
    pub(super) fn lend(&mut self, number: u64) -> Option<Box<Kept>> {
        let slot = self.slot(number);
        self.slots
            .get_mut(slot)?
            .take_if(|kept| kept.number == number)
    }

    /// Takes back what was lent.
    pub(super) fn give_back(&mut self, kept: Box<Kept>) {
        let slot = self.slot(kept.number);
        self.slots[slot] = Some(kept);
    }

    /// The packet with that number, while it is kept.
    pub(super) fn packet(&self, number: u64) -> Option<&Kept> {
        let slot = self.slots.get(self.slot(number))?;
        slot.as_deref().filter(|kept| kept.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::forward::EncodingId;
    use crate::layer::Unit;
    use crate::rtp::{ExtensionIds, Header};

    fn passing<'a>(number: u64, header: &'a Header, packet: &'a [u8]) -> Passing<'a> {
        Passing {
            encoding: EncodingId(0),
            number,
            codec: Codec::Vp8,
            header,
            packet,
            unit: Unit::default(),
            picture: None,
            dependency: None,
        }
    }

    const PACKET: [u8; 13] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

    /// Keeps packets of so many bytes, by when they come and their numbers, in milliseconds.
    fn kept(bytes: usize, packets: impl IntoIterator<Item = (u64, u64)>) -> (History, Pool) {
        let (mut history, mut pool) = (History::default(), Pool::default());
        history.reach_far();
        let mut packet = PACKET.to_vec();
        packet.resize(bytes, 7);
        let header = Header::parse(&packet, &ExtensionIds::NONE).expect("RTP");
        for (at, number) in packets {
            let passing = passing(number, &header, &packet);
            history.keep(Time::from_millis(at), &passing, &mut pool);
        }
        (history, pool)
    }

    #[test]
    fn as_many_as_can_be_are_kept_whatever_their_order() {
        let most = PACKETS_MAX as u64;
        let mut numbers: Vec<_> = (1_000..1_000 + 3 * most).collect();
        numbers.swap(300, 310);
        numbers.swap(40, 60);
        let (history, _) = kept(100, numbers.into_iter().map(|number| (0, number)));
        assert!(history.packet(1_000 + 2 * most - 1).is_none());
        for number in 1_000 + 2 * most..1_000 + 3 * most {
            let packet = history.packet(number).expect("kept");
            assert_eq!(packet.number, number);
        }
    }

    #[test]
    fn a_newer_packet_is_never_replaced_by_an_older_one() {
        let most = PACKETS_MAX as u64;
        let (history, _) = kept(100, [(0, 5_000), (0, 5_000 - most), (0, 4_999)]);
        assert!(history.packet(5_000).is_some());
        assert!(history.packet(5_000 - most).is_none(), "it came before all");
        let (history, _) = kept(100, [(0, 5_000), (0, 9_000), (0, 5_001)]);
        assert!(history.packet(9_000).is_some() && history.packet(5_000).is_none());
        assert!(history.packet(5_001).is_none());
    }

    #[test]
    fn what_is_large_is_kept_less_long_and_what_is_old_not_at_all() {
        let second = |bytes| kept(bytes, (0..125).map(|n| (n * 8, 1 + n)));
        let (small, _) = second(300);
        assert!(small.packet(1).is_some(), "37 KB");
        let (large, pool) = second(1_200);
        assert!(large.packet(1).is_none(), "150 KB");
        assert!(large.packet(125 - 300 / 8 + 1).is_some(), "300 ms");
        assert!(large.bytes <= BYTES_MAX + 1_500, "{}", large.bytes);
        assert!(pool.bytes < 3_000, "{} are used again", pool.bytes);
        let (mut silent, mut pool) = second(300);
        silent.expire(Time::from_millis(2_000), &mut pool);
        assert_eq!((silent.bytes, pool.free[2].len()), (0, 125));
    }

    #[test]
    fn a_ring_that_became_too_long_is_made_shorter_with_all_that_is_in_it() {
        let (mut history, mut pool) = kept(300, (0..120).map(|n| (0, 1 + n)));
        assert_eq!(history.slots.len(), 128);
        let packet = [0x80; 300];
        let header = Header::parse(&packet, &ExtensionIds::NONE).expect("RTP");
        for n in 0..1_500u64 {
            let now = Time::from_millis(1_000 + n * 33);
            history.keep(now, &passing(121 + n, &header, &packet), &mut pool);
            history.tidy(now, &mut pool);
        }
        assert_eq!(history.slots.len(), 32, "a second of it");
        assert!((0..30).all(|n| history.packet(120 + 1_500 - n).is_some()));
    }

    #[test]
    fn what_is_large_is_kept_as_long_as_those_who_watch_may_ask_for_it() {
        let millis = Duration::from_millis;
        assert_eq!(reach(Some(millis(20))), millis(180));
        assert_eq!(reach(Some(millis(150))), REACH_MAX);
        assert_eq!(reach(None), REACH_MAX, "nobody knows");
        // Twice as much as has room.
        let packets = (0..125).map(|n| (n * 4, 1 + n));
        let (mut history, mut pool) = kept(1_200, packets);
        let last = Time::from_millis(124 * 4);
        assert!(history.packet(125 - 300 / 4).is_some());
        history.set_reach(reach(Some(millis(20))));
        history.expire(last, &mut pool);
        assert!(history.packet(125 - 300 / 4).is_none());
        assert!(history.packet(125 - 180 / 4).is_some());
        history.set_reach(Duration::ZERO);
        history.expire(last, &mut pool);
        assert!(history.bytes <= BYTES_MAX && history.bytes > BYTES_MAX - 1_500);
    }
}
