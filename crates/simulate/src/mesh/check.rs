//! What must hold: after every step, and when everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::ids::{EdgeId, MeetingId};

use super::Simulation;
use super::client::{At, Client, Seen};
use super::event::Running;
use crate::Invariant;

/// How long ago the last packet of a track that is sent may have come.
const FRESH: Duration = Duration::from_millis(1_200);

impl Simulation {
    /// What must hold after every step.
    pub(super) fn check(&mut self) {
        if !std::mem::take(&mut self.scene.watch.changed) {
            return;
        }
        if let Some(what) = self.find_loop() {
            let now = self.scene.now;
            self.scene.watch.breaks(Invariant::NoLoops, now, what);
        }
    }

    /// A circle of edges each of which feeds the next with a root's roster.
    fn find_loop(&self) -> Option<String> {
        let mut follows: BTreeMap<(&MeetingId, &EdgeId), BTreeMap<&EdgeId, &EdgeId>> =
            BTreeMap::new();
        for (host, edge) in self.edges.iter().enumerate() {
            if !self.scene.net.is_alive(host) {
                continue;
            }
            for (room, root, parent, complete) in edge.mesh.parents() {
                if complete {
                    let tree = follows.entry((room, root)).or_default();
                    tree.insert(&edge.id, parent);
                }
            }
        }
        for ((room, root), tree) in follows {
            for start in tree.keys() {
                let mut at = *start;
                for _ in 0..=tree.len() {
                    match tree.get(at) {
                        Some(parent) => at = parent,
                        None => break,
                    }
                    if at == *start {
                        return Some(format!(
                            "the tree of {root} in {room} leads from {at} to {at}"
                        ));
                    }
                }
            }
        }
        None
    }

    fn is_inside(&self, client: &Client) -> Option<Running> {
        client.inside().filter(|&edge| self.is_running(edge))
    }

    /// What is not as it should be once everything has settled.
    pub(super) fn unsettled(&self) -> Option<(Invariant, String)> {
        self.clients
            .iter()
            .find_map(|client| self.unsettled_client(client))
            .or_else(|| self.idle_relay())
    }

    fn unsettled_client(&self, client: &Client) -> Option<(Invariant, String)> {
        let id = &client.participant;
        let is_over = self.store.is_ended(&client.room);
        if client.at == At::Gone || is_over && client.at == At::Outside {
            return None;
        }
        let served = Invariant::EverybodyServed;
        if is_over {
            return Some((served, format!("{id} is still in a meeting that was ended")));
        }
        let Some(edge) = self.is_inside(client) else {
            let full = self.is_full();
            return (!full).then(|| (served, format!("{id} found no edge")));
        };
        if !client.has_socket {
            return Some((served, format!("{id} has no socket")));
        }
        let reached = self.reached(edge);
        let mut expected = BTreeMap::new();
        for other in &self.clients {
            let Some(there) = self.is_inside(other) else {
                continue;
            };
            if other.room != client.room
                || other.participant == *id
                || !reached.contains(&self.scene.edges[there.host].1)
            {
                continue;
            }
            let tracks = other.tracks.iter().map(|track| track.info.track_id.clone());
            let seen = Seen {
                tracks: tracks.collect(),
                presence: other.presence,
            };
            expected.insert(other.participant.clone(), seen);
            for track in &other.tracks {
                if !other.sends(track) || !client.wants(&track.info.track_id) {
                    continue;
                }
                let last = self.scene.watch.last(client.stay, track.number);
                if last.is_none_or(|last| self.scene.now.since(last) > FRESH) {
                    let from = &self.scene.edges[there.host].0;
                    let to = &self.scene.edges[edge.host].0;
                    let what = format!(
                        "{id} at {to} last got {} of {} at {from} {}",
                        track.info.track_id,
                        other.participant,
                        last.map_or("never".to_owned(), |at| format!("at {} ms", at.as_millis()))
                    );
                    return Some((served, what));
                }
            }
        }
        if client.view != expected {
            let what = format!(
                "{id} at {} sees {:?} instead of {expected:?}",
                self.scene.edges[edge.host].0, client.view
            );
            return Some((Invariant::RostersConverge, what));
        }
        None
    }

    /// Whether no edge has room for one more.
    fn is_full(&self) -> bool {
        let seats = self.edges.iter().enumerate();
        let seats = seats.filter(|(host, _)| self.scene.net.is_alive(*host));
        let capacity: u32 = seats.map(|(_, edge)| edge.capacity).sum();
        let inside = self
            .clients
            .iter()
            .filter(|client| client.inside().is_some());
        inside.count() >= capacity as usize
    }

    /// The regions that are reached from an edge's over links between regions that have edges.
    fn reached(&self, from: Running) -> BTreeSet<sluice_types::ids::RegionName> {
        let edges = self.scene.edges.iter().enumerate();
        let up = edges.filter(|(host, _)| self.scene.net.is_alive(*host));
        let up: BTreeSet<_> = up.map(|(_, (_, region))| region).collect();
        let mut reached = BTreeSet::from([self.scene.edges[from.host].1.clone()]);
        let mut ahead: Vec<_> = reached.iter().cloned().collect();
        while let Some(at) = ahead.pop() {
            for (next, _) in self.topology.neighbours(&at) {
                if up.contains(next) && reached.insert(next.clone()) {
                    ahead.push(next.clone());
                }
            }
        }
        reached
    }

    /// A relay that flows although nobody wants it, or of which only one end knows.
    fn idle_relay(&self) -> Option<(Invariant, String)> {
        let idle = Invariant::NoIdleRelays;
        for (host, edge) in self.edges.iter().enumerate() {
            if !self.scene.net.is_alive(host) {
                continue;
            }
            for (peer, relay, room, root, track) in edge.mesh.receiving() {
                let here = self.clients.iter().any(|client| {
                    let at = client.inside().is_some_and(|at| at.host == host);
                    let wish = client.wishes.get(track);
                    at && client.room == *room && wish.is_none_or(|wish| wish.subscribed)
                });
                let mut below = edge.mesh.sending();
                if !here && !below.any(|(_, _, _, _, sent)| sent == track) {
                    let what = format!("{} gets {track} of {root} from {peer} for nobody", edge.id);
                    return Some((idle, what));
                }
                let parent = self.scene.by_id.get(peer).map(|&host| &self.edges[host]);
                let sends = parent.is_some_and(|parent| {
                    let mut sent = parent.mesh.sending();
                    sent.any(|(to, of, ..)| *to == edge.id && of == relay)
                });
                if !sends {
                    let what = format!("{peer} does not send relay {relay} to {}", edge.id);
                    return Some((idle, what));
                }
            }
            for (child, relay, _, root, track) in edge.mesh.sending() {
                let child_edge = self.scene.by_id.get(child).map(|&host| &self.edges[host]);
                let receives = child_edge.is_some_and(|child| {
                    let mut received = child.mesh.receiving();
                    received.any(|(from, of, ..)| *from == edge.id && of == relay)
                });
                if !receives {
                    let what = format!(
                        "{} sends {track} of {root} as relay {relay} to {child}, which does not know it",
                        edge.id
                    );
                    return Some((idle, what));
                }
            }
        }
        let (at, edge, peer) = self.scene.watch.last_unrouted()?;
        let lately = self.scene.now.since(*at) < FRESH;
        lately.then(|| {
            let what = format!("edge {} gets packets from {peer} of no relay", edge.host);
            (idle, what)
        })
    }
}
