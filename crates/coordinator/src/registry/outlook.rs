//! Planning apart from the registry, which is not held up by it.

use std::collections::BTreeSet;

use sluice_placement::{Broken, Graph, Limits, PlannedTrees, plan_trees};
use sluice_types::ids::{EdgeId, MeetingId};
use sluice_types::mesh::control::RelayTree;

/// A room to be planned, as it was when it was asked for.
#[derive(Debug, Clone)]
pub struct Outlook {
    pub(super) room: MeetingId,
    pub(super) demand: BTreeSet<EdgeId>,
    pub(super) trees: Vec<RelayTree>,
}

/// A plan that has no epoch yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replanned {
    /// The room.
    pub room: MeetingId,
    /// Its new trees.
    pub trees: Vec<RelayTree>,
    /// What limits they break.
    pub broken: Vec<Broken>,
}

impl Outlook {
    /// Whether the room had no plan.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.trees.is_empty()
    }

    /// The room.
    #[must_use]
    pub const fn room(&self) -> &MeetingId {
        &self.room
    }

    /// Plans the room; `None` when its trees stay as they are.
    #[must_use]
    pub fn plan(self, graph: &Graph, limits: &Limits) -> Option<Replanned> {
        let PlannedTrees { trees, broken } = plan_trees(graph, &self.demand, limits);
        (trees != self.trees).then_some(Replanned {
            room: self.room,
            trees,
            broken,
        })
    }
}
