//! The mesh as its edges report it: which are up, and how long links take.

use std::collections::BTreeMap;

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Topology;

use super::Registry;

/// Light in a vacuum goes there and back over a kilometre in so many nanoseconds. No link is faster:
/// who measures less measures something else, such as one machine on which all regions are.
const LIGHT_NS_PER_KM: f64 = 6_671.0;

/// What is up, and what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mesh {
    /// Every registered edge with its region.
    pub edges: BTreeMap<EdgeId, RegionName>,
    /// Round trips between regions, in microseconds, the first before the second by name.
    pub round_trips_us: BTreeMap<(RegionName, RegionName), u64>,
}

impl Registry {
    /// The mesh as it is now.
    ///
    /// Of several edges' measurements of one link the shortest counts: what others have on top of it
    /// is their own.
    #[must_use]
    pub fn mesh(&self) -> Mesh {
        let mut mesh = Mesh::default();
        for (edge, state) in &self.edges {
            let here = &state.registration.region;
            mesh.edges.insert(edge.clone(), here.clone());
            for link in &state.heartbeat.links {
                let Some(peer) = self.edges.get(&link.peer) else {
                    continue;
                };
                let there = &peer.registration.region;
                if here == there || link.round_trip_us < floor_us(&self.topology, here, there) {
                    continue;
                }
                let pair = (here.min(there).clone(), here.max(there).clone());
                let shortest = mesh.round_trips_us.entry(pair).or_insert(u64::MAX);
                *shortest = link.round_trip_us.min(*shortest);
            }
        }
        mesh
    }
}

/// The shortest round trip that there can be between two regions, at least 1 µs.
fn floor_us(topology: &Topology, a: &RegionName, b: &RegionName) -> u64 {
    let (a, b) = (topology.region(a), topology.region(b));
    let km = a
        .zip(b)
        .map_or(0.0, |(a, b)| a.position().distance_km(b.position()));
    ((km * LIGHT_NS_PER_KM / 1e3) as u64).max(1)
}
