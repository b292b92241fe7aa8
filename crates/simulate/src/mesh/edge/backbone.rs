//! The edge's connections to other edges, and the datagrams on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sluice_relay::connection::Connection;
use sluice_relay::datagram::{Datagram, Kind};
use sluice_relay::duplicate::{gives_up_dialling, replaces};
use sluice_relay::hop::{HopSettings, Measured};
use sluice_relay::joiner::Joiner;
use sluice_relay::share::RoomKey;
use sluice_types::ids::{EdgeId, MeetingId, RelayId, TrackId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use super::EdgeHost;
use crate::mesh::Sabotage;
use crate::mesh::event::{Carried, EdgeEvent, Event, HubEvent, Running};
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

/// The longest datagram, in bytes.
const DATAGRAM_BYTES: usize = 1_150;

struct Dialling {
    attempt: u64,
    /// Until when this attempt waits for an answer.
    until: Time,
    backoff: Duration,
    end: Option<End>,
}

struct Incoming {
    track: TrackId,
    joiner: Joiner,
    packets: u64,
}

/// A connection that is up.
struct Link {
    end: End,
    dialled: bool,
    core: Connection,
    /// When its timer is set for.
    timer: Time,
    incoming: BTreeMap<RelayId, Incoming>,
    /// Relays that go out: their rooms as small numbers, and their roots.
    outgoing: BTreeMap<RelayId, (RoomKey, MeetingId, EdgeId)>,
    rooms: u32,
}

impl Link {
    fn serve(&mut self, relay: RelayId, room: &MeetingId, root: &EdgeId) {
        let known = self.outgoing.values().find(|(_, of, _)| of == room);
        let key = known.map(|(key, ..)| *key).unwrap_or_else(|| {
            self.rooms += 1;
            RoomKey(self.rooms)
        });
        let entry = (key, room.clone(), root.clone());
        self.outgoing.entry(relay).or_insert(entry);
    }

    fn end_relay(&mut self, relay: RelayId) {
        self.core.forget_relay(relay);
        if let Some((key, ..)) = self.outgoing.remove(&relay)
            && !self.outgoing.values().any(|(of, ..)| *of == key)
        {
            self.core.forget_room(key);
        }
    }

    /// What a message means for what goes out: one that came, or one that is sent.
    fn note(&mut self, message: &BackboneMessage, came: bool) {
        match message {
            BackboneMessage::Subscribe {
                relay, room, root, ..
            } if came => self.serve(*relay, room, root),
            BackboneMessage::Unsubscribe { relay } if came => self.end_relay(*relay),
            BackboneMessage::RelayEnded { relay } if !came => self.end_relay(*relay),
            BackboneMessage::Leave { room, root } if came => {
                let of = |(_, entry): &(&RelayId, &(RoomKey, MeetingId, EdgeId))| {
                    entry.1 == *room && entry.2 == *root
                };
                let over: Vec<_> = self.outgoing.iter().filter(of).map(|(id, _)| *id).collect();
                for relay in over {
                    self.end_relay(relay);
                }
            }
            _ => {}
        }
    }
}

#[derive(Default)]
pub(super) struct Backbone {
    /// The edges whose addresses are known.
    pub(super) directory: BTreeSet<EdgeId>,
    wanted: BTreeSet<EdgeId>,
    dialling: BTreeMap<EdgeId, Dialling>,
    links: BTreeMap<EdgeId, Link>,
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
        let link = Link {
            end,
            dialled,
            core: Connection::new(HopSettings::default(), scene.now),
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

    /// What a message that came means for this edge's datagrams.
    pub(super) fn note_message(&mut self, peer: &EdgeId, message: &BackboneMessage) {
        if let Some(link) = self.backbone.links.get_mut(peer) {
            link.note(message, true);
        }
    }

    /// Queues a packet, or a sender's clock, for a relay.
    pub(super) fn queue(
        &mut self,
        now: Time,
        peer: &EdgeId,
        relay: RelayId,
        queued: super::media::ForRelay,
    ) {
        let Some(link) = self.backbone.links.get_mut(peer) else {
            return;
        };
        let room = link
            .outgoing
            .get(&relay)
            .map_or(RoomKey(0), |(key, ..)| *key);
        match queued {
            super::media::ForRelay::Packet(kind, packet) => {
                link.core.push(now, room, relay, kind, packet);
            }
            super::media::ForRelay::Clock(clock) => {
                link.core.push_clock(now, room, relay, clock);
            }
        }
    }

    /// Sends what a connection has to send, and sets its timer.
    pub(super) fn pump(&mut self, scene: &mut Scene, peer: &EdgeId) {
        let Some(link) = self.backbone.links.get_mut(peer) else {
            return;
        };
        while let Some(bytes) = link.core.poll_transmit(scene.now, DATAGRAM_BYTES, true) {
            if let Some(at) = scene.net.datagram(scene.now, &mut scene.dice, link.end) {
                let to = link.end.other();
                scene.agenda.add(at, Event::Datagram { to, bytes });
            }
        }
        while link.core.take_spare().is_some() {}
        self.set_timer(scene, peer);
    }

    fn set_timer(&mut self, scene: &mut Scene, peer: &EdgeId) {
        let Some(link) = self.backbone.links.get_mut(peer) else {
            return;
        };
        let due = link.core.timeout(scene.now).max(scene.now);
        let is_set = link.timer > scene.now && link.timer <= due;
        if !is_set {
            link.timer = due;
            let (peer, end) = (peer.clone(), link.end);
            let event = EdgeEvent::Traffic { peer, end };
            scene.agenda.add(due, Event::Edge(self.me, event));
        }
    }

    pub(super) fn traffic_timeout(&mut self, scene: &mut Scene, peer: &EdgeId, end: End) {
        let now = scene.now;
        let link = self.backbone.links.get_mut(peer);
        let Some(link) = link.filter(|link| link.end == end && link.timer <= now) else {
            return;
        };
        if link.core.timeout(now) <= now {
            link.core.on_timeout(now);
        }
        self.deliver_all(scene, peer);
        self.pump(scene, peer);
    }

    /// A datagram arrives.
    pub(in crate::mesh) fn datagram(&mut self, scene: &mut Scene, to: End, bytes: Bytes) {
        let Some(peer) = self.backbone.peer_at(to) else {
            return;
        };
        if let Some(link) = self.backbone.links.get_mut(&peer) {
            link.core.receive(scene.now, bytes);
        }
        self.deliver_all(scene, &peer);
        self.pump(scene, &peer);
        self.settle(scene);
    }

    fn deliver_all(&mut self, scene: &mut Scene, peer: &EdgeId) {
        while let Some(link) = self.backbone.links.get_mut(peer)
            && let Some(bytes) = link.core.poll_delivery()
        {
            let Ok(datagram) = Datagram::parse(bytes) else {
                continue;
            };
            let relay = datagram.relay;
            let Some(incoming) = link.incoming.get_mut(&relay) else {
                scene.watch.unrouted(scene.now, self.me, peer);
                continue;
            };
            let track = incoming.track.clone();
            if datagram.kind == Kind::Clock {
                self.relayed_clock(scene, &track, &datagram.payload);
                continue;
            }
            let Some(packet) = incoming.joiner.join(datagram) else {
                continue;
            };
            incoming.packets += 1;
            if incoming.packets == 1 {
                self.wake_hub(scene, HubEvent::FirstPacket(peer.clone(), relay));
            }
            self.relayed_packet(scene, &track, &packet);
        }
    }
}
