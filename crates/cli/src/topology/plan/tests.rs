#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use sluice_types::topology::{Source, load_dir};

use super::*;

fn shipped() -> Topology {
    load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// The shipped mesh without São Paulo, and with a faster link.
fn smaller() -> Topology {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(dir.join("topology.toml")).unwrap();
    let (head, links) = text.split_once("[[link]]").unwrap();
    let links = links.split("[[link]]");
    let kept = links.filter(|link| !link.contains("saopaulo"));
    let kept: String = kept.map(|link| format!("[[link]]{link}")).collect();
    let mesh = format!("{head}{kept}")
        .replace("    \"saopaulo\",\n", "")
        .replace("round_trip_ms = 80", "round_trip_ms = 76");
    let files = std::fs::read_dir(dir.join("regions")).unwrap();
    let files: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| !path.ends_with("saopaulo.toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), text)
        })
        .collect();
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let mesh = Source {
        name: "topology.toml",
        text: &mesh,
    };
    Topology::parse(mesh, &sources).unwrap()
}

const SCENE: Scene = Scene {
    people: 200,
    seed: 1,
    hours_a_month: 176,
};

#[test]
fn tables_say_what_changes_for_files_people_and_links() {
    let plan = Plan::new(&shipped(), &smaller(), SCENE);
    let screen = Screen {
        width: 120,
        colours: false,
    };
    let mut out = Vec::new();
    text::plan(&mut out, screen, &plan).unwrap();
    let out = String::from_utf8(out).unwrap();
    for line in [
        "- region saopaulo",
        "- edge saopaulo-1",
        "- link saopaulo - virginia",
        "~ link paris - virginia",
        "    round_trip_ms 80 ms -> 76 ms",
        "0 added, 4 removed, 1 changed",
        "200 people in meetings at once, 176 hours a month, seed 1",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    for part in [
        "km to their edge, 90 % within",
        "USD a month for links",
        "mouth to ear",
        "if any one fails, after",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(plan.after.distance_km.p99 > plan.before.distance_km.p99);
}

#[test]
fn programs_get_the_same_as_json_and_no_change_says_so() {
    let plan = Plan::new(&shipped(), &shipped(), SCENE);
    let value = json::plan(&plan);
    assert_eq!(value["before"], value["after"]);
    assert_eq!(value["changes"], serde_json::json!([]));
    assert_eq!(value["after"]["served"], 200);
    assert_eq!(
        value["after"]["links"].as_array().map(Vec::len),
        Some(shipped().links().len() * 2)
    );
    let screen = Screen {
        width: 80,
        colours: false,
    };
    let mut out = Vec::new();
    text::plan(&mut out, screen, &plan).unwrap();
    assert!(out.starts_with(b"Nothing changes."));
}
