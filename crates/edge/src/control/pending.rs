//! What waits to be told to the coordinator.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_types::ids::MeetingId;
use sluice_types::mesh::control::{EdgeMessage, RoomDemand};
use tokio::sync::Notify;

/// A slot for each room rather than a queue: it grows with the rooms, not with their changes, so
/// nothing that matters is ever dropped.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    demand: BTreeMap<MeetingId, RoomDemand>,
    draining: bool,
    draining_told: bool,
}

impl Pending {
    pub(super) fn demand(&self, demand: RoomDemand) {
        let mut state = self.state();
        if state.connected {
            state.demand.insert(demand.room.clone(), demand);
            drop(state);
            self.notify.notify_one();
        }
    }

    pub(super) fn drain(&self) {
        self.state().draining = true;
        self.notify.notify_one();
    }

    /// The line stands: nothing has been told on it.
    pub(super) fn connected(&self) {
        let mut state = self.state();
        state.connected = true;
        state.draining_told = false;
        drop(state);
        self.notify.notify_one();
    }

    /// The line is lost, and with it what waited: all of it will be asked for.
    pub(super) fn disconnected(&self) {
        let mut state = self.state();
        state.connected = false;
        state.demand.clear();
    }

    /// Waits until there may be something to tell.
    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Takes what there is to tell.
    pub(super) fn take(&self) -> Vec<EdgeMessage> {
        let mut state = self.state();
        let mut messages = Vec::new();
        if state.draining && !mem::replace(&mut state.draining_told, true) {
            messages.push(EdgeMessage::Draining {});
        }
        let demand = mem::take(&mut state.demand);
        messages.extend(demand.into_values().map(EdgeMessage::Demand));
        messages
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(room: &str, participants: u32) -> RoomDemand {
        RoomDemand {
            room: room.parse().expect("a meeting id"),
            participants,
            publishing: false,
        }
    }

    #[test]
    fn the_latest_demand_of_a_room_is_told_once() {
        let pending = Pending::default();
        pending.connected();
        for participants in [1, 2, 3] {
            pending.demand(demand("mtg_aaaaaaaa", participants));
        }
        pending.demand(demand("mtg_bbbbbbbb", 1));
        let told = [demand("mtg_aaaaaaaa", 3), demand("mtg_bbbbbbbb", 1)];
        assert_eq!(pending.take(), told.map(EdgeMessage::Demand));
        assert_eq!(pending.take(), []);
    }

    #[test]
    fn demand_is_not_kept_across_lines_but_draining_is() {
        let pending = Pending::default();
        pending.demand(demand("mtg_aaaaaaaa", 1));
        pending.connected();
        assert_eq!(pending.take(), []);
        pending.demand(demand("mtg_aaaaaaaa", 2));
        pending.drain();
        pending.disconnected();
        for _ in 0..2 {
            pending.connected();
            assert_eq!(pending.take(), [EdgeMessage::Draining {}]);
            assert_eq!(pending.take(), []);
        }
    }
}
