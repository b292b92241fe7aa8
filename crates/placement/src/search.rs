//! Trees within limits, where the shortest ways break one: each edge is joined to the tree by the
//! shortest way that keeps to all limits; failing that, to fewer of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::graph::{Graph, Paths};
use crate::limits::Limits;

/// Where an edge is in the tree.
#[derive(Debug, Clone, Copy)]
struct Place {
    round_trip_us: u64,
    hops: u32,
    children: u32,
}

/// Which limits the search keeps to.
#[derive(Debug, Clone, Copy)]
struct Strictness {
    stretch: bool,
    fan_out: bool,
    hops: bool,
}

/// What is given up first: a longer way is heard by one region, too many children by a whole edge,
/// and too many hops mean that something may be wrong with the topology.
const STEPS: [Strictness; 4] = [
    Strictness {
        stretch: true,
        fan_out: true,
        hops: true,
    },
    Strictness {
        stretch: false,
        fan_out: true,
        hops: true,
    },
    Strictness {
        stretch: false,
        fan_out: false,
        hops: true,
    },
    Strictness {
        stretch: false,
        fan_out: false,
        hops: false,
    },
];

/// The tree of `root` over the edges of `demand` that `paths` reaches.
pub(crate) fn limited_tree(
    graph: &Graph,
    root: &EdgeId,
    paths: &Paths,
    demand: &BTreeSet<EdgeId>,
    limits: &Limits,
) -> RelayTree {
    let shortest_us = |edge: &EdgeId| paths.round_trip_us(graph.region_of(edge)?);
    let mut wanted: Vec<_> = demand
        .iter()
        .filter(|edge| *edge != root)
        .filter_map(|edge| Some((shortest_us(edge)?, edge)))
        .collect();
    // The nearest first, so that the farther ones can go on from there.
    wanted.sort();
    let mut search = Search {
        graph,
        limits,
        tree: RelayTree {
            root: root.clone(),
            branches: Vec::new(),
        },
        places: BTreeMap::from([(
            root.clone(),
            Place {
                round_trip_us: 0,
                hops: 0,
                children: 0,
            },
        )]),
    };
    for (shortest_us, edge) in wanted {
        if search.places.contains_key(edge) {
            continue;
        }
        let allowed_us = limits.stretched_us(shortest_us);
        let way = STEPS
            .iter()
            .find_map(|&step| search.way(edge, allowed_us, step));
        search.join(&way.unwrap_or_default());
    }
    search.tree
}

struct Search<'a> {
    graph: &'a Graph,
    limits: &'a Limits,
    tree: RelayTree,
    places: BTreeMap<EdgeId, Place>,
}

impl Search<'_> {
    /// The shortest way from the tree to `target`, the edge of the tree first; of equally short ones
    /// the one with fewer hops, then the one with the first names.
    fn way(&self, target: &EdgeId, allowed_us: u64, step: Strictness) -> Option<Vec<EdgeId>> {
        // An edge is worth reaching again with fewer hops, though later.
        let mut seen: BTreeMap<EdgeId, u32> = BTreeMap::new();
        let mut queue = BinaryHeap::new();
        for (edge, place) in &self.places {
            if !step.fan_out || place.children < self.limits.fan_out_max {
                queue.push(Reverse((
                    place.round_trip_us,
                    place.hops,
                    vec![edge.clone()],
                )));
            }
        }
        while let Some(Reverse((round_trip_us, hops, way))) = queue.pop() {
            let at = way.last()?;
            if at == target {
                return Some(way);
            }
            if seen.get(at).is_some_and(|fewer| *fewer <= hops) {
                continue;
            }
            seen.insert(at.clone(), hops);
            if step.hops && hops >= self.limits.hops_max {
                continue;
            }
            for (next, step_us) in self.neighbours(at) {
                let reached_us = round_trip_us + step_us;
                let too_long = step.stretch && reached_us > allowed_us;
                if !too_long && !self.places.contains_key(next) && !way.contains(next) {
                    let longer = [way.as_slice(), std::slice::from_ref(next)].concat();
                    queue.push(Reverse((reached_us, hops + 1, longer)));
                }
            }
        }
        None
    }

    fn neighbours(&self, of: &EdgeId) -> impl Iterator<Item = (&EdgeId, u64)> {
        let region = self.graph.region_of(of);
        let regions = region.into_iter().flat_map(|region| {
            let linked = self.graph.linked_with(region).map(|(region, _)| region);
            linked.chain([region])
        });
        let edges = regions.flat_map(|region: &RegionName| self.graph.edges_in(region));
        let of = of.clone();
        edges.filter_map(move |edge| Some((edge, self.graph.direct_us(&of, edge)?)))
    }

    fn join(&mut self, way: &[EdgeId]) {
        for pair in way.windows(2) {
            let [parent, edge] = pair else {
                continue;
            };
            let step_us = self.graph.direct_us(parent, edge).unwrap_or_default();
            let Some(above) = self.places.get_mut(parent) else {
                return;
            };
            above.children += 1;
            let place = Place {
                round_trip_us: above.round_trip_us + step_us,
                hops: above.hops + 1,
                children: 0,
            };
            self.places.insert(edge.clone(), place);
            self.tree.branches.push(Branch {
                edge: edge.clone(),
                parent: parent.clone(),
                backup: None,
            });
        }
    }
}
