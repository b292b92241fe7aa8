//! A thousand edges and a million participants, with nothing but decisions: who goes to which edge, and
//! along which trees each room's tracks travel, while people come and go and edges and links fail.
//!
//! The edges of a region are asked for in the order of [`rank`], and every room is planned by the same
//! [`Planner`] as a coordinator's, on the same news: an edge that a room came to or left, and a camera
//! that changes what an edge sends by half. What people do beside that, such as muting a microphone,
//! is counted and changes no plan, as in a real mesh.

mod check;
mod failures;
mod room;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_placement::world::{self, Dice};
use sluice_placement::{Candidate, Changed, Limits, Planner, Preference, Rules, rank};
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Position;
use sluice_types::units::{Bitrate, Time};

use self::room::Room;
use crate::{Faults, Invariant, Outcome, Violation};

/// How often a participant does something, on average.
const ACTS: Duration = Duration::from_secs(20);

/// Of a thousand things that people do, how many are to come or go, and to turn a camera on or off.
const COMES_OR_GOES: u64 = 5;
const TURNS_CAMERA: u64 = 20;

/// How many regions, the nearest first, somebody is offered.
const NEAR: usize = 4;

/// How many rooms are looked at again at once after the mesh got better.
const REFRESH: usize = 200;

/// How large a simulated world is, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Regions.
    pub regions: usize,
    /// Edges of each region.
    pub edges_each: u32,
    /// People who may take part; most of the time nine of ten do.
    pub people: usize,
    /// What happens after everybody has come, faults excepted.
    pub events: u64,
    /// After how many events something fails, on average.
    pub fault_every: u64,
}

impl World {
    /// What a mesh of the size that is aimed at has: 50 regions, 1,000 edges, 1,000,000 participants.
    pub const FULL: Self = Self {
        regions: 50,
        edges_each: 20,
        people: 1_000_000,
        events: 5_000_000,
        fault_every: 50_000,
    };

    /// Runs one seed; `progress` is told how much of all is done: people come first, and when all have,
    /// that is told too.
    #[must_use]
    pub fn run(&self, seed: u64, progress: &mut dyn FnMut(u64, u64)) -> Report {
        Simulation::new(*self, seed).run(progress)
    }
}

/// What a run showed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// What every run shows.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Edges of all regions.
    pub edges: u64,
    /// Rooms that people have.
    pub rooms: u64,
    /// Participants who were given an edge, as often as they came.
    pub placed: u64,
    /// Rooms that were planned because of what they need, or because something failed.
    pub planned: u64,
    /// Of these, the ones whose plan changed.
    pub changed: u64,
    /// Plans that could not keep to every limit.
    pub beyond_limits: u64,
}

/// Somebody.
#[derive(Debug, Clone, Copy)]
struct Person {
    room: u32,
    /// The nearest regions, the nearest first.
    near: [u8; NEAR],
    /// Where, while it takes part.
    edge: Option<u16>,
    camera: bool,
    muted: bool,
}

struct Edge {
    id: EdgeId,
    region: RegionName,
    position: Position,
    up: bool,
    participants: u32,
}

struct Simulation {
    world: World,
    dice: Dice,
    edges: Vec<Edge>,
    people: Vec<Person>,
    rooms: Vec<Room>,
    planner: Planner,
    links: Vec<(RegionName, RegionName)>,
    down_links: BTreeSet<usize>,
    /// What each edge takes.
    capacity: u32,
    now: Time,
    report: Report,
}

impl Simulation {
    fn new(world: World, seed: u64) -> Self {
        let regions = world.regions.clamp(2, 250);
        let world = World { regions, ..world };
        let graph = world::mesh(regions, world.edges_each, Bitrate::mbps(400_000), seed);
        let positions = world::positions(regions, seed);
        let names: Vec<_> = (0..regions).map(world::name).collect();
        let links = check::links(&graph, &names);
        let edges: Vec<_> = (0..regions)
            .flat_map(|region| (1..=world.edges_each).map(move |edge| (region, edge)))
            .map(|(region, edge)| Edge {
                id: world::edge_name(region, edge),
                region: names[region].clone(),
                position: positions[region],
                up: true,
                participants: 0,
            })
            .collect();
        // People live unevenly: where most do, edges are full and others help out.
        let capacity = (world.people * 2 / edges.len().max(1)).max(8) as u32;
        let limits = Limits {
            hops_max: 6,
            fan_out_max: 4,
            stretch_permille: 1_500,
        };
        let mut people = Vec::with_capacity(world.people);
        let mut rooms = Vec::new();
        // Over the seeds, at every hour of the day.
        let hour = (seed % 24) as u32;
        for (number, members) in (0u32..).zip(world::meetings(world.people, seed, hour)) {
            rooms.push(Room::new(u64::from(number)));
            for person in members {
                people.push(Person {
                    room: number,
                    near: nearest(&positions, person.at),
                    edge: None,
                    camera: person.camera,
                    muted: false,
                });
            }
        }
        let counted = [edges.len(), rooms.len()].map(|count| count as u64);
        Self {
            world,
            dice: Dice::new(seed ^ 0x5eed),
            edges,
            people,
            rooms,
            planner: Planner::new(graph, Rules::from(limits)),
            links,
            down_links: BTreeSet::new(),
            capacity,
            now: Time::ZERO,
            report: Report {
                outcome: Outcome {
                    seed,
                    events: 0,
                    virtual_ms: 0,
                    settled_ms: None,
                    faults: Faults::default(),
                    broken: None,
                },
                edges: counted[0],
                rooms: counted[1],
                placed: 0,
                planned: 0,
                changed: 0,
                beyond_limits: 0,
            },
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(u64, u64)) -> Report {
        let people = self.people.len() as u64;
        let all = people + self.world.events;
        for person in 0..self.people.len() {
            self.enter(person);
            self.step(progress, all);
        }
        progress(people, all);
        let between = Duration::from_nanos((ACTS.as_nanos() as u64 / people.max(1)).max(1));
        let mut nanos = Duration::ZERO;
        while self.report.outcome.events < all && self.report.outcome.broken.is_none() {
            nanos += between;
            self.now = Time::ZERO + nanos;
            self.act();
            if self.dice.below(self.world.fault_every.max(1)) == 0 {
                self.fail_something();
                if let Some((invariant, what)) = self.misaccounted() {
                    self.breaks(invariant, what);
                }
            }
            if self.report.outcome.events.is_multiple_of(1_000) {
                self.refresh(REFRESH);
            }
            self.step(progress, all);
        }
        self.mend_everything();
        if self.report.outcome.broken.is_none() {
            self.report.outcome.settled_ms = Some(0);
        }
        self.report.outcome.virtual_ms = self.now.as_millis();
        progress(all, all);
        self.report
    }

    fn step(&mut self, progress: &mut dyn FnMut(u64, u64), all: u64) {
        self.report.outcome.events += 1;
        if self.report.outcome.events.is_multiple_of(50_000) {
            progress(self.report.outcome.events, all);
        }
    }

    fn breaks(&mut self, invariant: Invariant, what: String) {
        let now = self.now;
        let broken = || Violation::new(invariant, now, what);
        self.report.outcome.broken.get_or_insert_with(broken);
    }

    /// Somebody does something.
    fn act(&mut self) {
        let person = self.dice.below(self.people.len() as u64) as usize;
        match self.dice.below(1_000) {
            0..COMES_OR_GOES => match self.people[person].edge {
                // Who is out comes back sooner than others leave.
                None => self.enter(person),
                Some(_) if self.dice.below(9) == 0 => self.leave(person),
                Some(_) => {}
            },
            COMES_OR_GOES..TURNS_CAMERA => {
                self.count(person, false);
                self.people[person].camera ^= true;
                self.count(person, true);
                self.need(self.people[person].room);
            }
            _ => {
                self.count(person, false);
                self.people[person].muted ^= true;
                self.count(person, true);
            }
        }
    }

    /// Counts somebody in, or out, for what its edge sends.
    fn count(&mut self, person: usize, counts: bool) {
        let person = &self.people[person];
        if let Some(edge) = person.edge {
            let room = &mut self.rooms[person.room as usize];
            room.count(edge, !person.muted, person.camera, counts);
        }
    }

    /// Somebody comes, to the first edge that has room.
    fn enter(&mut self, number: usize) {
        let person = self.people[number];
        let room = &self.rooms[person.room as usize];
        let near = person.near.iter().position(|&region| {
            let edges = self.edges_of(usize::from(region));
            edges
                .iter()
                .any(|edge| edge.up && edge.participants < self.capacity)
        });
        let Some(near) = near else {
            return;
        };
        let region = usize::from(person.near[near]);
        let first = region * self.world.edges_each as usize;
        let candidates: Vec<_> = (first..)
            .zip(self.edges_of(region))
            .filter(|(_, edge)| edge.up)
            .map(|(at, edge)| Candidate {
                edge: edge.id.clone(),
                region: edge.region.clone(),
                position: edge.position,
                participants: edge.participants,
                capacity: self.capacity,
                has_room: room.has(at as u16),
            })
            .collect();
        let ranked = rank(&candidates, &Preference::default());
        let edges = self.edges_of(region);
        let place = ranked
            .first()
            .and_then(|chosen| edges.iter().position(|edge| edge.id == *chosen));
        let Some(place) = place else {
            return self.breaks(
                Invariant::EverybodyServed,
                format!("nobody was chosen in region {region}, which has room"),
            );
        };
        let edge = first + place;
        self.report.placed += 1;
        self.edges[edge].participants += 1;
        if self.edges[edge].participants > self.capacity || !self.edges[edge].up {
            let what = format!("{} was chosen, full or down", self.edges[edge].id);
            return self.breaks(Invariant::CapacityKept, what);
        }
        self.people[number].edge = Some(edge as u16);
        self.rooms[person.room as usize].enter(edge as u16);
        self.count(number, true);
        self.need(person.room);
    }

    fn leave(&mut self, number: usize) {
        self.count(number, false);
        let person = &mut self.people[number];
        let Some(edge) = person.edge.take() else {
            return;
        };
        let room = person.room;
        self.edges[usize::from(edge)].participants -= 1;
        self.rooms[room as usize].leave(edge);
        self.need(room);
    }

    fn edges_of(&self, region: usize) -> &[Edge] {
        let each = self.world.edges_each as usize;
        &self.edges[region * each..(region + 1) * each]
    }

    /// Plans a room anew when it needs something that is different enough.
    fn need(&mut self, number: u32) {
        let edges = &self.edges;
        let room = &mut self.rooms[number as usize];
        if !room.differs() {
            return;
        }
        self.report.planned += 1;
        if room.is_empty() {
            self.planner.remove(room.id());
            room.adopt();
            return;
        }
        let demand = room.demand(|edge| edges[usize::from(edge)].id.clone());
        room.adopt();
        let changed = self.planner.set_demand(room.id(), demand);
        self.take(changed.into_iter().collect());
    }

    /// Plans changed: each has to be sound.
    fn take(&mut self, changed: Vec<Changed>) {
        for changed in changed {
            self.report.changed += 1;
            if !changed.planned.broken.is_empty() {
                self.report.beyond_limits += 1;
            }
            if let Some((invariant, what)) = self.unsound(&changed) {
                self.breaks(invariant, format!("{}: {what}", changed.room));
            }
        }
    }

    fn refresh(&mut self, rooms_max: usize) {
        let changed = self.planner.refresh(rooms_max);
        self.report.planned += changed.len() as u64;
        self.take(changed);
    }
}

/// The regions nearest to somebody.
fn nearest(positions: &[Position], at: Position) -> [u8; NEAR] {
    let mut near = [(f64::MAX, 0u8); NEAR];
    for (region, position) in (0u8..).zip(positions) {
        let km = at.distance_km(*position);
        if let Some(place) = near.iter().position(|(other, _)| km < *other) {
            near[place..].rotate_right(1);
            near[place] = (km, region);
        }
    }
    near.map(|(_, region)| region)
}
