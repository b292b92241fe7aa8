mod moves;
mod walk;

use sluice_types::room::TrackSource;
use sluice_types::signal::ParticipantView;

use super::*;

/// Where nothing takes time.
const NOW: Time = Time::ZERO;

fn participant(n: u8) -> ParticipantId {
    ParticipantId::from_random([n; 10])
}

fn track(n: u8, source: TrackSource) -> TrackInfo {
    TrackInfo {
        track_id: TrackId::from_random([n; 10]),
        kind: source.kind(),
        source,
    }
}

fn joining(n: u8, role: Role, at_ms: u64) -> Joining {
    Joining {
        participant: participant(n),
        name: format!("P{n}"),
        role,
        grants: role.grants(),
        presence: Presence::default(),
        at_ms,
        resume_token: ResumeToken::from_random([n; 20]),
    }
}

fn room() -> Room {
    Room::new(
        MeetingId::from_random([1; 10]),
        "paris-1".parse().expect("an edge"),
        "paris".parse().expect("a region"),
    )
}

fn elsewhere() -> EdgeId {
    "tokyo-1".parse().expect("an edge")
}

fn path() -> Vec<RegionName> {
    ["tokyo", "paris"]
        .map(|name| name.parse().expect("a region"))
        .to_vec()
}

fn record(n: u8, version: u64, tracks: Vec<TrackInfo>) -> ParticipantRecord {
    ParticipantRecord {
        participant_id: participant(n),
        version,
        name: format!("P{n}"),
        role: Role::Speaker,
        region: "tokyo".parse().expect("a region"),
        edge: elsewhere(),
        joined_at_ms: 500,
        presence: Presence::default(),
        tracks,
    }
}

fn outputs(room: &mut Room) -> Vec<Output> {
    std::iter::from_fn(|| room.poll_output()).collect()
}

/// What one participant was told.
fn told(outputs: &[Output], n: u8) -> Vec<ServerEvent> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Tell {
                participant: to,
                message,
            } if *to == participant(n) => Some(message.event.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_newcomer_gets_the_snapshot_and_the_others_hear_of_it() {
    let mut room = room();
    room.roster_changed(
        NOW,
        &elsewhere(),
        path(),
        vec![record(9, 1, vec![])],
        vec![],
    );
    room.join(NOW, joining(1, Role::Host, 1_000));
    room.join(NOW, joining(2, Role::Viewer, 2_000));
    let outputs = outputs(&mut room);
    let ServerEvent::Snapshot {
        you, participants, ..
    } = &told(&outputs, 2)[0]
    else {
        panic!("a snapshot first");
    };
    assert_eq!(you.participant_id, participant(2));
    let names: Vec<_> = participants.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(names, ["P9", "P1"], "in order of joining");
    assert_eq!(participants[0].path, path());
    assert!(
        matches!(&told(&outputs, 1)[1], ServerEvent::ParticipantJoined { participant: view } if view.name == "P2")
    );
}

#[test]
fn everybody_receives_the_others_and_nobody_itself() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Speaker, 1));
    room.join(NOW, joining(2, Role::Speaker, 2));
    outputs(&mut room);
    room.publish(&participant(1), vec![track(1, TrackSource::Camera)]);
    let after = outputs(&mut room);
    let wanted: Vec<_> = after
        .iter()
        .filter(|output| matches!(output, Output::Wanted { .. }))
        .collect();
    assert_eq!(
        wanted,
        [&Output::Wanted {
            participant: participant(2),
            tracks: vec![(participant(1), track(1, TrackSource::Camera))],
        }]
    );
    assert!(
        !after
            .iter()
            .any(|output| matches!(output, Output::Interest { .. })),
        "a track of this edge"
    );
}

#[test]
fn a_remote_track_is_asked_for_once_and_let_go_with_the_last() {
    let mut room = room();
    for n in 1..=3 {
        room.join(NOW, joining(n, Role::Viewer, u64::from(n)));
    }
    let camera = track(9, TrackSource::Camera);
    room.roster_changed(
        NOW,
        &elsewhere(),
        path(),
        vec![record(9, 1, vec![camera.clone()])],
        vec![],
    );
    let interest = |outputs: &[Output]| {
        outputs
            .iter()
            .filter(|o| matches!(o, Output::Interest { .. }))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        interest(&outputs(&mut room)),
        [Output::Interest {
            track: camera.track_id.clone(),
            wanted: true
        }]
    );
    room.leave(&participant(1), LeaveReason::Left);
    room.leave(&participant(2), LeaveReason::Left);
    assert_eq!(interest(&outputs(&mut room)), []);
    room.leave(&participant(3), LeaveReason::Left);
    assert_eq!(
        interest(&outputs(&mut room)),
        [Output::Interest {
            track: camera.track_id,
            wanted: false
        }]
    );
}

#[test]
fn who_comes_back_in_time_gets_what_it_missed_and_no_more() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Speaker, 1));
    room.join(NOW, joining(2, Role::Speaker, 2));
    outputs(&mut room);
    room.disconnected(Time::ZERO, &participant(2));
    let change = sluice_types::room::PresenceChange {
        hand_raised: Some(true),
        ..Default::default()
    };
    room.change_presence(&participant(1), change);
    let missed = room.resume(&participant(2), 1).expect("in time");
    assert!(matches!(
        missed[0].event,
        ServerEvent::Resumed { last_seq: 2 }
    ));
    assert!(matches!(
        missed[1].event,
        ServerEvent::PresenceChanged { .. }
    ));
    assert_eq!((missed.len(), missed[1].seq), (2, Some(2)));
    assert_eq!(
        room.resume(&participant(2), 3),
        Err(RoomError::ResumeExpired),
        "never said"
    );
    room.handle_timeout(Time::ZERO + RESUME_WINDOW);
    assert_eq!(room.local_count(), 2, "it is back");
    room.disconnected(Time::ZERO, &participant(2));
    assert_eq!(room.poll_timeout(), Some(Time::ZERO + RESUME_WINDOW));
    room.handle_timeout(Time::ZERO + RESUME_WINDOW);
    assert_eq!(
        room.resume(&participant(2), 1),
        Err(RoomError::ResumeExpired)
    );
    assert!(outputs(&mut room).contains(&Output::Close {
        participant: participant(2),
        reason: LeaveReason::TimedOut
    }));
}

#[test]
fn the_same_participant_is_in_a_room_once() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Speaker, 100));
    room.join(NOW, joining(2, Role::Speaker, 101));
    room.join(NOW, joining(1, Role::Speaker, 200));
    let after = outputs(&mut room);
    assert!(after.contains(&Output::Close {
        participant: participant(1),
        reason: LeaveReason::Replaced
    }));
    // It joins again elsewhere, later.
    room.roster_changed(
        NOW,
        &elsewhere(),
        path(),
        vec![record(1, 1, vec![])],
        vec![],
    );
    let after = outputs(&mut room);
    assert!(after.contains(&Output::Close {
        participant: participant(1),
        reason: LeaveReason::Replaced
    }));
    assert!(matches!(
        told(&after, 2).last(),
        Some(ServerEvent::ParticipantJoined { .. })
    ));
}

#[test]
fn only_a_host_removes() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Host, 1));
    room.join(NOW, joining(2, Role::Speaker, 2));
    room.roster_changed(
        NOW,
        &elsewhere(),
        path(),
        vec![record(9, 1, vec![])],
        vec![],
    );
    outputs(&mut room);
    assert_eq!(
        room.remove(&participant(2), &participant(1)),
        Err(RoomError::Forbidden { needed: "host" })
    );
    assert_eq!(
        room.remove(&participant(1), &participant(7)),
        Err(RoomError::NoParticipant)
    );
    room.remove(&participant(1), &participant(9))
        .expect("allowed");
    assert_eq!(
        outputs(&mut room),
        [Output::RemoveRemote {
            participant: participant(9)
        }]
    );
    room.remove(&participant(1), &participant(2))
        .expect("allowed");
    let after = outputs(&mut room);
    assert!(matches!(
        told(&after, 2)[..],
        [ServerEvent::Ended {
            reason: LeaveReason::Removed
        }]
    ));
    assert_eq!(room.local_count(), 1);
}

#[test]
fn who_missed_too_much_must_join_again() {
    let mut room = room();
    room.join(NOW, joining(1, Role::Speaker, 1));
    for n in 0..600 {
        let change = sluice_types::room::PresenceChange {
            hand_raised: Some(n % 2 == 0),
            ..Default::default()
        };
        room.change_presence(&participant(1), change);
    }
    assert_eq!(
        room.resume(&participant(1), 5),
        Err(RoomError::ResumeExpired)
    );
    assert_eq!(
        room.resume(&participant(1), 600).map(|missed| missed.len()),
        Ok(2)
    );
}

/// A client's picture of the room, from its events.
fn apply(picture: &mut BTreeMap<ParticipantId, ParticipantView>, event: &ServerEvent) {
    match event {
        ServerEvent::Snapshot { participants, .. } => {
            *picture = participants
                .iter()
                .map(|view| (view.participant_id.clone(), view.clone()))
                .collect();
        }
        ServerEvent::ParticipantJoined { participant } => {
            let before = picture.insert(participant.participant_id.clone(), participant.clone());
            let stay = |view: &ParticipantView| (view.edge.clone(), view.joined_at_ms);
            let twice = before.is_some_and(|before| stay(&before) == stay(participant));
            assert!(!twice, "joined twice");
        }
        ServerEvent::ParticipantLeft { participant_id, .. } => {
            assert!(
                picture.remove(participant_id).is_some(),
                "left, never there"
            );
        }
        ServerEvent::PresenceChanged {
            participant_id,
            presence,
        } => {
            if let Some(view) = picture.get_mut(participant_id) {
                view.presence = *presence;
            }
        }
        ServerEvent::TrackPublished {
            participant_id,
            track,
        } => {
            picture
                .get_mut(participant_id)
                .expect("known")
                .tracks
                .push(track.clone());
        }
        ServerEvent::TrackUnpublished {
            participant_id,
            track_id,
        } => {
            picture
                .get_mut(participant_id)
                .expect("known")
                .tracks
                .retain(|track| track.track_id != *track_id);
        }
        _ => {}
    }
}

#[test]
fn what_an_answered_offer_was_preceded_by_is_not_kept() {
    let mut log = super::log::EventLog::default();
    let offer = |revision| ServerEvent::Offer {
        sdp_offer: "v=0".repeat(1_000),
        revision,
        tracks: Vec::new(),
    };
    for revision in 1..=3 {
        log.append(offer(revision));
    }
    log.forget_up_to_offer(2);
    assert_eq!(log.after(1), None, "it has seen more");
    let missed = log.after(2).expect("the third offer is kept");
    assert_eq!(missed.iter().map(|m| m.seq).collect::<Vec<_>>(), [Some(3)]);
    log.forget_up_to_offer(2);
    log.forget_up_to_offer(9);
    assert_eq!(log.after(2).map(|missed| missed.len()), Some(1));
    log.forget_up_to_offer(3);
    assert_eq!(log.after(3).map(|missed| missed.len()), Some(0));
}
