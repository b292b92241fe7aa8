//! What plans have to keep to, and what they could not.

use sluice_types::ids::EdgeId;
use sluice_types::topology::Policy;

use crate::graph::WITHIN_REGION_US;

/// What every tree of a room keeps to, if it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most hops from the root to any edge.
    pub hops_max: u32,
    /// The most children of one edge.
    pub fan_out_max: u32,
    /// How much longer than the shortest path a path may be, in thousandths of the shortest.
    pub stretch_permille: u32,
}

impl From<&Policy> for Limits {
    fn from(policy: &Policy) -> Self {
        Self {
            hops_max: policy.hops_max(),
            fan_out_max: policy.fan_out_max(),
            stretch_permille: policy.latency_stretch().as_thousandths(),
        }
    }
}

impl Limits {
    /// The longest round trip that may take the place of the shortest, both in microseconds: the
    /// stretched one, and a hop within the last region.
    pub(crate) fn stretched_us(&self, shortest_us: u64) -> u64 {
        let stretched = u128::from(shortest_us) * u128::from(self.stretch_permille) / 1_000;
        u64::try_from(stretched)
            .unwrap_or(u64::MAX)
            .saturating_add(WITHIN_REGION_US)
    }
}

/// A limit that a plan had to break, or a demand that it cannot meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// No way leads there.
    Unreachable {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
    },
    /// The way has more hops than allowed.
    Hops {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
        /// How many it has.
        hops: u32,
    },
    /// The way is longer than allowed.
    Stretch {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
        /// Its round trip, in microseconds.
        round_trip_us: u64,
        /// The longest that is allowed, in microseconds.
        allowed_us: u64,
    },
    /// An edge has more children than allowed.
    FanOut {
        /// In this edge's tree.
        root: EdgeId,
        /// Which.
        edge: EdgeId,
        /// How many it has.
        children: u32,
    },
}
