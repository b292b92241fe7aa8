//! Following plans: which parent for which root.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_types::ids::{EdgeId, MeetingId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::mesh::control::RoomPlan;
use sluice_types::room::LeaveReason;
use sluice_types::units::Time;

use super::{Mesh, Output};

/// How long a roster may take before it is asked for again: longer than the longest round trip.
const ROSTER_PATIENCE: Duration = Duration::from_secs(2);

impl Mesh {
    /// Follows a plan, unless it is not newer than the one that the room follows already.
    pub fn apply_plan(&mut self, plan: &RoomPlan) {
        let own = self.edge.clone();
        let Some(room) = self.room_mut(&plan.room) else {
            return;
        };
        if plan.epoch <= room.epoch {
            return;
        }
        room.epoch = plan.epoch;
        let planned: BTreeSet<_> = plan
            .trees
            .iter()
            .filter(|tree| tree.root == own || tree.branch(&own).is_some())
            .map(|tree| tree.root.clone())
            .collect();
        let dropped: Vec<_> = room
            .trees
            .keys()
            .filter(|root| !planned.contains(*root) && **root != own)
            .cloned()
            .collect();
        for root in dropped {
            if plan.trees.iter().any(|tree| tree.root == root) {
                self.retire(&plan.room, &root);
            } else {
                self.drop_tree(&plan.room, &root);
            }
        }
        for tree in &plan.trees {
            if let Some(branch) = tree.branch(&own) {
                self.follow(&plan.room, &tree.root, branch);
            } else if tree.root == own {
                self.become_root(&plan.room);
            }
        }
        self.refresh_connections();
    }

    /// The room is over, or no longer at this edge.
    pub fn end_room(&mut self, id: &MeetingId) {
        let roots: Vec<_> = match self.rooms.get_mut(id) {
            Some(room) => {
                room.wants.clear();
                room.trees.keys().cloned().collect()
            }
            None => return,
        };
        for root in roots {
            self.drop_tree(id, &root);
            self.drop_children(id, &root);
        }
        self.rooms.remove(id);
        self.refresh_connections();
    }

    fn become_root(&mut self, id: &MeetingId) {
        let own = self.edge.clone();
        if let Some(room) = self.rooms.get_mut(id) {
            let tree = room.trees.entry(own.clone()).or_default();
            tree.complete = true;
            for child in tree.children.clone() {
                self.send_whole_roster(id, &own, &child);
            }
        }
    }

    /// This edge is not in the tree any more, but its children may be on their way to other parents.
    fn retire(&mut self, id: &MeetingId, root: &EdgeId) {
        let Some(tree) = self.tree_mut(id, root) else {
            return;
        };
        tree.retired = true;
        self.drop_if_retired(id, root);
    }

    pub(super) fn drop_if_retired(&mut self, id: &MeetingId, root: &EdgeId) {
        let over = self
            .tree(id, root)
            .is_some_and(|tree| tree.retired && tree.children.is_empty());
        if over {
            self.drop_tree(id, root);
            self.refresh_connections();
        }
    }

    /// This edge is not in the tree any more: whoever was at its root is out of reach.
    fn drop_tree(&mut self, id: &MeetingId, root: &EdgeId) {
        self.lose_roster(id, root, LeaveReason::EdgeLost);
        if let Some(tree) = self.tree_mut(id, root) {
            tree.parent = None;
            tree.backup = None;
            tree.complete = false;
            let (joined, former) = (tree.joined.take(), tree.former.take());
            for parent in joined.into_iter().chain(former) {
                self.leave(id, root, &parent);
            }
        }
        self.tidy(id);
    }

    pub(super) fn set_parent(
        &mut self,
        id: &MeetingId,
        root: &EdgeId,
        parent: EdgeId,
        backup: Option<EdgeId>,
    ) {
        let Some(room) = self.rooms.get_mut(id) else {
            return;
        };
        let tree = room.trees.entry(root.clone()).or_default();
        tree.backup = backup.clone();
        tree.retired = false;
        let same = tree.parent.as_ref() == Some(&parent);
        tree.parent = Some(parent.clone());
        // The one who delivers goes on until the new one does: make before break. That is the parent
        // joined last once it has spoken, and until then the one before.
        let mut left = None;
        if !(same && tree.joined.is_some()) {
            tree.waiting = None;
            let before = tree.joined.take().filter(|before| *before != parent);
            if tree.former.as_ref() == Some(&parent) {
                tree.former = None;
            }
            left = match before {
                Some(before) if tree.confirmed || tree.former.is_none() => {
                    tree.former.replace(before)
                }
                before => before,
            };
        }
        if let Some(left) = left {
            self.leave(id, root, &left);
        }
        self.connect(&parent);
        // At hand before it is needed: a handshake takes as long as a person notices.
        if let Some(backup) = backup {
            self.connect(&backup);
        }
        self.join_parents(&parent);
    }

    /// Leaves a parent, which ends every relay of the tree that comes from it.
    pub(super) fn leave(&mut self, room: &MeetingId, root: &EdgeId, parent: &EdgeId) {
        let ended: Vec<_> = match self.peers.get(parent) {
            Some(state) => state
                .receiving
                .iter()
                .filter(|(_, of)| of.room == *room && of.root == *root)
                .map(|(&relay, _)| relay)
                .collect(),
            None => Vec::new(),
        };
        for relay in ended {
            self.take_relay_ended(parent, relay);
        }
        self.send(
            parent,
            BackboneMessage::Leave {
                room: room.clone(),
                root: root.clone(),
            },
        );
    }

    fn connect(&mut self, peer: &EdgeId) {
        self.peers.entry(peer.clone()).or_default();
        if self.connected.insert(peer.clone()) {
            self.outputs
                .push_back(Output::Connect { peer: peer.clone() });
        }
    }

    /// Joins every tree whose parent `peer` is, if it can be reached.
    pub(super) fn join_parents(&mut self, peer: &EdgeId) {
        if !self.peers.get(peer).is_some_and(|state| state.up) {
            return;
        }
        let mut joins = Vec::new();
        for (id, room) in &mut self.rooms {
            for (root, tree) in &mut room.trees {
                if tree.parent.as_ref() == Some(peer) && tree.joined.is_none() {
                    tree.joined = Some(peer.clone());
                    tree.confirmed = false;
                    joins.push(BackboneMessage::Join {
                        room: id.clone(),
                        root: root.clone(),
                        epoch: room.epoch,
                        data_after: tree.data.after(),
                    });
                }
            }
        }
        for message in joins {
            self.send(peer, message);
        }
    }

    /// The planned parent of trees whose backup has not delivered yet is back: they turn to it. Two
    /// edges that lost the same parent may be waiting for each other.
    pub(super) fn turn_back(&mut self, peer: &EdgeId) {
        let waiting: Vec<_> = self
            .rooms
            .iter()
            .flat_map(|(id, room)| room.trees.iter().map(move |tree| (id, tree)))
            .filter(|(_, (_, tree))| !tree.confirmed && tree.planned.as_ref() == Some(peer))
            .map(|(id, (root, tree))| (id.clone(), root.clone(), tree.parent.clone()))
            .collect();
        for (room, root, parent) in waiting {
            if let Some(parent) = parent.filter(|parent| parent != peer) {
                self.set_parent(&room, &root, peer.clone(), Some(parent));
            }
        }
    }

    /// A roster that does not come is asked of the backup where that can be reached, else once more
    /// of the parent, which takes a second join as it took the first.
    pub(super) fn look_elsewhere(&mut self, now: Time) {
        let (mut joins, mut turns) = (Vec::new(), Vec::new());
        for (id, room) in &mut self.rooms {
            for (root, tree) in &mut room.trees {
                let parent = tree.joined.clone().filter(|_| !tree.confirmed);
                let Some(parent) = parent else {
                    tree.waiting = None;
                    continue;
                };
                let since = *tree.waiting.get_or_insert(now);
                if now.since(since) < ROSTER_PATIENCE {
                    continue;
                }
                tree.waiting = Some(now);
                let reachable = |peer: &&EdgeId| {
                    **peer != parent && self.peers.get(*peer).is_some_and(|state| state.up)
                };
                if let Some(backup) = tree.backup.clone().filter(|backup| reachable(&backup)) {
                    turns.push((id.clone(), root.clone(), backup, parent));
                } else {
                    let join = BackboneMessage::Join {
                        room: id.clone(),
                        root: root.clone(),
                        epoch: room.epoch,
                        data_after: tree.data.after(),
                    };
                    joins.push((parent, join));
                }
            }
        }
        for (parent, join) in joins {
            self.send(&parent, join);
        }
        for (room, root, backup, parent) in turns {
            self.set_parent(&room, &root, backup, Some(parent));
        }
    }

    /// Lets go of connections that no tree has as a parent's or a backup's.
    pub(super) fn refresh_connections(&mut self) {
        let needed: BTreeSet<_> = self
            .rooms
            .values()
            .flat_map(|room| room.trees.values())
            .flat_map(|tree| tree.parent.iter().chain(&tree.former).chain(&tree.backup))
            .cloned()
            .collect();
        for peer in self.connected.difference(&needed) {
            self.outputs
                .push_back(Output::Disconnect { peer: peer.clone() });
        }
        self.connected.retain(|peer| needed.contains(peer));
    }
}
