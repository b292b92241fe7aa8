//! How fast the receiver is reached: the bitrate of what arrives, by the receiver's clock.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::Arrived;

/// The first sample, and those after it.
const FIRST_WINDOW: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(150);

/// After a silence like this the window begins anew.
const SILENCE: Duration = Duration::from_millis(2_000);

/// A Bayesian estimate: samples far from it count less, the more the closer it was before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Acknowledged {
    since: Option<Time>,
    latest: Time,
    bytes: u64,
    /// In kbit/s, and its variance.
    estimate: Option<(f64, f64)>,
}

/// How much a sample's distance counts against it, and how fast the estimate becomes uncertain.
const SAMPLE_UNCERTAINTY: f64 = 10.0;
const DRIFT: f64 = 5.0;
const START_VARIANCE: f64 = 50.0;

impl Acknowledged {
    pub(super) fn note(&mut self, arrived: Arrived) {
        if self.latest > arrived.arrived {
            self.bytes += u64::from(arrived.bytes);
            return;
        }
        let silent = arrived.arrived.since(self.latest) > SILENCE;
        let since = match self.since {
            Some(since) if !silent => since,
            _ => {
                self.bytes = 0;
                self.since = Some(arrived.arrived);
                arrived.arrived
            }
        };
        self.latest = arrived.arrived;
        let window = if self.estimate.is_some() {
            WINDOW
        } else {
            FIRST_WINDOW
        };
        let passed = arrived.arrived.since(since);
        if passed >= window {
            let kbps = self.bytes as f64 * 8.0 / passed.as_secs_f64() / 1_000.0;
            self.sample(kbps);
            self.bytes = 0;
            self.since = Some(arrived.arrived);
        }
        self.bytes += u64::from(arrived.bytes);
    }

    fn sample(&mut self, kbps: f64) {
        let Some((estimate, variance)) = self.estimate else {
            self.estimate = Some((kbps, START_VARIANCE));
            return;
        };
        let uncertainty = SAMPLE_UNCERTAINTY * (estimate - kbps).abs() / estimate.max(1.0);
        let sample_variance = uncertainty * uncertainty;
        let predicted = variance + DRIFT;
        let sum = sample_variance + predicted;
        self.estimate = Some((
            ((sample_variance * estimate + predicted * kbps) / sum).max(1.0),
            sample_variance * predicted / sum,
        ));
    }

    /// The path is known to carry so much from now on, whatever it did.
    pub(super) fn begin_at(&mut self, rate: Bitrate) {
        self.estimate = Some((rate.as_bps() as f64 / 1e3, START_VARIANCE));
        self.since = None;
        self.bytes = 0;
    }

    pub(super) fn rate(&self) -> Option<Bitrate> {
        let (kbps, _) = self.estimate?;
        Some(Bitrate::bps((kbps * 1_000.0) as u64))
    }
}
