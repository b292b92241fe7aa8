//! The decision: when a packet arrives at the far end, or why it does not.

use std::time::Duration;

use sluice_types::units::Time;

use super::figures::{LinkFigures, LossModel};
use super::rng::Rng;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives at the far end at this time.
    Deliver {
        /// When.
        at: Time,
    },
    /// It does not arrive.
    Drop(DropReason),
}

/// Why a packet does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The link lost it.
    Loss,
    /// It would have waited for its turn longer than the queue is.
    QueueFull,
    /// It is longer than what fits.
    TooLong,
}

/// One direction of a link. Equal figures, seed and packets make equal verdicts.
#[derive(Debug, Clone)]
pub struct Impairment {
    figures: LinkFigures,
    rng: Rng,
    /// In the bad state of [`LossModel::Burst`].
    bad: bool,
    /// When the last packet will have left the sender's queue.
    busy_until: Time,
    /// When the last packet that was not held back arrives.
    last_arrival: Time,
}

impl Impairment {
    /// A direction with nothing on its way.
    #[must_use]
    pub const fn new(figures: LinkFigures, seed: u64) -> Self {
        Self {
            figures,
            rng: Rng::new(seed),
            bad: false,
            busy_until: Time::ZERO,
            last_arrival: Time::ZERO,
        }
    }

    /// Changes what the link does from now on. Packets on their way are not touched.
    pub fn set_figures(&mut self, figures: LinkFigures) {
        self.figures = figures;
    }

    /// Decides on a packet of `bytes` bytes that enters the link at `now`.
    pub fn on_packet(&mut self, now: Time, bytes: usize) -> Verdict {
        if self.figures.longest.is_some_and(|longest| bytes > longest) {
            return Verdict::Drop(DropReason::TooLong);
        }
        let Some(sent) = self.send(now, bytes) else {
            return Verdict::Drop(DropReason::QueueFull);
        };
        // A lost packet has used the link: it is lost on the way, behind the queue.
        if self.loses() {
            return Verdict::Drop(DropReason::Loss);
        }
        let jitter = self.figures.jitter.mul_f64(self.rng.fraction());
        let arrival = sent + self.figures.delay + jitter;
        if self.figures.reorder > 0.0 && self.rng.happens(self.figures.reorder) {
            let at = arrival + self.figures.reorder_by;
            return Verdict::Deliver { at };
        }
        self.last_arrival = self.last_arrival.max(arrival);
        Verdict::Deliver {
            at: self.last_arrival,
        }
    }

    /// When the packet has left the sender's queue; `None` when the queue is full.
    fn send(&mut self, now: Time, bytes: usize) -> Option<Time> {
        let Some(rate) = self.figures.rate else {
            return Some(now);
        };
        let start = self.busy_until.max(now);
        if start.since(now) > self.figures.queue {
            return None;
        }
        let bits = bytes as u64 * 8;
        let micros = bits.saturating_mul(1_000_000) / rate.as_bps().max(1);
        self.busy_until = start + Duration::from_micros(micros);
        Some(self.busy_until)
    }

    fn loses(&mut self) -> bool {
        match self.figures.loss {
            LossModel::None => false,
            LossModel::Random(share) => self.rng.happens(share),
            LossModel::Burst(burst) => {
                let leave = if self.bad {
                    burst.to_good
                } else {
                    burst.to_bad
                };
                self.bad ^= self.rng.happens(leave);
                let loss = if self.bad {
                    burst.loss_bad
                } else {
                    burst.loss_good
                };
                self.rng.happens(loss)
            }
        }
    }
}
