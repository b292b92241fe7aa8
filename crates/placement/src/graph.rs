//! The regions that have edges, and the links between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Topology;

/// The round trip between two edges of one region, in microseconds.
pub(crate) const WITHIN_REGION_US: u64 = 1_000;

/// Regions with the edges that are up, joined by links weighted with their round trips.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    edges: BTreeMap<RegionName, Vec<EdgeId>>,
    region_of: BTreeMap<EdgeId, RegionName>,
    links: BTreeMap<RegionName, BTreeMap<RegionName, u64>>,
}

/// The shortest ways from one region (Dijkstra 1959).
#[derive(Debug, Clone)]
pub struct Paths {
    /// For each region that can be reached: round trip in microseconds, hops, and the region before
    /// it on the way.
    reached: BTreeMap<RegionName, (u64, u32, Option<RegionName>)>,
}

impl Graph {
    /// The graph of a topology, of which only `up` edges carry anything.
    #[must_use]
    pub fn new(topology: &Topology, up: impl IntoIterator<Item = EdgeId>) -> Self {
        let mut graph = Self::default();
        for link in topology.links() {
            let [a, b] = link.ends();
            graph.add_link(a.clone(), b.clone(), u64::from(link.round_trip().0) * 1_000);
        }
        for edge in up {
            if let Some((region, _)) = topology.edge(&edge) {
                graph.add_edge(edge, region.name().clone());
            }
        }
        graph
    }

    /// Adds a link, in both directions.
    pub fn add_link(&mut self, a: RegionName, b: RegionName, round_trip_us: u64) {
        self.links
            .entry(a.clone())
            .or_default()
            .insert(b.clone(), round_trip_us);
        self.links.entry(b).or_default().insert(a, round_trip_us);
    }

    /// Adds an edge that is up.
    pub fn add_edge(&mut self, edge: EdgeId, region: RegionName) {
        let edges = self.edges.entry(region.clone()).or_default();
        if let Err(place) = edges.binary_search(&edge) {
            edges.insert(place, edge.clone());
        }
        self.region_of.insert(edge, region);
    }

    /// The region of an edge that is up.
    #[must_use]
    pub fn region_of(&self, edge: &EdgeId) -> Option<&RegionName> {
        self.region_of.get(edge)
    }

    /// The edges of a region that are up, in order of their names.
    #[must_use]
    pub fn edges_in(&self, region: &RegionName) -> &[EdgeId] {
        self.edges.get(region).map_or(&[], Vec::as_slice)
    }

    /// The regions that a region is linked with, with round trips in microseconds.
    pub(crate) fn linked_with(
        &self,
        region: &RegionName,
    ) -> impl Iterator<Item = (&RegionName, u64)> {
        let linked = self.links.get(region).into_iter().flatten();
        linked.map(|(other, round_trip_us)| (other, *round_trip_us))
    }

    /// The round trip between two edges, in microseconds, when their regions are linked or the same.
    #[must_use]
    pub fn direct_us(&self, a: &EdgeId, b: &EdgeId) -> Option<u64> {
        let (a, b) = (self.region_of(a)?, self.region_of(b)?);
        if a == b {
            return Some(WITHIN_REGION_US);
        }
        self.links.get(a)?.get(b).copied()
    }

    /// The shortest ways from `from` over regions that have an edge. Of equally short ways the one
    /// with fewer hops, then the one whose last region comes first by name.
    #[must_use]
    pub fn shortest_paths(&self, from: &RegionName) -> Paths {
        let mut reached = BTreeMap::new();
        let mut queue = BinaryHeap::from([Reverse((0u64, 0u32, from.clone(), None::<RegionName>))]);
        while let Some(Reverse((cost, hops, region, before))) = queue.pop() {
            if reached.contains_key(&region) {
                continue;
            }
            reached.insert(region.clone(), (cost, hops, before));
            for (next, weight) in self.links.get(&region).into_iter().flatten() {
                if !self.edges_in(next).is_empty() && !reached.contains_key(next) {
                    let step = (cost + weight, hops + 1, next.clone(), Some(region.clone()));
                    queue.push(Reverse(step));
                }
            }
        }
        Paths { reached }
    }
}

impl Paths {
    /// The round trip to a region, in microseconds.
    #[must_use]
    pub fn round_trip_us(&self, to: &RegionName) -> Option<u64> {
        self.reached.get(to).map(|&(cost, ..)| cost)
    }

    /// The regions on the way, both ends included.
    #[must_use]
    pub fn regions(&self, to: &RegionName) -> Option<Vec<RegionName>> {
        let mut way = vec![to.clone()];
        let mut at = self.reached.get(to)?;
        while let (_, _, Some(before)) = at {
            way.push(before.clone());
            at = self.reached.get(before)?;
        }
        way.reverse();
        Some(way)
    }
}
