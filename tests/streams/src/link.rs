//! A one-way link that loses, delays and doubles packets, the same ones each time.

use std::collections::BTreeMap;

use crate::random::Random;

/// How long a packet takes at least, and how much longer one that others overtake, in milliseconds.
const DELAY: u64 = 5;
const LATER: usize = 25;

/// What a link does to packets, in percent of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quality {
    /// Lost.
    pub lost: usize,
    /// Overtaken by later ones.
    pub overtaken: usize,
    /// Delivered twice.
    pub doubled: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    quality: Quality,
    random: Random,
    under_way: BTreeMap<(u64, u64), Vec<u8>>,
    sent: u64,
}

impl Link {
    /// A link of that quality.
    #[must_use]
    pub const fn new(quality: Quality, seed: u64) -> Self {
        Self {
            quality,
            random: Random::new(seed),
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Sends a packet at that millisecond.
    pub fn send(&mut self, millis: u64, packet: Vec<u8>) {
        if self.random.chance(self.quality.doubled) {
            self.put(millis, packet.clone());
        }
        if !self.random.chance(self.quality.lost) {
            self.put(millis, packet);
        }
    }

    fn put(&mut self, millis: u64, packet: Vec<u8>) {
        let mut at = millis + DELAY;
        if self.random.chance(self.quality.overtaken) {
            at += 1 + self.random.below(LATER) as u64;
        }
        self.sent += 1;
        self.under_way.insert((at, self.sent), packet);
    }

    /// What arrives by that millisecond.
    pub fn arrived(&mut self, millis: u64) -> Vec<Vec<u8>> {
        let later = self.under_way.split_off(&(millis + 1, 0));
        std::mem::replace(&mut self.under_way, later)
            .into_values()
            .collect()
    }
}
