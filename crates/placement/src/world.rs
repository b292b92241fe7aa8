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

/// Meetings of `people` people in all, two to eight each: as many of each part of the world as live
/// there, two thirds of them with people of theirs, every second with the camera on.
#[must_use]
pub fn meetings(people: usize, seed: u64) -> Vec<Vec<Person>> {
    let mut dice = Dice::new(seed);
    let total: u64 = PEOPLE.iter().map(|(.., millions)| millions).sum();
    let mut meetings = Vec::new();
    let mut left = people;
    while left > 0 {
        let size = (2 + dice.below(7) as usize).min(left);
        left -= size;
        let home = part(&mut dice, total);
        let members = (0..size).filter_map(|index| {
            let elsewhere = index > 0 && dice.below(3) == 0;
            let (latitude, longitude, far, _) = match elsewhere {
                true => part(&mut dice, total),
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

/// The part of the world in which somebody lives.
fn part(dice: &mut Dice, total: u64) -> (f64, f64, f64, u64) {
    let mut number = dice.below(total);
    for part in PEOPLE {
        if number < part.3 {
            return part;
        }
        number -= part.3;
    }
    PEOPLE[0]
}
