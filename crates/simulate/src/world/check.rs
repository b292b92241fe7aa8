//! What must hold of every plan, and in the end.

use std::collections::{BTreeMap, BTreeSet};

use sluice_placement::{Broken, Changed, Graph};
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::control::RelayTree;

use super::Simulation;
use crate::Invariant;
use crate::mesh::unsound;

/// The links of a graph, each once.
pub(super) fn links(graph: &Graph, names: &[RegionName]) -> Vec<(RegionName, RegionName)> {
    let pairs = names
        .iter()
        .enumerate()
        .flat_map(|(at, a)| names[at + 1..].iter().map(move |b| (a, b)));
    pairs
        .filter(|(a, b)| {
            let ends = graph.edges_in(a).first().zip(graph.edges_in(b).first());
            ends.is_some_and(|(a, b)| graph.direct_us(a, b).is_some())
        })
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect()
}

impl Simulation {
    /// What is wrong with a plan.
    pub(super) fn unsound(&self, changed: &Changed) -> Option<(Invariant, String)> {
        let graph = self.planner.graph();
        for tree in &changed.planned.trees {
            if let Some(what) = unsound(tree) {
                return Some((Invariant::NoLoops, what));
            }
            for branch in &tree.branches {
                let ways = [Some(&branch.parent), branch.backup.as_ref()];
                for from in ways.into_iter().flatten() {
                    if graph.direct_us(from, &branch.edge).is_none() {
                        let what = format!(
                            "{} is to receive from {from}, and no link that is up joins them",
                            branch.edge
                        );
                        return Some((Invariant::PlansAreSound, what));
                    }
                }
            }
        }
        None
    }

    /// What is wrong when everything is up and every plan was looked at.
    pub(super) fn unsettled(&self) -> Option<(Invariant, String)> {
        let served = Invariant::EverybodyServed;
        let mut participants = BTreeMap::new();
        let number_of: BTreeMap<_, _> = self.rooms.iter().map(|room| (room.id(), room)).collect();
        let mut seen = 0;
        for (id, planned) in self.planner.rooms() {
            seen += 1;
            let Some(room) = number_of.get(id) else {
                return Some((
                    Invariant::PlansAreSound,
                    format!("{id} is planned and unknown"),
                ));
            };
            let edges: BTreeSet<_> = room
                .edges()
                .map(|edge| &self.edges[usize::from(edge)].id)
                .collect();
            for (edge, count) in room.participants() {
                *participants.entry(edge).or_insert(0) += count;
            }
            for root in &edges {
                let tree = planned.trees.iter().find(|tree| tree.root == **root);
                if let Some(what) = misses(tree, root, &edges, &planned.broken) {
                    return Some((served, format!("{id}: {what}")));
                }
            }
        }
        if seen != self.rooms.iter().filter(|room| !room.is_empty()).count() {
            return Some((
                served,
                format!("{seen} rooms are planned, and others are there"),
            ));
        }
        for (number, edge) in (0u16..).zip(&self.edges) {
            let counted = participants.get(&number).copied().unwrap_or(0);
            if counted != edge.participants || counted > self.capacity {
                let what = format!(
                    "{} has {} participants, and rooms count {counted}",
                    edge.id, edge.participants
                );
                return Some((Invariant::CapacityKept, what));
            }
        }
        self.misaccounted()
    }

    /// A link that the planner takes to carry something else than what trees put on it. Standbys
    /// receive no tracks, and put nothing on any.
    pub(super) fn misaccounted(&self) -> Option<(Invariant, String)> {
        let number_of: BTreeMap<_, _> = self.rooms.iter().map(|room| (room.id(), room)).collect();
        let mut loads: BTreeMap<_, u64> = BTreeMap::new();
        for (id, planned) in self.planner.rooms() {
            let room = number_of.get(id)?;
            let wanted_by = room
                .edges()
                .map(|edge| &self.edges[usize::from(edge)].id)
                .collect();
            for tree in &planned.trees {
                let bps = self.planner.planned_bitrate(id, &tree.root)?.as_bps();
                for link in self.crossed(tree, &wanted_by) {
                    *loads.entry(link).or_default() += bps;
                }
            }
        }
        let ends =
            |(a, b): &(RegionName, RegionName)| [(a.clone(), b.clone()), (b.clone(), a.clone())];
        let mut links = self.links.iter().flat_map(ends);
        links.find_map(|(from, to)| {
            let taken = self.planner.load(&from, &to).as_bps();
            let link = (from, to);
            let put = loads.get(&link).copied().unwrap_or_default();
            (taken != put).then(|| {
                let (from, to) = link;
                let what = format!(
                    "{from} is taken to send {to} {taken} b/s, and trees make it send {put}"
                );
                (Invariant::LoadsAddUp, what)
            })
        })
    }

    /// The links that a tree's tracks cross, as often as they do.
    fn crossed(
        &self,
        tree: &RelayTree,
        wanted_by: &BTreeSet<&EdgeId>,
    ) -> Vec<(RegionName, RegionName)> {
        let graph = self.planner.graph();
        // Parents come before their children.
        let mut feeds = BTreeSet::new();
        let mut crossed = Vec::new();
        for branch in tree.branches.iter().rev() {
            if !wanted_by.contains(&branch.edge) && !feeds.contains(&branch.edge) {
                continue;
            }
            feeds.insert(&branch.parent);
            let ends = (graph.region_of(&branch.parent)).zip(graph.region_of(&branch.edge));
            if let Some((from, to)) = ends.filter(|(from, to)| from != to) {
                crossed.push((from.clone(), to.clone()));
            }
        }
        crossed
    }
}

/// Whom a root's tree leaves out without saying why.
fn misses(
    tree: Option<&RelayTree>,
    root: &EdgeId,
    edges: &BTreeSet<&EdgeId>,
    broken: &[Broken],
) -> Option<String> {
    let Some(tree) = tree else {
        return Some(format!("{root} has no tree"));
    };
    let left_out = edges.iter().find(|edge| {
        let excused = broken.iter().any(|broken| {
            matches!(broken, Broken::Unreachable { root: r, edge: e } if r == root && e == **edge)
        });
        **edge != root && tree.branch(edge).is_none() && !excused
    })?;
    Some(format!("{left_out} is not in the tree of {root}"))
}
