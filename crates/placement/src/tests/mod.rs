mod failures;
mod loads;
mod optimality;
mod oracle;
mod policy;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::control::RelayTree;
use sluice_types::topology::Position;

use super::*;
use crate::net::NEVER;

fn region(n: usize) -> RegionName {
    format!("r{n}").parse().expect("a region")
}

fn edge(region: usize, n: u32) -> EdgeId {
    format!("r{region}-{n}").parse().expect("an edge")
}

/// A graph of `regions` regions with two edges each and these links.
fn graph(regions: usize, links: &[(usize, usize, u64)]) -> Graph {
    let mut graph = Graph::default();
    for n in 0..regions {
        graph.add_edge(edge(n, 1), region(n));
        graph.add_edge(edge(n, 2), region(n));
    }
    for &(a, b, us) in links {
        if a != b {
            graph.add_link(region(a), region(b), us);
        }
    }
    graph
}

const fn limits(hops_max: u32, fan_out_max: u32) -> Limits {
    Limits {
        hops_max,
        fan_out_max,
        stretch_permille: 1_500,
    }
}

fn demand(edges: &[(usize, u32)]) -> BTreeSet<EdgeId> {
    edges.iter().map(|&(region, n)| edge(region, n)).collect()
}

fn parent(tree: &RelayTree, of: &EdgeId) -> Option<EdgeId> {
    tree.branch(of).map(|branch| branch.parent.clone())
}

/// The shortest round trip between two edges that are up, when there is a way.
fn shortest_us(graph: &Graph, from: &EdgeId, to: &EdgeId) -> Option<u64> {
    let net = graph.net();
    let (from, to) = (net.region_of(from)?, net.region_of(to)?);
    let delay = net.ways(&Residency::anywhere()).delay(from, to);
    (delay != NEVER).then_some(delay)
}

#[test]
fn a_region_without_a_direct_link_is_reached_through_others() {
    let graph = graph(3, &[(0, 1, 50_000), (1, 2, 60_000)]);
    let planned = plan_trees(&graph, &demand(&[(0, 1), (2, 1)]), &limits(4, 8));
    assert_eq!(planned.broken, []);
    let tree = &planned.trees[0];
    assert_eq!(
        parent(tree, &edge(2, 1)),
        Some(edge(1, 1)),
        "an edge without participants carries"
    );
    assert_eq!(parent(tree, &edge(1, 1)), Some(edge(0, 1)));
}

#[test]
fn edges_of_one_region_share_what_crosses_the_ocean() {
    let graph = graph(2, &[(0, 1, 80_000)]);
    let planned = plan_trees(&graph, &demand(&[(0, 1), (1, 1), (1, 2)]), &limits(4, 8));
    let tree = &planned.trees[0];
    assert_eq!(parent(tree, &edge(1, 2)), Some(edge(1, 1)));
    assert_eq!(
        tree.branch(&edge(1, 2)).and_then(|b| b.backup.clone()),
        Some(edge(0, 1))
    );
}

#[test]
fn what_cannot_be_met_is_said() {
    let graph = graph(4, &[(0, 1, 1), (1, 2, 1)]);
    let planned = plan_trees(&graph, &demand(&[(0, 1), (2, 1), (3, 1)]), &limits(1, 8));
    assert!(planned.broken.contains(&Broken::Hops {
        root: edge(0, 1),
        edge: edge(2, 1),
        hops: 2
    }));
    assert!(planned.broken.contains(&Broken::Unreachable {
        root: edge(0, 1),
        edge: edge(3, 1)
    }));
    let mut star = Graph::default();
    for n in 0..3 {
        star.add_edge(edge(n, 1), region(n));
    }
    star.add_link(region(0), region(1), 10_000);
    star.add_link(region(0), region(2), 10_000);
    let planned = plan_trees(&star, &demand(&[(0, 1), (1, 1), (2, 1)]), &limits(4, 1));
    assert!(planned.broken.contains(&Broken::FanOut {
        root: edge(0, 1),
        edge: edge(0, 1),
        children: 2
    }));
}

#[test]
fn a_longer_way_within_the_stretch_keeps_to_the_limits() {
    // The shortest way to 3 has three hops; the direct one is a little longer.
    let ring = graph(
        4,
        &[
            (0, 1, 30_000),
            (1, 2, 30_000),
            (2, 3, 30_000),
            (0, 3, 100_000),
        ],
    );
    let wanted = demand(&[(0, 1), (3, 1)]);
    let planned = plan_trees(&ring, &wanted, &limits(2, 8));
    assert_eq!(planned.broken, []);
    assert_eq!(parent(&planned.trees[0], &edge(3, 1)), Some(edge(0, 1)));
    // A star whose centre may feed one: the second leaf is fed by the first.
    let star = graph(3, &[(0, 1, 50_000), (0, 2, 50_000), (1, 2, 10_000)]);
    let planned = plan_trees(&star, &demand(&[(0, 1), (1, 1), (2, 1)]), &limits(4, 1));
    assert_eq!(planned.broken, []);
    assert_eq!(parent(&planned.trees[0], &edge(2, 1)), Some(edge(1, 1)));
}

#[test]
fn backups_outlive_the_parent_where_they_can() {
    // 0 feeds 1, which feeds 2 and 3; only 2 is linked with 4, which 0 feeds too.
    let graph = graph(
        5,
        &[
            (0, 1, 10),
            (1, 2, 10),
            (1, 3, 10),
            (0, 4, 10),
            (2, 4, 90_000),
            (2, 3, 10),
        ],
    );
    let wanted = demand(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
    let planned = plan_trees(&graph, &wanted, &limits(4, 8));
    let backup = |of| {
        planned.trees[0]
            .branch(&of)
            .and_then(|branch| branch.backup.clone())
    };
    assert_eq!(
        backup(edge(2, 1)),
        Some(edge(4, 1)),
        "though its sibling is nearer"
    );
    assert_eq!(
        backup(edge(3, 1)),
        Some(edge(2, 1)),
        "nothing else is linked with it"
    );
}

fn candidate(name: &str, at: (f64, f64), participants: u32, has_room: bool) -> Candidate {
    Candidate {
        edge: format!("{name}-1").parse().expect("an edge"),
        region: name.parse().expect("a region"),
        position: Position::new(at.0, at.1).expect("on earth"),
        participants,
        capacity: 100,
        has_room,
    }
}

#[test]
fn the_nearest_edge_with_room_comes_first() {
    let candidates = [
        candidate("paris", (48.9, 2.4), 0, false),
        candidate("tokyo", (35.7, 139.7), 0, false),
        candidate("singapore", (1.35, 103.8), 100, false),
    ];
    let from = |latitude, longitude| Preference {
        position: Position::new(latitude, longitude).ok(),
        measured_ms: BTreeMap::new(),
    };
    let names = |preference: &Preference| {
        rank(&candidates, preference)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&from(50.0, 8.0)),
        ["paris-1", "tokyo-1"],
        "singapore is full"
    );
    assert_eq!(names(&from(3.1, 101.7)), ["tokyo-1", "paris-1"]);
    let mut measured = from(50.0, 8.0);
    measured.measured_ms = BTreeMap::from([("paris".parse().expect("a region"), 400)]);
    assert_eq!(
        names(&measured),
        ["tokyo-1", "paris-1"],
        "what was measured counts"
    );
}

proptest! {
    #[test]
    fn trees_are_trees(
        links in proptest::collection::vec((0usize..7, 0usize..7, 1u64..300_000), 0..20),
        wanted in proptest::collection::btree_set((0usize..7, 1u32..3), 1..8),
    ) {
        let graph = graph(7, &links);
        let demand: BTreeSet<_> = wanted.iter().map(|&(region, n)| edge(region, n)).collect();
        let planned = plan_trees(&graph, &demand, &limits(10, 100));
        prop_assert_eq!(&planned, &plan_trees(&graph, &demand, &limits(10, 100)), "deterministic");
        prop_assert_eq!(planned.trees.len(), demand.len());
        for tree in &planned.trees {
            let mut delay = BTreeMap::from([(tree.root.clone(), 0)]);
            for branch in &tree.branches {
                // Parents come before children, and each edge once: so there is no loop.
                let hop = graph.direct_us(&branch.parent, &branch.edge).expect("linked");
                let before = *delay.get(&branch.parent).expect("the parent came before");
                prop_assert!(delay.insert(branch.edge.clone(), before + hop).is_none());
                let shortest = shortest_us(&graph, &tree.root, &branch.edge).expect("reached");
                prop_assert!(before + hop <= shortest + 2_000, "no detour but within the last region");
                if let Some(backup) = &branch.backup {
                    prop_assert!(*backup != branch.parent && graph.direct_us(backup, &branch.edge).is_some());
                    let mut at = Some(backup.clone());
                    while let Some(edge) = at {
                        prop_assert!(edge != branch.edge, "a backup below its edge");
                        at = parent(tree, &edge);
                    }
                }
            }
            for edge in &demand {
                let unreachable = planned.broken.contains(&Broken::Unreachable { root: tree.root.clone(), edge: edge.clone() });
                prop_assert!(delay.contains_key(edge) != unreachable);
            }
        }
    }

    #[test]
    fn tight_limits_hold_or_are_reported(
        links in proptest::collection::vec((0usize..6, 0usize..6, 1u64..300_000), 4..20),
        wanted in proptest::collection::btree_set((0usize..6, 1u32..3), 2..7),
        hops_max in 1u32..4,
        fan_out_max in 1u32..4,
    ) {
        let graph = graph(6, &links);
        let demand: BTreeSet<_> = wanted.iter().map(|&(region, n)| edge(region, n)).collect();
        let limits = limits(hops_max, fan_out_max);
        let planned = plan_trees(&graph, &demand, &limits);
        prop_assert_eq!(&planned, &plan_trees(&graph, &demand, &limits), "deterministic");
        for tree in &planned.trees {
            let mut hops = BTreeMap::from([(tree.root.clone(), 0)]);
            let mut children = BTreeMap::new();
            for branch in &tree.branches {
                let above = *hops.get(&branch.parent).expect("the parent came before");
                prop_assert!(hops.insert(branch.edge.clone(), above + 1).is_none(), "twice");
                prop_assert!(graph.direct_us(&branch.parent, &branch.edge).is_some());
                *children.entry(branch.parent.clone()).or_insert(0) += 1;
            }
            for wanted in &demand {
                let reachable = shortest_us(&graph, &tree.root, wanted).is_some();
                prop_assert_eq!(hops.contains_key(wanted), reachable);
            }
            let reported = |found: fn(&Broken) -> bool| {
                planned.broken.iter().any(found)
            };
            let deepest = demand.iter().filter_map(|edge| hops.get(edge)).max();
            if deepest > Some(&hops_max) {
                prop_assert!(reported(|broken| matches!(broken, Broken::Hops { .. })), "hops");
            }
            if children.values().max() > Some(&fan_out_max) {
                prop_assert!(reported(|broken| matches!(broken, Broken::FanOut { .. })), "fan-out");
            }
        }
    }
}
