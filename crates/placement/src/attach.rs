//! From a tree over regions to the tree over their edges: which edge brings the stream into a region,
//! and which feed the region's others and the next regions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::{Branch, RelayTree};

use crate::net::{Net, Region};
use crate::sketch::Sketch;

/// The edges of a tree, as they are to be joined.
pub(crate) struct Edges<'a> {
    pub(crate) root: &'a EdgeId,
    /// The edges that want the stream, without the root, by region.
    pub(crate) wanted: &'a BTreeMap<Region, Vec<EdgeId>>,
    /// Edges that have the stream anyway.
    pub(crate) warm: &'a BTreeSet<EdgeId>,
    /// The tree that is in force, whose choices are kept where they can be.
    pub(crate) before: Option<&'a RelayTree>,
    pub(crate) fan_out_max: u32,
}

impl Edges<'_> {
    /// The tree over edges. Within a region the stream crosses once, to one edge, from which the
    /// others have it; when that edge has too many children, its neighbours take some over.
    pub(crate) fn attach(&self, net: &Net, sketch: &Sketch) -> RelayTree {
        let mut next: BTreeMap<Region, Vec<Region>> = BTreeMap::new();
        for &member in sketch.members.iter().filter(|&&m| m != sketch.root) {
            let parent = sketch.places[member].parent;
            next.entry(parent).or_default().push(member);
        }
        let inlets_before = self.inlets_before(net);
        let mut branches = Vec::new();
        let mut queue = VecDeque::from([(sketch.root, self.root.clone())]);
        while let Some((region, inlet)) = queue.pop_front() {
            let mut regions = next.remove(&region).unwrap_or_default();
            regions.sort_unstable_by_key(|&to| (sketch.places[to].delay, to));
            for (parent, to) in self.spread(net, region, inlet, &regions, &mut branches) {
                let edge = self.inlet(net, to, inlets_before.get(&to));
                branches.push(branch(&edge, &parent));
                queue.push_back((to, edge));
            }
        }
        RelayTree {
            root: self.root.clone(),
            branches,
        }
    }

    /// Joins the region's edges to the inlet, and says which feeds each of the next regions.
    fn spread(
        &self,
        net: &Net,
        region: Region,
        inlet: EdgeId,
        regions: &[Region],
        branches: &mut Vec<Branch>,
    ) -> Vec<(EdgeId, Region)> {
        let fan_out = self.fan_out_max.max(1) as usize;
        let wanted = self.wanted.get(&region).map_or(&[][..], Vec::as_slice);
        let mut others: Vec<_> = wanted.iter().filter(|edge| **edge != inlet).collect();
        // Each helper takes a place and gives `fan_out`.
        let lacks =
            |others: &[&EdgeId]| regions.len() + others.len() > (others.len() + 1) * fan_out;
        let idle = net.edges[region].iter();
        for helper in idle.filter(|edge| **edge != inlet && !wanted.contains(edge)) {
            if !lacks(&others) || fan_out == 1 {
                break;
            }
            others.push(helper);
        }
        // The inlet feeds as many regions as it can, for whose delay it matters most.
        let kept_for_others = usize::from(!others.is_empty());
        let direct = regions.len().min(fan_out.saturating_sub(kept_for_others));
        let others_direct = if direct < regions.len() {
            kept_for_others
        } else {
            fan_out - direct
        };
        let mut slots = VecDeque::from([(inlet.clone(), others_direct)]);
        for other in others {
            // Were there too few slots, the inlet would have too many children.
            let parent = take_slot(&mut slots).unwrap_or_else(|| inlet.clone());
            branches.push(branch(other, &parent));
            slots.push_back((other.clone(), fan_out));
        }
        let feeding = regions.iter().enumerate().map(|(index, &to)| {
            let helper = (index >= direct).then(|| take_slot(&mut slots)).flatten();
            (helper.unwrap_or_else(|| inlet.clone()), to)
        });
        feeding.collect()
    }

    /// The edge that brings the stream into a region: the one that did before, if it may again; one
    /// that has it anyway; one of the room's; or any.
    fn inlet(&self, net: &Net, region: Region, before: Option<&EdgeId>) -> EdgeId {
        let up = &net.edges[region];
        let warm = up.iter().find(|edge| self.warm.contains(*edge));
        let wanted = self.wanted.get(&region).map_or(&[][..], Vec::as_slice);
        let before = before.filter(|edge| {
            up.contains(edge) && (wanted.is_empty() || wanted.contains(edge)) && warm.is_none()
        });
        let choice = warm.or(before).or_else(|| wanted.first());
        // Trees lead only through regions that have an edge.
        choice.unwrap_or(&up[0]).clone()
    }

    fn inlets_before(&self, net: &Net) -> BTreeMap<Region, EdgeId> {
        let branches = self.before.map_or(&[][..], |tree| tree.branches.as_slice());
        let inlets = branches.iter().filter_map(|branch| {
            let region = net.region_of(&branch.edge)?;
            (net.region_of(&branch.parent) != Some(region)).then(|| (region, branch.edge.clone()))
        });
        inlets.collect()
    }
}

fn take_slot(slots: &mut VecDeque<(EdgeId, usize)>) -> Option<EdgeId> {
    while let Some((edge, left)) = slots.front_mut() {
        if *left > 0 {
            *left -= 1;
            return Some(edge.clone());
        }
        slots.pop_front();
    }
    None
}

fn branch(edge: &EdgeId, parent: &EdgeId) -> Branch {
    Branch {
        edge: edge.clone(),
        parent: parent.clone(),
        backup: None,
    }
}
