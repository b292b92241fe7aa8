//! One participant's session description over time: its m-lines, what they publish, what they
//! carry, and whose turn it is to offer (RFC 3264, RFC 8829).

mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sluice_types::access::Grants;
use sluice_types::ids::{MeetingId, ParticipantId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::room::TrackInfo;
use sluice_types::signal::{EncodingState, PublishedMid, PublishedTrack, ReceivedTrack, Wish};

use self::lines::{Line, Use};
use super::ice::LocalCredentials;
use super::keys::{PeerKey, SinkKey, TrackKey};
use super::sdp::{self, KindFormats, RemoteDescription, SdpError, numbering};
use super::worker::{Command, Ice, TrackTarget};
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
