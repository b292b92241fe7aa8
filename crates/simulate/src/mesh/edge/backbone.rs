//! The edge's connections to other edges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_relay::connection::Connection;
use sluice_relay::duplicate::{gives_up_dialling, replaces};
use sluice_relay::hop::{HopSettings, Measured};
use sluice_relay::joiner::Joiner;
use sluice_types::ids::{EdgeId, RelayId, TrackId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use super::EdgeHost;
use super::link::{Incoming, Link};
use crate::mesh::Sabotage;
use crate::mesh::event::{Carried, EdgeEvent, HubEvent, Running};
use crate::mesh::network::{ConnId, End};
use crate::mesh::scene::Scene;

/// How long to wait before the second attempt; doubled after each, up to the longest.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long an attempt lasts that nobody answers, and how often its first packet is sent again.
const ATTEMPT: Duration = Duration::from_secs(3);
const ATTEMPT_AGAIN: Duration = Duration::from_millis(300);

/// After how long a silence the other end counts as gone.
const IDLE: Duration = Duration::from_secs(3);

/// After how long without a datagram it counts as silent.
const SILENCE: Duration = Duration::from_millis(400);

struct Dialling {
    attempt: u64,
    /// Until when this attempt waits for an answer.
    until: Time,
    backoff: Duration,
    end: Option<End>,
}

#[derive(Default)]
pub(super) struct Backbone {
    /// The edges whose addresses are known.
    pub(super) directory: BTreeSet<EdgeId>,
    wanted: BTreeSet<EdgeId>,
    dialling: BTreeMap<EdgeId, Dialling>,
    pub(super) links: BTreeMap<EdgeId, Link>,
    attempts: u64,
}

impl Backbone {
    /// Whose connection an end is, while it is the one in use.
    pub(super) fn peer_at(&mut self, end: End) -> Option<EdgeId> {
        let mut links = self.links.iter();
        let (peer, _) = links.find(|(_, link)| link.end == end)?;
        Some(peer.clone())
    }

    pub(super) fn disconnect(&mut self, scene: &mut Scene, peer: &EdgeId) {
        self.wanted.remove(peer);
        self.stop_dialling(scene, peer);
    }

    fn stop_dialling(&mut self, scene: &mut Scene, peer: &EdgeId) {
        if let Some(end) = self.dialling.remove(peer).and_then(|dialling| dialling.end) {
            scene.close(end);
        }
    }

    pub(super) fn packets_over(&self, peer: &EdgeId, relay: RelayId) -> u64 {
        let incoming = self
            .links
            .get(peer)
            .and_then(|link| link.incoming.get(&relay));
        incoming.map_or(0, |incoming| incoming.packets)
    }

    /// What the connections measured.
    pub(super) fn measured(&self) -> impl Iterator<Item = (EdgeId, Measured)> {
        let links = self.links.iter();
        links.filter_map(|(peer, link)| Some((peer.clone(), link.core.measured()?)))
    }

    pub(super) fn route(&mut self, peer: &EdgeId, relay: RelayId, track: Option<TrackId>) {
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        match track {
            Some(track) => {
                let incoming = Incoming {
                    track,
                    joiner: Joiner::default(),
                    packets: 0,
                };
                link.incoming.insert(relay, incoming);
            }
            None => drop(link.incoming.remove(&relay)),
        }
    }
}

impl EdgeHost {
    pub(super) fn connect(&mut self, scene: &mut Scene, peer: EdgeId) {
        self.backbone.wanted.insert(peer.clone());
        self.start_dialling(scene, &peer, BACKOFF);
    }

    fn start_dialling(&mut self, scene: &mut Scene, peer: &EdgeId, backoff: Duration) {
        let backbone = &mut self.backbone;
        if backbone.links.contains_key(peer)
            || backbone.dialling.contains_key(peer)
            || *peer == self.id
        {
            return;
        }
        backbone.attempts += 1;
        let attempt = backbone.attempts;
        let dialling = Dialling {
            attempt,
            until: scene.now + ATTEMPT,
            backoff,
            end: None,
        };
        backbone.dialling.insert(peer.clone(), dialling);
        self.dial(scene, peer, attempt);
    }

    /// Tries to reach a peer, once more while the attempt lasts.
    pub(super) fn dial(&mut self, scene: &mut Scene, peer: &EdgeId, attempt: u64) {
        let Some(dialling) = self.backbone.dialling.get_mut(peer) else {
            return;
        };
        if dialling.attempt != attempt || dialling.end.is_some() {
            return;
        }
        let again = EdgeEvent::Dial {
            peer: peer.clone(),
            attempt,
        };
        let known = self.backbone.directory.contains(peer);
        let there = scene.by_id.get(peer).copied().filter(|_| known);
        let Some(there) = there else {
            let wait = dialling.backoff;
            dialling.backoff = (wait * 2).min(BACKOFF_MAX);
            return scene.edge_after(wait, self.me, again);
        };
        if scene.net.is_alive(there) && scene.net.reaches(self.me.host, there) {
            // Who dials has to wait for the other's hello, which answers its own.
            let delay = scene.net.delay(self.me.host, there);
            let conn = scene.net.open(scene.now, [self.me.host, there], IDLE);
            dialling.end = Some(End { conn, side: 0 });
            let run = scene.net.run_of(there);
            for (host, run, dialled, wait) in [
                (there, run, false, delay * 3),
                (self.me.host, self.me.run, true, delay * 4),
            ] {
                let ready = EdgeEvent::Ready { conn, dialled };
                scene.edge_after(wait, Running { host, run }, ready);
            }
        } else if scene.now < dialling.until {
            scene.edge_after(ATTEMPT_AGAIN, self.me, again);
        } else {
            let wait = dialling.backoff;
            dialling.backoff = (wait * 2).min(BACKOFF_MAX);
            dialling.until = scene.now + wait + ATTEMPT;
            scene.edge_after(wait, self.me, again);
        }
    }

    /// A connection is greeted: takes it in, unless there is one that stays.
    pub(super) fn take_in(&mut self, scene: &mut Scene, conn: ConnId, dialled: bool) {
        let end = End {
            conn,
            side: usize::from(!dialled),
        };
        let there = scene.net.host(end.other());
        let Some(peer) = there.map(|there| scene.edges[there].0.clone()) else {
            return self.dial_again(scene, conn);
        };
        if !scene.net.is_open(end) {
            return;
        }
        let reaches = there.is_some_and(|there| scene.net.reaches(self.me.host, there));
        if !scene.net.is_open(end.other()) || !reaches {
            // The hello did not come through.
            scene.close(end);
            return self.dial_again(scene, conn);
        }
        if gives_up_dialling(&self.id, &peer, dialled) {
            let own = self.backbone.dialling.get(&peer);
            if own.and_then(|own| own.end) == Some(end) {
                self.backbone.dialling.remove(&peer);
            } else {
                self.backbone.stop_dialling(scene, &peer);
            }
        }
        let mut event = HubEvent::PeerUp(peer.clone(), end);
        if let Some(before) = self.backbone.links.get(&peer) {
            if !replaces(&self.id, &peer, before.dialled, dialled) {
                return scene.close(end);
            }
            scene.close(before.end);
            event = HubEvent::PeerReplaced(peer.clone(), end);
        }
        scene.look_after(end);
        let hop = HopSettings {
            silence: Some(SILENCE),
            ..HopSettings::default()
        };
        let link = Link {
            end,
            dialled,
            core: Connection::new(hop, scene.now),
            silent: false,
            timer: Time::ZERO,
            incoming: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            rooms: 0,
        };
        self.backbone.links.insert(peer.clone(), link);
        self.set_timer(scene, &peer);
        self.wake_hub(scene, event);
    }

    /// An attempt of this edge's came to nothing.
    fn dial_again(&mut self, scene: &mut Scene, conn: ConnId) {
        let mut all = self.backbone.dialling.iter();
        let of = |dialling: &Dialling| dialling.end.is_some_and(|end| end.conn == conn);
        let found = all.find(|(_, dialling)| of(dialling));
        if let Some((peer, backoff)) = found.map(|(peer, of)| (peer.clone(), of.backoff)) {
            self.backbone.dialling.remove(&peer);
            self.start_dialling(scene, &peer, (backoff * 2).min(BACKOFF_MAX));
        }
    }

    /// A connection is over.
    pub(super) fn bury(&mut self, scene: &mut Scene, end: End) {
        if let Some(peer) = self.backbone.peer_at(end) {
            self.backbone.links.remove(&peer);
            scene.close(end);
            self.wake_hub(scene, HubEvent::PeerDown(peer.clone()));
            if self.backbone.wanted.contains(&peer) {
                self.start_dialling(scene, &peer, BACKOFF);
            }
        } else {
            self.dial_again(scene, end.conn);
        }
    }

    pub(super) fn send_to(&mut self, scene: &mut Scene, peer: &EdgeId, message: BackboneMessage) {
        let Some(end) = self.up.get(peer).copied() else {
            return;
        };
        let lost = match &message {
            BackboneMessage::Unsubscribe { .. } => scene.breaks(Sabotage::LoseUnsubscribes),
            BackboneMessage::Roster { complete, .. } => {
                !complete && scene.breaks(Sabotage::LoseRosterChanges)
            }
            BackboneMessage::Subscribe { .. } => {
                scene.breaks(Sabotage::LoseSubscriptions) && scene.chance(30)
            }
            _ => false,
        };
        if lost {
            return;
        }
        if let Some(link) = self
            .backbone
            .links
            .get_mut(peer)
            .filter(|link| link.end == end)
        {
            link.note(&message, false);
        }
        scene.send(end, Carried::Backbone(message));
    }
}
