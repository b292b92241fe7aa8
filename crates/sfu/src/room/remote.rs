//! Participants of other edges, as their rosters tell.

use sluice_types::ids::{EdgeId, ParticipantId, RegionName};
use sluice_types::mesh::backbone::Departure;
use sluice_types::room::{LeaveReason, ParticipantRecord};
use sluice_types::signal::{ParticipantView, ServerEvent};

use super::Room;

impl Room {
    /// Another edge's roster changed, or the way that it comes.
    pub fn roster_changed(
        &mut self,
        edge: &EdgeId,
        path: Vec<RegionName>,
        upserts: Vec<ParticipantRecord>,
        left: Vec<Departure>,
    ) {
        let remote = self.remotes.entry(edge.clone()).or_default();
        let moved = remote.path != path && !remote.path.is_empty();
        remote.path.clone_from(&path);
        for departure in left {
            self.remote_left(edge, &departure);
        }
        if moved {
            let there: Vec<_> = self
                .remotes
                .get(edge)
                .map(|remote| remote.roster.keys().cloned().collect())
                .unwrap_or_default();
            for participant_id in there {
                let path = path.clone();
                let event = ServerEvent::PathChanged {
                    participant_id: participant_id.clone(),
                    path,
                };
                self.tell_others(&participant_id, &event);
            }
        }
        for record in upserts {
            self.remote_upsert(edge, record, &path);
        }
        if self
            .remotes
            .get(edge)
            .is_some_and(|remote| remote.roster.is_empty())
        {
            self.remotes.remove(edge);
        }
        self.refresh_wanted();
    }

    fn remote_upsert(&mut self, edge: &EdgeId, record: ParticipantRecord, path: &[RegionName]) {
        let id = record.participant_id.clone();
        // The same participant may have joined at several edges: the latest stay counts, here as
        // everywhere.
        let stay = (record.joined_at_ms, edge);
        let here = self.locals.get(&id);
        let known = here
            .map(|local| (local.record.joined_at_ms, &self.edge))
            .or_else(|| self.stay_elsewhere(&id));
        if known.is_some_and(|known| known.1 != edge && known > stay) {
            return;
        }
        if known.is_some_and(|known| known != stay) {
            self.leave(&id, LeaveReason::Replaced);
            self.leave_elsewhere(&id);
        }
        self.whereabouts.insert(id.clone(), edge.clone());
        let before = self
            .remotes
            .entry(edge.clone())
            .or_default()
            .roster
            .insert(id.clone(), record.clone());
        let Some(before) = before else {
            let participant = ParticipantView::new(&record, path.to_vec());
            self.tell_others(&id, &ServerEvent::ParticipantJoined { participant });
            return;
        };
        if before.presence != record.presence {
            let event = ServerEvent::PresenceChanged {
                participant_id: id.clone(),
                presence: record.presence,
            };
            self.tell_others(&id, &event);
        }
        self.tell_track_changes(&id, &before.tracks, &record.tracks);
    }

    fn remote_left(&mut self, edge: &EdgeId, departure: &Departure) {
        let id = &departure.participant;
        if let Some(remote) = self.remotes.get_mut(edge) {
            remote.roster.remove(id);
        }
        if self.whereabouts.get(id) == Some(edge) {
            self.whereabouts.remove(id);
            self.tell_others(
                id,
                &ServerEvent::ParticipantLeft {
                    participant_id: id.clone(),
                    reason: departure.reason,
                },
            );
        }
    }

    /// Since when, and at which other edge, a participant is in.
    pub(super) fn stay_elsewhere(&self, participant: &ParticipantId) -> Option<(u64, &EdgeId)> {
        let edge = self.whereabouts.get(participant)?;
        let record = self.remotes.get(edge)?.roster.get(participant)?;
        Some((record.joined_at_ms, edge))
    }

    /// Somebody's stay at another edge, if there is one, is over, since it joined again.
    pub(super) fn leave_elsewhere(&mut self, participant: &ParticipantId) {
        if let Some(edge) = self.whereabouts.get(participant).cloned() {
            let departure = Departure {
                participant: participant.clone(),
                version: u64::MAX,
                reason: LeaveReason::Replaced,
            };
            self.remote_left(&edge, &departure);
        }
    }
}
