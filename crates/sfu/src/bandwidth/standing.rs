//! Whether a queue stands on the way: the least delay of late against the least of the last seconds.
//!
//! Jitter raises some packets' delay, a queue that of all. Only where both the trend and the least
//! delay rise is the path congested.

use std::time::Duration;

use super::Arrived;

/// Late is so many buckets of so many milliseconds.
const LATE_BUCKETS: usize = 5;
const LATE_BUCKET_MS: u64 = 50;

/// The path's own delay is the least over so many buckets.
const BASE_BUCKETS: usize = 12;
const BASE_BUCKET_MS: u64 = 1_000;

/// The least over a sliding time.
#[derive(Debug, Clone)]
struct Least<const N: usize> {
    bucket_ms: u64,
    buckets: [i64; N],
    latest: u64,
}

impl<const N: usize> Least<N> {
    const fn new(bucket_ms: u64) -> Self {
        Self {
            bucket_ms,
            buckets: [i64::MAX; N],
            latest: 0,
        }
    }

    fn note(&mut self, millis: u64, value: i64) {
        let bucket = millis / self.bucket_ms;
        if bucket > self.latest {
            for passed in (self.latest + 1..=bucket).rev().take(N) {
                self.buckets[passed as usize % N] = i64::MAX;
            }
            self.latest = bucket;
        }
        if self.latest - bucket < N as u64 {
            let least = &mut self.buckets[bucket as usize % N];
            *least = (*least).min(value);
        }
    }

    fn least(&self) -> Option<i64> {
        let least = self.buckets.iter().copied().min()?;
        (least != i64::MAX).then_some(least)
    }
}

#[derive(Debug, Clone)]
pub(super) struct StandingQueue {
    late: Least<LATE_BUCKETS>,
    base: Least<BASE_BUCKETS>,
}

impl Default for StandingQueue {
    fn default() -> Self {
        Self {
            late: Least::new(LATE_BUCKET_MS),
            base: Least::new(BASE_BUCKET_MS),
        }
    }
}

impl StandingQueue {
    /// Takes note of a packet, and says how much later it came than the fastest, in microseconds.
    pub(super) fn note(&mut self, packet: Arrived) -> i64 {
        // The clocks differ by a constant, which the comparison takes away.
        let delay = packet.arrived.as_micros() as i64 - packet.sent.as_micros() as i64;
        let millis = packet.arrived.as_millis();
        self.late.note(millis, delay);
        self.base.note(millis, delay);
        delay - self.base.least().unwrap_or(delay)
    }

    /// By how much even the fastest packets are slower than they could be.
    pub(super) fn delay(&self) -> Duration {
        match (self.late.least(), self.base.least()) {
            (Some(late), Some(base)) => Duration::from_micros((late - base).max(0) as u64),
            _ => Duration::ZERO,
        }
    }
}
