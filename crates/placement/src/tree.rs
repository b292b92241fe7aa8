//! Relay trees: for each edge with participants, the way of its tracks to all the others.
//!
//! A track takes the shortest way to each region, so no path is longer than it must be; ways that
//! begin alike share their links.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::graph::Graph;

/// A limit that a plan had to break, or a demand that it cannot meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// No way leads there.
    Unreachable {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
    },
    /// The way has more hops than allowed.
    Hops {
        /// From this edge.
        root: EdgeId,
        /// To that one.
        edge: EdgeId,
        /// How many it has.
        hops: u32,
    },
    /// An edge has more children than allowed.
    FanOut {
        /// In this edge's tree.
        root: EdgeId,
        /// Which.
        edge: EdgeId,
        /// How many it has.
        children: u32,
    },
}

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
pub fn plan_trees(
    graph: &Graph,
    demand: &BTreeSet<EdgeId>,
    hops_max: u32,
    fan_out_max: u32,
) -> PlannedTrees {
    let mut planned = PlannedTrees::default();
    for root in demand {
        if graph.region_of(root).is_some() {
            let tree = plan_tree(
                graph,
                root,
                demand,
                hops_max,
                fan_out_max,
                &mut planned.broken,
            );
            planned.trees.push(tree);
        }
    }
    planned
}

fn plan_tree(
    graph: &Graph,
    root: &EdgeId,
    demand: &BTreeSet<EdgeId>,
    hops_max: u32,
    fan_out_max: u32,
    broken: &mut Vec<Broken>,
) -> RelayTree {
    let mut tree = RelayTree {
        root: root.clone(),
        branches: Vec::new(),
    };
    let Some(home) = graph.region_of(root) else {
        return tree;
    };
    let paths = graph.shortest_paths(home);
    // The edge of each region that others of the region and the next regions receive from.
    let mut carriers = BTreeMap::from([(home.clone(), root.clone())]);
    let mut placed = BTreeSet::from([root.clone()]);
    for edge in demand.iter().filter(|edge| *edge != root) {
        let way = graph
            .region_of(edge)
            .and_then(|region| paths.regions(region));
        let Some(way) = way else {
            broken.push(Broken::Unreachable {
                root: root.clone(),
                edge: edge.clone(),
            });
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
        let hops = depth(&tree, edge);
        if hops > hops_max {
            broken.push(Broken::Hops {
                root: root.clone(),
                edge: edge.clone(),
                hops,
            });
        }
    }
    report_fan_out(&tree, fan_out_max, broken);
    add_backups(graph, &mut tree);
    tree
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

/// How many hops an edge is from the root.
fn depth(tree: &RelayTree, edge: &EdgeId) -> u32 {
    let mut hops = 0;
    let mut at = tree.branch(edge);
    while let Some(branch) = at {
        hops += 1;
        at = tree.branch(&branch.parent);
    }
    hops
}

fn report_fan_out(tree: &RelayTree, fan_out_max: u32, broken: &mut Vec<Broken>) {
    let mut children: BTreeMap<&EdgeId, u32> = BTreeMap::new();
    for branch in &tree.branches {
        *children.entry(&branch.parent).or_default() += 1;
    }
    for (edge, children) in children {
        if children > fan_out_max {
            broken.push(Broken::FanOut {
                root: tree.root.clone(),
                edge: edge.clone(),
                children,
            });
        }
    }
}

/// Gives each edge the nearest other one that it is linked with and that does not itself receive
/// through it, so that turning there can make no loop.
fn add_backups(graph: &Graph, tree: &mut RelayTree) {
    let edges: Vec<_> = std::iter::once(tree.root.clone())
        .chain(tree.branches.iter().map(|branch| branch.edge.clone()))
        .collect();
    let backups: Vec<_> = tree
        .branches
        .iter()
        .map(|branch| {
            edges
                .iter()
                .filter(|other| **other != branch.parent && !is_below(tree, other, &branch.edge))
                .filter_map(|other| Some((graph.direct_us(other, &branch.edge)?, other)))
                .min()
                .map(|(_, other)| other.clone())
        })
        .collect();
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
