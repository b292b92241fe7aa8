//! Standbys: edges that a tree does not need, taken in so that whoever loses its parent has somebody to
//! turn to.
//!
//! A backup has to know the tree already: nobody may be there to tell it when it is needed. Where no
//! edge of the tree can feed another after its parent or the link to it failed, one outside is taken
//! into the tree, or two in a row. A standby hears who is at the root and receives no tracks until it is
//! asked for them.

use std::ops::RangeInclusive;

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::backup::{Failure, Numbered, set_backups};
use crate::graph::WITHIN_REGION_US;
use crate::net::{Net, Region, Ways};

/// The tree with standbys where they are needed and can be had, and every edge's backup.
pub(crate) fn with_standbys(net: &Net, ways: &Ways, tree: &RelayTree) -> RelayTree {
    let mut full = tree.clone();
    let mut seen = 0;
    loop {
        let numbered = Numbered::new(net, &full);
        let Some((at, added)) = numbered.next_standbys(net, ways, seen + 1..=tree.branches.len())
        else {
            let backups = numbered.backups(net);
            set_backups(&mut full, backups);
            return full;
        };
        seen = at;
        full.branches.extend(added);
    }
}

impl Numbered<'_> {
    /// The first of these edges that has nobody to turn to and can be given standbys, and these.
    fn next_standbys(
        &self,
        net: &Net,
        ways: &Ways,
        mut among: RangeInclusive<usize>,
    ) -> Option<(usize, Vec<Branch>)> {
        among.find_map(|at| {
            if self.is_safe(net, at) {
                return None;
            }
            let search = Search {
                net,
                ways,
                tree: self,
                failures: self.failures(at).collect(),
            };
            let added = search.way_to(at);
            (!added.is_empty()).then_some((at, added))
        })
    }
}

/// A way from a survivor to an edge.
struct Way {
    delay: u64,
    from: usize,
    /// Edges outside the tree, from the survivor on.
    over: Vec<(EdgeId, Region)>,
}

struct Search<'a> {
    net: &'a Net,
    ways: &'a Ways,
    tree: &'a Numbered<'a>,
    failures: Vec<Failure>,
}

impl Search<'_> {
    fn way_to(&self, at: usize) -> Vec<Branch> {
        let survivors: Vec<_> = (0..self.tree.len())
            .filter(|&other| self.tree.survives(other, at))
            .collect();
        let Some(region) = self.tree.region(at) else {
            return Vec::new();
        };
        let direct = self.over_one(&survivors, region, 0, &[]);
        let Some(way) = direct.or_else(|| self.over_two(&survivors, region)) else {
            return Vec::new();
        };
        let mut parent = self.tree.edge(way.from).clone();
        let branches = way.over.into_iter().map(|(edge, _)| {
            let parent = std::mem::replace(&mut parent, edge.clone());
            Branch {
                edge,
                parent,
                backup: None,
            }
        });
        branches.collect()
    }

    /// The best way to a region over one more edge; `delay` is that from the region on.
    fn over_one(
        &self,
        survivors: &[usize],
        to: Region,
        delay: u64,
        then: &[(EdgeId, Region)],
    ) -> Option<Way> {
        let ways = self.before(to).filter_map(|(region, last)| {
            let edge = self.outsider(region, then)?;
            let feeds = survivors.iter().filter_map(|&from| {
                let first = self.step(self.tree.region(from)?, region)?;
                Some((self.tree.delay(from) + first, from))
            });
            let (so_far, from) = feeds.min()?;
            let over = std::iter::once((edge, region)).chain(then.iter().cloned());
            Some(Way {
                delay: so_far + last + delay,
                from,
                over: over.collect(),
            })
        });
        ways.min_by(|a, b| (a.delay, &a.over).cmp(&(b.delay, &b.over)))
    }

    fn over_two(&self, survivors: &[usize], to: Region) -> Option<Way> {
        let ways = self.before(to).filter_map(|(region, last)| {
            let then = [(self.outsider(region, &[])?, region)];
            self.over_one(survivors, region, last, &then)
        });
        ways.min_by(|a, b| (a.delay, &a.over).cmp(&(b.delay, &b.over)))
    }

    /// The regions that can feed one, itself included, and the round trip.
    fn before(&self, to: Region) -> impl Iterator<Item = (Region, u64)> {
        let neighbours = self.net.hops_from(to).iter().map(|hop| hop.to);
        let regions = neighbours
            .chain([to])
            .filter(|&from| self.ways.usable(from));
        regions.filter_map(move |from| Some((from, self.step(from, to)?)))
    }

    /// The round trip from one region to the next, unless the link is one of those that failed.
    fn step(&self, from: Region, to: Region) -> Option<u64> {
        if from == to {
            return Some(WITHIN_REGION_US);
        }
        let link = (from.min(to), from.max(to));
        let is_failed =
            |failure: &Failure| matches!(failure, Failure::Link(a, b) if (*a, *b) == link);
        if self.failures.iter().any(is_failed) {
            return None;
        }
        Some(self.net.hop(from, to)?.round_trip_us)
    }

    /// An edge of a region that is not in the tree.
    fn outsider(&self, region: Region, taken: &[(EdgeId, Region)]) -> Option<EdgeId> {
        let in_tree = |edge: &EdgeId| (0..self.tree.len()).any(|at| self.tree.edge(at) == edge);
        let mut edges = self.net.edges[region].iter();
        let free = |edge: &&EdgeId| !in_tree(edge) && taken.iter().all(|(other, _)| other != *edge);
        edges.find(free).cloned()
    }
}
