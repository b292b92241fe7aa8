//! One room at one edge: who is in it, what they show and publish, and what each of them should be
//! told and sent.
//!
//! Participants of this edge are *local*; the others come with the rosters of their own edges. Each
//! local participant has a session: a numbered log of events that outlives its socket for
//! [`RESUME_WINDOW`].
//!
//! Who moves to another edge has two *stays* for a while: the later one counts, and the tracks of the
//! one before are shown beside its own for at most [`OVERLAP`], so that nobody loses the picture.

mod local;
mod log;
mod remote;
mod stays;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sluice_types::access::{Grants, Role};
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, RegionName, ResumeToken, TrackId};
use sluice_types::mesh::backbone::Departure;
use sluice_types::room::{LeaveReason, ParticipantRecord, Presence, TrackInfo};
use sluice_types::signal::{
    ErrorCode, RESUME_WINDOW_MS, SUBSCRIPTIONS_MAX, ServerEvent, ServerMessage, Speaker, Wish,
};
use sluice_types::units::Time;

pub use self::log::EVENTS_KEPT_MAX;
use self::log::EventLog;
use self::stays::{Former, Present};
use self::subscriptions::wanted_by;

/// How long a session outlives its socket.
pub const RESUME_WINDOW: Duration = Duration::from_millis(RESUME_WINDOW_MS as u64);

/// How long the stay before is shown beside the one that counts, unless its own edge ends it first.
pub const OVERLAP: Duration = Duration::from_secs(5);

/// The most tracks that one participant is sent, by kind. Those that it subscribed to come first, then
/// screens, then who spoke last, then who joined first.
pub const RECEIVED_VIDEO_MAX: usize = 48;
/// See [`RECEIVED_VIDEO_MAX`].
pub const RECEIVED_AUDIO_MAX: usize = 96;

/// Somebody who joins at this edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Who.
    pub participant: ParticipantId,
    /// The name that others see.
    pub name: String,
    /// Its part in the meeting.
    pub role: Role,
    /// What it may do.
    pub grants: Grants,
    /// The presence to start with.
    pub presence: Presence,
    /// The wall clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// The secret to resume with.
    pub resume_token: ResumeToken,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell a local participant, if its socket is there; if not, it is in the log.
    Tell {
        /// Whom.
        participant: ParticipantId,
        /// What.
        message: ServerMessage,
    },
    /// A local participant should receive exactly these tracks.
    Wanted {
        /// Who.
        participant: ParticipantId,
        /// Whose tracks.
        tracks: Vec<(ParticipantId, TrackInfo)>,
    },
    /// How a local participant wants a track, if it says so.
    Wish {
        /// Who.
        participant: ParticipantId,
        /// The track.
        track: TrackId,
        /// How; the edge chooses when `None`.
        wish: Option<Wish>,
    },
    /// Some local participant wants a track of another edge, or none does any more.
    Interest {
        /// The track.
        track: TrackId,
        /// Whether it is wanted.
        wanted: bool,
    },
    /// A local participant came or changed: other edges should know.
    LocalChanged(ParticipantRecord),
    /// A local participant left: other edges should know.
    LocalLeft(Departure),
    /// A local participant's session is over: let go of its media and socket.
    Close {
        /// Who.
        participant: ParticipantId,
        /// Why.
        reason: LeaveReason,
    },
    /// A host removes a participant of another edge.
    RemoveRemote {
        /// Whom.
        participant: ParticipantId,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// The role does not allow it.
    #[error("the role does not allow it: {needed} is needed")]
    Forbidden {
        /// What would be.
        needed: &'static str,
    },
    /// There is no such participant.
    #[error("no such participant in the meeting")]
    NoParticipant,
    /// More subscriptions than a participant may have.
    #[error("{found} subscriptions; at most {SUBSCRIPTIONS_MAX} are allowed")]
    TooManySubscriptions {
        /// How many there would be.
        found: usize,
    },
    /// The session cannot be taken up again.
    #[error("the session is gone, or too much happened meanwhile: join again")]
    ResumeExpired,
}

impl RoomError {
    /// The code for programs.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Forbidden { .. } => ErrorCode::Forbidden,
            Self::NoParticipant => ErrorCode::BadMessage,
            Self::TooManySubscriptions { .. } => ErrorCode::TooMuch,
            Self::ResumeExpired => ErrorCode::ResumeExpired,
        }
    }
}

#[derive(Debug)]
struct Local {
    record: ParticipantRecord,
    grants: Grants,
    log: EventLog,
    /// Since when its socket is gone.
    away: Option<Time>,
    /// It was asked to join at another edge, and may be at both meanwhile.
    sent_away: bool,
    wanted: Vec<TrackId>,
    wishes: BTreeMap<TrackId, Wish>,
}

#[derive(Debug, Default)]
struct Remote {
    path: Vec<RegionName>,
    roster: BTreeMap<ParticipantId, ParticipantRecord>,
}

/// See the module.
#[derive(Debug)]
pub struct Room {
    id: MeetingId,
    edge: EdgeId,
    region: RegionName,
    locals: BTreeMap<ParticipantId, Local>,
    remotes: BTreeMap<EdgeId, Remote>,
    /// Which other edge a participant is at: the one that it joined last. Of `locals` only those whose
    /// stay here is one of `formers`.
    whereabouts: BTreeMap<ParticipantId, EdgeId>,
    /// Stays before those that count, which are still shown; at most one each.
    formers: BTreeMap<ParticipantId, Former>,
    /// The highest version that any record or departure of this edge had.
    version: u64,
    interest: BTreeSet<TrackId>,
    /// Who spoke last, the latest first.
    spoke: Vec<ParticipantId>,
    speakers: Vec<Speaker>,
    outputs: VecDeque<Output>,
}

impl Room {
    /// An empty room.
    #[must_use]
    pub const fn new(id: MeetingId, edge: EdgeId, region: RegionName) -> Self {
        Self {
            id,
            edge,
            region,
            locals: BTreeMap::new(),
            remotes: BTreeMap::new(),
            whereabouts: BTreeMap::new(),
            formers: BTreeMap::new(),
            version: 0,
            interest: BTreeSet::new(),
            spoke: Vec::new(),
            speakers: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether no participant of this edge is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.locals.is_empty()
    }

    /// How many participants of this edge are in it.
    #[must_use]
    pub fn local_count(&self) -> usize {
        self.locals.len()
    }

    /// Participants of this edge, as other edges see them.
    pub fn locals(&self) -> impl Iterator<Item = &ParticipantRecord> {
        self.locals.values().map(|local| &local.record)
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let away = self.locals.values().filter_map(|local| local.away);
        away.map(|since| since + RESUME_WINDOW)
            .chain(self.formers.values().map(|former| former.until))
            .min()
    }

    /// Lets go of those who were away too long, and of stays that were shown long enough.
    pub fn handle_timeout(&mut self, now: Time) {
        let gone: Vec<_> = self
            .locals
            .iter()
            .filter(|(_, local)| {
                local
                    .away
                    .is_some_and(|since| now.since(since) >= RESUME_WINDOW)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for participant in gone {
            self.leave(&participant, LeaveReason::TimedOut);
        }
        self.end_formers(now);
    }

    /// The meeting is over for all.
    pub fn end(&mut self, reason: LeaveReason) {
        let all: Vec<_> = self.locals.keys().cloned().collect();
        for participant in all {
            self.tell(&participant, ServerEvent::Ended { reason });
            self.leave(&participant, reason);
        }
    }

    /// Numbers an event for one participant and tells it.
    pub fn tell(&mut self, participant: &ParticipantId, event: ServerEvent) {
        if let Some(local) = self.locals.get_mut(participant) {
            let message = local.log.append(event);
            self.outputs.push_back(Output::Tell {
                participant: participant.clone(),
                message,
            });
        }
    }

    /// Tells every local participant but `except`.
    fn tell_others(&mut self, except: &ParticipantId, event: &ServerEvent) {
        let others: Vec<_> = self
            .locals
            .keys()
            .filter(|id| *id != except)
            .cloned()
            .collect();
        for participant in others {
            self.tell(&participant, event.clone());
        }
    }

    /// Says what everybody should receive, where that changed.
    fn refresh_wanted(&mut self) {
        let everybody = self.everybody();
        let tracks: Vec<_> = everybody.iter().flat_map(Present::tracks).collect();
        let mut anybody_wants = vec![false; tracks.len()];
        let mut changes = Vec::new();
        for (id, local) in &self.locals {
            let wanted = wanted_by(id, local, &tracks, &self.spoke);
            for &index in &wanted {
                anybody_wants[index] = true;
            }
            let ids = wanted.iter().map(|&index| &tracks[index].info.track_id);
            if !ids.clone().eq(&local.wanted) {
                let whole = wanted.iter().map(|&index| {
                    let track = &tracks[index];
                    (track.publisher.clone(), track.info.clone())
                });
                changes.push((id.clone(), ids.cloned().collect(), whole.collect()));
            }
        }
        let interest: BTreeSet<_> = tracks
            .iter()
            .zip(anybody_wants)
            .filter(|(track, wanted)| *wanted && track.remote)
            .map(|(track, _)| track.info.track_id.clone())
            .collect();
        for (participant, ids, tracks) in changes {
            if let Some(local) = self.locals.get_mut(&participant) {
                local.wanted = ids;
            }
            self.outputs.push_back(Output::Wanted {
                participant,
                tracks,
            });
        }
        self.change_interest(interest);
    }

    fn change_interest(&mut self, interest: BTreeSet<TrackId>) {
        let changed = |wanted| {
            move |track: &TrackId| Output::Interest {
                track: track.clone(),
                wanted,
            }
        };
        self.outputs
            .extend(interest.difference(&self.interest).map(changed(true)));
        self.outputs
            .extend(self.interest.difference(&interest).map(changed(false)));
        self.interest = interest;
    }
}
