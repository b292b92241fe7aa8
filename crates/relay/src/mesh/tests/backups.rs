//! Ways around what is lost or silent.

use super::*;

/// Root a, parent b of c and d, each of which has the other as its backup.
const SIBLINGS: &[TreeSketch<'_>] = &[(
    "a",
    &[
        ("b", "a", None),
        ("c", "b", Some("d")),
        ("d", "b", Some("c")),
    ],
)];

fn siblings() -> World {
    let mut world = World::new(&["a", "b", "c", "d"]);
    world.plan(&plan(1, SIBLINGS));
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 1, true));
    world.settle();
    world
}

#[test]
fn siblings_that_lost_their_parent_turn_back_when_it_returns() {
    let mut world = siblings();
    world.cut("c", "b");
    world.cut("d", "b");
    world.settle();
    world
        .at("a")
        .local_participant(&room(), record("a", 2, 1, false));
    world.settle();
    world.mend("c", "b");
    world.mend("d", "b");
    world.settle();
    assert_eq!(world.roster("c", "a"), [1, 1]);
    assert_eq!(world.roster("d", "a"), [1, 1]);
}

#[test]
fn a_replaced_connection_loses_nothing_and_turns_nobody_to_a_backup() {
    let mut world = siblings();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    // Said on the old connection, and lost with it.
    world
        .at("a")
        .local_participant(&room(), record("a", 2, 1, false));
    for (at, peer) in [("a", "b"), ("b", "c")] {
        world.replace(at, peer);
    }
    world.settle();
    assert_eq!(world.roster("c", "a"), [1, 1]);
    assert_eq!(world.copies("c", &track(1)), 1);
    assert_eq!(
        world.paths[&(edge("c"), edge("a"))].len(),
        3,
        "over b still"
    );
}

#[test]
fn a_new_parent_that_never_answers_is_asked_again_and_given_up_for_the_backup() {
    let mut world = siblings();
    world.plan(&plan(
        2,
        &[(
            "a",
            &[("b", "a", None), ("c", "d", Some("b")), ("d", "b", None)],
        )],
    ));
    // c's join is lost, and d forgets c without a word: c has only its own patience.
    for name in ["a", "b", "c", "d"] {
        world.take_outputs(&edge(name));
    }
    world.wire.clear();
    world.settle();
    world
        .at("a")
        .local_participant(&room(), record("a", 2, 1, false));
    world.wait(5);
    assert_eq!(world.roster("c", "a"), [1, 1]);
}

#[test]
fn a_lost_parent_is_replaced_by_the_backup_at_once() {
    let mut world = chain();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world.kill("b");
    // The backup learns of the tree by the coordinator's next plan; its own way is direct.
    world
        .at("d")
        .apply_plan(&plan(2, &[("a", &[("d", "a", None), ("c", "d", None)])]));
    world.settle();
    assert_eq!(world.copies("c", &track(1)), 1);
    assert_eq!(world.roster("c", "a"), [1]);
}

/// The chain, with d in the tree as well, so that it can serve at once.
const SPARE: &[TreeSketch<'_>] = &[
    (
        "a",
        &[("b", "a", None), ("d", "a", None), ("c", "b", Some("d"))],
    ),
    (
        "c",
        &[("b", "c", None), ("d", "c", None), ("a", "b", Some("d"))],
    ),
];

fn spare() -> World {
    let mut world = chain();
    world.plan(&plan(2, SPARE));
    world.settle();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world.flow();
    world
}

#[test]
fn a_backup_is_connected_before_it_is_needed() {
    let world = spare();
    assert!(world.links.contains(&pair(&edge("c"), &edge("d"))));
}

#[test]
fn a_silent_parent_is_replaced_with_one_round_trip_and_kept_until_the_other_delivers() {
    let mut world = spare();
    world.at("c").peer_silent(Time::ZERO, &edge("b"));
    world.take_outputs(&edge("c"));
    let asked: Vec<_> = world
        .wire
        .iter()
        .filter(|(_, to, _)| *to == edge("d"))
        .collect();
    assert!(
        matches!(
            asked[..],
            [
                (.., BackboneMessage::Join { .. }),
                (.., BackboneMessage::Subscribe { .. }),
                (.., BackboneMessage::KeyFrame { .. }),
            ]
        ),
        "{asked:?}"
    );
    world.settle();
    assert_eq!(world.copies("c", &track(1)), 2);
    world.flow();
    assert_eq!(world.copies("c", &track(1)), 1);
    assert_eq!(world.roster("c", "a"), [1], "nobody left meanwhile");
}

#[test]
fn a_tree_returns_to_the_plan_when_its_parent_is_steady() {
    let mut world = spare();
    let from_b = |world: &World| {
        world
            .sending
            .keys()
            .any(|(from, to, _)| *from == edge("b") && *to == edge("c"))
    };
    world.at("c").peer_silent(Time::ZERO, &edge("b"));
    world.settle();
    world.flow();
    let now = world.now;
    world.at("c").peer_heard(now, &edge("b"));
    world.wait(4);
    assert!(!from_b(&world), "too early");
    world.wait(4);
    world.flow();
    assert!(from_b(&world));
    world.wait(1);
    assert_eq!(world.copies("c", &track(1)), 1);
}

#[test]
fn a_plan_whose_parent_is_silent_is_followed_from_its_backup() {
    let mut world = spare();
    world.at("c").peer_silent(Time::ZERO, &edge("b"));
    world.settle();
    world.flow();
    world.plan(&plan(3, SPARE));
    world.settle();
    world.wait(4);
    assert_eq!(world.copies("c", &track(1)), 1);
    assert!(world.sending.keys().any(|(from, ..)| *from == edge("d")));
}

#[test]
fn a_parent_that_never_answers_is_given_up_for_the_one_before() {
    let mut world = spare();
    world.at("c").peer_silent(Time::ZERO, &edge("b"));
    world.settle();
    world.flow();
    world.at("b").end_room(&room());
    world.settle();
    world.at("c").peer_heard(Time::ZERO, &edge("b"));
    for _ in 0..30 {
        world.wait(1);
        world.flow();
        assert_eq!(world.copies("c", &track(1)), 1);
        assert_eq!(world.roster("c", "a"), [1]);
    }
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 2, true));
    world.wait(10);
    assert_eq!(world.roster("c", "a"), [2], "news come all the while");
}
