//! What participants of a room are told of each other.

use sluice_types::access::Role;
use sluice_types::room::{LeaveReason, MediaKind};
use sluice_types::signal::{ClientMessage, ErrorCode, ServerEvent};

use crate::client::Joined;
use crate::edge::Edge;
use crate::sdp;
use crate::token::{claims, participant};

#[tokio::test]
async fn a_newcomer_gets_the_snapshot_and_those_inside_hear_of_it() {
    let (edge, _line) = Edge::start().await;
    let mut one = Joined::new(&edge, &claims(1, Role::Speaker)).await;
    assert_eq!(one.others, []);
    assert_eq!(one.you.name, "P1");
    let kinds = [MediaKind::Audio, MediaKind::Video];
    assert!(one.published.iter().map(|p| p.track.kind).eq(kinds));

    let mut two = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    assert_eq!(two.published, [], "a viewer publishes nothing");
    let [first] = &two.others[..] else {
        panic!("one is there: {:?}", two.others);
    };
    assert_eq!(first.participant_id, one.you.participant_id);
    assert_eq!(first.tracks.len(), 2);
    let joined = one.client.find(|event| match event {
        ServerEvent::ParticipantJoined { participant } => Some(participant),
        _ => None,
    });
    assert_eq!(joined.await, two.you);

    two.client.hand(true).await;
    for client in [&mut one.client, &mut two.client] {
        let raised = client.find(|event| match event {
            ServerEvent::PresenceChanged {
                participant_id,
                presence,
            } => Some((participant_id, presence.hand_raised)),
            _ => None,
        });
        assert_eq!(raised.await, (participant(2), true));
    }

    two.client.send(&ClientMessage::Leave {}).await;
    let left = one.client.find(|event| match event {
        ServerEvent::ParticipantLeft {
            participant_id,
            reason,
        } => Some((participant_id, reason)),
        _ => None,
    });
    assert_eq!(left.await, (participant(2), LeaveReason::Left));
    assert!(two.client.closed().await.is_some(), "an orderly close");
    edge.stop().await;
}

#[tokio::test]
async fn tracks_are_offered_and_withdrawn_as_publishers_come_and_go() {
    let (edge, _line) = Edge::start().await;
    let mut one = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let two = Joined::new(&edge, &claims(2, Role::Speaker)).await;
    let first = one.client.offered().await;
    let mut offered: Vec<_> = first.tracks.iter().map(|track| &track.track_id).collect();
    let mut published: Vec<_> = two.published.iter().map(|p| &p.track.track_id).collect();
    offered.sort();
    published.sort();
    assert_eq!(offered, published);

    // Another publisher while the offer is outstanding: the next offer waits for the answer.
    let three = Joined::new(&edge, &claims(3, Role::Speaker)).await;
    let answer = |revision, offer: &str| ClientMessage::Answer {
        sdp_answer: sdp::answer(offer),
        revision,
    };
    let stale = answer(first.revision + 1, &first.sdp);
    one.client.send(&stale).await;
    assert_eq!(one.client.error().await, (ErrorCode::StaleRevision, false));
    one.client.send(&answer(first.revision, &first.sdp)).await;
    let second = one.client.offered().await;
    assert!(second.revision > first.revision);
    assert_eq!(second.tracks.len(), 4);
    one.client.send(&answer(second.revision, &second.sdp)).await;

    for mut publisher in [two, three] {
        publisher.client.send(&ClientMessage::Leave {}).await;
        publisher.client.closed().await;
    }
    let mut left = one.client.offered().await;
    while !left.tracks.is_empty() {
        one.client.send(&answer(left.revision, &left.sdp)).await;
        left = one.client.offered().await;
    }
}

#[tokio::test]
async fn only_a_host_removes() {
    let (edge, _line) = Edge::start().await;
    let mut host = Joined::new(&edge, &claims(1, Role::Host)).await;
    let mut other = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    let remove = |n| ClientMessage::Remove {
        participant_id: participant(n),
    };
    other.client.send(&remove(1)).await;
    assert_eq!(other.client.error().await, (ErrorCode::Forbidden, false));
    host.client.send(&remove(9)).await;
    assert_eq!(host.client.error().await, (ErrorCode::BadMessage, false));
    host.client.send(&remove(2)).await;
    let ended = other.client.find(|event| match event {
        ServerEvent::Ended { reason } => Some(reason),
        _ => None,
    });
    assert_eq!(ended.await, LeaveReason::Removed);
    other.client.closed().await;
}

#[tokio::test]
async fn who_joins_again_replaces_itself() {
    let (edge, _line) = Edge::start().await;
    let mut watcher = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let mut before = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    let after = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    assert_eq!(after.others.len(), 1, "not itself");
    before.client.closed().await;
    let mut told = Vec::new();
    while told.len() < 3 {
        match watcher.client.event().await {
            ServerEvent::ParticipantJoined { .. } => told.push("joined"),
            ServerEvent::ParticipantLeft { reason, .. } => {
                assert_eq!(reason, LeaveReason::Replaced);
                told.push("left");
            }
            _ => {}
        }
    }
    assert_eq!(told, ["joined", "left", "joined"]);
}
