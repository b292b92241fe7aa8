//! How calls go, on its way to the coordinator: what clients and workers measure, when the steps of a
//! join were done, and who is here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_trace::Trace;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::quality::{
    Attendance, AttendanceChange, Attendee, CandidateProtocol, JoinTimes, QualityReport,
    QualitySample, REPORT_INTERVAL_MIN_MS, Reporter,
};
use sluice_types::room::LeaveReason;
use sluice_types::signal::ErrorCode;

use super::Hub;

/// When the steps of a member's join were done here, and when its client reported last.
#[derive(Debug)]
pub(super) struct Measured {
    since: Instant,
    join: JoinTimes,
    /// What the coordinator was told of it.
    told: JoinTimes,
    reported: Option<Instant>,
    /// Its client's join was counted.
    counted: bool,
    /// Its join's, until that is done.
    trace: Trace,
}

impl Measured {
    /// Its hello came at `since`, and is answered now.
    pub(super) fn answered(since: Instant, mut trace: Trace) -> Self {
        trace.step("offer_answer");
        Self {
            since,
            join: JoinTimes {
                answered_ms: Some(millis(since.elapsed())),
                ..JoinTimes::default()
            },
            told: JoinTimes::default(),
            reported: None,
            counted: false,
            trace,
        }
    }

    /// The steps, when there are new ones.
    fn news(&mut self) -> Option<JoinTimes> {
        let news = self.join != self.told;
        self.told = self.join;
        news.then_some(self.join)
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

impl Hub {
    /// A client reported. Reports that come too fast are dropped and counted.
    pub(super) fn take_client_report(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        report: QualityReport,
    ) -> Option<(ErrorCode, String)> {
        if let Err(error) = report.check() {
            return Some((ErrorCode::BadMessage, error.to_string()));
        }
        let measured = &mut self.member(room, participant)?.measured;
        let soonest = Duration::from_millis(REPORT_INTERVAL_MIN_MS.into());
        let too_soon = measured.reported.is_some_and(|at| at.elapsed() < soonest);
        let result = if too_soon { "too_soon" } else { "taken" };
        metrics::counter!("sluice_edge_quality_reports_total", "result" => result).increment(1);
        if too_soon {
            return None;
        }
        measured.reported = Some(Instant::now());
        if let Some(join) = report.join
            && join.first_media_ms.is_some()
            && !std::mem::replace(&mut measured.counted, true)
        {
            count_join(&join);
            count_path(&report);
        }
        self.tell_quality(room, participant, Reporter::Client, report);
        None
    }

    /// A worker measured.
    pub(super) fn take_edge_report(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        mut report: QualityReport,
    ) {
        // It left meanwhile, and its record says so.
        let Some(member) = self.member(room, participant) else {
            return;
        };
        report.join = member.measured.news();
        // Who sends nothing so long after it came is muted, or only watches.
        member.measured.trace.end();
        self.tell_quality(room, participant, Reporter::Edge, report);
    }

    fn tell_quality(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        by: Reporter,
        report: QualityReport,
    ) {
        self.control.quality(QualitySample {
            room: room.clone(),
            participant: participant.clone(),
            at_ms: wall_ms(),
            by,
            report,
        });
    }

    /// A member's ICE and DTLS are up; DTLS took so long.
    pub(super) fn media_connected(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        dtls: Duration,
    ) {
        if let Some(member) = self.member(room, participant) {
            let measured = &mut member.measured;
            let after = millis(measured.since.elapsed());
            measured.join.connected_ms.get_or_insert(after);
            let now = SystemTime::now();
            measured
                .trace
                .step_until("ice", now.checked_sub(dtls).unwrap_or(now));
            measured.trace.step_until("dtls", now);
        }
    }

    /// A member's first packet came.
    pub(super) fn first_media(&mut self, room: &MeetingId, participant: &ParticipantId) {
        if let Some(member) = self.member(room, participant) {
            let after = millis(member.measured.since.elapsed());
            member.measured.join.first_media_ms.get_or_insert(after);
            member.measured.trace.step("first_media");
            member.measured.trace.end();
        }
    }

    /// Somebody is in.
    pub(super) fn attend(&mut self, room: &MeetingId, attendee: Attendee) {
        self.tell_attendance(room, AttendanceChange::Joined(attendee));
    }

    /// Somebody has gone.
    pub(super) fn depart(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        reason: LeaveReason,
    ) {
        let left = AttendanceChange::Left {
            participant: participant.clone(),
            reason,
            at_ms: wall_ms(),
        };
        self.tell_attendance(room, left);
    }

    fn tell_attendance(&mut self, room: &MeetingId, change: AttendanceChange) {
        let attendance = Attendance {
            room: room.clone(),
            whole: false,
            changes: vec![change],
        };
        if !self.control.attendance(attendance) {
            self.tell_whole_attendance(room);
        }
    }

    /// Everybody who is in a room here, for a coordinator that may have missed something.
    pub(super) fn tell_whole_attendance(&mut self, room: &MeetingId) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let here = state.room.locals();
        // Who has moved on is told of by the edge where it is now.
        let here = here.filter(|record| !state.room.has_moved_on(&record.participant_id));
        let present = here.map(|record| {
            AttendanceChange::Joined(Attendee {
                participant: record.participant_id.clone(),
                name: record.name.clone(),
                role: record.role,
                joined_at_ms: record.joined_at_ms,
            })
        });
        let whole = Attendance {
            room: room.clone(),
            whole: true,
            changes: present.collect(),
        };
        self.control.attendance(whole);
    }
}

/// Of joins that came as far as somebody else's media, by step, from when the coordinator let the client
/// in: before that it may have waited for a host.
fn count_join(join: &JoinTimes) {
    let admitted_ms = join.admitted_ms.unwrap_or(0);
    let steps = [
        ("signalling", join.signalling_ms),
        ("answered", join.answered_ms),
        ("connected", join.connected_ms),
        ("first_media", join.first_media_ms),
    ];
    for (step, after) in steps {
        if let Some(after) = after {
            let after = Duration::from_millis(after.saturating_sub(admitted_ms).into());
            metrics::histogram!("sluice_edge_client_join_seconds", "step" => step).record(after);
        }
    }
}

/// How clients' media reaches the edge: the share of `relay` is that of TURN.
fn count_path(report: &QualityReport) {
    if let Some(network) = report.network {
        let protocol = match network.protocol {
            CandidateProtocol::Udp => "udp",
            CandidateProtocol::Tcp => "tcp",
        };
        metrics::counter!(
            "sluice_edge_client_paths_total",
            "kind" => network.kind.as_str(), "protocol" => protocol
        )
        .increment(1);
    }
}
