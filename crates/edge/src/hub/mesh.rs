//! Carrying what the mesh says, and telling it what happens.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sluice_relay::mesh::Output;
use sluice_sfu::forward::EncodingId;
use sluice_types::ids::TrackId;
use sluice_types::layers::LayerSet;
use sluice_types::room::DATA_BYTES_MAX;
use sluice_types::signal::{ErrorCode, ServerEvent, TrackState};

use super::{Hub, Incoming};
use crate::backbone::{BackboneEvent, Route};
use crate::media::{MediaEvent, TrackKey};

impl Hub {
    pub(super) fn take_backbone(&mut self, event: BackboneEvent) {
        let now = self.now();
        match event {
            BackboneEvent::PeerUp { peer, link } => {
                self.mesh.peer_up(&peer);
                self.backbone.adopt(peer, link);
            }
            BackboneEvent::PeerReplaced { peer, link } => {
                self.mesh.peer_replaced(now, &peer);
                self.backbone.adopt(peer, link);
            }
            BackboneEvent::PeerSilent { peer } => self.mesh.peer_silent(now, &peer),
            BackboneEvent::PeerHeard { peer } => self.mesh.peer_heard(now, &peer),
            BackboneEvent::PeerDown { peer } => {
                self.mesh.peer_down(now, &peer);
                self.backbone.forget(&peer);
            }
            BackboneEvent::Message { peer, message } => {
                self.mesh.handle_message(now, &peer, message);
            }
            BackboneEvent::FirstPacket { peer, relay } => {
                self.mesh.first_packet(now, &peer, relay);
            }
        }
    }

    pub(super) fn take_media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Connected {
                room,
                participant,
                after,
                path_after,
            } => self.media_connected(&room, &participant, after.saturating_sub(path_after)),
            MediaEvent::Restored { .. } => {}
            MediaEvent::Quality {
                room,
                participant,
                report,
            } => self.take_edge_report(&room, &participant, *report),
            MediaEvent::Lost { room, participant } => self.media_lost(&room, &participant),
            MediaEvent::FirstPacket { track } => {
                if let Some((room, participant, since)) = self.published.get(&track).cloned() {
                    metrics::histogram!("sluice_edge_first_media_seconds").record(since.elapsed());
                    self.first_media(&room, &participant);
                }
            }
            MediaEvent::KeyFrameWanted { track, encoding } => {
                if let Some((room, ..)) = self.tracks.get(&track) {
                    self.mesh.request_key_frame(room, &track, encoding.0);
                }
            }
            MediaEvent::Data {
                room,
                participant,
                reliable,
                bytes,
            } => self.take_data(&room, &participant, reliable, &bytes),
            MediaEvent::DataRefused { room, participant } => {
                let why = format!(
                    "a data message was dropped: at most {DATA_BYTES_MAX} bytes each, 100 messages \
                     and 256 KiB a second"
                );
                self.refuse_data(&room, &participant, ErrorCode::TooMuch, why);
            }
            MediaEvent::LayersWanted { track, layers } => {
                self.want_layers(&track, layers);
            }
            MediaEvent::Paused {
                room,
                participant,
                track,
                paused,
            } => {
                let state = if paused {
                    TrackState::PausedByBandwidth
                } else {
                    TrackState::Active
                };
                let event = ServerEvent::TrackState {
                    track_id: track,
                    state,
                };
                self.tell_passing(&room, &participant, event);
            }
            MediaEvent::Speakers {
                worker,
                room,
                tracks,
            } => {
                if self.media.is_home(&room, worker)
                    && let Some(state) = self.rooms.get_mut(&room)
                {
                    state.room.set_speakers(&tracks);
                    self.touched.insert(room);
                }
            }
        }
    }

    /// Layers of a track are wanted, or no longer: its publisher, or the edge that it comes from,
    /// should know.
    fn want_layers(&mut self, track: &TrackId, layers: LayerSet) {
        if let Some((room, ..)) = self.tracks.get(track) {
            self.mesh.set_layers(room, track, layers);
            return;
        }
        let Some((room, participant, _)) = self.published.get(track).cloned() else {
            return;
        };
        let told = self
            .member(&room, &participant)
            .and_then(|member| member.session.encodings(track, layers));
        if let Some((mid, encodings)) = told {
            let event = ServerEvent::Encodings { mid, encodings };
            self.tell_passing(&room, &participant, event);
        }
    }

    pub(super) fn carry_mesh(&mut self, output: Output) {
        match output {
            Output::Connect { peer } => self.backbone.connect(peer),
            Output::Disconnect { peer } => self.backbone.disconnect(peer),
            Output::Send { peer, message } => self.backbone.send(&peer, message),
            Output::RosterChanged {
                room,
                root,
                path,
                upserts,
                left,
            } => {
                let now = self.now();
                let state = self.room(&room);
                state.room.roster_changed(now, &root, path, upserts, left);
                self.touched.insert(room);
            }
            Output::OpenTrack { room, owner, track } => {
                let inlet = self.media.receive_relay(&room, &owner, &track);
                self.tracks
                    .insert(track.track_id, (room, track.kind, inlet));
            }
            Output::CloseTrack { track, .. } => {
                self.tracks.remove(&track);
                self.media.drop_relay(&track);
            }
            Output::Route {
                peer,
                relay,
                room,
                root,
                track,
            } => {
                let Some((_, kind, inlet)) = self.tracks.get(&track) else {
                    return;
                };
                let packets = Arc::<AtomicU64>::default();
                let route = Route {
                    track: TrackKey::of(&track),
                    inlet: inlet.clone(),
                    packets: packets.clone(),
                };
                self.backbone.route(&peer, relay, route);
                let incoming = Incoming {
                    room,
                    root,
                    track,
                    kind: *kind,
                    packets,
                };
                self.incoming.insert((peer, relay), incoming);
            }
            Output::Unroute { peer, relay } => {
                self.backbone.unroute(&peer, relay);
                self.incoming.remove(&(peer, relay));
            }
            Output::StartSending {
                peer,
                relay,
                room,
                track,
                layers,
            } => {
                if let Some(outlet) = self.backbone.outlet(&peer) {
                    let sink =
                        self.media
                            .send_relay(&room, &track, relay, layers, Box::new(outlet));
                    self.outgoing.insert((peer, relay), sink);
                }
            }
            Output::SetLayers {
                peer,
                relay,
                layers,
            } => {
                if let Some(sink) = self.outgoing.get(&(peer, relay)) {
                    self.media.set_layers(sink, layers);
                }
            }
            Output::Data { room, message } => self.deliver_data(&room, &message),
            Output::StopSending { peer, relay } => {
                if let Some(sink) = self.outgoing.remove(&(peer, relay)) {
                    self.media.stop_relay(&sink);
                }
            }
            Output::KeyFrameWanted {
                room,
                track,
                encoding,
            } => {
                self.media
                    .request_key_frame(&room, &track, EncodingId(encoding));
            }
            Output::RemoveLocal { room, participant } => {
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.room.remove_local(&participant);
                    self.touched.insert(room);
                }
            }
        }
    }
}
