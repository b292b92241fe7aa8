//! Parents that fall silent or go away, and the way back to the plan.
//!
//! A tree that loses its parent turns to its backup without asking anybody, and asks it for the tracks
//! together with the roster, since every round trip counts. It returns to the parent of the plan once
//! that has been heard for a while, or follows the next plan.

use std::time::Duration;

use sluice_types::ids::{EdgeId, MeetingId, RelayId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::mesh::control::Branch;
use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::{Mesh, Tree};

/// How long a parent must have been heard before a tree returns to it: one that comes and goes is not
/// worth the changes.
const STEADY: Duration = Duration::from_secs(5);

/// How long a connection to a parent may be missing before the backup is asked instead.
const UNREACHABLE: Duration = Duration::from_secs(1);

/// How long a parent may leave joins unanswered before the tree returns to the one before it.
const UNANSWERED: Duration = Duration::from_secs(5);

impl Mesh {
    /// Nothing comes from an edge any more, though its connection stands: trees that come from it turn
    /// to their backups. What it still sends is taken until those deliver.
    pub fn peer_silent(&mut self, now: Time, peer: &EdgeId) {
        if let Some(state) = self.peers.get_mut(peer).filter(|state| state.up) {
            state.silent = true;
            self.leave_silent_parents(now);
        }
    }

    /// An edge that was silent is heard again.
    pub fn peer_heard(&mut self, now: Time, peer: &EdgeId) {
        if let Some(state) = self.peers.get_mut(peer).filter(|state| state.silent) {
            state.silent = false;
            state.steady = now;
            self.leave_silent_parents(now);
        }
    }

    fn is_there(&self, peer: &EdgeId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|state| state.up && !state.silent)
    }

    fn is_silent(&self, peer: &EdgeId) -> bool {
        self.peers.get(peer).is_some_and(|state| state.silent)
    }

    /// Follows a plan's branch; from its backup for now, when the parent is known to be silent.
    pub(super) fn follow(&mut self, room: &MeetingId, root: &EdgeId, branch: &Branch) {
        let backup = branch.backup.clone().filter(|backup| self.is_there(backup));
        match backup.filter(|_| self.is_silent(&branch.parent)) {
            Some(instead) => self.set_parent(room, root, instead, Some(branch.parent.clone())),
            None => self.set_parent(room, root, branch.parent.clone(), branch.backup.clone()),
        }
        if let Some(tree) = self.tree_mut(room, root) {
            tree.planned = Some(branch.parent.clone());
        }
    }

    /// The trees for which `to` names another parent than they have.
    fn moving(&self, to: impl Fn(&Tree) -> Option<EdgeId>) -> Vec<(MeetingId, EdgeId, EdgeId)> {
        let rooms = self.rooms.iter();
        let trees = rooms.flat_map(|(id, room)| room.trees.iter().map(move |tree| (id, tree)));
        trees
            .filter_map(|(id, (root, tree))| {
                let to = to(tree).filter(|to| tree.parent.as_ref() != Some(to))?;
                Some((id.clone(), root.clone(), to))
            })
            .collect()
    }

    pub(super) fn leave_silent_parents(&mut self, now: Time) {
        let moving = self.moving(|tree| {
            tree.parent
                .as_ref()
                .filter(|parent| self.is_silent(parent))?;
            tree.backup.clone().filter(|backup| self.is_there(backup))
        });
        for (room, root, backup) in moving {
            self.reroute(now, &room, &root, &backup);
        }
    }

    /// Receives a tree from another edge at once. The parent before becomes the backup: it may be back
    /// before the next plan.
    pub(super) fn reroute(&mut self, now: Time, room: &MeetingId, root: &EdgeId, to: &EdgeId) {
        let before = self.tree(room, root).and_then(|tree| tree.parent.clone());
        self.set_parent(room, root, to.clone(), before);
        self.refresh_interest(now, room, root);
        for (relay, encoding) in self.interrupted(room, root, to) {
            self.send(to, BackboneMessage::KeyFrame { relay, encoding });
        }
    }

    /// The encodings of pictures that now come from `parent`: without what was lost, decoders can do
    /// nothing with them until the next key frame.
    fn interrupted(&self, room: &MeetingId, root: &EdgeId, parent: &EdgeId) -> Vec<(RelayId, u8)> {
        let Some(tree) = self.tree(room, root) else {
            return Vec::new();
        };
        let pictures = tree.ingress.iter().filter(|(track, ingress)| {
            let kind = tree.track(track).map(|info| info.kind);
            ingress.peer == *parent && kind == Some(MediaKind::Video)
        });
        pictures
            .flat_map(|(track, ingress)| {
                let wanted = tree.encodings.get(track).copied().unwrap_or(1);
                let encodings = (0..3_u8).filter(move |n| wanted >> n & 1 == 1);
                encodings.map(|encoding| (ingress.relay, encoding))
            })
            .collect()
    }

    /// Looks for better parents than those that do not answer, and for planned ones that are back.
    pub(super) fn reconsider_parents(&mut self, now: Time) {
        for room in self.rooms.values_mut() {
            for tree in room.trees.values_mut() {
                if tree.parent.is_some() && tree.joined.is_none() {
                    tree.unanswered.get_or_insert(now);
                }
            }
        }
        let late = |tree: &Tree, patience| {
            let since = tree.unanswered;
            since.is_some_and(|since| now.since(since) >= patience)
        };
        let unreachable = self.moving(|tree| {
            let waits = tree.joined.is_none() && late(tree, UNREACHABLE);
            let backup = tree.backup.clone().filter(|_| waits);
            backup.filter(|backup| self.is_there(backup))
        });
        let unanswered = self.moving(|tree| {
            let waits = tree.joined.is_some() && !tree.answered && late(tree, UNANSWERED);
            let former = tree.former.clone().filter(|_| waits);
            former.filter(|former| self.is_there(former))
        });
        for (room, root, to) in unreachable.into_iter().chain(unanswered) {
            let left = self.tree(&room, &root).and_then(|tree| tree.parent.clone());
            if let Some(state) = left.and_then(|left| self.peers.get_mut(&left)) {
                state.steady = now;
            }
            self.reroute(now, &room, &root, &to);
        }
        let returning = self.moving(|tree| {
            let planned = tree.planned.clone().filter(|_| tree.answered)?;
            let state = self
                .peers
                .get(&planned)
                .filter(|state| state.up && !state.silent)?;
            (now.since(state.steady) >= STEADY).then_some(planned)
        });
        for (room, root, planned) in returning {
            let before = self.tree(&room, &root).and_then(|tree| tree.parent.clone());
            self.set_parent(&room, &root, planned, before);
        }
    }
}
