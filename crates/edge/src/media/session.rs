//! One participant's session description over time: its m-lines, what they publish, what they
//! carry, and whose turn it is to offer (RFC 3264, RFC 8829).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sluice_types::access::Grants;
use sluice_types::ids::{MeetingId, ParticipantId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::room::{MediaKind, TrackInfo, TrackSource};
use sluice_types::signal::{EncodingState, PublishedMid, PublishedTrack, ReceivedTrack, Wish};

use super::ice::LocalCredentials;
use super::keys::{PeerKey, SinkKey, TrackKey};
use super::sdp::{
    self, Description, KindFormats, LocalMedia, RemoteDescription, RemoteMedia, SdpError,
    SendStream, Transport, numbering,
};
use super::worker::{Command, Ice, TrackOrigin, TrackTarget};
use super::{Shared, random};

/// A track that the participant should receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTrack {
    /// Who publishes it.
    pub participant_id: ParticipantId,
    /// What it is.
    pub track: TrackInfo,
}

/// The answer to a client's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The SDP answer.
    pub sdp: String,
    /// Everything that the participant now publishes.
    pub published: Vec<PublishedTrack>,
}

/// An offer of the edge that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingOffer {
    /// The SDP offer.
    pub sdp: String,
    /// The number that the answer names.
    pub revision: u64,
    /// Which m-line carries whose track.
    pub tracks: Vec<ReceivedTrack>,
}

/// What an m-line is for.
enum Use {
    /// The client's: it publishes on it, or not.
    Publish(Option<Published>),
    /// The edge's: it sends a track on it, or nothing.
    Receive(Option<Carried>),
    /// Data channels, while they are not rejected.
    Data { open: bool },
    /// What the edge does not know.
    Unknown { name: String, protocol: String },
}

/// A track on an m-line of the client.
struct Published {
    track: TrackInfo,
    /// Its simulcast encodings, the lowest first; empty without simulcast.
    rids: Vec<String>,
}

/// A track on an m-line of the edge.
struct Carried {
    wanted: WantedTrack,
    stream: SendStream,
    /// Set once the client has agreed to receive it.
    sink: Option<SinkKey>,
}

struct Line {
    mid: String,
    kind: Option<MediaKind>,
    purpose: Use,
}

/// One participant's negotiation with the edge.
pub struct Session {
    shared: Arc<Shared>,
    worker: usize,
    room: MeetingId,
    participant: ParticipantId,
    grants: Grants,
    peer: PeerKey,
    id: u64,
    version: u64,
    credentials: LocalCredentials,
    remote_ufrag: Option<String>,
    audio: KindFormats,
    video: KindFormats,
    lines: Vec<Line>,
    wanted: Vec<WantedTrack>,
    wishes: BTreeMap<TrackId, Wish>,
    /// The revision of the offer that waits for its answer.
    pending: Option<u64>,
    revision: u64,
    changed: bool,
    /// SSRCs are never used twice in a session: a sealing key must see each one's indices once.
    used_ssrcs: BTreeSet<u32>,
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        worker: usize,
        room: MeetingId,
        participant: ParticipantId,
        grants: Grants,
    ) -> Self {
        let credentials = LocalCredentials::from_random(&random());
        shared.sessions[worker].fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            worker,
            room,
            participant,
            grants,
            peer: PeerKey::next(),
            // Below 2⁶³ (RFC 8829, section 5.2.1).
            id: u64::from_be_bytes(random()) >> 1,
            version: 0,
            credentials,
            remote_ufrag: None,
            audio: KindFormats::default(),
            video: KindFormats::default(),
            lines: Vec::new(),
            wanted: Vec::new(),
            wishes: BTreeMap::new(),
            pending: None,
            revision: 0,
            changed: false,
            used_ssrcs: BTreeSet::new(),
        }
    }

    fn tell(&self, command: Command) {
        self.shared.workers[self.worker].tell(command);
    }

    /// Takes a client's offer and answers it.
    ///
    /// # Errors
    /// See [`SdpError`]; the session stays as it was.
    pub fn handle_offer(
        &mut self,
        offer: &str,
        tracks: &[PublishedMid],
    ) -> Result<Answered, SdpError> {
        if self.pending.is_some() {
            return Err(SdpError::Glare);
        }
        let remote = sdp::read(offer)?;
        self.check_lines(&remote)?;
        self.learn_formats(&remote);
        self.learn_transport(&remote);
        for (index, media) in remote.media.iter().enumerate() {
            self.take_line(index, media, tracks);
        }
        // A client that learned to receive a kind only now can be offered its tracks.
        self.changed |= self
            .wanted
            .iter()
            .any(|wanted| self.line_of(wanted).is_none());
        let sdp = self.describe(false);
        let published = self
            .lines
            .iter()
            .filter_map(|line| match &line.purpose {
                Use::Publish(Some(published)) => Some(PublishedTrack {
                    mid: line.mid.clone(),
                    track: published.track.clone(),
                }),
                _ => None,
            })
            .collect();
        Ok(Answered { sdp, published })
    }

    /// Takes a client's answer to the outstanding offer.
    ///
    /// # Errors
    /// See [`SdpError`]; the offer stays outstanding.
    pub fn handle_answer(&mut self, answer: &str, revision: u64) -> Result<(), SdpError> {
        if self.pending != Some(revision) {
            return Err(SdpError::StaleRevision {
                found: revision,
                expected: self.pending.map_or_else(
                    || "no offer is outstanding".to_owned(),
                    |pending| format!("offer {pending} is outstanding"),
                ),
            });
        }
        let remote = sdp::read(answer)?;
        self.check_lines(&remote)?;
        if remote.media.len() != self.lines.len() {
            return Err(SdpError::Missing("m"));
        }
        self.pending = None;
        self.learn_transport(&remote);
        for (index, media) in remote.media.iter().enumerate() {
            let accepted = !media.rejected && media.direction.receives;
            let Use::Receive(Some(carried)) = &mut self.lines[index].purpose else {
                continue;
            };
            if accepted && carried.sink.is_none() {
                let sink = SinkKey::next();
                carried.sink = Some(sink);
                let track = TrackKey::of(&carried.wanted.track.track_id);
                let wish = self.wishes.get(&carried.wanted.track.track_id).copied();
                let target = TrackTarget::Peer {
                    peer: self.peer,
                    ssrc: carried.stream.ssrc,
                    retransmission_ssrc: carried.stream.retransmission_ssrc,
                };
                self.shared.whereabouts().add_sink(
                    &self.shared.workers,
                    self.worker,
                    track,
                    sink,
                    target,
                    wish,
                );
            }
        }
        Ok(())
    }

    fn remove_sink(&self, track: TrackKey, sink: SinkKey) {
        self.shared
            .whereabouts()
            .remove_sink(&self.shared.workers, self.worker, track, sink);
    }

    /// How the participant wants a track, if it says so.
    pub fn set_wish(&mut self, track: &TrackId, wish: Option<Wish>) {
        match wish {
            Some(wish) => self.wishes.insert(track.clone(), wish),
            None => self.wishes.remove(track),
        };
        let sink = self.lines.iter().find_map(|line| match &line.purpose {
            Use::Receive(Some(carried)) if carried.wanted.track.track_id == *track => carried.sink,
            _ => None,
        });
        if let Some(sink) = sink {
            self.tell(Command::SetWish { sink, wish });
        }
    }

    /// Which encodings of one of its own tracks the participant should send; `None` when it has no
    /// such track, or sends it in one.
    pub fn encodings(
        &self,
        track: &TrackId,
        wanted: LayerSet,
    ) -> Option<(String, Vec<EncodingState>)> {
        self.lines.iter().find_map(|line| match &line.purpose {
            Use::Publish(Some(published))
                if published.track.track_id == *track && !published.rids.is_empty() =>
            {
                let states = (0u8..)
                    .zip(&published.rids)
                    .map(|(place, rid)| EncodingState {
                        rid: rid.clone(),
                        active: wanted.has(place),
                    })
                    .collect();
                Some((line.mid.clone(), states))
            }
            _ => None,
        })
    }

    /// Replaces what the participant should receive. Tracks that are no longer wanted stop at once;
    /// new ones need [`Self::next_offer`].
    pub fn set_wanted(&mut self, wanted: Vec<WantedTrack>) {
        for index in 0..self.lines.len() {
            let Use::Receive(Some(carried)) = &self.lines[index].purpose else {
                continue;
            };
            let track = &carried.wanted.track.track_id;
            if wanted.iter().any(|wanted| wanted.track.track_id == *track) {
                continue;
            }
            if let Some(sink) = carried.sink {
                self.remove_sink(TrackKey::of(track), sink);
            }
            self.lines[index].purpose = Use::Receive(None);
            self.changed = true;
        }
        self.wanted = wanted;
        let wanted = &self.wanted;
        self.wishes
            .retain(|track, _| wanted.iter().any(|wanted| wanted.track.track_id == *track));
        self.changed |= self
            .wanted
            .iter()
            .any(|wanted| self.line_of(wanted).is_none());
    }

    /// The offer that tells the client what changed; `None` when nothing did, when an offer is
    /// outstanding, or before the client's first.
    pub fn next_offer(&mut self) -> Option<PendingOffer> {
        if !self.changed || self.pending.is_some() || self.remote_ufrag.is_none() {
            return None;
        }
        self.changed = false;
        for wanted in self.wanted.clone() {
            if self.line_of(&wanted).is_none() {
                self.carry(wanted);
            }
        }
        self.revision += 1;
        self.pending = Some(self.revision);
        let tracks = self
            .lines
            .iter()
            .filter_map(|line| match &line.purpose {
                Use::Receive(Some(carried)) => Some(ReceivedTrack {
                    mid: line.mid.clone(),
                    participant_id: carried.wanted.participant_id.clone(),
                    track_id: carried.wanted.track.track_id.clone(),
                    kind: carried.wanted.track.kind,
                    source: carried.wanted.track.source,
                }),
                _ => None,
            })
            .collect();
        Some(PendingOffer {
            sdp: self.describe(true),
            revision: self.revision,
            tracks,
        })
    }

    /// The outstanding offer once more, for a client that resumed and may have missed it.
    pub fn outstanding_revision(&self) -> Option<u64> {
        self.pending
    }

    /// m-lines never change place or kind (RFC 3264, section 8).
    fn check_lines(&self, remote: &RemoteDescription) -> Result<(), SdpError> {
        if remote.media.len() < self.lines.len() {
            return Err(SdpError::Changed {
                index: remote.media.len(),
                expected: self.lines[remote.media.len()].mid.clone(),
            });
        }
        let mut mids = BTreeSet::new();
        for (index, media) in remote.media.iter().enumerate() {
            let same = self
                .lines
                .get(index)
                .is_none_or(|line| line.mid == media.mid && line.kind == media.kind);
            if !same || !mids.insert(&media.mid) {
                return Err(SdpError::Changed {
                    index,
                    expected: self
                        .lines
                        .get(index)
                        .map_or_else(|| "one of its own".to_owned(), |line| line.mid.clone()),
                });
            }
        }
        Ok(())
    }

    fn formats(&self, kind: MediaKind) -> &KindFormats {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        }
    }

    /// The first m-line of a kind fixes how the client numbers its formats and extensions.
    fn learn_formats(&mut self, remote: &RemoteDescription) {
        let mut learned = false;
        for media in &remote.media {
            let place = match media.kind {
                Some(MediaKind::Audio) => &mut self.audio,
                Some(MediaKind::Video) => &mut self.video,
                None => continue,
            };
            if place.formats.is_empty() && !media.formats.is_empty() {
                *place = KindFormats {
                    formats: media.formats.clone(),
                    extensions: media.extensions.clone(),
                };
                learned = true;
            }
        }
        if learned && self.remote_ufrag.is_some() {
            self.tell(Command::SetFormats {
                peer: self.peer,
                formats: numbering([&self.audio, &self.video]),
            });
        }
    }

    /// The first description brings the participant to its worker; one with another user fragment
    /// restarts ICE (RFC 8839, section 4.4.3.1.1).
    fn learn_transport(&mut self, remote: &RemoteDescription) {
        let restarted = match &self.remote_ufrag {
            Some(before) if *before == remote.ufrag => return,
            before => before.is_some(),
        };
        self.remote_ufrag = Some(remote.ufrag.clone());
        if restarted {
            self.shared.directory.remove(&self.credentials.ufrag);
            self.credentials = LocalCredentials::from_random(&random());
        }
        let ice = Ice {
            local: self.credentials.clone(),
            remote_ufrag: remote.ufrag.clone(),
        };
        let mailbox = self.shared.workers[self.worker].mailbox();
        self.shared
            .directory
            .insert(self.credentials.ufrag.clone(), mailbox);
        let peer = self.peer;
        self.tell(if restarted {
            Command::RestartIce { peer, ice }
        } else {
            Command::AddPeer {
                peer,
                room: self.room.clone(),
                participant: self.participant.clone(),
                ice,
                fingerprint: remote.fingerprint,
                formats: numbering([&self.audio, &self.video]),
            }
        });
    }

    /// Takes one m-line of a client's offer.
    fn take_line(&mut self, index: usize, media: &RemoteMedia, tracks: &[PublishedMid]) {
        if index == self.lines.len() {
            let purpose = match media.kind {
                Some(_) => Use::Publish(None),
                None if media.is_data() && !self.has_data() => Use::Data { open: false },
                None => Use::Unknown {
                    name: media.name.clone(),
                    protocol: media.protocol.clone(),
                },
            };
            self.lines.push(Line {
                mid: media.mid.clone(),
                kind: media.kind,
                purpose,
            });
        }
        if let Use::Data { open } = &mut self.lines[index].purpose {
            *open = !media.rejected;
        }
        let (Use::Publish(published), Some(kind)) = (&self.lines[index].purpose, media.kind) else {
            return;
        };
        let declared = tracks.iter().find(|track| track.mid == media.mid);
        let source = declared.map_or(
            match kind {
                MediaKind::Audio => TrackSource::Microphone,
                MediaKind::Video => TrackSource::Camera,
            },
            |track| track.source,
        );
        let publishes = !media.rejected
            && media.direction.sends
            && !media.formats.is_empty()
            && source.kind() == kind
            && self.may_publish(source);
        match (published, publishes) {
            (None, true) => {
                let track = TrackInfo {
                    track_id: TrackId::from_random(random()),
                    kind,
                    source,
                };
                let rids = media
                    .encodings
                    .iter()
                    .filter_map(|encoding| String::from_utf8(encoding.rid.clone()?.into()).ok())
                    .collect();
                let origin = TrackOrigin::Peer {
                    peer: self.peer,
                    encodings: media.encodings.clone(),
                    mid: media.mid.clone(),
                    repairs: media.formats.iter().any(|format| format.nack),
                };
                self.shared.whereabouts().add(
                    &self.shared.workers,
                    self.worker,
                    &self.room,
                    &self.participant,
                    &track,
                    origin,
                );
                self.lines[index].purpose = Use::Publish(Some(Published { track, rids }));
            }
            (Some(published), false) => {
                let track = TrackKey::of(&published.track.track_id);
                self.shared
                    .whereabouts()
                    .remove(&self.shared.workers, track);
                self.lines[index].purpose = Use::Publish(None);
            }
            _ => {}
        }
    }

    fn has_data(&self) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line.purpose, Use::Data { .. }))
    }

    /// Sends the participant a data message; it is lost when no channel is open.
    pub fn send_data(&self, reliable: bool, bytes: Bytes) {
        let peer = self.peer;
        self.tell(Command::SendData {
            peer,
            reliable,
            bytes,
        });
    }

    /// Whether the participant may send data messages.
    #[must_use]
    pub const fn may_send_data(&self) -> bool {
        self.grants.publish_data
    }

    const fn may_publish(&self, source: TrackSource) -> bool {
        match source {
            TrackSource::Microphone => self.grants.publish_audio,
            TrackSource::Camera => self.grants.publish_video,
            TrackSource::Screen | TrackSource::ScreenAudio => self.grants.publish_screen,
        }
    }

    fn line_of(&self, wanted: &WantedTrack) -> Option<&Line> {
        self.lines.iter().find(|line| {
            matches!(&line.purpose, Use::Receive(Some(carried))
                if carried.wanted.track.track_id == wanted.track.track_id)
        })
    }

    /// Puts a track on an idle m-line of its kind, or on a new one. A kind that the client has not
    /// shown formats for cannot be offered to it.
    fn carry(&mut self, wanted: WantedTrack) {
        let kind = wanted.track.kind;
        if self.formats(kind).formats.is_empty() {
            return;
        }
        let repairs = self
            .formats(kind)
            .formats
            .iter()
            .any(|format| format.retransmission.is_some());
        let stream = SendStream {
            ssrc: self.new_ssrc(),
            retransmission_ssrc: repairs.then(|| self.new_ssrc()),
            stream: wanted.participant_id.to_string(),
            track: wanted.track.track_id.to_string(),
        };
        let purpose = Use::Receive(Some(Carried {
            wanted,
            stream,
            sink: None,
        }));
        let idle = self
            .lines
            .iter()
            .position(|line| line.kind == Some(kind) && matches!(line.purpose, Use::Receive(None)));
        match idle {
            Some(index) => self.lines[index].purpose = purpose,
            None if self.lines.len() < sdp::MEDIA_MAX => {
                let mid = (0..)
                    .map(|n| format!("s{n}"))
                    .find(|mid| self.lines.iter().all(|line| line.mid != *mid));
                if let Some(mid) = mid {
                    self.lines.push(Line {
                        mid,
                        kind: Some(kind),
                        purpose,
                    });
                }
            }
            None => {}
        }
    }

    fn new_ssrc(&mut self) -> u32 {
        loop {
            let ssrc = u32::from_be_bytes(random());
            // Zero names nobody, and one is the edge's own RTCP.
            if ssrc > 1 && self.used_ssrcs.insert(ssrc) {
                return ssrc;
            }
        }
    }

    fn describe(&mut self, offer: bool) -> String {
        self.version += 1;
        let worker = &self.shared.workers[self.worker];
        let media = self
            .lines
            .iter()
            .map(|line| {
                let local = match (&line.purpose, line.kind) {
                    (Use::Unknown { name, protocol }, _) => LocalMedia::Rejected { name, protocol },
                    (Use::Data { open: true }, _) => LocalMedia::Data,
                    (Use::Publish(published), Some(kind)) => LocalMedia::Active {
                        kind,
                        formats: self.formats(kind),
                        receives: published.is_some(),
                        rids: published.as_ref().map_or(&[], |published| &published.rids),
                        sends: None,
                    },
                    (Use::Receive(carried), Some(kind)) => LocalMedia::Active {
                        kind,
                        formats: self.formats(kind),
                        receives: false,
                        rids: &[],
                        sends: carried.as_ref().map(|carried| &carried.stream),
                    },
                    (Use::Data { open: false }, _) | (_, None) => LocalMedia::Rejected {
                        name: "application",
                        protocol: "UDP/DTLS/SCTP",
                    },
                };
                (line.mid.as_str(), local)
            })
            .collect();
        Description {
            session: self.id,
            version: self.version,
            offer,
            transport: Transport {
                credentials: &self.credentials,
                fingerprint: self.shared.identity.fingerprint(),
                udp: &self.shared.udp_candidates(worker.address().port()),
                tcp: &self.shared.tcp_candidates,
            },
            media,
        }
        .text()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.directory.remove(&self.credentials.ufrag);
        for line in &self.lines {
            match &line.purpose {
                Use::Publish(Some(published)) => {
                    let track = TrackKey::of(&published.track.track_id);
                    self.shared
                        .whereabouts()
                        .remove(&self.shared.workers, track);
                }
                Use::Receive(Some(carried)) => {
                    if let Some(sink) = carried.sink {
                        self.remove_sink(TrackKey::of(&carried.wanted.track.track_id), sink);
                    }
                }
                _ => {}
            }
        }
        self.shared.sessions[self.worker].fetch_sub(1, Ordering::Relaxed);
        self.tell(Command::RemovePeer { peer: self.peer });
    }
}
