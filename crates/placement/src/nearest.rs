//! Which edge serves a participant.

use std::collections::BTreeMap;

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Position;

use crate::residency::Residency;

/// Round trip per kilometre of great circle, in microseconds: light in fibre takes 10, and cables
/// take detours of about half as much again.
const US_PER_KM: f64 = 15.0;

/// Access networks add this to every estimate, in microseconds.
const ACCESS_US: f64 = 5_000.0;

/// Edges whose estimates differ by less than this are equally near, in microseconds.
const SAME_US: u64 = 1_000;

/// The round trip that is expected over a distance in kilometres, in microseconds.
pub(crate) fn access_us(km: f64) -> u64 {
    (km * US_PER_KM + ACCESS_US) as u64
}

/// An edge that could serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// Where that is.
    pub position: Position,
    /// Participants that it has.
    pub participants: u32,
    /// Participants that it takes.
    pub capacity: u32,
    /// The room is at it already.
    pub has_room: bool,
}

/// What is known of the participant.
#[derive(Debug, Clone, Default)]
pub struct Preference {
    /// Where it is, as far as its address tells.
    pub position: Option<Position>,
    /// Round trips that it measured itself, in milliseconds. They count more than distance.
    pub measured_ms: BTreeMap<RegionName, u32>,
}

/// The edges with room to spare, the best first: nearest region, then the edge of it that has the
/// room already, then the emptiest.
///
/// So a room fills one edge of a region before it goes on to another. Of several that have it the
/// fullest comes first, so that a room that became smaller gathers at one edge again.
#[must_use]
pub fn rank(candidates: &[Candidate], preference: &Preference) -> Vec<EdgeId> {
    rank_within(candidates, preference, &Residency::anywhere())
}

/// The same, without edges where a residency does not let the room's media be.
#[must_use]
pub fn rank_within(
    candidates: &[Candidate],
    preference: &Preference,
    residency: &Residency,
) -> Vec<EdgeId> {
    let estimate_us = |candidate: &Candidate| match preference.measured_ms.get(&candidate.region) {
        Some(&measured) => u64::from(measured) * 1_000,
        None => access_us(
            preference
                .position
                .map_or(0.0, |position| position.distance_km(candidate.position)),
        ),
    };
    let mut ranked: Vec<_> = candidates
        .iter()
        .filter(|candidate| candidate.participants < candidate.capacity)
        .filter(|candidate| residency.check(&candidate.region).is_ok())
        .map(|candidate| {
            let load_permille =
                u64::from(candidate.participants) * 1_000 / u64::from(candidate.capacity);
            let rest = if candidate.has_room {
                (false, 1_000 - load_permille)
            } else {
                (true, load_permille)
            };
            let near = estimate_us(candidate) / SAME_US;
            let key = (near, candidate.region.clone(), rest);
            (key, candidate.edge.clone())
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(_, edge)| edge).collect()
}
