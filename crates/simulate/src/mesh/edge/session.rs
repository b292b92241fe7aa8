//! Participants of this edge: joining, coming back, speaking, leaving; and what each has agreed to
//! receive.

use std::collections::{BTreeMap, BTreeSet};

use sluice_sfu::forward::{PeerId, SinkId};
use sluice_sfu::room::Joining;
use sluice_types::access::Role;
use sluice_types::ids::{MeetingId, ParticipantId, ResumeToken, TrackId};
use sluice_types::room::{DataMessage, LeaveReason, Presence, TrackInfo};
use sluice_types::signal::Wish;

use super::EdgeHost;
use crate::mesh::client::{Ask, Hello};
use crate::mesh::event::{Event, Said, Stay, number_of};
use crate::mesh::scene::{ACCESS, Scene};

/// A track that is offered to a participant, or that it receives.
struct Line {
    ssrc: u32,
    /// The client has agreed to receive it.
    agreed: bool,
    /// Set then, if the edge had the track.
    sink: Option<SinkId>,
}

/// One participant of this edge, with what was negotiated with its client.
pub(super) struct Member {
    pub(super) stay: Stay,
    pub(super) has_socket: bool,
    pub(super) peer: PeerId,
    pub(super) published: BTreeSet<TrackId>,
    lines: BTreeMap<TrackId, Line>,
    wishes: BTreeMap<TrackId, Wish>,
    wanted: Vec<TrackId>,
    /// The revision of the offer that waits for its answer.
    pending: Option<u64>,
    revision: u64,
    changed: bool,
    next_ssrc: u32,
}

impl Member {
    /// Replaces what the participant should receive; gives the sinks that end at once.
    pub(super) fn set_wanted(&mut self, tracks: Vec<(ParticipantId, TrackInfo)>) -> Vec<SinkId> {
        self.wanted = tracks
            .into_iter()
            .map(|(_, track)| track.track_id)
            .collect();
        let before = std::mem::take(&mut self.lines);
        let mut gone = Vec::new();
        for (track, line) in before {
            if self.wanted.contains(&track) {
                self.lines.insert(track, line);
            } else {
                gone.extend(line.sink);
                self.changed = true;
            }
        }
        let wanted = &self.wanted;
        self.wishes.retain(|track, _| wanted.contains(track));
        self.changed |= wanted.iter().any(|track| !self.lines.contains_key(track));
        gone
    }

    /// How the participant wants a track; gives the sink that it has.
    pub(super) fn set_wish(&mut self, track: &TrackId, wish: Option<Wish>) -> Option<SinkId> {
        match wish {
            Some(wish) => self.wishes.insert(track.clone(), wish),
            None => self.wishes.remove(track),
        };
        self.lines.get(track)?.sink
    }

    pub(super) fn next_offer(&mut self) -> Option<u64> {
        if !self.changed || self.pending.is_some() {
            return None;
        }
        self.changed = false;
        for track in &self.wanted {
            let next_ssrc = &mut self.next_ssrc;
            self.lines.entry(track.clone()).or_insert_with(|| {
                *next_ssrc += 1;
                Line {
                    ssrc: *next_ssrc,
                    agreed: false,
                    sink: None,
                }
            });
        }
        self.revision += 1;
        self.pending = Some(self.revision);
        self.pending
    }
}

impl EdgeHost {
    /// Takes somebody in, unless the edge is full; says whether it did.
    pub(in crate::mesh) fn join(&mut self, scene: &mut Scene, stay: Stay, hello: Hello) -> bool {
        let (id, participant) = (&hello.room, &hello.participant);
        let is_here = self.member(id, participant).is_some();
        let here: usize = self.rooms.values().map(|state| state.members.len()).sum();
        if !is_here && here >= self.capacity as usize {
            return false;
        }
        self.leave(id, participant, LeaveReason::Replaced);
        self.settle(scene);
        let peer = self.media.add_peer(stay);
        let member = Member {
            stay,
            has_socket: true,
            peer,
            published: BTreeSet::new(),
            lines: BTreeMap::new(),
            wishes: BTreeMap::new(),
            wanted: Vec::new(),
            pending: None,
            revision: 0,
            changed: false,
            next_ssrc: 1,
        };
        let at_ms = scene.wall_ms(self.me.host);
        let state = self.room(id);
        state.members.insert(participant.clone(), member);
        let now = scene.now;
        state.room.join(
            now,
            Joining {
                participant: participant.clone(),
                name: participant.to_string(),
                role: Role::Host,
                grants: Role::Host.grants(),
                presence: Presence::default(),
                at_ms,
                resume_token: ResumeToken::from_random([0; ResumeToken::RANDOM_BYTES]),
            },
        );
        self.touched.insert(id.clone());
        self.publish(stay, &hello);
        self.settle(scene);
        true
    }

    /// A participant publishes exactly these tracks from now on.
    pub(in crate::mesh) fn publish(&mut self, stay: Stay, hello: &Hello) {
        let Some(member) = self.member(&hello.room, &hello.participant) else {
            return;
        };
        if member.stay != stay {
            return;
        }
        let peer = member.peer;
        let now: BTreeSet<_> = hello
            .tracks
            .iter()
            .map(|track| track.info.track_id.clone())
            .collect();
        let before = std::mem::replace(&mut member.published, now.clone());
        for gone in before.difference(&now) {
            self.media.remove_track(gone);
        }
        let room = number_of(hello.room.as_str());
        for track in &hello.tracks {
            if !before.contains(&track.info.track_id) {
                let origin = track.origin(peer);
                self.media.publish(stay, room, &track.info, origin);
            }
        }
        let tracks = hello.tracks.iter().map(|track| track.info.clone());
        let tracks: Vec<_> = tracks.collect();
        if let Some(state) = self.rooms.get_mut(&hello.room) {
            state.room.publish(&hello.participant, tracks);
            self.touched.insert(hello.room.clone());
        }
    }

    /// Where packets of a stay go in, while it lasts.
    pub(in crate::mesh) fn peer_of(&self, stay: Stay, hello: &Hello) -> Option<PeerId> {
        let member = self
            .rooms
            .get(&hello.room)?
            .members
            .get(&hello.participant)?;
        (member.stay == stay).then_some(member.peer)
    }

    fn leave(&mut self, room: &MeetingId, participant: &ParticipantId, reason: LeaveReason) {
        if let Some(state) = self.rooms.get_mut(room) {
            state.room.leave(participant, reason);
            self.touched.insert(room.clone());
        }
    }

    /// A client says something.
    pub(super) fn says(&mut self, scene: &mut Scene, stay: Stay, said: Said) {
        scene.note(|| format!("{stay:?} says to {} {said:?}", self.id));
        let found = self.rooms.iter().find_map(|(id, state)| {
            let mut members = state.members.iter();
            let (participant, _) = members.find(|(_, member)| member.stay == stay)?;
            Some((id.clone(), participant.clone()))
        });
        let Some((id, participant)) = found else {
            if let Said::Resume { .. } = said {
                scene.after(ACCESS, Event::Ask(stay.client, Ask::Expired(stay)));
            }
            return;
        };
        self.touched.insert(id.clone());
        let now = scene.now;
        match said {
            Said::Answer { revision } => self.take_answer(scene, &id, &participant, revision),
            Said::Publish(hello) => self.publish(stay, &hello),
            Said::Presence(change) => {
                if let Some(state) = self.rooms.get_mut(&id) {
                    state.room.change_presence(&participant, change);
                }
            }
            Said::Wishes(wishes) => {
                if let Some(state) = self.rooms.get_mut(&id) {
                    // There are never too many of them.
                    let _ = state.room.subscribe(&participant, wishes);
                }
            }
            Said::Data(number) => {
                let message = DataMessage {
                    from: participant,
                    to: Vec::new(),
                    topic: None,
                    reliable: true,
                    payload: number.to_be_bytes().to_vec(),
                };
                self.mesh.send_data(&id, message.clone());
                self.deliver_data(scene, &id, &message);
            }
            Said::SocketGone => {
                if let Some(member) = self.member(&id, &participant) {
                    member.has_socket = false;
                }
                if let Some(state) = self.rooms.get_mut(&id) {
                    state.room.disconnected(now, &participant);
                }
            }
            Said::Resume { last_seq } => {
                let state = self.rooms.get_mut(&id);
                let resumed = state.map(|state| state.room.resume(&participant, last_seq));
                let Some(Ok(missed)) = resumed else {
                    return scene.after(ACCESS, Event::Ask(stay.client, Ask::Expired(stay)));
                };
                for message in missed {
                    scene.after(ACCESS, Event::Told(stay, message));
                }
                if let Some(member) = self.member(&id, &participant) {
                    member.has_socket = true;
                }
            }
            Said::Leave => self.leave(&id, &participant, LeaveReason::Left),
        }
    }

    fn take_answer(
        &mut self,
        scene: &mut Scene,
        room: &MeetingId,
        participant: &ParticipantId,
        revision: u64,
    ) {
        let Some(member) = self.member(room, participant) else {
            return;
        };
        if member.pending != Some(revision) {
            return;
        }
        member.pending = None;
        let peer = member.peer;
        let mut agreed = Vec::new();
        for (track, line) in &mut member.lines {
            if !std::mem::replace(&mut line.agreed, true) {
                agreed.push((track.clone(), line.ssrc, member.wishes.get(track).copied()));
            }
        }
        for (track, ssrc, wish) in agreed {
            let Some(sink) = self.media.add_sink(scene.now, peer, &track, ssrc) else {
                continue;
            };
            if wish.is_some() {
                self.media.set_wish(scene.now, sink, wish);
            }
            let line = self
                .member(room, participant)
                .and_then(|m| m.lines.get_mut(&track));
            if let Some(line) = line {
                line.sink = Some(sink);
            }
        }
        self.flush(scene);
    }
}
