//! What the coordinator says, and what it is told in heartbeats.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use sluice_meshnet::Fingerprint;
use sluice_types::ids::MeetingId;
use sluice_types::mesh::control::{
    CoordinatorMessage, Heartbeat, ROOMS_REPORTED_MAX, RelayReport, RoomReport, TrackReport,
};
use sluice_types::revocation::{Revocation, Revoked};

use super::{Hub, Member};
use crate::control::{ControlEvent, LineNumber};

impl Hub {
    pub(super) fn take_control(&mut self, line: LineNumber, event: ControlEvent) {
        match event {
            ControlEvent::Connected {
                mesh,
                jwks,
                public_url,
                has_terms,
            } => {
                self.lines.insert(line);
                self.leaders.forget(line);
                if !has_terms {
                    self.leaders.lead_without_terms(line);
                }
                self.keyring.replace(&mesh, &jwks);
                *self
                    .coordinator_url
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = Some(public_url);
                self.tell_all_demand();
            }
            ControlEvent::Disconnected => {
                self.lines.remove(&line);
                self.leaders.forget(line);
            }
            ControlEvent::Refused { .. } => {}
            ControlEvent::Message(CoordinatorMessage::Lead { term }) => {
                tracing::info!(line, %term, "a coordinator leads");
                self.leaders.lead(line, term);
            }
            ControlEvent::Message(message)
                if is_leaders(&message) && !self.leaders.follows(line) =>
            {
                let highest = self.leaders.highest();
                tracing::info!(line, %highest, "a coordinator whose term is over is not followed");
                metrics::counter!("sluice_control_fenced_messages_total").increment(1);
            }
            ControlEvent::Message(message) => self.take_coordinator(message),
        }
    }

    /// The coordinator may have forgotten what this edge needs.
    fn tell_all_demand(&mut self) {
        let rooms: Vec<_> = self.rooms.keys().cloned().collect();
        for id in rooms {
            if let Some(state) = self.rooms.get_mut(&id) {
                state.told = None;
            }
            self.tell_whole_attendance(&id);
            self.touched.insert(id);
        }
    }

    fn take_coordinator(&mut self, message: CoordinatorMessage) {
        match message {
            CoordinatorMessage::Welcome { .. }
            | CoordinatorMessage::Refuse { .. }
            | CoordinatorMessage::Lead { .. } => {}
            CoordinatorMessage::Revoked { revocations } => self.take_revocations(revocations),
            CoordinatorMessage::Jwks { jwks } => self.keyring.replace_keys(&jwks),
            CoordinatorMessage::Directory { mut edges } => {
                for edge in &mut edges {
                    if let Some(&via) = self.config.backbone_via.get(&edge.edge) {
                        edge.backbone = vec![via];
                    }
                }
                self.backbone.update_directory(edges);
            }
            CoordinatorMessage::Plan(plan) => {
                tracing::info!(meeting = %plan.room, epoch = %plan.epoch, "following a plan");
                self.mesh.apply_plan(&plan);
            }
            CoordinatorMessage::Drain {} => self.drain(),
            CoordinatorMessage::Vacate {
                room,
                candidates,
                reason,
            } => self.vacate(room, &candidates, reason),
            CoordinatorMessage::Repairs { overheads } => {
                self.backbone.set_overheads(overheads.into_iter().collect());
            }
            CoordinatorMessage::End { room, reason } => {
                if let (Some(reason), Some(state)) = (reason, self.rooms.get_mut(&room)) {
                    state.room.end(reason);
                    self.touched.insert(room.clone());
                    self.settle();
                }
                self.forget_room(&room);
            }
        }
    }

    /// What was taken back counts from now on, and for those who are here already.
    fn take_revocations(&mut self, revocations: Vec<Revocation>) {
        let fingerprints = revocations.iter().filter_map(|revocation| {
            let Revoked::Certificate(fingerprint) = &revocation.what else {
                return None;
            };
            fingerprint.parse::<Fingerprint>().ok()
        });
        let closed = self.admission.revoke(fingerprints.collect());
        if closed > 0 {
            tracing::warn!(closed, "connections of revoked certificates are closed");
        }
        let refused = |member: &Member| revocations.iter().any(|one| one.refuses(&member.claims));
        let mut removed = Vec::new();
        for (id, state) in &self.rooms {
            let members = state.members.iter().filter(|(_, member)| refused(member));
            removed.extend(members.map(|(participant, _)| (id.clone(), participant.clone())));
        }
        self.keyring.revoke(revocations);
        for (id, participant) in removed {
            tracing::info!(meeting = %id, %participant, "removed: the token was revoked");
            if let Some(state) = self.rooms.get_mut(&id) {
                state.room.remove_local(&participant);
                self.touched.insert(id);
            }
        }
        self.settle();
    }

    /// A room that nobody here is in any more, and that no plan has this edge in.
    fn forget_room(&mut self, room: &MeetingId) {
        let empty = self
            .rooms
            .get(room)
            .is_none_or(|state| state.room.is_empty());
        if empty {
            self.mesh.end_room(room);
            self.settle();
            self.rooms.remove(room);
            self.touched.remove(room);
            self.media.close_room(room);
        }
    }

    pub(super) fn make_heartbeat(&self) -> Heartbeat {
        let media = self.media.report();
        let mut rooms: Vec<_> = self
            .rooms
            .iter()
            .map(|(id, state)| RoomReport {
                room: id.clone(),
                epoch: self.mesh.epoch(id).unwrap_or_default(),
                participants: state.room.local_count() as u32,
                tracks: state
                    .room
                    .locals()
                    .flat_map(|record| {
                        record.tracks.iter().map(|track| TrackReport {
                            track: track.track_id.clone(),
                            kind: track.kind,
                            publisher: record.participant_id.clone(),
                            name: record.name.clone(),
                            packets: media.tracks.get(&track.track_id).copied().unwrap_or(0),
                        })
                    })
                    .collect(),
                relays: self
                    .incoming
                    .iter()
                    .filter(|(_, incoming)| incoming.room == *id)
                    .map(|((from, _), incoming)| RelayReport {
                        track: incoming.track.clone(),
                        kind: incoming.kind,
                        from: from.clone(),
                        root: incoming.root.clone(),
                        packets: incoming.packets.load(Ordering::Relaxed),
                    })
                    .collect(),
            })
            .collect();
        let participants = rooms.iter().map(|room| room.participants).sum();
        rooms.sort_by_key(|room| std::cmp::Reverse(room.participants));
        rooms.truncate(ROOMS_REPORTED_MAX);
        metrics::gauge!("sluice_edge_participants").set(f64::from(participants));
        metrics::gauge!("sluice_edge_rooms").set(self.rooms.len() as f64);
        metrics::gauge!("sluice_edge_tracks", "origin" => "local").set(self.published.len() as f64);
        metrics::gauge!("sluice_edge_tracks", "origin" => "relayed").set(self.tracks.len() as f64);
        Heartbeat {
            participants,
            load_permille: media.load_permille,
            links: self.backbone.reports(),
            rooms,
        }
    }
}

/// Whether only the coordinator that leads may say it. That a meeting was ended is true whoever
/// says it.
const fn is_leaders(message: &CoordinatorMessage) -> bool {
    matches!(
        message,
        CoordinatorMessage::Directory { .. }
            | CoordinatorMessage::Plan(_)
            | CoordinatorMessage::Vacate { .. }
            | CoordinatorMessage::End { reason: None, .. }
    )
}
