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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) to: Region,
    pub(crate) round_trip_us: u64,
    /// In millionths of a USD for 10⁹ bytes.
    pub(crate) price: u64,
    pub(crate) capacity_bps: u64,
}

#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) edges: Vec<Vec<EdgeId>>,
    region_of: HashMap<EdgeId, Region>,
    pub(crate) terrain: Arc<Terrain>,
}

/// The regions and the links between them, and what was found over these. Edges that come and go
/// change nothing of it, as long as each region has some or none as before.
#[derive(Debug)]
pub(crate) struct Terrain {
    /// The version of the graph for which it was made, which tells it from others of that graph.
    pub(crate) number: u64,
    pub(crate) names: Vec<RegionName>,
    has_edges: Vec<bool>,
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

/// What it takes at least to come from one region to another, each by a way of its own; [`NEVER`] where
/// no way leads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Least {
    /// In microseconds.
    pub(crate) delay: u64,
    pub(crate) price: u64,
    pub(crate) hops: u64,
}

/// The best ways between all regions over those that may be used (Dijkstra 1959).
#[derive(Debug)]
pub(crate) struct Ways {
    regions: usize,
    usable: Vec<bool>,
    /// For each region, what it takes at least to come there from each.
    ahead: Vec<Least>,
    /// No others over the same graph have this number.
    pub(crate) number: u64,
}

impl Net {
    /// The graph by numbers; with the one of these terrains that is its own, if there is one.
    pub(crate) fn new(graph: &Graph, known: &[Arc<Terrain>]) -> Self {
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
        let has_edges: Vec<_> = edges.iter().map(|edges| !edges.is_empty()).collect();
        let is_same = |known: &&Arc<Terrain>| {
            known.names == names && known.has_edges == has_edges && known.hops == hops
        };
        if let Some(known) = known.iter().find(is_same) {
            return Self {
                edges,
                region_of,
                terrain: Arc::clone(known),
            };
        }
        let mut direct = vec![None; names.len() * names.len()];
        for (from, hops) in hops.iter().enumerate() {
            for hop in hops {
                direct[from * names.len() + hop.to] = Some(*hop);
            }
        }
        let terrain = Terrain {
            number: graph.version(),
            names,
            has_edges,
            hops,
            direct,
            ways: Mutex::default(),
            found: Found::default(),
        };
        Self {
            edges,
            region_of,
            terrain: Arc::new(terrain),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.terrain.names.len()
    }

    pub(crate) fn name(&self, region: Region) -> &RegionName {
        &self.terrain.names[region]
    }

    pub(crate) fn region(&self, name: &RegionName) -> Option<Region> {
        self.terrain.names.binary_search(name).ok()
    }

    /// The region of an edge that is up.
    pub(crate) fn region_of(&self, edge: &EdgeId) -> Option<Region> {
        self.region_of.get(edge).copied()
    }

    pub(crate) fn hops_from(&self, from: Region) -> &[Hop] {
        &self.terrain.hops[from]
    }

    pub(crate) fn hop(&self, from: Region, to: Region) -> Option<&Hop> {
        self.terrain.direct[from * self.len() + to].as_ref()
    }

    /// The ways over regions that `residency` allows and that have an edge.
    pub(crate) fn ways(&self, residency: &Residency) -> Arc<Ways> {
        let Terrain {
            names,
            has_edges,
            ways,
            ..
        } = &*self.terrain;
        let mut kept = ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ways) = kept.by_residency.get(residency) {
            return Arc::clone(ways);
        }
        let usable = (names.iter().zip(has_edges))
            .map(|(name, has_edges)| *has_edges && residency.check(name).is_ok())
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
            let all: Vec<_> = sources
                .flat_map(|from| shortest(net, &usable, from, weight))
                .collect();
            all
        };
        let (delays, prices, hops) = (
            all(|hop| hop.round_trip_us),
            all(|hop| hop.price),
            all(|_| 1),
        );
        let pairs = (0..regions).flat_map(|to| (0..regions).map(move |from| from * regions + to));
        let ahead = pairs.map(|pair| Least {
            delay: delays[pair],
            price: prices[pair],
            hops: hops[pair],
        });
        Self {
            regions,
            ahead: ahead.collect(),
            usable,
            number,
        }
    }

    pub(crate) fn usable(&self, region: Region) -> bool {
        self.usable[region]
    }

    /// What it takes from each region to come to this one.
    pub(crate) fn ahead(&self, to: Region) -> &[Least] {
        &self.ahead[to * self.regions..][..self.regions]
    }

    /// The shortest round trip, in microseconds, or [`NEVER`].
    pub(crate) fn delay(&self, from: Region, to: Region) -> u64 {
        self.ahead(to)[from].delay
    }

    /// The cheapest way's price, or [`NEVER`].
    pub(crate) fn price(&self, from: Region, to: Region) -> u64 {
        self.ahead(to)[from].price
    }

    /// The fewest hops, or [`NEVER`].
    pub(crate) fn hops(&self, from: Region, to: Region) -> u64 {
        self.ahead(to)[from].hops
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
