//! The rate that follows loss.
//!
//! Loss beyond what the path always has caps the rate at what arrives. What the path always has is
//! found out by trying: when a lower rate does not lower the loss, the rate was not its cause. So a
//! wireless link that loses every tenth packet is not starved, and a short queue is not overrun.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

/// Over how long loss is summed up, and the fewest packets that say something.
const WINDOW: Duration = Duration::from_millis(500);
const PACKETS_MIN: u32 = 20;

/// Loss beyond the path's own: below it the cap rises, above it falls.
const LITTLE: f64 = 0.02;
const MUCH: f64 = 0.08;

/// What the cap gains in a second without loss, and keeps of what arrives with much.
const GROWTH: f64 = 0.15;
const BACK_OFF: f64 = 0.95;

/// How much of the loss has to remain after the rate fell for it to count as the path's own.
const REMAINS: f64 = 0.7;

/// The most that is taken for the path's own, and the longest queue with which it may be.
const OWN_MAX: f64 = 0.2;
const QUEUE_MAX: Duration = Duration::from_millis(50);

/// How fast the path's own loss is forgotten when there is less, in shares of each window.
const FORGET: f64 = 0.3;

#[derive(Debug, Clone, Default)]
pub(super) struct LossControl {
    since: Option<Time>,
    received: u32,
    lost: u32,
    /// That arrived.
    bytes: u64,
    recent: f64,
    /// The loss that the path has at any rate.
    own: f64,
    cap: Option<f64>,
    /// The loss before the latest cut, when it was, and to what the rate fell.
    cut: Option<(f64, Time)>,
    holds: bool,
}

impl LossControl {
    pub(super) const fn recent(&self) -> f64 {
        self.recent
    }

    /// Whether loss keeps the rate from rising.
    pub(super) const fn holds(&self) -> bool {
        self.holds
    }

    pub(super) fn cap(&self) -> Option<Bitrate> {
        self.cap.map(|bps| Bitrate::bps(bps as u64))
    }

    /// A probe found that so much is carried.
    pub(super) fn raise_to(&mut self, found: Bitrate) {
        if let Some(cap) = &mut self.cap {
            *cap = cap.max(found.as_bps() as f64);
        }
    }

    pub(super) fn update(
        &mut self,
        now: Time,
        (received, lost, bytes): (u32, u32, u64),
        acknowledged: Option<Bitrate>,
        delay_based: Bitrate,
        round_trip: Duration,
        queue: Duration,
    ) {
        let since = *self.since.get_or_insert(now);
        self.received += received;
        self.lost += lost;
        self.bytes += bytes;
        let all = self.received + self.lost;
        let passed = now.since(since);
        if passed < WINDOW || all < PACKETS_MIN {
            return;
        }
        let loss = f64::from(self.lost) / f64::from(all);
        let arrived = std::mem::take(&mut self.bytes) as f64 * 8.0 / passed.as_secs_f64();
        (self.since, self.received, self.lost) = (Some(now), 0, 0);
        self.recent = loss;
        if loss < self.own {
            self.own += (loss - self.own) * FORGET;
        }
        if let Some((before, at)) = self.cut
            && now.since(at) > round_trip + WINDOW
        {
            self.cut = None;
            // Where a queue stands, that is what loses.
            if loss > before * REMAINS && queue < QUEUE_MAX {
                self.own = self.own.max(loss).min(OWN_MAX);
            }
        }
        let excess = loss - self.own;
        self.holds = excess > LITTLE;
        if excess > MUCH && self.cut.is_none() {
            let smoothed = acknowledged.unwrap_or(delay_based).as_bps() as f64;
            // When a path falls to a fraction, what was acknowledged is smoothed over what was.
            let arrives = smoothed.min(arrived);
            // Without the path's own loss so much would arrive.
            let carried = arrives / (1.0 - self.own).max(0.1);
            self.cap = Some((carried * BACK_OFF).min(delay_based.as_bps() as f64));
            self.cut = Some((loss, now));
        } else if excess < LITTLE
            && let Some(cap) = &mut self.cap
        {
            *cap *= (1.0 + GROWTH).powf(passed.as_secs_f64().min(2.0));
            if *cap > delay_based.as_bps() as f64 * 1.2 {
                self.cap = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_collapses_is_cut_to_what_arrives_and_not_to_what_arrived() {
        let mut loss = LossControl::default();
        let before = Bitrate::kbps(1_500);
        let mut tell = |millis, told| {
            let round_trip = Duration::from_millis(150);
            loss.update(
                Time::from_millis(millis),
                told,
                Some(before),
                before,
                round_trip,
                round_trip,
            );
            loss.cap()
        };
        assert_eq!(tell(0, (0, 0, 0)), None);
        // Half a second of 1.5 Mbit/s, of which 350 kbit/s came.
        let cap = tell(500, (20, 66, 350_000 / 16)).expect("much is lost");
        assert!(cap < Bitrate::kbps(350), "{cap:?}");
    }
}
