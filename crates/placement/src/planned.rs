//! What the planner keeps of a room: its demand, and each tree with what it uses.

use std::collections::BTreeMap;

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::RelayTree;

use crate::demand::{Demand, Stream};
use crate::limits::Broken;
use crate::load::{Load, all_crossings, crossings};
use crate::net::{Net, Region};
use crate::tree::PlannedTrees;

#[derive(Clone, Default)]
pub(crate) struct Room {
    pub(crate) demand: Demand,
    pub(crate) trees: BTreeMap<EdgeId, Planned>,
    pub(crate) refused: Vec<Broken>,
    pub(crate) version: u64,
}

#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) tree: RelayTree,
    /// The same with standbys, as edges are told it.
    pub(crate) full: RelayTree,
    pub(crate) broken: Vec<Broken>,
    /// The links that it uses, as often as it does.
    pub(crate) links: Vec<(Region, Region)>,
    /// The links that standbys use, and that it would use after a failure.
    pub(crate) spare: Vec<(Region, Region)>,
    pub(crate) bps: u64,
    /// Whether some link had no room for the stream: with room there, another tree may be cheaper.
    pub(crate) is_confined: bool,
    /// The version of the graph that it was planned on.
    pub(crate) version: u64,
}

/// What a tree may use.
pub(crate) enum Used<'a> {
    /// Between two regions, either of which sends.
    Link(Region, Region),
    Edge(&'a EdgeId),
}

impl Planned {
    pub(crate) fn uses(&self, used: &Used<'_>) -> bool {
        match *used {
            Used::Link(a, b) => joins(&self.links, a, b),
            Used::Edge(edge) => self.tree.root == *edge || self.tree.branch(edge).is_some(),
        }
    }

    /// Whether an edge is not in the tree.
    pub(crate) fn lacks(&self, edge: &EdgeId) -> bool {
        self.tree.root != *edge && self.tree.branch(edge).is_none()
    }

    /// Whether a standby uses it, or a backup would.
    pub(crate) fn leans_on(&self, used: &Used<'_>) -> bool {
        match *used {
            Used::Link(a, b) => joins(&self.spare, a, b),
            Used::Edge(edge) => self.full.branch(edge).is_some(),
        }
    }

    /// Whether it is what would be planned for a stream `now` that was another `before`, on the same
    /// graph: it breaks nothing, and was chosen for no lack of room on links. It has to fit still.
    pub(crate) fn is_as_good(&self, before: &Stream, now: &Stream) -> bool {
        let is_asked_for = before.wanted_by == now.wanted_by && before.warm == now.warm;
        is_asked_for && self.broken.is_empty() && !self.is_confined
    }

    /// Carries another bitrate from now on, if links have room for it; says whether it does.
    pub(crate) fn carry(&mut self, bps: u64, net: &Net, load: &mut Load) -> bool {
        let before = std::mem::replace(&mut self.bps, bps);
        load.remove(&self.links, before);
        load.add(&self.links, bps);
        let fits = load.holds(net, &self.links);
        if !fits {
            load.remove(&self.links, bps);
            load.add(&self.links, before);
            self.bps = before;
        }
        fits
    }

    /// The tree with the backups that its edges have, and without standbys.
    pub(crate) fn needed(&self) -> RelayTree {
        let needed = self.tree.branches.len();
        RelayTree {
            root: self.full.root.clone(),
            branches: self.full.branches[..needed].to_vec(),
        }
    }

    pub(crate) fn renew_links(&mut self, net: &Net) {
        self.links = crossings(net, &self.tree);
        self.spare = all_crossings(net, &self.full);
    }
}

fn joins(links: &[(Region, Region)], a: Region, b: Region) -> bool {
    links.iter().any(|&link| link == (a, b) || link == (b, a))
}

impl Room {
    pub(crate) fn planned(&self) -> PlannedTrees {
        let broken = self.trees.values().flat_map(|planned| &planned.broken);
        PlannedTrees {
            trees: self
                .trees
                .values()
                .map(|planned| planned.full.clone())
                .collect(),
            broken: self.refused.iter().chain(broken).cloned().collect(),
        }
    }
}
