//! Whether the path carries all at once much less than it did.
//!
//! The trend needs a second to be sure of a queue that grows, and loss half of one. A path that falls to
//! a fraction says so sooner: its queue stands from one moment to the next, and while it does, what
//! arrives is what the path carries.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::Arrived;

/// A packet that waited at least so long found the path busy, in microseconds.
const BUSY_MICROS: i64 = 20_000;

/// How long a path has to be busy without a pause, in how many packets, and how long its queue has to
/// become, until it counts as fallen: jitter is shorter, and a hold-up ends with all packets at once.
const FALLEN: Evidence = Evidence {
    span: Duration::from_millis(60),
    packets: 5,
    queue_micros: 60_000,
};

/// Fewer are enough where each takes as long as it should for its size, which is what a bottleneck does
/// and jitter does not.
const FALLEN_EVENLY: Evidence = Evidence {
    span: Duration::from_millis(50),
    packets: 3,
    queue_micros: 60_000,
};

/// What is even: the longest time per byte, in shares of the shortest, of packets that are not so small
/// that others among them matter.
const EVEN: u64 = 2;
const EVEN_BYTES_MIN: u32 = 500;

/// When it is suspected to have.
const SUSPECTED: Evidence = Evidence {
    span: Duration::from_millis(35),
    packets: 3,
    queue_micros: 35_000,
};

/// What is older says little of now.
const SPAN_MAX: Duration = Duration::from_millis(300);

/// Less than this share of what arrived before is a fall, in percent.
const FALL_PERCENT: u64 = 75;

#[derive(Debug, Clone, Copy)]
struct Evidence {
    span: Duration,
    packets: u32,
    queue_micros: i64,
}

/// What is thought of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// It may have fallen.
    Suspected,
    /// It carries so much, and no more.
    Fallen(Bitrate),
}

/// The time for which the path has been busy.
#[derive(Debug, Clone, Copy)]
struct Busy {
    first: Time,
    last: Time,
    packets: u32,
    /// That came after the first packet.
    bytes: u64,
    /// The longest that one of its packets waited.
    queue_micros: i64,
    /// The shortest and the longest time that a packet took after the one before it, in nanoseconds per
    /// byte.
    pace: (u64, u64),
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Collapse {
    busy: Option<Busy>,
    /// What was sent before says nothing new.
    from: Time,
}

impl Collapse {
    /// A packet arrived after it had waited for `queue_micros`.
    pub(super) fn note(&mut self, packet: Arrived, queue_micros: i64) {
        if packet.sent < self.from {
            return;
        }
        if queue_micros < BUSY_MICROS {
            self.busy = None;
            return;
        }
        let recent = |busy: &&mut Busy| busy.last.since(busy.first) <= SPAN_MAX;
        let Some(busy) = self.busy.as_mut().filter(recent) else {
            self.busy = Some(Busy {
                first: packet.arrived,
                last: packet.arrived,
                packets: 1,
                bytes: 0,
                queue_micros,
                pace: (u64::MAX, 0),
            });
            return;
        };
        if packet.bytes >= EVEN_BYTES_MIN {
            let took = packet.arrived.since(busy.last).as_micros() as u64;
            let pace = took * 1_000 / u64::from(packet.bytes);
            busy.pace = (busy.pace.0.min(pace), busy.pace.1.max(pace));
        }
        busy.last = busy.last.max(packet.arrived);
        busy.packets += 1;
        busy.bytes += u64::from(packet.bytes);
        busy.queue_micros = busy.queue_micros.max(queue_micros);
    }

    /// What to think of a path over which `before` arrived.
    pub(super) fn find(&mut self, now: Time, before: Bitrate) -> Option<Finding> {
        let busy = self.busy?;
        let span = busy.last.since(busy.first);
        let carried = busy.bytes * 8_000_000 / (span.as_micros() as u64).max(1);
        if !busy.shows(SUSPECTED) || carried >= before.as_bps() / 100 * FALL_PERCENT {
            return None;
        }
        let even = busy.pace.1 <= busy.pace.0.saturating_mul(EVEN);
        let fallen = busy.shows(FALLEN) || (even && busy.shows(FALLEN_EVENLY));
        if !fallen {
            return Some(Finding::Suspected);
        }
        *self = Self {
            busy: None,
            from: now,
        };
        Some(Finding::Fallen(Bitrate::bps(carried)))
    }
}

impl Busy {
    fn shows(&self, evidence: Evidence) -> bool {
        self.last.since(self.first) >= evidence.span
            && self.packets >= evidence.packets
            && self.queue_micros >= evidence.queue_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Bitrate = Bitrate::kbps(1_500);

    /// A second of pictures of six packets, reported every 60 ms, of which each comes when `arrives` says,
    /// which is given the sending time and the number, in microseconds; when it is found to have fallen,
    /// and to what.
    fn found(arrives: impl Fn(u64, u64) -> u64) -> Option<(u64, Bitrate)> {
        let mut collapse = Collapse::default();
        let mut packets: Vec<_> = (0..180)
            .map(|number| {
                let sent = 1_000_000 + number / 6 * 33_000;
                (arrives(sent, number), sent)
            })
            .collect();
        packets.sort_unstable();
        for report in (1_000_000..2_000_000).step_by(60_000) {
            for &(arrived, sent) in &packets {
                if (report..report + 60_000).contains(&arrived) {
                    let packet = Arrived {
                        sent: Time::from_micros(sent),
                        arrived: Time::from_micros(arrived),
                        bytes: 1_100,
                    };
                    collapse.note(packet, (arrived - sent) as i64);
                }
            }
            let at = report + 60_000;
            if let Some(Finding::Fallen(carried)) = collapse.find(Time::from_micros(at), BEFORE) {
                return Some((at, carried));
            }
        }
        None
    }

    /// When each of six packets is through a bottleneck that carries so many kbit/s from 1.2 s on.
    fn through(kbps: u64) -> impl Fn(u64, u64) -> u64 {
        move |sent, number| {
            let took = 1_100 * 8_000 / kbps;
            let first = 1_200_000;
            if sent < first {
                return sent;
            }
            let before = (first - 1_000_000u64).div_ceil(33_000) * 6;
            let queued = (first + (number + 1 - before) * took).saturating_sub(sent);
            sent + queued.max((number % 6 + 1) * took).min(150_000)
        }
    }

    #[test]
    fn a_fall_to_a_fraction_is_found_in_the_second_report_and_measured() {
        let (at, carried) = found(through(350)).expect("it falls");
        assert!(at <= 1_360_000, "{at}");
        assert!(
            (300..=400).contains(&(carried.as_bps() / 1_000)),
            "{carried:?}"
        );
    }

    #[test]
    fn a_path_that_carries_it_all_is_busy_and_not_fallen() {
        assert_eq!(found(through(1_700)), None);
    }

    #[test]
    fn a_hold_up_is_not_a_fall() {
        assert_eq!(
            found(|sent, number| sent.max(1_500_000) + number * 20),
            None
        );
    }

    #[test]
    fn jitter_is_not_a_fall() {
        for seed in 0..200u64 {
            let jitter = |number: u64| {
                let mixed = (number + seed * 1_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
            };
            let found = found(|sent, number| sent + jitter(number) % 60_000);
            assert_eq!(found, None, "{seed}");
        }
    }
}
