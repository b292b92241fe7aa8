//! The plans of all rooms: what the registry knows, put to the placement core.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Broken, Changed, Explanation, Graph, Limits, Planner, Residency, Rules, explain};
use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::mesh::control::RelayTree;
use sluice_types::topology::Topology;
use sluice_types::units::Bitrate;

use super::{Forbidden, Mesh, Outlook, Replanned};

/// See the module. It is told everything and asks nobody: equal input gives equal plans.
pub struct Plans {
    planner: Planner,
    edges: BTreeMap<EdgeId, RegionName>,
    links_down: BTreeSet<(RegionName, RegionName)>,
}

impl Plans {
    /// No edge is up, and there is no room.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        let rules = Rules::from(Limits::from(topology.policy()));
        Self {
            planner: Planner::new(Graph::new(topology, []), rules),
            edges: BTreeMap::new(),
            links_down: BTreeSet::new(),
        }
    }

    /// The topology is another. Every room is to be planned for it with [`Self::plan`].
    pub fn adopt(&mut self, topology: &Topology) {
        // What is down is told again at the next look, and what came up meanwhile is not.
        for (a, b) in std::mem::take(&mut self.links_down) {
            self.planner.set_link_up(&a, &b, true);
        }
        let rules = Rules::from(Limits::from(topology.policy()));
        self.planner.adopt(topology, rules);
    }

    /// The mesh is like this now; gives the rooms whose plans change at once. Those that are only
    /// dearer than they could be are for [`Self::refresh`].
    pub fn follow(&mut self, mesh: &Mesh) -> BTreeSet<MeetingId> {
        let mut changed = BTreeSet::new();
        let before = std::mem::replace(&mut self.edges, mesh.edges.clone());
        for (edge, region) in &mesh.edges {
            if before.get(edge) != Some(region) {
                changed.extend(rooms(self.planner.edge_up(edge.clone(), region.clone())));
            }
        }
        for edge in before.keys().filter(|edge| !mesh.edges.contains_key(*edge)) {
            changed.extend(rooms(self.planner.edge_down(edge)));
        }
        let before = std::mem::replace(&mut self.links_down, mesh.links_down.clone());
        for (a, b) in before.difference(&self.links_down) {
            changed.extend(rooms(self.planner.set_link_up(a, b, true)));
        }
        for (a, b) in self.links_down.difference(&before) {
            changed.extend(rooms(self.planner.set_link_up(a, b, false)));
        }
        for ((a, b), us) in &mesh.round_trips_us {
            changed.extend(rooms(self.planner.measure(a, b, *us)));
        }
        changed
    }

    /// Plans a room for what it needs now.
    pub fn plan(&mut self, outlook: &Outlook, residency: Residency) {
        // What is known of a room without trees was never in force, or is not any more.
        if outlook.is_new() || outlook.bitrates.is_empty() {
            self.planner.remove(outlook.room());
        }
        if !outlook.bitrates.is_empty() {
            let demand = outlook.demand(residency);
            self.planner.set_demand(outlook.room(), demand);
        }
    }

    /// The edges that a room's plan leaves out since it may not be there, and why.
    #[must_use]
    pub fn refused(&self, room: &MeetingId) -> Vec<(EdgeId, Forbidden)> {
        let planned = self.planner.planned(room).unwrap_or_default();
        let refused = planned
            .broken
            .into_iter()
            .filter_map(|broken| match broken {
                Broken::Refused { edge, region, rule } => {
                    Some((edge, Forbidden::Region { region, rule }))
                }
                _ => None,
            });
        refused.collect()
    }

    /// A room is over.
    pub fn forget(&mut self, room: &MeetingId) {
        self.planner.remove(room);
    }

    /// Looks at `rooms_max` rooms again that were planned when the mesh was another; gives those
    /// whose plans change.
    pub fn refresh(&mut self, rooms_max: usize) -> BTreeSet<MeetingId> {
        rooms(self.planner.refresh(rooms_max)).collect()
    }

    /// Whether rooms are left for [`Self::refresh`].
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.planner.stale() > 0
    }

    /// Why a room's trees are as they are: root by root what is planned with for its tracks, and each
    /// edge's place.
    #[must_use]
    pub fn explain(&self, room: &MeetingId) -> Option<Vec<(EdgeId, Bitrate, Vec<Explanation>)>> {
        self.planner.explain(room)
    }

    /// The same of a plan that another coordinator made.
    #[must_use]
    pub fn explain_foreign(
        topology: &Topology,
        mesh: &Mesh,
        outlook: &Outlook,
        residency: Residency,
    ) -> Vec<(EdgeId, Bitrate, Vec<Explanation>)> {
        let mut graph = Graph::new(topology, mesh.edges.keys().cloned());
        for ((a, b), us) in &mesh.round_trips_us {
            graph.measure(a, b, *us);
        }
        let rules = Rules::from(Limits::from(topology.policy()));
        let demand = outlook.demand(residency);
        let trees = outlook.trees.iter().map(|tree| {
            let bitrate = outlook.bitrates.get(&tree.root).copied();
            let explained = explain(&graph, &demand, &rules, tree);
            (tree.root.clone(), bitrate.unwrap_or_default(), explained)
        });
        trees.collect()
    }

    /// A room's plan, when it is another than the one in force.
    #[must_use]
    pub fn replanned(&self, room: &MeetingId, in_force: &[RelayTree]) -> Option<Replanned> {
        let planned = self.planner.planned(room).unwrap_or_default();
        (planned.trees != in_force).then(|| Replanned {
            room: room.clone(),
            trees: planned.trees,
            broken: planned.broken,
        })
    }
}

fn rooms(changed: Vec<Changed>) -> impl Iterator<Item = MeetingId> {
    changed.into_iter().map(|changed| changed.room)
}
