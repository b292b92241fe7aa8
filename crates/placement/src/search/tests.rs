use proptest::prelude::*;
use sluice_types::ids::RegionName;
use sluice_types::topology::Price;
use sluice_types::units::Bitrate;

use super::*;
use crate::graph::{Graph, LinkTerms};
use crate::load::Load;
use crate::residency::Residency;

const EDGES_EACH: u32 = 2;

fn region(n: usize) -> RegionName {
    format!("r{n}").parse().expect("a region")
}

/// Names that are not in the order of their regions.
fn edge(region: usize, n: u32) -> EdgeId {
    format!("e{n}-{region}").parse().expect("an edge")
}

fn graph(regions: usize, links: &[(usize, usize, u64, u64)]) -> Graph {
    let mut graph = Graph::default();
    for at in 0..regions {
        for n in 1..=EDGES_EACH {
            graph.add_edge(edge(at, n), region(at));
        }
    }
    for &(a, b, us, mbps) in links.iter().filter(|(a, b, ..)| a != b) {
        let terms = LinkTerms {
            round_trip_us: us,
            prices: [Price::default(); 2],
            capacity: Bitrate::mbps(mbps),
        };
        graph.add_link_with(region(a), region(b), &terms);
    }
    graph
}

/// All ways there are, each tried.
struct Slowly<'a> {
    search: &'a Search<'a>,
    target: &'a EdgeId,
    allowed_us: u64,
    step: Strictness,
    best: Option<(u64, u32, Vec<EdgeId>)>,
}

impl Slowly<'_> {
    fn try_on(&mut self, us: u64, hops: u32, way: &mut Vec<EdgeId>) {
        let limits = self.search.limits;
        let is_over =
            self.step.stretch && us > self.allowed_us || self.step.hops && hops > limits.hops_max;
        let at = way.last().expect("where it begins").clone();
        if is_over {
            return;
        }
        if at == *self.target {
            let found = (us, hops, way.clone());
            if self.best.as_ref().is_none_or(|best| found < *best) {
                self.best = Some(found);
            }
            return;
        }
        let net = self.search.around.net;
        for next in net.edges.iter().flatten() {
            let ends = net.region_of(&at).zip(net.region_of(next)).expect("up");
            let fits = net.hop(ends.0, ends.1).is_none_or(|hop| {
                !self.step.capacity
                    || self
                        .search
                        .around
                        .load
                        .takes(ends.0, hop, self.search.around.bps)
            });
            let is_new = !self.search.places.contains_key(next) && !way.contains(next);
            let step_us = self.search.around.step_us(&at, next);
            if let Some(step_us) = step_us.filter(|_| fits && is_new) {
                way.push(next.clone());
                self.try_on(us + step_us, hops + 1, way);
                way.pop();
            }
        }
    }
}

proptest! {
    #[test]
    fn a_way_is_the_first_of_all_there_are(
        links in proptest::collection::vec(
            (0usize..4, 0usize..4, prop_oneof![1u64..4, 500u64..5_000], 1u64..4),
            2..7,
        ),
        joined in proptest::collection::btree_set((0usize..4, 1u32..3), 0..4),
        target in (0usize..4, 1u32..3),
        allowed_us in 500u64..12_000,
        hops_max in 1u32..4,
        fan_out_max in 1u32..3,
    ) {
        let graph = graph(4, &links);
        let net = graph.net();
        let ways = net.ways(&Residency::anywhere());
        let load = Load::new(net);
        let around = Around::new(net, &ways, &load, Bitrate::mbps(2).as_bps());
        let limits = Limits { hops_max, fan_out_max, stretch_permille: 1_500 };
        let root = edge(0, 1);
        let mut search = Search::new(&around, &limits, &root);
        for (at, n) in joined {
            let edge = edge(at, n);
            if !search.places.contains_key(&edge) {
                let way = search.way(&edge, u64::MAX, Strictness::STEPS[4]);
                search.join(&way.unwrap_or_default());
            }
        }
        let target = edge(target.0, target.1);
        prop_assume!(!search.places.contains_key(&target));
        for step in Strictness::STEPS {
            let mut slowly = Slowly { search: &search, target: &target, allowed_us, step, best: None };
            for (from, place) in &search.places {
                if !step.fan_out || place.children < limits.fan_out_max {
                    slowly.try_on(place.round_trip_us, place.hops, &mut vec![from.clone()]);
                }
            }
            let slowly = slowly.best.map(|(.., way)| way);
            prop_assert_eq!(search.way(&target, allowed_us, step), slowly, "{:?}", step);
        }
    }
}
