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
    people: 2_000,
    seed: 1,
    days_a_month: 22,
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
        &*text::scene(&plan),
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    assert!(text::scene(&plan).starts_with("2000 people in meetings at once in the busiest hour"));
    assert!(plan.moves.people > 0, "whoever was at saopaulo");
    for part in [
        " to another edge, in ",
        "00:00 UTC",
        "km to their edge, 95 % within",
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
    assert_eq!(value["after"]["served"], SCENE.people);
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

#[test]
fn the_report_is_a_page_of_its_own_with_maps_and_plots() {
    let (before, after) = (shipped(), smaller());
    let plan = Plan::new(&before, &after, SCENE);
    let page = html::page(&plan, &before, &after);
    assert!(page.starts_with("<!doctype html>"));
    // Two maps, and a plot of distances, round trips, the day, links and cost each.
    assert_eq!(page.matches("<figure").count(), 7, "{page}");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for part in [
        "- region saopaulo",
        "paris",
        "mouth to ear",
        "if any one fails",
        "round_trip_ms 80 ms -&gt; 76 ms",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // It needs nothing from anywhere.
    for outside in ["src=", "href=", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
