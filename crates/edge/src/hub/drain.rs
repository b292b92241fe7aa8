//! The edge's own end.

use sluice_types::ids::EdgeId;
use sluice_types::room::LeaveReason;

use super::Hub;

impl Hub {
    /// Asks every client to join elsewhere, and the coordinator to send nobody new.
    pub(super) fn drain(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            tracing::info!("draining: participants are sent elsewhere");
        }
        self.control.drain();
        for (id, state) in &mut self.rooms {
            let all: Vec<_> = state.members.keys().cloned().collect();
            for participant in all {
                state.room.send_away(&participant, Vec::new());
            }
            self.touched.insert(id.clone());
        }
    }

    /// Tells who waits for it that what passes this edge is needed no more.
    pub(super) fn relieve(&mut self) {
        let own = &self.config.edge;
        let passes = |(_, _, _, root, _): (_, _, _, &EdgeId, _)| root != own;
        if self.lines.is_empty() || !self.mesh.sending().any(passes) {
            // Dropped, it says the same.
            self.relief = None;
        }
    }

    /// The edge ends: everybody has left.
    pub(super) fn go_away(&mut self) {
        for (id, state) in &mut self.rooms {
            let all: Vec<_> = state.members.keys().cloned().collect();
            for participant in all {
                state.room.leave(&participant, LeaveReason::EdgeLost);
            }
            self.touched.insert(id.clone());
        }
        self.settle();
    }
}
