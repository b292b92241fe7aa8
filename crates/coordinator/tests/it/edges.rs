use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::mesh::control::{CoordinatorMessage, RoomPlan};
use sluice_types::room::LeaveReason;

use crate::support::{FakeEdge, TestCoordinator, bearer, text, token};

async fn plan(edge: &mut FakeEdge, wanted: impl Fn(&RoomPlan) -> bool) -> RoomPlan {
    let message = edge
        .until(|message| matches!(message, CoordinatorMessage::Plan(plan) if wanted(plan)))
        .await;
    match message {
        CoordinatorMessage::Plan(plan) => plan,
        other => unreachable!("only plans are wanted: {other:?}"),
    }
}

fn roots(plan: &RoomPlan) -> BTreeSet<&str> {
    plan.trees.iter().map(|tree| tree.root.as_str()).collect()
}

async fn refused(edge: &mut FakeEdge) -> String {
    match edge.until(|_| true).await {
        CoordinatorMessage::Refuse { reason } => reason,
        other => unreachable!("it is refused, not told {other:?}"),
    }
}

#[tokio::test]
async fn only_who_is_who_it_says_is_registered() {
    let coordinator = TestCoordinator::start().await;
    let reason = refused(&mut coordinator.hello("east-1", "east", "west-1").await).await;
    assert!(reason.contains("certificate"), "{reason}");
    let reason = refused(&mut coordinator.hello("west-1", "east", "west-1").await).await;
    assert!(reason.contains("belongs to region `west`"), "{reason}");
    let reason = refused(&mut coordinator.hello("north-1", "north", "north-1").await).await;
    assert!(reason.contains("no edge `north-1`"), "{reason}");
    assert_eq!(
        coordinator
            .send(Method::GET, "/readyz", &[], None)
            .await
            .status,
        503
    );
    let mut edge = coordinator.hello("west-1", "west", "west-1").await;
    let welcome = edge.until(|_| true).await;
    assert!(
        matches!(&welcome, CoordinatorMessage::Welcome { mesh, jwks, heartbeat_ms: 200, .. }
            if mesh == "test" && jwks.contains("Ed25519")),
        "{welcome:?}"
    );
    assert_eq!(
        coordinator
            .send(Method::GET, "/readyz", &[], None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_room_is_planned_over_the_edges_that_need_it_and_those_between() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let mut middle = coordinator.edge("middle").await;
    let mut east = coordinator.edge("east").await;
    let everybody = |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Directory { edges } if edges.len() == 3);
    west.until(everybody).await;
    let meeting = coordinator.meeting(json!({})).await;
    west.demand(&meeting["id"], 1).await;
    let alone = plan(&mut west, |_| true).await;
    assert_eq!((roots(&alone), alone.epoch.0), (["west-1"].into(), 1));
    east.demand(&meeting["id"], 2).await;
    for edge in [&mut west, &mut middle, &mut east] {
        let both = plan(edge, |plan| plan.trees.len() == 2).await;
        assert_eq!(roots(&both), ["east-1", "west-1"].into());
        assert!(both.epoch > alone.epoch);
        let tree = both
            .trees
            .iter()
            .find(|tree| tree.root.as_str() == "west-1")
            .expect("a tree");
        let ways: Vec<_> = tree
            .branches
            .iter()
            .map(|b| (b.edge.as_str(), b.parent.as_str()))
            .collect();
        assert_eq!(ways, [("middle-1", "west-1"), ("east-1", "middle-1")]);
    }
    let headers = [bearer(&token("watch"))];
    let state = coordinator
        .send(Method::GET, "/v1/ops/state", &headers, None)
        .await
        .body;
    assert_eq!(state["rooms"][0]["participants"], 3);

    // The line is lost and comes back: what is in force is told again.
    drop(middle);
    let mut middle = coordinator.edge("middle").await;
    let again = plan(&mut middle, |_| true).await;
    assert_eq!(again.trees.len(), 2);

    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    assert_eq!(
        coordinator
            .api(Method::DELETE, &path, Value::Null)
            .await
            .status,
        204
    );
    let is_end = |message: &CoordinatorMessage| {
        matches!(
            message,
            CoordinatorMessage::End {
                reason: Some(LeaveReason::MeetingEnded),
                ..
            }
        )
    };
    for edge in [&mut west, &mut middle, &mut east] {
        edge.until(is_end).await;
    }
    // An edge that could not hear of it is told when it asks for the room again.
    west.demand(&meeting["id"], 0).await;
    west.demand(&meeting["id"], 1).await;
    west.until(is_end).await;
}

#[tokio::test]
async fn a_silent_edge_is_dropped_and_rooms_go_on_without_it() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let mut middle = coordinator.edge("middle").await;
    let meeting = coordinator.meeting(json!({})).await;
    west.demand(&meeting["id"], 1).await;
    middle.demand(&meeting["id"], 1).await;
    plan(&mut west, |plan| plan.trees.len() == 2).await;
    // `west` beats on, `middle` does not.
    let without = async {
        let dropped = |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Directory { edges } if edges.len() == 1);
        loop {
            west.beat().await;
            let soon = std::time::Duration::from_millis(200);
            if let Ok(message) = tokio::time::timeout(soon, west.until(|_| true)).await
                && dropped(&message)
            {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, without)
        .await
        .expect("dropped");
    let headers = [bearer(&token("watch"))];
    let state = coordinator
        .send(Method::GET, "/v1/ops/state", &headers, None)
        .await
        .body;
    assert_eq!(state["edges"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn epochs_rise_over_a_restart() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let mut west = coordinator.edge("west").await;
    west.demand(&meeting["id"], 1).await;
    let before = plan(&mut west, |_| true).await;
    drop(west);
    let coordinator = coordinator.restart().await;
    let mut west = coordinator.edge("west").await;
    west.demand(&meeting["id"], 1).await;
    let after = plan(&mut west, |_| true).await;
    assert_eq!(after.trees, before.trees);
    assert!(
        after.epoch > before.epoch,
        "{} after {}",
        after.epoch,
        before.epoch
    );
}

#[tokio::test]
async fn a_plan_is_explained_to_those_who_run_the_mesh() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let mut middle = coordinator.edge("middle").await;
    let mut east = coordinator.edge("east").await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}/explain", text(&meeting["id"]));
    let ask = async |key: &str| {
        let headers = [bearer(&token(key))];
        coordinator.send(Method::GET, &path, &headers, None).await
    };
    assert_eq!(ask("acme").await.status, 403);
    assert_eq!(ask("watch").await.status, 404, "nobody is in");
    west.demand(&meeting["id"], 1).await;
    east.demand(&meeting["id"], 1).await;
    let both = plan(&mut east, |plan| plan.trees.len() == 2).await;
    middle.demand(&meeting["id"], 1).await;
    let all = plan(&mut east, |plan| plan.trees.len() == 3).await;
    let explained = ask("watch").await.body;
    assert_eq!(explained["epoch"], all.epoch.0);
    assert_eq!(explained["broken"], json!([]));
    let trees = explained["trees"].as_array().expect("trees");
    let tree = trees.iter().find(|tree| tree["root"] == "west-1");
    let edges = tree.expect("a tree")["edges"].as_array().expect("edges");
    let far = edges.iter().find(|edge| edge["edge"] == "east-1");
    let far = far.expect("the far end");
    for (key, value) in [
        ("path", json!(["west-1", "middle-1", "east-1"])),
        ("round_trip_us", json!(170_000)),
        ("measured", json!(false)),
        ("stretch_permille", json!(1_000)),
        ("micro_usd_per_gb", json!(50_000)),
        ("reason", json!("only-one")),
        ("since", json!(both.epoch.0)),
        ("backup", json!(null)),
    ] {
        assert_eq!(far[key], value, "{key} in {far}");
    }
    assert!(text(&far["text"]).starts_with("west-1 > middle-1 > east-1: 170 ms declared"));
}
