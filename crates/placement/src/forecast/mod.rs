//! What a mesh would do for people as they are spread over the world: before it is built.
//!
//! Edges are chosen and trees are planned by what chooses and plans in earnest.

mod failures;
mod sound;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::mesh::control::RelayTree;
use sluice_types::topology::{Price, Topology};
use sluice_types::units::Bitrate;

use crate::demand::{Demand, Stream};
use crate::graph::Graph;
use crate::limits::{Broken, Limits};
use crate::nearest::{Candidate, Preference, access_us, rank_within};
use crate::planner::Planner;
use crate::residency::Residency;
use crate::tree::Rules;
use crate::world::{Person, activity_permille, meetings};

pub use failures::{Failed, Failure};

/// What one who takes part sends: sound, and pictures in three layers.
const SOUND: Bitrate = Bitrate::kbps(60);
const PICTURES: Bitrate = Bitrate::kbps(2_500);

/// What is played: a working day over the world's time zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scene {
    /// How many take part in meetings at once in the busiest hour.
    pub people: usize,
    /// Equal seeds make equal people.
    pub seed: u64,
    /// How many such days a month has.
    pub days_a_month: u32,
}

impl Scene {
    /// The hour of UTC in which most people are in meetings.
    #[must_use]
    pub fn busiest_hour() -> u32 {
        let hours = (0..24).rev();
        hours
            .max_by_key(|hour| activity_permille(*hour))
            .unwrap_or_default()
    }

    /// How many take part at an hour of UTC.
    #[must_use]
    pub fn people_at(&self, hour: u32) -> usize {
        self.people * activity_permille(hour) as usize / 1_000
    }

    fn meetings(&self, hour: u32) -> Vec<Vec<Person>> {
        meetings(self.people_at(hour), self.seed, hour)
    }
}

/// An hour of the day, by UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Hour {
    /// How many are in meetings.
    pub people: usize,
    /// How many of them have no place.
    pub unserved: usize,
    /// The link that is fullest, by who sends and who receives, and how full it is: 1 carries all
    /// that it can. None without links.
    pub fullest: Option<((RegionName, RegionName), f64)>,
    /// What the links cost in this hour, in millionths of a USD.
    pub micro_usd: u128,
}

/// Who would notice a change from one mesh to another, in the hour in which most would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moves {
    /// That hour, by UTC: the region that changes may sleep in the world's busiest.
    pub hour: u32,
    /// People who are sent to another edge, or to none.
    pub people: usize,
    /// Meetings with such people.
    pub meetings: usize,
    /// Meetings whose people stay, and whose tracks travel another way.
    pub rerouted: usize,
}

/// What a mesh does for them, in the busiest hour where nothing else is said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    /// How many have a place.
    pub served: usize,
    /// How many have none: all edges that they may go to are full.
    pub unserved: usize,
    /// How many go to each region.
    pub people: BTreeMap<RegionName, usize>,
    /// From people to their edges, in kilometres, over all hours of a day.
    pub distance_km: Percentiles,
    /// The round trip to their edges, in milliseconds, over all hours of a day.
    pub round_trip_ms: Percentiles,
    /// From mouth to ear between two regions, in milliseconds, one way; none where no way leads.
    pub mouth_to_ear_ms: BTreeMap<(RegionName, RegionName), Option<u64>>,
    /// What each link carries, by who sends and who receives.
    pub links: BTreeMap<(RegionName, RegionName), LinkLoad>,
    /// Each hour of a day, by UTC.
    pub day: Vec<Hour>,
    /// What the links cost a month, in whole USD.
    pub usd_a_month: u64,
    /// How many meetings break a limit, by the kind of limit.
    pub broken: BTreeMap<&'static str, usize>,
    /// What breaks when any one link or region fails.
    pub failures: Vec<Failed>,
}

/// How something is spread over people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// Half have no more.
    pub p50: u64,
    /// Nine of ten have no more.
    pub p90: u64,
    /// 19 of 20 have no more.
    pub p95: u64,
    /// 99 of 100 have no more.
    pub p99: u64,
    /// Nobody has more.
    pub max: u64,
}

/// What a link carries in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLoad {
    /// What plans put on it.
    pub load: Bitrate,
    /// What it can carry.
    pub capacity: Bitrate,
    /// What sending costs.
    pub price: Price,
}

impl LinkLoad {
    /// Whether it carries more than it can.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.load.as_bps() > self.capacity.as_bps()
    }
}

impl Percentiles {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100);
            values
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Self {
            p50: at(50),
            p90: at(90),
            p95: at(95),
            p99: at(99),
            max: at(100),
        }
    }
}

/// Plays the scene on a mesh, whole and with any one link or region failed.
#[must_use]
pub fn forecast(topology: &Topology, scene: &Scene) -> Forecast {
    let meetings = scene.meetings(Scene::busiest_hour());
    let whole = Played::play(topology, &meetings, None);
    let mut forecast = whole.forecast(topology);
    let hours = (0..24).map(|hour| Hour::play(topology, scene, hour));
    let (day, kilometres): (_, Vec<_>) = hours.unzip();
    forecast.day = day;
    // Parts of the world sleep in any one hour, and their people count as well.
    let kilometres: Vec<f64> = kilometres.concat();
    forecast.distance_km = Percentiles::of(kilometres.iter().map(|km| *km as u64).collect());
    let millis = kilometres.iter().map(|km| access_us(*km) / 1_000);
    forecast.round_trip_ms = Percentiles::of(millis.collect());
    let day: u128 = forecast.day.iter().map(|hour| hour.micro_usd).sum();
    let month = day * u128::from(scene.days_a_month) / 1_000_000;
    forecast.usd_a_month = u64::try_from(month).unwrap_or(u64::MAX);
    forecast.mouth_to_ear_ms = sound::mouth_to_ear_ms(topology, &whole.rules, &whole.access_us());
    forecast.failures = failures::all(topology, &meetings, &whole);
    forecast
}

/// Plays a day on two meshes: who would notice the change from one to the other.
#[must_use]
pub fn moves(before: &Topology, after: &Topology, scene: &Scene) -> Moves {
    let hours = (0..24).map(|hour| moves_at(before, after, scene, hour));
    let most = hours.max_by_key(|moves| (moves.people, moves.rerouted, Reverse(moves.hour)));
    most.unwrap_or_default()
}

fn moves_at(before: &Topology, after: &Topology, scene: &Scene, hour: u32) -> Moves {
    let meetings = scene.meetings(hour);
    let [before, after] = [before, after].map(|mesh| Played::play(mesh, &meetings, None));
    let mut moves = Moves {
        hour,
        ..Moves::default()
    };
    for (number, (was, is)) in before.placed.iter().zip(&after.placed).enumerate() {
        let people = was.iter().zip(is).filter(|(was, is)| was != is).count();
        moves.people += people;
        if people > 0 {
            moves.meetings += 1;
        } else if before.ways(number) != after.ways(number) {
            moves.rerouted += 1;
        }
    }
    moves
}

impl Hour {
    /// The hour, and how far everybody in it is from their edge.
    fn play(topology: &Topology, scene: &Scene, hour: u32) -> (Self, Vec<f64>) {
        let played = Played::play(topology, &scene.meetings(hour), None);
        let links = links(topology, &played.planner);
        let full = links.iter().map(|(ends, link)| {
            let share = link.load.as_bps() as f64 / link.capacity.as_bps() as f64;
            (ends.clone(), share)
        });
        let hour = Self {
            people: scene.people_at(hour),
            unserved: played.unserved,
            fullest: full.max_by(|(_, a), (_, b)| a.total_cmp(b)),
            micro_usd: micro_usd_an_hour(links.values()),
        };
        (hour, played.seats.iter().map(|(.., km)| *km).collect())
    }
}

/// A scene that was played.
struct Played {
    planner: Planner,
    rules: Rules,
    /// Who has a place: where, and how far away in kilometres.
    seats: Vec<(EdgeId, RegionName, f64)>,
    /// Meeting by meeting, where each of its people is.
    placed: Vec<Vec<Option<EdgeId>>>,
    unserved: usize,
}

/// What the planner calls a meeting.
fn meeting_id(number: usize) -> MeetingId {
    let mut id = [0; 10];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    MeetingId::from_random(id)
}

impl Played {
    /// Everybody joins, one meeting after the other; `without` is a region that is down.
    fn play(topology: &Topology, meetings: &[Vec<Person>], without: Option<&RegionName>) -> Self {
        let up = topology
            .edges()
            .filter(|(region, _)| Some(region.name()) != without);
        let mut edges: Vec<Candidate> = up
            .map(|(region, edge)| Candidate {
                edge: edge.id().clone(),
                region: region.name().clone(),
                position: region.position(),
                participants: 0,
                capacity: edge.capacity(),
                has_room: false,
            })
            .collect();
        let graph = Graph::new(topology, edges.iter().map(|edge| edge.edge.clone()));
        let rules = Rules::from(Limits::from(topology.policy()));
        let residency = Residency::from(topology.region_rules());
        let mut played = Self {
            planner: Planner::new(graph, rules),
            rules,
            seats: Vec::new(),
            placed: Vec::new(),
            unserved: 0,
        };
        for (number, people) in meetings.iter().enumerate() {
            edges.iter_mut().for_each(|edge| edge.has_room = false);
            let mut sent: BTreeMap<EdgeId, u64> = BTreeMap::new();
            let mut placed = Vec::with_capacity(people.len());
            for person in people {
                let seat = played.seat(&mut edges, person, &residency);
                placed.push(seat.as_ref().map(|(edge, _)| edge.clone()));
                let Some((edge, bps)) = seat else {
                    played.unserved += 1;
                    continue;
                };
                *sent.entry(edge).or_default() += bps;
            }
            played.placed.push(placed);
            let wanted_by: BTreeSet<_> = sent.keys().cloned().collect();
            let stream = |(edge, bps)| {
                let stream = Stream {
                    bitrate: Bitrate::bps(bps),
                    wanted_by: wanted_by.clone(),
                    warm: BTreeSet::new(),
                };
                (edge, stream)
            };
            let demand = Demand {
                streams: sent.into_iter().map(stream).collect(),
                residency: residency.clone(),
            };
            played.planner.set_demand(&meeting_id(number), demand);
        }
        played
    }

    fn seat(
        &mut self,
        edges: &mut [Candidate],
        person: &Person,
        residency: &Residency,
    ) -> Option<(EdgeId, u64)> {
        let preference = Preference {
            position: Some(person.at),
            ..Preference::default()
        };
        let best = rank_within(edges, &preference, residency)
            .into_iter()
            .next()?;
        let edge = edges.iter_mut().find(|edge| edge.edge == best)?;
        edge.participants += 1;
        edge.has_room = true;
        let km = person.at.distance_km(edge.position);
        self.seats.push((best.clone(), edge.region.clone(), km));
        let pictures = if person.camera { PICTURES.as_bps() } else { 0 };
        Some((best, SOUND.as_bps() + pictures))
    }

    /// From whom each edge of a meeting receives, root by root. Backups do not count.
    fn ways(&self, number: usize) -> BTreeSet<(EdgeId, EdgeId, EdgeId)> {
        let planned = self
            .planner
            .planned(&meeting_id(number))
            .unwrap_or_default();
        let of_tree = |tree: &RelayTree| {
            let root = &tree.root;
            let ways = tree.branches.iter();
            let ways = ways.map(|at| (root.clone(), at.parent.clone(), at.edge.clone()));
            ways.collect::<Vec<_>>()
        };
        planned.trees.iter().flat_map(of_tree).collect()
    }

    /// The usual round trip from each region's people to its edges, in microseconds.
    fn access_us(&self) -> BTreeMap<RegionName, u64> {
        let mut by_region: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (_, region, km) in &self.seats {
            let all = by_region.entry(region.clone()).or_default();
            all.push(access_us(*km));
        }
        let median = |(region, all)| (region, Percentiles::of(all).p50);
        by_region.into_iter().map(median).collect()
    }

    fn forecast(&self, topology: &Topology) -> Forecast {
        let mut people = BTreeMap::new();
        for (_, region, _) in &self.seats {
            *people.entry(region.clone()).or_default() += 1;
        }
        let links = links(topology, &self.planner);
        Forecast {
            served: self.seats.len(),
            unserved: self.unserved,
            people,
            links,
            broken: broken(&self.planner),
            ..Forecast::default()
        }
    }
}

/// What every link carries.
fn links(topology: &Topology, planner: &Planner) -> BTreeMap<(RegionName, RegionName), LinkLoad> {
    let both_ways = topology.links().iter().flat_map(|link| {
        let [a, b] = link.ends();
        [(link, a, b), (link, b, a)]
    });
    let load = |(link, from, to): (&sluice_types::topology::Link, &RegionName, &RegionName)| {
        let load = LinkLoad {
            load: planner.load(from, to),
            capacity: link.capacity(),
            price: link.price_from(from).unwrap_or_default(),
        };
        ((from.clone(), to.clone()), load)
    };
    both_ways.map(load).collect()
}

/// In millionths of a USD.
fn micro_usd_an_hour<'a>(links: impl Iterator<Item = &'a LinkLoad>) -> u128 {
    // Bits per second, and millionths of a USD for 10⁹ bytes.
    let micros = links.map(|link| {
        let bits = u128::from(link.load.as_bps()) * 3_600;
        bits * u128::from(link.price.as_micro_usd_per_gb()) / 8_000_000_000
    });
    micros.sum()
}

/// How many meetings break each kind of limit.
fn broken(planner: &Planner) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, planned) in planner.rooms() {
        let kinds: BTreeSet<_> = planned.broken.iter().map(kind).collect();
        for kind in kinds {
            *counts.entry(kind).or_default() += 1;
        }
    }
    counts
}

/// The limit in a word, as in the policy where there is one.
const fn kind(broken: &Broken) -> &'static str {
    match broken {
        Broken::Unreachable { .. } => "unreachable",
        Broken::NoAllowedWay { .. } | Broken::Refused { .. } => "residency",
        Broken::Hops { .. } => "hops_max",
        Broken::Capacity { .. } => "capacity",
        Broken::FanOut { .. } => "fan_out_max",
        Broken::Stretch { .. } => "latency_stretch",
    }
}
