//! What is known of the mesh and of rooms reaches plans.

use sluice_types::ids::RegionName;
use sluice_types::mesh::control::{LinkReport, RelayReport, RoomReport, TrackReport};
use sluice_types::room::MediaKind;

use super::*;

/// Over `north` or `south` it is cheaper than straight, and north a little cheaper than south.
const DIAMOND: &str = r#"
name = "diamond"
regions = ["west", "north", "south", "east"]

[[link]]
ends = ["west", "north"]
round_trip_ms = 50
capacity_mbps = 4
cost_per_gb = 0.01

[[link]]
ends = ["north", "east"]
round_trip_ms = 50
capacity_mbps = 4
cost_per_gb = 0.01

[[link]]
ends = ["west", "south"]
round_trip_ms = 50
capacity_mbps = 4
cost_per_gb = 0.0105

[[link]]
ends = ["south", "east"]
round_trip_ms = 50
capacity_mbps = 4
cost_per_gb = 0.0105

[[link]]
ends = ["west", "east"]
round_trip_ms = 90
capacity_mbps = 4
cost_per_gb = 0.05
"#;

const REGIONS: [(&str, f64); 4] = [
    ("west", -20.0),
    ("north", 0.0),
    ("south", 0.0),
    ("east", 20.0),
];

struct Mesh4 {
    registry: Registry,
    plans: Plans,
    epoch: u64,
}

impl Mesh4 {
    fn start() -> Self {
        let mut registry = registry_of(DIAMOND, &REGIONS);
        for (region, _) in REGIONS {
            register(&mut registry, region);
        }
        let plans = Plans::new(registry.topology());
        Self {
            registry,
            plans,
            epoch: 0,
        }
    }

    /// Two participants of a room, in the west and in the east; the one in the east listens.
    fn call(&mut self, n: u8) {
        for (region, publishing) in [("west", true), ("east", false)] {
            let demand = RoomDemand {
                room: room_of(n),
                participants: 1,
                publishing,
            };
            assert!(self.registry.demand(&edge(region), demand));
        }
        self.plan(&[room_of(n)]);
    }

    /// Does what the planner does; gives the rooms whose plans are new.
    fn plan(&mut self, rooms: &[MeetingId]) -> BTreeSet<MeetingId> {
        let rooms: BTreeSet<_> = rooms.iter().cloned().collect();
        let mut concerned = self.plans.follow(&self.registry.mesh());
        for outlook in self.registry.outlooks(&rooms) {
            self.plans.plan(&outlook, Residency::anywhere());
        }
        concerned.extend(self.plans.refresh(100));
        concerned.extend(rooms);
        assert!(!self.plans.is_stale());
        let in_force = self.registry.trees_of(&concerned);
        let mut news = BTreeSet::new();
        for (room, trees) in in_force {
            if let Some(replanned) = self.plans.replanned(&room, &trees) {
                self.epoch += 1;
                self.registry.enact(&replanned, Epoch(self.epoch));
                news.insert(room);
            }
        }
        news
    }

    /// Where the tracks of the west reach the east from.
    fn over(&self, n: u8) -> String {
        let rooms = BTreeSet::from([room_of(n)]);
        let trees = self.registry.trees_of(&rooms).remove(&room_of(n));
        let trees = trees.expect("a room");
        let tree = trees.iter().find(|tree| tree.root == edge("west"));
        let branch = tree.and_then(|tree| tree.branch(&edge("east")));
        let parent = branch.expect("a branch").parent.as_str();
        parent.trim_end_matches("-1").to_owned()
    }

    fn beat(&mut self, region: &str, heartbeat: Heartbeat) -> BTreeSet<MeetingId> {
        self.registry
            .heartbeat(Time::ZERO, &edge(region), heartbeat)
    }

    fn measure(&mut self, from: &str, to: &str, round_trip_us: u64) {
        let link = LinkReport {
            peer: edge(to),
            round_trip_us,
            loss_ppm: 0,
            sent_bytes: 0,
            received_bytes: 0,
        };
        let links = vec![link];
        self.beat(
            from,
            Heartbeat {
                links,
                ..Heartbeat::default()
            },
        );
    }
}

fn room_of(n: u8) -> MeetingId {
    MeetingId::from_random([n; 10])
}

fn report(n: u8, tracks: Vec<TrackReport>, relays: Vec<RelayReport>) -> Heartbeat {
    let report = RoomReport {
        room: room_of(n),
        epoch: Epoch(1),
        participants: 1,
        tracks,
        relays,
    };
    Heartbeat {
        rooms: vec![report],
        ..Heartbeat::default()
    }
}

fn track(kind: MediaKind, packets: u64) -> TrackReport {
    TrackReport {
        track: "tr_00000000".parse().expect("a track"),
        kind,
        publisher: participant(1),
        name: "Ada".to_owned(),
        packets,
    }
}

#[test]
fn measured_round_trips_move_trees_and_neither_jitter_nor_a_small_gain_does() {
    let mut mesh = Mesh4::start();
    mesh.call(1);
    assert_eq!(mesh.over(1), "north");
    mesh.measure("north", "east", 54_000);
    assert_eq!(mesh.plan(&[]), BTreeSet::new(), "jitter");
    // All regions on one machine: light itself takes longer.
    mesh.measure("north", "east", 300);
    assert_eq!(mesh.plan(&[]), BTreeSet::new());
    mesh.measure("north", "east", 120_000);
    assert_eq!(mesh.plan(&[]), BTreeSet::from([room_of(1)]));
    assert_eq!(mesh.over(1), "south", "the north is too far by now");
    mesh.measure("north", "east", 50_000);
    assert_eq!(mesh.plan(&[]), BTreeSet::new());
    assert_eq!(mesh.over(1), "south", "a tenth of the price is not enough");
    let east: RegionName = "east".parse().expect("a region");
    let mesh = mesh.registry.mesh();
    assert!(mesh.round_trips_us.keys().all(|(a, _)| *a == east));
}

#[test]
fn all_rooms_together_keep_to_the_capacity_of_links() {
    let mut mesh = Mesh4::start();
    for (n, over) in [(1, "north"), (2, "south"), (3, "west")] {
        mesh.call(n);
        assert_eq!(mesh.over(n), over, "room {n}");
    }
    // What is over makes room.
    mesh.registry.end_room(&room_of(1));
    mesh.plans.forget(&room_of(1));
    mesh.call(4);
    assert_eq!(mesh.over(4), "north");
}

#[test]
fn what_is_published_counts_not_what_could_be() {
    let mut mesh = Mesh4::start();
    mesh.call(1);
    let beat = |mesh: &mut Mesh4, kind, packets| {
        mesh.beat("west", report(1, vec![track(kind, packets)], Vec::new()))
    };
    let affected = beat(&mut mesh, MediaKind::Video, 10);
    assert_eq!(affected, BTreeSet::new(), "as expected");
    // The camera is off.
    assert_eq!(beat(&mut mesh, MediaKind::Video, 10), [room_of(1)].into());
    assert_eq!(mesh.plan(&[room_of(1)]), BTreeSet::new());
    mesh.call(2);
    assert_eq!(mesh.over(2), "north", "both fit");
    // It is on again: one of them has to go elsewhere.
    assert_eq!(beat(&mut mesh, MediaKind::Video, 11), [room_of(1)].into());
    mesh.plan(&[room_of(1)]);
    assert_eq!(
        (mesh.over(1), mesh.over(2)),
        ("south".into(), "north".into())
    );
}

#[test]
fn after_a_restart_relays_that_flow_are_gone_on_with() {
    let mut mesh = Mesh4::start();
    let relay = |from: &str| RelayReport {
        track: "tr_00000000".parse().expect("a track"),
        kind: MediaKind::Video,
        from: edge(from),
        root: edge("west"),
        packets: 1,
    };
    for (at, from) in [("south", "west"), ("east", "south")] {
        mesh.beat(at, report(1, Vec::new(), vec![relay(from)]));
    }
    mesh.call(1);
    assert_eq!(mesh.over(1), "south");
    mesh.call(2);
    assert_eq!(mesh.over(2), "north", "as without");
}

#[test]
fn an_edge_that_goes_moves_its_rooms_and_one_that_comes_back_is_used_when_worth_it() {
    let mut mesh = Mesh4::start();
    mesh.call(1);
    let connection = mesh
        .registry
        .edge(&edge("north"))
        .expect("registered")
        .connection;
    mesh.registry.drop_edge(&edge("north"), connection);
    assert_eq!(mesh.plan(&[]), [room_of(1)].into());
    assert_eq!(mesh.over(1), "south");
    register(&mut mesh.registry, "north");
    // Only the backup is another.
    mesh.plan(&[]);
    assert_eq!(mesh.over(1), "south");
    let mut again = Mesh4::start();
    again.call(1);
    let plans = |mesh: &Mesh4| mesh.registry.plans_of(&edge("west"));
    let mut third = Mesh4::start();
    third.call(1);
    assert_eq!(plans(&again), plans(&third), "equal input, equal plans");
}

#[test]
fn a_link_that_comes_up_while_the_topology_changes_is_used_again() {
    let mut mesh = Mesh4::start();
    let mut cut = mesh.registry.mesh();
    let name = |name: &str| name.parse::<RegionName>().expect("a region");
    cut.links_down.insert((name("north"), name("west")));
    mesh.plans.follow(&cut);
    mesh.plans.adopt(mesh.registry.topology());
    mesh.call(1);
    assert_eq!(mesh.over(1), "north");
}
