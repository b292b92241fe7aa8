//! A connection that is up, with what its core and its datagrams need.

use std::collections::BTreeMap;

use sluice_relay::connection::Connection;
use sluice_relay::joiner::Joiner;
use sluice_relay::share::RoomKey;
use sluice_types::ids::{EdgeId, MeetingId, RelayId, TrackId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::units::Time;

use crate::mesh::network::End;

pub(super) struct Incoming {
    pub(super) track: TrackId,
    pub(super) joiner: Joiner,
    pub(super) packets: u64,
}

/// A connection that is up.
pub(super) struct Link {
    pub(super) end: End,
    pub(super) dialled: bool,
    pub(super) core: Connection,
    pub(super) silent: bool,
    /// When its timer is set for.
    pub(super) timer: Time,
    pub(super) incoming: BTreeMap<RelayId, Incoming>,
    /// Relays that go out: their rooms as small numbers, and their roots.
    pub(super) outgoing: BTreeMap<RelayId, (RoomKey, MeetingId, EdgeId)>,
    pub(super) rooms: u32,
}

impl Link {
    fn serve(&mut self, relay: RelayId, room: &MeetingId, root: &EdgeId) {
        let known = self.outgoing.values().find(|(_, of, _)| of == room);
        let key = known.map(|(key, ..)| *key).unwrap_or_else(|| {
            self.rooms += 1;
            RoomKey(self.rooms)
        });
        let entry = (key, room.clone(), root.clone());
        self.outgoing.entry(relay).or_insert(entry);
    }

    fn end_relay(&mut self, relay: RelayId) {
        self.core.forget_relay(relay);
        if let Some((key, ..)) = self.outgoing.remove(&relay)
            && !self.outgoing.values().any(|(of, ..)| *of == key)
        {
            self.core.forget_room(key);
        }
    }

    /// What a message means for what goes out: one that came, or one that is sent.
    pub(super) fn note(&mut self, message: &BackboneMessage, came: bool) {
        match message {
            BackboneMessage::Subscribe {
                relay, room, root, ..
            } if came => self.serve(*relay, room, root),
            BackboneMessage::Unsubscribe { relay } if came => self.end_relay(*relay),
            BackboneMessage::RelayEnded { relay } if !came => self.end_relay(*relay),
            BackboneMessage::Leave { room, root } if came => {
                let of = |(_, entry): &(&RelayId, &(RoomKey, MeetingId, EdgeId))| {
                    entry.1 == *room && entry.2 == *root
                };
                let over: Vec<_> = self.outgoing.iter().filter(of).map(|(id, _)| *id).collect();
                for relay in over {
                    self.end_relay(relay);
                }
            }
            _ => {}
        }
    }
}
