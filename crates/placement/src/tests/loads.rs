//! What the planner takes links to carry.

use sluice_types::ids::MeetingId;
use sluice_types::units::Bitrate;

use super::*;
use crate::world::{self, Dice};

const REGIONS: usize = 10;
const ROOMS: usize = 5;

fn room(n: usize) -> MeetingId {
    format!("mtg_{n:08}").parse().expect("an id")
}

/// What all rooms' tracks put on each link, added up from the trees as edges are told them: a branch
/// carries tracks when an edge that wants them is there or below.
fn put(
    planner: &Planner,
    demands: &BTreeMap<MeetingId, Demand>,
) -> BTreeMap<(RegionName, RegionName), u64> {
    let mut loads = BTreeMap::new();
    for (id, planned) in planner.rooms() {
        for tree in &planned.trees {
            let stream = &demands[id].streams[&tree.root];
            let mut feeds = BTreeSet::new();
            for branch in tree.branches.iter().rev() {
                if !stream.wanted_by.contains(&branch.edge) && !feeds.contains(&branch.edge) {
                    continue;
                }
                feeds.insert(&branch.parent);
                let region = |edge| planner.graph().region_of(edge).expect("up").clone();
                let link = (region(&branch.parent), region(&branch.edge));
                if link.0 != link.1 {
                    *loads.entry(link).or_default() += stream.bitrate.as_bps();
                }
            }
        }
    }
    loads
}

proptest! {
    #[test]
    fn links_carry_what_trees_put_on_them(
        seed in 0u64..1_000,
        capacity in 4u64..40,
        steps in proptest::collection::vec((0u32..9, 0..REGIONS, 0..REGIONS), 1..25),
    ) {
        let mut planner = Planner::new(
            world::mesh(REGIONS, 2, Bitrate::mbps(capacity), seed),
            Rules::from(limits(6, 3)),
        );
        let mut dice = Dice::new(seed);
        let mut demands = BTreeMap::new();
        for (what, a, b) in steps {
            let (from, to) = (world::name(a), world::name(b));
            let of = room(a % ROOMS);
            match what {
                0 | 1 => {
                    let edges = world::room(&mut dice, REGIONS, 2 + b % 5);
                    let demand = Demand::among(&edges, Bitrate::kbps(1_000 + 300 * b as u64));
                    demands.insert(of.clone(), demand.clone());
                    planner.set_demand(&of, demand);
                }
                2 => {
                    planner.remove(&of);
                }
                3 => {
                    planner.set_link_up(&from, &to, dice.below(3) == 0);
                }
                4 => {
                    planner.edge_down(&world::edge_name(a, 1 + b as u32 % 2));
                }
                // In its own region, or moved to another.
                5 => {
                    planner.edge_up(world::edge_name(a, 1), if b < 8 { from } else { to });
                }
                6 => {
                    planner.measure(&from, &to, 1_000 * (1 + b as u64 * 20));
                }
                // The same edges send something else, or one of them does.
                7 => {
                    if let Some(demand) = demands.get_mut(&of) {
                        for stream in demand.streams.values_mut().take(1 + b) {
                            stream.bitrate = Bitrate::kbps(200 + 900 * b as u64);
                        }
                        planner.set_demand(&of, demand.clone());
                    }
                }
                _ => {
                    planner.edge_up(world::edge_name(a, 1), format!("new{b}").parse().expect("a name"));
                    planner.refresh(2);
                }
            }
            let put = put(&planner, &demands);
            let names: Vec<_> = planner.graph().regions().cloned().collect();
            for from in &names {
                for to in &names {
                    let put = put.get(&(from.clone(), to.clone())).copied().unwrap_or_default();
                    prop_assert_eq!(planner.load(from, to).as_bps(), put, "{} - {}", from, to);
                }
            }
        }
    }
}
