//! Participants that join again at another edge, while rosters come late and in any order.

use proptest::prelude::*;

use super::*;
use sluice_types::room::MediaKind;
use sluice_types::signal::ParticipantView;

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
    /// The room's own edge asks it to go elsewhere.
    SendAway(u8),
    /// So many seconds pass.
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let place = proptest::option::of(0..EDGES.len());
    prop_oneof![
        (2u8..5, place).prop_map(|(n, place)| Step::Join(n, place)),
        (2u8..5, 0..EDGES.len()).prop_map(|(n, edge)| Step::Repeat(n, edge)),
        (2u8..5, 0..EDGES.len()).prop_map(|(n, edge)| Step::Depart(n, edge)),
        (2u8..5).prop_map(Step::SendAway),
        (1u8..9).prop_map(Step::Wait),
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
        ..record(n, joined_at_ms, vec![camera(joined_at_ms)])
    }
}

/// The camera of the stay that began then.
fn camera(joined_at_ms: u64) -> TrackInfo {
    track(joined_at_ms as u8, TrackSource::Camera)
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
        let fresh = room.others(&participant(1));
        // In which order somebody's tracks are told says nothing.
        let sorted = |mut view: ParticipantView| {
            view.tracks.sort_by(|a, b| a.track_id.cmp(&b.track_id));
            (view.participant_id.clone(), view)
        };
        let picture = self.picture.values().cloned().map(sorted);
        assert_eq!(
            picture.collect::<BTreeMap<_, _>>(),
            fresh.into_iter().map(sorted).collect()
        );
    }
}

proptest! {
    /// Once every edge has heard of what came after, everybody is seen where it joined last.
    #[test]
    fn everybody_is_where_it_joined_last(steps in proptest::collection::vec(step(), 0..40)) {
        let mut room = room();
        room.join(NOW, joining(1, Role::Host, 0));
        let mut watcher = Watcher { picture: BTreeMap::new() };
        // The stay of each participant that each edge believes in, and the last one.
        let mut believed: BTreeMap<(u8, usize), u64> = BTreeMap::new();
        let mut last: BTreeMap<u8, (Place, u64)> = BTreeMap::new();
        let mut now = NOW;
        let depart = |room: &mut Room, n: u8, at: usize| {
            let left = Departure {
                participant: participant(n),
                version: u64::MAX,
                reason: LeaveReason::Replaced,
            };
            room.roster_changed(NOW, &edge(at), path(), vec![], vec![left]);
        };
        for (time, step) in (1u64..).zip(steps) {
            match step {
                Step::Join(n, None) => {
                    room.join(now, joining(n, Role::Speaker, time));
                    room.publish(&participant(n), vec![camera(time)]);
                    last.insert(n, (None, time));
                }
                Step::Join(n, Some(at)) => {
                    room.roster_changed(now, &edge(at), path(), vec![stay(n, at, time)], vec![]);
                    believed.insert((n, at), time);
                    last.insert(n, (Some(at), time));
                }
                Step::Repeat(n, at) => {
                    if let Some(&since) = believed.get(&(n, at)) {
                        room.roster_changed(now, &edge(at), path(), vec![stay(n, at, since)], vec![]);
                    }
                }
                Step::Depart(n, at) => {
                    let over = believed.get(&(n, at)) != last.get(&n).map(|(_, since)| since);
                    if over && believed.remove(&(n, at)).is_some() {
                        depart(&mut room, n, at);
                    }
                }
                Step::SendAway(n) => room.send_away(&participant(n), Vec::new()),
                Step::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds.into());
                    room.handle_timeout(now);
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
        // Nothing is left of stays before.
        room.handle_timeout(now + OVERLAP);
        watcher.follow(&mut room);
        let seen: BTreeMap<_, _> = watcher
            .picture
            .values()
            .map(|view| (view.participant_id.clone(), (view.edge.to_string(), view.tracks.clone())))
            .collect();
        let expected: BTreeMap<_, _> = last
            .iter()
            .map(|(&n, &(place, since))| {
                let at = place.map_or("paris-1", |at| EDGES[at]).to_owned();
                (participant(n), (at, vec![camera(since)]))
            })
            .collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn a_later_stay_counts_even_by_an_edge_whose_clock_is_slow() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Host, 0));
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 9_000)], vec![]);
    room.join(NOW, joining(2, Role::Speaker, 1_000));
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
        room.join(NOW, joining(1, Role::Speaker, at_ms));
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
    room.roster_changed(NOW, &edge(0), path(), everybody, vec![]);
    room.join(NOW, joining(250, Role::Viewer, 10_000));
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

/// What participant `n` receives by the last word.
fn received(outputs: &[Output], n: u8) -> Option<Vec<TrackId>> {
    outputs.iter().rev().find_map(|output| match output {
        Output::Wanted {
            participant: who,
            tracks,
        } if *who == participant(n) => {
            Some(tracks.iter().map(|(_, t)| t.track_id.clone()).collect())
        }
        _ => None,
    })
}

fn ids(times: &[u64]) -> Option<Vec<TrackId>> {
    Some(times.iter().map(|&at| camera(at).track_id).collect())
}

fn left(n: u8, reason: LeaveReason) -> Departure {
    Departure {
        participant: participant(n),
        version: u64::MAX,
        reason,
    }
}

/// Participant 2 is here with a camera, and participant 1 watches.
fn watched_room() -> Room {
    let mut room = room();
    room.join(NOW, joining(1, Role::Speaker, 1));
    room.join(NOW, joining(2, Role::Speaker, 2));
    room.publish(&participant(2), vec![camera(2)]);
    outputs(&mut room);
    room
}

fn is_gone(event: &ServerEvent) -> bool {
    matches!(event, ServerEvent::ParticipantLeft { .. })
}

#[test]
fn who_is_sent_away_is_shown_from_both_edges_until_it_leaves_here() {
    let mut room = watched_room();
    room.send_away(&participant(2), Vec::new());
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 9)], vec![]);
    let both = outputs(&mut room);
    assert_eq!(
        received(&both, 1),
        ids(&[2, 9]),
        "the new one beside the old"
    );
    assert!(
        !both
            .iter()
            .any(|output| matches!(output, Output::Close { .. }))
    );
    assert!(room.has_moved_on(&participant(2)));

    room.leave(&participant(2), LeaveReason::Left);
    let after = outputs(&mut room);
    assert_eq!(received(&after, 1), ids(&[9]));
    let told = [told(&both, 1), told(&after, 1)].concat();
    assert!(!told.iter().any(is_gone), "{told:?}");
    let joins = |event: &&ServerEvent| matches!(event, ServerEvent::ParticipantJoined { .. });
    assert_eq!(told.iter().filter(joins).count(), 1);
}

#[test]
fn a_stay_that_nobody_ends_is_not_shown_for_ever() {
    let mut room = watched_room();
    room.send_away(&participant(2), Vec::new());
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 9)], vec![]);
    outputs(&mut room);
    assert_eq!(room.poll_timeout(), Some(NOW + OVERLAP));
    room.handle_timeout(NOW + OVERLAP);
    let after = outputs(&mut room);
    assert_eq!(received(&after, 1), ids(&[9]));
    assert!(
        after
            .iter()
            .any(|output| matches!(output, Output::Close { .. }))
    );
}

#[test]
fn another_client_of_the_same_participant_takes_its_place_at_once() {
    let mut room = watched_room();
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 9)], vec![]);
    let after = outputs(&mut room);
    assert_eq!(received(&after, 1), ids(&[9]));
    assert!(after.iter().any(|output| matches!(
        output,
        Output::Close {
            reason: LeaveReason::Replaced,
            ..
        }
    )));
}

#[test]
fn a_third_edge_shows_both_stays_until_the_first_departs() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Viewer, 1));
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 5)], vec![]);
    room.roster_changed(NOW, &edge(1), path(), vec![stay(2, 1, 9)], vec![]);
    assert_eq!(received(&outputs(&mut room), 1), ids(&[5, 9]));
    let departure = left(2, LeaveReason::Left);
    room.roster_changed(NOW, &edge(0), path(), vec![], vec![departure]);
    let after = outputs(&mut room);
    assert_eq!(received(&after, 1), ids(&[9]));
    assert!(!told(&after, 1).iter().any(is_gone));
}

#[test]
fn who_cannot_stay_at_the_new_edge_is_still_at_the_old() {
    let mut room = watched_room();
    room.send_away(&participant(2), Vec::new());
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 9)], vec![]);
    let departure = left(2, LeaveReason::Left);
    room.roster_changed(NOW, &edge(0), path(), vec![], vec![departure]);
    let after = outputs(&mut room);
    assert_eq!(received(&after, 1), ids(&[2]));
    assert!(!told(&after, 1).iter().any(is_gone));
    assert!(!room.has_moved_on(&participant(2)));
}

#[test]
fn a_host_removes_somebody_at_both_edges() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Host, 1));
    room.join(NOW, joining(2, Role::Speaker, 2));
    room.send_away(&participant(2), Vec::new());
    room.roster_changed(NOW, &edge(0), path(), vec![stay(2, 0, 9)], vec![]);
    outputs(&mut room);
    let removed = room.remove(&participant(1), &participant(2));
    assert_eq!(removed, Ok(()));
    let after = outputs(&mut room);
    let remote = |output: &Output| matches!(output, Output::RemoveRemote { .. });
    assert!(after.iter().any(remote));
    assert!(
        after
            .iter()
            .any(|output| matches!(output, Output::Close { .. }))
    );
    let ended = |event: &ServerEvent| matches!(event, ServerEvent::Ended { .. });
    assert!(
        !told(&after, 2).iter().any(ended),
        "it is told at its new edge"
    );
}
