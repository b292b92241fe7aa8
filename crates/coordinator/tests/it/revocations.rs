//! What is taken back is worth nothing from that moment on.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::revocation::{Revocation, Revoked};

use crate::support::{Answer, TestCoordinator, bearer, json_type, text, token};

async fn revoke(coordinator: &TestCoordinator, key: &str, what: Value) -> Answer {
    let headers = [json_type(), bearer(&token(key))];
    let body = json!({ "what": what }).to_string();
    coordinator
        .send(Method::POST, "/v1/ops/revocations", &headers, Some(body))
        .await
}

fn list(message: CoordinatorMessage) -> Vec<Revocation> {
    match message {
        CoordinatorMessage::Revoked { revocations } => revocations,
        other => panic!("{other:?}"),
    }
}

fn is_revoked(message: &CoordinatorMessage) -> bool {
    matches!(message, CoordinatorMessage::Revoked { revocations } if !revocations.is_empty())
}

#[tokio::test]
async fn a_stolen_certificate_ends_its_line_and_its_edge_and_does_not_come_back() {
    let coordinator = TestCoordinator::start().await;
    let mut stolen = coordinator.edge("west").await;
    let mut middle = coordinator.edge("middle").await;
    let fingerprint = stolen.fingerprint();
    for (key, status) in [("acme", 403), ("watch", 201)] {
        let answer = revoke(&coordinator, key, json!({ "certificate": fingerprint })).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert!(stolen.closed().await.contains("revoked"));
    // Others are told, and the directory has it no more.
    let told = list(middle.until(is_revoked).await);
    assert_eq!(told[0].what, Revoked::Certificate(fingerprint.clone()));
    middle
        .until(|message| match message {
            CoordinatorMessage::Directory { edges } => edges.len() == 1,
            _ => false,
        })
        .await;
    assert!(coordinator.refuses(&stolen).await.contains("revoked"));
    // It is kept, and told to whoever registers later. The same edge with a new certificate may.
    let coordinator = coordinator.restart().await;
    assert!(coordinator.refuses(&stolen).await.contains("revoked"));
    let mut renewed = coordinator.hello("west-1", "west", "west-1").await;
    assert_eq!(list(renewed.until(is_revoked).await).len(), 1);
    let fault = revoke(&coordinator, "watch", json!({ "certificate": "12" })).await;
    assert_eq!(
        (fault.status, text(&fault.body["errors"][0]["field"])),
        (422, "what.certificate")
    );
}

#[tokio::test]
async fn a_stolen_api_key_is_refused_and_so_is_what_was_given_for_it() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}/join", text(&meeting["id"]));
    let joined = coordinator
        .api(Method::POST, &path, json!({ "name": "Ada" }))
        .await;
    assert_eq!(joined.status, 200, "{}", joined.body);
    assert_eq!(
        revoke(&coordinator, "watch", json!({ "api_key": "watch" }))
            .await
            .status,
        409
    );
    assert_eq!(
        revoke(&coordinator, "watch", json!({ "api_key": "acme" }))
            .await
            .status,
        201
    );
    let refused = coordinator
        .api(Method::GET, "/v1/meetings", Value::Null)
        .await;
    assert_eq!(refused.status, 401);
    assert!(text(&refused.body["detail"]).contains("revoked"));
    // Edges are told, and the token names the key.
    let told = list(west.until(is_revoked).await);
    let claims = coordinator.claims(&joined);
    assert!(told[0].refuses(&claims), "{claims:?}");
    assert!(!claims.jti.is_empty());
    // Another key of the tenant is good.
    let other = [bearer(&token("watch"))];
    let answer = coordinator
        .send(Method::GET, "/v1/meetings", &other, None)
        .await;
    assert_eq!(answer.status, 200);
    let answer = coordinator
        .send(Method::GET, "/v1/ops/revocations", &other, None)
        .await;
    assert_eq!(
        answer.body["revocations"][0]["what"],
        json!({ "api_key": "acme" })
    );
    // It was the wrong one: given back, it and what was given for it are good again.
    let what = json!({ "what": { "api_key": "acme" } }).to_string();
    for (status, by) in [(403, "other"), (200, "watch"), (404, "watch")] {
        let headers = [json_type(), bearer(&token(by))];
        let body = Some(what.clone());
        let lifted = coordinator
            .send(Method::DELETE, "/v1/ops/revocations", &headers, body)
            .await;
        assert_eq!(lifted.status, status, "{}", lifted.body);
    }
    let good = coordinator
        .api(Method::GET, "/v1/meetings", Value::Null)
        .await;
    assert_eq!(good.status, 200, "{}", good.body);
    let lifted = |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Revoked { revocations } if revocations.is_empty());
    west.until(lifted).await;
}

#[tokio::test]
async fn tokens_are_taken_back_one_by_one_by_participant_and_by_meeting() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}/join", text(&meeting["id"]));
    let joined = coordinator
        .api(Method::POST, &path, json!({ "name": "Ada" }))
        .await;
    let claims = coordinator.claims(&joined);
    for (known, what) in [
        json!({ "token": claims.jti }),
        json!({ "participant": { "meeting": claims.meeting_id, "participant": claims.participant_id } }),
        json!({ "meeting": claims.meeting_id }),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = revoke(&coordinator, "watch", what.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(answer.body["until_s"].as_u64() > Some(claims.exp), "{what}");
        let told = west
            .until(|message| match message {
                CoordinatorMessage::Revoked { revocations } => revocations.len() == known + 1,
                _ => false,
            })
            .await;
        let of = list(told).into_iter().find(|one| json!(one.what) == what);
        assert!(of.expect("told").refuses(&claims), "{what}");
    }
    let fault = revoke(&coordinator, "watch", json!({ "token": "" })).await;
    assert_eq!(fault.status, 422);
}
