//! The receiving end: takes each packet once, sees gaps, asks for what can still come in time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sluice_types::units::Time;

use super::HopCounters;
use super::health::{Counts, LossWindow, Ratio};
use super::parity::BlockDecoder;
use super::wire::{Parity, write_missing};
use crate::window::Window;

/// Packets that are waited for. When more are missing, the oldest are given up.
const MISSING_MAX: usize = 2_048;

/// Of a gap that is longer than this, only the end is asked for: it is an outage, not loss.
const GAP_MAX: u64 = 512;

/// How often one packet is asked for, at most.
const ASKED_MAX: u8 = 6;

/// Requests are at least this far apart; those that are due meanwhile go together.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// How long a gap may be reordering before it counts as loss: at first, at least and at most. In
/// between it follows what was seen.
const REORDERING: Duration = Duration::from_micros(500);
const REORDERING_MIN: Duration = Duration::from_micros(500);
const REORDERING_MAX: Duration = Duration::from_millis(30);

/// How long both ends take over a request, at most as a rule.
const ANSWERED: Duration = Duration::from_millis(2);

/// The share of packets that may stay lost after repair. Where one request is not sure enough, as
/// many as are needed are made; each is answered.
const RESIDUAL: Ratio = 0.000_1;

/// How long parity counts as in use after the last one came.
const PARITY_FRESH: Duration = Duration::from_secs(2);

/// How long repairs take and may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) round_trip: Duration,
    /// How long beyond one round trip a repair is still of use.
    pub(super) slack: Duration,
    /// How long after a gap showed that is.
    pub(super) deadline: Duration,
}

struct Missing {
    found: Time,
    /// When to ask next; `None` when it is too late to.
    next: Option<Time>,
    asked: u8,
}

/// See the module.
pub(super) struct Receiver {
    /// The first and the highest hop number, unrolled.
    span: Option<(u64, u64)>,
    window: Window,
    missing: BTreeMap<u64, Missing>,
    due: Option<Time>,
    asked_at: Option<Time>,
    reordering: Duration,
    blocks: BlockDecoder,
    parity_at: Option<Time>,
    restored: Vec<(u64, Bytes)>,
    pub(super) counts: Counts,
    pub(super) loss: LossWindow,
}

/// Numbers begin here, so that what is reordered has room below.
const START: u64 = 1 << 32;

impl Receiver {
    pub(super) fn new() -> Self {
        Self {
            span: None,
            window: Window::default(),
            missing: BTreeMap::new(),
            due: None,
            asked_at: None,
            reordering: REORDERING,
            blocks: BlockDecoder::default(),
            parity_at: None,
            restored: Vec::new(),
            counts: Counts::default(),
            loss: LossWindow::default(),
        }
    }

    /// The nearest number to the highest so far that ends in these 32 bits.
    fn unroll(&self, number: u32) -> u64 {
        let Some((_, highest)) = self.span else {
            return START + u64::from(number);
        };
        let distance = number.wrapping_sub(highest as u32) as i32;
        highest.saturating_add_signed(distance.into())
    }

    /// Takes a packet, and whatever comes back with its help.
    pub(super) fn media(
        &mut self,
        now: Time,
        pace: Pace,
        (number, repair): (u32, bool),
        inner: Bytes,
        counters: &mut HopCounters,
        out: &mut VecDeque<Bytes>,
    ) {
        let number = self.unroll(number);
        if !self.window.take(number) {
            counters.duplicates += 1;
            return;
        }
        self.arrived(now, number, repair, counters);
        self.reach(now, pace, number, counters);
        self.blocks.packet(number, &inner, &mut self.restored);
        out.push_back(inner);
        self.take_restored(counters, out);
    }

    fn arrived(&mut self, now: Time, number: u64, repair: bool, counters: &mut HopCounters) {
        let missing = self.missing.remove(&number);
        if !repair {
            self.counts.received += 1;
        }
        match missing {
            // It only took longer than those after it. Next time gaps get that long.
            Some(missing) if !repair => {
                counters.reordered += 1;
                let seen = now.since(missing.found) * 5 / 4;
                let longest = seen.clamp(REORDERING_MIN, REORDERING_MAX);
                self.reordering = self.reordering.max(longest);
            }
            Some(_) => counters.repaired += 1,
            None if repair => counters.late += 1,
            None => {}
        }
    }

    /// What lies between the highest number and this one is missing, until it comes.
    fn reach(&mut self, now: Time, pace: Pace, number: u64, counters: &mut HopCounters) {
        let Some((first, highest)) = self.span else {
            self.span = Some((number, number));
            self.counts.expected = 1;
            return;
        };
        if number <= highest {
            return;
        }
        self.span = Some((first, number));
        self.counts.expected += number - highest;
        if number == highest + 1 {
            return;
        }
        self.counts.runs += 1;
        // What a block brings back by itself need not be asked for.
        let wait = if self
            .parity_at
            .is_some_and(|at| now.since(at) < PARITY_FRESH)
        {
            (pace.slack * 2 / 3).max(self.reordering)
        } else {
            self.reordering
        };
        let from = (highest + 1).max(number.saturating_sub(GAP_MAX));
        counters.lost += from - (highest + 1);
        for lost in from..number {
            let next = Some(now + wait);
            let missing = Missing {
                found: now,
                next,
                asked: 0,
            };
            self.missing.insert(lost, missing);
        }
        while self.missing.len() > MISSING_MAX {
            self.missing.pop_first();
            counters.lost += 1;
        }
        let due = now + wait;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
        // Reordering is forgotten slowly: by a 64th with each gap that was none.
        self.reordering = (self.reordering * 63 / 64).max(REORDERING_MIN);
    }

    /// Everything below `next` was sent.
    pub(super) fn head(&mut self, now: Time, pace: Pace, next: u32, counters: &mut HopCounters) {
        let next = self.unroll(next);
        if self
            .span
            .is_some_and(|(_, highest)| next > highest + 1 && next - highest < GAP_MAX)
        {
            self.reach(now, pace, next, counters);
            // The one at `next` itself was not sent yet.
            if let Some((first, _)) = self.span {
                self.span = Some((first, next - 1));
                self.counts.expected -= 1;
            }
        }
    }

    /// Takes a parity.
    pub(super) fn parity(
        &mut self,
        now: Time,
        pace: Pace,
        parity: Parity,
        counters: &mut HopCounters,
        out: &mut VecDeque<Bytes>,
    ) {
        self.parity_at = Some(now);
        let last = parity
            .first
            .wrapping_add(u32::from(parity.packets).saturating_sub(1));
        self.head(now, pace, last.wrapping_add(1), counters);
        let first = self.unroll(parity.first);
        self.blocks.parity(first, parity, &mut self.restored);
        self.take_restored(counters, out);
    }

    fn take_restored(&mut self, counters: &mut HopCounters, out: &mut VecDeque<Bytes>) {
        let Some((_, highest)) = self.span else {
            return;
        };
        for (number, inner) in self.restored.drain(..) {
            if number <= highest && self.window.take(number) {
                self.missing.remove(&number);
                counters.restored += 1;
                out.push_back(inner);
            }
        }
    }

    /// When something is to be asked for or given up.
    pub(super) fn due(&self) -> Option<Time> {
        let due = self.due?;
        Some(
            self.asked_at
                .map_or(due, |asked| due.max(asked + ASK_EVERY)),
        )
    }

    /// Asks for what is due, and gives up what can come no more.
    pub(super) fn ask(
        &mut self,
        now: Time,
        pace: Pace,
        counters: &mut HopCounters,
        out: &mut VecDeque<Bytes>,
    ) {
        if self.due().is_none_or(|due| now < due) {
            return;
        }
        let copies = copies(self.loss.ratio());
        let mut numbers: Vec<u32> = Vec::new();
        let mut due: Option<Time> = None;
        let mut sooner = |time: Time| due = Some(due.map_or(time, |before| before.min(time)));
        self.missing.retain(|&number, missing| {
            let until = missing.found + pace.deadline;
            if now >= until {
                counters.lost += 1;
                return false;
            }
            match missing.next {
                Some(_) if now + pace.round_trip > until => missing.next = None,
                Some(next) if next <= now => {
                    numbers.push(number as u32);
                    missing.asked += 1;
                    missing.next = next_request(now, missing, pace, until, copies);
                }
                _ => {}
            }
            sooner(missing.next.unwrap_or(until));
            true
        });
        self.due = due;
        let mut rest = numbers.as_slice();
        while !rest.is_empty() {
            let (datagram, written) = write_missing(rest);
            rest = &rest[written..];
            counters.nacks_sent += 1;
            counters.nack_bytes += datagram.len() as u64;
            out.push_back(datagram);
            self.asked_at = Some(now);
        }
    }
}

/// Where there is time for another round, it comes after the answer should have; in the last round
/// there are as many requests as make it sure enough, apart so that one burst does not take them all.
fn next_request(now: Time, missing: &Missing, pace: Pace, until: Time, copies: u8) -> Option<Time> {
    if missing.asked >= ASKED_MAX {
        return None;
    }
    let round = pace.round_trip * 9 / 8 + ANSWERED;
    let apart = (pace.round_trip / 24).clamp(Duration::from_millis(3), Duration::from_millis(10));
    let in_time = |time: Time| time + pace.round_trip <= until;
    let again = now + round;
    if in_time(again) {
        return Some(again);
    }
    let soon = now + apart;
    (missing.asked < copies && in_time(soon)).then_some(soon)
}

/// How many requests leave at most [`RESIDUAL`] lost, when requests and repairs are lost as packets
/// are.
fn copies(loss: Ratio) -> u8 {
    let fails = 1.0 - (1.0 - loss) * (1.0 - loss);
    let mut left = loss;
    for copies in 1..ASKED_MAX {
        left *= fails;
        if left <= RESIDUAL {
            return copies;
        }
    }
    ASKED_MAX
}
