//! Participants of other edges, as their rosters tell.

use sluice_types::ids::{EdgeId, RegionName};
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
        // The same participant, joined again at another edge: the later one counts.
        let earlier_here = self
            .locals
            .get(&id)
            .map(|local| local.record.joined_at_ms < record.joined_at_ms);
        match earlier_here {
            Some(true) => self.leave(&id, LeaveReason::Replaced),
            Some(false) => return,
            None => {}
        }
        if let Some(other) = self
            .whereabouts
            .get(&id)
            .filter(|other| *other != edge)
            .cloned()
        {
            let departure = Departure {
                participant: id.clone(),
                version: u64::MAX,
                reason: LeaveReason::Replaced,
            };
            self.remote_left(&other, &departure);
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
}
