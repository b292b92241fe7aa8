use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestCoordinator, bearer, json_type, sign, text, token};

#[tokio::test]
async fn a_meeting_is_created_read_changed_listed_and_ended() {
    let coordinator = TestCoordinator::start().await;
    let created = coordinator.meeting(json!({ "max_participants": 7 })).await;
    let path = format!("/v1/meetings/{}", text(&created["id"]));
    assert!(text(&created["host_key"]).starts_with("hk_"));
    assert!(text(&created["join_url"]).starts_with(&format!(
        "https://page.example/m/{}/iv_",
        text(&created["id"])
    )));
    let read = coordinator.api(Method::GET, &path, Value::Null).await.body;
    assert_eq!(
        read["settings"],
        json!({ "max_participants": 7, "waiting_room": false })
    );
    assert_eq!(
        (&read["status"], &read["host_key"]),
        (&json!("idle"), &Value::Null)
    );
    let patch = json!({ "title": "Other", "settings": { "waiting_room": true } });
    let changed = coordinator.api(Method::PATCH, &path, patch).await.body;
    assert_eq!(changed["title"], "Other");
    assert_eq!(
        changed["settings"],
        json!({ "max_participants": 7, "waiting_room": true })
    );

    let newer = coordinator.meeting(json!({})).await;
    let first = coordinator
        .api(Method::GET, "/v1/meetings?limit=1", Value::Null)
        .await
        .body;
    assert_eq!(first["meetings"][0]["id"], newer["id"]);
    let next = format!(
        "/v1/meetings?limit=1&cursor={}",
        text(&first["next_cursor"])
    );
    let second = coordinator.api(Method::GET, &next, Value::Null).await.body;
    assert_eq!(second["meetings"][0]["id"], created["id"]);
    assert_eq!(second["next_cursor"], Value::Null);

    let coordinator = coordinator.restart().await;
    assert_eq!(
        coordinator
            .api(Method::DELETE, &path, Value::Null)
            .await
            .status,
        204
    );
    let ended = coordinator.api(Method::GET, &path, Value::Null).await.body;
    assert_eq!(ended["status"], "ended");
    let late = coordinator
        .api(Method::PATCH, &path, json!({ "title": "Late" }))
        .await;
    assert_eq!(late.status, 410);
}

#[tokio::test]
async fn callers_do_what_their_tokens_allow_and_no_more() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    let grants = json!({ "meeting": meeting["id"], "role": "viewer" });
    let unsigned = {
        let good = token("acme");
        let claims = good.split('.').nth(1).expect("claims");
        // {"alg":"none","typ":"JWT"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
    };
    for (shown, status) in [
        (None, 401),
        (Some("nonsense".to_owned()), 401),
        (Some(unsigned), 401),
        (Some(sign(&json!({ "iss": "acme", "exp": 1_000 }))), 401),
        (Some(token("unknown")), 401),
        (Some(token("other")), 404),
        (
            Some(sign(
                &json!({ "iss": "acme", "exp": 4_000_000_000u64, "grants": grants }),
            )),
            403,
        ),
        (Some(token("acme")), 200),
    ] {
        let headers: Vec<_> = shown.iter().map(|token| bearer(token)).collect();
        let answer = coordinator.send(Method::GET, &path, &headers, None).await;
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.body);
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            status == 401
        );
    }
    let state = |key| coordinator_state(&coordinator, key);
    assert_eq!(state("acme").await, 403);
    assert_eq!(state("watch").await, 200);
}

async fn coordinator_state(coordinator: &TestCoordinator, key: &str) -> u16 {
    let headers = [bearer(&token(key))];
    coordinator
        .send(Method::GET, "/v1/ops/state", &headers, None)
        .await
        .status
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let coordinator = TestCoordinator::start().await;
    let good = bearer(&token("acme"));
    let long = json!({ "title": "x".repeat(100_000) }).to_string();
    let plain = ("content-type", "text/plain".to_owned());
    for (method, path, kind, body, status) in [
        (Method::GET, "/nowhere", json_type(), "", 404),
        (Method::PUT, "/v1/meetings", json_type(), "", 405),
        (Method::GET, "/v1/meetings/nonsense", json_type(), "", 404),
        (Method::GET, "/v1/meetings?limit=many", json_type(), "", 400),
        (Method::GET, "/v1/meetings?limit=0", json_type(), "", 422),
        (Method::POST, "/v1/meetings", json_type(), "{", 400),
        (Method::POST, "/v1/meetings", json_type(), &long, 413),
        (Method::POST, "/v1/meetings", plain, "{}", 415),
        (
            Method::POST,
            "/v1/meetings",
            json_type(),
            r#"{"scheduled_at":"soon"}"#,
            422,
        ),
    ] {
        let headers = [good.clone(), kind];
        let body = (!body.is_empty()).then(|| body.to_owned());
        let answer = coordinator.send(method.clone(), path, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.body["status"], status);
        assert!(answer.body["type"].is_string() && answer.body["title"].is_string());
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "RFC 9110 wants it");
        }
    }
    let fault = coordinator
        .api(
            Method::POST,
            "/v1/meetings",
            json!({ "settings": { "max_participants": 0 } }),
        )
        .await;
    let expected =
        json!([{ "field": "settings.max_participants", "value": "0", "allowed": "1 to 10000" }]);
    assert_eq!((fault.status, &fault.body["errors"]), (422, &expected));
}

#[tokio::test]
async fn who_asks_too_often_or_for_too_much_is_refused() {
    let coordinator = TestCoordinator::start_with(|settings| {
        settings.requests_per_address = Some(2);
        settings.requests_per_key = Some(3);
        settings.meetings_per_tenant = Some(1);
    })
    .await;
    coordinator.meeting(json!({})).await;
    let second = coordinator
        .api(Method::POST, "/v1/meetings", json!({}))
        .await;
    assert_eq!(
        (second.status, text(&second.body["title"])),
        (409, "too many meetings")
    );
    // A token that proves nothing does not lift the limit of its address.
    for headers in [
        vec![bearer("garbage")],
        vec![],
        vec![bearer("iv_000000000000000000000000")],
    ] {
        let mut last = 0;
        for _ in 0..8 {
            last = coordinator
                .send(Method::GET, "/docs", &headers, None)
                .await
                .status;
        }
        assert_eq!(last, 429, "{headers:?}");
    }
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(
            coordinator
                .api(Method::GET, "/v1/meetings", Value::Null)
                .await,
        );
    }
    let limited = answers
        .iter()
        .find(|answer| answer.status == 429)
        .expect("limited by key");
    assert!(limited.headers.contains_key("retry-after"));
    assert_eq!(
        coordinator
            .send(Method::GET, "/healthz", &[], None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn pages_of_any_origin_may_call_but_without_cookies() {
    let coordinator = TestCoordinator::start().await;
    let preflight = [
        ("origin", "https://shop.example".to_owned()),
        ("access-control-request-method", "POST".to_owned()),
        (
            "access-control-request-headers",
            "authorization,content-type".to_owned(),
        ),
    ];
    let path = "/v1/meetings/mtg_00000000/join";
    let answer = coordinator
        .send(Method::OPTIONS, path, &preflight, None)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(
        answer.headers["access-control-allow-headers"],
        "authorization,content-type"
    );
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );
}

#[tokio::test]
async fn every_described_route_answers() {
    let coordinator = TestCoordinator::start().await;
    let document = coordinator
        .send(Method::GET, "/openapi.json", &[], None)
        .await
        .body;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path
            .replace("{id}", "mtg_00000000")
            .replace("{participant}", "pt_00000000");
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = coordinator.send(method.clone(), &path, &[], None).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            assert_ne!(
                answer.body["detail"], "there is no such route",
                "{method} {path}"
            );
        }
    }
    let page = coordinator.send(Method::GET, "/docs", &[], None).await;
    assert!(text(&page.body).contains("/docs.js"));
    let metrics = coordinator.send(Method::GET, "/metrics", &[], None).await;
    assert_eq!(metrics.status, 200);
}
