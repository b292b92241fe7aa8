//! Links: what a backbone path takes, carries, costs and loses.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::RegionName;
use crate::units::{Bitrate, Millis};

/// An allowed backbone path between two regions, in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub(super) ends: [RegionName; 2],
    pub(super) round_trip: Millis,
    pub(super) capacity: Bitrate,
    pub(super) price: [Price; 2],
    pub(super) loss: Loss,
    pub(super) overhead: Overhead,
}

impl Link {
    /// The two regions, in the order the file names them; they differ.
    #[must_use]
    pub const fn ends(&self) -> &[RegionName; 2] {
        &self.ends
    }

    /// Whether the link is between these two, in either order.
    #[must_use]
    pub fn joins(&self, a: &RegionName, b: &RegionName) -> bool {
        self.other_end(a) == Some(b)
    }

    /// The far end as seen from `end`; none when `end` is at neither.
    #[must_use]
    pub fn other_end(&self, end: &RegionName) -> Option<&RegionName> {
        match &self.ends {
            [a, b] if a == end => Some(b),
            [a, b] if b == end => Some(a),
            _ => None,
        }
    }

    /// The expected round trip, 1 to 2,000 ms.
    #[must_use]
    pub const fn round_trip(&self) -> Millis {
        self.round_trip
    }

    /// What the link carries in each direction, 1 Mbit/s to 1 Tbit/s.
    #[must_use]
    pub const fn capacity(&self) -> Bitrate {
        self.capacity
    }

    /// What a gigabyte costs that `sender` sends over the link; none when `sender` is at neither
    /// end.
    #[must_use]
    pub fn price_from(&self, sender: &RegionName) -> Option<Price> {
        self.ends
            .iter()
            .position(|end| end == sender)
            .map(|index| self.price[index])
    }

    /// The share of packets expected to be lost, in each direction.
    #[must_use]
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// How much repairs, parity and probes may be of the media that an edge sends over the link.
    #[must_use]
    pub const fn overhead(&self) -> Overhead {
        self.overhead
    }
}

/// How much repairs, parity and probes may be of the media, 0 to 100 %. With 0, nothing is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Overhead(u8);

impl Overhead {
    /// Where nothing else is said: 10 %.
    pub const USUAL: Self = Self(10);

    /// In hundredths of the media; none above 100.
    #[must_use]
    pub fn percent(percent: u32) -> Option<Self> {
        let percent = u8::try_from(percent).ok()?;
        (percent <= 100).then_some(Self(percent))
    }

    /// In thousandths of the media, 0 to 1,000, whatever a message said.
    #[must_use]
    pub const fn as_permille(self) -> u16 {
        if self.0 > 100 {
            1_000
        } else {
            self.0 as u16 * 10
        }
    }
}

impl Default for Overhead {
    fn default() -> Self {
        Self::USUAL
    }
}

impl fmt::Display for Overhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// What sending one gigabyte (10⁹ bytes) costs, 0 to 100 USD, counted in millionths of a USD so
/// that equal input makes equal plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Price(u32);

impl Price {
    /// The highest price that a topology takes, in USD per gigabyte.
    pub const USD_PER_GB_MAX: f64 = 100.0;

    /// A price in USD per gigabyte; none when it is not a number from 0 to 100.
    #[must_use]
    pub fn usd_per_gb(usd: f64) -> Option<Self> {
        (0.0..=Self::USD_PER_GB_MAX)
            .contains(&usd)
            .then(|| Self((usd * 1e6).round() as u32))
    }

    /// Millionths of a USD per gigabyte, 0 to 100,000,000.
    #[must_use]
    pub const fn as_micro_usd_per_gb(self) -> u32 {
        self.0
    }

    /// USD per gigabyte, 0 to 100.
    #[must_use]
    pub fn as_usd_per_gb(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.3}/GB", self.as_usd_per_gb())
    }
}

/// A share of packets that are lost, 0 to 0.5, counted in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Loss(u32);

impl Loss {
    /// The highest loss that a topology takes, as a fraction; beyond it a link is broken.
    pub const FRACTION_MAX: f64 = 0.5;

    /// A loss as a fraction (0.01 is 1 %); none when it is not a number from 0 to 0.5.
    #[must_use]
    pub fn fraction(fraction: f64) -> Option<Self> {
        (0.0..=Self::FRACTION_MAX)
            .contains(&fraction)
            .then(|| Self((fraction * 1e6).round() as u32))
    }

    /// Lost packets in a million, 0 to 500,000.
    #[must_use]
    pub const fn as_ppm(self) -> u32 {
        self.0
    }

    /// The loss as a fraction, 0 to 0.5.
    #[must_use]
    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 1e4)
    }
}
