//! Optimal trees, found slowly.

use crate::net::{Net, Region, Ways};

/// What an optimal tree has to do: for each wanted region the longest delay.
pub(super) struct Puzzle<'a> {
    pub(super) net: &'a Net,
    pub(super) ways: &'a Ways,
    pub(super) root: Region,
    pub(super) wants: &'a [(Region, u64)],
    pub(super) hops_max: u64,
    pub(super) fan_out_max: usize,
}

impl Puzzle<'_> {
    /// The price of the cheapest tree, by trying all: for up to six regions.
    pub(super) fn by_trying_all(&self) -> Option<u64> {
        let mut parents = vec![None; self.net.len()];
        let mut best = None;
        self.try_from(0, &mut parents, 0, &mut best);
        best
    }

    fn try_from(
        &self,
        region: Region,
        parents: &mut Vec<Option<Region>>,
        price: u64,
        best: &mut Option<u64>,
    ) {
        if best.is_some_and(|best| price >= best) {
            return;
        }
        if region == self.net.len() {
            if self.holds(parents) {
                *best = Some(price);
            }
            return;
        }
        self.try_from(region + 1, parents, price, best);
        if region == self.root {
            return;
        }
        for parent in 0..self.net.len() {
            if let Some(hop) = self.net.hop(parent, region) {
                parents[region] = Some(parent);
                self.try_from(region + 1, parents, price + hop.price, best);
                parents[region] = None;
            }
        }
    }

    fn holds(&self, parents: &[Option<Region>]) -> bool {
        let children = |of| parents.iter().filter(|parent| **parent == Some(of)).count();
        if (0..parents.len()).any(|region| children(region) > self.fan_out_max) {
            return false;
        }
        self.wants.iter().all(|&(want, delay_max)| {
            let (mut at, mut delay, mut hops) = (want, 0, 0);
            while at != self.root {
                let Some(parent) = parents[at] else {
                    return false;
                };
                delay += self.net.hop(parent, at).map_or(0, |hop| hop.round_trip_us);
                hops += 1;
                at = parent;
                if hops > parents.len() as u64 {
                    return false;
                }
            }
            delay <= delay_max && hops <= self.hops_max
        })
    }

    /// The price of the cheapest tree within delays alone, by dynamic programming over sets of wanted
    /// regions (Dreyfus and Wagner 1971) and delays in whole milliseconds.
    pub(super) fn by_sets_and_delays(&self) -> Option<u64> {
        let horizon = (self.wants.iter().map(|(_, max)| max / 1_000).max()? + 1) as usize;
        let (regions, sets) = (self.net.len(), 1 << self.wants.len());
        let index =
            |set: usize, delay: usize, region: usize| (set * horizon + delay) * regions + region;
        // What it costs to serve a set from a region that is reached after so long.
        let mut costs = vec![u64::MAX; sets * horizon * regions];
        costs[..horizon * regions].fill(0);
        for set in 1..sets {
            for delay in (0..horizon).rev() {
                for region in 0..regions {
                    let mut cost = u64::MAX;
                    for (n, &(want, max)) in self.wants.iter().enumerate() {
                        if set & 1 << n != 0 && want == region && delay as u64 <= max / 1_000 {
                            cost = cost.min(costs[index(set & !(1 << n), delay, region)]);
                        }
                    }
                    let mut part = (set - 1) & set;
                    while part > 0 {
                        let both = costs[index(part, delay, region)]
                            .saturating_add(costs[index(set & !part, delay, region)]);
                        cost = cost.min(both);
                        part = (part - 1) & set;
                    }
                    for hop in self.net.hops_from(region) {
                        let later = delay + (hop.round_trip_us / 1_000) as usize;
                        if later < horizon && self.ways.usable(hop.to) {
                            let onward = costs[index(set, later, hop.to)];
                            cost = cost.min(onward.saturating_add(hop.price));
                        }
                    }
                    costs[index(set, delay, region)] = cost;
                }
            }
        }
        Some(costs[index(sets - 1, 0, self.root)]).filter(|&cost| cost != u64::MAX)
    }
}
