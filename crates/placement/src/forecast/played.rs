//! A scene that was played: everybody has a place, and every meeting its trees.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::mesh::control::RelayTree;
use sluice_types::topology::Topology;
use sluice_types::units::Bitrate;

use super::{Forecast, LinkLoad, Percentiles};
use crate::demand::{Demand, Stream};
use crate::graph::Graph;
use crate::limits::{Broken, Limits};
use crate::nearest::{Candidate, Preference, access_us, rank_within};
use crate::planner::Planner;
use crate::residency::Residency;
use crate::tree::Rules;
use crate::world::Person;

/// What one who takes part sends: sound, and pictures in three layers.
const SOUND: Bitrate = Bitrate::kbps(60);
const PICTURES: Bitrate = Bitrate::kbps(2_500);

/// A scene that was played.
pub(super) struct Played {
    pub(super) planner: Planner,
    pub(super) rules: Rules,
    /// Who has a place: where, and how far away in kilometres.
    pub(super) seats: Vec<(EdgeId, RegionName, f64)>,
    /// Meeting by meeting, where each of its people is.
    pub(super) placed: Vec<Vec<Option<EdgeId>>>,
    pub(super) unserved: usize,
}

/// What the planner calls a meeting.
fn meeting_id(number: usize) -> MeetingId {
    let mut id = [0; 10];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    MeetingId::from_random(id)
}

impl Played {
    /// Everybody joins, one meeting after the other; `without` is a region that is down.
    pub(super) fn play(
        topology: &Topology,
        meetings: &[Vec<Person>],
        without: Option<&RegionName>,
    ) -> Self {
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
    pub(super) fn ways(&self, number: usize) -> BTreeSet<(EdgeId, EdgeId, EdgeId)> {
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
    pub(super) fn access_us(&self) -> BTreeMap<RegionName, u64> {
        let mut by_region: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (_, region, km) in &self.seats {
            let all = by_region.entry(region.clone()).or_default();
            all.push(access_us(*km));
        }
        let median = |(region, all)| (region, Percentiles::of(all).p50);
        by_region.into_iter().map(median).collect()
    }

    pub(super) fn forecast(&self, topology: &Topology) -> Forecast {
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
pub(super) fn links(
    topology: &Topology,
    planner: &Planner,
) -> BTreeMap<(RegionName, RegionName), LinkLoad> {
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
pub(super) fn micro_usd_an_hour<'a>(links: impl Iterator<Item = &'a LinkLoad>) -> u128 {
    // Bits per second, and millionths of a USD for 10⁹ bytes.
    let micros = links.map(|link| {
        let bits = u128::from(link.load.as_bps()) * 3_600;
        bits * u128::from(link.price.as_micro_usd_per_gb()) / 8_000_000_000
    });
    micros.sum()
}

/// How many meetings break each kind of limit.
pub(super) fn broken(planner: &Planner) -> BTreeMap<&'static str, usize> {
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
