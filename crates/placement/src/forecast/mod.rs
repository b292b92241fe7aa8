//! What a mesh would do for people as they are spread over the world: before it is built.
//!
//! Edges are chosen and trees are planned by what chooses and plans in earnest.

mod failures;
mod played;
mod sound;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sluice_types::ids::RegionName;
use sluice_types::topology::{Price, Topology};
use sluice_types::units::Bitrate;

use self::played::{Played, broken, links, micro_usd_an_hour};
use crate::nearest::access_us;
use crate::world::{Person, activity_permille, meetings};

pub use failures::{Failed, Failure};

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
