use sluice_types::access::Role;
use sluice_types::quality::{JoinTimes, TrackQuality};
use sluice_types::room::MediaKind;

use super::*;

fn who(n: u8) -> ParticipantId {
    ParticipantId::from_random([n; 10])
}

fn meeting() -> MeetingId {
    "mtg_aaaaaaaa".parse().expect("a meeting")
}

fn joined(n: u8, edge: &str, joined_at_ms: u64) -> Entry {
    Entry::Joined {
        attendee: Attendee {
            participant: who(n),
            name: format!("number {n}"),
            role: Role::Speaker,
            joined_at_ms,
        },
        edge: edge.parse().expect("an edge"),
        region: "west".parse().expect("a region"),
    }
}

fn left(n: u8, at_ms: u64) -> Entry {
    Entry::Left {
        participant: who(n),
        reason: LeaveReason::TimedOut,
        at_ms,
    }
}

fn measured(n: u8, at_ms: u64, loss_ppm: u32) -> Entry {
    let track = TrackQuality {
        loss_ppm: Some(loss_ppm),
        ..TrackQuality::new(Direction::In, MediaKind::Audio)
    };
    Entry::Measured {
        participant: who(n),
        at_ms,
        by: Reporter::Client,
        report: QualityReport {
            interval_ms: 10_000,
            tracks: vec![track],
            ..QualityReport::default()
        },
    }
}

fn chunk(entries: &[Entry]) -> Vec<u8> {
    let mut chunk = Vec::new();
    for entry in entries {
        entry.append(&mut chunk).expect("short");
    }
    chunk
}

#[test]
fn a_timeline_is_put_together_from_chunks() {
    let chunks = [
        chunk(&[
            joined(1, "west-1", 5),
            measured(1, 10, 0),
            joined(2, "west-1", 20),
        ]),
        // A coordinator that was started anew is told of everybody once more.
        chunk(&[joined(1, "west-1", 5), measured(1, 30, 0)]),
        chunk(&[joined(1, "east-1", 40), left(1, 50)]),
    ];
    let quality = read(&meeting(), &chunks, None, 100);
    assert_eq!(quality.resolution_ms, 0);
    let names: Vec<_> = quality.participants.iter().map(|p| &*p.name).collect();
    assert_eq!(names, ["number 1", "number 2"]);
    let stays: Vec<_> = (quality.participants[0].stays.iter())
        .map(|stay| (stay.edge.as_str(), stay.joined_at_ms, stay.left_at_ms))
        .collect();
    assert_eq!(stays, [("west-1", 5, Some(40)), ("east-1", 40, Some(50))]);
    assert_eq!(quality.participants[0].reports.len(), 2);
    let only = read(&meeting(), &chunks, Some(&who(2)), 100);
    assert_eq!(only.participants.len(), 1);
    assert_eq!(only.participants[0].participant_id, who(2));
}

#[test]
fn of_too_many_reports_the_worst_and_the_join_stay() {
    let mut entries: Vec<_> = (0..720)
        .map(|n| measured(1, n * 10_000, if n == 333 { 90_000 } else { 100 }))
        .collect();
    if let Entry::Measured { report, .. } = &mut entries[0] {
        report.join = Some(JoinTimes::default());
    }
    let quality = read(&meeting(), &[chunk(&entries)], None, 50);
    let reports = &quality.participants[0].reports;
    assert!((10..=50).contains(&reports.len()), "{}", reports.len());
    assert!(quality.resolution_ms > 0);
    assert!(reports[0].report.join.is_some());
    assert!(reports.iter().any(|at| at.at_ms == 3_330_000));
    assert!(reports.is_sorted_by_key(|at| at.at_ms));
}

#[test]
fn what_a_later_version_wrote_is_passed_over() {
    let mut bytes = chunk(&[joined(1, "west-1", 5)]);
    bytes.extend([0, 0, 0, 2, 1, 200]);
    let quality = read(&meeting(), &[bytes], None, 100);
    assert_eq!(quality.participants.len(), 1);
}
