use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sluice_types::access::Role;
use sluice_types::layers::LayerSet;
use sluice_types::mesh::control::{Branch, RelayTree, RoomPlan};
use sluice_types::room::{DataMessage, LeaveReason, MediaKind, Presence, TrackSource};

use super::*;

fn edge(name: &str) -> EdgeId {
    name.parse().expect("an edge id")
}

fn room() -> MeetingId {
    MeetingId::from_random([1; 10])
}

fn participant(n: u8) -> ParticipantId {
    ParticipantId::from_random([n; 10])
}

fn track(n: u8) -> TrackId {
    TrackId::from_random([n; 10])
}

/// Participant `n` of an edge, publishing the track `n` unless silent.
fn record(at: &str, n: u8, version: u64, publishes: bool) -> ParticipantRecord {
    ParticipantRecord {
        participant_id: participant(n),
        version,
        name: format!("P{n}"),
        role: Role::Speaker,
        region: at.parse().expect("a region"),
        edge: edge(at),
        joined_at_ms: 0,
        presence: Presence::default(),
        tracks: publishes
            .then(|| TrackInfo {
                track_id: track(n),
                kind: MediaKind::Video,
                source: TrackSource::Camera,
            })
            .into_iter()
            .collect(),
    }
}

/// A root and its branches: edge, parent, backup.
type TreeSketch<'a> = (&'a str, &'a [(&'a str, &'a str, Option<&'a str>)]);

fn plan(epoch: u64, trees: &[TreeSketch<'_>]) -> RoomPlan {
    RoomPlan {
        room: room(),
        epoch: Epoch(epoch),
        trees: trees
            .iter()
            .map(|(root, branches)| RelayTree {
                root: edge(root),
                branches: branches
                    .iter()
                    .map(|(at, parent, backup)| Branch {
                        edge: edge(at),
                        parent: edge(parent),
                        backup: backup.map(edge),
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// Several edges, their connections, and what their shells would hold.
#[derive(Default)]
struct World {
    edges: BTreeMap<EdgeId, Mesh>,
    links: BTreeSet<(EdgeId, EdgeId)>,
    dead: BTreeSet<EdgeId>,
    cuts: BTreeSet<(EdgeId, EdgeId)>,
    wire: VecDeque<(EdgeId, EdgeId, BackboneMessage)>,
    rosters: BTreeMap<(EdgeId, EdgeId), BTreeMap<ParticipantId, u64>>,
    paths: BTreeMap<(EdgeId, EdgeId), Vec<RegionName>>,
    open: BTreeSet<(EdgeId, TrackId)>,
    routes: BTreeMap<(EdgeId, EdgeId, RelayId), TrackId>,
    sending: BTreeMap<(EdgeId, EdgeId, RelayId), TrackId>,
    key_frames: Vec<(EdgeId, TrackId)>,
    removed: Vec<(EdgeId, ParticipantId)>,
    layers: Vec<(EdgeId, EdgeId, LayerSet)>,
    data: Vec<(EdgeId, DataMessage)>,
    now: Time,
}

fn pair(a: &EdgeId, b: &EdgeId) -> (EdgeId, EdgeId) {
    (a.min(b).clone(), a.max(b).clone())
}

impl World {
    fn new(names: &[&str]) -> Self {
        let mut world = Self::default();
        for name in names {
            let region = name.parse().expect("a region");
            world
                .edges
                .insert(edge(name), Mesh::new(edge(name), region));
        }
        world
    }

    fn at(&mut self, name: &str) -> &mut Mesh {
        self.edges.get_mut(&edge(name)).expect("an edge")
    }

    fn plan(&mut self, plan: &RoomPlan) {
        for (id, mesh) in &mut self.edges {
            if !self.dead.contains(id) {
                mesh.apply_plan(plan);
            }
        }
    }

    fn take_outputs(&mut self, id: &EdgeId) {
        while let Some(output) = self.edges.get_mut(id).and_then(Mesh::poll_output) {
            match output {
                Output::Connect { peer } => {
                    let cut = self.cuts.contains(&pair(id, &peer)) || self.dead.contains(&peer);
                    if !cut && self.links.insert(pair(id, &peer)) {
                        self.at(peer.as_str()).peer_up(id);
                        self.at(id.as_str()).peer_up(&peer);
                    }
                }
                Output::Disconnect { .. } => {}
                Output::Send { peer, message } => {
                    assert!(
                        self.links.contains(&pair(id, &peer)),
                        "{id} has no connection to {peer}"
                    );
                    self.wire.push_back((id.clone(), peer, message));
                }
                Output::RosterChanged {
                    root,
                    path,
                    upserts,
                    left,
                    ..
                } => {
                    let key = (id.clone(), root.clone());
                    self.paths.insert(key.clone(), path);
                    let roster = self.rosters.entry(key).or_default();
                    for record in upserts {
                        roster.insert(record.participant_id, record.version);
                    }
                    for departure in left {
                        assert!(
                            roster.remove(&departure.participant).is_some(),
                            "left twice"
                        );
                    }
                }
                Output::OpenTrack { track, .. } => {
                    assert!(
                        self.open.insert((id.clone(), track.track_id)),
                        "opened twice"
                    );
                }
                Output::CloseTrack { track, .. } => {
                    assert!(
                        self.open.remove(&(id.clone(), track)),
                        "closed, never opened"
                    );
                }
                Output::Route {
                    peer, relay, track, ..
                } => {
                    assert!(
                        self.open.contains(&(id.clone(), track.clone())),
                        "routed, not open"
                    );
                    assert!(
                        self.routes
                            .insert((id.clone(), peer, relay), track)
                            .is_none()
                    );
                }
                Output::Unroute { peer, relay } => {
                    assert!(self.routes.remove(&(id.clone(), peer, relay)).is_some());
                }
                Output::StartSending {
                    peer, relay, track, ..
                } => {
                    assert!(
                        self.sending
                            .insert((id.clone(), peer, relay), track)
                            .is_none()
                    );
                }
                Output::StopSending { peer, relay } => {
                    assert!(self.sending.remove(&(id.clone(), peer, relay)).is_some());
                }
                Output::KeyFrameWanted { track, .. } => self.key_frames.push((id.clone(), track)),
                Output::SetLayers { peer, layers, .. } => {
                    self.layers.push((id.clone(), peer, layers));
                }
                Output::Data { message, .. } => self.data.push((id.clone(), message)),
                Output::RemoveLocal { participant, .. } => {
                    self.removed.push((id.clone(), participant));
                }
            }
        }
    }

    /// Delivers everything until nothing is under way.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            for id in self.edges.keys().cloned().collect::<Vec<_>>() {
                self.take_outputs(&id);
            }
            let Some((from, to, message)) = self.wire.pop_front() else {
                return;
            };
            if self.links.contains(&pair(&from, &to)) {
                let now = self.now;
                self.at(to.as_str()).handle_message(now, &from, message);
            }
        }
        panic!("edges never stop talking");
    }

    /// Packets flow: every relay that is sent on and routed delivers its first.
    fn flow(&mut self) {
        let flowing: Vec<_> = self
            .sending
            .keys()
            .map(|(from, to, relay)| (to.clone(), from.clone(), *relay))
            .filter(|key| self.routes.contains_key(key))
            .collect();
        for (to, from, relay) in flowing {
            self.at(to.as_str()).first_packet(&from, relay);
        }
        self.settle();
    }

    fn kill(&mut self, name: &str) {
        let gone = edge(name);
        self.dead.insert(gone.clone());
        let cut: Vec<_> = self
            .links
            .iter()
            .filter(|(a, b)| *a == gone || *b == gone)
            .cloned()
            .collect();
        for (a, b) in cut {
            self.links.remove(&(a.clone(), b.clone()));
            let other = if a == gone { b } else { a };
            let now = self.now;
            self.at(other.as_str()).peer_down(now, &gone);
        }
        self.routes.retain(|(at, ..), _| *at != gone);
        self.sending.retain(|(at, ..), _| *at != gone);
        self.open.retain(|(at, _)| *at != gone);
        self.edges.remove(&gone);
        self.settle();
    }

    fn roster(&self, at: &str, root: &str) -> Vec<u64> {
        self.rosters
            .get(&(edge(at), edge(root)))
            .map(|roster| roster.values().copied().collect())
            .unwrap_or_default()
    }

    /// Copies of a track that arrive at an edge.
    fn copies(&self, at: &str, wanted: &TrackId) -> usize {
        self.routes
            .iter()
            .filter(|((to, from, relay), track)| {
                *to == edge(at)
                    && *track == wanted
                    && self
                        .sending
                        .contains_key(&(from.clone(), to.clone(), *relay))
            })
            .count()
    }
}

/// a – b – c, with d as another way from a to c.
const CHAIN: &[TreeSketch<'_>] = &[
    ("a", &[("b", "a", None), ("c", "b", Some("d"))]),
    ("c", &[("b", "c", None), ("a", "b", Some("d"))]),
];

fn chain() -> World {
    let mut world = World::new(&["a", "b", "c", "d"]);
    world.plan(&plan(1, CHAIN));
    world
        .at("a")
        .local_participant(&room(), record("a", 1, 1, true));
    world
        .at("c")
        .local_participant(&room(), record("c", 2, 1, true));
    world.settle();
    world
}

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

impl World {
    /// What is under way on the connection of two edges is lost.
    fn purge(&mut self, a: &str, b: &str) {
        let link = pair(&edge(a), &edge(b));
        for name in [a, b] {
            self.take_outputs(&edge(name));
        }
        self.wire.retain(|(from, to, _)| pair(from, to) != link);
    }

    fn cut(&mut self, a: &str, b: &str) {
        self.purge(a, b);
        self.cuts.insert(pair(&edge(a), &edge(b)));
        if self.links.remove(&pair(&edge(a), &edge(b))) {
            let now = self.now;
            self.at(a).peer_down(now, &edge(b));
            self.at(b).peer_down(now, &edge(a));
        }
    }

    fn mend(&mut self, a: &str, b: &str) {
        self.cuts.remove(&pair(&edge(a), &edge(b)));
        if self.links.insert(pair(&edge(a), &edge(b))) {
            self.at(a).peer_up(&edge(b));
            self.at(b).peer_up(&edge(a));
        }
    }

    fn replace(&mut self, a: &str, b: &str) {
        self.purge(a, b);
        if self.links.contains(&pair(&edge(a), &edge(b))) {
            let now = self.now;
            self.at(a).peer_replaced(now, &edge(b));
            self.at(b).peer_replaced(now, &edge(a));
        }
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            let now = self.now;
            for mesh in self.edges.values_mut() {
                mesh.handle_timeout(now);
            }
            self.settle();
        }
    }
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

#[test]
fn who_is_no_longer_in_the_plan_is_lost() {
    let mut world = chain();
    world.plan(&plan(2, &[("c", &[])]));
    world.settle();
    assert_eq!(world.roster("c", "a"), [] as [u64; 0]);
    assert_eq!(world.roster("b", "a"), [] as [u64; 0]);
}

#[derive(Debug, Clone)]
enum Step {
    Plan(u8),
    Participant { at: u8, n: u8, publishes: bool },
    Depart { at: u8, n: u8 },
    Want { at: u8, n: u8 },
    Unwant { at: u8, n: u8 },
    Cut { a: u8, b: u8 },
    Mend { a: u8, b: u8 },
    Replace { a: u8, b: u8 },
    Silent { a: u8, b: u8 },
    Flow,
    Later,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (at, n) = (0u8..4, 0u8..4);
    proptest::collection::vec(
        prop_oneof![
            any::<u8>().prop_map(Step::Plan),
            (at.clone(), n.clone(), any::<bool>())
                .prop_map(|(at, n, publishes)| Step::Participant { at, n, publishes }),
            (at.clone(), n.clone()).prop_map(|(at, n)| Step::Depart { at, n }),
            (at.clone(), n.clone()).prop_map(|(at, n)| Step::Want { at, n }),
            (at.clone(), n).prop_map(|(at, n)| Step::Unwant { at, n }),
            (at.clone(), 1u8..4).prop_map(|(a, d)| Step::Cut { a, b: (a + d) % 4 }),
            (at.clone(), 1u8..4).prop_map(|(a, d)| Step::Mend { a, b: (a + d) % 4 }),
            (at.clone(), 1u8..4).prop_map(|(a, d)| Step::Replace { a, b: (a + d) % 4 }),
            (at, 1u8..4).prop_map(|(a, d)| Step::Silent { a, b: (a + d) % 4 }),
            Just(Step::Flow),
            Just(Step::Later),
        ],
        1..40,
    )
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Trees over all four edges for all four roots, shaped by `shape`.
fn any_plan(epoch: u64, shape: u8) -> RoomPlan {
    let trees = (0..4usize)
        .map(|root| {
            let order: Vec<_> = (0..4)
                .map(|i| (root + i * if shape & 1 == 1 { 1 } else { 3 }) % 4)
                .collect();
            let branches = (1..4)
                .map(|i| Branch {
                    edge: edge(NAMES[order[i]]),
                    parent: edge(NAMES[order[if shape >> (1 + i) & 1 == 1 { 0 } else { i - 1 }]]),
                    backup: Some(edge(NAMES[order[0]])).filter(|_| i > 1),
                })
                .collect();
            RelayTree {
                root: edge(NAMES[root]),
                branches,
            }
        })
        .collect();
    RoomPlan {
        room: room(),
        epoch: Epoch(epoch),
        trees,
    }
}

proptest! {
    /// After the last change everybody knows everybody, and each wanted track arrives once over
    /// each link, and nothing else does.
    #[test]
    fn edges_agree_in_the_end(steps in steps()) {
        let mut world = World::new(&NAMES);
        let (mut epoch, mut version) = (1, 1);
        let mut there: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        let mut publishing: BTreeMap<(u8, u8), bool> = BTreeMap::new();
        let mut wants: BTreeSet<(u8, u8, u8)> = BTreeSet::new();
        // Participant and track `16 * edge + n` live at that edge.
        let id = |at: u8, n: u8| 16 * at + n + 1;
        world.plan(&any_plan(epoch, 0));
        for step in steps {
            world.now = world.now + Duration::from_millis(100);
            let now = world.now;
            match step {
                Step::Plan(shape) => {
                    epoch += 1;
                    world.plan(&any_plan(epoch, shape));
                }
                Step::Participant { at, n, publishes } => {
                    version += 1;
                    let name = NAMES[usize::from(at)];
                    world.at(name).local_participant(&room(), record(name, id(at, n), version, publishes));
                    there.insert((at, n), version);
                    publishing.insert((at, n), publishes);
                }
                Step::Depart { at, n } => {
                    version += 1;
                    let departure = Departure { participant: participant(id(at, n)), version, reason: LeaveReason::Left };
                    world.at(NAMES[usize::from(at)]).local_departure(&room(), &departure);
                    there.remove(&(at, n));
                    publishing.remove(&(at, n));
                }
                Step::Want { at, n } => {
                    let of = (at + 1 + n % 3) % 4;
                    world.at(NAMES[usize::from(at)]).want(now, &room(), &track(id(of, n)));
                    wants.insert((at, of, n));
                }
                Step::Unwant { at, n } => {
                    let of = (at + 1 + n % 3) % 4;
                    world.at(NAMES[usize::from(at)]).unwant(now, &room(), &track(id(of, n)));
                    wants.remove(&(at, of, n));
                }
                Step::Cut { a, b } => world.cut(NAMES[usize::from(a)], NAMES[usize::from(b)]),
                Step::Mend { a, b } => world.mend(NAMES[usize::from(a)], NAMES[usize::from(b)]),
                Step::Replace { a, b } => world.replace(NAMES[usize::from(a)], NAMES[usize::from(b)]),
                Step::Silent { a, b } => {
                    world.at(NAMES[usize::from(a)]).peer_silent(now, &edge(NAMES[usize::from(b)]));
                }
                Step::Flow => world.flow(),
                Step::Later => world.settle(),
            }
        }
        for (a, b) in world.cuts.clone() {
            world.mend(a.as_str(), b.as_str());
        }
        let now = world.now;
        for name in NAMES {
            for other in NAMES {
                world.at(name).peer_heard(now, &edge(other));
            }
        }
        world.settle();
        world.flow();
        for _ in 0..6 {
            world.wait(2);
            world.flow();
        }
        for (at, name) in (0u8..).zip(NAMES) {
            for (of, root) in (0u8..).zip(NAMES).filter(|&(of, _)| of != at) {
                let wanted: BTreeMap<_, _> = there.iter().filter(|((edge, _), _)| *edge == of)
                    .map(|(&(_, n), &version)| (participant(id(of, n)), version)).collect();
                let known = world.rosters.get(&(edge(name), edge(root))).cloned().unwrap_or_default();
                prop_assert_eq!(known, wanted, "{}'s roster of {}", name, root);
            }
        }
        for (at, of, n) in wants {
            let published = publishing.get(&(of, n)).copied().unwrap_or(false);
            let copies = world.copies(NAMES[usize::from(at)], &track(id(of, n)));
            prop_assert_eq!(copies, usize::from(published), "copies of {} at {}", id(of, n), at);
        }
        for ((to, from, relay), track) in &world.routes {
            prop_assert_eq!(world.sending.get(&(from.clone(), to.clone(), *relay)), Some(track));
        }
        prop_assert_eq!(world.routes.len(), world.sending.len());
        let mut arriving = BTreeSet::new();
        for ((to, _, _), track) in &world.routes {
            prop_assert!(arriving.insert((to.clone(), track.clone())), "two copies at {}", to);
        }
    }
}
