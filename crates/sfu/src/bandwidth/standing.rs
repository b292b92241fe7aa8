//! Whether a queue stands on the way: the least delay of late against the least of the last seconds.
//!
//! Jitter raises some packets' delay, a queue that of all. Only where both the trend and the least
//! delay rise is the path congested.

use std::time::Duration;

use super::Arrived;

/// Late is so many buckets of so many microseconds.
const LATE_BUCKETS: usize = 5;
const LATE_MICROS: u64 = 50_000;

/// The path's own delay is the least over so many buckets.
const BASE_BUCKETS: usize = 12;
const BASE_MICROS: u64 = 1_000_000;

/// The least over a sliding time of `N` buckets of `MICROS` each.
#[derive(Debug, Clone)]
struct Least<const N: usize, const MICROS: u64> {
    buckets: [i64; N],
    latest: u64,
    /// Of all buckets.
    least: i64,
}

impl<const N: usize, const MICROS: u64> Least<N, MICROS> {
    const NEW: Self = Self {
        buckets: [i64::MAX; N],
        latest: 0,
        least: i64::MAX,
    };

    fn note(&mut self, micros: u64, value: i64) {
        let bucket = micros / MICROS;
        if bucket > self.latest {
            self.advance(bucket);
        }
        if self.latest - bucket < N as u64 {
            let least = &mut self.buckets[bucket as usize % N];
            *least = (*least).min(value);
            self.least = self.least.min(value);
        }
    }

    fn advance(&mut self, bucket: u64) {
        for passed in (self.latest + 1..=bucket).rev().take(N) {
            self.buckets[passed as usize % N] = i64::MAX;
        }
        self.latest = bucket;
        self.least = self.buckets.iter().copied().min().unwrap_or(i64::MAX);
    }
}

#[derive(Debug, Clone)]
pub(super) struct StandingQueue {
    late: Least<LATE_BUCKETS, LATE_MICROS>,
    base: Least<BASE_BUCKETS, BASE_MICROS>,
}

impl Default for StandingQueue {
    fn default() -> Self {
        Self {
            late: Least::NEW,
            base: Least::NEW,
        }
    }
}

impl StandingQueue {
    /// Takes note of a packet, and says how much later it came than the fastest, in microseconds.
    pub(super) fn note(&mut self, packet: Arrived) -> i64 {
        // The clocks differ by a constant, which the comparison takes away.
        let delay = packet.arrived.as_micros() as i64 - packet.sent.as_micros() as i64;
        let at = packet.arrived.as_micros();
        self.late.note(at, delay);
        self.base.note(at, delay);
        delay - self.base.least
    }

    /// By how much even the fastest packets are slower than they could be.
    pub(super) fn delay(&self) -> Duration {
        // Before a packet came both are the same.
        Duration::from_micros((self.late.least - self.base.least).max(0) as u64)
    }
}
