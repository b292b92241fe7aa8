//! From one parent's relays to the next one's.

use sluice_types::ids::{EdgeId, MeetingId, RelayId};
use sluice_types::units::Time;

use super::{LINGER, Mesh};

impl Mesh {
    /// The first packet of a relay came: the one that it takes over from ends soon, and at once when
    /// nothing more can come over it. Ways differ in length, so that what the new relay begins with may
    /// be ahead of what is still under way over the other, or is being repaired there.
    pub fn first_packet(&mut self, now: Time, peer: &EdgeId, relay: RelayId) {
        let Some(of) = self
            .peers
            .get(peer)
            .and_then(|state| state.receiving.get(&relay))
            .cloned()
        else {
            return;
        };
        let Some(ingress) = self
            .tree_mut(&of.room, &of.root)
            .and_then(|tree| tree.ingress.get_mut(&of.track))
            .filter(|ingress| ingress.peer == *peer && ingress.relay == relay)
        else {
            return;
        };
        if let Some((_, _, until)) = &mut ingress.former {
            *until = (*until).min(now + LINGER);
        }
        let former = ingress.former.clone();
        if let Some((peer, relay, _)) = former.filter(|(peer, ..)| !self.is_there(peer)) {
            if let Some(tree) = self.tree_mut(&of.room, &of.root)
                && let Some(ingress) = tree.ingress.get_mut(&of.track)
            {
                ingress.former = None;
            }
            self.unsubscribe(&peer, relay);
            self.release_former(&of.room, &of.root);
        }
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.rooms
            .values()
            .flat_map(|room| room.trees.values())
            .flat_map(|tree| tree.ingress.values())
            .filter_map(|ingress| ingress.former.as_ref().map(|&(_, _, until)| until))
            .min()
    }

    /// Ends relays that were kept long enough beside the ones that take over from them.
    pub fn handle_timeout(&mut self, now: Time) {
        let mut over = Vec::new();
        for (id, room) in &mut self.rooms {
            for (root, tree) in &mut room.trees {
                for ingress in tree.ingress.values_mut() {
                    if let Some((peer, relay, _)) =
                        ingress.former.take_if(|(_, _, until)| *until <= now)
                    {
                        over.push((id.clone(), root.clone(), peer, relay));
                    }
                }
            }
        }
        for (room, root, peer, relay) in over {
            self.unsubscribe(&peer, relay);
            self.release_former(&room, &root);
        }
        self.look_elsewhere(now);
        self.reconsider_parents(now);
    }

    /// Leaves the former parent once nothing comes from it any more.
    pub(super) fn release_former(&mut self, room: &MeetingId, root: &EdgeId) {
        let Some(tree) = self.tree_mut(room, root).filter(|tree| tree.confirmed) else {
            return;
        };
        let Some(former) = tree.former.clone() else {
            return;
        };
        let still = tree.ingress.values().any(|ingress| {
            ingress.peer == former
                || ingress
                    .former
                    .as_ref()
                    .is_some_and(|(peer, ..)| *peer == former)
        });
        if !still {
            tree.former = None;
            self.leave(room, root, &former);
            self.refresh_connections();
        }
    }
}
