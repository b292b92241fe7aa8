//! What a tree costs, and what it breaks.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::RelayTree;
use sluice_types::units::Bitrate;

use crate::demand::Stream;
use crate::graph::WITHIN_REGION_US;
use crate::limits::{Badness, Broken, Limits, badness};
use crate::load::{Load, crossings};
use crate::net::{NEVER, Net, Region, Ways};
use crate::residency::Residency;

/// The mesh as one tree sees it.
pub(crate) struct Around<'a> {
    pub(crate) net: &'a Net,
    pub(crate) ways: &'a Ways,
    /// What all other trees put on links.
    pub(crate) load: &'a Load,
    /// Whether every link has room for the stream.
    pub(crate) is_roomy: bool,
    pub(crate) bps: u64,
}

/// A tree with what it costs and breaks.
#[derive(Debug, Clone)]
pub(crate) struct Assessed {
    pub(crate) tree: RelayTree,
    pub(crate) broken: Vec<Broken>,
    /// The sum over its links that are not warm, in millionths of a USD for 10⁹ bytes.
    pub(crate) price: u64,
    /// The sum over the edges that want it, in microseconds.
    pub(crate) delay_us: u64,
}

impl Assessed {
    pub(crate) fn badness(&self) -> Badness {
        badness(&self.broken)
    }

    /// The less, the better.
    pub(crate) fn score(&self) -> (Badness, u64, u64) {
        (self.badness(), self.price, self.delay_us)
    }

    /// Whether every limit holds.
    pub(crate) fn is_sound(&self) -> bool {
        self.broken.iter().all(|broken| broken.rank() == 0)
    }

    /// Whether this is so much better than `other` that a change is worth it.
    pub(crate) fn is_worth(&self, other: &Self, gain_permille: u32) -> bool {
        if self.badness() != other.badness() {
            return self.badness() < other.badness();
        }
        let gains = |new: u64, old: u64| {
            let kept = 1_000 - u128::from(gain_permille.min(1_000));
            u128::from(new) * 1_000 < u128::from(old) * kept
        };
        gains(self.price, other.price)
            || self.price <= other.price && gains(self.delay_us, other.delay_us)
    }
}

impl<'a> Around<'a> {
    pub(crate) fn new(net: &'a Net, ways: &'a Ways, load: &'a Load, bps: u64) -> Self {
        Self {
            net,
            ways,
            load,
            is_roomy: load.is_roomy(net, bps),
            bps,
        }
    }

    /// The round trip between two edges that are up and may talk.
    pub(crate) fn step_us(&self, from: &EdgeId, to: &EdgeId) -> Option<u64> {
        let (from, to) = (self.net.region_of(from)?, self.net.region_of(to)?);
        if from == to {
            return Some(WITHIN_REGION_US);
        }
        Some(self.net.hop(from, to)?.round_trip_us)
    }

    pub(crate) fn assess(
        &self,
        tree: RelayTree,
        stream: &Stream,
        residency: &Residency,
        limits: &Limits,
    ) -> Assessed {
        let warm = warm_hops(self.net, stream);
        let mut assessed = Assessed {
            broken: Vec::new(),
            price: 0,
            delay_us: 0,
            tree,
        };
        let tree = &assessed.tree;
        let mut reached = BTreeMap::from([(&tree.root, (0u64, 0u32))]);
        let mut children: BTreeMap<&EdgeId, u32> = BTreeMap::new();
        for branch in &tree.branches {
            let (delay_us, hops) = reached.get(&branch.parent).copied().unwrap_or_default();
            let step_us = self
                .step_us(&branch.parent, &branch.edge)
                .unwrap_or_default();
            reached.insert(&branch.edge, (delay_us + step_us, hops + 1));
            *children.entry(&branch.parent).or_default() += 1;
        }
        let home = self.net.region_of(&tree.root);
        for edge in stream.wanted_by.iter().filter(|edge| **edge != tree.root) {
            let region = self.net.region_of(edge);
            let is_refused =
                region.is_some_and(|region| residency.check(self.net.name(region)).is_err());
            if is_refused {
                // Said once for the room.
                continue;
            }
            let (root, edge) = (tree.root.clone(), edge.clone());
            let Some(&(delay_us, hops)) = reached.get(&edge) else {
                assessed
                    .broken
                    .push(self.unreached(root, edge, home, region));
                continue;
            };
            assessed.delay_us += delay_us;
            let shortest = home
                .zip(region)
                .map_or(0, |(from, to)| self.ways.delay(from, to));
            let allowed_us = limits.allowed_us(shortest);
            if hops > limits.hops_max {
                let (root, edge) = (root.clone(), edge.clone());
                assessed.broken.push(Broken::Hops { root, edge, hops });
            }
            if delay_us > allowed_us {
                assessed.broken.push(Broken::Stretch {
                    root,
                    edge,
                    round_trip_us: delay_us,
                    allowed_us,
                });
            }
        }
        for (edge, children) in children {
            if children > limits.fan_out_max {
                assessed.broken.push(Broken::FanOut {
                    root: tree.root.clone(),
                    edge: edge.clone(),
                    children,
                });
            }
        }
        let mut uses: BTreeMap<(Region, Region), u64> = BTreeMap::new();
        for crossing in crossings(self.net, tree) {
            *uses.entry(crossing).or_default() += 1;
        }
        for ((from, to), uses) in uses {
            let Some(hop) = self.net.hop(from, to) else {
                continue;
            };
            let paid = uses - u64::from(warm.contains(&(from, to)));
            assessed.price += hop.price * paid;
            let load = (self.load.used(from, to)).saturating_add(uses.saturating_mul(self.bps));
            if load > hop.capacity_bps {
                assessed.broken.push(Broken::Capacity {
                    root: tree.root.clone(),
                    from: self.net.name(from).clone(),
                    to: self.net.name(to).clone(),
                    load: Bitrate::bps(load),
                    capacity: Bitrate::bps(hop.capacity_bps),
                });
            }
        }
        assessed
    }

    /// Why an edge is not in the tree.
    fn unreached(
        &self,
        root: EdgeId,
        edge: EdgeId,
        home: Option<Region>,
        region: Option<Region>,
    ) -> Broken {
        let anywhere = self.net.ways(&Residency::anywhere());
        let is_linked = home.zip(region).is_some_and(|(from, to)| {
            anywhere.delay(from, to) != NEVER && self.ways.delay(from, to) == NEVER
        });
        if is_linked {
            Broken::NoAllowedWay { root, edge }
        } else {
            Broken::Unreachable { root, edge }
        }
    }
}

/// The links that the stream travels anyway.
pub(crate) fn warm_hops(net: &Net, stream: &Stream) -> BTreeSet<(Region, Region)> {
    let hops = stream
        .warm
        .iter()
        .filter_map(|copy| Some((net.region_of(&copy.from)?, net.region_of(&copy.to)?)));
    hops.collect()
}
