//! How a publisher's stream arrives: what its receiver reports say, and what to ask for again.

use std::time::Duration;

use sluice_types::units::Time;

use crate::rtcp::{ReportBlock, SenderClock};
use sluice_types::sequence::Unroller;

/// How long a gap may be mere reordering before it is asked for.
const REORDERING: Duration = Duration::from_millis(10);

/// How long to wait for a retransmission before asking again.
const RETRY: Duration = Duration::from_millis(60);

/// How often to ask for the same packet.
const TRIES_MAX: u8 = 8;

/// How many packets may be missing at once. A wider gap is not repaired: a key frame is.
pub(super) const MISSING_MAX: usize = 200;

#[derive(Debug, Clone, Copy)]
struct Missing {
    number: u64,
    next_try: Time,
    tries: u8,
}

/// What a packet's arrival means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The unrolled sequence number.
    pub(super) number: u64,
    /// So much is missing before it that only a key frame helps.
    pub(super) beyond_repair: bool,
}

/// The state of one incoming stream.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    clock_rate: u32,
    unroller: Unroller,
    first: Option<u64>,
    received: u64,
    reported: (u64, u64),
    jitter_q4: u64,
    transit: Option<i64>,
    missing: Vec<Missing>,
    repairs: bool,
    report: Option<(SenderClock, Time)>,
}

impl Reception {
    /// A stream of which nothing has come yet; missing packets are asked for when `repairs`.
    pub(super) fn new(clock_rate: u32, repairs: bool) -> Self {
        Self {
            clock_rate,
            unroller: Unroller::default(),
            first: None,
            received: 0,
            reported: (0, 0),
            jitter_q4: 0,
            transit: None,
            missing: Vec::new(),
            repairs,
            report: None,
        }
    }

    /// Takes note of a packet; `original` unless it is a retransmission.
    pub(super) fn arrived(
        &mut self,
        now: Time,
        sequence: u16,
        timestamp: u32,
        original: bool,
    ) -> Arrival {
        let expected = self.unroller.highest().map(|highest| highest + 1);
        let number = self.unroller.unroll(sequence);
        let mut beyond_repair = false;
        self.first.get_or_insert(number);
        if let Some(expected) = expected {
            if number > expected && self.repairs {
                beyond_repair = !self.note_missing(now, expected, number);
            } else if number < expected {
                self.missing.retain(|missing| missing.number != number);
            }
        }
        self.received += 1;
        if original && expected.is_none_or(|expected| number >= expected) {
            self.measure_jitter(now, timestamp);
        }
        Arrival {
            number,
            beyond_repair,
        }
    }

    fn note_missing(&mut self, now: Time, from: u64, to: u64) -> bool {
        let gap = usize::try_from(to - from).unwrap_or(usize::MAX);
        if gap.saturating_add(self.missing.len()) > MISSING_MAX {
            self.missing.clear();
            return false;
        }
        self.missing.extend((from..to).map(|number| Missing {
            number,
            next_try: now + REORDERING,
            tries: 0,
        }));
        true
    }

    /// RFC 3550, appendix A.8.
    fn measure_jitter(&mut self, now: Time, timestamp: u32) {
        let arrival = now.as_micros() as i128 * i128::from(self.clock_rate) / 1_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp) as i32;
        if let Some(before) = self.transit {
            let difference = u64::from((transit.wrapping_sub(before as i32)).unsigned_abs());
            self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
        }
        self.transit = Some(i64::from(transit));
    }

    /// Takes note of the sender's clocks.
    pub(super) fn sender_clock(&mut self, now: Time, clock: SenderClock) {
        self.report = Some((clock, now));
    }

    /// The sender's clocks, carried forward to `now`.
    pub(super) fn clock_at(&self, now: Time) -> Option<SenderClock> {
        let (clock, then) = self.report?;
        let since = now.since(then);
        let ticks = since.as_micros() * u128::from(self.clock_rate) / 1_000_000;
        Some(SenderClock {
            ntp: clock.ntp.after(since),
            rtp: clock.rtp.wrapping_add(ticks as u32),
        })
    }

    /// What the clock of `other`, which runs at `rate` as this one does, showed when this one showed
    /// `timestamp`; `None` before both senders told their clocks.
    pub(super) fn same_moment(&self, timestamp: u32, other: &Self, rate: u32) -> Option<u32> {
        let ((here, _), (there, _)) = (self.report?, other.report?);
        // In 2³² parts of a second; the reports are seconds apart.
        let apart = here.ntp.0.wrapping_sub(there.ntp.0) as i64;
        let ticks = (i128::from(apart) * i128::from(rate)) >> 32;
        let since = timestamp.wrapping_sub(here.rtp);
        Some(there.rtp.wrapping_add(ticks as u32).wrapping_add(since))
    }

    /// Writes the numbers to ask for now into `due`, sorted.
    pub(super) fn due(&mut self, now: Time, due: &mut Vec<u64>) {
        due.clear();
        for missing in &mut self.missing {
            if missing.next_try <= now {
                missing.tries += 1;
                missing.next_try = now + RETRY;
                due.push(missing.number);
            }
        }
        self.missing.retain(|missing| missing.tries < TRIES_MAX);
        due.sort_unstable();
    }

    /// The report about the stream since the last report (RFC 3550, appendix A.3).
    pub(super) fn report(&mut self, now: Time, ssrc: u32) -> Option<ReportBlock> {
        let (first, highest) = (self.first?, self.unroller.highest()?);
        let expected = highest + 1 - first.min(highest);
        let (expected_before, received_before) = self.reported;
        self.reported = (expected, self.received);
        let expected_since = expected - expected_before.min(expected);
        let lost_since = expected_since.saturating_sub(self.received - received_before);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let (last_report, delay) = self.report.map_or((0, 0), |(clock, then)| {
            let delay = now.since(then).as_micros() * 65_536 / 1_000_000;
            (clock.ntp.middle(), delay as u32)
        });
        Some(ReportBlock {
            ssrc,
            fraction_lost: fraction.min(255) as u8,
            total_lost: expected.saturating_sub(self.received).min(0x7f_ffff) as u32,
            // The unroller starts one cycle up; reports count cycles from zero.
            highest: (highest - (1 << 16)) as u32,
            jitter: (self.jitter_q4 >> 4) as u32,
            last_report,
            delay,
        })
    }

    /// The highest unrolled sequence number so far.
    pub(super) fn highest(&self) -> Option<u64> {
        self.unroller.highest()
    }

    /// How many packets have not come, so far.
    pub(super) fn lost(&self) -> u64 {
        match (self.first, self.unroller.highest()) {
            (Some(first), Some(highest)) => (highest + 1 - first).saturating_sub(self.received),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::NtpTime;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_gap_is_asked_for_until_it_is_filled() {
        let mut reception = Reception::new(90_000, true);
        let mut due = Vec::new();
        reception.arrived(at(0), 65_534, 0, true);
        reception.arrived(at(1), 1, 0, true);
        reception.due(at(5), &mut due);
        assert!(due.is_empty(), "it may be reordering");
        reception.due(at(11), &mut due);
        assert_eq!(
            due.iter().map(|&n| n as u16).collect::<Vec<_>>(),
            [65_535, 0]
        );
        reception.due(at(12), &mut due);
        assert!(due.is_empty(), "not again at once");
        reception.arrived(at(40), 65_535, 0, false);
        reception.due(at(100), &mut due);
        assert_eq!(due.iter().map(|&n| n as u16).collect::<Vec<_>>(), [0]);
        for millis in (200..2_000).step_by(100) {
            reception.due(at(millis), &mut due);
        }
        assert!(reception.missing.is_empty(), "given up");
    }

    #[test]
    fn a_wide_gap_is_beyond_repair() {
        let mut reception = Reception::new(90_000, true);
        reception.arrived(at(0), 0, 0, true);
        let arrival = reception.arrived(at(1), 500, 0, true);
        assert!(arrival.beyond_repair);
        assert!(reception.missing.is_empty());
    }

    #[test]
    fn reports_follow_the_rfc() {
        let mut reception = Reception::new(48_000, false);
        for n in (0..100u16).filter(|n| n % 4 != 3) {
            reception.arrived(at(u64::from(n) * 20), n, u32::from(n) * 960, true);
        }
        reception.sender_clock(
            at(2_000),
            SenderClock {
                ntp: NtpTime(0x0001_0002_0003_0004),
                rtp: 5,
            },
        );
        let report = reception.report(at(2_500), 1).expect("something came");
        assert_eq!(report.highest, 98);
        assert_eq!(report.total_lost, 24);
        assert_eq!(report.fraction_lost, (24 * 256 / 99) as u8);
        assert_eq!(report.jitter, 0, "even spacing");
        assert_eq!((report.last_report, report.delay), (0x0002_0003, 32_768));
        let next = reception.report(at(2_600), 1).expect("something came");
        assert_eq!(next.fraction_lost, 0, "nothing since");
    }

    #[test]
    fn clocks_are_carried_forward() {
        let mut reception = Reception::new(90_000, false);
        reception.sender_clock(
            at(0),
            SenderClock {
                ntp: NtpTime(7 << 32),
                rtp: u32::MAX,
            },
        );
        let clock = reception.clock_at(at(1_500)).expect("known");
        assert_eq!(clock.ntp, NtpTime((8 << 32) + (1 << 31)));
        assert_eq!(clock.rtp, 135_000 - 1);
    }
}
