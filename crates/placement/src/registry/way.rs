//! How long a room's tracks travel between two edges, as its plan has it.

use std::time::Duration;

use sluice_types::ids::{EdgeId, MeetingId};

use super::Registry;

impl Registry {
    /// From `root` to `edge` and back along the room's plan: by what the edges on the way measure of
    /// their connections, and by the topology where they have not yet. `None` when the plan has no such
    /// way.
    #[must_use]
    pub fn round_trip(&self, id: &MeetingId, root: &EdgeId, edge: &EdgeId) -> Option<Duration> {
        let room = self.rooms.get(id)?;
        let tree = room.trees.iter().find(|tree| tree.root == *root)?;
        let mut sum = Duration::ZERO;
        let mut at = edge;
        // A tree has no loops: each branch is passed once at most.
        for _ in 0..=tree.branches.len() {
            if at == root {
                return Some(sum);
            }
            let parent = &tree.branch(at)?.parent;
            sum += self.hop(at, parent).unwrap_or_default();
            at = parent;
        }
        None
    }

    fn hop(&self, edge: &EdgeId, parent: &EdgeId) -> Option<Duration> {
        let state = self.edges.get(edge)?;
        let links = &state.heartbeat.links;
        if let Some(link) = links.iter().find(|link| link.peer == *parent) {
            return Some(Duration::from_micros(link.round_trip_us));
        }
        let (there, _) = self.topology.edge(parent)?;
        let link = (self.topology).link_between(&state.registration.region, there.name())?;
        Some(link.round_trip().duration())
    }
}
