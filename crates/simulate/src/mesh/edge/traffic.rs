//! The datagrams of this edge's connections.

use bytes::Bytes;
use sluice_relay::datagram::{Datagram, Kind};
use sluice_relay::share::RoomKey;
use sluice_types::ids::{EdgeId, RelayId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use super::EdgeHost;
use super::outlet::ForRelay;
use crate::mesh::event::{EdgeEvent, Event, HubEvent};
use crate::mesh::network::End;
use crate::mesh::scene::Scene;

/// The longest datagram, in bytes.
const DATAGRAM_BYTES: usize = 1_150;

impl EdgeHost {
    /// What a message that came means for this edge's datagrams.
    pub(super) fn note_message(&mut self, peer: &EdgeId, message: &BackboneMessage) {
        if let Some(link) = self.backbone.links.get_mut(peer) {
            link.note(message, true);
        }
    }

    /// Queues a packet, or a sender's clock, for a relay.
    pub(super) fn queue(&mut self, now: Time, peer: &EdgeId, relay: RelayId, queued: ForRelay) {
        let Some(link) = self.backbone.links.get_mut(peer) else {
            return;
        };
        let room = link
            .outgoing
            .get(&relay)
            .map_or(RoomKey(0), |(key, ..)| *key);
        match queued {
            ForRelay::Packet(kind, packet) => {
                link.core.push(now, room, relay, kind, packet);
            }
            ForRelay::Clock(clock) => {
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

    pub(super) fn set_timer(&mut self, scene: &mut Scene, peer: &EdgeId) {
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

    /// Tells the hub when the peer falls silent, and when it is heard again.
    fn listen(&mut self, scene: &mut Scene, peer: &EdgeId) {
        let Some(link) = self.backbone.links.get_mut(peer) else {
            return;
        };
        let silent = link.core.is_silent();
        if std::mem::replace(&mut link.silent, silent) != silent {
            let event = match silent {
                true => HubEvent::PeerSilent(peer.clone()),
                false => HubEvent::PeerHeard(peer.clone()),
            };
            self.wake_hub(scene, event);
        }
    }

    fn deliver_all(&mut self, scene: &mut Scene, peer: &EdgeId) {
        self.listen(scene, peer);
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
