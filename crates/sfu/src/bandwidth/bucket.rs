//! Pacing: a leaky bucket that lets bursts of a few packets through at once and spreads longer ones.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

/// How much faster than the estimate a burst may leave, in percent, and how much of it at once.
const PACE_PERCENT: u64 = 250;
const BURST: Duration = Duration::from_millis(40);

/// The smallest burst, in bytes: a frame of a small picture.
const BURST_BYTES_MIN: u64 = 12_000;

/// What may be sent to one receiver now.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Bits per second.
    rate: u64,
    /// Bytes in the bucket, in millionths.
    level: u64,
    at: Time,
}

impl Bucket {
    /// An empty bucket that leaks at the pace of `estimate`.
    #[must_use]
    pub const fn new(estimate: Bitrate) -> Self {
        Self {
            rate: estimate.as_bps() / 100 * PACE_PERCENT,
            level: 0,
            at: Time::ZERO,
        }
    }

    /// The estimate changed.
    pub const fn set_estimate(&mut self, estimate: Bitrate) {
        self.rate = estimate.as_bps() / 100 * PACE_PERCENT;
    }

    fn depth(&self) -> u64 {
        const BURST_MILLIS: u64 = BURST.as_millis() as u64;
        (self.rate / 8 * BURST_MILLIS / 1_000).max(BURST_BYTES_MIN) * 1_000_000
    }

    fn leak(&mut self, now: Time) {
        // A burst's packets leave at one moment.
        if now == self.at {
            return;
        }
        let micros = now.as_micros().saturating_sub(self.at.as_micros());
        let micros = micros.min(10_000_000);
        self.at = now;
        self.level = self.level.saturating_sub(micros * (self.rate / 8));
    }

    /// Whether the next packet may leave now.
    pub fn may_send(&mut self, now: Time) -> bool {
        self.leak(now);
        self.level < self.depth()
    }

    /// `bytes` leave.
    pub fn spend(&mut self, now: Time, bytes: usize) {
        self.leak(now);
        self.level += bytes as u64 * 1_000_000;
    }
}
