//! Rules, dashboards and the runbook speak of metrics and alerts that exist.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What others than Sluice export: Prometheus itself, and coturn (`prom_server.c`).
const FOREIGN: [&str; 2] = ["up", "turn_total_allocations"];

/// What a histogram's name is followed by.
const HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Units of Grafana that panels may have.
const UNITS: [&str; 7] = ["short", "percentunit", "s", "Bps", "bytes", "pps", "reqps"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn monitoring(path: &str) -> PathBuf {
    root().join("terraform/modules/monitoring").join(path)
}

/// Names of metrics, and of recorded series, in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(|c| !is_name(c))
        .filter(|word| word.contains("sluice_") || word.contains("sluice:") || is_foreign(word))
        .map(str::to_owned)
        .collect()
}

fn is_foreign(word: &str) -> bool {
    FOREIGN.contains(&word) || word.starts_with("turn_")
}

/// Every metric that is named in code outside of tests, as a whole string.
fn exported() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root().join("crates")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            if path.file_name().unwrap() != "tests" {
                waiting.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(path).unwrap();
            found.extend(
                text.split('"')
                    .filter(|word| word.starts_with("sluice_") && !word.contains(' '))
                    .map(str::to_owned),
            );
        }
    }
    assert!(found.len() > 50, "metrics are found: {found:?}");
    found
}

fn rules() -> String {
    let text = fs::read_to_string(monitoring("files/rules.yml")).unwrap();
    let is_comment = |line: &&str| line.trim_start().starts_with('#');
    text.lines()
        .filter(|line| !is_comment(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn after<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.trim().strip_prefix(key))
        .map(str::trim)
}

fn recorded() -> BTreeSet<String> {
    let rules = rules();
    after(&rules, "- record:").map(str::to_owned).collect()
}

fn check(names: BTreeSet<String>, whence: &str) {
    let (exported, recorded) = (exported(), recorded());
    for name in names {
        let stem = HISTOGRAM.iter().find_map(|end| name.strip_suffix(end));
        let known = exported.contains(&name)
            || stem.is_some_and(|stem| exported.contains(stem))
            || recorded.contains(&name)
            || FOREIGN.contains(&name.as_str());
        assert!(known, "{whence} asks for `{name}`, which nothing exports");
    }
}

#[test]
fn rules_ask_for_metrics_that_exist() {
    let names = names(&rules());
    assert!(names.len() > 30, "{names:?}");
    check(names, "rules.yml");
}

#[test]
fn the_runbook_names_metrics_that_exist() {
    let text = fs::read_to_string(root().join("docs/RUNBOOK.md")).unwrap();
    check(names(&text), "RUNBOOK.md");
}

#[test]
fn every_alert_has_its_paragraph_and_every_paragraph_its_alert() {
    let rules = rules();
    let alerts: Vec<_> = after(&rules, "- alert:").collect();
    let runbook = fs::read_to_string(root().join("docs/RUNBOOK.md")).unwrap();
    let paragraphs: BTreeSet<_> = after(&runbook, "## ").collect();
    assert_eq!(alerts.iter().copied().collect::<BTreeSet<_>>(), paragraphs);
    for (alert, link) in alerts.iter().zip(after(&rules, "runbook:")) {
        let anchor = format!("\"docs/RUNBOOK.md#{}\"", alert.to_lowercase());
        assert_eq!(link, anchor, "{alert} leads to its own paragraph");
    }
    for key in ["severity:", "summary:", "runbook:"] {
        let said = rules.lines().filter(|line| line.contains(key)).count();
        assert_eq!(said, alerts.len(), "every alert has a {key}");
    }
    for paragraph in runbook.split("\n## ").skip(1) {
        let words = paragraph.split_whitespace().count();
        assert!(words >= 20, "says too little: {paragraph}");
    }
}

fn dashboards() -> Vec<(String, Value)> {
    let mut all: Vec<_> = fs::read_dir(monitoring("dashboards"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn every_panel_asks_for_metrics_that_exist_and_has_a_unit() {
    let names_of: Vec<_> = dashboards().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names_of, ["edge", "meeting", "region", "world"]);
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()));
        assert!(dashboard["title"].as_str().unwrap().starts_with("Sluice"));
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
        let variables: Vec<_> = dashboard["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            let whence = format!("{name}.json, `{title}`");
            assert!(!title.is_empty());
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{whence}: id");
            assert!(matches!(
                panel["type"].as_str().unwrap(),
                "stat" | "timeseries"
            ));
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
            assert!(UNITS.contains(&unit), "{whence}: unit {unit}");
            let place = &panel["gridPos"];
            let (x, width) = (place["x"].as_u64().unwrap(), place["w"].as_u64().unwrap());
            assert!(x + width <= 24, "{whence}: beside the grid");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{whence}: no query");
            for target in targets {
                let query = target["expr"].as_str().unwrap();
                let asked = names(query);
                assert!(!asked.is_empty(), "{whence}: `{query}` asks for nothing");
                check(asked, &whence);
                for variable in query.split('$').skip(1) {
                    let end = variable
                        .find(|c: char| !c.is_ascii_alphanumeric())
                        .unwrap_or(variable.len());
                    assert!(variables.contains(&&variable[..end]), "{whence}: {query}");
                }
            }
        }
        assert!(!ids.is_empty(), "{name} has panels");
    }
}
