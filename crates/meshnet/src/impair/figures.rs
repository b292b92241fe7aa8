//! What a link does to packets, in one direction.

use std::time::Duration;

use sluice_types::units::Bitrate;

/// What a link does to packets, in one direction. The default does nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkFigures {
    /// How long every packet takes at least.
    pub delay: Duration,
    /// How much longer it may take, evenly spread. Jitter does not change the packets' order.
    pub jitter: Duration,
    /// Which packets are lost.
    pub loss: LossModel,
    /// How much it carries; `None` is without limit.
    pub rate: Option<Bitrate>,
    /// How long a packet may wait for its turn when there is a rate. A packet that would wait
    /// longer is dropped (tail drop).
    pub queue: Duration,
    /// The longest UDP payload that fits, in bytes; `None` is any. A longer packet is dropped
    /// without a word, as where nothing tells of it.
    pub longest: Option<usize>,
    /// The share of packets, 0 to 1, that are held back by [`Self::reorder_by`], so that later ones
    /// overtake them.
    pub reorder: f64,
    /// How long such packets are held back.
    pub reorder_by: Duration,
}

impl Default for LinkFigures {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: LossModel::None,
            rate: None,
            queue: Duration::from_millis(100),
            longest: None,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
        }
    }
}

/// Which packets are lost. Shares and probabilities are 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossModel {
    /// None.
    None,
    /// Each with this probability, whatever happened to the others.
    Random(f64),
    /// In bursts.
    Burst(BurstLoss),
}

/// The Gilbert–Elliott model: a chain of two states, advanced with each packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurstLoss {
    /// The probability to go from the good state to the bad one.
    pub to_bad: f64,
    /// The probability to go from the bad state to the good one; its inverse is the mean length of
    /// a burst, in packets.
    pub to_good: f64,
    /// The probability to lose a packet in the good state.
    pub loss_good: f64,
    /// The probability to lose a packet in the bad state.
    pub loss_bad: f64,
}

impl BurstLoss {
    /// Bursts of `mean_length` packets (at least 1) that lose everything, and nothing lost between
    /// them, so that the share `average` (0 to 0.9) is lost over time.
    #[must_use]
    pub fn of(average: f64, mean_length: f64) -> Self {
        let average = average.clamp(0.0, 0.9);
        let to_good = 1.0 / mean_length.max(1.0);
        Self {
            to_bad: (to_good * average / (1.0 - average)).min(1.0),
            to_good,
            loss_good: 0.0,
            loss_bad: 1.0,
        }
    }

    /// The share that is lost over time.
    #[must_use]
    pub fn average(&self) -> f64 {
        let both = self.to_bad + self.to_good;
        if both == 0.0 {
            return self.loss_good;
        }
        let bad = self.to_bad / both;
        bad * self.loss_bad + (1.0 - bad) * self.loss_good
    }
}
