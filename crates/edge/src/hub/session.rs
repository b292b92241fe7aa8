//! Clients: joining, coming back, speaking, leaving.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sluice_sfu::room::{Joining, Room};
use sluice_trace::Trace;
use sluice_types::access::JoinClaims;
use sluice_types::ids::{MeetingId, ParticipantId, ResumeToken};
use sluice_types::quality::Attendee;
use sluice_types::room::LeaveReason;
use sluice_types::signal::{ClientMessage, ErrorCode, PublishedMid, PublishedTrack, ServerEvent};

use super::command::{Hello, HubCommand, Published, Refusal, SocketHandle, ToSocket};
use super::{Hub, Measured, Member, RoomState};
use crate::media::SdpError;

fn sdp_code(error: &SdpError) -> ErrorCode {
    match error {
        SdpError::Glare => ErrorCode::Glare,
        SdpError::StaleRevision { .. } => ErrorCode::StaleRevision,
        _ => ErrorCode::BadSdp,
    }
}

fn digest(token: &ResumeToken) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_str().as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

impl Hub {
    pub(super) fn obey(&mut self, command: HubCommand) {
        match command {
            HubCommand::Join {
                claims,
                socket,
                hello,
                trace,
            } => self.join_with_socket(&claims, socket, hello, trace),
            HubCommand::Resume {
                room,
                participant,
                socket,
                last_seq,
            } => self.resume(&room, &participant, socket, last_seq),
            HubCommand::Message {
                room,
                participant,
                socket,
                message,
            } => {
                if self.is_current(&room, &participant, socket) {
                    self.take_message(&room, &participant, message);
                }
            }
            HubCommand::Disconnected {
                room,
                participant,
                socket,
            } => {
                if self.is_current(&room, &participant, socket) {
                    self.disconnected(&room, &participant);
                }
            }
            HubCommand::Publish {
                claims,
                offer,
                trace,
                answer,
            } => {
                let published = self.join_without_socket(&claims, offer, trace);
                // The publisher gave up when this fails; its media never comes, and it is let go.
                let _ = answer.send(published);
            }
            HubCommand::Leave { room, participant } => {
                self.leave(&room, &participant, LeaveReason::Left);
            }
            HubCommand::FindSession { token, answer } => {
                let _ = answer.send(self.sessions.get(&digest(&token)).cloned());
            }
            HubCommand::Drain => self.drain(),
            HubCommand::Relieve { answer } => self.relief = Some(answer),
        }
    }

    fn is_current(&self, room: &MeetingId, participant: &ParticipantId, socket: u64) -> bool {
        self.rooms
            .get(room)
            .and_then(|state| state.members.get(participant))
            .and_then(|member| member.socket.as_ref())
            .is_some_and(|current| current.id() == socket)
    }

    fn participants(&self) -> usize {
        self.rooms.values().map(|state| state.members.len()).sum()
    }

    fn join_with_socket(
        &mut self,
        claims: &JoinClaims,
        socket: SocketHandle,
        hello: Hello,
        trace: Trace,
    ) {
        match self.join(claims, Some(socket.clone()), hello, trace) {
            Ok((answer, tracks, _)) => {
                let event = ServerEvent::Answer {
                    sdp_answer: answer,
                    tracks: tracks.clone(),
                };
                let (room, participant) = (&claims.meeting_id, &claims.participant_id);
                if let Some(state) = self.rooms.get_mut(room) {
                    state.room.tell(participant, event);
                }
                self.publish(room, participant, tracks);
            }
            Err((code, message)) => socket.turn_away(code, message),
        }
    }

    fn join_without_socket(
        &mut self,
        claims: &JoinClaims,
        offer: String,
        trace: Trace,
    ) -> Published {
        let hello = Hello {
            sdp_offer: offer,
            tracks: Vec::new(),
            presence: sluice_types::room::Presence::default(),
        };
        match self.join(claims, None, hello, trace) {
            Ok((answer, tracks, secret)) => {
                self.publish(&claims.meeting_id, &claims.participant_id, tracks);
                Ok((answer, secret))
            }
            Err((ErrorCode::EdgeFull, detail)) => Err(Refusal {
                status: 503,
                kind: "edge-full",
                detail,
            }),
            Err((ErrorCode::Draining, detail)) => Err(Refusal {
                status: 503,
                kind: "draining",
                detail,
            }),
            Err((ErrorCode::Forbidden, detail)) => Err(Refusal {
                status: 403,
                kind: "forbidden",
                detail,
            }),
            Err((_, detail)) => Err(Refusal {
                status: 400,
                kind: "bad-sdp",
                detail,
            }),
        }
    }

    /// Takes somebody in; nothing changes when that fails.
    fn join(
        &mut self,
        claims: &JoinClaims,
        socket: Option<SocketHandle>,
        hello: Hello,
        mut trace: Trace,
    ) -> Result<(String, Vec<PublishedTrack>, ResumeToken), (ErrorCode, String)> {
        let since = Instant::now();
        let (id, participant) = (&claims.meeting_id, &claims.participant_id);
        if self.draining {
            trace.fail("draining");
            return Err((ErrorCode::Draining, "this edge is going away".to_owned()));
        }
        if let Some(vacated) = self.vacated.get(id) {
            return Err((ErrorCode::Forbidden, vacated.reason.clone()));
        }
        // Who joins again takes its own place.
        let is_here = self.member(id, participant).is_some();
        if !is_here && self.participants() >= self.config.capacity as usize {
            let full = format!("{} participants are here already", self.config.capacity);
            trace.fail(&full);
            return Err((ErrorCode::EdgeFull, full));
        }
        let mut session = self.media.open(id, participant, claims.grants);
        let answered = session
            .handle_offer(&hello.sdp_offer, &hello.tracks)
            .map_err(|error| {
                trace.fail(&error);
                (sdp_code(&error), error.to_string())
            })?;
        // An earlier stay of the same participant ends before this one begins.
        self.leave(id, participant, LeaveReason::Replaced);
        self.settle();
        let resume_token = ResumeToken::from_random(crate::media::random());
        let resume_digest = digest(&resume_token);
        self.sessions
            .insert(resume_digest, (id.clone(), participant.clone()));
        let now = self.now();
        let state = self.room(id);
        state.members.insert(
            participant.clone(),
            Member {
                session,
                claims: Box::new(claims.clone()),
                socketless: socket.is_none(),
                socket,
                resume_digest,
                measured: Measured::answered(since, trace),
            },
        );
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let at_ms = wall.as_millis() as u64;
        let joining = Joining {
            participant: participant.clone(),
            name: claims.name.clone(),
            role: claims.role,
            grants: claims.grants,
            presence: hello.presence,
            at_ms,
            resume_token: resume_token.clone(),
        };
        state.room.join(now, joining);
        self.touched.insert(id.clone());
        let attendee = Attendee {
            participant: participant.clone(),
            name: claims.name.clone(),
            role: claims.role,
            joined_at_ms: at_ms,
        };
        self.attend(id, attendee);
        metrics::counter!("sluice_edge_joins_total").increment(1);
        tracing::info!(meeting = %id, %participant, role = claims.role.as_str(), "joined");
        Ok((answered.sdp, answered.published, resume_token))
    }

    /// The room, made when it is new here.
    pub(super) fn room(&mut self, id: &MeetingId) -> &mut RoomState {
        let config = &self.config;
        self.rooms.entry(id.clone()).or_insert_with(|| RoomState {
            room: Room::new(id.clone(), config.edge.clone(), config.region.clone()),
            members: std::collections::BTreeMap::new(),
            told: None,
        })
    }

    fn publish(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        tracks: Vec<PublishedTrack>,
    ) {
        self.published.retain(|id, (_, of, _)| {
            of != participant
                || tracks
                    .iter()
                    .any(|published| published.track.track_id == *id)
        });
        for published in &tracks {
            self.published
                .entry(published.track.track_id.clone())
                .or_insert_with(|| (room.clone(), participant.clone(), Instant::now()));
        }
        if let Some(state) = self.rooms.get_mut(room) {
            let tracks = tracks
                .into_iter()
                .map(|published| published.track)
                .collect();
            state.room.publish(participant, tracks);
            self.touched.insert(room.clone());
        }
    }

    fn resume(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        socket: SocketHandle,
        last_seq: u64,
    ) {
        let missed = self
            .rooms
            .get_mut(room)
            .ok_or(sluice_sfu::room::RoomError::ResumeExpired)
            .and_then(|state| state.room.resume(participant, last_seq));
        match missed {
            Ok(missed) => {
                for message in missed {
                    socket.tell(ToSocket::Message(Box::new(message)));
                }
                if let Some(member) = self.member(room, participant) {
                    member.socket = Some(socket);
                }
                metrics::counter!("sluice_edge_resumes_total").increment(1);
                tracing::info!(meeting = %room, %participant, "resumed");
            }
            Err(refused) => socket.turn_away(refused.code(), refused.to_string()),
        }
    }

    pub(super) fn member(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
    ) -> Option<&mut Member> {
        self.rooms.get_mut(room)?.members.get_mut(participant)
    }

    fn take_message(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        message: ClientMessage,
    ) {
        self.touched.insert(room.clone());
        let refused = match message {
            ClientMessage::Hello { .. } | ClientMessage::Resume { .. } => Some((
                ErrorCode::OutOfOrder,
                "the session has begun already".to_owned(),
            )),
            ClientMessage::Offer { sdp_offer, tracks } => {
                self.take_offer(room, participant, &sdp_offer, &tracks)
            }
            ClientMessage::Answer {
                sdp_answer,
                revision,
            } => {
                if let Some(state) = self.rooms.get_mut(room) {
                    state.room.offer_answered(participant, revision);
                }
                self.member(room, participant).and_then(|member| {
                    let error = member.session.handle_answer(&sdp_answer, revision).err()?;
                    Some((sdp_code(&error), error.to_string()))
                })
            }
            ClientMessage::Leave {} => {
                self.leave(room, participant, LeaveReason::Left);
                None
            }
            ClientMessage::Presence(change) => {
                if let Some(state) = self.rooms.get_mut(room) {
                    state.room.change_presence(participant, change);
                }
                None
            }
            ClientMessage::Subscribe { tracks } => self
                .rooms
                .get_mut(room)
                .and_then(|state| state.room.subscribe(participant, tracks).err())
                .map(|refused| (refused.code(), refused.to_string())),
            ClientMessage::Quality(report) => self.take_client_report(room, participant, report),
            ClientMessage::Remove { participant_id } => self
                .rooms
                .get_mut(room)
                .and_then(|state| state.room.remove(participant, &participant_id).err())
                .map(|refused| (refused.code(), refused.to_string())),
            // An ICE-lite edge learns addresses from checks; sockets answer pings themselves.
            ClientMessage::Candidate(_) | ClientMessage::Ping {} => None,
        };
        if let Some((code, message)) = refused
            && let Some(socket) = self
                .member(room, participant)
                .and_then(|m| m.socket.as_ref())
        {
            socket.tell(ToSocket::error(code, message, false));
        }
    }

    fn take_offer(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        offer: &str,
        tracks: &[PublishedMid],
    ) -> Option<(ErrorCode, String)> {
        let member = self.member(room, participant)?;
        match member.session.handle_offer(offer, tracks) {
            Ok(answered) => {
                let event = ServerEvent::Answer {
                    sdp_answer: answered.sdp,
                    tracks: answered.published.clone(),
                };
                if let Some(state) = self.rooms.get_mut(room) {
                    state.room.tell(participant, event);
                }
                self.publish(room, participant, answered.published);
                None
            }
            Err(error) => Some((sdp_code(&error), error.to_string())),
        }
    }

    pub(super) fn leave(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        reason: LeaveReason,
    ) {
        if let Some(state) = self.rooms.get_mut(room) {
            state.room.leave(participant, reason);
            self.touched.insert(room.clone());
        }
    }

    /// A client's socket is gone. It may be back within the resume window, however its media fares:
    /// who changes networks loses both at once.
    fn disconnected(&mut self, room: &MeetingId, participant: &ParticipantId) {
        let now = self.now();
        if let Some(member) = self.member(room, participant) {
            member.socket = None;
        }
        if let Some(state) = self.rooms.get_mut(room) {
            state.room.disconnected(now, participant);
        }
    }

    /// A participant's media is lost. Of one that never had signalling nothing is left.
    pub(super) fn media_lost(&mut self, room: &MeetingId, participant: &ParticipantId) {
        if self
            .member(room, participant)
            .is_some_and(|member| member.socketless)
        {
            self.leave(room, participant, LeaveReason::TimedOut);
        }
    }
}
