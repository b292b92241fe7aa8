//! What other coordinators did: plans that they made, and who waits at them.

use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::mesh::control::RoomPlan;
use sluice_types::units::Time;

use super::Registry;

impl Registry {
    /// Another coordinator planned a room. Ignored when a newer plan is known.
    pub fn adopt_plan(&mut self, plan: RoomPlan) {
        let room = self.rooms.entry(plan.room).or_default();
        if plan.epoch > room.epoch {
            room.adopt(&plan.trees, &[], plan.epoch);
            room.foreign = true;
        }
    }

    /// Plans of an earlier term count as others' from now on: the planner begins anew, and knows of
    /// them only what flows.
    pub fn disown_plans(&mut self) {
        for room in self.rooms.values_mut() {
            room.foreign = !room.trees.is_empty();
        }
    }

    /// Another coordinator's plan for a room is over.
    pub fn forget_plan(&mut self, id: &MeetingId) {
        let Some(room) = self.rooms.get_mut(id) else {
            return;
        };
        if room.foreign {
            let epoch = room.epoch;
            room.adopt(&[], &[], epoch);
        }
        if room.is_idle() {
            self.rooms.remove(id);
        }
    }

    /// Somebody waits at another coordinator, or was admitted or not there.
    pub fn adopt_waiting(
        &mut self,
        now: Time,
        id: &MeetingId,
        participant: ParticipantId,
        name: &str,
        since_ms: u64,
        admitted: Option<bool>,
    ) {
        let room = self.rooms.entry(id.clone()).or_default();
        room.adopt_waiting(now, participant, name, since_ms, admitted);
    }

    /// One who waits, when others have not been told of it for a while; they count as told then.
    pub fn waiting_to_tell(
        &mut self,
        now: Time,
        id: &MeetingId,
        participant: &ParticipantId,
    ) -> Option<(String, u64, Option<bool>)> {
        let room = self.rooms.get_mut(id)?;
        room.waiting_to_tell(now, participant)
    }
}
