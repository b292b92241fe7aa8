//! What waits to be told to the coordinator.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_types::ids::MeetingId;
use sluice_types::mesh::control::{EdgeMessage, RECORDS_SINCE, RoomDemand};
use sluice_types::mesh::version::Version;
use sluice_types::quality::{Attendance, QualitySample};
use sluice_types::rest::PARTICIPANTS_MAX;
use tokio::sync::Notify;

/// Changes of who is in a room that wait; more, and the whole is told instead.
const CHANGES: usize = 1_024;
/// And after a whole that waits itself: as many again as a meeting may have.
const WHOLE_CHANGES: usize = 2 * PARTICIPANTS_MAX as usize;

/// Samples of quality that wait, a minute of 1,500 participants. The oldest are dropped and counted.
const SAMPLES: usize = 16_384;

/// How many of them one turn tells: a heartbeat waits no longer.
const SAMPLES_PER_TURN: usize = 256;

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
    attendance: BTreeMap<MeetingId, Attendance>,
    samples: VecDeque<QualitySample>,
    /// Whether the coordinator knows those two.
    records: bool,
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

    pub(super) fn attendance(&self, news: Attendance) -> bool {
        let mut state = self.state();
        if !state.connected || !state.records {
            return true;
        }
        let room = news.room.clone();
        if news.whole {
            state.attendance.insert(room, news);
        } else {
            let waiting = state.attendance.entry(room.clone());
            let waiting = waiting.or_insert_with(|| Attendance {
                room,
                whole: false,
                changes: Vec::new(),
            });
            let most = if waiting.whole {
                WHOLE_CHANGES
            } else {
                CHANGES
            };
            if waiting.changes.len() >= most {
                return false;
            }
            waiting.changes.extend(news.changes);
        }
        drop(state);
        self.notify.notify_one();
        true
    }

    pub(super) fn quality(&self, sample: QualitySample) {
        let mut state = self.state();
        if state.samples.len() >= SAMPLES {
            state.samples.pop_front();
            metrics::counter!("sluice_control_dropped_samples_total").increment(1);
        }
        state.samples.push_back(sample);
        let connected = state.connected;
        drop(state);
        if connected {
            self.notify.notify_one();
        }
    }

    pub(super) fn drain(&self) {
        self.state().draining = true;
        self.notify.notify_one();
    }

    /// The line stands, in that version: nothing has been told on it.
    pub(super) fn connected(&self, version: Version) {
        let mut state = self.state();
        state.connected = true;
        state.records = version >= RECORDS_SINCE;
        state.draining_told = false;
        drop(state);
        self.notify.notify_one();
    }

    /// The line is lost, and with it what waited: all of it will be asked for.
    pub(super) fn disconnected(&self) {
        let mut state = self.state();
        state.connected = false;
        state.demand.clear();
        state.attendance.clear();
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
        // Before demand: whoever left is told of before the room is empty.
        let attendance = mem::take(&mut state.attendance);
        messages.extend(attendance.into_values().map(EdgeMessage::Attendance));
        let demand = mem::take(&mut state.demand);
        messages.extend(demand.into_values().map(EdgeMessage::Demand));
        if !state.records {
            return messages;
        }
        let turn = state.samples.len().min(SAMPLES_PER_TURN);
        messages.extend(state.samples.drain(..turn).map(EdgeMessage::Quality));
        if !state.samples.is_empty() {
            self.notify.notify_one();
        }
        messages
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sluice_types::ids::ParticipantId;
    use sluice_types::quality::{AttendanceChange, QualityReport, Reporter};
    use sluice_types::room::LeaveReason;

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
        pending.connected(RECORDS_SINCE);
        for participants in [1, 2, 3] {
            pending.demand(demand("mtg_aaaaaaaa", participants));
        }
        pending.demand(demand("mtg_bbbbbbbb", 1));
        let told = [demand("mtg_aaaaaaaa", 3), demand("mtg_bbbbbbbb", 1)];
        assert_eq!(pending.take(), told.map(EdgeMessage::Demand));
        assert_eq!(pending.take(), []);
    }

    fn change(room: &str, n: u8, whole: bool) -> Attendance {
        Attendance {
            room: room.parse().expect("a meeting id"),
            whole,
            changes: vec![AttendanceChange::Left {
                participant: ParticipantId::from_random([n; 10]),
                reason: LeaveReason::Left,
                at_ms: n.into(),
            }],
        }
    }

    #[test]
    fn who_came_and_went_is_told_in_order_or_whole() {
        let pending = Pending::default();
        assert!(pending.attendance(change("mtg_aaaaaaaa", 0, false)));
        pending.connected(RECORDS_SINCE);
        assert_eq!(pending.take(), [], "nothing is kept while the line is down");
        assert!(pending.attendance(change("mtg_aaaaaaaa", 1, false)));
        assert!(pending.attendance(change("mtg_aaaaaaaa", 2, false)));
        let [EdgeMessage::Attendance(told)] = &pending.take()[..] else {
            panic!("one message")
        };
        assert_eq!(told.changes.len(), 2);
        for _ in 0..CHANGES {
            assert!(pending.attendance(change("mtg_aaaaaaaa", 3, false)));
        }
        assert!(!pending.attendance(change("mtg_aaaaaaaa", 3, false)));
        assert!(pending.attendance(change("mtg_aaaaaaaa", 4, true)));
        assert!(pending.attendance(change("mtg_aaaaaaaa", 5, false)));
        let [EdgeMessage::Attendance(told)] = &pending.take()[..] else {
            panic!("one message")
        };
        assert!(told.whole);
        assert_eq!(told.changes.len(), 2);
    }

    #[test]
    fn a_coordinator_of_before_is_told_nothing_that_it_does_not_know() {
        let pending = Pending::default();
        pending.connected(Version(1));
        assert!(pending.attendance(change("mtg_aaaaaaaa", 1, true)));
        pending.quality(sample(1));
        pending.demand(demand("mtg_aaaaaaaa", 1));
        assert_eq!(
            pending.take(),
            [EdgeMessage::Demand(demand("mtg_aaaaaaaa", 1))]
        );
        // It is upgraded, and told what is left.
        pending.disconnected();
        pending.connected(RECORDS_SINCE);
        assert_eq!(pending.take(), [EdgeMessage::Quality(sample(1))]);
    }

    fn sample(at_ms: u64) -> QualitySample {
        QualitySample {
            room: "mtg_aaaaaaaa".parse().expect("a meeting id"),
            participant: ParticipantId::from_random([1; 10]),
            at_ms,
            by: Reporter::Edge,
            report: QualityReport::default(),
        }
    }

    #[test]
    fn samples_outlast_a_line_and_the_latest_are_kept() {
        let pending = Pending::default();
        for at_ms in 0..SAMPLES as u64 + 5 {
            pending.quality(sample(at_ms));
        }
        pending.disconnected();
        pending.connected(RECORDS_SINCE);
        let mut told = Vec::new();
        loop {
            let turn = pending.take();
            if turn.is_empty() {
                break;
            }
            assert!(turn.len() <= SAMPLES_PER_TURN);
            told.extend(turn);
        }
        assert_eq!(told.len(), SAMPLES);
        assert_eq!(told[0], EdgeMessage::Quality(sample(5)));
    }

    #[test]
    fn demand_is_not_kept_across_lines_but_draining_is() {
        let pending = Pending::default();
        pending.demand(demand("mtg_aaaaaaaa", 1));
        pending.connected(RECORDS_SINCE);
        assert_eq!(pending.take(), []);
        pending.demand(demand("mtg_aaaaaaaa", 2));
        pending.drain();
        pending.disconnected();
        for _ in 0..2 {
            pending.connected(RECORDS_SINCE);
            assert_eq!(pending.take(), [EdgeMessage::Draining {}]);
            assert_eq!(pending.take(), []);
        }
    }
}
