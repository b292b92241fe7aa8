use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::access::{JOIN_AUDIENCE, JoinClaims, Role};

use crate::support::{TestCoordinator, bearer, json_type, sign, text};

/// Addresses of universities, whose countries do not change.
const FROM_FRANCE: &str = "?as=193.51.193.150";
const FROM_JAPAN: &str = "?as=133.11.0.1";
const FROM_JAPAN_V6: &str = "?as=2001:200::1";

fn invite(meeting: &Value) -> String {
    let url = text(&meeting["join_url"]);
    url.rsplit('/').next().expect("an invite").to_owned()
}

#[tokio::test]
async fn people_go_to_the_nearest_edge_with_a_token_that_edges_verify() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let guest = json!({ "name": "Ada", "invite": invite(&meeting) });
    let early = coordinator.join(&meeting, FROM_FRANCE, guest.clone()).await;
    assert_eq!(early.status, 503, "no edge yet: {}", early.body);
    let _edges = (
        coordinator.edge("west").await,
        coordinator.edge("middle").await,
        coordinator.edge("east").await,
    );
    for (from, region) in [
        (FROM_FRANCE, "middle"),
        (FROM_JAPAN, "east"),
        (FROM_JAPAN_V6, "east"),
        ("?as=128.112.128.15", "west"),
        ("", "middle"),
    ] {
        let answer = coordinator.join(&meeting, from, guest.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["region"], region, "from {from}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.body["candidates"].as_array().map(Vec::len), Some(2));
    }
    let measured =
        json!({ "invite": invite(&meeting), "round_trips_ms": { "east": 3, "middle": 90 } });
    let answer = coordinator.join(&meeting, FROM_FRANCE, measured).await.body;
    assert_eq!(answer["region"], "east", "what the client measured counts");

    let set = coordinator
        .send(Method::GET, "/.well-known/jwks.json", &[], None)
        .await
        .body;
    let set: JwkSet = serde_json::from_value(set).expect("a JWK set");
    let joined = coordinator.join(&meeting, FROM_JAPAN, guest).await.body;
    let header = jsonwebtoken::decode_header(text(&joined["join_token"])).expect("a JWT");
    let key = set
        .find(&header.kid.expect("a kid"))
        .expect("a published key");
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[JOIN_AUDIENCE]);
    validation.set_issuer(&["test"]);
    let key = DecodingKey::from_jwk(key).expect("a key");
    let claims = jsonwebtoken::decode::<JoinClaims>(text(&joined["join_token"]), &key, &validation)
        .expect("verified")
        .claims;
    assert_eq!(claims.meeting_id.as_str(), text(&meeting["id"]));
    assert_eq!(
        claims.participant_id.as_str(),
        text(&joined["participant_id"])
    );
    assert_eq!((claims.role, claims.name.as_str()), (Role::Speaker, "Ada"));
    assert_eq!(
        (claims.exp - claims.iat, claims.edge.as_str()),
        (300, "east-1")
    );
    let turn = &joined["ice_servers"][1];
    assert!(text(&turn["username"]).ends_with(&format!(":{}", text(&joined["participant_id"]))));
    assert!(turn["credential"].is_string());
}

#[tokio::test]
async fn a_role_is_at_most_what_the_proof_allows() {
    let coordinator = TestCoordinator::start().await;
    let _edge = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let other = coordinator.meeting(json!({})).await;
    let (invite, key) = (invite(&meeting), meeting["host_key"].clone());
    for (body, status, role) in [
        (json!({}), 401, ""),
        (json!({ "invite": invite }), 200, "speaker"),
        (json!({ "invite": invite, "role": "viewer" }), 200, "viewer"),
        (json!({ "invite": invite, "role": "host" }), 403, ""),
        (json!({ "invite": self::invite(&other) }), 403, ""),
        (json!({ "host_key": key }), 200, "host"),
        (json!({ "host_key": other["host_key"] }), 403, ""),
        (json!({ "invite": invite, "name": "x".repeat(81) }), 422, ""),
    ] {
        let answer = coordinator.join(&meeting, "", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        if status == 200 {
            assert_eq!(answer.body["role"], role, "{body}");
        }
    }
    let path = |meeting: &Value| format!("/v1/meetings/{}/join", text(&meeting["id"]));
    let grants = json!({ "meeting": meeting["id"], "role": "attendee", "name": "From the shop" });
    let user = sign(&json!({ "iss": "acme", "exp": 4_000_000_000u64, "grants": grants }));
    let headers = [bearer(&user), json_type()];
    let body = |body: Value| Some(body.to_string());
    let joined = coordinator
        .send(Method::POST, &path(&meeting), &headers, body(json!({})))
        .await;
    assert_eq!(
        (joined.status, &joined.body["role"]),
        (200, &json!("attendee"))
    );
    let more = json!({ "role": "speaker" });
    assert_eq!(
        coordinator
            .send(Method::POST, &path(&meeting), &headers, body(more))
            .await
            .status,
        403
    );
    assert_eq!(
        coordinator
            .send(Method::POST, &path(&other), &headers, None)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn who_may_not_send_data_gets_a_token_that_says_so() {
    let coordinator = TestCoordinator::start().await;
    let _edge = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}/join", text(&meeting["id"]));
    let grants = json!({ "meeting": meeting["id"], "role": "speaker", "publish_data": false });
    let user = sign(&json!({ "iss": "acme", "exp": 4_000_000_000u64, "grants": grants }));
    let as_user = vec![bearer(&user), json_type()];
    let guest = json!({ "invite": invite(&meeting) });
    let quiet = json!({ "invite": invite(&meeting), "publish_data": false });
    for (headers, body, expected) in [
        (vec![json_type()], guest, Some(true)),
        (vec![json_type()], quiet, Some(false)),
        (as_user.clone(), json!({}), Some(false)),
        (as_user, json!({ "publish_data": true }), None),
    ] {
        let answer = coordinator
            .send(Method::POST, &path, &headers, Some(body.to_string()))
            .await;
        let granted = (answer.status == 200).then(|| {
            let token = text(&answer.body["join_token"]);
            let claims = jsonwebtoken::dangerous::insecure_decode::<JoinClaims>(token);
            claims.expect("a join token").claims.grants.publish_data
        });
        assert_eq!(granted, expected, "{body}: {}", answer.body);
        assert!(expected.is_some() || answer.status == 403, "{body}");
    }
}

#[tokio::test]
async fn a_meeting_has_as_many_places_as_it_has_until_it_is_ended() {
    let coordinator = TestCoordinator::start().await;
    let _edge = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({ "max_participants": 2 })).await;
    let guest = json!({ "invite": invite(&meeting) });
    for status in [200, 200, 409] {
        let answer = coordinator.join(&meeting, "", guest.clone()).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    assert_eq!(
        coordinator
            .api(Method::DELETE, &path, Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(coordinator.join(&meeting, "", guest).await.status, 410);
}

#[tokio::test]
async fn a_host_admits_from_the_waiting_room() {
    let coordinator = TestCoordinator::start().await;
    let _edge = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({ "waiting_room": true })).await;
    let wait = async |name: &str| {
        let body = json!({ "name": name, "invite": invite(&meeting) });
        let answer = coordinator.join(&meeting, "", body).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &json!("waiting"))
        );
        answer.body["participant_id"].clone()
    };
    let (ada, bob) = (wait("Ada").await, wait("Bob").await);
    let ask = async |participant: &Value| {
        let body = json!({ "invite": invite(&meeting), "participant_id": participant });
        coordinator.join(&meeting, "", body).await
    };
    assert_eq!(ask(&ada).await.status, 202);

    let path = format!("/v1/meetings/{}/waiting", text(&meeting["id"]));
    let host = [("x-sluice-host-key", text(&meeting["host_key"]).to_owned())];
    let stranger = [(
        "x-sluice-host-key",
        "hk_00000000000000000000000000000000".to_owned(),
    )];
    assert_eq!(
        coordinator
            .send(Method::GET, &path, &stranger, None)
            .await
            .status,
        401
    );
    let waiting = coordinator.send(Method::GET, &path, &host, None).await.body;
    let names: Vec<_> = waiting
        .as_array()
        .expect("a list")
        .iter()
        .map(|w| text(&w["name"]))
        .collect();
    assert_eq!(
        (names.len(), names.contains(&"Ada"), names.contains(&"Bob")),
        (2, true, true)
    );
    for (who, word) in [(&ada, "admit"), (&bob, "deny")] {
        let path = format!("{path}/{}/{word}", text(who));
        assert_eq!(
            coordinator
                .send(Method::POST, &path, &host, None)
                .await
                .status,
            204
        );
    }
    let admitted = ask(&ada).await;
    assert_eq!(
        (admitted.status, &admitted.body["participant_id"]),
        (200, &ada)
    );
    assert_eq!(ask(&bob).await.status, 403);
    let key = json!({ "host_key": meeting["host_key"] });
    assert_eq!(
        coordinator.join(&meeting, "", key).await.status,
        200,
        "a host does not wait"
    );
}

#[tokio::test]
async fn a_whip_client_is_sent_on_to_its_edge() {
    let coordinator = TestCoordinator::start().await;
    let _edges = (
        coordinator.edge("middle").await,
        coordinator.edge("east").await,
    );
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}/whip{FROM_JAPAN}", text(&meeting["id"]));
    let headers = [
        bearer(&invite(&meeting)),
        ("content-type", "application/sdp".to_owned()),
    ];
    let answer = coordinator
        .send(Method::POST, &path, &headers, Some("v=0\r\n".to_owned()))
        .await;
    assert_eq!(answer.status, 307, "{}", answer.body);
    let location = answer.headers["location"].to_str().expect("text");
    let expected = format!(
        "http://east-1.example/v1/whip/{}?token=",
        text(&meeting["id"])
    );
    assert!(location.starts_with(&expected), "{location}");
    let refused = coordinator
        .send(Method::POST, &path, &headers[1..], None)
        .await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn the_override_of_development_is_ignored_unless_switched_on() {
    let coordinator =
        TestCoordinator::start_with(|settings| settings.dev_client_override = None).await;
    let _edges = (
        coordinator.edge("middle").await,
        coordinator.edge("east").await,
    );
    let meeting = coordinator.meeting(json!({})).await;
    let guest = json!({ "invite": invite(&meeting) });
    let answer = coordinator.join(&meeting, FROM_JAPAN, guest).await;
    assert_eq!(answer.body["region"], "middle", "the fallback region");
}
