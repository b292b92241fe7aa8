//! The edge's media: one worker's forwarder, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sluice_relay::datagram::read_clock;
use sluice_relay::mesh::Output;
use sluice_sfu::forward::{
    EncodingId, Forwarder, LinkId, Origin, OwnerId, PeerId, RoomId, SinkId, SourceId, Target,
    Track as Forwarded,
};
use sluice_sfu::rtcp::{NtpTime, SenderClock};
use sluice_types::ids::{EdgeId, MeetingId, RelayId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::room::TrackInfo;
use sluice_types::units::Time;

use super::EdgeHost;
use super::outlet::{ForRelay, Outlet};
use crate::mesh::Sabotage;
use crate::mesh::client::{self, Ask};
use crate::mesh::event::{EdgeEvent, Event, HubEvent, Stay, number_of};
use crate::mesh::scene::{ACCESS, Scene};

/// How often the forwarder's timers are looked at.
const TICK: Duration = Duration::from_millis(20);

struct Track {
    source: SourceId,
    /// Of a track that comes over a relay, its room; else who publishes it.
    from: From,
}

enum From {
    Relay(MeetingId),
    Client(Stay),
}

#[derive(Default)]
pub(super) struct Media {
    forwarder: Forwarder,
    outlet: Outlet,
    tracks: BTreeMap<TrackId, Track>,
    track_of: BTreeMap<SourceId, TrackId>,
    stays: BTreeMap<PeerId, Stay>,
    links: BTreeMap<LinkId, (EdgeId, RelayId)>,
    outgoing: BTreeMap<(EdgeId, RelayId), (SinkId, LinkId)>,
    next_link: u64,
}

impl Media {
    /// The room of a track that comes over a relay.
    pub(super) fn room_of(&self, track: &TrackId) -> Option<MeetingId> {
        match &self.tracks.get(track)?.from {
            From::Relay(room) => Some(room.clone()),
            From::Client(_) => None,
        }
    }

    pub(super) fn packets_of(&self, track: &TrackId) -> u64 {
        let track = self.tracks.get(track);
        let packets = track.and_then(|track| self.forwarder.source_packets(track.source));
        packets.map_or(0, |(packets, _)| packets)
    }

    pub(super) fn add_peer(&mut self, stay: Stay) -> PeerId {
        let peer = self.forwarder.add_peer(client::formats());
        self.stays.insert(peer, stay);
        peer
    }

    pub(super) fn remove_peer(&mut self, peer: PeerId) {
        self.forwarder.remove_peer(peer);
        self.stays.remove(&peer);
        self.forget_gone();
    }

    /// Takes in a track of a participant here.
    pub(super) fn publish(&mut self, stay: Stay, room: u64, track: &TrackInfo, origin: Origin) {
        self.add_track(room, stay.client as u64, track, origin, From::Client(stay));
    }

    fn add_track(&mut self, room: u64, owner: u64, info: &TrackInfo, origin: Origin, from: From) {
        self.remove_track(&info.track_id);
        let forwarded = Forwarded {
            room: RoomId(room),
            owner: OwnerId(owner),
            source: info.source,
        };
        let source = self.forwarder.add_source(forwarded, origin);
        self.track_of.insert(source, info.track_id.clone());
        let track = Track { source, from };
        self.tracks.insert(info.track_id.clone(), track);
    }

    pub(super) fn remove_track(&mut self, track: &TrackId) {
        if let Some(gone) = self.tracks.remove(track) {
            self.forwarder.remove_source(gone.source);
            self.track_of.remove(&gone.source);
            self.forget_gone();
        }
    }

    /// Sinks go with their track or their receiver.
    fn forget_gone(&mut self) {
        let forwarder = &self.forwarder;
        let there = |source: SourceId| forwarder.source_packets(source).is_some();
        self.tracks.retain(|_, track| there(track.source));
        self.track_of.retain(|&source, _| there(source));
        let links = &mut self.links;
        self.outgoing.retain(|_, (sink, link)| {
            let there = forwarder.has_sink(*sink);
            if !there {
                links.remove(link);
            }
            there
        });
    }

    pub(super) fn add_sink(
        &mut self,
        now: Time,
        peer: PeerId,
        track: &TrackId,
        ssrc: u32,
    ) -> Option<SinkId> {
        let source = self.tracks.get(track)?.source;
        let target = Target::Peer {
            peer,
            ssrc,
            retransmission_ssrc: None,
        };
        self.forwarder
            .add_sink(now, source, target, &mut self.outlet)
    }

    pub(super) fn remove_sink(&mut self, sink: SinkId) {
        self.forwarder.remove_sink(sink);
    }

    pub(super) fn set_wish(
        &mut self,
        now: Time,
        sink: SinkId,
        wish: Option<sluice_types::signal::Wish>,
    ) {
        self.forwarder.set_wish(now, sink, wish, &mut self.outlet);
    }

    fn stop_sending(&mut self, key: &(EdgeId, RelayId)) {
        if let Some((sink, link)) = self.outgoing.remove(key) {
            self.forwarder.remove_sink(sink);
            self.links.remove(&link);
        }
    }
}

impl EdgeHost {
    /// Carries what the mesh says of media.
    pub(super) fn carry_media(&mut self, scene: &mut Scene, output: Output) {
        let now = scene.now;
        match output {
            Output::OpenTrack { room, owner, track } => {
                let owner = number_of(owner.as_str());
                let number = number_of(room.as_str());
                let from = From::Relay(room);
                self.media
                    .add_track(number, owner, &track, Origin::Backbone, from);
            }
            Output::CloseTrack { track, .. } => self.media.remove_track(&track),
            Output::Route {
                peer, relay, track, ..
            } if self.media.tracks.contains_key(&track) => {
                self.backbone.route(&peer, relay, Some(track));
            }
            // Its track is gone already.
            Output::Route { .. } => {}
            Output::Unroute { peer, relay } => self.backbone.route(&peer, relay, None),
            Output::StartSending {
                peer,
                relay,
                track,
                layers,
                ..
            } => self.start_sending(now, peer, relay, &track, layers),
            Output::SetLayers {
                peer,
                relay,
                layers,
            } => {
                if let Some(&(sink, _)) = self.media.outgoing.get(&(peer, relay)) {
                    let outlet = &mut self.media.outlet;
                    self.media.forwarder.set_layers(now, sink, layers, outlet);
                }
            }
            Output::StopSending { peer, relay } => self.media.stop_sending(&(peer, relay)),
            Output::KeyFrameWanted {
                track, encoding, ..
            } => {
                if let Some(track) = self.media.tracks.get(&track) {
                    let (source, outlet) = (track.source, &mut self.media.outlet);
                    let encoding = EncodingId(encoding);
                    self.media
                        .forwarder
                        .request_key_frame(now, source, encoding, outlet);
                }
            }
            // The others are not of media.
            _ => {}
        }
        self.flush(scene);
    }

    fn start_sending(
        &mut self,
        now: Time,
        peer: EdgeId,
        relay: RelayId,
        track: &TrackId,
        layers: LayerSet,
    ) {
        let media = &mut self.media;
        let Some(source) = media.tracks.get(track).map(|track| track.source) else {
            return;
        };
        media.next_link += 1;
        let link = LinkId(media.next_link);
        media.links.insert(link, (peer.clone(), relay));
        let (target, outlet) = (Target::Link(link), &mut media.outlet);
        if let Some(sink) = media.forwarder.add_sink(now, source, target, outlet) {
            media.forwarder.set_layers(now, sink, layers, outlet);
            media.outgoing.insert((peer, relay), (sink, link));
        }
    }

    pub(super) fn forward_timeout(&mut self, scene: &mut Scene) {
        scene.edge_after(TICK, self.me, EdgeEvent::Forward);
        let media = &mut self.media;
        media.forwarder.handle_timeout(scene.now, &mut media.outlet);
        self.flush(scene);
    }

    /// A participant's packet came.
    pub(in crate::mesh) fn packet(&mut self, scene: &mut Scene, peer: PeerId, packet: &[u8]) {
        let media = &mut self.media;
        let outlet = &mut media.outlet;
        media
            .forwarder
            .handle_media(scene.now, peer, packet, outlet);
        self.flush(scene);
    }

    pub(super) fn relayed_packet(&mut self, scene: &mut Scene, track: &TrackId, packet: &Bytes) {
        let media = &mut self.media;
        if let Some(source) = media.tracks.get(track).map(|track| track.source) {
            let outlet = &mut media.outlet;
            let forwarder = &mut media.forwarder;
            forwarder.handle_relayed(scene.now, source, packet, outlet);
            self.flush(scene);
        }
    }

    pub(super) fn relayed_clock(&mut self, scene: &mut Scene, track: &TrackId, payload: &[u8]) {
        let media = &mut self.media;
        let source = media.tracks.get(track).map(|track| track.source);
        if let Some((source, (ntp, rtp, encoding))) = source.zip(read_clock(payload)) {
            let clock = SenderClock {
                ntp: NtpTime(ntp),
                rtp,
            };
            let (encoding, outlet) = (EncodingId(encoding), &mut media.outlet);
            let forwarder = &mut media.forwarder;
            forwarder.handle_clock(scene.now, source, encoding, clock, outlet);
            self.flush(scene);
        }
    }

    /// Carries what the forwarder said.
    pub(super) fn flush(&mut self, scene: &mut Scene) {
        let said = std::mem::take(&mut self.media.outlet);
        for packet in said.media {
            let Some(&stay) = self.media.stays.get(&packet.peer) else {
                continue;
            };
            let (ssrc, index) = (packet.ssrc, packet.index);
            scene.note(|| {
                let what = client::mark(&packet.payload);
                format!("{} gives {stay:?} {what:x?} as {index} of {ssrc}", self.id)
            });
            scene
                .watch
                .delivered(scene.now, stay, ssrc, index, &packet.payload);
            if scene.breaks(Sabotage::DeliverTwice) && scene.chance(1) {
                let index = index + 10_000;
                scene
                    .watch
                    .delivered(scene.now, stay, ssrc, index, &packet.payload);
            }
        }
        for (peer, ssrc) in said.key_frames {
            if let Some(&stay) = self.media.stays.get(&peer) {
                let ask = Ask::KeyFrame { stay, ssrc };
                scene.after(ACCESS, Event::Ask(stay.client, ask));
            }
        }
        let mut peers = BTreeSet::new();
        for (link, what) in said.relayed {
            if let Some((peer, relay)) = self.media.links.get(&link).cloned() {
                if let ForRelay::Packet(_, packet) = &what {
                    scene.watch.relayed(scene.now, self.me, link.0, packet);
                }
                self.queue(scene.now, &peer, relay, what);
                peers.insert(peer);
            }
        }
        for peer in peers {
            self.pump(scene, &peer);
        }
        for (source, encoding) in said.wanted_key_frames {
            if let Some(track) = self.media.track_of.get(&source).cloned() {
                self.wake_hub(scene, HubEvent::KeyFrameWanted(track, encoding.0));
            }
        }
        for (source, layers) in said.wanted_layers {
            let Some(track) = self.media.track_of.get(&source).cloned() else {
                continue;
            };
            match self.media.tracks.get(&track).map(|track| &track.from) {
                Some(From::Relay(_)) => {
                    self.wake_hub(scene, HubEvent::LayersWanted(track, layers));
                }
                Some(&From::Client(stay)) => {
                    let ask = Ask::Layers {
                        stay,
                        track,
                        layers,
                    };
                    scene.after(ACCESS, Event::Ask(stay.client, ask));
                }
                None => {}
            }
        }
    }
}
