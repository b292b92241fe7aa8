//! The edge's line to the coordinator.

use std::time::Duration;

use sluice_relay::mesh::Mesh;
use sluice_types::ids::MeetingId;
use sluice_types::mesh::control::{
    CoordinatorMessage, EdgeMessage, Heartbeat, LinkReport, Registration, RelayReport, RoomPlan,
    RoomReport, TrackReport,
};

use super::EdgeHost;
use crate::mesh::Sabotage;
use crate::mesh::event::{Carried, EdgeEvent, HubEvent};
use crate::mesh::network::End;
use crate::mesh::scene::Scene;

/// How long to wait before the second attempt; doubled after each, up to the longest.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// After how long a silence the other end counts as gone.
const IDLE: Duration = Duration::from_secs(10);

/// How often heartbeats are sent.
const BEAT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Control {
    /// The line, and whether the coordinator has welcomed this edge on it.
    line: Option<(End, bool)>,
    backoff: Duration,
    attempt: u64,
}

impl Control {
    pub(super) fn is_line(&self, end: End) -> bool {
        self.line.is_some_and(|(line, _)| line == end)
    }
}

impl EdgeHost {
    pub(super) fn dial_coordinator(&mut self, scene: &mut Scene, attempt: u64) {
        if attempt != self.control.attempt || self.control.line.is_some() {
            return;
        }
        let (here, there) = (self.me.host, scene.coordinator());
        if !scene.net.is_alive(there) || !scene.net.reaches(here, there) {
            return self.dial_coordinator_later(scene);
        }
        let conn = scene.net.open(scene.now, [here, there], IDLE);
        let end = End { conn, side: 0 };
        self.control.line = Some((end, false));
        scene.look_after(end);
        scene.look_after(end.other());
        let hello = EdgeMessage::Hello(Registration {
            edge: self.id.clone(),
            region: self.region.clone(),
            sfu_endpoint: String::new(),
            signal_endpoint: String::new(),
            backbone: String::new(),
            capacity: self.capacity,
            software: String::new(),
        });
        scene.send(end, Carried::FromEdge(hello));
    }

    fn dial_coordinator_later(&mut self, scene: &mut Scene) {
        self.control.attempt += 1;
        let attempt = self.control.attempt;
        let backoff = self.control.backoff.max(BACKOFF);
        let wait = backoff / 2 + scene.part_of(backoff / 2);
        scene.edge_after(wait, self.me, EdgeEvent::DialCoordinator { attempt });
        self.control.backoff = (backoff * 2).min(BACKOFF_MAX);
    }

    pub(super) fn lose_line(&mut self, scene: &mut Scene) {
        self.control.line = None;
        self.dial_coordinator_later(scene);
    }

    pub(super) fn hear_coordinator(
        &mut self,
        scene: &mut Scene,
        to: End,
        message: CoordinatorMessage,
    ) {
        let Some((_, welcome)) = self.control.line.as_mut().filter(|(line, _)| *line == to) else {
            return;
        };
        match message {
            CoordinatorMessage::Welcome { .. } => {
                *welcome = true;
                self.control.backoff = BACKOFF;
                let first = EdgeEvent::Beat { line: to };
                scene.edge_after(Duration::ZERO, self.me, first);
                self.wake_hub(scene, HubEvent::CoordinatorUp);
            }
            CoordinatorMessage::Refuse { .. } => {
                scene.close(to);
                self.lose_line(scene);
            }
            message => self.wake_hub(scene, HubEvent::Coordinator(message)),
        }
    }

    pub(super) fn obey(&mut self, scene: &mut Scene, message: CoordinatorMessage) {
        match message {
            CoordinatorMessage::Directory { edges } => {
                self.backbone.directory = edges.into_iter().map(|edge| edge.edge).collect();
            }
            CoordinatorMessage::Plan(plan) => {
                let plan = self.sabotaged(scene, plan);
                self.mesh.apply_plan(&plan);
                self.report(scene);
            }
            CoordinatorMessage::End { room, reason } => {
                if let (Some(reason), Some(state)) = (reason, self.rooms.get_mut(&room)) {
                    state.room.end(reason);
                    self.touched.insert(room.clone());
                    self.settle(scene);
                }
                self.forget_room(scene, &room);
            }
            // The one coordinator here always leads, takes nothing back, and asks no edge to drain.
            CoordinatorMessage::Drain {}
            | CoordinatorMessage::Lead { .. }
            | CoordinatorMessage::Revoked { .. }
            | CoordinatorMessage::Welcome { .. }
            | CoordinatorMessage::Refuse { .. }
            | CoordinatorMessage::Jwks { .. } => {}
        }
    }

    /// The plan, unless plans are to be broken.
    fn sabotaged(&mut self, scene: &Scene, mut plan: RoomPlan) -> RoomPlan {
        if scene.breaks(Sabotage::PlanInCircles) {
            for tree in &mut plan.trees {
                if let [first, .., last] = &mut *tree.branches {
                    (first.parent, first.backup) = (last.edge.clone(), None);
                    (last.parent, last.backup) = (first.edge.clone(), None);
                }
            }
        }
        if scene.breaks(Sabotage::FollowOldPlans) {
            let first = self.first.get_or_insert_with(|| plan.clone());
            if self.mesh.epoch(&first.room) > Some(first.epoch) && first.room == plan.room {
                self.mesh = Mesh::new(self.id.clone(), self.region.clone());
                return first.clone();
            }
        }
        plan
    }

    fn forget_room(&mut self, scene: &mut Scene, room: &MeetingId) {
        let state = self.rooms.get(room);
        if state.is_none_or(|state| state.room.is_empty()) {
            self.mesh.end_room(room);
            self.settle(scene);
            self.rooms.remove(room);
            self.touched.remove(room);
        }
    }

    /// The coordinator may have forgotten what this edge needs.
    pub(super) fn tell_all_demand(&mut self) {
        for (id, state) in &mut self.rooms {
            state.told = None;
            self.touched.insert(id.clone());
        }
    }

    pub(super) fn tell_coordinator(&self, scene: &mut Scene, message: EdgeMessage) {
        if let Some((line, true)) = self.control.line {
            scene.send(line, Carried::FromEdge(message));
        }
    }

    pub(super) fn beat(&mut self, scene: &mut Scene, line: End) {
        if self.control.line != Some((line, true)) {
            return;
        }
        scene.edge_after(BEAT, self.me, EdgeEvent::Beat { line });
        let beat = EdgeMessage::Heartbeat(self.heartbeat());
        self.tell_coordinator(scene, beat);
    }

    fn heartbeat(&self) -> Heartbeat {
        let rooms = self.rooms.iter().map(|(id, state)| {
            let tracks = state.room.locals().flat_map(|record| {
                record.tracks.iter().map(|track| TrackReport {
                    track: track.track_id.clone(),
                    kind: track.kind,
                    publisher: record.participant_id.clone(),
                    name: record.name.clone(),
                    packets: self.media.packets_of(&track.track_id),
                })
            });
            let relays = self.mesh.receiving().filter(|(_, _, room, ..)| *room == id);
            RoomReport {
                room: id.clone(),
                epoch: self.mesh.epoch(id).unwrap_or_default(),
                participants: state.room.local_count() as u32,
                tracks: tracks.collect(),
                relays: relays
                    .filter_map(|(from, relay, _, root, track)| {
                        Some(RelayReport {
                            track: track.clone(),
                            kind: self.mesh.track(id, track)?.kind,
                            from: from.clone(),
                            root: root.clone(),
                            packets: self.backbone.packets_over(from, relay),
                        })
                    })
                    .collect(),
            }
        });
        let rooms: Vec<_> = rooms.collect();
        Heartbeat {
            participants: rooms.iter().map(|room| room.participants).sum(),
            load_permille: 100,
            links: self.links(),
            rooms,
        }
    }

    fn links(&self) -> Vec<LinkReport> {
        let measured = self.backbone.measured();
        measured
            .map(|(peer, measured)| LinkReport {
                peer,
                round_trip_us: measured.round_trip.as_micros() as u64,
                loss_ppm: (measured.loss * 1e6) as u32,
                sent_bytes: 0,
                received_bytes: 0,
            })
            .collect()
    }
}
