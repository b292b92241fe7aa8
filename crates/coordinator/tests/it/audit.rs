//! What is written down of those with power, and what they see live.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{PATIENCE, TestCoordinator, bearer, text, token};

async fn entries(coordinator: &TestCoordinator) -> Vec<Value> {
    let ops = [bearer(&token("watch"))];
    let answer = coordinator
        .send(Method::GET, "/v1/ops/audit", &ops, None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["entries"].as_array().expect("a list").clone()
}

fn told(entry: &Value) -> (Value, String, u64) {
    let deed = format!("{} {}", text(&entry["method"]), text(&entry["path"]));
    (
        entry["key"].clone(),
        deed,
        entry["status"].as_u64().expect("a status"),
    )
}

#[tokio::test]
async fn who_did_what_from_where_is_written_down_with_what_came_of_it() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    coordinator.api(Method::GET, &path, Value::Null).await;
    coordinator.join(&meeting, "", json!({})).await;
    let other = [bearer(&token("other"))];
    coordinator.send(Method::DELETE, &path, &other, None).await;
    coordinator.api(Method::DELETE, &path, Value::Null).await;
    coordinator
        .send(Method::GET, "/v1/ops/state", &other, None)
        .await;
    coordinator
        .send(Method::GET, "/v1/ops/state", &[], None)
        .await;
    // Whoever may look leaves nothing.
    let ops = [bearer(&token("watch"))];
    let looked = coordinator
        .send(Method::GET, "/v1/ops/state", &ops, None)
        .await;
    assert_eq!(looked.status, 200);
    let expected = [
        (Value::Null, "GET /v1/ops/state".to_owned(), 401),
        (json!("other"), "GET /v1/ops/state".to_owned(), 403),
        (json!("acme"), format!("DELETE {path}"), 204),
        (json!("other"), format!("DELETE {path}"), 404),
        (json!("acme"), "POST /v1/meetings".to_owned(), 201),
    ];
    let found = entries(&coordinator).await;
    assert_eq!(found.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(
        found.iter().all(|entry| entry["from"] == "127.0.0.1"),
        "{found:?}"
    );
    assert_eq!(found[2]["tenant"], "acme");
    // It is on the disk, and numbers go on.
    let last = found[0]["seq"].as_u64().expect("a number");
    let coordinator = coordinator.restart().await;
    let again = entries(&coordinator).await;
    assert_eq!(again.iter().map(told).collect::<Vec<_>>(), expected);
    coordinator.meeting(json!({})).await;
    let after = entries(&coordinator).await;
    assert_eq!(after[0]["seq"].as_u64(), Some(last + 1));
}

#[tokio::test]
async fn those_who_run_the_mesh_see_it_live_and_nobody_else_does() {
    let coordinator = TestCoordinator::start().await;
    for (headers, status) in [(vec![], 401), (vec![bearer(&token("other"))], 403)] {
        let answer = coordinator
            .send(Method::GET, "/v1/ops/live", &headers, None)
            .await;
        assert_eq!(answer.status, status);
    }
    let mut west = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let id = text(&meeting["id"]).to_owned();
    let mut live = coordinator.live(&format!("?room={id}")).await;
    let map = live.until("map", |_| true).await;
    assert_eq!(map["mesh"], "test");
    assert_eq!(map["regions"][0]["region"], "west");
    assert_eq!(map["links"][0]["ends"], json!(["west", "middle"]));
    live.until("happening", |told| {
        told["kind"] == "registered" && told["edge"] == "west-1"
    })
    .await;
    let state = live.until("state", |_| true).await;
    assert_eq!(state["room"], Value::Null);
    west.demand(&meeting["id"], 2).await;
    live.until("happening", |told| {
        told["kind"] == "planned" && told["room"] == *id
    })
    .await;
    let state = live
        .until("state", |state| state["room"] != Value::Null)
        .await;
    assert_eq!(state["participants"], 2);
    assert_eq!(state["rooms"][0]["room"], *id);
    assert_eq!(state["room"]["trees"][0]["root"], "west-1");
    coordinator
        .api(Method::DELETE, &format!("/v1/meetings/{id}"), Value::Null)
        .await;
    live.until("happening", |told| {
        told["kind"] == "ended" && told["room"] == *id
    })
    .await;
    // Only so many watch at once; who stops makes room.
    let mut watching = vec![live];
    let ops = [bearer(&token("watch"))];
    for _ in watching.len()..32 {
        watching.push(coordinator.live("").await);
    }
    let refused = coordinator
        .send(Method::GET, "/v1/ops/live", &ops, None)
        .await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    drop(watching);
    let again = async {
        while coordinator.live_status().await != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("room again");
}
