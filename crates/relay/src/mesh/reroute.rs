//! Parents that fall silent or go away, and the way back to the plan.
//!
//! A tree that loses its parent turns to its backup without asking anybody, and asks it for the tracks
//! together with the roster, since every round trip counts. It returns to the parent of the plan once
//! that has been heard for a while, or follows the next plan.

use std::time::Duration;

use sluice_types::ids::{EdgeId, Epoch, MeetingId, RelayId, TrackId};
use sluice_types::layers::{ENCODINGS_MAX, LayerSet};
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

impl Mesh {
    /// Nothing comes from an edge any more, though its connection stands: trees that come from it turn
    /// to their backups. What it still sends is taken until those deliver.
    pub fn peer_silent(&mut self, now: Time, peer: &EdgeId) {
        if let Some(state) = self.peers.get_mut(peer).filter(|state| state.up) {
            state.silent = true;
            state.steady = None;
            self.leave_silent_parents(now);
        }
    }

    /// An edge that was silent is heard again.
    pub fn peer_heard(&mut self, now: Time, peer: &EdgeId) {
        if let Some(state) = self.peers.get_mut(peer).filter(|state| state.silent) {
            state.silent = false;
            state.steady = Some(now);
            self.tell_children_of(peer);
            self.leave_silent_parents(now);
        }
    }

    /// Edges that are needed as parents or backups and have not been heard for a second or more.
    pub fn unreachable(&self, now: Time) -> impl Iterator<Item = &EdgeId> {
        let is_missing = move |since: Time| now.since(since) >= UNREACHABLE;
        self.peers
            .iter()
            .filter(move |(_, state)| state.missing.is_some_and(is_missing))
            .map(|(peer, _)| peer)
    }

    /// What came from a silent edge at last was kept from children, who could not know its worth.
    fn tell_children_of(&mut self, parent: &EdgeId) {
        let rooms = self.rooms.iter();
        let trees = rooms.flat_map(|(id, room)| room.trees.iter().map(move |tree| (id, tree)));
        let fed = trees.filter(|(_, (_, tree))| {
            let from = [&tree.joined, &tree.former];
            from.into_iter().flatten().any(|from| from == parent)
        });
        let told: Vec<_> = fed
            .flat_map(|(id, (root, tree))| {
                let children = tree.children.iter().cloned();
                children.map(move |child| (id.clone(), root.clone(), child))
            })
            .collect();
        for (room, root, child) in told {
            self.send_whole_roster(&room, &root, &child);
        }
    }

    pub(super) fn is_there(&self, peer: &EdgeId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|state| state.up && !state.silent)
    }

    fn is_silent(&self, peer: &EdgeId) -> bool {
        self.peers.get(peer).is_some_and(|state| state.silent)
    }

    /// Follows a plan's branch; from its backup for now, when the parent is known to be silent.
    pub(super) fn follow(&mut self, room: &MeetingId, root: &EdgeId, branch: &Branch) {
        let joined = self.tree(room, root).and_then(|tree| tree.joined.clone());
        let backup = branch.backup.clone().filter(|backup| self.is_there(backup));
        match backup.filter(|_| self.is_silent(&branch.parent)) {
            Some(instead) => self.set_parent(room, root, instead, Some(branch.parent.clone())),
            None => self.set_parent(room, root, branch.parent.clone(), branch.backup.clone()),
        }
        if let Some(tree) = self.tree_mut(room, root) {
            tree.planned = Some(branch.parent.clone());
            // A parent that was told of a plan without this edge, which never heard of it, has forgotten
            // its children: those who stay join again.
            if joined.is_some() && tree.joined == joined {
                self.join_once_more(room, root);
            }
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

    fn leave_silent_parents(&mut self, now: Time) {
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
        for track in self.missing_from(room, root, to) {
            self.subscribe(now, to, room, root, &track);
        }
        for (relay, encoding) in self.interrupted(room, root, to) {
            self.send(to, BackboneMessage::KeyFrame { relay, encoding });
        }
    }

    /// A parent follows a newer plan, in which it receives from here: two edges that follow one another
    /// get nothing. The new plan is on its way; until it is here, this edge receives from the parent
    /// before, or from its backup.
    pub(super) fn step_aside(
        &mut self,
        room: &MeetingId,
        root: &EdgeId,
        child: &EdgeId,
        epoch: Epoch,
    ) {
        let newer = self.epoch(room).is_some_and(|own| epoch > own);
        let Some(tree) = self.tree_mut(room, root).filter(|_| newer) else {
            return;
        };
        if tree.joined.as_ref() != Some(child) {
            return;
        }
        let known = [tree.former.clone(), tree.backup.clone()];
        let instead = known.into_iter().flatten().find(|edge| edge != child);
        if let Some(instead) = instead {
            tree.planned = None;
            self.set_parent(room, root, instead, None);
        }
    }

    /// Tracks that are received here or below, and not yet asked of a parent that was joined.
    fn missing_from(&self, room: &MeetingId, root: &EdgeId, parent: &EdgeId) -> Vec<TrackId> {
        let tree = self.tree(room, root);
        let Some(tree) = tree.filter(|tree| tree.joined.as_ref() == Some(parent)) else {
            return Vec::new();
        };
        let is_missing = |track: &&TrackId| {
            let ingress = tree.ingress.get(*track);
            ingress.is_none_or(|ingress| ingress.peer != *parent)
        };
        tree.open.iter().filter(is_missing).cloned().collect()
    }

    /// Whether what this edge knows of a root comes from there. Of two edges that turn to one another,
    /// neither may take the other's memory for news.
    pub(super) fn is_fed(&self, root: &EdgeId, tree: &Tree) -> bool {
        let from = tree.joined.as_ref().filter(|_| tree.confirmed);
        let feeds = |parent: Option<&EdgeId>| parent.is_some_and(|parent| self.is_there(parent));
        *root == self.edge || feeds(from) || feeds(tree.former.as_ref())
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
                let lowest = LayerSet::of_encodings(1);
                let wanted = tree.layers.get(track).copied().unwrap_or(lowest);
                let encodings = (0..ENCODINGS_MAX as u8).filter(move |&n| wanted.has(n));
                encodings.map(|encoding| (ingress.relay, encoding))
            })
            .collect()
    }

    /// Looks for better parents than those that cannot be reached, and for planned ones that are back.
    pub(super) fn reconsider_parents(&mut self, now: Time) {
        self.leave_silent_parents(now);
        for state in self
            .peers
            .values_mut()
            .filter(|state| state.up && !state.silent)
        {
            state.steady.get_or_insert(now);
        }
        for (peer, state) in &mut self.peers {
            if (state.silent || !state.up) && self.connected.contains(peer) {
                state.missing.get_or_insert(now);
            } else {
                state.missing = None;
            }
        }
        for tree in self
            .rooms
            .values_mut()
            .flat_map(|room| room.trees.values_mut())
        {
            if tree.parent.is_some() && tree.joined.is_none() {
                tree.unreachable.get_or_insert(now);
            } else {
                tree.unreachable = None;
            }
        }
        let unreachable = self.moving(|tree| {
            let since = tree.unreachable?;
            let backup = tree.backup.clone().filter(|backup| self.is_there(backup))?;
            (now.since(since) >= UNREACHABLE).then_some(backup)
        });
        for (room, root, backup) in unreachable {
            self.reroute(now, &room, &root, &backup);
        }
        let returning = self.moving(|tree| {
            let planned = tree.planned.clone().filter(|_| tree.confirmed)?;
            let state = self
                .peers
                .get(&planned)
                .filter(|_| self.is_there(&planned))?;
            (now.since(state.steady?) >= STEADY).then_some(planned)
        });
        for (room, root, planned) in returning {
            if let Some(state) = self.peers.get_mut(&planned) {
                // Should it not answer, the next attempt waits as long.
                state.steady = Some(now);
            }
            let before = self.tree(&room, &root).and_then(|tree| tree.parent.clone());
            self.set_parent(&room, &root, planned, before);
        }
    }
}
