//! Who is in a meeting that may not be at an edge any more is sent elsewhere, or away.

use sluice_types::access::Role;
use sluice_types::ids::Term;
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::room::LeaveReason;
use sluice_types::signal::{ErrorCode, ServerEvent};

use crate::client::{Client, Joined};
use crate::edge::Edge;
use crate::token::claims;

const REASON: &str = "region `paris` may not be used: the region is among the denied ones";

#[tokio::test]
async fn who_may_not_be_here_is_told_why_and_where_to_go_and_does_not_stay() {
    let (edge, mut line) = Edge::start().await;
    let claims = [1, 2].map(|n| claims(n, Role::Viewer));
    let mut inside = Joined::new(&edge, &claims[0]).await.client;
    let elsewhere = vec!["wss://tokyo-1.example/v1/signal".to_owned()];
    line.send(CoordinatorMessage::Lead { term: Term(1) }).await;
    let vacate = CoordinatorMessage::Vacate {
        room: claims[0].meeting_id.clone(),
        candidates: elsewhere.clone(),
        reason: REASON.to_owned(),
    };
    line.send(vacate.clone()).await;
    let why = inside
        .find(|event| match event {
            ServerEvent::Error { code, message, .. } => Some((code, message)),
            _ => None,
        })
        .await;
    assert_eq!(why, (ErrorCode::Forbidden, REASON.to_owned()));
    let moved = inside
        .find(|event| match event {
            ServerEvent::Moved { candidates } => Some(candidates),
            _ => None,
        })
        .await;
    assert_eq!(moved, elsewhere);
    // Said again, it puts off nothing.
    line.send(vacate).await;
    let token = edge.signer.token(&claims[1]);
    let mut late = Client::with_token(&edge, &token).await.expect("a socket");
    late.hello().await;
    assert_eq!(late.error().await, (ErrorCode::Forbidden, true));
    let reason = inside
        .find(|event| match event {
            ServerEvent::Ended { reason } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, LeaveReason::Removed);
}
