//! What is relayed: tracks, requests and messages along the tree.

use super::*;

#[test]
fn a_track_crosses_each_link_once_and_only_while_somebody_wants_it() {
    let mut world = chain();
    assert!(world.sending.is_empty(), "nobody wants it yet");
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.at("b").want(Time::ZERO, &room(), &track(1));
    world.settle();
    assert_eq!(
        (world.copies("b", &track(1)), world.copies("c", &track(1))),
        (1, 1)
    );
    assert_eq!(world.sending.len(), 2);
    world.at("b").unwant(Time::ZERO, &room(), &track(1));
    world.settle();
    assert_eq!(world.copies("b", &track(1)), 1, "c still wants it");
    world.at("c").unwant(Time::ZERO, &room(), &track(1));
    world.settle();
    assert!(world.sending.is_empty() && world.routes.is_empty() && world.open.is_empty());
}

#[test]
fn a_track_that_ends_takes_its_relays_along() {
    let mut world = chain();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 2, false));
    world.settle();
    assert!(world.sending.is_empty() && world.routes.is_empty() && world.open.is_empty());
}

#[test]
fn key_frame_requests_and_removals_climb_the_tree() {
    let mut world = chain();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world.at("c").request_key_frame(&room(), &track(1), 0);
    world.settle();
    assert_eq!(
        world.key_frames,
        [(edge("b"), track(1))],
        "b's media merges and asks on"
    );
    world.at("b").request_key_frame(&room(), &track(1), 0);
    world.settle();
    assert_eq!(world.key_frames.last(), Some(&(edge("a"), track(1))));
    world.at("c").remove_participant(&room(), &participant(1));
    world.settle();
    assert_eq!(world.removed, [(edge("a"), participant(1))]);
}

#[test]
fn a_child_says_which_layers_it_wants() {
    let mut world = chain();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    let low = LayerSet::default().with(1, 0, 0);
    world.at("c").set_layers(&room(), &track(1), low);
    world.settle();
    assert_eq!(world.layers, [(edge("b"), edge("c"), low)]);
}

#[test]
fn messages_reach_every_edge_once_and_outlive_a_change_of_parent() {
    let mut world = chain();
    let message = |n: u8| DataMessage {
        from: participant(1),
        to: Vec::new(),
        topic: None,
        reliable: true,
        payload: vec![n],
    };
    world.at("a").send_data(&room(), message(1));
    world.settle();
    world.kill("b");
    world.at("a").send_data(&room(), message(2));
    world.settle();
    world.plan(&plan(
        2,
        &[("a", &[("c", "a", None)]), ("c", &[("a", "c", None)])],
    ));
    world.settle();
    let at_c: Vec<_> = world
        .data
        .iter()
        .filter(|(at, _)| *at == edge("c"))
        .map(|(_, message)| message.payload[0])
        .collect();
    assert_eq!(at_c, [1, 2]);
}

#[test]
fn a_changed_plan_makes_before_it_breaks() {
    let mut world = chain();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world.flow();
    world.plan(&plan(
        2,
        &[
            ("a", &[("d", "a", None), ("c", "d", None)]),
            ("c", &[("d", "c", None), ("a", "d", None)]),
        ],
    ));
    world.settle();
    assert_eq!(
        world.copies("c", &track(1)),
        2,
        "both flow until the new one delivers"
    );
    world.flow();
    world.pass(LINGER - Duration::from_millis(1));
    assert_eq!(
        world.copies("c", &track(1)),
        2,
        "the new way may be the shorter one"
    );
    assert_eq!(world.copies("b", &track(1)), 1, "which b serves meanwhile");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.copies("c", &track(1)), 1);
    assert_eq!(world.copies("b", &track(1)), 0, "b is out of it");
    assert_eq!(world.roster("c", "a"), [1], "nobody left meanwhile");
}

#[test]
fn a_former_relay_ends_even_when_the_track_is_silent() {
    let mut world = chain();
    world.at("c").want(Time::ZERO, &room(), &track(1));
    world.settle();
    world.plan(&plan(
        2,
        &[
            ("a", &[("d", "a", None), ("c", "d", None)]),
            ("c", &[("d", "c", None), ("a", "d", None)]),
        ],
    ));
    world.settle();
    let due = world.at("c").poll_timeout().expect("one is kept");
    world.at("c").handle_timeout(due);
    world.settle();
    assert_eq!(world.copies("c", &track(1)), 1);
    assert_eq!(world.at("c").poll_timeout(), None);
}
