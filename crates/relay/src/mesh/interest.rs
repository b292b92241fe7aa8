//! Interest: which of a root's tracks are wanted here or below, and the relays that bring them.

use std::collections::BTreeSet;

use sluice_types::ids::{EdgeId, MeetingId, RelayId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use super::{Ingress, Mesh, OVERLAP, Output, RelayUse, Tree};
use crate::datagram::RELAY_ID_MAX;

impl Tree {
    /// Nothing comes over a relay any more. Without its successor, the one from the former parent
    /// goes on.
    pub(super) fn lose_relay(&mut self, track: &TrackId, peer: &EdgeId, relay: RelayId) {
        let Some(mut ingress) = self.ingress.remove(track) else {
            return;
        };
        let mut former = ingress
            .former
            .take()
            .filter(|(of, number, _)| !(of == peer && *number == relay));
        if ingress.peer == *peer && ingress.relay == relay {
            let Some((peer, relay, _)) = former.take() else {
                return;
            };
            (ingress.peer, ingress.relay) = (peer, relay);
        }
        ingress.former = former;
        self.ingress.insert(track.clone(), ingress);
    }
}

impl Mesh {
    /// A participant at this edge wants a track of another edge.
    pub fn want(&mut self, now: Time, room: &MeetingId, track: &TrackId) {
        if let Some(state) = self.room_mut(room)
            && state.wants.insert(track.clone())
        {
            self.refresh_room(now, room);
        }
    }

    /// Nobody at this edge wants that track any more.
    pub fn unwant(&mut self, now: Time, room: &MeetingId, track: &TrackId) {
        if let Some(state) = self.rooms.get_mut(room)
            && state.wants.remove(track)
        {
            self.refresh_room(now, room);
        }
    }

    fn refresh_room(&mut self, now: Time, room: &MeetingId) {
        let roots: Vec<_> = match self.rooms.get(room) {
            Some(state) => state.trees.keys().cloned().collect(),
            None => return,
        };
        for root in roots {
            self.refresh_interest(now, room, &root);
        }
    }

    /// Brings the relays of one tree in line with what is wanted.
    pub(super) fn refresh_interest(&mut self, now: Time, room: &MeetingId, root: &EdgeId) {
        if *root == self.edge {
            return;
        }
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let Some(tree) = state.trees.get(root) else {
            return;
        };
        let needed: BTreeSet<_> = state
            .wants
            .iter()
            .chain(tree.egress.values())
            .filter(|track| tree.track(track).is_some())
            .cloned()
            .collect();
        let surplus: Vec<_> = tree.open.difference(&needed).cloned().collect();
        let opened: Vec<_> = needed.difference(&tree.open).cloned().collect();
        // Until the parent has spoken, what it could send may be what comes from here. The one before is
        // asked for what is new, and goes on with what it sends.
        let source = match tree.confirmed {
            true => tree.joined.clone(),
            false => tree.former.clone(),
        };
        let unrouted: Vec<_> = needed
            .iter()
            .filter(|track| match tree.ingress.get(*track) {
                Some(ingress) => tree.confirmed && Some(&ingress.peer) != source.as_ref(),
                None => true,
            })
            .cloned()
            .collect();
        for track in surplus {
            self.close_track(room, root, &track);
        }
        for track in opened {
            self.open_track(room, root, &track);
        }
        if let Some(source) = source {
            for track in unrouted {
                self.subscribe(now, &source, room, root, &track);
            }
        }
    }

    fn open_track(&mut self, room: &MeetingId, root: &EdgeId, track: &TrackId) {
        let Some(tree) = self.tree_mut(room, root) else {
            return;
        };
        let found = tree
            .owned(track)
            .map(|(owner, info)| (owner.clone(), info.clone()));
        if let Some((owner, info)) = found {
            tree.open.insert(track.clone());
            self.outputs.push_back(Output::OpenTrack {
                room: room.clone(),
                owner,
                track: info,
            });
        }
    }

    fn close_track(&mut self, room: &MeetingId, root: &EdgeId, track: &TrackId) {
        let Some(tree) = self.tree_mut(room, root) else {
            return;
        };
        tree.open.remove(track);
        tree.layers.remove(track);
        if let Some(ingress) = tree.ingress.remove(track) {
            let former = ingress.former.map(|(peer, relay, _)| (peer, relay));
            for (peer, relay) in former.into_iter().chain([(ingress.peer, ingress.relay)]) {
                self.unsubscribe(&peer, relay);
            }
        }
        self.outputs.push_back(Output::CloseTrack {
            room: room.clone(),
            track: track.clone(),
        });
    }

    pub(super) fn subscribe(
        &mut self,
        now: Time,
        from: &EdgeId,
        room: &MeetingId,
        root: &EdgeId,
        track: &TrackId,
    ) {
        let layers = self
            .tree(room, root)
            .and_then(|tree| tree.layers.get(track).copied())
            .unwrap_or(LayerSet::ALL);
        let Some(peer) = self.peers.get_mut(from).filter(|peer| peer.up) else {
            return;
        };
        let mut relay = RelayId(peer.next_relay);
        while peer.receiving.contains_key(&relay) {
            relay = RelayId((relay.0 + 1) & RELAY_ID_MAX);
        }
        peer.next_relay = (relay.0 + 1) & RELAY_ID_MAX;
        peer.receiving.insert(
            relay,
            RelayUse {
                room: room.clone(),
                root: root.clone(),
                track: track.clone(),
            },
        );
        if let Some(tree) = self.tree_mut(room, root) {
            let before = tree.ingress.remove(track);
            // Of two former relays only the one that flows now is kept.
            let (former, stale) = match before {
                Some(Ingress {
                    peer,
                    relay,
                    former,
                }) => (
                    Some((peer, relay, now + OVERLAP)),
                    former.map(|(peer, relay, _)| (peer, relay)),
                ),
                None => (None, None),
            };
            tree.ingress.insert(
                track.clone(),
                Ingress {
                    peer: from.clone(),
                    relay,
                    former,
                },
            );
            if let Some((peer, relay)) = stale {
                self.unsubscribe(&peer, relay);
            }
        }
        self.outputs.push_back(Output::Route {
            peer: from.clone(),
            relay,
            room: room.clone(),
            root: root.clone(),
            track: track.clone(),
        });
        self.send(
            from,
            BackboneMessage::Subscribe {
                relay,
                room: room.clone(),
                root: root.clone(),
                track: track.clone(),
                encodings: layers.encodings(),
            },
        );
        if layers != layers.whole() {
            self.send(from, BackboneMessage::Layers { relay, layers });
        }
    }

    /// Which layers of another edge's track are wanted here or below.
    pub fn set_layers(&mut self, room: &MeetingId, track: &TrackId, layers: LayerSet) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        let Some(tree) = state
            .trees
            .values_mut()
            .find(|tree| tree.open.contains(track))
        else {
            return;
        };
        tree.layers.insert(track.clone(), layers);
        let Some(ingress) = tree.ingress.get(track).cloned() else {
            return;
        };
        let relays = [
            Some((ingress.peer, ingress.relay)),
            ingress.former.map(|(p, r, _)| (p, r)),
        ];
        for (peer, relay) in relays.into_iter().flatten() {
            self.send(&peer, BackboneMessage::Layers { relay, layers });
        }
    }

    pub(super) fn unsubscribe(&mut self, peer: &EdgeId, relay: RelayId) {
        if let Some(state) = self.peers.get_mut(peer)
            && state.receiving.remove(&relay).is_some()
        {
            self.outputs.push_back(Output::Unroute {
                peer: peer.clone(),
                relay,
            });
            self.send(peer, BackboneMessage::Unsubscribe { relay });
        }
    }

    /// Ends the relays of tracks that are no longer in the roster.
    pub(super) fn end_gone_tracks(&mut self, room: &MeetingId, root: &EdgeId) {
        let Some(tree) = self.tree(room, root) else {
            return;
        };
        let gone = |track: &&TrackId| tree.track(track).is_none();
        let closed: Vec<_> = tree.open.iter().filter(gone).cloned().collect();
        let ended: Vec<_> = tree
            .egress
            .iter()
            .filter(|(_, track)| gone(track))
            .map(|(key, _)| key.clone())
            .collect();
        for (child, relay) in ended {
            self.stop_sending(&child, relay);
            self.send(&child, BackboneMessage::RelayEnded { relay });
        }
        for track in closed {
            self.close_track(room, root, &track);
        }
    }

    /// A parent ended a relay: its track is gone, or soon will be.
    pub(super) fn take_relay_ended(&mut self, parent: &EdgeId, relay: RelayId) {
        let Some(of) = self
            .peers
            .get_mut(parent)
            .and_then(|state| state.receiving.remove(&relay))
        else {
            return;
        };
        self.outputs.push_back(Output::Unroute {
            peer: parent.clone(),
            relay,
        });
        if let Some(tree) = self.tree_mut(&of.room, &of.root) {
            tree.lose_relay(&of.track, parent, relay);
        }
    }

    /// A receiver at this edge, or several here and below, need a key frame of another edge's track.
    pub fn request_key_frame(&mut self, room: &MeetingId, track: &TrackId, encoding: u8) {
        let ingress = self.rooms.get(room).and_then(|state| {
            state
                .trees
                .values()
                .find_map(|tree| tree.ingress.get(track).cloned())
        });
        if let Some(ingress) = ingress {
            let relay = ingress.relay;
            self.send(&ingress.peer, BackboneMessage::KeyFrame { relay, encoding });
        }
    }
}
