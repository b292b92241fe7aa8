//! What the coordinator is told, and what it does to rooms.

use futures_util::future::join_all;
use sluice_types::access::Role;
use sluice_types::mesh::control::{
    CoordinatorMessage, EdgeMessage, ROOMS_REPORTED_MAX, RoomDemand,
};
use sluice_types::room::LeaveReason;
use sluice_types::signal::{ClientMessage, ErrorCode, ServerEvent};

use crate::client::{Client, Joined};
use crate::edge::{Edge, Line};
use crate::token::{Signer, claims, meeting};

/// Waits for the demand of meeting 1 to become this.
async fn demand(line: &mut Line, participants: u32, publishing: bool) {
    let wanted = RoomDemand {
        room: meeting(1),
        participants,
        publishing,
    };
    line.find(|message| match message {
        EdgeMessage::Demand(demand) => (demand == wanted).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn demand_follows_who_is_in() {
    let (edge, mut line) = Edge::start().await;
    let mut one = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    demand(&mut line, 1, false).await;
    let mut two = Joined::new(&edge, &claims(2, Role::Speaker)).await;
    demand(&mut line, 2, true).await;
    for client in [&mut two.client, &mut one.client] {
        client.send(&ClientMessage::Leave {}).await;
        client.closed().await;
    }
    demand(&mut line, 0, false).await;
    edge.stop().await;
}

#[tokio::test]
async fn heartbeats_tell_of_rooms_and_tracks() {
    let (edge, mut line) = Edge::start().await;
    let joined = Joined::new(&edge, &claims(1, Role::Speaker)).await;
    let report = line.find(|message| match message {
        EdgeMessage::Heartbeat(heartbeat) if heartbeat.participants == 1 => {
            heartbeat.rooms.into_iter().next()
        }
        _ => None,
    });
    let report = report.await;
    assert_eq!((report.room, report.participants), (meeting(1), 1));
    let mut published: Vec<_> = joined.published.iter().map(|p| &p.track.track_id).collect();
    let mut reported: Vec<_> = report.tracks.iter().map(|track| &track.track).collect();
    published.sort();
    reported.sort();
    assert_eq!(reported, published);
    assert!(report.tracks.iter().all(|track| track.name == "P1"));
}

#[tokio::test]
async fn participants_of_rooms_that_are_not_reported_count_too() {
    const ROOMS: u8 = 201;
    let (edge, mut line) = Edge::with(|settings| {
        settings.capacity = Some(1_000);
        settings.sessions_per_address = Some(u32::from(ROOMS));
    })
    .await;
    let joins = (0..ROOMS).map(|n| {
        let mut claims = claims(n, Role::Viewer);
        claims.meeting_id = meeting(n);
        let edge = &edge;
        async move { Joined::new(edge, &claims).await }
    });
    let _inside = join_all(joins).await;
    let reported = line.find(|message| match message {
        EdgeMessage::Heartbeat(heartbeat) if heartbeat.participants == u32::from(ROOMS) => {
            Some(heartbeat.rooms.len())
        }
        _ => None,
    });
    assert_eq!(reported.await, ROOMS_REPORTED_MAX);
}

#[tokio::test]
async fn a_meeting_that_ends_ends_for_all() {
    let (edge, mut line) = Edge::start().await;
    let mut joined = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    line.send(CoordinatorMessage::End {
        room: meeting(1),
        reason: Some(LeaveReason::MeetingEnded),
    })
    .await;
    let ended = joined.client.find(|event| match event {
        ServerEvent::Ended { reason } => Some(reason),
        _ => None,
    });
    assert_eq!(ended.await, LeaveReason::MeetingEnded);
    joined.client.closed().await;
}

#[tokio::test]
async fn while_the_coordinator_is_down_calls_go_on_and_tokens_still_let_in() {
    let (edge, line) = Edge::start().await;
    let mut one = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    edge.lose_coordinator().await;
    drop(line);
    let two = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    assert_eq!(two.others.len(), 1);
    one.client.send(&ClientMessage::Ping {}).await;
    one.client
        .find(|event| (event == ServerEvent::Pong {}).then_some(()))
        .await;
}

#[tokio::test]
async fn keys_are_replaced_but_not_by_what_cannot_be_read() {
    let (edge, mut line) = Edge::start().await;
    line.send(CoordinatorMessage::Jwks {
        jwks: "nonsense".into(),
    })
    .await;
    Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let next = Signer::new();
    line.send(CoordinatorMessage::Jwks { jwks: next.jwks() })
        .await;
    // Both have the same key id, so the old one no longer verifies.
    let token = next.token(&claims(2, Role::Viewer));
    loop {
        if Client::with_token(&edge, &token).await.is_ok() {
            break;
        }
    }
    let old = edge.signer.token(&claims(3, Role::Viewer));
    assert!(Client::with_token(&edge, &old).await.is_err());
}

#[tokio::test]
async fn an_edge_that_goes_away_says_so() {
    let (edge, mut line) = Edge::with(|settings| settings.drain_ms = Some(3_000)).await;
    let mut joined = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    edge.shut_down();
    line.find(|message| (message == EdgeMessage::Draining {}).then_some(()))
        .await;
    let moved = joined.client.find(|event| match event {
        ServerEvent::Moved { candidates } => Some(candidates),
        _ => None,
    });
    moved.await;
    assert_eq!(edge.status("/readyz").await, 503);
    let token = edge.signer.token(&claims(2, Role::Viewer));
    let late = Client::with_token(&edge, &token).await;
    let mut late = late.unwrap_or_else(|refused| panic!("{refused:?}"));
    late.hello().await;
    assert_eq!(late.error().await, (ErrorCode::Draining, true));
    assert!(joined.client.closed().await.is_some(), "an orderly close");
    edge.stop().await;
}
