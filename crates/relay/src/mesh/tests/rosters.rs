//! Who is where: rosters along the tree, from runs of a root and by plans.

use super::*;

#[test]
fn a_join_that_is_lost_is_said_again() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    world.plan(&plan(1, CHAIN));
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 1, true));
    for name in ["a", "b", "c", "d"] {
        world.take_outputs(&edge(name));
    }
    world.wire.clear();
    for seconds in 1..=6 {
        world.now = Time::from_millis(seconds * 1_000);
        let now = world.now;
        for name in ["a", "b", "c", "d"] {
            world.at(name).handle_timeout(now);
        }
        world.settle();
    }
    assert_eq!(world.roster("c", "a"), [1]);
}

#[test]
fn a_parent_that_forgot_the_room_meanwhile_is_joined_again_with_the_next_plan() {
    const PAIR: &[TreeSketch<'_>] = &[("a", &[("b", "a", None)])];
    let mut world = World::new(&["a", "b"]);
    world.plan(&plan(1, PAIR));
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 1, true));
    world.settle();
    assert_eq!(world.roster("b", "a"), [1]);
    // To the coordinator b is gone, though it is connected with a: only a hears that the room is over.
    world.at("a").apply_plan(&plan(2, &[]));
    world.at("a").end_room(&room());
    world.settle();
    world.plan(&plan(3, PAIR));
    world
        .at("a")
        .local_participant(&room(), record("a", 2, 2, true));
    world.settle();
    assert_eq!(world.roster("b", "a"), [2]);
}

#[test]
fn a_roster_travels_over_two_hops_with_its_path() {
    let mut world = chain();
    assert_eq!(world.roster("c", "a"), [1]);
    assert_eq!(world.roster("a", "c"), [1]);
    let path: Vec<_> = world.paths[&(edge("c"), edge("a"))]
        .iter()
        .map(RegionName::as_str)
        .collect();
    assert_eq!(path, ["a", "b", "c"]);
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 2, true));
    world.settle();
    assert_eq!(world.roster("c", "a"), [2]);
    let departure = Departure {
        participant: participant(1),
        version: 3,
        reason: LeaveReason::Left,
    };
    world.at("a").local_departure(&room(), &departure);
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 2, true));
    world.settle();
    assert_eq!(
        world.roster("c", "a"),
        [] as [u64; 0],
        "a late record brings nobody back"
    );
}

/// What a root's edge of that run says of itself, whole, to a child.
fn whole(root: &str, path: &[&str], revision: u64, there: &[(u8, u64)]) -> BackboneMessage {
    let hop = |name: &&str| sluice_types::mesh::backbone::Hop {
        edge: edge(name),
        region: name.parse().expect("a region"),
    };
    BackboneMessage::Roster {
        room: room(),
        root: edge(root),
        path: path.iter().map(hop).collect(),
        revision,
        complete: true,
        participants: (there.iter())
            .map(|&(n, version)| record(root, n, version, false))
            .collect(),
        left: Vec::new(),
    }
}

#[test]
fn whoever_was_at_a_root_before_it_started_anew_is_gone() {
    let mut world = chain();
    assert_eq!(world.roster("b", "a"), [1]);
    // Started within the time in which nobody missed it, it has nobody yet, and no version.
    let now = world.now;
    let empty = whole("a", &["a"], 0, &[]);
    world.at("b").handle_message(now, &edge("a"), empty);
    world.settle();
    assert_eq!(world.roster("b", "a"), []);
    assert_eq!(world.roster("c", "a"), []);
}

#[test]
fn a_parent_that_knew_too_little_is_asked_when_it_knows_more() {
    let mut world = chain();
    // Both the root and the parent started anew.
    let now = world.now;
    let empty = whole("a", &["a", "b"], 0, &[]);
    world.at("c").handle_message(now, &edge("b"), empty);
    assert_eq!(world.roster("c", "a"), [1], "it might know less");
    let mut news = whole("a", &["a", "b"], 9, &[(3, 9)]);
    if let BackboneMessage::Roster { complete, .. } = &mut news {
        *complete = false;
    }
    world.at("c").handle_message(now, &edge("b"), news);
    world.take_outputs(&edge("c"));
    let asked = world.wire.drain(..).any(|(_, to, message)| {
        to == edge("b")
            && matches!(message, BackboneMessage::Join { root, .. } if root == edge("a"))
    });
    assert!(asked);
    let all = whole("a", &["a", "b"], 9, &[(3, 9)]);
    world.at("c").handle_message(now, &edge("b"), all);
    world.settle();
    assert_eq!(world.roster("c", "a"), [9]);
}

#[test]
fn of_two_that_plans_turned_around_the_one_with_the_older_steps_aside() {
    let mut world = World::new(&["a", "b", "c"]);
    let before: &[TreeSketch<'_>] = &[("a", &[("b", "a", None), ("c", "b", Some("a"))])];
    world.plan(&plan(1, before));
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 1, true));
    world.settle();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world.flow();
    // b has heard that it receives from c now; c, and with it the coordinator's word, is late.
    let after = plan(2, &[("a", &[("c", "a", None), ("b", "c", Some("a"))])]);
    world.at("b").apply_plan(&after);
    world.settle();
    world.flow();
    world.pass(LINGER);
    let parents = |world: &mut World, name: &str| -> Vec<_> {
        let followed = world.at(name).parents();
        followed.map(|(_, _, parent, _)| parent.clone()).collect()
    };
    assert_eq!(parents(&mut world, "c"), [edge("a")]);
    assert_eq!(world.copies("c", &track(1)), 1);
    assert_eq!(
        world
            .routes
            .keys()
            .filter(|(to, ..)| *to == edge("c"))
            .count(),
        1
    );
    world.at("c").apply_plan(&after);
    world.settle();
    world.flow();
    assert_eq!(parents(&mut world, "b"), [edge("c")]);
    assert_eq!(world.roster("b", "a"), [1]);
}

#[test]
fn an_older_plan_changes_nothing() {
    let mut world = chain();
    world.plan(&plan(1, &[("a", &[])]));
    world.settle();
    assert_eq!(world.roster("c", "a"), [1]);
}

#[test]
fn who_is_no_longer_in_the_plan_is_lost() {
    let mut world = chain();
    world.plan(&plan(2, &[("c", &[])]));
    world.settle();
    assert_eq!(world.roster("c", "a"), [] as [u64; 0]);
    assert_eq!(world.roster("b", "a"), [] as [u64; 0]);
}
