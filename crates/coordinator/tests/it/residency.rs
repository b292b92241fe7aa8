//! Where media may be: of the mesh's policy and of meetings' settings.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::topology::TopologyFiles;

use crate::support::{Answer, TestCoordinator, bearer, json_type, text, token};

const FROM_FRANCE: &str = "?as=193.51.193.150";
const FROM_JAPAN: &str = "?as=133.11.0.1";
const FROM_AMERICA: &str = "?as=128.112.128.15";

async fn join(coordinator: &TestCoordinator, meeting: &Value, from: &str) -> Answer {
    let key = json!({ "host_key": meeting["host_key"] });
    coordinator.join(meeting, from, key).await
}

async fn create(coordinator: &TestCoordinator, settings: Value) -> Answer {
    let body = json!({ "settings": settings });
    coordinator.api(Method::POST, "/v1/meetings", body).await
}

#[tokio::test]
async fn settings_name_regions_and_leave_one() {
    let coordinator =
        TestCoordinator::start_on("[policy]\nregions_denied = [\"east\"]\n", |_| {}).await;
    for (settings, field, value, allowed) in [
        (
            json!({ "regions_allowed": ["west", "wset"] }),
            "settings.regions_allowed[1]",
            "wset",
            "west, middle, east",
        ),
        (
            json!({ "regions_denied": ["moon"] }),
            "settings.regions_denied[0]",
            "moon",
            "west, middle, east",
        ),
        (
            json!({ "regions_allowed": ["east"] }),
            "settings.regions_allowed",
            "[east]",
            "what leaves at least one of west, middle",
        ),
        (
            json!({ "regions_denied": ["west", "middle"] }),
            "settings.regions_denied",
            "[west, middle]",
            "what leaves at least one of west, middle",
        ),
    ] {
        let answer = create(&coordinator, settings).await;
        let expected = json!([{ "field": field, "value": value, "allowed": allowed }]);
        assert_eq!((answer.status, &answer.body["errors"]), (422, &expected));
    }
    let malformed = create(&coordinator, json!({ "regions_allowed": ["We st"] })).await;
    assert_eq!(
        malformed.body["errors"][0]["field"],
        "settings.regions_allowed[0]"
    );
    let made = create(&coordinator, json!({ "regions_allowed": ["west"] })).await;
    assert_eq!(made.body["settings"]["regions_allowed"], json!(["west"]));
    let path = format!("/v1/meetings/{}", text(&made.body["id"]));
    let patch = json!({ "settings": { "regions_allowed": null, "regions_denied": ["west"] } });
    let changed = coordinator.api(Method::PATCH, &path, patch).await;
    assert_eq!(changed.body["settings"]["regions_allowed"], Value::Null);
    assert_eq!(changed.body["settings"]["regions_denied"], json!(["west"]));
}

#[tokio::test]
async fn people_go_where_their_meeting_may_be_and_nowhere_else() {
    let coordinator =
        TestCoordinator::start_on("[policy]\nregions_denied = [\"east\"]\n", |_| {}).await;
    let west = coordinator.edge("west").await;
    let _east = coordinator.edge("east").await;
    let meeting = coordinator.meeting(json!({})).await;
    let answer = join(&coordinator, &meeting, FROM_JAPAN).await;
    assert_eq!(answer.body["region"], "west", "the policy denies the east");
    assert_eq!(answer.body["candidates"], json!([]));
    let elsewhere = coordinator
        .meeting(json!({ "regions_allowed": ["middle"] }))
        .await;
    let refused = join(&coordinator, &elsewhere, FROM_JAPAN).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(refused.body["title"], "no allowed edge");
    let detail = text(&refused.body["detail"]);
    for reason in [
        "region `east` may not be used: the region is among the denied ones",
        "region `west` may not be used: the region is not among the allowed ones",
    ] {
        assert!(detail.contains(reason), "{detail}");
    }
    drop(west);
}

#[tokio::test]
async fn transit_keeps_to_the_rules_and_what_is_impossible_is_refused() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let _middle = coordinator.edge("middle").await;
    let mut east = coordinator.edge("east").await;
    let through = json!({ "regions_denied": ["middle"] });
    let meeting = coordinator.meeting(through.clone()).await;
    let first = join(&coordinator, &meeting, FROM_AMERICA).await;
    assert_eq!(first.body["region"], "west");
    // Everybody else goes to the west too, since no way from there avoids the middle.
    for from in [FROM_FRANCE, FROM_JAPAN] {
        let answer = join(&coordinator, &meeting, from).await;
        assert_eq!(answer.body["region"], "west", "{}", answer.body);
    }
    // Edges that ask all the same get trees that do not pass the middle.
    west.demand(&meeting["id"], 1).await;
    east.demand(&meeting["id"], 1).await;
    let both = |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Plan(plan) if plan.trees.len() == 2);
    let CoordinatorMessage::Plan(plan) = east.until(both).await else {
        unreachable!("a plan is wanted")
    };
    assert!(plan.trees.iter().all(|tree| tree.branches.is_empty()));

    // A meeting that is in the west and in the east cannot deny the middle any more.
    let open = coordinator.meeting(json!({})).await;
    for (from, region) in [(FROM_AMERICA, "west"), (FROM_JAPAN, "east")] {
        assert_eq!(join(&coordinator, &open, from).await.body["region"], region);
    }
    let path = format!("/v1/meetings/{}", text(&open["id"]));
    let patch = json!({ "settings": through });
    let refused = coordinator.api(Method::PATCH, &path, patch).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(refused.body["title"], "participants elsewhere");
    let detail = text(&refused.body["detail"]);
    assert!(
        detail.contains("leads through a region that may not be used"),
        "{detail}"
    );
    let patch = json!({ "settings": { "regions_allowed": ["west", "middle"] } });
    let refused = coordinator.api(Method::PATCH, &path, patch).await;
    assert!(text(&refused.body["detail"]).contains("region `east` may not be used"));
    let kept = coordinator.api(Method::GET, &path, Value::Null).await.body;
    assert_eq!(kept["settings"]["regions_denied"], Value::Null);
}

#[tokio::test]
async fn who_is_in_a_region_that_is_denied_by_force_has_to_go_to_where_the_meeting_may_be() {
    let coordinator = TestCoordinator::start().await;
    let _west = coordinator.edge("west").await;
    let _middle = coordinator.edge("middle").await;
    let mut east = coordinator.edge("east").await;
    let meeting = coordinator.meeting(json!({})).await;
    for (from, region) in [(FROM_FRANCE, "middle"), (FROM_JAPAN, "east")] {
        let joined = join(&coordinator, &meeting, from).await;
        assert_eq!(joined.body["region"], region);
    }
    east.demand(&meeting["id"], 1).await;
    let planned = |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Plan(_));
    east.until(planned).await;

    let mut files = TopologyFiles::read(coordinator.dir()).expect("files");
    let mesh = &files.0["topology.toml"];
    let mesh = mesh.replace(
        "[coordinator]",
        "[policy]\nregions_denied = [\"east\"]\n\n[coordinator]",
    );
    files.0.insert("topology.toml".to_owned(), mesh);
    for (force, status) in [(false, 409), (true, 200)] {
        let headers = [json_type(), bearer(&token("watch"))];
        let body = json!({ "files": files, "force": force }).to_string();
        let answer = coordinator
            .send(Method::POST, "/v1/ops/topology", &headers, Some(body))
            .await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let vacate =
        |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Vacate { .. });
    let CoordinatorMessage::Vacate {
        room,
        candidates,
        reason,
    } = east.until(vacate).await
    else {
        unreachable!("that is wanted")
    };
    assert_eq!(room.as_str(), text(&meeting["id"]));
    assert_eq!(
        reason,
        "region `east` may not be used: the region is among the denied ones"
    );
    assert_eq!(candidates.len(), 2);
    assert!(candidates[0].contains("middle"), "{candidates:?}");
    assert!(candidates[1].contains("west"), "{candidates:?}");
    // That somebody is still where nobody may be keeps nobody out elsewhere.
    let joined = join(&coordinator, &meeting, FROM_JAPAN).await;
    assert_eq!(joined.body["region"], "middle", "{}", joined.body);
    // Nor may somebody come with a token of before, whom the edge tells of when it is back.
    drop(east);
    let mut east = coordinator.edge("east").await;
    east.demand(&meeting["id"], 1).await;
    east.until(vacate).await;
}
