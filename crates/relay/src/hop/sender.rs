//! The sending end: numbers, remembers, repairs, adds parity; all that within its overhead.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sluice_types::units::Time;

use super::HopCounters;
use super::parity::{BlockEncoder, PACKETS_MAX, PARITIES_MAX};
use super::wire::{MEDIA_HEADER_BYTES, write_media};

/// What is remembered to be sent again. The oldest is forgotten first.
const HISTORY_PACKETS: usize = 8_192;
const HISTORY_BYTES: usize = 8 * 1024 * 1024;

/// How often one packet is sent again, at most.
const REPAIRS_MAX: u8 = 6;

/// Requests for a packet that come closer together than this are answered once: they crossed.
const REPAIR_EVERY: Duration = Duration::from_millis(2);

/// What may be sent beyond the media before any was, and how much may be saved up, in bytes.
const CREDIT_START: i64 = 16 * 1024;
const CREDIT_MAX: i64 = 256 * 1024;

/// What must be left, in bytes, for a packet's first repair, its second, and any further one: others'
/// first ones come before.
const CREDIT_LEFT: [i64; 3] = [0, 6 * 1024, 24 * 1024];

/// The part of the overhead that parity gets where it is used, in hundredths. The rest is for repairs
/// of what it does not bring back.
const PARITY_PART: u64 = 60;

struct Sent {
    datagram: Bytes,
    at: Time,
    repaired: Option<Time>,
    repairs: u8,
}

/// See the module.
pub(super) struct Sender {
    next: u64,
    history: VecDeque<Sent>,
    history_bytes: usize,
    overhead_permille: u64,
    credit: i64,
    parity_credit: i64,
    block: BlockEncoder,
    pub(super) parity: bool,
}

impl Sender {
    pub(super) fn new(overhead_permille: u16) -> Self {
        Self {
            next: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            overhead_permille: overhead_permille.into(),
            credit: CREDIT_START * i64::from(overhead_permille.min(1)),
            parity_credit: 0,
            block: BlockEncoder::default(),
            parity: false,
        }
    }

    /// The hop number that the next packet gets.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// From now on repairs, parity and probes may be this much of the media.
    pub(super) const fn set_overhead(&mut self, permille: u16) {
        self.overhead_permille = permille as u64;
    }

    /// What a probe costs comes off the overhead too.
    pub(super) const fn spend(&mut self, bytes: usize) {
        self.credit -= bytes as i64;
    }

    /// Numbers a relay's datagram and remembers it. Parities that are due go to `out`.
    pub(super) fn send(
        &mut self,
        now: Time,
        inner: &[u8],
        counters: &mut HopCounters,
        block_age: Duration,
        out: &mut VecDeque<Bytes>,
    ) -> Bytes {
        let number = self.next;
        self.next += 1;
        let datagram = write_media(number as u32, false, inner);
        let earned = (datagram.len() as u64 * self.overhead_permille / 1_000) as i64;
        let for_parity = if self.parity {
            earned * PARITY_PART as i64 / 100
        } else {
            0
        };
        self.credit = (self.credit + earned - for_parity).min(CREDIT_MAX);
        self.parity_credit = (self.parity_credit + for_parity).min(CREDIT_MAX);
        self.remember(now, datagram.clone());
        if self.parity {
            self.block
                .push(now, number, datagram.slice(MEDIA_HEADER_BYTES..));
            self.close_block(now, block_age, counters, out);
        }
        datagram
    }

    fn remember(&mut self, at: Time, datagram: Bytes) {
        self.history_bytes += datagram.len();
        self.history.push_back(Sent {
            datagram,
            at,
            repaired: None,
            repairs: 0,
        });
        while self.history.len() > HISTORY_PACKETS || self.history_bytes > HISTORY_BYTES {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(oldest) = self.history.pop_front() {
            self.history_bytes -= oldest.datagram.len();
        }
    }

    /// Forgets what nobody can want any more.
    pub(super) fn forget_before(&mut self, time: Time) {
        while self.history.front().is_some_and(|sent| sent.at < time) {
            self.forget();
        }
    }

    /// Sends again what the peer misses, as far as it is remembered and the overhead allows.
    pub(super) fn repair(
        &mut self,
        now: Time,
        numbers: &[u32],
        counters: &mut HopCounters,
        out: &mut VecDeque<Bytes>,
    ) {
        let oldest = self.next - self.history.len() as u64;
        for &number in numbers {
            // The history is far shorter than 2³¹, so the distance to the latest says which it is.
            let back = (self.next as u32).wrapping_sub(number);
            let Some(number) = self.next.checked_sub(back.into()) else {
                continue;
            };
            let place = number.checked_sub(oldest).map(|place| place as usize);
            let Some(sent) = place.and_then(|place| self.history.get_mut(place)) else {
                counters.too_old += 1;
                continue;
            };
            let crossed = sent
                .repaired
                .is_some_and(|last| now.since(last) < REPAIR_EVERY);
            let least = CREDIT_LEFT[usize::from(sent.repairs).min(CREDIT_LEFT.len() - 1)];
            if crossed || sent.repairs >= REPAIRS_MAX {
                continue;
            }
            if self.credit < least + sent.datagram.len() as i64 {
                counters.over_budget += 1;
                continue;
            }
            sent.repaired = Some(now);
            sent.repairs += 1;
            self.credit -= sent.datagram.len() as i64;
            counters.repairs_sent += 1;
            counters.repair_bytes += sent.datagram.len() as u64;
            out.push_back(write_media(
                number as u32,
                true,
                &sent.datagram[MEDIA_HEADER_BYTES..],
            ));
        }
    }

    /// Starts or ends the use of parity.
    pub(super) fn use_parity(&mut self, on: bool) {
        self.parity = on;
        if !on {
            self.block.clear();
            self.credit = (self.credit + self.parity_credit).min(CREDIT_MAX);
            self.parity_credit = 0;
        }
    }

    /// When the block that is being gathered gets old.
    pub(super) fn block_due(&self, block_age: Duration) -> Option<Time> {
        let affordable = self.parity_credit >= self.block.shard_bytes() as i64;
        (self.block.len() > 0 && affordable).then(|| self.block.began + block_age)
    }

    /// Ends the block when it is old or long enough and there is credit for a parity. A block that
    /// cannot afford one goes on: a longer one is dearer to wait for, but costs a smaller share.
    pub(super) fn close_block(
        &mut self,
        now: Time,
        block_age: Duration,
        counters: &mut HopCounters,
        out: &mut VecDeque<Bytes>,
    ) {
        let packets = self.block.len();
        if packets == 0 {
            return;
        }
        let full = packets >= PACKETS_MAX;
        if !full && now.since(self.block.began) < block_age {
            return;
        }
        let shard = self.block.shard_bytes();
        let affordable = self.parity_credit.max(0) as usize / shard;
        let parities = affordable.min(PARITIES_MAX).min(packets);
        if parities > 0 {
            self.parity_credit -= (parities * shard) as i64;
            counters.parities_sent += parities as u64;
            counters.parity_bytes += (parities * shard) as u64;
            self.block
                .close(parities, |datagram| out.push_back(datagram));
        } else if full {
            self.block.clear();
        }
    }
}
