//! Shortest paths by round trip, for people to read. Relay trees are the placement's to compute.

use std::collections::BTreeMap;

use sluice_types::ids::RegionName;
use sluice_types::topology::Topology;
use sluice_types::units::Millis;

/// A way from one region to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path<'a> {
    pub(super) round_trip: Millis,
    /// Every region on the way, both ends included.
    pub(super) regions: Vec<&'a RegionName>,
}

/// The shortest path from `from` to every other region. Of equally long ones it is the one over
/// fewer links, and then the first by the regions' names.
pub(super) fn shortest_from<'a>(
    topology: &'a Topology,
    from: &'a RegionName,
) -> BTreeMap<&'a RegionName, Path<'a>> {
    let start = Path {
        round_trip: Millis(0),
        regions: vec![from],
    };
    let mut open = BTreeMap::from([(from, start)]);
    let mut done: BTreeMap<&RegionName, Path<'_>> = BTreeMap::new();
    let rank = |path: &Path<'a>| (path.round_trip, path.regions.len(), path.regions.clone());
    while let Some(nearest) = open.values().min_by_key(|path| rank(path)).cloned() {
        let Some(&here) = nearest.regions.last() else {
            break;
        };
        open.remove(here);
        for (next, link) in topology.neighbours(here) {
            if done.contains_key(next) {
                continue;
            }
            let mut longer = nearest.clone();
            longer.round_trip.0 += link.round_trip().0;
            longer.regions.push(next);
            let better = open
                .get(next)
                .is_none_or(|known| rank(&longer) < rank(known));
            if better {
                open.insert(next, longer);
            }
        }
        done.insert(here, nearest);
    }
    done.remove(from);
    done
}
