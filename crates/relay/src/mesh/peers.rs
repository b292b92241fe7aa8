//! Peers that come, speak and go.

use sluice_types::ids::{EdgeId, MeetingId};
use sluice_types::layers::LayerSet;
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use super::roster::Change;
use super::{Mesh, Output, RelayUse};

impl Mesh {
    /// A connection to an edge is up, whoever opened it.
    pub fn peer_up(&mut self, peer: &EdgeId) {
        self.peers.entry(peer.clone()).or_default().up = true;
        self.join_parents(peer);
        self.turn_back(peer);
    }

    /// The connection to an edge is gone. Trees that came from it turn to their backup at once.
    pub fn peer_down(&mut self, now: Time, peer: &EdgeId) {
        if !self.peers.contains_key(peer) {
            return;
        }
        for (room, root) in self.forget_connection(now, peer) {
            let backup = self
                .tree(&room, &root)
                .and_then(|tree| tree.backup.clone())
                .filter(|backup| backup != peer);
            if let Some(backup) = backup {
                self.reroute(now, &room, &root, &backup);
            }
        }
        self.tidy_trees();
        if !self.connected.contains(peer) {
            self.peers.remove(peer);
        }
        self.refresh_connections();
    }

    /// Another connection to an edge takes the place of the one before, on which nothing comes any
    /// more. The edge itself was never out of reach, so trees that come from it stay with it.
    pub fn peer_replaced(&mut self, now: Time, peer: &EdgeId) {
        self.forget_connection(now, peer);
        self.peer_up(peer);
        self.tidy_trees();
        self.refresh_connections();
    }

    /// Drops all that was agreed on a connection, and what waits to be sent on it. Returns the trees
    /// that came over it.
    fn forget_connection(&mut self, now: Time, peer: &EdgeId) -> Vec<(MeetingId, EdgeId)> {
        self.outputs
            .retain(|output| !matches!(output, Output::Send { peer: to, .. } if to == peer));
        let state = self.peers.entry(peer.clone()).or_default();
        state.up = false;
        state.silent = false;
        state.steady = None;
        let receiving = std::mem::take(&mut state.receiving);
        let sending: Vec<_> = state.sending.keys().copied().collect();
        for (relay, of) in receiving {
            self.outputs.push_back(Output::Unroute {
                peer: peer.clone(),
                relay,
            });
            if let Some(tree) = self.tree_mut(&of.room, &of.root) {
                tree.lose_relay(&of.track, peer, relay);
            }
        }
        for relay in sending {
            self.take_unsubscription(now, peer, relay);
        }
        let mut orphaned = Vec::new();
        for (id, room) in &mut self.rooms {
            for (root, tree) in &mut room.trees {
                tree.children.remove(peer);
                if tree.former.as_ref() == Some(peer) {
                    tree.former = None;
                }
                if tree.joined.as_ref() == Some(peer) {
                    tree.joined = None;
                    tree.complete = false;
                    tree.confirmed = false;
                    orphaned.push((id.clone(), root.clone()));
                }
            }
        }
        orphaned
    }

    /// Lets go of trees and rooms that lost their last reason.
    fn tidy_trees(&mut self) {
        let trees: Vec<_> = self
            .rooms
            .iter()
            .flat_map(|(id, room)| {
                room.trees
                    .keys()
                    .map(move |root| (id.clone(), root.clone()))
            })
            .collect();
        for (room, root) in trees {
            self.drop_if_retired(&room, &root);
            self.tidy(&room);
        }
    }

    /// An edge says something.
    pub fn handle_message(&mut self, now: Time, from: &EdgeId, message: BackboneMessage) {
        match message {
            // The shell has checked it already, and a connection that ends says so itself.
            BackboneMessage::Hello { .. } | BackboneMessage::Goodbye {} => {}
            BackboneMessage::Join {
                room,
                root,
                epoch,
                data_after,
            } => {
                self.take_child(from, &room, &root, data_after);
                self.step_aside(&room, &root, from, epoch);
            }
            BackboneMessage::Leave { room, root } => self.lose_child(now, from, &room, &root),
            BackboneMessage::Roster {
                room,
                root,
                path,
                revision,
                complete,
                participants,
                left,
            } => {
                let change = Change {
                    path,
                    revision,
                    complete,
                    participants,
                    left,
                };
                self.take_roster(now, from, &room, &root, change);
            }
            BackboneMessage::Subscribe {
                relay,
                room,
                root,
                track,
                encodings,
            } => {
                let of = RelayUse { room, root, track };
                let layers = LayerSet::of_encodings(encodings);
                self.take_subscription(now, from, relay, of, layers);
            }
            BackboneMessage::Encodings { relay, encodings } => {
                self.take_layers(from, relay, LayerSet::of_encodings(encodings));
            }
            BackboneMessage::Layers { relay, layers } => {
                self.take_layers(from, relay, layers);
            }
            BackboneMessage::Unsubscribe { relay } => self.take_unsubscription(now, from, relay),
            BackboneMessage::RelayEnded { relay } => self.take_relay_ended(from, relay),
            BackboneMessage::KeyFrame { relay, encoding } => {
                self.take_key_frame_request(from, relay, encoding);
            }
            BackboneMessage::Data {
                room,
                root,
                sequence,
                message,
            } => self.take_data(from, &room, &root, sequence, message),
            BackboneMessage::Remove {
                room,
                root,
                participant,
            } => self.pass_removal(&room, &root, &participant),
        }
    }

    /// A child joins a tree, perhaps before this edge has heard of it in a plan.
    fn take_child(
        &mut self,
        child: &EdgeId,
        room: &MeetingId,
        root: &EdgeId,
        data_after: Option<u64>,
    ) {
        let Some(state) = self.room_mut(room) else {
            return;
        };
        let tree = state.trees.entry(root.clone()).or_default();
        tree.children.insert(child.clone());
        self.send_whole_roster(room, root, child);
        self.repeat_data(room, root, child, data_after);
    }

    fn lose_child(&mut self, now: Time, child: &EdgeId, room: &MeetingId, root: &EdgeId) {
        let Some(tree) = self.tree_mut(room, root) else {
            return;
        };
        tree.children.remove(child);
        let relays: Vec<_> = tree
            .egress
            .keys()
            .filter(|(peer, _)| peer == child)
            .map(|&(_, relay)| relay)
            .collect();
        for relay in relays {
            self.take_unsubscription(now, child, relay);
        }
        self.drop_if_retired(room, root);
        self.tidy(room);
    }
}
