//! Carrying what rooms say.

use sluice_sfu::room::Output;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::mesh::control::RoomDemand;
use sluice_types::signal::{ServerEvent, ServerMessage};

use super::Hub;
use super::command::ToSocket;
use crate::media::WantedTrack;

impl Hub {
    /// Carries everything that one room says, then offers what changed, and tells the coordinator
    /// when the room's need did.
    pub(super) fn carry_room(&mut self, id: &MeetingId) {
        while let Some(output) = self
            .rooms
            .get_mut(id)
            .and_then(|state| state.room.poll_output())
        {
            self.carry(id, output);
        }
        if self.offer(id) {
            // Offers are events of the room too.
            self.touched.insert(id.clone());
        }
        self.tell_demand(id);
    }

    fn carry(&mut self, id: &MeetingId, output: Output) {
        match output {
            Output::Tell {
                participant,
                message,
            } => self.tell(id, &participant, message),
            Output::Wanted {
                participant,
                tracks,
            } => {
                let tracks = tracks
                    .into_iter()
                    .map(|(participant_id, track)| WantedTrack {
                        participant_id,
                        track,
                    })
                    .collect();
                if let Some(member) = self.member(id, &participant) {
                    member.session.set_wanted(tracks);
                }
            }
            Output::Wish {
                participant,
                track,
                wish,
            } => {
                if let Some(member) = self.member(id, &participant) {
                    member.session.set_wish(&track, wish);
                }
            }
            Output::Interest { track, wanted } => {
                let now = self.now();
                if wanted {
                    self.mesh.want(now, id, &track);
                } else {
                    self.mesh.unwant(now, id, &track);
                }
            }
            Output::LocalChanged(record) => self.mesh.local_participant(id, record),
            Output::LocalLeft(departure) => self.mesh.local_departure(id, &departure),
            Output::Close {
                participant,
                reason,
            } => {
                tracing::info!(meeting = %id, %participant, ?reason, "left");
                self.close(id, &participant);
                self.depart(id, &participant, reason);
            }
            Output::RemoveRemote { participant } => self.mesh.remove_participant(id, &participant),
        }
    }

    /// Tells a participant what counts now alone: it is not numbered, and not told again.
    pub(super) fn tell_passing(
        &mut self,
        id: &MeetingId,
        participant: &ParticipantId,
        event: ServerEvent,
    ) {
        self.tell(id, participant, ServerMessage { seq: None, event });
    }

    /// Tells a participant, if its socket is there and keeps up.
    fn tell(&mut self, id: &MeetingId, participant: &ParticipantId, message: ServerMessage) {
        let ends = matches!(message.event, ServerEvent::Ended { .. });
        let Some(member) = self.member(id, participant) else {
            return;
        };
        let Some(socket) = &member.socket else {
            return;
        };
        if !socket.tell(ToSocket::Message(Box::new(message))) && !ends {
            // Too slow: the socket ends when its handle is dropped, and the client resumes.
            member.socket = None;
            let now = self.now();
            if let Some(state) = self.rooms.get_mut(id) {
                state.room.disconnected(now, participant);
            }
        }
    }

    fn close(&mut self, id: &MeetingId, participant: &ParticipantId) {
        let member = self
            .rooms
            .get_mut(id)
            .and_then(|state| state.members.remove(participant));
        if let Some(member) = member {
            self.sessions.remove(&member.resume_digest);
            if let Some(socket) = &member.socket {
                socket.tell(ToSocket::Close);
            }
        }
        self.published
            .retain(|_, (room, of, _)| room != id || of != participant);
    }

    /// Offers to every member what it should now receive; says whether any was offered something.
    fn offer(&mut self, id: &MeetingId) -> bool {
        let Some(state) = self.rooms.get_mut(id) else {
            return false;
        };
        let mut offered = false;
        for (participant, member) in &mut state.members {
            if member.socketless {
                continue;
            }
            if let Some(offer) = member.session.next_offer() {
                let event = ServerEvent::Offer {
                    sdp_offer: offer.sdp,
                    revision: offer.revision,
                    tracks: offer.tracks,
                };
                state.room.tell(participant, event);
                offered = true;
            }
        }
        offered
    }

    fn tell_demand(&mut self, id: &MeetingId) {
        let Some(state) = self.rooms.get_mut(id) else {
            return;
        };
        let demand = RoomDemand {
            room: id.clone(),
            participants: state.room.local_count() as u32,
            publishing: state.room.locals().any(|record| !record.tracks.is_empty()),
        };
        let never = state.told.is_none() && demand.participants == 0;
        if !never && state.told.as_ref() != Some(&demand) {
            self.control.demand(demand.clone());
            state.told = Some(demand);
        }
    }
}
