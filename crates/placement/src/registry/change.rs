//! Another topology comes into force: whom it would cut off, and who goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::topology::Topology;

use super::Registry;
use crate::Residency;

/// What a topology would do to people who are in meetings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// A region is gone that has participants.
    Region {
        /// Which.
        region: RegionName,
        /// How many.
        participants: u32,
    },
    /// An edge is gone, or elsewhere, that has participants.
    Edge {
        /// Which.
        edge: EdgeId,
        /// How many.
        participants: u32,
    },
    /// The policy denies a region that has participants.
    Denied {
        /// Which.
        region: RegionName,
        /// How many.
        participants: u32,
    },
    /// No way is left between two regions that share meetings.
    Apart {
        /// The one.
        a: RegionName,
        /// The other.
        b: RegionName,
        /// How many meetings they share.
        meetings: usize,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region {
                region,
                participants,
            } => write!(
                f,
                "region {region} is gone, with {participants} participants in it"
            ),
            Self::Edge { edge, participants } => {
                write!(
                    f,
                    "edge {edge} is gone, with {participants} participants at it"
                )
            }
            Self::Denied {
                region,
                participants,
            } => write!(
                f,
                "the policy denies region {region}, with {participants} participants in it"
            ),
            Self::Apart { a, b, meetings } => write!(
                f,
                "no way is left between {a} and {b}, which share {meetings} meetings"
            ),
        }
    }
}

impl Registry {
    /// Whom `after` would cut off, in order; empty when nobody would notice.
    #[must_use]
    pub fn cuts(&self, after: &Topology) -> Vec<Cut> {
        let mut cuts = BTreeSet::new();
        let mut gone: BTreeMap<_, u32> = BTreeMap::new();
        let mut denied: BTreeMap<_, u32> = BTreeMap::new();
        for (edge, state) in &self.edges {
            let (region, participants) = (&state.registration.region, self.people_at(edge));
            if participants == 0 {
                continue;
            }
            if after.region(region).is_none() {
                *gone.entry(region.clone()).or_default() += participants;
                continue;
            }
            if after.edge(edge).is_none_or(|(now, _)| now.name() != region) {
                let edge = edge.clone();
                cuts.insert(Cut::Edge { edge, participants });
            }
            if !after.region_rules().allow(region) {
                *denied.entry(region.clone()).or_default() += participants;
            }
        }
        cuts.extend(gone.into_iter().map(|(region, participants)| Cut::Region {
            region,
            participants,
        }));
        cuts.extend(
            denied
                .into_iter()
                .map(|(region, participants)| Cut::Denied {
                    region,
                    participants,
                }),
        );
        cuts.extend(self.apart(after));
        cuts.into_iter().collect()
    }

    /// How many are at an edge, as far as it has said.
    fn people_at(&self, edge: &EdgeId) -> u32 {
        let needs = self.rooms.values().filter_map(|room| room.needs.get(edge));
        let counted = needs.map(|need| need.demand.participants);
        let counted = counted.fold(0, u32::saturating_add);
        let reported = self
            .edges
            .get(edge)
            .map(|state| state.heartbeat.participants);
        counted.max(reported.unwrap_or_default())
    }

    /// Pairs of regions that can reach each other now and could not any more.
    fn apart(&self, after: &Topology) -> Vec<Cut> {
        let mut pairs: BTreeMap<(RegionName, RegionName), usize> = BTreeMap::new();
        for id in self.rooms.keys() {
            let regions: Vec<_> = self.regions_of(id).into_iter().collect();
            for (index, a) in regions.iter().enumerate() {
                for b in &regions[index + 1..] {
                    *pairs.entry((a.clone(), b.clone())).or_default() += 1;
                }
            }
        }
        let states = self.edges.values();
        let up: BTreeSet<_> = states
            .map(|state| state.registration.region.clone())
            .collect();
        let joined = |topology: &Topology, a: &RegionName, b: &RegionName| {
            // What a topology borrows has to be in it.
            let residency = Residency::from(topology.region_rules());
            let from = topology.region(a).map(|region| region.name());
            from.is_some_and(|from| residency.reach(topology, &up, from).contains(b))
        };
        let is_cut = |(a, b): &(RegionName, RegionName)| {
            let stay = after.region(a).is_some() && after.region(b).is_some();
            stay && joined(&self.topology, a, b) && !joined(after, a, b)
        };
        let cut = pairs.into_iter().filter(|(pair, _)| is_cut(pair));
        cut.map(|((a, b), meetings)| Cut::Apart { a, b, meetings })
            .collect()
    }

    /// Another topology is in force; gives the edges that are not in it any more, which are
    /// forgotten.
    pub fn set_topology(&mut self, topology: Topology) -> Vec<EdgeId> {
        self.topology = topology;
        let stays = |edge: &EdgeId, region: &RegionName| {
            let known = self.topology.edge(edge);
            known.is_some_and(|(now, _)| now.name() == region)
        };
        let gone: Vec<_> = (self.edges.iter())
            .filter(|(edge, state)| !stays(edge, &state.registration.region))
            .map(|(edge, _)| edge.clone())
            .collect();
        for edge in &gone {
            self.edges.remove(edge);
            for room in self.rooms.values_mut() {
                room.needs.remove(edge);
            }
        }
        gone
    }

    /// Every room that is known.
    #[must_use]
    pub fn room_ids(&self) -> BTreeSet<MeetingId> {
        self.rooms.keys().cloned().collect()
    }
}
