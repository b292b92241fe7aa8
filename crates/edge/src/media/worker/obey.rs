//! Carrying out commands.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use sluice_sfu::forward::{LinkId, Origin, OwnerId, RoomId, Target, Track as Forwarded};
use sluice_types::signal::Wish;

use super::command::{Command, TrackOrigin, TrackTarget};
use super::outbox::Link;
use super::peer::{Connection, Path, Peer};
use super::table::{SinkEntry, Track};
use super::{COMMANDS_PER_TURN, Worker};
use crate::media::keys::{PeerKey, SinkKey, TrackKey};
use sluice_wire::dtls::Dtls;

impl Worker {
    /// Carries out waiting commands, and says whether there may be more.
    pub(super) fn obey(&mut self) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.pop() {
                Some(command) => self.carry_out(command),
                None => return false,
            }
        }
        true
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::AddPeer {
                peer,
                room,
                participant,
                ice,
                fingerprint,
                formats,
            } => {
                let now = self.now();
                let forward = self.forwarder.add_peer(formats);
                self.table.insert(Peer {
                    key: peer,
                    forward,
                    room,
                    participant,
                    ice,
                    before_restart: None,
                    dtls: Dtls::accept(self.identity.clone(), fingerprint),
                    handshake_datagrams: 0,
                    srtp: None,
                    data: None,
                    path: None,
                    nominated: false,
                    paths: Vec::new(),
                    since: Instant::now(),
                    path_after: None,
                    consent: now,
                    lost: false,
                    measured: now,
                    measure_at: None,
                });
            }
            Command::RestartIce { peer, ice } => {
                self.table.learn_ufrag(peer, ice.local.ufrag.clone());
                if let Some(peer) = self.table.by_key(peer) {
                    peer.before_restart = Some(std::mem::replace(&mut peer.ice, ice));
                }
            }
            Command::SetFormats { peer, formats } => {
                if let Some(peer) = self.table.by_key(peer) {
                    self.forwarder.set_formats(peer.forward, formats);
                }
            }
            Command::RemovePeer { peer } => self.remove_peer(peer),
            Command::AddTrack {
                room,
                owner,
                track,
                origin,
            } => {
                let across = match &origin {
                    TrackOrigin::Worker { from, sink } => Some((from.clone(), *sink)),
                    _ => None,
                };
                let Some(origin) = self.origin(origin) else {
                    return;
                };
                let key = TrackKey::of(&track.track_id);
                self.remove_track(key);
                let forwarded = Forwarded {
                    room: RoomId(hash_of(&room)),
                    owner: OwnerId(hash_of(&owner)),
                    source: track.source,
                };
                let source = self.forwarder.add_source(forwarded, origin);
                self.table.rooms.insert(forwarded.room, room);
                self.table.track_of.insert(source, key);
                let id = track.track_id;
                self.table.tracks.insert(key, Track { id, source, across });
            }
            Command::RemoveTrack { track } => self.remove_track(track),
            Command::AddSink {
                sink,
                track,
                target,
                wish,
            } => self.add_sink(sink, track, target, wish),
            Command::SetWish { sink, wish } => {
                if let Some(sink) = self.table.sinks.get(&sink).map(|entry| entry.sink) {
                    let now = self.now();
                    let (forwarder, mut outbox) = self.forward();
                    forwarder.set_wish(now, sink, wish, &mut outbox);
                }
            }
            Command::SetLayers { sink, layers } => {
                if let Some(sink) = self.table.sinks.get(&sink).map(|entry| entry.sink) {
                    let now = self.now();
                    let (forwarder, mut outbox) = self.forward();
                    forwarder.set_layers(now, sink, layers, &mut outbox);
                }
            }
            Command::RemoveSink { sink } => self.remove_sink(sink),
            Command::RequestKeyFrame { track, encoding } => {
                if let Some(source) = self.table.tracks.get(&track).map(|track| track.source) {
                    let now = self.now();
                    let (forwarder, mut outbox) = self.forward();
                    forwarder.request_key_frame(now, source, encoding, &mut outbox);
                }
            }
            Command::Connected {
                connection,
                from,
                outgoing,
            } => {
                self.table
                    .connections
                    .insert(connection, Connection { from, outgoing });
            }
            Command::Arrived {
                connection,
                mut packet,
            } => self.handle_packet(Path::Tcp(connection), &mut packet),
            Command::Disconnected { connection } => {
                self.table.connections.remove(&connection);
            }
            Command::SendData {
                peer,
                reliable,
                bytes,
            } => self.send_data(peer, reliable, &bytes),
            Command::Stop => self.stopping = true,
        }
    }

    fn origin(&mut self, origin: TrackOrigin) -> Option<Origin> {
        Some(match origin {
            TrackOrigin::Peer {
                peer,
                encodings,
                mid,
                repairs,
            } => Origin::Peer {
                peer: self.table.by_key(peer)?.forward,
                encodings,
                mid: mid.into_bytes().into(),
                repairs,
            },
            TrackOrigin::Backbone | TrackOrigin::Worker { .. } => Origin::Backbone,
        })
    }

    fn add_sink(&mut self, key: SinkKey, track: TrackKey, target: TrackTarget, wish: Option<Wish>) {
        let Some(source) = self.table.tracks.get(&track).map(|track| track.source) else {
            return;
        };
        let (target, link, receiver) = match target {
            TrackTarget::Peer {
                peer,
                ssrc,
                retransmission_ssrc,
            } => {
                let Some(peer) = self.table.by_key(peer) else {
                    return;
                };
                let target = Target::Peer {
                    peer: peer.forward,
                    ssrc,
                    retransmission_ssrc,
                };
                (target, None, Some(peer.key))
            }
            TrackTarget::Relay { relay, outlet } => {
                self.next_link += 1;
                let link = LinkId(self.next_link);
                let queued = false;
                self.table.links.insert(
                    link,
                    Link {
                        relay,
                        outlet,
                        queued,
                    },
                );
                (Target::Link(link), Some(link), None)
            }
        };
        let now = self.now();
        let (forwarder, mut outbox) = self.forward();
        if let Some(sink) = forwarder.add_sink(now, source, target, &mut outbox) {
            if wish.is_some() {
                forwarder.set_wish(now, sink, wish, &mut outbox);
            }
            let entry = SinkEntry {
                sink,
                link,
                track,
                receiver,
            };
            self.table.sink_of.insert(sink, key);
            self.table.sinks.insert(key, entry);
        }
    }

    fn remove_sink(&mut self, key: SinkKey) {
        if let Some(entry) = self.table.sinks.remove(&key) {
            self.forwarder.remove_sink(entry.sink);
            self.table.sink_of.remove(&entry.sink);
            if let Some(link) = entry.link {
                self.table.links.remove(&link);
            }
        }
    }

    fn remove_track(&mut self, key: TrackKey) {
        if let Some(track) = self.table.tracks.remove(&key) {
            self.table.track_of.remove(&track.source);
            self.forwarder.remove_source(track.source);
            self.forget_gone_sinks();
        }
    }

    pub(super) fn remove_peer(&mut self, key: PeerKey) {
        let Some(mut peer) = self.table.remove(key) else {
            return;
        };
        peer.dtls.close(Instant::now());
        self.send_dtls(&mut peer);
        self.forwarder.remove_peer(peer.forward);
        let forwarder = &self.forwarder;
        self.table
            .track_of
            .retain(|&source, _| forwarder.source_packets(source).is_some());
        self.table
            .tracks
            .retain(|_, track| forwarder.source_packets(track.source).is_some());
        self.forget_gone_sinks();
    }

    /// Sinks go with their track or their receiver; their names go here.
    fn forget_gone_sinks(&mut self) {
        let (forwarder, links) = (&self.forwarder, &mut self.table.links);
        let sink_of = &mut self.table.sink_of;
        self.table.sinks.retain(|key, entry| {
            let there = forwarder.has_sink(entry.sink);
            if !there && sink_of.get(&entry.sink) == Some(key) {
                sink_of.remove(&entry.sink);
            }
            if let (false, Some(link)) = (there, entry.link) {
                links.remove(&link);
            }
            there
        });
    }

    pub(super) fn say_goodbye(&mut self) {
        let keys: Vec<_> = self.table.peers().map(|(_, peer)| peer.key).collect();
        for key in keys {
            self.remove_peer(key);
        }
        self.sender.flush(&self.socket);
    }
}

/// A small name for an id, the same at every worker.
fn hash_of(id: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
