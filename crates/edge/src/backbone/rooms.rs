//! Rooms of relays that go out, as small numbers.

use std::collections::HashMap;

use sluice_relay::share::RoomKey;
use sluice_types::ids::{EdgeId, MeetingId, RelayId};

/// Relays that go out whose rooms are known. Packets of further ones share one room's part.
const RELAYS_MAX: usize = 100_000;

/// See the module.
#[derive(Default)]
pub(super) struct Rooms {
    relays: HashMap<RelayId, (RoomKey, EdgeId)>,
    keys: HashMap<MeetingId, (RoomKey, usize)>,
    next: u32,
}

impl Rooms {
    pub(super) fn of(&self, relay: RelayId) -> RoomKey {
        self.relays
            .get(&relay)
            .map_or(RoomKey(0), |(room, _)| *room)
    }

    pub(super) fn add(&mut self, relay: RelayId, room: MeetingId, root: EdgeId) {
        if self.relays.len() >= RELAYS_MAX || self.relays.contains_key(&relay) {
            return;
        }
        let (key, relays) = self.keys.entry(room).or_insert_with(|| {
            self.next += 1;
            (RoomKey(self.next), 0)
        });
        *relays += 1;
        self.relays.insert(relay, (*key, root));
    }

    /// Forgets a relay; gives its room when it was the last one.
    pub(super) fn remove(&mut self, relay: RelayId) -> Option<RoomKey> {
        let (room, _) = self.relays.remove(&relay)?;
        let mut last = false;
        self.keys.retain(|_, (key, relays)| {
            if *key == room {
                *relays -= 1;
                last = *relays == 0;
            }
            !(*key == room && last)
        });
        last.then_some(room)
    }

    pub(super) fn relays_of(&self, room: &MeetingId, root: &EdgeId) -> Vec<RelayId> {
        let Some((key, _)) = self.keys.get(room) else {
            return Vec::new();
        };
        self.relays
            .iter()
            .filter(|(_, (of, from))| of == key && from == root)
            .map(|(relay, _)| *relay)
            .collect()
    }
}
