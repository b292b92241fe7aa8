//! A meeting's record as it is kept: entries one after the other, and what is read from them.

use std::collections::BTreeMap;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, RegionName};
use sluice_types::mesh::codec::{self, CodecError};
use sluice_types::quality::{
    Attendee, Direction, MOS_MODEL, MeetingQuality, ParticipantQuality, QualityReport,
    QualitySample, Reporter, Stay, TimedReport,
};
use sluice_types::room::LeaveReason;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    Joined {
        attendee: Attendee,
        edge: EdgeId,
        region: RegionName,
    },
    Left {
        participant: ParticipantId,
        reason: LeaveReason,
        at_ms: u64,
    },
    Measured {
        participant: ParticipantId,
        at_ms: u64,
        by: Reporter,
        report: QualityReport,
    },
}

impl Entry {
    pub(super) fn measured(sample: QualitySample) -> Self {
        Self::Measured {
            participant: sample.participant,
            at_ms: sample.at_ms,
            by: sample.by,
            report: sample.report,
        }
    }

    /// Appends the entry to a chunk.
    pub(super) fn append(&self, chunk: &mut Vec<u8>) -> Result<(), CodecError> {
        chunk.extend_from_slice(&codec::encode(self)?);
        Ok(())
    }

    fn participant(&self) -> &ParticipantId {
        match self {
            Self::Joined { attendee, .. } => &attendee.participant,
            Self::Left { participant, .. } | Self::Measured { participant, .. } => participant,
        }
    }
}

/// The entries of a chunk, up to the first that cannot be read: one that a later version wrote.
fn entries(chunk: &[u8]) -> Vec<Entry> {
    let mut bytes = BytesMut::from(chunk);
    let mut entries = Vec::new();
    loop {
        match codec::decode(&mut bytes) {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return entries,
            Err(error) => {
                tracing::warn!(%error, "the rest of a chunk of quality records cannot be read");
                return entries;
            }
        }
    }
}

/// What a meeting's chunks, in order, say; of one participant alone when `only` names it. Above
/// `reports_max` only the worst of some time is shown.
pub(super) fn read(
    meeting: &MeetingId,
    chunks: &[Vec<u8>],
    only: Option<&ParticipantId>,
    reports_max: usize,
) -> MeetingQuality {
    let mut people: BTreeMap<ParticipantId, ParticipantQuality> = BTreeMap::new();
    let mut order = Vec::new();
    for entry in chunks.iter().flat_map(|chunk| entries(chunk)) {
        let participant = entry.participant().clone();
        if only.is_some_and(|only| *only != participant) {
            continue;
        }
        let person = people.entry(participant.clone()).or_insert_with(|| {
            order.push(participant.clone());
            ParticipantQuality {
                participant_id: participant,
                name: String::new(),
                role: None,
                stays: Vec::new(),
                reports: Vec::new(),
            }
        });
        add(person, entry);
    }
    let mut participants: Vec<_> = order
        .into_iter()
        .filter_map(|participant| people.remove(&participant))
        .collect();
    MeetingQuality {
        meeting_id: meeting.clone(),
        mos_model: MOS_MODEL.to_owned(),
        resolution_ms: thin(&mut participants, reports_max),
        participants,
    }
}

fn add(person: &mut ParticipantQuality, entry: Entry) {
    match entry {
        Entry::Joined {
            attendee,
            edge,
            region,
        } => {
            person.name = attendee.name;
            person.role = Some(attendee.role);
            let known = person
                .stays
                .iter_mut()
                .find(|stay| (&stay.edge, stay.joined_at_ms) == (&edge, attendee.joined_at_ms));
            if let Some(stay) = known {
                // It was taken for gone, and was not.
                (stay.left_at_ms, stay.reason) = (None, None);
                return;
            }
            // Where it was before it is no more.
            if let Some(before) = person.stays.last_mut()
                && before.left_at_ms.is_none()
            {
                before.left_at_ms = Some(attendee.joined_at_ms);
                before.reason = Some(LeaveReason::Replaced);
            }
            person.stays.push(Stay {
                edge,
                region,
                joined_at_ms: attendee.joined_at_ms,
                left_at_ms: None,
                reason: None,
            });
        }
        Entry::Left { reason, at_ms, .. } => {
            if let Some(stay) = person.stays.last_mut() {
                stay.left_at_ms = Some(at_ms);
                stay.reason = Some(reason);
            }
        }
        Entry::Measured {
            at_ms, by, report, ..
        } => person.reports.push(TimedReport { at_ms, by, report }),
    }
}

/// Thins reports out until there are at most so many, and says how far: doubling the time of which the
/// worst is kept, from that of two reports on.
fn thin(participants: &mut [ParticipantQuality], reports_max: usize) -> u64 {
    let count = |participants: &[ParticipantQuality]| {
        let reports = participants.iter().map(|person| person.reports.len());
        reports.sum::<usize>()
    };
    let mut resolution_ms = 0;
    // At a day no report is left to leave out but the last of each.
    while count(participants) > reports_max && resolution_ms < 86_400_000 {
        resolution_ms = (resolution_ms * 2).max(20_000);
        for person in &mut *participants {
            person.reports = worst_of(std::mem::take(&mut person.reports), resolution_ms);
        }
    }
    resolution_ms
}

/// The worst report of each reporter within each span of time, and those that tell of the join.
fn worst_of(reports: Vec<TimedReport>, span_ms: u64) -> Vec<TimedReport> {
    let mut kept: Vec<TimedReport> = Vec::with_capacity(reports.len() / 2 + 1);
    for report in reports {
        let span = report.at_ms / span_ms;
        let earlier = kept
            .iter()
            .rposition(|before| before.at_ms / span_ms != span);
        let from = earlier.map_or(0, |place| place + 1);
        let same = kept[from..].iter().position(|before| {
            let joins = before.report.join.is_some() || report.report.join.is_some();
            before.by == report.by && !joins
        });
        match same.map(|place| from + place) {
            Some(place) if badness(&report.report) <= badness(&kept[place].report) => {}
            Some(place) => kept[place] = report,
            None => kept.push(report),
        }
    }
    kept
}

/// Orders reports, the worse the higher.
fn badness(report: &QualityReport) -> u64 {
    let score = u64::from(report.worst_mos_centi().unwrap_or(450));
    let loss = [Direction::In, Direction::Out].map(|way| report.loss_ppm(way).unwrap_or(0));
    let freeze_ms = report.tracks.iter().filter_map(|track| track.freeze_ms);
    // A hundredth of a score weighs as much as 0.1 % of loss, and as 10 ms of a picture that stands.
    (450 - score.min(450)) * 1_000
        + loss.iter().map(|&ppm| u64::from(ppm)).sum::<u64>()
        + freeze_ms.map(|ms| u64::from(ms) * 100).sum::<u64>()
}

#[cfg(test)]
mod tests;
