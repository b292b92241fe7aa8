//! What plans put on links, so that the next plan knows what is left.

use sluice_types::mesh::control::RelayTree;

use crate::net::{Hop, Net, Region};

/// Bits per second on each link, by the region that sends and the one that receives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    regions: usize,
    used: Vec<u64>,
}

impl Load {
    pub(crate) fn new(net: &Net) -> Self {
        Self {
            regions: net.len(),
            used: vec![0; net.len() * net.len()],
        }
    }

    pub(crate) fn used(&self, from: Region, to: Region) -> u64 {
        self.used[from * self.regions + to]
    }

    /// Whether a link carries so much more.
    pub(crate) fn takes(&self, from: Region, hop: &Hop, bps: u64) -> bool {
        self.used(from, hop.to).saturating_add(bps) <= hop.capacity_bps
    }

    pub(crate) fn add(&mut self, links: &[(Region, Region)], bps: u64) {
        for &(from, to) in links {
            let used = &mut self.used[from * self.regions + to];
            *used = used.saturating_add(bps);
        }
    }

    pub(crate) fn remove(&mut self, links: &[(Region, Region)], bps: u64) {
        for &(from, to) in links {
            let used = &mut self.used[from * self.regions + to];
            *used = used.saturating_sub(bps);
        }
    }
}

/// The links that a tree uses, as often as it uses them.
pub(crate) fn crossings(net: &Net, tree: &RelayTree) -> Vec<(Region, Region)> {
    let crossings = tree.branches.iter().filter_map(|branch| {
        let from = net.region_of(&branch.parent)?;
        let to = net.region_of(&branch.edge)?;
        (from != to).then_some((from, to))
    });
    crossings.collect()
}
