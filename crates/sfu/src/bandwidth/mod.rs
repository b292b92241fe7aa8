//! How much one receiver's network carries: Google congestion control at the sender
//! (draft-ietf-rmcat-gcc-02), fed by transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Three things are watched. The *delay* between groups of packets grows when a queue does
//! (`trend`), and the rate backs off before anything is lost (`rate`); a path that falls to a fraction
//! is told sooner, by what it carries while its queue stands (`collapse`). *Loss* beyond what the
//! path always has means a queue that is too short to see (`loss`). And *probes*, short clusters at
//! a higher rate, find room that the media itself does not use (`probe`).

mod acknowledged;
mod bucket;
mod collapse;
mod loss;
mod probe;
mod rate;
mod sent;
mod standing;
#[cfg(test)]
mod tests;
mod trend;

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use self::acknowledged::Acknowledged;
pub use self::bucket::Bucket;
use self::collapse::{Collapse, Finding};
use self::loss::LossControl;
use self::probe::Prober;
pub use self::probe::{Probe, ProbeId};
use self::rate::RateControl;
use self::sent::SentPackets;
use self::standing::StandingQueue;
use self::trend::{Trend, Usage};
use crate::rtcp::TransportFeedback;

/// Bounds of an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Never below; enough for sound.
    pub min: Bitrate,
    /// Never above.
    pub max: Bitrate,
    /// What is assumed before anything is known.
    pub start: Bitrate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min: Bitrate::kbps(50),
            max: Bitrate::mbps(50),
            start: Bitrate::mbps(1),
        }
    }
}

/// A queue shorter than this is jitter, whatever the trend says; a longer one than that is a queue,
/// whatever the trend says.
const QUEUE_MIN: Duration = Duration::from_millis(10);
const QUEUE_MAX: Duration = Duration::from_millis(150);

/// How long after the last feedback a path is a new one.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// A packet of which feedback says that it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrived {
    sent: Time,
    /// On the receiver's clock.
    arrived: Time,
    bytes: u32,
}

/// The estimate for one receiver.
#[derive(Debug, Clone)]
pub struct Estimator {
    config: Config,
    sent: SentPackets,
    trend: Trend,
    standing: StandingQueue,
    collapse: Collapse,
    suspected: bool,
    acknowledged: Acknowledged,
    rate: RateControl,
    loss: LossControl,
    prober: Prober,
    remb: Option<Bitrate>,
    round_trip: Option<Duration>,
    has_feedback: bool,
    last_feedback: Option<Time>,
}

impl Estimator {
    /// An estimate that starts at `config.start`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sent: SentPackets::default(),
            trend: Trend::default(),
            standing: StandingQueue::default(),
            collapse: Collapse::default(),
            suspected: false,
            acknowledged: Acknowledged::default(),
            rate: RateControl::new(config.start),
            loss: LossControl::default(),
            prober: Prober::default(),
            remb: None,
            round_trip: None,
            has_feedback: false,
            last_feedback: None,
        }
    }

    /// A packet of `bytes` with that transport-wide sequence number goes out.
    pub fn sent(&mut self, now: Time, sequence: u16, bytes: usize, probe: Option<ProbeId>) {
        self.sent.note(now, sequence, bytes, probe);
    }

    /// Feedback came.
    pub fn feedback(&mut self, now: Time, feedback: &TransportFeedback<'_>) {
        let (mut received, mut lost, mut bytes) = (0, 0, 0);
        let mut usage = None;
        let mut newest = None;
        for status in feedback.packets() {
            let Some(packet) = self.sent.take(status.sequence, status.arrival.is_some()) else {
                continue;
            };
            let Some(arrived) = status.arrival else {
                lost += 1;
                continue;
            };
            received += 1;
            bytes += u64::from(packet.bytes);
            newest = newest.max(Some(packet.sent));
            let arrived = Arrived {
                sent: packet.sent,
                arrived,
                bytes: packet.bytes,
            };
            self.acknowledged.note(arrived);
            let waited = self.standing.note(arrived);
            self.collapse.note(arrived, waited);
            if let Some(probe) = packet.probe {
                self.prober.arrived(probe, arrived);
            }
            usage = self.trend.note(arrived).or(usage);
        }
        if received + lost == 0 {
            return;
        }
        self.has_feedback = true;
        self.last_feedback = Some(now);
        if let Some(newest) = newest {
            let sample = now.since(newest);
            self.round_trip = Some(match self.round_trip {
                Some(before) => (before * 7 + sample) / 8,
                None => sample,
            });
        }
        let found = self
            .acknowledged
            .rate()
            .and_then(|before| self.collapse.find(now, before));
        self.suspected = found.is_some();
        if let Some(Finding::Fallen(carried)) = found {
            self.acknowledged.begin_at(carried);
            self.rate.fall_to(now, carried);
        }
        let acknowledged = self.acknowledged.rate();
        let round_trip = self.round_trip.unwrap_or(Duration::from_millis(200));
        let queue = self.standing.delay();
        let usage = match usage.unwrap_or_else(|| self.trend.usage()) {
            Usage::Over if queue < QUEUE_MIN => Usage::Normal,
            // A queue that is full grows no more.
            Usage::Normal if queue > QUEUE_MAX => Usage::Over,
            usage => usage,
        };
        self.rate.update(now, usage, acknowledged, round_trip);
        let delay_based = self.rate.target();
        self.loss.update(
            now,
            (received, lost, bytes),
            acknowledged,
            delay_based,
            round_trip,
            queue,
        );
        let target = self.target();
        if let Some(found) = self.prober.result(now, target)
            && usage != Usage::Over
        {
            self.rate.raise_to(now, found);
            self.loss.raise_to(found);
        }
        self.bound();
    }

    /// What the rate controls hold never leaves the bounds, so that it comes back from them at once.
    fn bound(&mut self) {
        self.rate.clamp(self.config.min, self.config.max);
    }

    /// The receiver's own estimate (REMB), which counts while it sends no transport-wide feedback.
    pub fn remb(&mut self, bitrate: Bitrate) {
        self.remb = Some(bitrate);
    }

    /// A receiver report came.
    pub fn reception(&mut self, round_trip: Duration) {
        if self.round_trip.is_none() {
            self.round_trip = Some(round_trip);
        }
    }

    /// How fast to send.
    #[must_use]
    pub fn target(&self) -> Bitrate {
        let (min, max) = (self.config.min, self.config.max);
        if !self.has_feedback
            && let Some(remb) = self.remb
        {
            return remb.clamp(min, max);
        }
        let target = self.rate.target();
        self.loss
            .cap()
            .map_or(target, |cap| cap.min(target))
            .clamp(min, max)
    }

    /// Whether the receiver ever said anything of what arrives.
    #[must_use]
    pub const fn has_feedback(&self) -> bool {
        self.has_feedback || self.remb.is_some()
    }

    /// Whether the path may just be falling to a fraction of what it carried: too early to act upon it,
    /// but not to get ready.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.suspected
    }

    /// How fast the receiver was reached lately.
    #[must_use]
    pub fn acknowledged(&self) -> Option<Bitrate> {
        self.acknowledged.rate()
    }

    /// From sending to hearing of it, smoothed; the receiver's waiting is in it.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The share of packets that was lost lately, 0 to 1.
    #[must_use]
    pub const fn loss(&self) -> f64 {
        self.loss.recent()
    }

    /// Whether to probe now, given that `wanted` could be made use of: the cluster to send.
    pub fn poll_probe(&mut self, now: Time, wanted: Bitrate) -> Option<Probe> {
        // What was seen of a path that nothing went over since says little of it.
        let forgotten = self
            .last_feedback
            .is_none_or(|last| now.since(last) > FORGOTTEN);
        let free = forgotten || (self.trend.usage() == Usage::Normal && !self.loss.holds());
        self.prober
            .poll(now, self.target(), wanted.min(self.config.max), free)
    }
}
