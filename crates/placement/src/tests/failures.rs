//! Backups after failures, and planning anew.

use sluice_types::ids::MeetingId;
use sluice_types::units::Bitrate;

use super::*;
use crate::world::{self, Dice};

/// Whom each edge receives from after it lost its parent, where `is_lost` says it did.
fn after(
    tree: &RelayTree,
    is_lost: impl Fn(&EdgeId, &EdgeId) -> bool,
) -> BTreeMap<EdgeId, Option<EdgeId>> {
    let branches = tree.branches.iter().map(|branch| {
        let from = if is_lost(&branch.parent, &branch.edge) {
            branch.backup.clone()
        } else {
            Some(branch.parent.clone())
        };
        (branch.edge.clone(), from)
    });
    branches.collect()
}

fn has_loop(parents: &BTreeMap<EdgeId, Option<EdgeId>>) -> bool {
    parents.keys().any(|start| {
        let mut at = start;
        for _ in 0..=parents.len() {
            match parents.get(at) {
                Some(Some(parent)) => at = parent,
                _ => return false,
            }
        }
        true
    })
}

/// Tries every failure of one edge other than the root, of one link, and of one connection; gives how
/// many edges lost their parent, and how many have a way to the root again.
fn check_failures(graph: &Graph, tree: &RelayTree) -> Result<(u32, u32), TestCaseError> {
    let region_of = |edge: &EdgeId| graph.region_of(edge).expect("up").clone();
    let (mut orphans, mut saved) = (0, 0);
    for failed in &tree.branches {
        let (a, b) = (region_of(&failed.parent), region_of(&failed.edge));
        let over = |from: &EdgeId, to: &EdgeId| {
            let ends = (region_of(from), region_of(to));
            a != b && (ends == (a.clone(), b.clone()) || ends == (b.clone(), a.clone()))
        };
        let one = after(tree, |from, to| {
            (from, to) == (&failed.parent, &failed.edge)
        });
        prop_assert!(!has_loop(&one), "a connection of {:?}", tree);
        let link = after(tree, over);
        prop_assert!(!has_loop(&link), "the link {a} - {b} of {tree:?}");
        let edge = after(tree, |from, _| *from == failed.edge);
        prop_assert!(!has_loop(&edge), "{} of {:?}", failed.edge, tree);
        for branch in tree
            .branches
            .iter()
            .filter(|branch| branch.parent == failed.edge)
        {
            orphans += 1;
            let mut at = &branch.edge;
            while let Some(Some(parent)) = edge.get(at) {
                at = parent;
            }
            saved += u32::from(*at == tree.root);
        }
        if let Some(backup) = &failed.backup {
            prop_assert!(*backup != failed.parent);
            prop_assert!(graph.direct_us(backup, &failed.edge).is_some());
        }
    }
    Ok((orphans, saved))
}

proptest! {
    #[test]
    fn no_single_failure_makes_a_loop(
        links in proptest::collection::vec((0usize..8, 0usize..8, 1u64..300_000), 4..30),
        wanted in proptest::collection::btree_set((0usize..8, 1u32..3), 2..10),
        hops_max in 1u32..6,
        fan_out_max in 1u32..5,
    ) {
        let graph = graph(8, &links);
        let demand = wanted.iter().map(|&(region, n)| edge(region, n)).collect();
        for tree in &plan_trees(&graph, &demand, &limits(hops_max, fan_out_max)).trees {
            check_failures(&graph, tree)?;
        }
    }

    #[test]
    fn plans_made_anew_are_as_sound_as_first_ones(
        seed in 0u64..1_000,
        size in 2usize..7,
        steps in proptest::collection::vec((0u32..5, 0usize..12, 0usize..12), 1..6),
    ) {
        let mut planner = Planner::new(
            world::mesh(12, 2, Bitrate::mbps(10), seed),
            Rules::from(limits(6, 3)),
        );
        let mut dice = Dice::new(seed);
        let room = |n: usize| -> MeetingId { format!("mtg_{n:08}").parse().expect("an id") };
        for n in 0..4 {
            let edges = world::room(&mut dice, 12, size);
            planner.set_demand(&room(n), Demand::among(&edges, Bitrate::mbps(2)));
        }
        for (what, a, b) in steps {
            let (from, to) = (world::name(a), world::name(b));
            let before: Vec<_> = (0..4).map(|n| planner.planned(&room(n))).collect();
            let changed = match what {
                0 => planner.set_link_up(&from, &to, false),
                1 => planner.set_link_up(&from, &to, true),
                2 => planner.edge_down(&world::edge_name(a, 1)),
                3 => planner.measure(&from, &to, 1_000 * (1 + b as u64 * 20)),
                _ => {
                    planner.edge_up(world::edge_name(a, 1), from);
                    planner.refresh(3)
                }
            };
            for (n, before) in before.iter().enumerate() {
                let now = planner.planned(&room(n));
                let told = changed.iter().find(|changed| changed.room == room(n));
                prop_assert!(told.is_some() == (now != *before), "changes are told, and only they");
                for tree in now.iter().flat_map(|planned| &planned.trees) {
                    check_failures(planner.graph(), tree)?;
                    for branch in &tree.branches {
                        let step = planner.graph().direct_us(&branch.parent, &branch.edge);
                        prop_assert!(step.is_some(), "over what is gone");
                    }
                }
            }
        }
        for n in 0..4 {
            planner.remove(&room(n));
        }
        prop_assert!(planner.is_idle(), "a load without a room");
    }
}

#[test]
fn on_meshes_like_real_ones_most_that_lose_an_edge_are_saved() {
    let graph = world::mesh(20, 2, Bitrate::mbps(1_000), 3);
    let mut dice = Dice::new(3);
    let (mut orphans, mut saved) = (0, 0);
    for _ in 0..30 {
        let wanted = world::room(&mut dice, 20, 7);
        for tree in &plan_trees(&graph, &wanted, &limits(6, 4)).trees {
            let (lost, again) = check_failures(&graph, tree).expect("no loop");
            (orphans, saved) = (orphans + lost, saved + again);
        }
    }
    assert!(saved * 10 >= orphans * 7, "{saved} of {orphans}");
}

#[test]
fn with_standbys_nearly_all_are_saved_and_none_is_where_it_may_not_be() {
    let graph = world::mesh(20, 2, Bitrate::mbps(1_000), 3);
    let mut planner = Planner::new(graph, Rules::from(limits(6, 4)));
    let mut dice = Dice::new(3);
    let (mut orphans, mut saved, mut standbys) = (0, 0, 0);
    for n in 0..30 {
        let room: MeetingId = format!("mtg_{n:08}").parse().expect("an id");
        let wanted = world::room(&mut dice, 20, 7);
        let mut demand = Demand::among(&wanted, Bitrate::mbps(1));
        let at = |edge: &EdgeId| planner.graph().region_of(edge).cloned();
        let here: BTreeSet<_> = wanted.iter().filter_map(at).collect();
        let mut elsewhere = (0..20).map(world::name).filter(|name| !here.contains(name));
        let denied = elsewhere.next().expect("more regions than edges");
        demand.residency = Residency::except([denied.clone()]);
        planner.set_demand(&room, demand);
        for tree in planner.planned(&room).expect("planned").trees {
            let (lost, again) = check_failures(planner.graph(), &tree).expect("no loop");
            (orphans, saved) = (orphans + lost, saved + again);
            let feeds = |edge: &EdgeId| tree.branches.iter().any(|other| other.parent == *edge);
            for branch in &tree.branches {
                assert_ne!(planner.graph().region_of(&branch.edge), Some(&denied));
                standbys += u32::from(!wanted.contains(&branch.edge) && !feeds(&branch.edge));
            }
        }
    }
    assert!(standbys > 0);
    assert!(saved * 100 >= orphans * 98, "{saved} of {orphans}");
}

#[test]
fn the_same_steps_give_the_same_plans() {
    let plans = || {
        let mut planner = Planner::new(
            world::mesh(15, 2, Bitrate::mbps(20), 5),
            Rules::from(limits(6, 4)),
        );
        let mut dice = Dice::new(9);
        for n in 0..30 {
            let edges = world::room(&mut dice, 15, 4);
            let room = format!("mtg_{n:08}").parse().expect("an id");
            planner.set_demand(&room, Demand::among(&edges, Bitrate::mbps(1)));
        }
        planner.edge_down(&world::edge_name(0, 1))
    };
    assert_eq!(plans(), plans());
}

/// What edges are told but standbys: each one's parent.
fn parents(tree: &RelayTree) -> Vec<(EdgeId, EdgeId)> {
    let branches = tree.branches.iter();
    let parents = branches.map(|branch| (branch.edge.clone(), branch.parent.clone()));
    parents.collect()
}

#[test]
fn what_was_found_before_is_what_would_be_found_now() {
    const REGIONS: usize = 8;
    for seed in 0..6 {
        let rules = Rules::from(limits(6, 2));
        // One edge of a region cannot feed all others: how many are up matters.
        let fresh = || world::mesh(REGIONS, 2, Bitrate::mbps(100_000), seed);
        let mut planner = Planner::new(fresh(), rules);
        let mut dice = Dice::new(seed);
        let (mut edges_down, mut links_down) = (BTreeSet::new(), BTreeSet::new());
        let mut compared = 0;
        for number in 0..120 {
            match dice.below(4) {
                0 => {
                    let edge = (
                        dice.below(REGIONS as u64) as usize,
                        1 + dice.below(2) as u32,
                    );
                    if edges_down.remove(&edge) {
                        planner.edge_up(world::edge_name(edge.0, edge.1), world::name(edge.0));
                    } else {
                        planner.edge_down(&world::edge_name(edge.0, edge.1));
                        edges_down.insert(edge);
                    }
                }
                1 => {
                    let [a, b] = [0, 1].map(|_| dice.below(REGIONS as u64) as usize);
                    let link = (a.min(b), a.max(b));
                    let is_up = links_down.remove(&link);
                    if !is_up {
                        links_down.insert(link);
                    }
                    planner.set_link_up(&world::name(a), &world::name(b), is_up);
                }
                _ => {}
            }
            let size = 2 + dice.below(5) as usize;
            let edges = world::room(&mut dice, REGIONS, size);
            let demand = Demand::among(&edges, Bitrate::mbps(1));
            let room: MeetingId = format!("mtg_{number:08}").parse().expect("an id");
            planner.set_demand(&room, demand.clone());
            let mut graph = fresh();
            for &(region, n) in &edges_down {
                graph.remove_edge(&world::edge_name(region, n));
            }
            for &(a, b) in &links_down {
                graph.set_link_up(&world::name(a), &world::name(b), false);
            }
            let expected = plan_room(&graph, &demand, &rules, &[]);
            let planned = planner.planned(&room).expect("a plan");
            assert_eq!(
                planned.broken, expected.broken,
                "seed {seed}, room {number}"
            );
            for (tree, expected) in planned.trees.iter().zip(&expected.trees) {
                let mut parents = self::parents(tree);
                parents.truncate(expected.branches.len());
                assert_eq!(
                    parents,
                    self::parents(expected),
                    "seed {seed}, room {number}"
                );
                compared += 1;
            }
        }
        assert!(compared > 100, "seed {seed}: {compared} trees");
    }
}
