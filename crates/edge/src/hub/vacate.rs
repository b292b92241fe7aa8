//! Rooms that may not be here any more.

use std::time::Duration;

use sluice_types::ids::MeetingId;
use sluice_types::signal::{ErrorCode, ServerEvent};
use sluice_types::units::Time;

use super::Hub;

/// How long participants get to go elsewhere by themselves. Nobody is let in meanwhile; who comes
/// later is told of to the coordinator, which has the room vacated again.
const GRACE: Duration = Duration::from_secs(5);

/// A room that its participants have to leave.
pub(super) struct Vacated {
    /// Why, for people.
    pub(super) reason: String,
    until: Time,
}

impl Hub {
    /// Sends a room's participants to one of these endpoints.
    pub(super) fn vacate(&mut self, room: MeetingId, candidates: &[String], reason: String) {
        let until = self.now() + GRACE;
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        // They have been told, and have as long as they were told.
        if self.vacated.contains_key(&room) {
            return;
        }
        tracing::info!(meeting = %room, reason, "vacating: participants are sent elsewhere");
        let all: Vec<_> = state.members.keys().cloned().collect();
        for participant in all {
            let why = ServerEvent::Error {
                code: ErrorCode::Forbidden,
                message: reason.clone(),
                fatal: false,
            };
            state.room.tell(&participant, why);
            state.room.send_away(&participant, candidates.to_vec());
        }
        self.touched.insert(room.clone());
        self.vacated.insert(room, Vacated { reason, until });
    }

    /// Removes who is still in a room that was to be left by now.
    pub(super) fn clear_vacated(&mut self, now: Time) {
        let over = self
            .vacated
            .extract_if(.., |_, vacated| vacated.until <= now);
        let over: Vec<_> = over.map(|(room, _)| room).collect();
        for room in over {
            let Some(state) = self.rooms.get_mut(&room) else {
                continue;
            };
            let all: Vec<_> = state.members.keys().cloned().collect();
            for participant in all {
                tracing::info!(meeting = %room, %participant, "removed: the room may not be here");
                state.room.remove_local(&participant);
            }
            self.touched.insert(room);
        }
    }
}
