//! Meshes that look like real ones, and rooms on them, from a seed: for tests and benchmarks.

use std::collections::BTreeSet;

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::{Position, Price};
use sluice_types::units::Bitrate;

use crate::graph::{Graph, LinkTerms};

/// Numbers that look random and are the same for the same seed (`SplitMix64`, Steele, Lea and Flood
/// 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

/// Where people and data centres are: latitude, longitude, how far around in degrees, and what
/// sending a gigabyte from there costs in thousandths of a USD, as in public clouds' lists.
const CLUSTERS: [(f64, f64, f64, u32); 9] = [
    (48.0, 8.0, 9.0, 20),
    (38.0, -80.0, 8.0, 20),
    (40.0, -118.0, 8.0, 20),
    (35.0, 130.0, 9.0, 90),
    (4.0, 103.0, 8.0, 90),
    (20.0, 77.0, 7.0, 86),
    (-33.0, 148.0, 5.0, 98),
    (-22.0, -47.0, 8.0, 138),
    (-27.0, 28.0, 6.0, 147),
];

impl Dice {
    /// The numbers of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is at least 1.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn around(&mut self, middle: f64, far: f64) -> f64 {
        middle + far * (self.below(2_001) as f64 / 1_000.0 - 1.0)
    }
}

/// A mesh of `regions` regions with `edges_each` edges each: every region is linked with its five
/// nearest and a few far ones, by cables as long as they are, whole milliseconds.
///
/// # Panics
/// Never: the names and places that it makes up are sound.
#[must_use]
pub fn mesh(regions: usize, edges_each: u32, capacity: Bitrate, seed: u64) -> Graph {
    let mut dice = Dice::new(seed);
    let mut graph = Graph::default();
    let places = places(&mut dice, regions);
    for region in 0..regions {
        for edge in 1..=edges_each {
            graph.add_edge(edge_name(region, edge), name(region));
        }
    }
    let mut links = BTreeSet::new();
    for (index, (_, at, _)) in places.iter().enumerate() {
        let mut others: Vec<_> = (0..places.len()).filter(|&other| other != index).collect();
        others.sort_by_key(|&other| at.distance_km(places[other].1) as u64);
        let mut linked: Vec<_> = others.iter().copied().take(5).collect();
        for _ in 0..2 {
            linked.extend(others.get(dice.below(regions as u64) as usize));
        }
        links.extend(
            linked
                .iter()
                .map(|&other| (index.min(other), index.max(other))),
        );
    }
    for (a, b) in links {
        let ((a, a_at, a_price), (b, b_at, b_price)) = (&places[a], &places[b]);
        // Light in fibre, with the detours of cables.
        let detour = 12 + dice.below(8);
        let millis = (a_at.distance_km(*b_at) as u64 * detour / 1_000).max(1);
        // Carriers differ.
        let share = 60 + dice.below(100);
        let price = |list: &Price| {
            Price::usd_per_gb(list.as_usd_per_gb() * share as f64 / 100.0).unwrap_or_default()
        };
        let terms = LinkTerms {
            round_trip_us: millis * 1_000,
            prices: [price(a_price), price(b_price)],
            capacity,
        };
        graph.add_link_with(a.clone(), b.clone(), &terms);
    }
    graph
}

/// Where the regions of [`mesh`] are.
#[must_use]
pub fn positions(regions: usize, seed: u64) -> Vec<Position> {
    let places = places(&mut Dice::new(seed), regions);
    places.into_iter().map(|(_, at, _)| at).collect()
}

fn places(dice: &mut Dice, regions: usize) -> Vec<(RegionName, Position, Price)> {
    let mut places = Vec::new();
    for region in 0..regions {
        let (latitude, longitude, far, price) = CLUSTERS[region % CLUSTERS.len()];
        let at = Position::new(dice.around(latitude, far), dice.around(longitude, far));
        let Ok(at) = at else { continue };
        let price = Price::usd_per_gb(f64::from(price) / 1e3).unwrap_or_default();
        places.push((name(region), at, price));
    }
    places
}

/// The edges of a room: `size` different regions, one edge of each.
pub fn room(dice: &mut Dice, regions: usize, size: usize) -> BTreeSet<EdgeId> {
    let mut chosen = BTreeSet::new();
    while chosen.len() < size.min(regions) {
        chosen.insert(dice.below(regions as u64) as usize);
    }
    chosen
        .into_iter()
        .map(|region| edge_name(region, 1))
        .collect()
}

/// The name of the mesh's region of this number.
///
/// # Panics
/// Never: the name is sound.
#[must_use]
pub fn name(region: usize) -> RegionName {
    // A letter and digits are a name.
    #[allow(clippy::expect_used)]
    format!("r{region:02}").parse().expect("a name")
}

/// The name of a region's edge of this number.
///
/// # Panics
/// Never: the name is sound.
#[must_use]
pub fn edge_name(region: usize, edge: u32) -> EdgeId {
    // As above.
    #[allow(clippy::expect_used)]
    format!("r{region:02}-{edge}").parse().expect("a name")
}

/// Where people are who use the internet: latitude, longitude, how far around in degrees, and how many
/// million there are, rounded, as in the ITU's figures for 2023.
const PEOPLE: [(f64, f64, f64, u64); 16] = [
    (49.0, 6.0, 8.0, 400),
    (52.0, 25.0, 8.0, 190),
    (39.0, -79.0, 7.0, 210),
    (38.0, -118.0, 6.0, 90),
    (19.0, -99.0, 6.0, 110),
    (-22.0, -47.0, 8.0, 190),
    (-5.0, -75.0, 7.0, 130),
    (20.0, 77.0, 8.0, 800),
    (31.0, 113.0, 8.0, 1_050),
    (36.0, 136.0, 5.0, 160),
    (3.0, 105.0, 9.0, 500),
    (-33.0, 148.0, 5.0, 28),
    (28.0, 45.0, 8.0, 190),
    (28.0, 30.0, 5.0, 120),
    (7.0, 5.0, 7.0, 220),
    (-27.0, 29.0, 6.0, 60),
];

/// One who takes part in a meeting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Person {
    /// Where it is.
    pub at: Position,
    /// Whether its camera is on; its microphone is.
    pub camera: bool,
}

/// How many of a thousand people who work online are in a meeting, by the hour of their day: none at
/// night, most before and after noon, fewer at lunch, some in the evening. A model, made up after the
/// shape of what calendars and internet exchanges show, not a measurement.
const BUSY_PERMILLE: [u64; 24] = [
    5, 2, 1, 1, 2, 5, 20, 90, 320, 700, 950, 1_000, 650, 750, 950, 950, 800, 500, 260, 200, 180,
    120, 60, 20,
];

/// How large meetings are: of a thousand, so many have at least the first and at most the second
/// number of people, each number as often. Most are small, and few are large.
const SIZES: [(u64, u64, u64); 5] = [
    (400, 2, 2),
    (300, 3, 4),
    (200, 5, 8),
    (80, 9, 20),
    (20, 21, 50),
];

/// How many people there are in meetings at an hour of UTC, in thousandths of the busiest hour's.
#[must_use]
pub fn activity_permille(hour: u32) -> u64 {
    let people = |hour| (PEOPLE.iter().map(|part| awake(part, hour))).sum::<u64>();
    let most = (0..24).map(people).max().unwrap_or_default().max(1);
    people(hour) * 1_000 / most
}

/// How many thousands of a part's people are in meetings at an hour of UTC. Its clocks go by the sun.
fn awake(&(_, longitude, _, millions): &(f64, f64, f64, u64), hour: u32) -> u64 {
    let local = (f64::from(hour) + longitude / 15.0).rem_euclid(24.0);
    millions * BUSY_PERMILLE[local as usize % 24]
}

/// Meetings of `people` people in all at an hour of UTC: as many of each part of the world as live
/// there and are awake, two thirds of a meeting from one part, every second with the camera on.
#[must_use]
pub fn meetings(people: usize, seed: u64, hour: u32) -> Vec<Vec<Person>> {
    let mut dice = Dice::new(seed.wrapping_add(u64::from(hour) << 32));
    let mut meetings = Vec::new();
    let mut left = people;
    while left > 0 {
        let size = size(&mut dice).min(left);
        left -= size;
        let home = part(&mut dice, hour);
        let members = (0..size).filter_map(|index| {
            let elsewhere = index > 0 && dice.below(3) == 0;
            let (latitude, longitude, far, _) = match elsewhere {
                true => part(&mut dice, hour),
                false => home,
            };
            let at = Position::new(dice.around(latitude, far), dice.around(longitude, far)).ok()?;
            let camera = dice.below(2) == 0;
            Some(Person { at, camera })
        });
        meetings.push(members.collect());
    }
    meetings
}

/// How many are in a meeting.
fn size(dice: &mut Dice) -> usize {
    let mut number = dice.below(1_000);
    for (permille, least, most) in SIZES {
        if number < permille {
            return (least + dice.below(most - least + 1)) as usize;
        }
        number -= permille;
    }
    SIZES[0].1 as usize
}

/// The part of the world in which somebody is who is in a meeting.
fn part(dice: &mut Dice, hour: u32) -> (f64, f64, f64, u64) {
    let total = PEOPLE.iter().map(|part| awake(part, hour)).sum::<u64>();
    let mut number = dice.below(total.max(1));
    for part in PEOPLE {
        let awake = awake(&part, hour);
        if number < awake {
            return part;
        }
        number -= awake;
    }
    PEOPLE[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meetings_have_everybody_and_are_mostly_small() {
        let made = meetings(10_000, 1, 14);
        assert_eq!(made.iter().map(Vec::len).sum::<usize>(), 10_000);
        let small = made.iter().filter(|people| people.len() <= 4).count();
        assert!(
            (600..800).contains(&(small * 1_000 / made.len())),
            "{small}"
        );
        assert!(made.iter().any(|people| people.len() > 20));
        assert_eq!(made, meetings(10_000, 1, 14), "equal seeds");
    }

    #[test]
    fn people_meet_by_day() {
        let in_east_asia = |hour| {
            let made = meetings(2_000, 1, hour);
            let people = made.iter().flatten();
            people.filter(|person| person.at.longitude() > 95.0).count()
        };
        // Ten in the morning in Shanghai is two in the morning in London.
        assert!(in_east_asia(2) > 3 * in_east_asia(15));
        let busiest = (0..24).map(activity_permille).max();
        assert_eq!(busiest, Some(1_000));
        assert!((0..24).all(|hour| activity_permille(hour) > 0));
    }
}
