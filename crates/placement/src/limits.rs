//! What plans have to keep to, and what they could not.

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Policy;
use sluice_types::units::Bitrate;
use thiserror::Error;

use crate::graph::WITHIN_REGION_US;
use crate::residency::Rule;

/// What every tree of a room keeps to, if it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The longest round trip that may take the place of the shortest, both in microseconds.
    pub(crate) fn stretched_us(&self, shortest_us: u64) -> u64 {
        let stretched = u128::from(shortest_us) * u128::from(self.stretch_permille) / 1_000;
        u64::try_from(stretched).unwrap_or(u64::MAX)
    }

    /// The same with a hop within a region, for edges that receive from another of their region.
    pub(crate) fn allowed_us(&self, shortest_us: u64) -> u64 {
        self.stretched_us(shortest_us)
            .saturating_add(WITHIN_REGION_US)
    }
}

/// A limit that a plan had to break, or a demand that it cannot meet.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// No way leads there.
    #[error("no way leads from {root} to {edge}: both are to be up, with links between")]
    Unreachable {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
    },
    /// Ways lead there, each through a region that the residency forbids.
    #[error("no way from {root} to {edge} keeps to the allowed regions")]
    NoAllowedWay {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
    },
    /// The residency forbids the edge's region: it neither sends nor receives.
    #[error("{edge} is refused in {region}: {rule}")]
    Refused {
        /// Which.
        edge: EdgeId,
        /// Its region.
        region: RegionName,
        /// What forbids it.
        rule: Rule,
    },
    /// The way has more hops than allowed.
    #[error("the way from {root} to {edge} has {hops} hops, more than `hops_max`")]
    Hops {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
        /// How many it has.
        hops: u32,
    },
    /// A link carries more than it can.
    #[error("with the tree of {root} the link from {from} to {to} has {load} of {capacity}")]
    Capacity {
        /// Since this edge's tree.
        root: EdgeId,
        /// The region that sends.
        from: RegionName,
        /// The region that receives.
        to: RegionName,
        /// What all plans together put on it.
        load: Bitrate,
        /// What it carries.
        capacity: Bitrate,
    },
    /// An edge has more children than allowed.
    #[error("in the tree of {root} {edge} has {children} children, more than `fan_out_max`")]
    FanOut {
        /// In this edge's tree.
        root: EdgeId,
        /// Which.
        edge: EdgeId,
        /// How many it has.
        children: u32,
    },
    /// The way is longer than allowed.
    #[error("the way from {root} to {edge} takes {round_trip_us} µs, allowed are {allowed_us} µs")]
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
}

impl Broken {
    /// How bad it is, 0 the worst: whoever hears nothing has nothing; too many hops mean that
    /// something may be wrong with the topology; a full link harms whatever is on it, too many
    /// children harm an edge, and a longer way is heard by one region only.
    pub(crate) const fn rank(&self) -> usize {
        match self {
            Self::Refused { .. } | Self::NoAllowedWay { .. } | Self::Unreachable { .. } => 0,
            Self::Hops { .. } => 1,
            Self::Capacity { .. } => 2,
            Self::FanOut { .. } => 3,
            Self::Stretch { .. } => 4,
        }
    }
}

/// How many limits of each rank are broken, the worst first. The less, the better.
pub(crate) type Badness = [u32; 5];

pub(crate) fn badness(broken: &[Broken]) -> Badness {
    let mut counts = [0; 5];
    for broken in broken {
        counts[broken.rank()] += 1;
    }
    counts
}
