//! Participants of other edges, as their rosters tell.

use sluice_types::ids::{EdgeId, ParticipantId, RegionName};
use sluice_types::mesh::backbone::Departure;
use sluice_types::room::{LeaveReason, ParticipantRecord};
use sluice_types::signal::ServerEvent;
use sluice_types::units::Time;

use super::{Remote, Room};

impl Room {
    /// Another edge's roster changed, or the way that it comes.
    pub fn roster_changed(
        &mut self,
        now: Time,
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
                .map(|remote| remote.roster.keys().cloned())
                .into_iter()
                .flatten()
                .filter(|id| self.whereabouts.get(id) == Some(edge))
                .collect();
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
            self.remote_upsert(now, edge, record);
        }
        self.drop_empty(edge);
        self.refresh_wanted();
    }

    /// Forgets the way from an edge at which nobody is any more.
    pub(super) fn drop_empty(&mut self, edge: &EdgeId) {
        let empty = |remote: &Remote| remote.roster.is_empty();
        if self.remotes.get(edge).is_some_and(empty) {
            self.remotes.remove(edge);
        }
    }

    fn remote_upsert(&mut self, now: Time, edge: &EdgeId, record: ParticipantRecord) {
        let id = record.participant_id.clone();
        let before = self.view(&id);
        if !self.is_shown_as_former(&id, edge, record.joined_at_ms) {
            // The same participant may have joined at several edges: the latest stay counts, here as
            // everywhere.
            let stay = (record.joined_at_ms, edge);
            let known = self.stay_elsewhere(&id).or_else(|| {
                let local = self.locals.get(&id)?;
                Some((local.record.joined_at_ms, &self.edge))
            });
            if known.is_some_and(|known| known.1 != edge && known > stay) {
                return;
            }
            let earlier = known
                .map(|(_, earlier)| earlier.clone())
                .filter(|earlier| earlier != edge);
            self.whereabouts.insert(id.clone(), edge.clone());
            if let Some(earlier) = earlier {
                self.outlive(now, &id, earlier);
            }
        }
        let remote = self.remotes.entry(edge.clone()).or_default();
        remote.roster.insert(id.clone(), record);
        self.tell_difference(&id, before, LeaveReason::Replaced);
    }

    fn remote_left(&mut self, edge: &EdgeId, departure: &Departure) {
        let id = &departure.participant;
        let before = self.view(id);
        if let Some(remote) = self.remotes.get_mut(edge) {
            remote.roster.remove(id);
        }
        self.stay_ended(edge, id);
        self.tell_difference(id, before, departure.reason);
    }

    /// Since when, and at which other edge, a participant is in.
    pub(super) fn stay_elsewhere(&self, participant: &ParticipantId) -> Option<(u64, &EdgeId)> {
        let edge = self.whereabouts.get(participant)?;
        let record = self.remotes.get(edge)?.roster.get(participant)?;
        Some((record.joined_at_ms, edge))
    }
}
