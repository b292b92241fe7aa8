//! Relay trees: for each edge with participants, the way of its tracks to all the others.
//!
//! A track takes the shortest way to each region, so no path is longer than it must be; ways that
//! begin alike share their links. Where that breaks a limit, a search within the limits takes over
//! if it does better.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::graph::{Graph, Paths};
use crate::limits::{Broken, Limits};
use crate::search::limited_tree;

/// The trees of a room and what was broken for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlannedTrees {
    /// One for each edge of the demand, in order.
    pub trees: Vec<RelayTree>,
    /// Empty when every limit holds.
    pub broken: Vec<Broken>,
}

/// The trees that join the edges `demand`. Equal input gives equal trees.
#[must_use]
pub fn plan_trees(graph: &Graph, demand: &BTreeSet<EdgeId>, limits: &Limits) -> PlannedTrees {
    let mut planned = PlannedTrees::default();
    for root in demand {
        let Some(home) = graph.region_of(root) else {
            continue;
        };
        let paths = graph.shortest_paths(home);
        let mut tree = shortest_tree(graph, root, &paths, demand);
        let mut broken = faults(graph, &tree, &paths, demand, limits);
        let over_limit = |fault: &Broken| !matches!(fault, Broken::Unreachable { .. });
        if broken.iter().any(over_limit) {
            let limited = limited_tree(graph, root, &paths, demand, limits);
            let left = faults(graph, &limited, &paths, demand, limits);
            if left.len() < broken.len() {
                (tree, broken) = (limited, left);
            }
        }
        add_backups(graph, &mut tree);
        planned.trees.push(tree);
        planned.broken.extend(broken);
    }
    planned
}

/// The shortest way to each edge of `demand` that can be reached.
fn shortest_tree(
    graph: &Graph,
    root: &EdgeId,
    paths: &Paths,
    demand: &BTreeSet<EdgeId>,
) -> RelayTree {
    let mut tree = RelayTree {
        root: root.clone(),
        branches: Vec::new(),
    };
    let home = graph.region_of(root).cloned();
    // The edge of each region that others of the region and the next regions receive from.
    let mut carriers: BTreeMap<_, _> = home.map(|home| (home, root.clone())).into_iter().collect();
    let mut placed = BTreeSet::from([root.clone()]);
    for edge in demand.iter().filter(|edge| *edge != root) {
        let region = graph.region_of(edge);
        let Some(way) = region.and_then(|region| paths.regions(region)) else {
            continue;
        };
        let mut parent = root.clone();
        for region in &way[1..] {
            let carrier = carriers
                .entry(region.clone())
                .or_insert_with(|| carrier(graph, region, demand, edge));
            place(&mut tree, &mut placed, carrier, &parent);
            parent = carrier.clone();
        }
        place(&mut tree, &mut placed, edge, &parent);
    }
    tree
}

/// What a tree breaks: edges that it does not reach, and limits, in order.
fn faults(
    graph: &Graph,
    tree: &RelayTree,
    paths: &Paths,
    demand: &BTreeSet<EdgeId>,
    limits: &Limits,
) -> Vec<Broken> {
    let root = &tree.root;
    let mut reached = BTreeMap::from([(root, (0, 0))]);
    let mut children: BTreeMap<&EdgeId, u32> = BTreeMap::new();
    for branch in &tree.branches {
        let (round_trip_us, hops) = reached.get(&branch.parent).copied().unwrap_or_default();
        let step_us = graph
            .direct_us(&branch.parent, &branch.edge)
            .unwrap_or_default();
        reached.insert(&branch.edge, (round_trip_us + step_us, hops + 1));
        *children.entry(&branch.parent).or_default() += 1;
    }
    let mut broken = Vec::new();
    for edge in demand.iter().filter(|edge| *edge != root) {
        let (root, edge) = (root.clone(), edge.clone());
        let Some(&(round_trip_us, hops)) = reached.get(&edge) else {
            broken.push(Broken::Unreachable { root, edge });
            continue;
        };
        let shortest = graph
            .region_of(&edge)
            .and_then(|region| paths.round_trip_us(region));
        let allowed_us = limits.stretched_us(shortest.unwrap_or_default());
        if round_trip_us > allowed_us {
            let (root, edge) = (root.clone(), edge.clone());
            broken.push(Broken::Stretch {
                root,
                edge,
                round_trip_us,
                allowed_us,
            });
        }
        if hops > limits.hops_max {
            broken.push(Broken::Hops { root, edge, hops });
        }
    }
    for (edge, children) in children {
        if children > limits.fan_out_max {
            let (root, edge) = (root.clone(), edge.clone());
            broken.push(Broken::FanOut {
                root,
                edge,
                children,
            });
        }
    }
    broken
}

/// The edge that brings the tree into a region: one of the room's, if it has one there.
fn carrier(
    graph: &Graph,
    region: &RegionName,
    demand: &BTreeSet<EdgeId>,
    wanted: &EdgeId,
) -> EdgeId {
    let edges = graph.edges_in(region);
    edges
        .iter()
        .find(|edge| demand.contains(*edge))
        .or_else(|| edges.first())
        .unwrap_or(wanted)
        .clone()
}

fn place(tree: &mut RelayTree, placed: &mut BTreeSet<EdgeId>, edge: &EdgeId, parent: &EdgeId) {
    if placed.insert(edge.clone()) {
        tree.branches.push(Branch {
            edge: edge.clone(),
            parent: parent.clone(),
            backup: None,
        });
    }
}

/// Gives each edge another one to turn to, linked with it and not below it, so that turning there
/// makes no loop. The nearest that outlives the parent is best. What hangs on the parent too comes
/// next, and of siblings only earlier ones, so that two orphans never wait for one another.
fn add_backups(graph: &Graph, tree: &mut RelayTree) {
    let edges: Vec<_> = std::iter::once(tree.root.clone())
        .chain(tree.branches.iter().map(|branch| branch.edge.clone()))
        .collect();
    let backup = |(before, branch): (usize, &Branch)| {
        let others = edges.iter().enumerate();
        let usable = others.filter_map(|(place, other)| {
            if *other == branch.parent || is_below(tree, other, &branch.edge) {
                return None;
            }
            // When the root itself is gone there is nothing to turn to.
            let outlives = branch.parent == tree.root || !is_below(tree, other, &branch.parent);
            let direct_us = graph.direct_us(other, &branch.edge)?;
            (outlives || place <= before).then_some((!outlives, direct_us, other))
        });
        usable.min().map(|(.., other)| other.clone())
    };
    let backups: Vec<_> = tree.branches.iter().enumerate().map(backup).collect();
    for (branch, backup) in tree.branches.iter_mut().zip(backups) {
        branch.backup = backup;
    }
}

/// Whether `edge` is `above` or receives through it.
fn is_below(tree: &RelayTree, edge: &EdgeId, above: &EdgeId) -> bool {
    let mut at = edge;
    loop {
        if at == above {
            return true;
        }
        match tree.branch(at) {
            Some(branch) => at = &branch.parent,
            None => return false,
        }
    }
}
