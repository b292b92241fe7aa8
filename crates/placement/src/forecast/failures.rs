//! What breaks when any one link or region fails.

use std::collections::BTreeMap;
use std::fmt;

use sluice_types::ids::RegionName;
use sluice_types::topology::Topology;

use super::{Percentiles, Played, broken, links};
use crate::nearest::access_us;
use crate::planner::Planner;
use crate::world::Person;

/// What fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A link.
    Link(RegionName, RegionName),
    /// All edges of a region.
    Region(RegionName),
}

/// What a failure breaks that was whole before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What fails.
    pub what: Failure,
    /// How many people have to join again elsewhere.
    pub moved: usize,
    /// How many of all have no place any more.
    pub unserved: usize,
    /// The round trip of all who have a place, in milliseconds.
    pub round_trip_ms: Percentiles,
    /// How many meetings more break a limit, by the kind of limit.
    pub broken: BTreeMap<&'static str, usize>,
    /// The links that carry more than they can and did not before, by who sends and who receives.
    pub full: Vec<(RegionName, RegionName)>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(a, b) => write!(f, "link {a} - {b}"),
            Self::Region(region) => write!(f, "region {region}"),
        }
    }
}

impl Failed {
    /// Whether somebody notices: who has no place, or whose meeting breaks a limit.
    #[must_use]
    pub fn hurts(&self) -> bool {
        self.unserved > 0 || !self.broken.is_empty() || !self.full.is_empty()
    }
}

pub(super) fn all(topology: &Topology, meetings: &[Vec<Person>], whole: &Played) -> Vec<Failed> {
    let links = topology.links().iter().map(|link| {
        let [a, b] = link.ends();
        let mut planner = whole.planner.clone();
        planner.set_link_up(a, b, false);
        let what = Failure::Link(a.clone(), b.clone());
        compare(topology, whole, &planner, whole, what, 0)
    });
    let regions = topology.regions().iter().map(|region| {
        let played = Played::play(topology, meetings, Some(region.name()));
        let mut seats = whole.seats.iter();
        let moved = seats
            .by_ref()
            .filter(|(_, at, _)| at == region.name())
            .count();
        let what = Failure::Region(region.name().clone());
        compare(topology, whole, &played.planner, &played, what, moved)
    });
    links.chain(regions).collect()
}

fn compare(
    topology: &Topology,
    whole: &Played,
    planner: &Planner,
    seated: &Played,
    what: Failure,
    moved: usize,
) -> Failed {
    let before = broken(&whole.planner);
    let more = broken(planner).into_iter().filter_map(|(kind, count)| {
        let more = count.saturating_sub(before.get(kind).copied().unwrap_or_default());
        (more > 0).then_some((kind, more))
    });
    let was = links(topology, &whole.planner);
    let full = links(topology, planner)
        .into_iter()
        .filter_map(|(ends, load)| {
            let was_full = was.get(&ends).is_some_and(super::LinkLoad::is_full);
            (load.is_full() && !was_full).then_some(ends)
        });
    let millis = seated.seats.iter().map(|(.., km)| access_us(*km) / 1_000);
    Failed {
        what,
        moved,
        unserved: seated.unserved.saturating_sub(whole.unserved),
        round_trip_ms: Percentiles::of(millis.collect()),
        broken: more.collect(),
        full: full.collect(),
    }
}
