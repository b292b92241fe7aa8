//! Participants that join again at another edge, while rosters come late and in any order.

use proptest::prelude::*;

use super::*;
use sluice_types::room::MediaKind;

const EDGES: [&str; 2] = ["tokyo-1", "virginia-1"];

/// Where a stay is: the room's own edge, or one of [`EDGES`].
type Place = Option<usize>;

#[derive(Debug, Clone)]
enum Step {
    /// Joins, while it may still be in elsewhere.
    Join(u8, Place),
    /// Its edge there says again what it knows.
    Repeat(u8, usize),
    /// Its edge there has heard that the stay is over.
    Depart(u8, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let place = proptest::option::of(0..EDGES.len());
    prop_oneof![
        (2u8..5, place).prop_map(|(n, place)| Step::Join(n, place)),
        (2u8..5, 0..EDGES.len()).prop_map(|(n, edge)| Step::Repeat(n, edge)),
        (2u8..5, 0..EDGES.len()).prop_map(|(n, edge)| Step::Depart(n, edge)),
    ]
}

fn edge(index: usize) -> EdgeId {
    EDGES[index].parse().expect("an edge")
}

/// The record of a stay that began at `joined_at_ms`.
fn stay(n: u8, at: usize, joined_at_ms: u64) -> ParticipantRecord {
    ParticipantRecord {
        edge: edge(at),
        joined_at_ms,
        ..record(n, joined_at_ms, Vec::new())
    }
}

/// What participant 1 knows of the others, held against each event.
struct Watcher {
    picture: BTreeMap<ParticipantId, ParticipantView>,
}

impl Watcher {
    fn follow(&mut self, room: &mut Room) {
        for event in told(&outputs(room), 1) {
            apply(&mut self.picture, &event);
        }
        let fresh: BTreeMap<_, _> = room
            .others(&participant(1))
            .into_iter()
            .map(|view| (view.participant_id.clone(), view))
            .collect();
        assert_eq!(self.picture, fresh);
    }
}

proptest! {
    /// Once every edge has heard of what came after, everybody is seen where it joined last.
    #[test]
    fn everybody_is_where_it_joined_last(steps in proptest::collection::vec(step(), 0..40)) {
        let mut room = room();
        room.join(joining(1, Role::Host, 0));
        let mut watcher = Watcher { picture: BTreeMap::new() };
        // The stay of each participant that each edge believes in, and the last one.
        let mut believed: BTreeMap<(u8, usize), u64> = BTreeMap::new();
        let mut last: BTreeMap<u8, (Place, u64)> = BTreeMap::new();
        let depart = |room: &mut Room, n: u8, at: usize| {
            let left = Departure {
                participant: participant(n),
                version: u64::MAX,
                reason: LeaveReason::Replaced,
            };
            room.roster_changed(&edge(at), path(), vec![], vec![left]);
        };
        for (time, step) in (1u64..).zip(steps) {
            match step {
                Step::Join(n, None) => {
                    room.join(joining(n, Role::Speaker, time));
                    last.insert(n, (None, time));
                }
                Step::Join(n, Some(at)) => {
                    room.roster_changed(&edge(at), path(), vec![stay(n, at, time)], vec![]);
                    believed.insert((n, at), time);
                    last.insert(n, (Some(at), time));
                }
                Step::Repeat(n, at) => {
                    if let Some(&since) = believed.get(&(n, at)) {
                        room.roster_changed(&edge(at), path(), vec![stay(n, at, since)], vec![]);
                    }
                }
                Step::Depart(n, at) => {
                    let over = believed.get(&(n, at)) != last.get(&n).map(|(_, since)| since);
                    if over && believed.remove(&(n, at)).is_some() {
                        depart(&mut room, n, at);
                    }
                }
            }
            watcher.follow(&mut room);
        }
        for (&(n, at), &since) in &believed {
            if last.get(&n) != Some(&(Some(at), since)) {
                depart(&mut room, n, at);
                watcher.follow(&mut room);
            }
        }
        let seen: BTreeMap<_, _> = watcher
            .picture
            .values()
            .map(|view| (view.participant_id.clone(), view.edge.to_string()))
            .collect();
        let expected: BTreeMap<_, _> = last
            .iter()
            .map(|(&n, &(place, _))| (participant(n), place.map_or("paris-1", |at| EDGES[at]).to_owned()))
            .collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn a_later_stay_counts_even_by_an_edge_whose_clock_is_slow() {
    let mut room = room();
    room.join(joining(1, Role::Host, 0));
    room.roster_changed(&edge(0), path(), vec![stay(2, 0, 9_000)], vec![]);
    room.join(joining(2, Role::Speaker, 1_000));
    let here = room
        .locals()
        .find(|record| record.participant_id == participant(2));
    assert!(here.is_some_and(|record| record.joined_at_ms > 9_000));
}

#[test]
fn a_version_is_never_given_twice_even_when_the_clock_is_set_back() {
    let mut room = room();
    let mut latest = 0;
    for at_ms in [5_000, 5_000, 1_000] {
        room.join(joining(1, Role::Speaker, at_ms));
        room.publish(&participant(1), vec![track(1, TrackSource::Camera)]);
        room.leave(&participant(1), LeaveReason::Left);
        for output in outputs(&mut room) {
            let version = match output {
                Output::LocalChanged(record) => record.version,
                Output::LocalLeft(departure) => departure.version,
                _ => continue,
            };
            assert!(version > latest, "{version} after {latest}");
            latest = version;
        }
    }
}

#[test]
fn nobody_is_sent_more_than_the_bounds() {
    let mut room = room();
    let everybody: Vec<_> = (0..200u8).map(stay_with_tracks).collect();
    room.roster_changed(&edge(0), path(), everybody, vec![]);
    room.join(joining(250, Role::Viewer, 10_000));
    let wanted = outputs(&mut room)
        .into_iter()
        .find_map(|output| match output {
            Output::Wanted { tracks, .. } => Some(tracks),
            _ => None,
        });
    let wanted = wanted.expect("something is wanted");
    let of = |kind| {
        wanted
            .iter()
            .filter(|(_, track)| track.kind == kind)
            .count()
    };
    assert_eq!(
        (of(MediaKind::Audio), of(MediaKind::Video)),
        (RECEIVED_AUDIO_MAX, RECEIVED_VIDEO_MAX)
    );
}

fn stay_with_tracks(n: u8) -> ParticipantRecord {
    let id = |kind| TrackInfo {
        track_id: TrackId::from_random([n, kind, 0, 0, 0, 0, 0, 0, 0, 0]),
        ..track(
            n,
            [TrackSource::Microphone, TrackSource::Camera][usize::from(kind)],
        )
    };
    ParticipantRecord {
        tracks: vec![id(0), id(1)],
        ..stay(n, 0, u64::from(n))
    }
}
