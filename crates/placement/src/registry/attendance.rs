//! Who is in which meeting and at which edge, as edges tell it.

use std::collections::BTreeMap;

use sluice_types::ids::{EdgeId, MeetingId, ParticipantId};
use sluice_types::quality::{Attendance, AttendanceChange, Attendee};
use sluice_types::room::LeaveReason;

/// What is new about one participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is in.
    Joined(Attendee),
    /// It was in already, at another edge or in an earlier stay.
    Moved(Attendee),
    /// It is in no more.
    Left {
        /// Who.
        participant: ParticipantId,
        /// Why.
        reason: LeaveReason,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Present {
    edge: EdgeId,
    joined_at_ms: u64,
}

/// Everybody; there are never more than participants.
#[derive(Debug, Default)]
pub(super) struct Attendances {
    rooms: BTreeMap<MeetingId, BTreeMap<ParticipantId, Present>>,
}

impl Attendances {
    /// An edge tells who came and went; gives what is new of it. Of those whom it no longer names in a
    /// whole, nobody knows when they went: `now_ms` is when that was seen.
    pub(super) fn tell(&mut self, edge: &EdgeId, attendance: Attendance, now_ms: u64) -> Vec<News> {
        let room = self.rooms.entry(attendance.room.clone()).or_default();
        let mut news = Vec::new();
        if attendance.whole {
            let named = |participant: &ParticipantId| {
                attendance.changes.iter().any(|change| {
                    matches!(change, AttendanceChange::Joined(at) if at.participant == *participant)
                })
            };
            let here = room.iter().filter(|(_, present)| present.edge == *edge);
            let gone: Vec<_> = here
                .map(|(participant, _)| participant.clone())
                .filter(|participant| !named(participant))
                .collect();
            news.extend(gone.into_iter().map(|participant| {
                room.remove(&participant);
                News::Left {
                    participant,
                    reason: LeaveReason::EdgeLost,
                    at_ms: now_ms,
                }
            }));
        }
        for change in attendance.changes {
            match change {
                AttendanceChange::Joined(attendee) => {
                    let present = Present {
                        edge: edge.clone(),
                        joined_at_ms: attendee.joined_at_ms,
                    };
                    match room.insert(attendee.participant.clone(), present.clone()) {
                        None => news.push(News::Joined(attendee)),
                        // It is told once more.
                        Some(before) if before == present => {}
                        Some(_) => news.push(News::Moved(attendee)),
                    }
                }
                AttendanceChange::Left {
                    participant,
                    reason,
                    at_ms,
                } => {
                    // Who moved leaves the edge before later, and is in all the same.
                    if room.get(&participant).is_some_and(|at| at.edge == *edge) {
                        room.remove(&participant);
                        news.push(News::Left {
                            participant,
                            reason,
                            at_ms,
                        });
                    }
                }
            }
        }
        if room.is_empty() {
            self.rooms.remove(&attendance.room);
        }
        news
    }

    /// An edge is gone, and everybody who was there.
    pub(super) fn lose(&mut self, edge: &EdgeId, now_ms: u64) -> Vec<(MeetingId, News)> {
        let mut news = Vec::new();
        for (room, present) in &mut self.rooms {
            present.retain(|participant, at| {
                let lost = at.edge == *edge;
                if lost {
                    let left = News::Left {
                        participant: participant.clone(),
                        reason: LeaveReason::EdgeLost,
                        at_ms: now_ms,
                    };
                    news.push((room.clone(), left));
                }
                !lost
            });
        }
        self.rooms.retain(|_, present| !present.is_empty());
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_types::access::Role;

    fn attendee(n: u8, joined_at_ms: u64) -> Attendee {
        Attendee {
            participant: ParticipantId::from_random([n; 10]),
            name: format!("number {n}"),
            role: Role::Speaker,
            joined_at_ms,
        }
    }

    fn joined(n: u8, at_ms: u64) -> AttendanceChange {
        AttendanceChange::Joined(attendee(n, at_ms))
    }

    fn left(n: u8) -> AttendanceChange {
        AttendanceChange::Left {
            participant: attendee(n, 0).participant,
            reason: LeaveReason::Left,
            at_ms: 9,
        }
    }

    fn gone(n: u8, reason: LeaveReason, at_ms: u64) -> News {
        News::Left {
            participant: attendee(n, 0).participant,
            reason,
            at_ms,
        }
    }

    struct Told(Attendances);

    impl Told {
        fn by(&mut self, edge: &str, whole: bool, changes: &[AttendanceChange]) -> Vec<News> {
            let attendance = Attendance {
                room: "mtg_aaaaaaaa".parse().expect("a meeting"),
                whole,
                changes: changes.to_vec(),
            };
            let edge = edge.parse().expect("an edge");
            self.0.tell(&edge, attendance, 100)
        }
    }

    #[test]
    fn who_comes_and_goes_is_told_once() {
        let mut told = Told(Attendances::default());
        let news = told.by("west-1", false, &[joined(1, 5), joined(2, 6), left(1)]);
        let left_first = gone(1, LeaveReason::Left, 9);
        let expected = [
            News::Joined(attendee(1, 5)),
            News::Joined(attendee(2, 6)),
            left_first,
        ];
        assert_eq!(news, expected);
        assert_eq!(told.by("west-1", true, &[joined(2, 6)]), []);
        assert_eq!(told.by("west-1", false, &[left(1)]), []);
    }

    #[test]
    fn who_moves_is_in_whatever_the_edge_before_says_later() {
        let mut told = Told(Attendances::default());
        told.by("west-1", false, &[joined(1, 5)]);
        let moved = told.by("east-1", false, &[joined(1, 8)]);
        assert_eq!(moved, [News::Moved(attendee(1, 8))]);
        assert_eq!(told.by("west-1", false, &[left(1)]), []);
        let news = told.by("east-1", false, &[left(1)]);
        assert_eq!(news, [gone(1, LeaveReason::Left, 9)]);
        assert!(told.0.rooms.is_empty());
    }

    #[test]
    fn whoever_a_whole_does_not_name_or_whose_edge_is_lost_has_gone() {
        let mut told = Told(Attendances::default());
        told.by("west-1", false, &[joined(1, 5), joined(2, 6)]);
        told.by("east-1", false, &[joined(3, 7)]);
        let news = told.by("west-1", true, &[joined(2, 6), joined(4, 8)]);
        let expected = [
            gone(1, LeaveReason::EdgeLost, 100),
            News::Joined(attendee(4, 8)),
        ];
        assert_eq!(news, expected);
        let lost = told.0.lose(&"west-1".parse().expect("an edge"), 200);
        let lost: Vec<_> = lost.into_iter().map(|(_, news)| news).collect();
        let expected = [2, 4].map(|n| gone(n, LeaveReason::EdgeLost, 200));
        assert_eq!(lost, expected);
        assert_eq!(told.0.rooms.len(), 1, "the other edge's are there");
    }
}
