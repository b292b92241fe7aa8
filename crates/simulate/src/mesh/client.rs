//! Participants: what they publish, what they see, and what they want.

use std::collections::{BTreeMap, BTreeSet};

use sluice_sfu::codec::{Codec, PayloadTypes};
use sluice_sfu::forward::{AnnouncedEncoding, Formats, Origin, PeerId};
use sluice_sfu::layer::Counters;
use sluice_sfu::rtp::{ExtensionBlock, ExtensionIds, Outgoing};
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::room::{Presence, TrackInfo, TrackSource};
use sluice_types::signal::{ParticipantView, ServerEvent, ServerMessage, Wish};
use sluice_types::topology::Position;
use sluice_types::units::Time;

use super::event::{Running, Stay, participant, track};
use super::network::HostIx;

const OPUS: u8 = 111;
const VP8: u8 = 96;

/// Encodings of a camera.
const ENCODINGS: u8 = 2;

/// How clients number formats.
pub(super) fn formats() -> Formats {
    let mut payload_types = PayloadTypes::default();
    payload_types.set(Codec::Opus, OPUS, None);
    payload_types.set(Codec::Vp8, VP8, None);
    Formats {
        payload_types,
        extensions: ExtensionIds::NONE,
    }
}

/// What happens to a client, or what it does next.
#[derive(Debug)]
pub(super) enum Ask {
    /// Asks the coordinator for an edge.
    Join,
    /// The coordinator names one, or none.
    Seated(Option<HostIx>),
    /// Its hello reaches the edge.
    Hello(Stay, Running),
    /// Its packets are due.
    Send(Stay),
    /// It does something that people do.
    Act,
    /// It notices that its edge is gone.
    EdgeGone(Stay),
    /// Its socket is back.
    Back(Stay),
    /// Its session cannot be resumed.
    Expired(Stay),
    /// A receiver needs a key frame.
    KeyFrame { stay: Stay, ssrc: u32 },
    /// These layers of a track are wanted.
    Layers {
        stay: Stay,
        track: TrackId,
        layers: LayerSet,
    },
}

/// What a client tells an edge of itself.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) room: MeetingId,
    pub(super) participant: ParticipantId,
    pub(super) tracks: Vec<Published>,
}

/// A track that a client publishes.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) info: TrackInfo,
    /// In packets, the track's name.
    pub(super) number: u32,
    encoders: Vec<Encoder>,
}

#[derive(Debug, Clone)]
struct Encoder {
    ssrc: u32,
    sequence: u32,
    active: bool,
    key_wanted: bool,
}

impl Published {
    fn new(number: u32, source: TrackSource) -> Self {
        let count = match source {
            TrackSource::Microphone | TrackSource::ScreenAudio => 1,
            TrackSource::Camera | TrackSource::Screen => ENCODINGS,
        };
        let encoders = (0..count).map(|place| Encoder {
            ssrc: number * 8 + u32::from(place) + 2,
            sequence: 0,
            active: true,
            key_wanted: true,
        });
        Self {
            info: TrackInfo {
                track_id: track(number),
                kind: source.kind(),
                source,
            },
            number,
            encoders: encoders.collect(),
        }
    }

    pub(super) fn origin(&self, peer: PeerId) -> Origin {
        let encodings = self.encoders.iter().map(|encoder| AnnouncedEncoding {
            rid: None,
            ssrc: Some(encoder.ssrc),
            retransmission_ssrc: None,
        });
        Origin::Peer {
            peer,
            encodings: encodings.collect(),
            mid: self.info.track_id.as_str().as_bytes().into(),
            repairs: false,
        }
    }

    /// The packets of this moment.
    fn packets(&mut self, now: Time, into: &mut Vec<Vec<u8>>) {
        let is_video = self.info.source.kind() == sluice_types::room::MediaKind::Video;
        let (payload_type, ticks) = if is_video { (VP8, 90) } else { (OPUS, 48) };
        for (place, encoder) in (0u32..).zip(&mut self.encoders) {
            if !encoder.active {
                continue;
            }
            encoder.sequence += 1;
            let mut payload = Vec::with_capacity(24);
            if is_video {
                let inter = u8::from(!std::mem::take(&mut encoder.key_wanted));
                payload.extend([0x10, inter, 0, 0]);
                if inter == 0 {
                    let height = if place == 0 { 180u16 } else { 720 };
                    payload.extend([0x9d, 0x01, 0x2a]);
                    payload.extend((height / 9 * 16).to_le_bytes());
                    payload.extend(height.to_le_bytes());
                }
            }
            payload.extend(self.number.to_be_bytes());
            payload.extend((place << 24 | encoder.sequence).to_be_bytes());
            let outgoing = Outgoing {
                marker: true,
                payload_type,
                index: u64::from(encoder.sequence),
                timestamp: (now.as_millis() * ticks) as u32,
                ssrc: encoder.ssrc,
                extensions: &ExtensionBlock::default(),
                original_sequence: None,
                payload: &payload,
                counters: Counters::default(),
                padding: 0,
            };
            let mut buffer = [0; 512];
            if let Some((_, length)) = outgoing.write(&mut buffer) {
                into.push(buffer[..length].to_vec());
            }
        }
    }
}

/// The name of a packet: its track, and a number that no other packet of the track has.
pub(super) fn mark(payload: &[u8]) -> Option<(u32, u32)> {
    let (rest, number) = payload.split_last_chunk::<4>()?;
    let (_, track) = rest.split_last_chunk::<4>()?;
    Some((u32::from_be_bytes(*track), u32::from_be_bytes(*number)))
}

/// Where a client is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Nowhere, and asks for an edge.
    Outside,
    /// It said hello.
    Entering(Running),
    /// In the meeting.
    Inside(Running),
    /// Left for good, or its meeting was ended.
    Gone,
}

/// Somebody else, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) tracks: BTreeSet<TrackId>,
    pub(super) presence: Presence,
}

impl Seen {
    fn of(view: &ParticipantView) -> Self {
        let tracks = view.tracks.iter().map(|track| track.track_id.clone());
        Self {
            tracks: tracks.collect(),
            presence: view.presence,
        }
    }
}

pub(super) struct Client {
    pub(super) stay: Stay,
    pub(super) room: MeetingId,
    pub(super) participant: ParticipantId,
    pub(super) position: Position,
    pub(super) at: At,
    pub(super) has_socket: bool,
    pub(super) last_seq: u64,
    pub(super) tracks: Vec<Published>,
    pub(super) presence: Presence,
    pub(super) wishes: BTreeMap<TrackId, Wish>,
    pub(super) view: BTreeMap<ParticipantId, Seen>,
    /// Where the others are, and since when.
    stays: BTreeMap<ParticipantId, (EdgeId, u64)>,
    pub(super) messages: u64,
    next_track: u32,
}

impl Client {
    pub(super) fn new(client: usize, room: MeetingId, position: Position) -> Self {
        Self {
            stay: Stay { client, number: 0 },
            room,
            participant: participant(client as u64),
            position,
            at: At::Outside,
            has_socket: false,
            last_seq: 0,
            tracks: Vec::new(),
            presence: Presence::default(),
            wishes: BTreeMap::new(),
            view: BTreeMap::new(),
            stays: BTreeMap::new(),
            messages: 0,
            next_track: client as u32 * 10_000,
        }
    }

    /// Begins a new stay, under a new name or under its own again.
    pub(super) fn begin(&mut self, edge: Running, renamed: bool) {
        self.stay.number += 1;
        if renamed {
            let number = self.stay.client as u64 + u64::from(self.stay.number) * 1_000;
            self.participant = participant(number);
        }
        let sources: Vec<_> = self.tracks.iter().map(|track| track.info.source).collect();
        self.tracks.clear();
        for source in sources {
            self.publish(source);
        }
        self.at = At::Entering(edge);
        self.has_socket = true;
        self.last_seq = 0;
        self.presence = Presence::default();
        self.wishes.clear();
        self.view.clear();
        self.stays.clear();
    }

    pub(super) fn publish(&mut self, source: TrackSource) {
        self.next_track += 1;
        self.tracks.push(Published::new(self.next_track, source));
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            room: self.room.clone(),
            participant: self.participant.clone(),
            tracks: self.tracks.clone(),
        }
    }

    pub(super) fn inside(&self) -> Option<Running> {
        match self.at {
            At::Inside(edge) => Some(edge),
            _ => None,
        }
    }

    /// Whether a track of its own is sent now.
    pub(super) fn sends(&self, track: &Published) -> bool {
        match track.info.source {
            TrackSource::Camera => !self.presence.video_muted,
            _ => !self.presence.audio_muted,
        }
    }

    pub(super) fn packets(&mut self, now: Time) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let presence = self.presence;
        for track in &mut self.tracks {
            let muted = match track.info.source {
                TrackSource::Camera => presence.video_muted,
                _ => presence.audio_muted,
            };
            if !muted {
                track.packets(now, &mut packets);
            }
        }
        packets
    }

    pub(super) fn key_frame(&mut self, ssrc: u32) {
        let encoders = self.tracks.iter_mut().flat_map(|track| &mut track.encoders);
        for encoder in encoders.filter(|encoder| encoder.ssrc == ssrc) {
            encoder.key_wanted = true;
        }
    }

    pub(super) fn set_layers(&mut self, id: &TrackId, layers: LayerSet) {
        let track = self.tracks.iter_mut().find(|t| t.info.track_id == *id);
        for (place, encoder) in (0u8..).zip(track.into_iter().flat_map(|t| &mut t.encoders)) {
            let active = layers.has(place);
            encoder.key_wanted |= active && !encoder.active;
            encoder.active = active;
        }
    }

    /// Whether it wants to see or hear a track of somebody else.
    pub(super) fn wants(&self, track: &TrackId) -> bool {
        let wish = self.wishes.get(track);
        wish.is_none_or(|wish| wish.subscribed && wish.visible)
    }

    /// Takes what its edge tells; gives the revision of an offer to answer. `Err` says what cannot be.
    pub(super) fn told(&mut self, message: ServerMessage) -> Result<Option<u64>, String> {
        if let Some(seq) = message.seq {
            if seq != self.last_seq + 1 {
                return Err(format!("event {seq} came after {}", self.last_seq));
            }
            self.last_seq = seq;
        }
        match message.event {
            ServerEvent::Snapshot { participants, .. } => {
                let others = participants.iter();
                self.view = others
                    .map(|other| (other.participant_id.clone(), Seen::of(other)))
                    .collect();
                let stays = participants.into_iter();
                self.stays = stays
                    .map(|other| (other.participant_id, (other.edge, other.joined_at_ms)))
                    .collect();
            }
            ServerEvent::ParticipantJoined { participant } => {
                let id = participant.participant_id.clone();
                self.view.insert(id.clone(), Seen::of(&participant));
                let stay = (participant.edge, participant.joined_at_ms);
                if self.stays.insert(id.clone(), stay.clone()) == Some(stay) {
                    return Err(format!("{id} joined twice"));
                }
            }
            ServerEvent::ParticipantLeft { participant_id, .. } => {
                self.stays.remove(&participant_id);
                let known = self.view.remove(&participant_id);
                known.ok_or_else(|| format!("{participant_id} left without having been there"))?;
            }
            ServerEvent::PresenceChanged {
                participant_id,
                presence,
            } if participant_id != self.participant => {
                self.seen(&participant_id)?.presence = presence;
            }
            ServerEvent::TrackPublished {
                participant_id,
                track,
            } => {
                let id = track.track_id;
                if !self.seen(&participant_id)?.tracks.insert(id.clone()) {
                    return Err(format!("{id} was published twice"));
                }
            }
            ServerEvent::TrackUnpublished {
                participant_id,
                track_id,
            } => {
                self.seen(&participant_id)?.tracks.remove(&track_id);
            }
            ServerEvent::Offer { revision, .. } => return Ok(Some(revision)),
            ServerEvent::Ended { .. } => self.at = At::Gone,
            _ => {}
        }
        Ok(None)
    }

    fn seen(&mut self, id: &ParticipantId) -> Result<&mut Seen, String> {
        let seen = self.view.get_mut(id);
        seen.ok_or_else(|| format!("{id} changed without being there"))
    }
}
