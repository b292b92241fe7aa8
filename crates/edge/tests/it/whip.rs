//! Publishing with one POST.

use reqwest::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_TYPE, LOCATION,
};
use reqwest::{Method, RequestBuilder, Response};
use sluice_types::access::Role;
use sluice_types::room::LeaveReason;
use sluice_types::signal::ServerEvent;

use crate::client::Joined;
use crate::edge::{Edge, within};
use crate::sdp;
use crate::token::{claims, meeting, participant};
use crate::upgrade::bad_tokens;

fn request(edge: &Edge, method: Method, path: &str) -> RequestBuilder {
    reqwest::Client::new().request(method, edge.url(path))
}

pub(crate) fn offer(edge: &Edge, n: u8) -> RequestBuilder {
    request(edge, Method::POST, &format!("/v1/whip/{}", meeting(n)))
        .header(CONTENT_TYPE, "application/sdp")
        .body(sdp::OFFER)
}

pub(crate) async fn answer(request: RequestBuilder) -> Response {
    within(request.send()).await.expect("an answer")
}

#[tokio::test]
async fn one_post_publishes_and_one_delete_ends_it() {
    let (edge, _line) = Edge::start().await;
    let mut watcher = Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let token = edge.signer.token(&claims(2, Role::Speaker));
    let created = answer(offer(&edge, 1).bearer_auth(&token)).await;
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()[CONTENT_TYPE], "application/sdp");
    let location = created.headers()[LOCATION]
        .to_str()
        .expect("text")
        .to_owned();
    let sdp = within(created.text()).await.expect("text");
    assert!(
        sdp.contains("a=recvonly") && !sdp.contains("a=send"),
        "{sdp}"
    );

    let offered = watcher.client.offered().await;
    assert_eq!(offered.tracks.len(), 2);
    assert!(
        offered
            .tracks
            .iter()
            .all(|track| track.participant_id == participant(2))
    );

    let ended = answer(request(&edge, Method::DELETE, &location)).await;
    assert_eq!(ended.status(), 200);
    let left = watcher.client.find(|event| match event {
        ServerEvent::ParticipantLeft {
            participant_id,
            reason,
        } => Some((participant_id, reason)),
        _ => None,
    });
    assert_eq!(left.await, (participant(2), LeaveReason::Left));
    let again = answer(request(&edge, Method::DELETE, &location)).await;
    assert_eq!(again.status(), 404);
    edge.stop().await;
}

#[tokio::test]
async fn no_bad_token_publishes() {
    let (edge, _line) = Edge::start().await;
    for (what, token) in bad_tokens(&edge.signer) {
        let refused = answer(offer(&edge, 1).bearer_auth(&token)).await;
        assert_eq!(refused.status(), 401, "{what}");
        let refused = answer(offer(&edge, 1).query(&[("token", &token)])).await;
        assert_eq!(refused.status(), 401, "{what}");
    }
    assert_eq!(answer(offer(&edge, 1)).await.status(), 401);
    let token = edge.signer.token(&claims(1, Role::Speaker));
    let other = answer(offer(&edge, 2).bearer_auth(&token)).await;
    assert_eq!(other.status(), 401, "another meeting");
    let by_query = answer(offer(&edge, 1).query(&[("token", &token)])).await;
    assert_eq!(by_query.status(), 201);
}

#[tokio::test]
async fn what_is_no_offer_is_refused_and_nobody_joins() {
    let (edge, _line) = Edge::start().await;
    let token = edge.signer.token(&claims(1, Role::Speaker));
    let post = |kind: &str, body: String| {
        let path = format!("/v1/whip/{}", meeting(1));
        request(&edge, Method::POST, &path)
            .bearer_auth(&token)
            .header(CONTENT_TYPE, kind)
            .body(body)
    };
    for (kind, body, status) in [
        ("application/json", sdp::OFFER.to_owned(), 415),
        ("application/sdp", "v=0\r\n".to_owned(), 400),
        ("application/sdp", "x".repeat(300_000), 413),
    ] {
        assert_eq!(answer(post(kind, body)).await.status(), status);
    }
    let watcher = Joined::new(&edge, &claims(2, Role::Viewer)).await;
    assert_eq!(watcher.others, []);
}

#[tokio::test]
async fn a_page_of_another_origin_may_publish_but_nobody_trickles() {
    let (edge, _line) = Edge::start().await;
    let path = format!("/v1/whip/{}", meeting(1));
    let preflight = request(&edge, Method::OPTIONS, &path)
        .header("origin", "https://studio.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let allowed = answer(preflight).await;
    assert!(allowed.status().is_success());
    let origin = allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN].as_bytes();
    assert_eq!(origin, b"https://studio.example");
    assert!(allowed.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    let resource = format!("{path}/rs_00000000000000000000000000000000");
    let patch = answer(request(&edge, Method::PATCH, &resource)).await;
    assert_eq!(patch.status(), 405);
    assert!(patch.headers().contains_key(ALLOW));
}
