//! Residency, warm copies, prices, capacity, and edges that share a region.

use sluice_types::ids::MeetingId;
use sluice_types::topology::Price;
use sluice_types::units::Bitrate;

use super::*;
use crate::graph::LinkTerms;

/// Links with a round trip in milliseconds, a price in USD and a capacity in Mbit/s.
fn priced(links: &[(usize, usize, u64, f64, u64)]) -> Graph {
    let mut graph = graph(7, &[]);
    for &(a, b, millis, usd, mbps) in links {
        let terms = LinkTerms {
            round_trip_us: millis * 1_000,
            prices: [Price::usd_per_gb(usd).expect("a price"); 2],
            capacity: Bitrate::mbps(mbps),
        };
        graph.add_link_with(region(a), region(b), &terms);
    }
    graph
}

/// What the first edge publishes, and the others want.
fn from_first(edges: &[(usize, u32)]) -> Demand {
    let mut all = Demand::among(&demand(edges), Bitrate::mbps(2));
    let root = edge(edges[0].0, edges[0].1);
    all.streams.retain(|edge, _| *edge == root);
    all
}

fn rules() -> Rules {
    Rules::from(limits(4, 4))
}

/// The root of one tree's path to an edge, and what is on the way.
fn path(planned: &PlannedTrees, to: EdgeId) -> Vec<EdgeId> {
    let mut path = vec![to];
    while let Some(parent) = path.last().and_then(|at| parent(&planned.trees[0], at)) {
        path.push(parent);
    }
    path.reverse();
    path
}

#[test]
fn the_cheaper_way_is_taken_within_the_stretch_only() {
    let links = [
        (0, 1, 100, 0.10, 100),
        (0, 2, 70, 0.01, 100),
        (2, 1, 70, 0.01, 100),
    ];
    let wanted = from_first(&[(0, 1), (1, 1)]);
    let plan = |graph: &Graph| path(&plan_room(graph, &wanted, &rules(), &[]), edge(1, 1));
    let mut graph = priced(&links);
    assert_eq!(plan(&graph), [edge(0, 1), edge(2, 1), edge(1, 1)]);
    // Measured, the detour is too long.
    assert!(graph.measure(&region(2), &region(1), 90_000));
    assert_eq!(plan(&graph), [edge(0, 1), edge(1, 1)]);
    assert!(
        !graph.measure(&region(2), &region(1), 92_000),
        "jitter changes nothing"
    );
    assert!(!graph.is_measured(&region(0), &region(1)));
    assert!(!graph.measure(&region(0), &region(1), 99_500));
    assert!(graph.is_measured(&region(0), &region(1)), "confirmed");
    assert_eq!(graph.direct_us(&edge(0, 1), &edge(1, 1)), Some(100_000));
}

#[test]
fn a_region_that_residency_denies_is_not_even_passed_through() {
    let graph = priced(&[
        (0, 1, 10, 0.0, 9),
        (1, 2, 10, 0.0, 9),
        (0, 3, 40, 0.5, 9),
        (3, 2, 40, 0.5, 9),
    ]);
    let wanted = from_first(&[(0, 1), (2, 1)]);
    let free = plan_room(&graph, &wanted, &rules(), &[]);
    assert_eq!(
        path(&free, edge(2, 1)),
        [edge(0, 1), edge(1, 1), edge(2, 1)]
    );
    // What was in force does not stay either.
    let denied = wanted.clone().within(Residency::except([region(1)]));
    let planned = plan_room(&graph, &denied, &rules(), &free.trees);
    assert_eq!(
        path(&planned, edge(2, 1)),
        [edge(0, 1), edge(3, 1), edge(2, 1)]
    );
    assert_eq!(planned.broken, [], "the stretch is that of what is allowed");
    let both =
        Residency::except([region(1)]).and(&Residency::only([region(0), region(1), region(2)]));
    let planned = plan_room(&graph, &wanted.clone().within(both), &rules(), &[]);
    let (root, to) = (edge(0, 1), edge(2, 1));
    assert_eq!(planned.broken, [Broken::NoAllowedWay { root, edge: to }]);
    let elsewhere = wanted.within(Residency::only([region(0)]));
    let planned = plan_room(&graph, &elsewhere, &rules(), &[]);
    let refused = Broken::Refused {
        edge: edge(2, 1),
        region: region(2),
        rule: Rule::NotAllowed,
    };
    assert_eq!(planned.broken, [refused]);
    assert_eq!(planned.trees[0].branches, []);
}

#[test]
fn what_is_warm_is_gone_on_from() {
    // From 0, both 1 and 2 are as near to 3, and 1 is cheaper.
    let graph = priced(&[
        (0, 1, 50, 0.05, 9),
        (0, 2, 50, 0.06, 9),
        (1, 3, 20, 0.02, 9),
        (2, 3, 20, 0.02, 9),
    ]);
    let mut wanted = from_first(&[(0, 1), (3, 1)]);
    let cold = plan_room(&graph, &wanted, &rules(), &[]);
    assert_eq!(
        path(&cold, edge(3, 1)),
        [edge(0, 1), edge(1, 1), edge(3, 1)]
    );
    let copy = WarmCopy {
        from: edge(0, 1),
        to: edge(2, 2),
    };
    wanted
        .streams
        .get_mut(&edge(0, 1))
        .expect("a stream")
        .warm
        .insert(copy);
    let warm = plan_room(&graph, &wanted, &rules(), &[]);
    assert_eq!(
        path(&warm, edge(3, 1)),
        [edge(0, 1), edge(2, 2), edge(3, 1)]
    );
    // Not if that takes too long.
    let mut far = graph;
    far.measure(&region(2), &region(3), 60_000);
    let cold = plan_room(&far, &wanted, &rules(), &[]);
    assert_eq!(
        path(&cold, edge(3, 1)),
        [edge(0, 1), edge(1, 1), edge(3, 1)]
    );
}

#[test]
fn a_full_link_is_gone_around_or_reported() {
    let links = [
        (0, 1, 50, 0.01, 3),
        (0, 2, 30, 0.05, 9),
        (2, 1, 30, 0.05, 9),
    ];
    // Four streams of 2 Mbit/s: the direct link has room for one in each direction.
    let wanted = Demand::among(&demand(&[(0, 1), (0, 2), (1, 1), (1, 2)]), Bitrate::mbps(2));
    let planned = plan_room(&priced(&links), &wanted, &rules(), &[]);
    assert_eq!(planned.broken, []);
    let crossing = |from, to| {
        let branches = planned.trees.iter().flat_map(|tree| &tree.branches);
        let in_region = |edge: &EdgeId, n| *edge == self::edge(n, 1) || *edge == self::edge(n, 2);
        branches
            .filter(|b| in_region(&b.parent, from) && in_region(&b.edge, to))
            .count()
    };
    assert_eq!((crossing(0, 1), crossing(1, 0)), (1, 1));
    let planned = plan_room(&priced(&links[..1]), &wanted, &rules(), &[]);
    let full = |broken: &Broken| matches!(broken, Broken::Capacity { load, .. } if *load == Bitrate::mbps(4));
    assert!(planned.broken.iter().any(full), "{:?}", planned.broken);
    assert_eq!(planned.trees.len(), 4, "there is a plan all the same");
}

#[test]
fn a_tree_is_changed_only_for_enough_gain() {
    let links = |usd| [(0, 1, 50, 0.10, 9), (0, 2, 25, 0.04, 9), (2, 1, 25, usd, 9)];
    let wanted = from_first(&[(0, 1), (1, 1)]);
    let direct = plan_room(&priced(&links(0.08)), &wanted, &rules(), &[]);
    assert_eq!(path(&direct, edge(1, 1)), [edge(0, 1), edge(1, 1)]);
    // By 5 % it would be cheaper now.
    let kept = plan_room(&priced(&links(0.055)), &wanted, &rules(), &direct.trees);
    assert_eq!(kept, direct);
    let changed = plan_room(&priced(&links(0.04)), &wanted, &rules(), &direct.trees);
    assert_eq!(
        path(&changed, edge(1, 1)),
        [edge(0, 1), edge(2, 1), edge(1, 1)]
    );
    // A newcomer joins what is there.
    let wider = from_first(&[(0, 1), (1, 1), (1, 2)]);
    let joined = plan_room(&priced(&links(0.055)), &wider, &rules(), &direct.trees);
    assert_eq!(
        path(&joined, edge(1, 2)),
        [edge(0, 1), edge(1, 1), edge(1, 2)]
    );
}

#[test]
fn a_stream_that_outgrows_a_link_leaves_it_and_comes_back() {
    let links = [
        (0, 1, 50, 0.05, 3),
        (0, 2, 30, 0.05, 9),
        (2, 1, 30, 0.05, 9),
    ];
    let mut planner = Planner::new(priced(&links), rules());
    let room: MeetingId = "mtg_00000001".parse().expect("an id");
    let at = |mbps| {
        let mut demand = from_first(&[(0, 1), (1, 1)]);
        for stream in demand.streams.values_mut() {
            stream.bitrate = Bitrate::mbps(mbps);
        }
        demand
    };
    let direct = [edge(0, 1), edge(1, 1)];
    let around = [edge(0, 1), edge(2, 1), edge(1, 1)];
    let first = planner.set_demand(&room, at(1)).expect("a plan").planned;
    assert_eq!(path(&first, edge(1, 1)), direct);
    assert_eq!(planner.set_demand(&room, at(2)), None, "it fits");
    assert_eq!(planner.load(&region(0), &region(1)), Bitrate::mbps(2));
    let outgrown = planner.set_demand(&room, at(4)).expect("a plan").planned;
    assert_eq!(path(&outgrown, edge(1, 1)), around);
    let back = planner.set_demand(&room, at(2)).expect("a plan").planned;
    assert_eq!(path(&back, edge(1, 1)), direct);
}

#[test]
fn a_room_fills_one_edge_of_a_region_and_the_next_shares_its_relay() {
    let mut candidates: Vec<_> = [1, 2]
        .map(|n| Candidate {
            edge: edge(1, n),
            region: region(1),
            position: Position::new(48.9, 2.4).expect("on earth"),
            participants: 0,
            capacity: 2,
            has_room: false,
        })
        .into();
    let mut needs = demand(&[(0, 1)]);
    let mut given = Vec::new();
    for _ in 0..3 {
        let first = rank(&candidates, &Preference::default()).remove(0);
        let at = candidates
            .iter_mut()
            .find(|candidate| candidate.edge == first)
            .expect("known");
        (at.participants, at.has_room) = (at.participants + 1, true);
        needs.insert(first.clone());
        given.push(first);
    }
    assert_eq!(given, [edge(1, 1), edge(1, 1), edge(1, 2)]);
    let nowhere = Residency::except([region(1)]);
    assert_eq!(
        rank_within(&candidates, &Preference::default(), &nowhere),
        []
    );
    let planned = plan_trees(&priced(&[(0, 1, 50, 0.1, 9)]), &needs, &limits(4, 4));
    assert_eq!(planned.broken, []);
    assert_eq!(
        path(&planned, edge(1, 2)),
        [edge(0, 1), edge(1, 1), edge(1, 2)]
    );
}

#[test]
fn plans_explain_themselves() {
    let mut graph = priced(&[
        (0, 1, 100, 0.10, 9),
        (0, 2, 70, 0.01, 9),
        (2, 1, 70, 0.01, 9),
    ]);
    let wanted = from_first(&[(0, 1), (1, 1), (2, 1)]);
    let planned = plan_room(&graph, &wanted, &rules(), &[]);
    let explain = |graph: &Graph| {
        let lines = explain(graph, &wanted, &rules(), &planned.trees[0]);
        lines.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        explain(&graph),
        [
            "r0-1 > r2-1: 70 ms declared, 1.000 of the shortest, last hop $0.010/GB; nothing else could feed it; no backup",
            "r0-1 > r2-1 > r1-1: 140 ms declared, 1.400 of the shortest, last hop $0.010/GB; next best r0-1 (100 ms, $0.100/GB); backup r0-1",
        ]
    );
    graph.measure(&region(0), &region(2), 60_000);
    assert!(explain(&graph)[0].starts_with("r0-1 > r2-1: 60 ms measured"));
}

proptest! {
    #[test]
    fn residency_is_never_widened(
        links in proptest::collection::vec((0usize..7, 0usize..7, 1u64..300_000), 4..20),
        wanted in proptest::collection::btree_set((0usize..7, 1u32..3), 2..7),
        denied in proptest::collection::btree_set(0usize..7, 0..4),
        fan_out_max in 1u32..4,
    ) {
        let graph = graph(7, &links);
        let wanted: BTreeSet<_> = wanted.iter().map(|&(region, n)| edge(region, n)).collect();
        let residency = Residency::except(denied.iter().map(|&n| region(n)));
        let rules = Rules::from(limits(3, fan_out_max));
        let anywhere = Demand::among(&wanted, Bitrate::mbps(1));
        // What was in force before the rule came is no excuse.
        let before = plan_room(&graph, &anywhere, &rules, &[]).trees;
        let planned = plan_room(&graph, &anywhere.within(residency.clone()), &rules, &before);
        let is_denied = |edge: &EdgeId| residency.check(graph.region_of(edge).expect("up")).is_err();
        for tree in &planned.trees {
            let branches = tree.branches.iter();
            let mut edges = branches.flat_map(|b| [Some(&b.edge), b.backup.as_ref()]).flatten();
            prop_assert!(!is_denied(&tree.root) && !edges.any(is_denied));
            for edge in wanted.iter().filter(|edge| **edge != tree.root) {
                let root = tree.root.clone();
                let told = planned.broken.iter().any(|broken| match broken {
                    Broken::Refused { edge: of, .. } => of == edge,
                    Broken::NoAllowedWay { root: from, edge: to }
                    | Broken::Unreachable { root: from, edge: to } => *from == root && to == edge,
                    _ => false,
                });
                prop_assert!(tree.branch(edge).is_some() != told, "served, or told why not");
            }
        }
        for edge in wanted.iter().filter(|edge| is_denied(edge)) {
            let refused = |broken: &Broken| matches!(broken, Broken::Refused { edge: of, .. } if of == edge);
            prop_assert!(planned.broken.iter().any(refused));
        }
    }
}
