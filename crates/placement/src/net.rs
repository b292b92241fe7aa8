//! The graph by numbers: what searches read, made once for each version of the graph.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_types::ids::{EdgeId, RegionName};

use crate::found::Found;
use crate::graph::Graph;
use crate::residency::Residency;

/// A region's number: its place in the order of names.
pub(crate) type Region = usize;

/// What cannot be reached is this far away.
pub(crate) const NEVER: u64 = u64::MAX;

/// The most residencies of which ways are kept. Meetings share a few; when there are more than
/// these, all are forgotten and made again as they are asked for.
const WAYS_MAX: usize = 64;

/// A link from the end that sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    pub(crate) to: Region,
    pub(crate) round_trip_us: u64,
    /// In millionths of a USD for 10⁹ bytes.
    pub(crate) price: u64,
    pub(crate) capacity_bps: u64,
}

#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) names: Vec<RegionName>,
    pub(crate) edges: Vec<Vec<EdgeId>>,
    region_of: HashMap<EdgeId, Region>,
    hops: Vec<Vec<Hop>>,
    direct: Vec<Option<Hop>>,
    ways: Mutex<KeptWays>,
    /// The trees over regions that were found.
    pub(crate) found: Found,
}

#[derive(Debug, Default)]
struct KeptWays {
    by_residency: BTreeMap<Residency, Arc<Ways>>,
    /// How many were ever made.
    made: u64,
}

/// The best ways between all regions over those that may be used (Dijkstra 1959).
#[derive(Debug)]
pub(crate) struct Ways {
    regions: usize,
    usable: Vec<bool>,
    delays: Vec<u64>,
    prices: Vec<u64>,
    hops: Vec<u64>,
    /// No others over the same graph have this number.
    pub(crate) number: u64,
}

impl Net {
    pub(crate) fn new(graph: &Graph) -> Self {
        let names: BTreeSet<_> = graph.regions().cloned().collect();
        let names: Vec<_> = names.into_iter().collect();
        let numbers: BTreeMap<_, _> = names.iter().cloned().zip(0..).collect();
        let edges: Vec<_> = names
            .iter()
            .map(|name| graph.edges_in(name).to_vec())
            .collect();
        let region_of = edges
            .iter()
            .enumerate()
            .flat_map(|(region, edges)| edges.iter().map(move |edge| (edge.clone(), region)))
            .collect();
        let hops: Vec<Vec<Hop>> = names
            .iter()
            .map(|name| {
                let hop = |(to, sending): (&RegionName, &crate::graph::Sending)| {
                    Some(Hop {
                        to: *numbers.get(to)?,
                        round_trip_us: sending.round_trip_us(),
                        price: u64::from(sending.price.as_micro_usd_per_gb()),
                        capacity_bps: sending.capacity.as_bps(),
                    })
                };
                graph.links_from(name).filter_map(hop).collect()
            })
            .collect();
        let mut direct = vec![None; names.len() * names.len()];
        for (from, hops) in hops.iter().enumerate() {
            for hop in hops {
                direct[from * names.len() + hop.to] = Some(*hop);
            }
        }
        Self {
            names,
            edges,
            region_of,
            hops,
            direct,
            ways: Mutex::default(),
            found: Found::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn region(&self, name: &RegionName) -> Option<Region> {
        self.names.binary_search(name).ok()
    }

    /// The region of an edge that is up.
    pub(crate) fn region_of(&self, edge: &EdgeId) -> Option<Region> {
        self.region_of.get(edge).copied()
    }

    pub(crate) fn hops_from(&self, from: Region) -> &[Hop] {
        &self.hops[from]
    }

    pub(crate) fn hop(&self, from: Region, to: Region) -> Option<&Hop> {
        self.direct[from * self.names.len() + to].as_ref()
    }

    /// The ways over regions that `residency` allows and that have an edge.
    pub(crate) fn ways(&self, residency: &Residency) -> Arc<Ways> {
        let mut kept = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ways) = kept.by_residency.get(residency) {
            return Arc::clone(ways);
        }
        let usable = self
            .names
            .iter()
            .zip(&self.edges)
            .map(|(name, edges)| !edges.is_empty() && residency.check(name).is_ok())
            .collect();
        kept.made += 1;
        let ways = Arc::new(Ways::new(self, usable, kept.made));
        if kept.by_residency.len() >= WAYS_MAX {
            kept.by_residency.clear();
        }
        let kept = &mut kept.by_residency;
        kept.insert(residency.clone(), Arc::clone(&ways));
        ways
    }
}

impl Ways {
    fn new(net: &Net, usable: Vec<bool>, number: u64) -> Self {
        let regions = net.len();
        let all = |weight: fn(&Hop) -> u64| {
            let sources = 0..regions;
            sources
                .flat_map(|from| shortest(net, &usable, from, weight))
                .collect()
        };
        Self {
            regions,
            delays: all(|hop| hop.round_trip_us),
            prices: all(|hop| hop.price),
            hops: all(|_| 1),
            usable,
            number,
        }
    }

    pub(crate) fn usable(&self, region: Region) -> bool {
        self.usable[region]
    }

    /// The shortest round trip, in microseconds, or [`NEVER`].
    pub(crate) fn delay(&self, from: Region, to: Region) -> u64 {
        self.delays[from * self.regions + to]
    }

    /// The cheapest way's price, or [`NEVER`].
    pub(crate) fn price(&self, from: Region, to: Region) -> u64 {
        self.prices[from * self.regions + to]
    }

    /// The fewest hops, or [`NEVER`].
    pub(crate) fn hops(&self, from: Region, to: Region) -> u64 {
        self.hops[from * self.regions + to]
    }
}

fn shortest(net: &Net, usable: &[bool], from: Region, weight: fn(&Hop) -> u64) -> Vec<u64> {
    let mut reached = vec![NEVER; net.len()];
    if !usable[from] {
        return reached;
    }
    reached[from] = 0;
    let mut queue = BinaryHeap::from([Reverse((0, from))]);
    while let Some(Reverse((so_far, at))) = queue.pop() {
        if so_far > reached[at] {
            continue;
        }
        for hop in net.hops_from(at) {
            let total = so_far.saturating_add(weight(hop));
            if usable[hop.to] && total < reached[hop.to] {
                reached[hop.to] = total;
                queue.push(Reverse((total, hop.to)));
            }
        }
    }
    reached
}
