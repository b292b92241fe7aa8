//! Another topology while the mesh runs: by the API and by the files, with the same rules.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::topology::TopologyFiles;

use crate::support::{Answer, FakeEdge, TestCoordinator, bearer, json_type, text, token};

const PATH: &str = "/v1/ops/topology";

async fn ask(coordinator: &TestCoordinator, method: Method, path: &str, body: Value) -> Answer {
    let headers = [json_type(), bearer(&token("watch"))];
    let body = (!body.is_null()).then(|| body.to_string());
    coordinator.send(method, path, &headers, body).await
}

async fn apply(coordinator: &TestCoordinator, files: &TopologyFiles, force: bool) -> Answer {
    let body = json!({ "files": files, "force": force });
    ask(coordinator, Method::POST, PATH, body).await
}

/// The mesh with a region `north` more, linked with `middle`.
fn with_north(coordinator: &TestCoordinator) -> TopologyFiles {
    let mut files = TopologyFiles::read(coordinator.dir()).expect("files");
    let north = files.0["regions/east.toml"].replace("east", "north");
    files.0.insert("regions/north.toml".to_owned(), north);
    let mesh = &files.0["topology.toml"];
    let mesh = mesh.replacen("\"east\"]\n", "\"east\", \"north\"]\n", 1)
        + "\n[[link]]\nends = [\"middle\", \"north\"]\nround_trip_ms = 20\ncapacity_mbps = 1000\ncost_per_gb = 0.01\n";
    files.0.insert("topology.toml".to_owned(), mesh);
    files
}

fn lines(value: &Value) -> Vec<&str> {
    let lines = value.as_array().expect("lines");
    lines.iter().map(text).collect()
}

async fn directory(edge: &mut FakeEdge, regions: &[&str]) {
    edge.until(|message| match message {
        CoordinatorMessage::Directory { edges } => {
            let found: Vec<_> = edges.iter().map(|edge| edge.region.as_str()).collect();
            found == regions
        }
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn a_region_more_is_let_in_without_a_restart_and_edges_hear_of_it() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    let mut early = coordinator.hello("north-1", "north", "north-1").await;
    let refused = early.until(|_| true).await;
    assert!(matches!(refused, CoordinatorMessage::Refuse { .. }));

    let files = with_north(&coordinator);
    let dry = json!({ "files": files, "dry_run": true });
    let dry = ask(&coordinator, Method::POST, PATH, dry).await;
    assert_eq!((dry.status, &dry.body["applied"]), (200, &json!(false)));
    let applied = apply(&coordinator, &files, false).await;
    assert_eq!(applied.status, 200, "{}", applied.body);
    assert_eq!(applied.body["version"], 2);
    assert_eq!(
        lines(&applied.body["changes"]),
        [
            "region north added",
            "edge north-1 added",
            "link middle - north added"
        ]
    );
    assert_eq!(applied.body["changes"], dry.body["changes"]);
    let _north = coordinator.edge("north").await;
    directory(&mut west, &["north", "west"]).await;
    let again = apply(&coordinator, &files, false).await;
    assert_eq!(
        (&again.body["version"], &again.body["changes"]),
        (&json!(2), &json!([]))
    );
}

/// Until the edge hears that repairs cost at most this much of the media, in thousandths.
async fn repairs(edge: &mut FakeEdge, to: &str, permille: u16) {
    edge.until(|message| match message {
        CoordinatorMessage::Repairs { overheads } => overheads
            .iter()
            .any(|(region, overhead)| region.as_str() == to && overhead.as_permille() == permille),
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn edges_hear_what_repairs_on_their_links_may_cost_and_when_it_changes() {
    let coordinator = TestCoordinator::start().await;
    let mut west = coordinator.edge("west").await;
    repairs(&mut west, "middle", 100).await;
    let mut files = TopologyFiles::read(coordinator.dir()).expect("files");
    let mesh = &files.0["topology.toml"];
    let mesh = mesh.replace("[[link]]\n", "[[link]]\nrepair_overhead_percent = 30\n");
    files.0.insert("topology.toml".to_owned(), mesh);
    assert_eq!(apply(&coordinator, &files, false).await.status, 200);
    repairs(&mut west, "middle", 300).await;
    let mut middle = coordinator.edge("middle").await;
    repairs(&mut middle, "west", 300).await;
}

#[tokio::test]
async fn a_wrong_topology_changes_nothing_and_says_why() {
    let coordinator = TestCoordinator::start().await;
    let mut files = TopologyFiles::read(coordinator.dir()).expect("files");
    let good = files.clone();
    let mesh = files.0["topology.toml"].replace("round_trip_ms = 80", "round_trip_ms = -80");
    files.0.insert("topology.toml".to_owned(), mesh);
    files
        .0
        .insert("regions/west.toml".to_owned(), "latitude = 95.0".to_owned());
    let refused = apply(&coordinator, &files, true).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let errors = refused.body["errors"].as_array().expect("errors");
    for (field, value) in [("topology.toml:13:", "-80"), ("regions/west.toml:1:", "95")] {
        let named = errors.iter().any(|error| {
            text(&error["field"]).starts_with(field) && text(&error["value"]).starts_with(value)
        });
        assert!(named, "{field} {value} in {errors:?}");
    }
    let mut strange = good.clone();
    strange.0.insert("../passwd".to_owned(), String::new());
    assert_eq!(apply(&coordinator, &strange, true).await.status, 422);
    let mut renamed = good.clone();
    let mesh = good.0["topology.toml"].replace("\"test\"", "\"other\"");
    renamed.0.insert("topology.toml".to_owned(), mesh);
    let refused = apply(&coordinator, &renamed, true).await;
    assert!(
        text(&refused.body["detail"]).contains("called `test`"),
        "{}",
        refused.body
    );
    let history = ask(&coordinator, Method::GET, PATH, Value::Null).await.body;
    assert_eq!(history["versions"].as_array().map(Vec::len), Some(1));
    let headers = [json_type(), bearer(&token("acme"))];
    let body = Some(json!({ "files": good }).to_string());
    let tenant = coordinator.send(Method::POST, PATH, &headers, body).await;
    assert_eq!(tenant.status, 403, "those who run the mesh alone");
}

#[tokio::test]
async fn a_live_region_is_not_cut_off_but_by_force_and_what_was_can_be_again() {
    let coordinator = TestCoordinator::start().await;
    let with_north = with_north(&coordinator);
    let without = TopologyFiles::read(coordinator.dir()).expect("files");
    assert_eq!(apply(&coordinator, &with_north, false).await.status, 200);
    let mut north = coordinator.edge("north").await;
    let mut middle = coordinator.edge("middle").await;
    let meeting = coordinator.meeting(json!({})).await;
    north.demand(&meeting["id"], 2).await;
    middle.demand(&meeting["id"], 1).await;
    let is_planned = |roots: usize| move |message: &CoordinatorMessage| matches!(message, CoordinatorMessage::Plan(plan) if plan.trees.len() == roots);
    middle.until(is_planned(2)).await;

    let refused = apply(&coordinator, &without, false).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let why = text(&refused.body["detail"]);
    assert!(
        why.contains("region north is gone, with 2 participants"),
        "{why}"
    );
    let history = ask(&coordinator, Method::GET, PATH, Value::Null).await.body;
    assert_eq!(history["in_force"], 2, "nothing changed");

    let forced = apply(&coordinator, &without, true).await;
    assert_eq!(forced.status, 200, "{}", forced.body);
    assert_eq!(lines(&forced.body["cuts"]).len(), 1);
    middle.until(is_planned(1)).await;

    let path = format!("{PATH}/rollback");
    let unknown = ask(&coordinator, Method::POST, &path, json!({ "version": 9 })).await;
    assert_eq!(unknown.status, 404);
    let back = ask(&coordinator, Method::POST, &path, json!({ "version": 2 })).await;
    assert_eq!((back.status, &back.body["version"]), (200, &json!(4)));
    let _north = coordinator.edge("north").await;
    let history = ask(&coordinator, Method::GET, PATH, Value::Null).await.body;
    let newest = &history["versions"][0];
    assert_eq!(newest["by"], "API key watch, back to 2");
    let files = ask(&coordinator, Method::GET, &format!("{PATH}/4"), Value::Null).await;
    assert_eq!(files.body["files"], json!(with_north));
}

fn write(dir: &Path, files: &TopologyFiles) {
    for (path, text) in &files.0 {
        std::fs::write(dir.join(path), text).expect("written");
    }
}

/// Waits for a version to be in force.
async fn in_force(coordinator: &TestCoordinator, version: u64) {
    let looking = async {
        loop {
            let history = ask(coordinator, Method::GET, PATH, Value::Null).await.body;
            if history["in_force"] == version {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let patience = 6 * crate::support::PATIENCE;
    tokio::time::timeout(patience, looking)
        .await
        .expect("in force");
}

#[tokio::test]
async fn changed_files_are_taken_as_a_whole_or_not_at_all_and_a_restart_keeps_what_is_in_force() {
    let coordinator = TestCoordinator::start().await;
    let good = with_north(&coordinator);
    // A file alone, which its mesh does not list, is refused; with the mesh's it is taken.
    let north = &good.0["regions/north.toml"];
    std::fs::write(coordinator.dir().join("regions/north.toml"), north).expect("written");
    write(coordinator.dir(), &good);
    in_force(&coordinator, 2).await;
    let faulty = TopologyFiles([("topology.toml".to_owned(), "name = 3".to_owned())].into());
    write(coordinator.dir(), &faulty);
    let restarted = coordinator.restart().await;
    let history = ask(&restarted, Method::GET, PATH, Value::Null).await.body;
    assert_eq!(
        history["in_force"], 2,
        "the store knows it, whatever the files say"
    );
    let _north = restarted.edge("north").await;
    // Files that were changed while nobody looked are taken after the start.
    let mut other = good.clone();
    let mesh = good.0["topology.toml"].replace("round_trip_ms = 20", "round_trip_ms = 30");
    other.0.insert("topology.toml".to_owned(), mesh);
    write(restarted.dir(), &other);
    let restarted = restarted.restart().await;
    in_force(&restarted, 3).await;
}
