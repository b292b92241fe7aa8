//! What children receive from here.

use sluice_types::ids::{EdgeId, MeetingId, RelayId};
use sluice_types::layers::LayerSet;
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use super::{Mesh, Output, RelayUse};

impl Mesh {
    /// A child wants other layers.
    pub(super) fn take_layers(&mut self, child: &EdgeId, relay: RelayId, layers: LayerSet) {
        let sends = self
            .peers
            .get(child)
            .is_some_and(|peer| peer.sending.contains_key(&relay));
        if sends {
            self.outputs.push_back(Output::SetLayers {
                peer: child.clone(),
                relay,
                layers,
            });
        }
    }

    /// A child wants a track.
    pub(super) fn take_subscription(
        &mut self,
        now: Time,
        child: &EdgeId,
        relay: RelayId,
        of: RelayUse,
        layers: LayerSet,
    ) {
        let known = self
            .tree(&of.room, &of.root)
            .is_some_and(|tree| tree.track(&of.track).is_some());
        let Some(peer) = self.peers.get_mut(child).filter(|peer| peer.up && known) else {
            self.send(child, BackboneMessage::RelayEnded { relay });
            return;
        };
        if peer.sending.insert(relay, of.clone()).is_some() {
            self.outputs.push_back(Output::StopSending {
                peer: child.clone(),
                relay,
            });
        }
        if let Some(tree) = self.tree_mut(&of.room, &of.root) {
            tree.egress.insert((child.clone(), relay), of.track.clone());
        }
        self.refresh_interest(now, &of.room, &of.root);
        self.outputs.push_back(Output::StartSending {
            peer: child.clone(),
            relay,
            room: of.room,
            track: of.track,
            layers,
        });
    }

    /// A child no longer wants a relay.
    pub(super) fn take_unsubscription(&mut self, now: Time, child: &EdgeId, relay: RelayId) {
        if let Some(of) = self.stop_sending(child, relay) {
            self.refresh_interest(now, &of.room, &of.root);
        }
    }

    pub(super) fn stop_sending(&mut self, child: &EdgeId, relay: RelayId) -> Option<RelayUse> {
        let of = self.peers.get_mut(child)?.sending.remove(&relay)?;
        if let Some(tree) = self.tree_mut(&of.room, &of.root) {
            tree.egress.remove(&(child.clone(), relay));
        }
        self.outputs.push_back(Output::StopSending {
            peer: child.clone(),
            relay,
        });
        Some(of)
    }

    /// A child's receiver needs a key frame.
    pub(super) fn take_key_frame_request(&mut self, child: &EdgeId, relay: RelayId, encoding: u8) {
        let of = self
            .peers
            .get(child)
            .and_then(|state| state.sending.get(&relay))
            .cloned();
        if let Some(of) = of {
            // At the root the publisher is asked; on the way the media of this edge merges the
            // requests of its own receivers and children, and asks upwards itself.
            self.outputs.push_back(Output::KeyFrameWanted {
                room: of.room,
                track: of.track,
                encoding,
            });
        }
    }

    /// Nobody below receives that root's tracks any more.
    pub(super) fn drop_children(&mut self, room: &MeetingId, root: &EdgeId) {
        let Some(tree) = self.tree_mut(room, root) else {
            return;
        };
        tree.children.clear();
        let egress: Vec<_> = tree.egress.keys().cloned().collect();
        for (child, relay) in egress {
            self.stop_sending(&child, relay);
            self.send(&child, BackboneMessage::RelayEnded { relay });
        }
    }
}
