//! The stays of one participant: the one that counts, and the one before while it is still shown.

use sluice_types::ids::{EdgeId, ParticipantId, RegionName};
use sluice_types::room::{LeaveReason, ParticipantRecord, TrackInfo};
use sluice_types::signal::{ParticipantView, ServerEvent};
use sluice_types::units::Time;

use super::{OVERLAP, Room};

/// A stay before the one that counts, at this edge or another.
#[derive(Debug)]
pub(super) struct Former {
    edge: EdgeId,
    /// When it is shown no more, whatever its edge says.
    pub(super) until: Time,
}

/// Somebody in the room, wherever it is.
pub(super) struct Present<'a> {
    pub(super) record: &'a ParticipantRecord,
    path: &'a [RegionName],
    remote: bool,
    /// The stay before, and whether that is at another edge.
    former: Option<(&'a ParticipantRecord, bool)>,
}

/// A track that somebody in the room publishes.
pub(super) struct Shown<'a> {
    pub(super) publisher: &'a ParticipantId,
    pub(super) info: &'a TrackInfo,
    /// It comes from another edge.
    pub(super) remote: bool,
}

impl<'a> Present<'a> {
    /// Those of the stay before, then those of the one that counts: of two of one source the later one
    /// stays.
    pub(super) fn tracks(&self) -> impl Iterator<Item = Shown<'a>> + use<'a> {
        let record = self.record;
        let counts = record.tracks.iter().map({
            let remote = self.remote;
            move |info| (info, remote)
        });
        let former = self.former.into_iter().flat_map(move |(former, remote)| {
            let tracks = former.tracks.iter();
            let once = tracks.filter(|track| !has(&record.tracks, track));
            once.map(move |info| (info, remote))
        });
        former.chain(counts).map(move |(info, remote)| Shown {
            publisher: &record.participant_id,
            info,
            remote,
        })
    }

    fn view(&self) -> ParticipantView {
        ParticipantView {
            tracks: self.tracks().map(|track| track.info.clone()).collect(),
            ..ParticipantView::new(self.record, self.path.to_vec())
        }
    }
}

fn has(tracks: &[TrackInfo], track: &TrackInfo) -> bool {
    tracks.iter().any(|one| one.track_id == track.track_id)
}

impl Room {
    fn record_at(&self, edge: &EdgeId, id: &ParticipantId) -> Option<&ParticipantRecord> {
        if *edge == self.edge {
            return self.locals.get(id).map(|local| &local.record);
        }
        self.remotes.get(edge)?.roster.get(id)
    }

    fn present(&self, id: &ParticipantId) -> Option<Present<'_>> {
        let (edge, path) = match self.whereabouts.get(id) {
            Some(edge) => (edge, self.remotes.get(edge)?.path.as_slice()),
            None => (&self.edge, std::slice::from_ref(&self.region)),
        };
        let former = self.formers.get(id).and_then(|former| {
            let record = self.record_at(&former.edge, id)?;
            Some((record, former.edge != self.edge))
        });
        Some(Present {
            record: self.record_at(edge, id)?,
            path,
            remote: *edge != self.edge,
            former,
        })
    }

    /// Everybody, in order of joining.
    pub(super) fn everybody(&self) -> Vec<Present<'_>> {
        let here = self.locals.keys();
        let here = here.filter(|id| !self.whereabouts.contains_key(*id));
        let mut all: Vec<_> = here
            .chain(self.whereabouts.keys())
            .filter_map(|id| self.present(id))
            .collect();
        all.sort_by_key(|present| (present.record.joined_at_ms, &present.record.participant_id));
        all
    }

    /// Everybody else, in order of joining.
    pub(super) fn others(&self, than: &ParticipantId) -> Vec<ParticipantView> {
        self.everybody()
            .into_iter()
            .filter(|present| present.record.participant_id != *than)
            .map(|present| present.view())
            .collect()
    }

    /// What others see of somebody.
    pub(super) fn view(&self, id: &ParticipantId) -> Option<ParticipantView> {
        self.present(id).map(|present| present.view())
    }

    /// Whether a local participant is at another edge by now, and its stay here about to end.
    #[must_use]
    pub fn has_moved_on(&self, id: &ParticipantId) -> bool {
        self.whereabouts.contains_key(id) && self.locals.contains_key(id)
    }

    /// Whether the stay of somebody at `edge` since then is the one before the one that counts.
    pub(super) fn is_shown_as_former(
        &self,
        id: &ParticipantId,
        edge: &EdgeId,
        joined_at_ms: u64,
    ) -> bool {
        let former = self.formers.get(id).filter(|former| former.edge == *edge);
        former
            .and_then(|former| self.record_at(&former.edge, id))
            .is_some_and(|record| record.joined_at_ms == joined_at_ms)
    }

    /// A later stay counts from now on; the one at `edge` is shown a while longer. A stay here of
    /// somebody who was not sent away ends at once: another client has taken its place.
    pub(super) fn outlive(&mut self, now: Time, id: &ParticipantId, edge: EdgeId) {
        if let Some(former) = self.formers.remove(id) {
            self.forget_stay(&former.edge, id);
        }
        let local = self.locals.get(id).filter(|_| edge == self.edge);
        if local.is_some_and(|local| !local.sent_away) {
            self.end_local(id, LeaveReason::Replaced);
            return;
        }
        let until = now + OVERLAP;
        self.formers.insert(id.clone(), Former { edge, until });
    }

    /// A stay that does not count any more is not shown either.
    fn forget_stay(&mut self, edge: &EdgeId, id: &ParticipantId) {
        if *edge == self.edge {
            self.end_local(id, LeaveReason::Replaced);
        } else if self.whereabouts.get(id) != Some(edge) {
            if let Some(remote) = self.remotes.get_mut(edge) {
                remote.roster.remove(id);
            }
            self.drop_empty(edge);
        }
    }

    /// A stay is over, and no longer known. If it was the one that counted, the one before does again,
    /// as long as that has not ended.
    pub(super) fn stay_ended(&mut self, edge: &EdgeId, id: &ParticipantId) {
        if self
            .formers
            .get(id)
            .is_some_and(|former| former.edge == *edge)
        {
            self.formers.remove(id);
            return;
        }
        let counted = match self.whereabouts.get(id) {
            Some(at) => at == edge,
            None => *edge == self.edge,
        };
        if !counted {
            return;
        }
        self.whereabouts.remove(id);
        if let Some(former) = self.formers.remove(id)
            && former.edge != self.edge
            && self.record_at(&former.edge, id).is_some()
        {
            self.whereabouts.insert(id.clone(), former.edge);
        }
    }

    /// Ends stays that were shown long enough beside those that count.
    pub(super) fn end_formers(&mut self, now: Time) {
        let over: Vec<_> = self
            .formers
            .iter()
            .filter(|(_, former)| former.until <= now)
            .map(|(id, former)| (id.clone(), former.edge.clone()))
            .collect();
        for (id, edge) in &over {
            let before = self.view(id);
            self.formers.remove(id);
            self.forget_stay(edge, id);
            self.tell_difference(id, before, LeaveReason::Replaced);
        }
        if !over.is_empty() {
            self.refresh_wanted();
        }
    }

    /// Tells the others what changed of somebody since `before`. Who is gone left for `reason`.
    pub(super) fn tell_difference(
        &mut self,
        id: &ParticipantId,
        before: Option<ParticipantView>,
        reason: LeaveReason,
    ) {
        let participant_id = id.clone();
        let (before, after) = match (before, self.view(id)) {
            (None, None) => return,
            (Some(_), None) => {
                let event = ServerEvent::ParticipantLeft {
                    participant_id,
                    reason,
                };
                self.tell_others(id, &event);
                return;
            }
            (None, Some(participant)) => {
                self.tell_others(id, &ServerEvent::ParticipantJoined { participant });
                return;
            }
            (Some(before), Some(after)) => (before, after),
        };
        let stay = |view: &ParticipantView| (view.edge.clone(), view.joined_at_ms);
        if stay(&before) != stay(&after) {
            let participant = after;
            self.tell_others(id, &ServerEvent::ParticipantJoined { participant });
            return;
        }
        if before.presence != after.presence {
            let event = ServerEvent::PresenceChanged {
                participant_id,
                presence: after.presence,
            };
            self.tell_others(id, &event);
        }
        for track in before.tracks.iter().filter(|t| !has(&after.tracks, t)) {
            let event = ServerEvent::TrackUnpublished {
                participant_id: id.clone(),
                track_id: track.track_id.clone(),
            };
            self.tell_others(id, &event);
        }
        for track in after.tracks.iter().filter(|t| !has(&before.tracks, t)) {
            let event = ServerEvent::TrackPublished {
                participant_id: id.clone(),
                track: track.clone(),
            };
            self.tell_others(id, &event);
        }
    }
}
