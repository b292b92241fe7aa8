//! How long a word takes from mouth to ear.

use std::collections::BTreeMap;

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Topology;
use sluice_types::units::Bitrate;

use crate::demand::Demand;
use crate::graph::Graph;
use crate::nearest::access_us;
use crate::residency::Residency;
use crate::tree::{Rules, plan_room};

/// What the ends take, in microseconds: Opus frames of 20 ms and their encoder's look-ahead of 6.5 ms
/// (RFC 6716), a jitter buffer of 40 ms, and what devices take to record and play.
const ENDS_US: u64 = 20_000 + 6_500 + 40_000 + 20_000;

/// Between the usual people of every two regions, one way, in milliseconds, along the tree that a
/// meeting of the two would have on an idle mesh.
pub(super) fn mouth_to_ear_ms(
    topology: &Topology,
    rules: &Rules,
    access: &BTreeMap<RegionName, u64>,
) -> BTreeMap<(RegionName, RegionName), Option<u64>> {
    let graph = Graph::new(
        topology,
        topology.edges().map(|(_, edge)| edge.id().clone()),
    );
    let residency = Residency::from(topology.region_rules());
    let ends: Vec<(&RegionName, &EdgeId)> = topology
        .regions()
        .iter()
        .filter_map(|region| Some((region.name(), region.edges().first()?.id())))
        .collect();
    // Where nobody is yet, people are beside their edge.
    let access = |region| {
        access
            .get(region)
            .copied()
            .unwrap_or_else(|| access_us(0.0))
    };
    let mut delays = BTreeMap::new();
    for (index, (from, root)) in ends.iter().enumerate() {
        for (to, edge) in &ends[index + 1..] {
            let edges = [(*root).clone(), (*edge).clone()].into();
            let demand = Demand::among(&edges, Bitrate::kbps(60)).within(residency.clone());
            let planned = plan_room(&graph, &demand, rules, &[]);
            let tree = planned.trees.iter().find(|tree| tree.root == **root);
            let round_trip_us = tree.and_then(|tree| {
                let (mut at, mut total) = (*edge, 0);
                while at != *root {
                    let parent = &tree.branch(at)?.parent;
                    total += graph.direct_us(parent, at)?;
                    at = parent;
                }
                Some(total)
            });
            let total = round_trip_us
                .map(|way| ((way + access(*from) + access(*to)) / 2 + ENDS_US) / 1_000);
            let pair = ((*from).min(to).clone(), (*from).max(to).clone());
            delays.insert(pair, total);
        }
    }
    delays
}
