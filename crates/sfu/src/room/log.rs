//! The numbered events of one session, for a client that comes back.

use std::collections::VecDeque;

use sluice_types::signal::{ServerEvent, ServerMessage};

/// The most events that a session keeps. One that misses more cannot be resumed.
pub const EVENTS_KEPT_MAX: usize = 512;

/// The most bytes of session descriptions among them.
const SDP_BYTES_MAX: usize = 512 * 1024;

/// Room for so many events stays when those before an offer are forgotten.
const EVENTS_SHRUNK: usize = 8;

#[derive(Debug, Default)]
pub(super) struct EventLog {
    last: u64,
    events: VecDeque<ServerMessage>,
    sdp_bytes: usize,
}

fn sdp_bytes(message: &ServerMessage) -> usize {
    match &message.event {
        ServerEvent::Answer { sdp_answer, .. } => sdp_answer.len(),
        ServerEvent::Offer { sdp_offer, .. } => sdp_offer.len(),
        _ => 0,
    }
}

impl EventLog {
    /// Numbers an event and keeps it, in place of the oldest when there are too many.
    pub(super) fn append(&mut self, event: ServerEvent) -> ServerMessage {
        self.last += 1;
        let message = ServerMessage {
            seq: Some(self.last),
            event,
        };
        self.sdp_bytes += sdp_bytes(&message);
        self.events.push_back(message.clone());
        while self.events.len() > EVENTS_KEPT_MAX || self.sdp_bytes > SDP_BYTES_MAX {
            match self.events.pop_front() {
                Some(oldest) => self.sdp_bytes -= sdp_bytes(&oldest),
                None => break,
            }
        }
        message
    }

    /// The client answered the offer with that revision: it has it, and whatever came before, and needs
    /// none of that when it comes back.
    pub(super) fn forget_up_to_offer(&mut self, revision: u64) {
        let of = |message: &ServerMessage| match &message.event {
            ServerEvent::Offer { revision, .. } => Some(*revision),
            _ => None,
        };
        let Some(place) = self.events.iter().rposition(|m| of(m) == Some(revision)) else {
            return;
        };
        for seen in self.events.drain(..=place) {
            self.sdp_bytes -= sdp_bytes(&seen);
        }
        self.events.shrink_to(EVENTS_SHRUNK);
    }

    /// What came after the event `seen`; `None` when some of it is no longer kept, or `seen` never
    /// was.
    pub(super) fn after(&self, seen: u64) -> Option<Vec<ServerMessage>> {
        let oldest = self.last - self.events.len() as u64;
        (oldest..=self.last).contains(&seen).then(|| {
            self.events
                .iter()
                .skip((seen - oldest) as usize)
                .cloned()
                .collect()
        })
    }

    /// The number of the latest event.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }
}
