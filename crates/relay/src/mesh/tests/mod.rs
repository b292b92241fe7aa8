//! Several edges in one process, without a network: what their shells would do is done at once.

mod agreement;
mod backups;
mod rosters;
mod tracks;

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
        let now = self.now;
        for (to, from, relay) in flowing {
            self.at(to.as_str()).first_packet(now, &from, relay);
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
            self.pass(Duration::from_secs(1));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let now = self.now;
        for mesh in self.edges.values_mut() {
            mesh.handle_timeout(now);
        }
        self.settle();
    }
}
