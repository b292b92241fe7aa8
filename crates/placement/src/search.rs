//! Trees edge by edge, for when the cheapest tree over regions breaks a limit: each edge is joined by
//! the shortest way that keeps to all limits; failing that, to fewer of them.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::assess::Around;
use crate::graph::WITHIN_REGION_US;
use crate::limits::Limits;
use crate::net::{NEVER, Region};
use crate::way::Strictness;

/// Where an edge is in the tree.
#[derive(Debug, Clone, Copy)]
struct Place {
    region: Region,
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
    let mut search = Search::new(around, limits, root);
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
    /// Of each region's edges the first that is not in the tree; their number when all are.
    free: Vec<usize>,
}

impl<'a> Search<'a> {
    /// The root alone.
    fn new(around: &'a Around<'a>, limits: &'a Limits, root: &EdgeId) -> Self {
        let mut search = Self {
            around,
            limits,
            tree: RelayTree {
                root: root.clone(),
                branches: Vec::new(),
            },
            places: BTreeMap::new(),
            free: vec![0; around.net.len()],
        };
        search.take_in(root, 0, 0);
        search
    }

    /// The shortest way from the tree to `target`, the edge of the tree first; of equally short ones
    /// the one with fewer hops, then the one with the first names.
    ///
    /// The edges of a region lead on to the same others, so each region is passed through by one of
    /// them at most, and only `target` is ever entered of its own.
    fn way(&self, target: &EdgeId, allowed_us: u64, step: Strictness) -> Option<Vec<EdgeId>> {
        let Around {
            net,
            ways,
            load,
            bps,
            ..
        } = self.around;
        let end = net.region_of(target)?;
        let hops_max = if step.hops {
            u64::from(self.limits.hops_max)
        } else {
            NEVER
        };
        let us_max = if step.stretch { allowed_us } else { NEVER - 1 };
        let leads_there = |region: Region, us: u64, hops: u64| {
            us.saturating_add(ways.delay(region, end)) <= us_max
                && hops.saturating_add(ways.hops(region, end)) <= hops_max
        };
        // A region is worth reaching again with fewer hops, though later.
        let mut fewest = vec![NEVER; net.len()];
        let mut queue = BinaryHeap::new();
        for (edge, place) in &self.places {
            let has_slot = !step.fan_out || place.children < self.limits.fan_out_max;
            let (us, hops) = (place.round_trip_us, u64::from(place.hops));
            if has_slot && leads_there(place.region, us, hops) {
                queue.push(Reverse((us, hops, vec![edge], place.region)));
            }
        }
        while let Some(Reverse((us, hops, way, at))) = queue.pop() {
            if way.last() == Some(&target) {
                return Some(way.into_iter().cloned().collect());
            }
            if fewest[at] <= hops {
                continue;
            }
            fewest[at] = hops;
            let mut go = |to: Region, step_us: u64| {
                let (us, hops) = (us.saturating_add(step_us), hops + 1);
                let edge = if to == end {
                    Some(target)
                } else {
                    net.edges[to].get(self.free[to])
                };
                let is_news = to == end || hops < fewest[to];
                if let Some(edge) = edge.filter(|_| is_news && leads_there(to, us, hops)) {
                    let longer = [way.as_slice(), &[edge]].concat();
                    queue.push(Reverse((us, hops, longer, to)));
                }
            };
            for hop in net.hops_from(at) {
                let fits = !step.capacity || load.takes(at, hop, *bps);
                if fits && ways.usable(hop.to) {
                    go(hop.to, hop.round_trip_us);
                }
            }
            if at == end {
                go(end, WITHIN_REGION_US);
            }
        }
        None
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
            let (round_trip_us, hops) = (above.round_trip_us + step_us, above.hops + 1);
            self.take_in(edge, round_trip_us, hops);
            self.tree.branches.push(Branch {
                edge: edge.clone(),
                parent: parent.clone(),
                backup: None,
            });
        }
    }

    fn take_in(&mut self, edge: &EdgeId, round_trip_us: u64, hops: u32) {
        let net = self.around.net;
        let Some(region) = net.region_of(edge) else {
            return;
        };
        let place = Place {
            region,
            round_trip_us,
            hops,
            children: 0,
        };
        self.places.insert(edge.clone(), place);
        let edges = net.edges[region].iter().skip(self.free[region]);
        self.free[region] += edges
            .take_while(|edge| self.places.contains_key(*edge))
            .count();
    }
}
