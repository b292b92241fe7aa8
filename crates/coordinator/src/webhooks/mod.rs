//! Webhooks: what happens to meetings and participants, told to the product's back ends by HTTP.
//!
//! Events of one meeting arrive in their order, each until the receiver answers 2xx or all tries are
//! used up. Nothing of it is on the disk: what waits when the coordinator ends is lost.

mod deliver;
mod settings;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, RegionName, base32};
use sluice_types::rest::JoinResponse;
use tokio::sync::mpsc;

use crate::registry::News;

pub(crate) use self::deliver::run;
pub use self::settings::{Webhook, WebhookError, read};

/// Events that wait to be dealt out. More are dropped and counted: nobody who joins ever waits for a
/// receiver.
const EVENTS: usize = 4_096;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A meeting was created.
    #[serde(rename = "meeting.created")]
    MeetingCreated,
    /// Its title, time or settings changed.
    #[serde(rename = "meeting.changed")]
    MeetingChanged,
    /// The first participants are in.
    #[serde(rename = "meeting.started")]
    MeetingStarted,
    /// The number of participants changed, and neither is nor was none.
    #[serde(rename = "meeting.participants")]
    MeetingParticipants,
    /// Nobody is in any more; it may start again.
    #[serde(rename = "meeting.emptied")]
    MeetingEmptied,
    /// It was ended for all.
    #[serde(rename = "meeting.ended")]
    MeetingEnded,
    /// Somebody waits for the host's word.
    #[serde(rename = "participant.waiting")]
    ParticipantWaiting,
    /// The host let somebody in who waited.
    #[serde(rename = "participant.let_in")]
    ParticipantLetIn,
    /// The host did not.
    #[serde(rename = "participant.turned_away")]
    ParticipantTurnedAway,
    /// Somebody got a join token.
    #[serde(rename = "participant.admitted")]
    ParticipantAdmitted,
    /// Somebody is in.
    #[serde(rename = "participant.joined")]
    ParticipantJoined,
    /// Somebody is in no more.
    #[serde(rename = "participant.left")]
    ParticipantLeft,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Event {
    /// The same in every try, for receivers to know one again.
    id: String,
    #[serde(rename = "type")]
    kind: EventKind,
    /// When, RFC 3339.
    at: String,
    meeting_id: MeetingId,
    /// Whose meeting; looked up before it is sent, when it is not known.
    tenant: Option<String>,
    data: Value,
}

/// A time as in RFC 3339.
pub(crate) fn rfc3339(ms: u64) -> String {
    Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX))
        .map(|at| at.to_string())
        .unwrap_or_default()
}

/// Where events are handed in. Clones share it; without webhooks it does nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Webhooks(Option<Arc<mpsc::Sender<Event>>>);

impl Webhooks {
    /// The handle, and what [`run`] takes from; none when there are no webhooks.
    pub(crate) fn new(any: bool) -> (Self, Option<mpsc::Receiver<Event>>) {
        if !any {
            return (Self::default(), None);
        }
        let (events, waiting) = mpsc::channel(EVENTS);
        (Self(Some(Arc::new(events))), Some(waiting))
    }

    /// Whether anybody listens, so that nothing is looked up for nobody.
    pub(crate) const fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Something happened to a meeting.
    pub(crate) fn tell(
        &self,
        kind: EventKind,
        meeting: &MeetingId,
        tenant: Option<&str>,
        data: Value,
    ) {
        let Some(events) = &self.0 else {
            return;
        };
        let mut random = [0; 10];
        // Without randomness the id is of no use, and the event is.
        let _ = getrandom::fill(&mut random);
        let event = Event {
            id: format!("evt_{}", base32(&random)),
            kind,
            at: Timestamp::now().to_string(),
            meeting_id: meeting.clone(),
            tenant: tenant.map(str::to_owned),
            data,
        };
        if events.try_send(event).is_err() {
            deliver::count("queue_full");
        }
    }

    /// The number of participants changed.
    pub(crate) fn counted(&self, meeting: &MeetingId, before: u32, after: u32) {
        let kind = match (before, after) {
            _ if before == after => return,
            (0, _) => EventKind::MeetingStarted,
            (_, 0) => EventKind::MeetingEmptied,
            _ => EventKind::MeetingParticipants,
        };
        self.tell(kind, meeting, None, json!({ "participants": after }));
    }

    /// Somebody asked to join, as `known` if it asked before.
    pub(crate) fn answered(
        &self,
        meeting: &MeetingId,
        known: Option<&ParticipantId>,
        answer: &JoinResponse,
    ) {
        match answer {
            JoinResponse::Admitted(admission) => {
                let data = json!({
                    "participant_id": admission.participant_id,
                    "role": admission.role,
                    "edge": admission.edge,
                    "region": admission.region,
                });
                self.tell(EventKind::ParticipantAdmitted, meeting, None, data);
            }
            // Whoever waits asks every two seconds; that is told once.
            JoinResponse::Waiting(waiting) if known != Some(&waiting.participant_id) => {
                let data = json!({ "participant_id": waiting.participant_id });
                self.tell(EventKind::ParticipantWaiting, meeting, None, data);
            }
            JoinResponse::Waiting(_) => {}
        }
    }

    /// Somebody came to an edge, or went.
    pub(crate) fn attended(
        &self,
        meeting: &MeetingId,
        edge: &EdgeId,
        region: &RegionName,
        news: &News,
    ) {
        let (kind, data) = match news {
            News::Joined(attendee) => {
                let data = json!({
                    "participant_id": attendee.participant,
                    "name": attendee.name,
                    "role": attendee.role,
                    "edge": edge,
                    "region": region,
                    "joined_at": rfc3339(attendee.joined_at_ms),
                });
                (EventKind::ParticipantJoined, data)
            }
            // For others it never left.
            News::Moved(_) => return,
            News::Left {
                participant,
                reason,
                at_ms,
            } => {
                let data = json!({
                    "participant_id": participant,
                    "reason": reason,
                    "edge": edge,
                    "region": region,
                    "left_at": rfc3339(*at_ms),
                });
                (EventKind::ParticipantLeft, data)
            }
        };
        self.tell(kind, meeting, None, data);
    }

    /// The host spoke about somebody who waits.
    pub(crate) fn decided(&self, meeting: &MeetingId, participant: &ParticipantId, admitted: bool) {
        let kind = if admitted {
            EventKind::ParticipantLetIn
        } else {
            EventKind::ParticipantTurnedAway
        };
        let data = json!({ "participant_id": participant });
        self.tell(kind, meeting, None, data);
    }
}
