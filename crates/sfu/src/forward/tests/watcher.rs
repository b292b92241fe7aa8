//! A viewer's receiver and decoder, as far as they matter to an edge: what is missing is asked for, and a
//! picture shows once it is whole and so is all that it builds on.

use std::collections::BTreeMap;

use super::*;
use sluice_types::sequence::Unroller;

/// When a gap is asked for, and asked for again.
const ASK_AFTER: Duration = Duration::from_millis(10);
const ASK_AGAIN: Duration = Duration::from_millis(60);
const TRIES_MAX: u32 = 10;

#[derive(Debug, Clone, Copy)]
struct Part {
    starts: bool,
    ends: bool,
    key: bool,
    /// Whether its picture was shown.
    shown: bool,
}

#[derive(Debug, Default)]
pub(super) struct Watcher {
    unroller: Unroller,
    parts: BTreeMap<u64, Part>,
    missing: BTreeMap<u64, (Time, u32)>,
    /// When pictures were shown.
    pub(super) shown: Vec<Time>,
}

impl Watcher {
    /// A packet of the sink's stream, or a retransmission of one.
    pub(super) fn take(&mut self, now: Time, header: &Header, packet: &[u8], repair: bool) {
        let mut payload = header.payload(packet);
        let mut sequence = header.sequence;
        if repair {
            let Some((first, rest)) = payload.split_first_chunk() else {
                return;
            };
            (sequence, payload) = (u16::from_be_bytes(*first), rest);
        }
        let highest = self.unroller.highest();
        let number = self.unroller.unroll(sequence);
        if let Some(highest) = highest {
            let gap = (highest + 1..number).map(|missing| (missing, (now + ASK_AFTER, 0)));
            self.missing.extend(gap);
        }
        self.missing.remove(&number);
        let &[first, second, ..] = payload else {
            return;
        };
        self.parts.entry(number).or_insert(Part {
            starts: first & 0x10 != 0,
            ends: header.marker,
            key: first & 0x10 != 0 && second & 1 == 0,
            shown: false,
        });
        self.show(now);
    }

    /// Shows what is whole, in order.
    fn show(&mut self, now: Time) {
        let starts: Vec<_> = self
            .parts
            .iter()
            .filter(|(_, part)| part.starts && !part.shown)
            .map(|(&number, _)| number)
            .collect();
        for first in starts {
            let builds = first
                .checked_sub(1)
                .and_then(|before| self.parts.get(&before));
            if !self.parts[&first].key && !builds.is_some_and(|before| before.shown) {
                continue;
            }
            let mut last = first;
            while self.parts.get(&last).is_some_and(|part| !part.ends) {
                last += 1;
            }
            if !self.parts.contains_key(&last) {
                continue;
            }
            for (_, part) in self.parts.range_mut(first..=last) {
                part.shown = true;
            }
            if self.parts[&first].key {
                self.missing = self.missing.split_off(&first);
            }
            // What came before is too late from now on.
            let rest = self.parts.split_off(&first);
            self.parts = rest;
            self.shown.push(now);
        }
    }

    /// What to ask for now.
    pub(super) fn asks(&mut self, now: Time) -> Vec<u64> {
        let mut due = Vec::new();
        self.missing.retain(|&number, (at, tries)| {
            if *at <= now {
                due.push(number);
                *at = now + ASK_AGAIN;
                *tries += 1;
            }
            *tries < TRIES_MAX
        });
        due
    }

    /// The longest time without a new picture after `from`.
    pub(super) fn longest_gap(&self, from: Time) -> Duration {
        let all: Vec<_> = self.shown.iter().filter(|&&at| at >= from).collect();
        let gaps = all.windows(2).map(|pair| pair[1].since(*pair[0]));
        gaps.max().unwrap_or(Duration::MAX)
    }
}
