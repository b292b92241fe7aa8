//! Participants of this edge.

use sluice_types::ids::ParticipantId;
use sluice_types::mesh::backbone::Departure;
use sluice_types::room::{LeaveReason, ParticipantRecord, PresenceChange, TrackInfo};
use sluice_types::signal::{ParticipantView, RESUME_WINDOW_MS, ServerEvent, ServerMessage};
use sluice_types::units::Time;

use super::{EventLog, Joining, Local, Output, Room, RoomError};

impl Room {
    /// Somebody joins, in place of itself if it is in already. Its stay at another edge is shown until
    /// that edge ends it, or for [`OVERLAP`](super::OVERLAP).
    pub fn join(&mut self, now: Time, joining: Joining) {
        let id = joining.participant.clone();
        if self.locals.contains_key(&id) {
            self.leave(&id, LeaveReason::Replaced);
        }
        let before = self.view(&id);
        // Of two stays the later one counts everywhere, whatever the edges' clocks say.
        let joined_at_ms = match self.stay_elsewhere(&id) {
            Some((earlier_ms, _)) => joining.at_ms.max(earlier_ms + 1),
            None => joining.at_ms,
        };
        if let Some(edge) = self.whereabouts.remove(&id) {
            self.outlive(now, &id, edge);
        }
        // The clock tells stays apart even if the room was forgotten meanwhile; it may be set back.
        let version = joining.at_ms.max(self.version + 1);
        self.version = version;
        let record = ParticipantRecord {
            participant_id: id.clone(),
            version,
            name: joining.name,
            role: joining.role,
            region: self.region.clone(),
            edge: self.edge.clone(),
            joined_at_ms,
            presence: joining.presence,
            tracks: Vec::new(),
        };
        self.locals.insert(
            id.clone(),
            Local {
                record: record.clone(),
                grants: joining.grants,
                log: EventLog::default(),
                away: None,
                sent_away: false,
                wanted: Vec::new(),
                wishes: std::collections::BTreeMap::new(),
            },
        );
        let participants = self.others(&id);
        let you = ParticipantView::new(&record, vec![self.region.clone()]);
        self.tell(
            &id,
            ServerEvent::Snapshot {
                meeting_id: self.id.clone(),
                you,
                participants,
                resume_token: joining.resume_token,
                resume_window_ms: RESUME_WINDOW_MS,
                edge: self.edge.clone(),
            },
        );
        self.tell_difference(&id, before, LeaveReason::Replaced);
        self.outputs.push_back(Output::LocalChanged(record));
        self.refresh_wanted();
    }

    /// A participant publishes exactly these tracks from now on.
    pub fn publish(&mut self, participant: &ParticipantId, tracks: Vec<TrackInfo>) {
        let before = self.view(participant);
        let Some(local) = self.locals.get_mut(participant) else {
            return;
        };
        if local.record.tracks == tracks {
            return;
        }
        local.record.tracks = tracks;
        self.changed(participant);
        self.tell_difference(participant, before, LeaveReason::Left);
        self.refresh_wanted();
    }

    /// A participant shows something else of itself. It is told too, so that its own log is whole.
    pub fn change_presence(&mut self, participant: &ParticipantId, change: PresenceChange) {
        let before = self.view(participant);
        let Some(local) = self.locals.get_mut(participant) else {
            return;
        };
        let presence = local.record.presence.changed(change);
        if presence == local.record.presence {
            return;
        }
        local.record.presence = presence;
        self.changed(participant);
        self.tell_difference(participant, before, LeaveReason::Left);
        let event = ServerEvent::PresenceChanged {
            participant_id: participant.clone(),
            presence,
        };
        self.tell(participant, event);
    }

    /// A new version of a local participant's record. Versions rise over all of the room's
    /// participants at this edge, so that the highest tells how much of its roster somebody knows.
    fn changed(&mut self, participant: &ParticipantId) {
        if let Some(local) = self.locals.get_mut(participant) {
            self.version += 1;
            local.record.version = self.version;
            self.outputs
                .push_back(Output::LocalChanged(local.record.clone()));
        }
    }

    /// A participant should go to another edge: to the first of these signalling endpoints that answers,
    /// or to where the coordinator says when there are none. Until it is there its stay here goes on,
    /// and then for as long as it likes, up to [`OVERLAP`](super::OVERLAP).
    pub fn send_away(&mut self, participant: &ParticipantId, candidates: Vec<String>) {
        if let Some(local) = self.locals.get_mut(participant) {
            local.sent_away = true;
            self.tell(participant, ServerEvent::Moved { candidates });
        }
    }

    /// A participant leaves for good.
    pub fn leave(&mut self, participant: &ParticipantId, reason: LeaveReason) {
        let before = self.view(participant);
        if self.end_local(participant, reason) {
            self.tell_difference(participant, before, reason);
            self.refresh_wanted();
        }
    }

    /// Ends a stay here; says whether there was one.
    pub(super) fn end_local(&mut self, participant: &ParticipantId, reason: LeaveReason) -> bool {
        if self.locals.remove(participant).is_none() {
            return false;
        }
        let own = self.edge.clone();
        self.stay_ended(&own, participant);
        self.outputs.push_back(Output::Close {
            participant: participant.clone(),
            reason,
        });
        self.version += 1;
        self.outputs.push_back(Output::LocalLeft(Departure {
            participant: participant.clone(),
            version: self.version,
            reason,
        }));
        true
    }

    /// A participant's socket is gone; it may come back.
    pub fn disconnected(&mut self, now: Time, participant: &ParticipantId) {
        if let Some(local) = self.locals.get_mut(participant) {
            local.away.get_or_insert(now);
        }
    }

    /// Whether a participant's socket is gone.
    #[must_use]
    pub fn is_away(&self, participant: &ParticipantId) -> bool {
        self.locals
            .get(participant)
            .is_some_and(|local| local.away.is_some())
    }

    /// A participant comes back on a new socket, having seen everything up to `last_seq`; gives what
    /// it missed.
    ///
    /// # Errors
    /// When its session is over, or more happened than is kept.
    pub fn resume(
        &mut self,
        participant: &ParticipantId,
        last_seq: u64,
    ) -> Result<Vec<ServerMessage>, RoomError> {
        let local = self
            .locals
            .get_mut(participant)
            .ok_or(RoomError::ResumeExpired)?;
        let missed = local.log.after(last_seq).ok_or(RoomError::ResumeExpired)?;
        local.away = None;
        let resumed = ServerMessage {
            seq: None,
            event: ServerEvent::Resumed {
                last_seq: local.log.last(),
            },
        };
        Ok(std::iter::once(resumed).chain(missed).collect())
    }

    /// A participant answered an offer: what it was told up to then is not needed to resume any more.
    pub fn offer_answered(&mut self, participant: &ParticipantId, revision: u64) {
        if let Some(local) = self.locals.get_mut(participant) {
            local.log.forget_up_to_offer(revision);
        }
    }

    /// A host removes somebody.
    ///
    /// # Errors
    /// When it is no host, or nobody of that name is in the meeting.
    pub fn remove(&mut self, by: &ParticipantId, whom: &ParticipantId) -> Result<(), RoomError> {
        let moderates = self
            .locals
            .get(by)
            .is_some_and(|local| local.grants.moderate);
        if !moderates {
            return Err(RoomError::Forbidden { needed: "host" });
        }
        let (here, elsewhere) = (
            self.locals.contains_key(whom),
            self.whereabouts.contains_key(whom),
        );
        if elsewhere || self.formers.contains_key(whom) {
            self.outputs.push_back(Output::RemoveRemote {
                participant: whom.clone(),
            });
        }
        if here {
            self.remove_local(whom);
        } else if !elsewhere {
            return Err(RoomError::NoParticipant);
        }
        Ok(())
    }

    /// A host, here or elsewhere, removed a local participant. Who has moved on is told at the edge
    /// where it is now.
    pub fn remove_local(&mut self, participant: &ParticipantId) {
        if self.has_moved_on(participant) {
            self.leave(participant, LeaveReason::Replaced);
            return;
        }
        let reason = LeaveReason::Removed;
        self.tell(participant, ServerEvent::Ended { reason });
        self.leave(participant, reason);
    }
}
