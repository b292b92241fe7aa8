//! What a hop's probes measure: round trip, jitter, loss over some seconds, what arrives.

use std::collections::VecDeque;
use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::wire::Probe;

/// Over how long losses are averaged.
const LOSS_WINDOW: Duration = Duration::from_secs(5);

/// Over how long what arrives is averaged.
const RATE_WINDOW: Duration = Duration::from_millis(400);

/// How long the shortest round trip is remembered, at least; at most twice as long.
const SHORTEST_FOR: Duration = Duration::from_secs(10);

/// How many samples of the round trip say whether a queue stands.
const LATEST: usize = 5;

/// A share of packets, 0 to 1.
pub type Ratio = f64;

/// Counters at one time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) expected: u64,
    pub(super) received: u64,
    pub(super) runs: u64,
}

/// Losses over the last five seconds, from rising counters.
#[derive(Debug, Clone, Default)]
pub(super) struct LossWindow(VecDeque<(Time, Counts)>);

impl LossWindow {
    /// Takes the counters; called some ten times a second.
    pub(super) fn note(&mut self, now: Time, counts: Counts) {
        while self.0.len() > 1 && now.since(self.0[0].0) > LOSS_WINDOW {
            self.0.pop_front();
        }
        let crowded = self
            .0
            .back()
            .is_some_and(|(last, _)| now.since(*last) < Duration::from_millis(50));
        if crowded && self.0.len() > 1 {
            self.0.pop_back();
        }
        self.0.push_back((now, counts));
    }

    /// Expected, lost, and runs of losses, of the last `span`.
    fn over(&self, span: Duration) -> (u64, u64, u64) {
        let Some((now, last)) = self.0.back() else {
            return (0, 0, 0);
        };
        let first = self
            .0
            .iter()
            .find(|(at, _)| now.since(*at) <= span)
            .map_or(last, |(_, counts)| counts);
        let expected = last.expected.saturating_sub(first.expected);
        let received = last.received.saturating_sub(first.received);
        let runs = last.runs.saturating_sub(first.runs);
        (expected, expected.saturating_sub(received), runs)
    }

    /// The share that was lost in the last `span`, at most five seconds.
    pub(super) fn ratio_over(&self, span: Duration) -> Ratio {
        let (expected, lost, _) = self.over(span);
        if expected == 0 {
            0.0
        } else {
            lost as f64 / expected as f64
        }
    }

    pub(super) fn ratio(&self) -> Ratio {
        self.ratio_over(LOSS_WINDOW)
    }

    /// How many packets a run of losses has on average; 0 when none was lost.
    pub(super) fn run_length(&self) -> f64 {
        let (_, lost, runs) = self.over(LOSS_WINDOW);
        if runs == 0 {
            0.0
        } else {
            lost as f64 / runs as f64
        }
    }
}

/// A hop as one end of it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Smoothed round trip.
    pub round_trip: Duration,
    /// The shortest round trip of the last ten to twenty seconds.
    pub shortest: Duration,
    /// The shortest of the latest five samples: a queue that stands makes all of them longer, a host
    /// that stalls only some.
    pub standing: Duration,
    /// How much the way here varies (RFC 3550, section 6.4.1, over probes).
    pub jitter: Duration,
    /// The share of what was sent that was lost, over five seconds, repairs not counted.
    pub loss: Ratio,
    /// How many packets a run of losses has on average.
    pub run_length: f64,
    /// What of this end's datagrams arrives.
    pub delivered: Bitrate,
}

/// Reads probes.
#[derive(Debug, Clone)]
pub(super) struct Health {
    round_trip: Option<Duration>,
    initial: Duration,
    /// The shortest of this period and of the one before.
    shortest: [Option<Duration>; 2],
    period: Time,
    latest: VecDeque<Duration>,
    jitter: Duration,
    transit: Option<i64>,
    last: Option<Probe>,
    pub(super) loss: LossWindow,
    counts: Counts,
    /// Bytes that arrived since, at the peer's clock in milliseconds.
    rate_from: Option<(u32, u32)>,
    delivered: Bitrate,
}

impl Health {
    pub(super) fn new(initial: Duration) -> Self {
        Self {
            round_trip: None,
            initial,
            shortest: [None; 2],
            period: Time::ZERO,
            latest: VecDeque::with_capacity(LATEST),
            jitter: Duration::ZERO,
            transit: None,
            last: None,
            loss: LossWindow::default(),
            counts: Counts::default(),
            rate_from: None,
            delivered: Bitrate::default(),
        }
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(self.initial)
    }

    pub(super) fn shortest(&self) -> Duration {
        let [now, before] = self.shortest;
        now.into_iter()
            .chain(before)
            .min()
            .unwrap_or(self.round_trip())
    }

    /// Takes a probe; `None` when an earlier one overtook it, else the round trip that it shows.
    pub(super) fn on_probe(&mut self, now: Time, probe: &Probe) -> Option<Option<Duration>> {
        if self.last.is_some_and(|last| last.stamp >= probe.stamp) {
            return None;
        }
        let transit = now.as_micros() as i64 - probe.stamp as i64;
        if let Some(before) = self.transit.replace(transit) {
            let change = Duration::from_micros(transit.abs_diff(before));
            self.jitter = self.jitter * 15 / 16 + change / 16;
        }
        let sample = (probe.echo != 0).then(|| {
            let held = Duration::from_micros(probe.held_us.into());
            now.since(Time::from_micros(probe.echo))
                .saturating_sub(held)
        });
        if let Some(sample) = sample {
            self.sample(now, sample);
        }
        let last = self.last.replace(*probe).unwrap_or_default();
        self.counts.expected += u64::from(probe.expected.wrapping_sub(last.expected));
        let received = probe.received.wrapping_sub(last.received);
        self.counts.received += u64::from(received);
        self.counts.runs += u64::from(probe.runs.wrapping_sub(last.runs));
        self.loss.note(now, self.counts);
        self.rate(probe);
        Some(sample)
    }

    fn sample(&mut self, now: Time, sample: Duration) {
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(sample);
        self.round_trip = Some(match self.round_trip {
            None => sample,
            Some(smoothed) => smoothed * 7 / 8 + sample / 8,
        });
        if now.since(self.period) > SHORTEST_FOR {
            self.period = now;
            self.shortest = [None, self.shortest[0]];
        }
        let least = self.shortest[0].map_or(sample, |least| least.min(sample));
        self.shortest[0] = Some(least);
    }

    fn rate(&mut self, probe: &Probe) {
        let Some((bytes, at)) = self.rate_from else {
            self.rate_from = Some((probe.bytes, probe.read_ms));
            return;
        };
        let millis = probe.read_ms.wrapping_sub(at);
        if Duration::from_millis(millis.into()) >= RATE_WINDOW {
            let came = u64::from(probe.bytes.wrapping_sub(bytes));
            self.delivered = Bitrate::bps(came * 8 * 1_000 / u64::from(millis));
            self.rate_from = Some((probe.bytes, probe.read_ms));
        }
    }

    pub(super) fn measured(&self) -> Measured {
        Measured {
            round_trip: self.round_trip(),
            shortest: self.shortest(),
            standing: self.latest.iter().copied().min().unwrap_or_default(),
            jitter: self.jitter,
            loss: self.loss.ratio(),
            run_length: self.loss.run_length(),
            delivered: self.delivered,
        }
    }
}
