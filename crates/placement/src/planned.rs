//! What the planner keeps of a room: its demand, and each tree with what it uses.

use std::collections::BTreeMap;

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::RelayTree;

use crate::demand::{Demand, Stream};
use crate::limits::Broken;
use crate::load::{Load, all_crossings, crossings};
use crate::net::{Net, Region, Ways};
use crate::standby::with_standbys;
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
    /// Whether nothing but the terrain and what is wanted decided it.
    pub(crate) is_free: bool,
    /// The number of the terrain that it was planned on.
    pub(crate) terrain: u64,
    /// The version of the graph that its standbys and backups were found on.
    pub(crate) version: u64,
}

/// Which of a room's trees are planned.
pub(crate) enum Which<'a> {
    /// Those that would not be the same again.
    All,
    /// Those that use something.
    Using(Used<'a>),
    /// Those that would not be the same again, where the demand was this one before.
    Demand(&'a Demand),
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
    fn lacks(&self, edge: &EdgeId) -> bool {
        self.tree.root != *edge && self.tree.branch(edge).is_none()
    }

    /// Whether a standby uses it, or a backup would.
    pub(crate) fn leans_on(&self, used: &Used<'_>) -> bool {
        match *used {
            Used::Link(a, b) => joins(&self.spare, a, b),
            Used::Edge(edge) => self.full.branch(edge).is_some(),
        }
    }

    /// Whether it is what would be planned for a stream `now` that was another `before`, provided that
    /// links have room.
    fn is_as_good(&self, before: &Stream, now: &Stream, net: &Net) -> bool {
        let is_asked_for = before.wanted_by == now.wanted_by && before.warm == now.warm;
        is_asked_for && self.broken.is_empty() && self.is_free && self.terrain == net.terrain.number
    }

    /// Carries another bitrate from now on, if links have room for it; says whether it does.
    fn carry(&mut self, bps: u64, net: &Net, load: &mut Load) -> bool {
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

    /// Finds standbys and backups anew; says whether they are others.
    fn renew_standbys(&mut self, net: &Net, ways: &Ways, version: u64) -> bool {
        let full = with_standbys(net, ways, &self.tree);
        let is_new = full != self.full;
        self.full = full;
        self.version = version;
        self.renew_links(net);
        is_new
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
    /// Takes out the trees that are to be planned, and takes them off the load; those that stay have
    /// what they need of standbys and backups. Says whether any of these are new.
    pub(crate) fn part(
        &mut self,
        which: &Which<'_>,
        net: &Net,
        version: u64,
        load: &mut Load,
    ) -> (BTreeMap<EdgeId, Planned>, bool) {
        let ways = net.ways(&self.demand.residency);
        let (mut taken, mut is_new) = (BTreeMap::new(), false);
        for (root, mut planned) in std::mem::take(&mut self.trees) {
            if self.is_to_plan(&root, &mut planned, which, net, load) {
                load.remove(&planned.links, planned.bps);
                taken.insert(root, planned);
                continue;
            }
            let is_old = match which {
                Which::Using(used) => planned.leans_on(used),
                Which::All | Which::Demand(_) => planned.version != version,
            };
            if is_old {
                is_new |= planned.renew_standbys(net, &ways, version);
            }
            self.trees.insert(root, planned);
        }
        (taken, is_new)
    }

    fn is_to_plan(
        &self,
        root: &EdgeId,
        planned: &mut Planned,
        which: &Which<'_>,
        net: &Net,
        load: &mut Load,
    ) -> bool {
        let before = match which {
            Which::Using(used) => {
                // An edge that wants the stream and came up since is no standby: it would receive all.
                let stream = self.demand.streams.get(root);
                let mut wanting = stream.into_iter().flat_map(|stream| &stream.wanted_by);
                let mut lacks =
                    || wanting.any(|edge| planned.lacks(edge) && net.region_of(edge).is_some());
                return planned.uses(used) || planned.leans_on(used) && lacks();
            }
            Which::All => &self.demand,
            Which::Demand(before) => before,
        };
        let streams = before.streams.get(root).zip(self.demand.streams.get(root));
        let stays = streams.is_some_and(|(before, now)| {
            planned.is_as_good(before, now, net) && planned.carry(now.bitrate.as_bps(), net, load)
        });
        !stays || before.residency != self.demand.residency
    }

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
