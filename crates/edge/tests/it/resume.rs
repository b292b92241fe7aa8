//! Sockets that end while their sessions go on.

use sluice_types::access::Role;
use sluice_types::ids::ResumeToken;
use sluice_types::signal::{ClientMessage, ErrorCode, ServerEvent};

use crate::client::{Client, Joined};
use crate::edge::Edge;
use crate::token::{claims, participant};
use crate::whip::{answer, offer};

/// Takes up a session on a new socket.
async fn resume(edge: &Edge, token: &ResumeToken, last_seq: u64) -> Client {
    let client = Client::with_resume_token(edge, token.as_str()).await;
    let mut client = client.unwrap_or_else(|refused| panic!("{refused:?}"));
    client.seq = last_seq;
    client.send(&ClientMessage::Resume { last_seq }).await;
    client
}

fn last_seq(event: ServerEvent) -> u64 {
    match event {
        ServerEvent::Resumed { last_seq } => last_seq,
        other => panic!("resumed first, not {other:?}"),
    }
}

/// Whose hand went up or down.
fn hand(event: ServerEvent) -> Option<(u8, bool)> {
    match event {
        ServerEvent::PresenceChanged {
            participant_id,
            presence,
        } => {
            let n = (1..=20).find(|&n| participant(n) == participant_id)?;
            Some((n, presence.hand_raised))
        }
        _ => None,
    }
}

#[tokio::test]
async fn who_comes_back_is_told_what_it_missed_and_nothing_twice() {
    let (edge, _line) = Edge::start().await;
    let mut one = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let two = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    let seen = two.client.seq;
    // The socket dies without a word; the hand goes up and down meanwhile.
    drop(two.client);
    for up in [true, false, true] {
        one.client.hand(up).await;
        assert_eq!(one.client.find(hand).await, (1, up));
    }
    let mut back = resume(&edge, &two.resume_token, seen).await;
    assert_eq!(last_seq(back.event().await), seen + 3);
    for up in [true, false, true] {
        assert_eq!(back.find(hand).await, (1, up));
    }
    assert_eq!(back.seq, seen + 3);
    // And it is whole again: it speaks and is spoken to.
    back.hand(true).await;
    assert_eq!(back.find(hand).await, (2, true));
    assert_eq!(one.client.find(hand).await, (2, true));
    edge.stop().await;
}

#[tokio::test]
async fn a_second_socket_takes_over_from_one_that_is_not_dead_yet() {
    let (edge, _line) = Edge::start().await;
    let mut joined = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let seen = joined.client.seq;
    let mut back = resume(&edge, &joined.resume_token, seen).await;
    assert_eq!(last_seq(back.event().await), seen);
    joined.client.closed().await;
    back.hand(true).await;
    assert_eq!(back.find(hand).await, (1, true));
}

#[tokio::test]
async fn what_was_never_said_cannot_have_been_seen() {
    let (edge, _line) = Edge::start().await;
    let joined = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let mut back = resume(&edge, &joined.resume_token, joined.client.seq + 1).await;
    assert_eq!(back.error().await, (ErrorCode::ResumeExpired, true));
    back.closed().await;
}

#[tokio::test]
async fn a_session_that_was_left_cannot_be_taken_up() {
    let (edge, _line) = Edge::start().await;
    let mut joined = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    joined.client.send(&ClientMessage::Leave {}).await;
    joined.client.closed().await;
    let token = joined.resume_token.as_str();
    let refused = Client::with_resume_token(&edge, token).await.err();
    assert_eq!(refused.map(|refused| refused.status().as_u16()), Some(401));
}

/// More events than wait for a socket at most, and fewer than a session keeps.
#[tokio::test]
async fn a_long_absence_is_made_up_for_whole() {
    const OTHERS: u8 = 8;
    const EACH: u64 = 50;
    let (edge, _line) = Edge::start().await;
    let away = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let seen = away.client.seq;
    drop(away.client);
    for n in 2..2 + OTHERS {
        let mut other = Joined::new(&edge, &claims(n, Role::Viewer)).await.client;
        for turn in 0..EACH {
            other.hand(turn % 2 == 0).await;
        }
        for turn in 0..EACH {
            assert_eq!(other.find(hand).await, (n, turn % 2 == 0));
        }
        other.send(&ClientMessage::Leave {}).await;
        other.closed().await;
    }
    let missed = u64::from(OTHERS) * (EACH + 2);
    let mut back = resume(&edge, &away.resume_token, seen).await;
    assert_eq!(last_seq(back.event().await), seen + missed);
    while back.seq < seen + missed {
        back.event().await;
    }
}

/// Who changes networks loses its socket and its media; whoever only published has left by then.
#[tokio::test]
async fn who_lost_its_media_too_still_comes_back() {
    let (edge, _line) = Edge::start().await;
    let away = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let seen = away.client.seq;
    drop(away.client);
    let mut watcher = Joined::new(&edge, &claims(2, Role::Viewer)).await.client;
    let token = edge.signer.token(&claims(3, Role::Speaker));
    assert_eq!(
        answer(offer(&edge, 1).bearer_auth(token)).await.status(),
        201
    );
    // Neither ever sends a check, and the publisher came later.
    let left = watcher.find(|event| match event {
        ServerEvent::ParticipantLeft { participant_id, .. } => Some(participant_id),
        _ => None,
    });
    assert_eq!(left.await, participant(3));
    let mut back = resume(&edge, &away.resume_token, seen).await;
    back.hand(true).await;
    assert_eq!(watcher.find(hand).await, (1, true));
}
