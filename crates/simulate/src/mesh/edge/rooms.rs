//! Carrying what rooms say.

use std::collections::BTreeMap;

use sluice_sfu::room::{Output, Room};
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::mesh::control::{EdgeMessage, RoomDemand};
use sluice_types::room::DataMessage;
use sluice_types::signal::{ServerEvent, ServerMessage};

use super::EdgeHost;
use super::session::Member;
use crate::mesh::event::Event;
use crate::mesh::scene::{ACCESS, Scene};

/// A room and what belongs to it at this edge.
pub(in crate::mesh) struct RoomState {
    pub(in crate::mesh) room: Room,
    pub(super) members: BTreeMap<ParticipantId, Member>,
    pub(super) told: Option<RoomDemand>,
}

impl EdgeHost {
    /// The room, made when it is new here.
    pub(super) fn room(&mut self, id: &MeetingId) -> &mut RoomState {
        let (edge, region) = (&self.id, &self.region);
        self.rooms.entry(id.clone()).or_insert_with(|| RoomState {
            room: Room::new(id.clone(), edge.clone(), region.clone()),
            members: BTreeMap::new(),
            told: None,
        })
    }

    pub(super) fn member(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
    ) -> Option<&mut Member> {
        self.rooms.get_mut(room)?.members.get_mut(participant)
    }

    /// Carries everything that one room says, offers what changed, and tells the coordinator when the
    /// room's need did.
    pub(super) fn carry_room(&mut self, scene: &mut Scene, id: &MeetingId) {
        while let Some(output) = self.rooms.get_mut(id).and_then(|s| s.room.poll_output()) {
            self.carry(scene, id, output);
        }
        if self.offer(id) {
            self.touched.insert(id.clone());
        }
        self.tell_demand(scene, id);
    }

    fn carry(&mut self, scene: &mut Scene, id: &MeetingId, output: Output) {
        let now = scene.now;
        match output {
            Output::Tell {
                participant,
                message,
            } => self.tell(scene, id, &participant, message),
            Output::Wanted {
                participant,
                tracks,
            } => {
                let Some(member) = self.member(id, &participant) else {
                    return;
                };
                let gone = member.set_wanted(tracks);
                for sink in gone {
                    self.media.remove_sink(sink);
                }
            }
            Output::Wish {
                participant,
                track,
                wish,
            } => {
                let member = self.member(id, &participant);
                if let Some(sink) = member.and_then(|member| member.set_wish(&track, wish)) {
                    self.media.set_wish(now, sink, wish);
                    self.flush(scene);
                }
            }
            Output::Interest { track, wanted } => {
                if wanted {
                    self.mesh.want(now, id, &track);
                } else {
                    self.mesh.unwant(now, id, &track);
                }
            }
            Output::LocalChanged(record) => self.mesh.local_participant(id, record),
            Output::LocalLeft(departure) => self.mesh.local_departure(id, &departure),
            Output::Close { participant, .. } => self.close(id, &participant),
            Output::RemoveRemote { participant } => self.mesh.remove_participant(id, &participant),
        }
    }

    fn tell(
        &mut self,
        scene: &mut Scene,
        id: &MeetingId,
        participant: &ParticipantId,
        message: ServerMessage,
    ) {
        let member = self.member(id, participant);
        if let Some(stay) = member.filter(|m| m.has_socket).map(|m| m.stay) {
            scene.after(ACCESS, Event::Told(stay, message));
        }
    }

    fn close(&mut self, id: &MeetingId, participant: &ParticipantId) {
        let state = self.rooms.get_mut(id);
        let member = state.and_then(|state| state.members.remove(participant));
        if let Some(member) = member {
            for track in &member.published {
                self.media.remove_track(track);
            }
            self.media.remove_peer(member.peer);
        }
    }

    /// Offers to every member what it should now receive; says whether any was offered something.
    fn offer(&mut self, id: &MeetingId) -> bool {
        let Some(state) = self.rooms.get_mut(id) else {
            return false;
        };
        let mut offered = false;
        for (participant, member) in &mut state.members {
            if let Some(revision) = member.next_offer() {
                let event = ServerEvent::Offer {
                    sdp_offer: String::new(),
                    revision,
                    tracks: Vec::new(),
                };
                state.room.tell(participant, event);
                offered = true;
            }
        }
        offered
    }

    fn tell_demand(&mut self, scene: &mut Scene, id: &MeetingId) {
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
            state.told = Some(demand.clone());
            self.tell_coordinator(scene, EdgeMessage::Demand(demand));
        }
    }

    /// Gives a data message to those here whom it is for.
    pub(super) fn deliver_data(
        &mut self,
        scene: &mut Scene,
        room: &MeetingId,
        message: &DataMessage,
    ) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        for (participant, member) in &state.members {
            if message.is_for(participant) {
                scene.watch.data(scene.now, member.stay, message);
            }
        }
    }
}
