//! Trees edge by edge, for when the cheapest tree over regions breaks a limit: each edge is joined by
//! the shortest way that keeps to all limits; failing that, to fewer of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::assess::Around;
use crate::graph::WITHIN_REGION_US;
use crate::limits::Limits;
use crate::net::NEVER;
use crate::way::Strictness;

/// Where an edge is in the tree.
#[derive(Debug, Clone, Copy)]
struct Place {
    round_trip_us: u64,
    hops: u32,
    children: u32,
}

/// The tree of `root` over the edges `wanted` that can be reached, by the shortest ways.
pub(crate) fn limited_tree(
    around: &Around<'_>,
    root: &EdgeId,
    wanted: &BTreeSet<EdgeId>,
    limits: &Limits,
) -> RelayTree {
    let shortest_us = |edge: &EdgeId| {
        let (from, to) = (around.net.region_of(root)?, around.net.region_of(edge)?);
        Some(around.ways.delay(from, to)).filter(|&delay| delay != NEVER)
    };
    let mut wanted: Vec<_> = wanted
        .iter()
        .filter(|edge| *edge != root)
        .filter_map(|edge| Some((shortest_us(edge)?, edge)))
        .collect();
    // The nearest first, so that the farther ones can go on from there.
    wanted.sort();
    let mut search = Search {
        around,
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
        let allowed_us = limits.allowed_us(shortest_us);
        let way = Strictness::STEPS
            .iter()
            .find_map(|&step| search.way(edge, allowed_us, step));
        search.join(&way.unwrap_or_default());
    }
    search.tree
}

struct Search<'a> {
    around: &'a Around<'a>,
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
            for (next, step_us) in self.neighbours(at, step.capacity) {
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

    fn neighbours(&self, of: &EdgeId, within_capacity: bool) -> Vec<(&EdgeId, u64)> {
        let Around {
            net,
            ways,
            load,
            bps,
        } = self.around;
        let Some(region) = net.region_of(of) else {
            return Vec::new();
        };
        let hops = net.hops_from(region).iter().filter(|hop| {
            ways.usable(hop.to) && (!within_capacity || load.takes(region, hop, *bps))
        });
        let linked = hops.map(|hop| (hop.to, hop.round_trip_us));
        linked
            .chain([(region, WITHIN_REGION_US)])
            .flat_map(|(to, step_us)| net.edges[to].iter().map(move |edge| (edge, step_us)))
            .filter(|(edge, _)| *edge != of)
            .collect()
    }

    fn join(&mut self, way: &[EdgeId]) {
        for pair in way.windows(2) {
            let [parent, edge] = pair else {
                continue;
            };
            let step_us = self.around.step_us(parent, edge).unwrap_or_default();
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
