//! Any walk of one room: what a client is told adds up to what a newcomer is shown.

use proptest::prelude::*;
use sluice_types::room::TrackSource;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Join(u8),
    Leave(u8),
    Publish(u8, u8),
    Hand(u8, bool),
    Remote(u8, u8),
    RemoteLeft(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u8..6).prop_map(Step::Join),
        (2u8..6).prop_map(Step::Leave),
        (1u8..6, 0u8..3).prop_map(|(n, tracks)| Step::Publish(n, tracks)),
        (1u8..6, any::<bool>()).prop_map(|(n, up)| Step::Hand(n, up)),
        (10u8..14, 0u8..3).prop_map(|(n, tracks)| Step::Remote(n, tracks)),
        (10u8..14).prop_map(Step::RemoteLeft),
    ]
}

proptest! {
    /// A client that follows its events knows what a newcomer's snapshot says.
    #[test]
    fn events_lead_to_the_snapshot(steps in proptest::collection::vec(step(), 0..60)) {
        let mut room = room();
        room.join(NOW, joining(1, Role::Host, 0));
        let (mut picture, mut seq, mut version) = (BTreeMap::new(), 0, 1);
        let mut wanted: Vec<TrackId> = Vec::new();
        let mut run = |room: &mut Room, version: u64| {
            for output in std::iter::from_fn(|| room.poll_output()) {
                match output {
                    Output::Tell { participant: to, message } if to == participant(1) => {
                        if matches!(message.event, ServerEvent::Snapshot { .. }) {
                            seq = 0;
                        }
                        seq += 1;
                        assert_eq!(message.seq, Some(seq), "numbers have no gap");
                        apply(&mut picture, &message.event);
                    }
                    Output::Wanted { participant: who, tracks } if who == participant(1) => {
                        assert!(tracks.iter().all(|(of, _)| *of != participant(1)), "its own track");
                        wanted = tracks.into_iter().map(|(_, track)| track.track_id).collect();
                    }
                    _ => {}
                }
            }
            (picture.clone(), wanted.clone(), version)
        };
        for step in steps {
            version += 1;
            let tracks = |n: u8, count: u8| (0..count).map(|t| track(n * 8 + t, TrackSource::Camera)).collect::<Vec<_>>();
            match step {
                Step::Join(n) => room.join(NOW, joining(n, Role::Speaker, version)),
                Step::Leave(n) => room.leave(&participant(n), LeaveReason::Left),
                Step::Publish(n, count) => room.publish(&participant(n), tracks(n, count)),
                Step::Hand(n, up) => {
                    let change = sluice_types::room::PresenceChange { hand_raised: Some(up), ..Default::default() };
                    room.change_presence(&participant(n), change);
                }
                Step::Remote(n, count) => {
                    room.roster_changed(NOW, &elsewhere(), path(), vec![record(n, version, tracks(n, count))], vec![]);
                }
                Step::RemoteLeft(n) => {
                    let left = Departure { participant: participant(n), version, reason: LeaveReason::Left };
                    room.roster_changed(NOW, &elsewhere(), path(), vec![], vec![left]);
                }
            }
            run(&mut room, version);
        }
        let (picture, wanted, _) = run(&mut room, version);
        let fresh: BTreeMap<_, _> = room.others(&participant(1)).into_iter().map(|view| (view.participant_id.clone(), view)).collect();
        prop_assert_eq!(&picture, &fresh);
        let mut all: Vec<_> = fresh.values().flat_map(|view| view.tracks.iter().map(|track| track.track_id.clone())).collect();
        let mut wanted = wanted;
        all.sort();
        wanted.sort();
        prop_assert_eq!(wanted, all);
    }
}
