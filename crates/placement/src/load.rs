//! What plans put on links, so that the next plan knows what is left.

use sluice_types::ids::EdgeId;
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

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.used.iter().all(|&bps| bps == 0)
    }

    /// Whether a link carries so much more.
    pub(crate) fn takes(&self, from: Region, hop: &Hop, bps: u64) -> bool {
        self.used(from, hop.to).saturating_add(bps) <= hop.capacity_bps
    }

    /// Whether every link carries so much more.
    pub(crate) fn is_roomy(&self, net: &Net, bps: u64) -> bool {
        (0..self.regions).all(|from| {
            let mut hops = net.hops_from(from).iter();
            hops.all(|hop| self.takes(from, hop, bps))
        })
    }

    /// Whether none of these links carries more than it can.
    pub(crate) fn holds(&self, net: &Net, links: &[(Region, Region)]) -> bool {
        links.iter().all(|&(from, to)| {
            let hop = net.hop(from, to);
            hop.is_some_and(|hop| self.takes(from, hop, 0))
        })
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
            debug_assert!(*used >= bps, "{from} - {to} carries less than is taken off");
            *used = used.saturating_sub(bps);
        }
    }
}

/// The links that a tree uses, as often as it uses them.
pub(crate) fn crossings(net: &Net, tree: &RelayTree) -> Vec<(Region, Region)> {
    let crossings = tree
        .branches
        .iter()
        .filter_map(|branch| crossing(net, &branch.parent, &branch.edge));
    crossings.collect()
}

/// The links that a tree uses, and those that its backups would.
pub(crate) fn all_crossings(net: &Net, tree: &RelayTree) -> Vec<(Region, Region)> {
    let backups = tree
        .branches
        .iter()
        .filter_map(|branch| crossing(net, branch.backup.as_ref()?, &branch.edge));
    crossings(net, tree).into_iter().chain(backups).collect()
}

/// The link between two edges; none within a region.
fn crossing(net: &Net, from: &EdgeId, to: &EdgeId) -> Option<(Region, Region)> {
    let (from, to) = (net.region_of(from)?, net.region_of(to)?);
    (from != to).then_some((from, to))
}
