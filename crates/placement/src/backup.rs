//! Backup parents: whom each edge turns to when it loses its parent, without asking anybody.
//!
//! When an edge or a link fails, all that hung on it turn to their backups at once, and none knows of
//! the others. Each failure leaves parts of the tree, every one headed by an edge that lost its
//! parent; a backup is in another part, or in the one that still has the root. A part that leans on
//! another has to come after it in the tree's order, so no two can wait for one another.

use std::collections::BTreeMap;

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::RelayTree;

use crate::graph::WITHIN_REGION_US;
use crate::net::{Net, Region};

impl Numbered<'_> {
    pub(crate) fn region(&self, at: usize) -> Option<Region> {
        self.regions[at]
    }

    pub(crate) fn edge(&self, at: usize) -> &EdgeId {
        self.edges[at]
    }

    pub(crate) fn delay(&self, at: usize) -> u64 {
        self.delays[at]
    }

    pub(crate) fn len(&self) -> usize {
        self.edges.len()
    }

    /// What the edge `at` has to outlive: its parent, and the link to it.
    pub(crate) fn failures(&self, at: usize) -> impl Iterator<Item = Failure> {
        let parent = self.parents[at];
        // With the root the stream ends, so its failure is none.
        let edge = (parent != 0).then_some(Failure::Edge(parent));
        let link = self.link(parent, at).map(|(a, b)| Failure::Link(a, b));
        edge.into_iter().chain(link)
    }

    /// Whether `other` has the root's stream after each of the failures that `at` has to outlive, and
    /// does not get it from `at`.
    pub(crate) fn survives(&self, other: usize, at: usize) -> bool {
        let outlives = |failure: Failure| {
            let is_it = matches!(failure, Failure::Edge(edge) if edge == other);
            !is_it && self.head(other, failure) == 0
        };
        !self.is_below(other, at) && self.failures(at).all(outlives)
    }

    /// Whether a survivor can feed `at` directly, whichever of those failures it was.
    pub(crate) fn is_safe(&self, net: &Net, at: usize) -> bool {
        let link = self.link(self.parents[at], at);
        (0..self.len()).any(|other| {
            self.survives(other, at)
                && self.step(net, other, at).is_some()
                && (link.is_none() || self.link(other, at) != link)
        })
    }
}

/// A tree by numbers; 0 is the root, and parents come before children.
pub(crate) struct Numbered<'a> {
    edges: Vec<&'a EdgeId>,
    parents: Vec<usize>,
    regions: Vec<Option<Region>>,
    delays: Vec<u64>,
}

/// What can fail at once.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    /// An edge, by its number in the tree.
    Edge(usize),
    /// A link between two regions, the smaller first.
    Link(Region, Region),
}

/// Gives each edge of the tree a backup, if there is one. The best shares nothing with the parent's
/// way: first the parent itself, then the link, then as few edges and links as can be; then the
/// sooner is better.
pub(crate) fn add_backups(net: &Net, tree: &mut RelayTree) {
    let backups = Numbered::new(net, tree).backups(net);
    set_backups(tree, backups);
}

/// Sets the backup of each branch.
pub(crate) fn set_backups(tree: &mut RelayTree, backups: Vec<Option<EdgeId>>) {
    for (branch, backup) in tree.branches.iter_mut().zip(backups) {
        branch.backup = backup;
    }
}

impl<'a> Numbered<'a> {
    pub(crate) fn new(net: &Net, tree: &'a RelayTree) -> Self {
        let mut edges = vec![&tree.root];
        edges.extend(tree.branches.iter().map(|branch| &branch.edge));
        let numbers: BTreeMap<_, _> = edges.iter().copied().zip(0..).collect();
        let mut parents = vec![0];
        let place = |edge| numbers.get(edge).copied().unwrap_or_default();
        parents.extend(tree.branches.iter().map(|branch| place(&branch.parent)));
        let regions = edges.iter().map(|edge| net.region_of(edge)).collect();
        let mut numbered = Self {
            delays: vec![0; edges.len()],
            edges,
            parents,
            regions,
        };
        for at in 1..numbered.edges.len() {
            let parent = numbered.parents[at];
            let step = numbered.step(net, parent, at).unwrap_or_default();
            numbered.delays[at] = numbered.delays[parent] + step;
        }
        numbered
    }

    /// The backup of each edge but the root.
    pub(crate) fn backups(&self, net: &Net) -> Vec<Option<EdgeId>> {
        let backups = (1..self.edges.len()).map(|at| {
            let backup = self.backup(net, at)?;
            Some(self.edges[backup].clone())
        });
        backups.collect()
    }

    fn step(&self, net: &Net, from: usize, to: usize) -> Option<u64> {
        let (from, to) = (self.regions[from]?, self.regions[to]?);
        if from == to {
            return Some(WITHIN_REGION_US);
        }
        Some(net.hop(from, to)?.round_trip_us)
    }

    /// The link between two edges; none within a region.
    fn link(&self, a: usize, b: usize) -> Option<(Region, Region)> {
        let (a, b) = (self.regions[a]?, self.regions[b]?);
        (a != b).then_some((a.min(b), a.max(b)))
    }

    /// Whether the hop to `at` is gone with a failure.
    fn is_cut(&self, at: usize, failure: Failure) -> bool {
        match failure {
            Failure::Edge(edge) => self.parents[at] == edge,
            Failure::Link(a, b) => self.link(self.parents[at], at) == Some((a, b)),
        }
    }

    /// The head of the part that `at` is in after a failure; 0 when that has the root.
    fn head(&self, mut at: usize, failure: Failure) -> usize {
        while at != 0 && !self.is_cut(at, failure) {
            at = self.parents[at];
        }
        at
    }

    fn is_below(&self, mut at: usize, above: usize) -> bool {
        while at > above {
            at = self.parents[at];
        }
        at == above
    }

    fn backup(&self, net: &Net, at: usize) -> Option<usize> {
        let parent = self.parents[at];
        let link = self.link(parent, at);
        // With the root the stream ends, so its failure is none.
        let edge_failure = (parent != 0).then_some(Failure::Edge(parent));
        let link_failure = link.map(|(a, b)| Failure::Link(a, b));
        let shared = self.way_to(at);
        let usable = (0..self.edges.len()).filter_map(|other| {
            if other == parent || self.is_below(other, at) {
                return None;
            }
            let delay = self.delays[other] + self.step(net, other, at)?;
            let mut lost = [false; 2];
            for (lost, failure) in lost.iter_mut().zip([edge_failure, link_failure]) {
                let head = failure.map_or(0, |failure| self.head(other, failure));
                if head >= at {
                    return None;
                }
                *lost = head != 0
                    || failure.is_some_and(|f| matches!(f, Failure::Edge(edge) if edge == other));
            }
            lost[1] |= link.is_some() && self.link(other, at) == link;
            Some((
                lost,
                self.shared(&shared, other, at),
                delay,
                self.edges[other],
                other,
            ))
        });
        usable.min().map(|(.., other)| other)
    }

    /// The edges and links of the tree's way to `at`.
    fn way_to(&self, at: usize) -> (Vec<usize>, Vec<(Region, Region)>) {
        let (mut edges, mut links) = (Vec::new(), Vec::new());
        let mut on = at;
        while on != 0 {
            let parent = self.parents[on];
            links.extend(self.link(parent, on));
            edges.push(parent);
            on = parent;
        }
        (edges, links)
    }

    /// How many edges but the root, and how many links, another's way to `at` has in common with a
    /// way.
    fn shared(
        &self,
        (edges, links): &(Vec<usize>, Vec<(Region, Region)>),
        other: usize,
        at: usize,
    ) -> usize {
        let is_shared = |from, to| {
            self.link(from, to)
                .is_some_and(|link| links.contains(&link))
        };
        let mut shared = usize::from(is_shared(other, at));
        let mut on = other;
        while on != 0 {
            let parent = self.parents[on];
            shared += usize::from(edges.contains(&on)) + usize::from(is_shared(parent, on));
            on = parent;
        }
        shared
    }
}
