//! Tokens that were taken back open nothing, and who came with them has to go.

use sluice_types::access::Role;
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::revocation::{Revocation, Revoked};
use sluice_types::room::LeaveReason;
use sluice_types::signal::{ClientMessage, ServerEvent};

use crate::client::{Client, Joined};
use crate::edge::Edge;
use crate::token::claims;

#[tokio::test]
async fn whoever_has_a_revoked_token_is_removed_and_stays_out() {
    let (edge, mut line) = Edge::start().await;
    let (thief, innocent) = (claims(1, Role::Viewer), claims(2, Role::Viewer));
    let mut inside = Joined::new(&edge, &thief).await;
    let mut other = Joined::new(&edge, &innocent).await.client;
    let revoked = |what| CoordinatorMessage::Revoked {
        revocations: vec![Revocation {
            what,
            at_s: thief.iat,
            until_s: None,
        }],
    };
    line.send(revoked(Revoked::Token(thief.jti.clone()))).await;
    let reason = inside
        .client
        .find(|event| match event {
            ServerEvent::Ended { reason } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, LeaveReason::Removed);
    inside.client.closed().await;
    let refused = |answer: Result<Client, Box<crate::client::Refused>>| {
        let answer = answer.err().expect("refused");
        let body = answer.body().clone().unwrap_or_default();
        (
            answer.status().as_u16(),
            String::from_utf8_lossy(&body).into_owned(),
        )
    };
    let token = edge.signer.token(&thief);
    let (status, body) = refused(Client::with_token(&edge, &token).await);
    assert_eq!(status, 401);
    assert!(body.contains("token-revoked"), "{body}");
    // Neither does what the thief got before lead back.
    let (status, _) =
        refused(Client::with_resume_token(&edge, &inside.resume_token.to_string()).await);
    assert_eq!(status, 401);
    // Others are not concerned.
    other.send(&ClientMessage::Ping {}).await;
    other
        .find(|event| matches!(event, ServerEvent::Pong {}).then_some(()))
        .await;
    // A list takes the place of the one before: nothing more is revoked than it says.
    line.send(revoked(Revoked::Participant {
        meeting: innocent.meeting_id.clone(),
        participant: innocent.participant_id.clone(),
    }))
    .await;
    other
        .find(|event| matches!(event, ServerEvent::Ended { .. }).then_some(()))
        .await;
    Joined::new(&edge, &thief).await;
}
