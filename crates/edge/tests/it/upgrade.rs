//! Who is let in: before the upgrade, by the token alone.

use sluice_types::access::Role;
use sluice_types::rest::Problem;
use sluice_types::signal::SUBPROTOCOL;

use crate::client::{Client, Joined, Refused};
use crate::edge::Edge;
use crate::token::{Signer, claims, meeting, tampered, unsigned};

/// Each kind of bad token, by name.
pub(crate) fn bad_tokens(signer: &Signer) -> Vec<(&'static str, String)> {
    let good = claims(1, Role::Speaker);
    let with = |change: &dyn Fn(&mut _)| {
        let mut claims = good.clone();
        change(&mut claims);
        signer.token(&claims)
    };
    let mut host = good.clone();
    host.role = Role::Host;
    vec![
        ("no JWT", "nonsense".to_owned()),
        ("empty", String::new()),
        ("alg none", unsigned(&good)),
        ("HMAC with the public key", signer.confused(&good)),
        ("another mesh's key", Signer::new().token(&good)),
        ("an unknown key id", signer.unknown_key(&good)),
        ("other claims", tampered(&signer.token(&good), &host)),
        ("expired", with(&|claims| claims.exp = claims.iat - 60)),
        (
            "another mesh",
            with(&|claims| claims.iss = "other-mesh".into()),
        ),
        (
            "another audience",
            with(&|claims| claims.aud = "sluice-coordinator".into()),
        ),
        ("over-long", with(&|claims| claims.name = "x".repeat(3_000))),
    ]
}

fn assert_unauthorized(what: &str, refused: &Refused) {
    assert_eq!(refused.status(), 401, "{what}");
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    let body = refused.body().as_deref().expect("a body");
    let problem: Problem = serde_json::from_slice(body).expect("a problem");
    assert_eq!(problem.status, 401, "{what}");
    assert!(problem.detail.is_some(), "{what}");
}

async fn refused(what: &str, client: Result<Client, Box<Refused>>) {
    match client {
        Ok(_) => panic!("{what} was let in"),
        Err(refused) => assert_unauthorized(what, &refused),
    }
}

#[tokio::test]
async fn no_bad_token_is_upgraded() {
    let (edge, _line) = Edge::start().await;
    for (what, token) in bad_tokens(&edge.signer) {
        refused(what, Client::with_token(&edge, &token).await).await;
        let bearer = format!("Bearer {token}");
        refused(
            what,
            Client::open(&edge, "", SUBPROTOCOL, Some(&bearer)).await,
        )
        .await;
    }
    refused("no token", Client::open(&edge, "", SUBPROTOCOL, None).await).await;
    let basic = Client::open(&edge, "", SUBPROTOCOL, Some("Basic cGFyaXM6MQ==")).await;
    refused("another scheme", basic).await;
    edge.stop().await;
}

#[tokio::test]
async fn a_token_admits_to_its_own_meeting_only() {
    let (edge, _line) = Edge::start().await;
    let token = edge.signer.token(&claims(1, Role::Speaker));
    let bearer = format!("Bearer {token}");
    let open = |meeting| {
        let query = format!("?meeting={meeting}");
        let (edge, bearer) = (&edge, &bearer);
        async move { Client::open(edge, &query, SUBPROTOCOL, Some(bearer)).await }
    };
    refused("another meeting", open(meeting(2)).await).await;
    assert!(open(meeting(1)).await.is_ok());
}

#[tokio::test]
async fn nobody_is_let_in_before_the_keys_are_known() {
    let edge = Edge::unregistered(|_| {}).await;
    let token = edge.signer.token(&claims(1, Role::Speaker));
    let refused = Client::with_token(&edge, &token).await.err();
    let refused = refused.expect("no keys yet");
    assert_eq!(refused.status(), 503, "it may be let in later");
    let _line = edge.register().await;
    edge.until("/readyz", 200).await;
    Joined::new(&edge, &claims(1, Role::Speaker)).await;
}

#[tokio::test]
async fn a_wrong_resume_token_is_not_upgraded() {
    let (edge, _line) = Edge::start().await;
    Joined::new(&edge, &claims(1, Role::Speaker)).await;
    for token in ["nonsense", "rs_00000000000000000000000000000000"] {
        refused(token, Client::with_resume_token(&edge, token).await).await;
    }
}
