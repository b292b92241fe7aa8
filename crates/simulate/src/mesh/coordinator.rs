//! The coordinator: its cores, joined as its shell joins them, and its store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_placement::registry::{Kept, Looked, Plans, Registry, Replanned, SETTLING};
use sluice_placement::{Preference, Residency, rank_within};
use sluice_types::ids::{EdgeId, Epoch, MeetingId};
use sluice_types::mesh::control::{CoordinatorMessage, EdgeMessage};
use sluice_types::topology::{Position, Topology};
use sluice_types::units::Time;

use super::Sabotage;
use super::event::{Carried, CoordinatorEvent, Event};
use super::network::{End, HostIx};
use super::scene::Scene;

/// How often silence is looked for.
const SILENCE_CHECK: Duration = Duration::from_millis(500);

/// How often measured round trips are looked at, besides when rooms are to be planned.
const LOOK: Duration = Duration::from_secs(1);

/// How long planning may take, and writing.
const PLANNING: Duration = Duration::from_millis(15);

/// The most participants of a meeting.
const PARTICIPANTS_MAX: u32 = 100;

/// What outlives the process.
#[derive(Default)]
pub(super) struct Store {
    epochs: BTreeMap<MeetingId, Epoch>,
    ended: BTreeSet<MeetingId>,
}

impl Store {
    pub(super) fn is_ended(&self, room: &MeetingId) -> bool {
        self.ended.contains(room)
    }
}

pub(super) struct Coordinator {
    run: u32,
    started: Time,
    registry: Registry,
    plans: Plans,
    lines: BTreeMap<EdgeId, (u64, End)>,
    replan: BTreeSet<MeetingId>,
    /// A look is under way.
    looking: bool,
    /// Another is due at once.
    asked: bool,
    looks: u64,
}

impl Coordinator {
    pub(super) fn start(scene: &mut Scene, run: u32, topology: &Topology) -> Self {
        scene.after(
            SILENCE_CHECK,
            Event::Coordinator(run, CoordinatorEvent::Silence),
        );
        scene.after(LOOK, Event::Coordinator(run, CoordinatorEvent::Look(0)));
        Self {
            run,
            started: scene.now,
            plans: Plans::new(topology),
            registry: Registry::new(topology.clone()),
            lines: BTreeMap::new(),
            replan: BTreeSet::new(),
            looking: false,
            asked: false,
            looks: 0,
        }
    }

    fn now(&self, scene: &Scene) -> Time {
        Time::ZERO + scene.now.since(self.started)
    }

    pub(super) fn handle(&mut self, scene: &mut Scene, store: &mut Store, event: CoordinatorEvent) {
        match event {
            CoordinatorEvent::Look(number) => {
                if number == self.looks {
                    self.look(scene, store);
                }
            }
            CoordinatorEvent::Keep(looked) => self.keep(scene, store, &looked),
            CoordinatorEvent::Tell(plans) => self.tell_plans(scene, store, plans),
            CoordinatorEvent::Replan(rooms) => self.ask(scene, rooms),
            CoordinatorEvent::Silence => self.watch_silence(scene),
        }
    }

    /// Has rooms planned anew.
    fn ask(&mut self, scene: &mut Scene, rooms: impl IntoIterator<Item = MeetingId>) {
        self.replan.extend(rooms);
        if !self.replan.is_empty() {
            self.look_again(scene);
        }
    }

    fn look_again(&mut self, scene: &mut Scene) {
        self.asked = true;
        if !self.looking {
            self.look_after(scene, Duration::ZERO);
        }
    }

    fn look_after(&mut self, scene: &mut Scene, wait: Duration) {
        self.looks += 1;
        let look = CoordinatorEvent::Look(self.looks);
        scene.after(wait, Event::Coordinator(self.run, look));
    }

    fn look(&mut self, scene: &mut Scene, store: &Store) {
        (self.looking, self.asked) = (true, false);
        let settling = self.now(scene).since(Time::ZERO) < SETTLING;
        let rooms = std::mem::take(&mut self.replan);
        let view = self.registry.view(rooms, settling);
        let kept = view.outlooks.iter().map(|outlook| {
            let room = outlook.room();
            let kept = Kept {
                residency: Residency::anywhere(),
                ended: store.ended.contains(room),
                planned: store.epochs.contains_key(room),
            };
            (room.clone(), kept)
        });
        let looked = self.plans.look(&view, &kept.collect());
        let wait = scene.part_of(PLANNING);
        let keep = CoordinatorEvent::Keep(Box::new(looked));
        scene.after(wait, Event::Coordinator(self.run, keep));
    }

    fn keep(&mut self, scene: &mut Scene, store: &mut Store, looked: &Looked) {
        let in_force = self.registry.trees_of(&looked.concerned);
        let news = self.plans.news(looked, &in_force);
        let mut plans = Vec::new();
        for replanned in news {
            let last = store.epochs.entry(replanned.room.clone()).or_default();
            *last = last.next();
            let epoch = match scene.breaks(Sabotage::RepeatEpochs) {
                true => Epoch(last.0.min(2)),
                false => *last,
            };
            plans.push((replanned, epoch));
        }
        if !looked.later.is_empty() {
            let wait = SETTLING.saturating_sub(self.now(scene).since(Time::ZERO));
            let again = CoordinatorEvent::Replan(looked.later.clone());
            scene.after(wait, Event::Coordinator(self.run, again));
        }
        for room in &looked.ended {
            self.end(scene, room);
        }
        self.asked |= looked.unfinished;
        let wait = scene.part_of(PLANNING);
        let tell = CoordinatorEvent::Tell(plans);
        scene.after(wait, Event::Coordinator(self.run, tell));
    }

    fn tell_plans(&mut self, scene: &mut Scene, store: &Store, plans: Vec<(Replanned, Epoch)>) {
        for (replanned, epoch) in plans {
            let room = replanned.room.clone();
            if !store.ended.contains(&room) {
                scene
                    .watch
                    .planned(scene.now, &room, epoch, &replanned.trees);
            }
            for (edge, message) in self.registry.announce(replanned, epoch) {
                self.tell(scene, &edge, message);
            }
        }
        self.looking = false;
        let wait = if self.asked { Duration::ZERO } else { LOOK };
        self.look_after(scene, wait);
    }

    fn tell(&self, scene: &mut Scene, edge: &EdgeId, message: CoordinatorMessage) {
        if let Some(&(_, line)) = self.lines.get(edge) {
            scene.send(line, Carried::ToEdge(message));
        }
    }

    fn publish_directory(&self, scene: &mut Scene) {
        let edges = self.registry.directory();
        let directory = CoordinatorMessage::Directory { edges };
        for edge in self.lines.keys() {
            self.tell(scene, edge, directory.clone());
        }
    }

    fn watch_silence(&mut self, scene: &mut Scene) {
        let again = Event::Coordinator(self.run, CoordinatorEvent::Silence);
        scene.after(SILENCE_CHECK, again);
        let now = self.now(scene);
        self.registry.forget_old(now);
        let silent_after = self.registry.topology().coordinator().silent_after();
        for (edge, number) in self.registry.silent(now, silent_after.duration()) {
            let rooms = self.registry.drop_edge(&edge, number);
            if let Some((_, line)) = self.lines.remove(&edge) {
                scene.close(line);
            }
            self.ask(scene, rooms.unwrap_or_default());
            self.publish_directory(scene);
        }
    }

    /// An edge says something.
    pub(super) fn arrive(&mut self, scene: &mut Scene, line: End, message: EdgeMessage) {
        if let EdgeMessage::Hello(registration) = message {
            let edge = registration.edge.clone();
            let now = self.now(scene);
            let Ok(number) = self.registry.register(now, registration, Vec::new()) else {
                let reason = String::new();
                scene.send(line, Carried::ToEdge(CoordinatorMessage::Refuse { reason }));
                return;
            };
            if let Some((_, before)) = self.lines.insert(edge.clone(), (number, line)) {
                scene.close(before);
            }
            let heartbeat = self.registry.topology().coordinator().heartbeat();
            let welcome = CoordinatorMessage::Welcome {
                mesh: String::new(),
                jwks: String::new(),
                heartbeat_ms: heartbeat.0,
                public_url: String::new(),
            };
            self.tell(scene, &edge, welcome);
            self.publish_directory(scene);
            for plan in self.registry.plans_of(&edge) {
                self.tell(scene, &edge, CoordinatorMessage::Plan(plan));
            }
            return self.look_again(scene);
        }
        let Some(edge) = self.edge_at(line) else {
            return;
        };
        match message {
            EdgeMessage::Heartbeat(heartbeat) => {
                let now = self.now(scene);
                let affected = self.registry.heartbeat(now, &edge, heartbeat);
                self.ask(scene, affected);
            }
            EdgeMessage::Demand(demand) => {
                let room = demand.room.clone();
                if self.registry.demand(&edge, demand) {
                    self.ask(scene, [room]);
                }
            }
            EdgeMessage::Draining {} => self.registry.drain(&edge),
            EdgeMessage::Hello(_) => {}
        }
    }

    fn edge_at(&self, line: End) -> Option<EdgeId> {
        let mut lines = self.lines.iter();
        let (edge, _) = lines.find(|(_, (_, end))| *end == line)?;
        Some(edge.clone())
    }

    /// A line is over; the edge counts until it was silent for too long.
    pub(super) fn lost(&mut self, line: End) {
        self.lines.retain(|_, (_, end)| *end != line);
    }

    /// An edge for somebody who wants to join.
    pub(super) fn seat(
        &mut self,
        scene: &Scene,
        store: &Store,
        room: &MeetingId,
        position: Position,
    ) -> Option<HostIx> {
        if store.ended.contains(room) {
            return None;
        }
        let now = self.now(scene);
        let candidates = self.registry.candidates(now, room);
        let preference = Preference {
            position: Some(position),
            measured_ms: BTreeMap::new(),
        };
        let ranked = rank_within(&candidates, &preference, &Residency::anywhere());
        let edge = ranked.into_iter().next()?;
        let seated = self.registry.take_seat(now, room, &edge, PARTICIPANTS_MAX);
        scene.by_id.get(&edge).copied().filter(|_| seated)
    }

    /// Somebody ends a meeting.
    pub(super) fn end_meeting(&mut self, scene: &mut Scene, store: &mut Store, room: &MeetingId) {
        store.ended.insert(room.clone());
        self.end(scene, room);
    }

    fn end(&mut self, scene: &mut Scene, room: &MeetingId) {
        let messages = self.registry.announce_end(room);
        self.ask(scene, [room.clone()]);
        for (edge, message) in messages {
            self.tell(scene, &edge, message);
        }
    }
}
