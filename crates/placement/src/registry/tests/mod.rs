mod foreign;
mod plans;

use crate::{Preference, Residency, rank_within};
use sluice_types::mesh::control::{Branch, RoomPlan};
use sluice_types::topology::load_dir;

use super::*;

const TOPOLOGY: &str = r#"
name = "test"
regions = ["west", "east"]

[[link]]
ends = ["west", "east"]
round_trip_ms = 80
capacity_mbps = 1000
cost_per_gb = 0.02
"#;

fn registry() -> Registry {
    registry_of(TOPOLOGY, &[("west", -75.0), ("east", 139.0)])
}

/// A registry of regions at these longitudes, with an edge each.
fn registry_of(topology: &str, regions: &[(&str, f64)]) -> Registry {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("topology.toml"), topology).expect("written");
    std::fs::create_dir(dir.path().join("regions")).expect("made");
    for (name, longitude) in regions {
        let text = format!(
            "display_name = \"{name}\"\nlatitude = 40.0\nlongitude = {longitude:?}\ndns = [\"{name}.test.example\"]\nedges = 2\n"
        );
        let path = dir.path().join("regions").join(format!("{name}.toml"));
        std::fs::write(path, text).expect("written");
    }
    Registry::new(load_dir(dir.path()).expect("a topology"))
}

fn edge(region: &str) -> EdgeId {
    format!("{region}-1").parse().expect("an edge")
}

fn register(registry: &mut Registry, region: &str) -> u64 {
    register_as(registry, edge(region), region)
}

fn register_as(registry: &mut Registry, edge: EdgeId, region: &str) -> u64 {
    let registration = Registration {
        edge,
        region: region.parse().expect("a region"),
        sfu_endpoint: format!("https://{region}"),
        signal_endpoint: format!("wss://{region}"),
        backbone: "192.0.2.1:1".to_owned(),
        capacity: 3,
        software: "test".to_owned(),
    };
    registry
        .register(Time::ZERO, registration, Vec::new())
        .expect("registered")
}

fn room() -> MeetingId {
    MeetingId::from_random([1; 10])
}

fn participant(n: u8) -> ParticipantId {
    ParticipantId::from_random([n; 10])
}

fn demand(participants: u32) -> RoomDemand {
    RoomDemand {
        room: room(),
        participants,
        publishing: participants > 0,
    }
}

/// Plans the room and enacts the plan, if it is another.
fn plan(registry: &mut Registry, epoch: u64) -> Option<(BTreeSet<EdgeId>, BTreeSet<EdgeId>)> {
    let mut plans = Plans::new(registry.topology());
    plans.follow(&registry.mesh());
    let outlook = registry.outlooks(&BTreeSet::from([room()])).pop()?;
    plans.plan(&outlook, Residency::anywhere());
    let replanned = plans.replanned(&room(), &outlook.trees)?;
    registry.enact(&replanned, Epoch(epoch))
}

#[test]
fn an_equal_plan_is_not_enacted_again_and_an_edge_that_leaves_is_released() {
    let mut registry = registry();
    register(&mut registry, "west");
    register(&mut registry, "east");
    assert!(registry.demand(&edge("west"), demand(1)));
    assert!(registry.demand(&edge("east"), demand(1)));
    let both = BTreeSet::from([edge("east"), edge("west")]);
    assert_eq!(plan(&mut registry, 1), Some((both, BTreeSet::new())));
    assert!(
        !registry.demand(&edge("west"), demand(2)),
        "no other edges than before"
    );
    assert_eq!(plan(&mut registry, 2), None);
    assert_eq!(registry.plans_of(&edge("west"))[0].epoch, Epoch(1));
    assert!(registry.demand(&edge("east"), demand(0)));
    let (members, released) = plan(&mut registry, 2).expect("another plan");
    assert_eq!(
        (members, released),
        ([edge("west")].into(), [edge("east")].into())
    );
    assert!(registry.demand(&edge("west"), demand(0)));
    assert!(plan(&mut registry, 3).is_some());
    assert_eq!(
        registry.rooms().count(),
        0,
        "nothing is left of a room that is over"
    );
}

#[test]
fn an_edge_that_starts_anew_loses_the_demand_that_it_does_not_repeat() {
    let mut registry = registry();
    let first = register(&mut registry, "west");
    registry.demand(&edge("west"), demand(3));
    let second = register(&mut registry, "west");
    assert_eq!(
        registry.drop_edge(&edge("west"), first),
        None,
        "an old connection's end"
    );
    assert_eq!(
        registry.participants(&room()),
        3,
        "only the line was lost, perhaps"
    );
    let beat = |registry: &mut Registry| {
        registry.heartbeat(Time::from_millis(1), &edge("west"), Heartbeat::default())
    };
    assert_eq!(beat(&mut registry), BTreeSet::new());
    assert_eq!(beat(&mut registry), BTreeSet::from([room()]));
    assert_eq!(registry.participants(&room()), 0);
    registry.demand(&edge("west"), demand(1));
    assert_eq!(beat(&mut registry), BTreeSet::new());
    assert_eq!(registry.participants(&room()), 1);
    assert_eq!(registry.drop_edge(&edge("west"), second), Some(Vec::new()));
    assert_eq!(registry.participants(&room()), 0);
}

#[test]
fn seats_are_taken_until_somebody_sits_on_them_or_nobody_comes() {
    let mut registry = registry();
    register(&mut registry, "west");
    let (west, start) = (edge("west"), Time::ZERO);
    assert!(registry.take_seat(start, &room(), &west, 2));
    assert!(registry.take_seat(start, &room(), &west, 2));
    assert!(!registry.take_seat(start, &room(), &west, 2));
    assert_eq!(
        registry.candidates(start, &room())[0].participants,
        2,
        "on their way"
    );
    registry.demand(&west, demand(1));
    assert!(
        !registry.take_seat(start, &room(), &west, 2),
        "one in, one on its way"
    );
    let late = Time::from_millis(61_000);
    assert!(
        registry.take_seat(late, &room(), &west, 2),
        "the other did not come"
    );
    registry.demand(&west, demand(0));
    registry.forget_old(Time::from_millis(200_000));
    assert_eq!(registry.rooms().count(), 0);
}

#[test]
fn who_waits_is_known_by_the_name_that_was_given_and_no_other() {
    let mut registry = registry();
    let ask = |registry: &mut Registry, known: Option<u8>, fresh: u8| {
        let known = known.map(participant);
        registry.wait(
            Time::ZERO,
            &room(),
            known.as_ref(),
            participant(fresh),
            "Ada",
            5,
        )
    };
    assert_eq!(
        ask(&mut registry, Some(9), 1),
        Word::Wait(participant(1)),
        "9 is nobody's"
    );
    assert_eq!(ask(&mut registry, Some(1), 2), Word::Wait(participant(1)));
    assert_eq!(registry.waiting(&room()).count(), 1);
    assert!(!registry.admit(&room(), &participant(9), true));
    assert!(registry.admit(&room(), &participant(1), true));
    for _ in 0..2 {
        let word = ask(&mut registry, Some(1), 3);
        assert_eq!(
            word,
            Word::Admitted(participant(1)),
            "an answer may be lost"
        );
    }
    assert_eq!(ask(&mut registry, None, 4), Word::Wait(participant(4)));
    assert!(registry.admit(&room(), &participant(4), false));
    assert_eq!(ask(&mut registry, Some(4), 5), Word::Denied);
}

#[test]
fn only_edges_of_the_topology_register_and_only_in_their_region() {
    let mut registry = registry();
    register(&mut registry, "west");
    let mut registration = registry
        .edge(&edge("west"))
        .expect("registered")
        .registration
        .clone();
    registration.region = "east".parse().expect("a region");
    let wrong = registry.register(Time::ZERO, registration.clone(), Vec::new());
    assert!(matches!(wrong, Err(RegistrationError::WrongRegion { .. })));
    registration.edge = "west-7".parse().expect("an edge");
    let unknown = registry.register(Time::ZERO, registration, Vec::new());
    assert_eq!(
        unknown,
        Err(RegistrationError::UnknownEdge(
            "west-7".parse().expect("an edge")
        ))
    );
    let silent = registry.silent(Time::from_millis(5_000), Duration::from_secs(3));
    assert_eq!(silent, [(edge("west"), 1)]);
}

#[test]
fn a_room_fills_one_edge_of_a_region_and_spills_to_the_next() {
    let mut registry = registry();
    let second: EdgeId = "west-2".parse().expect("an edge");
    register(&mut registry, "west");
    register_as(&mut registry, second.clone(), "west");
    register(&mut registry, "east");
    let preference = Preference {
        measured_ms: [("west", 10), ("east", 90)]
            .map(|(region, ms)| (region.parse().expect("a region"), ms))
            .into(),
        ..Preference::default()
    };
    // Each is sent before the one before has arrived, to edges that take three.
    let join = |registry: &mut Registry, id: &MeetingId| {
        let candidates = registry.candidates(Time::ZERO, id);
        let ranked = rank_within(&candidates, &preference, &Residency::anywhere());
        assert!(registry.take_seat(Time::ZERO, id, &ranked[0], 100));
        ranked[0].to_string()
    };
    let joined: Vec<_> = (0..7).map(|_| join(&mut registry, &room())).collect();
    let expected = [
        "west-1", "west-1", "west-1", "west-2", "west-2", "west-2", "east-1",
    ];
    assert_eq!(joined, expected);

    let mut registry = self::registry();
    register(&mut registry, "west");
    register_as(&mut registry, second, "west");
    let other = MeetingId::from_random([2; 10]);
    let joined = [room(), other, room(), room()].map(|id| join(&mut registry, &id));
    assert_eq!(joined, ["west-1", "west-2", "west-1", "west-1"]);
}
