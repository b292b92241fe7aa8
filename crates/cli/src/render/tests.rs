#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sluice_coordinator::config::CoordinatorSettings;
use sluice_edge::config::EdgeSettings;
use sluice_types::topology::{Source, Topology, load_dir};

use super::disk::Stale;
use super::{CONTROL_PORT, FOLDER, Files, check, render, write};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/golden")
}

fn shipped_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Change what is rendered, and `sluice topology render crates/cli/src/render/golden` writes these
/// anew: read the difference before it is kept.
#[test]
fn the_golden_mesh_is_rendered_as_it_is_kept() {
    for dir in [golden_dir(), shipped_dir()] {
        let files = render(&load_dir(&dir).unwrap());
        assert_eq!(check(&files, &dir).unwrap(), [], "{}", dir.display());
    }
}

#[test]
fn every_edge_loads_its_file() {
    for dir in [golden_dir(), shipped_dir()] {
        let topology = load_dir(&dir).unwrap();
        for (region, edge) in topology.edges() {
            let name = format!("regions/{}/edges/{}.toml", region.name(), edge.id());
            let file = EdgeSettings::from_file(&dir.join(FOLDER).join(name)).unwrap();
            let machine = EdgeSettings {
                advertise: Some(vec!["198.51.100.1".parse().unwrap()]),
                ..EdgeSettings::default()
            };
            // What the file says wins here, so that it is seen whether it says anything.
            let config = file.or(machine).resolve().unwrap();
            assert_eq!((&config.edge, &config.region), (edge.id(), region.name()));
            assert_eq!(config.http_listen.port(), edge.ports().signal());
            assert_eq!(config.backbone_listen.port(), edge.ports().backbone());
            assert_eq!(config.media_port, edge.ports().media());
            assert_eq!(config.ice_tcp_port, Some(edge.ports().ice_tcp()));
            assert_eq!(config.workers, edge.workers());
            assert_eq!(config.capacity, edge.capacity());
            assert!(config.tls.is_some() && !config.dev);
            let known = edge
                .address()
                .map(|address| vec![std::net::IpAddr::V4(address)]);
            assert!(known.is_none_or(|known| known == config.advertise));
        }
    }
}

#[test]
fn the_coordinator_loads_its_file() {
    for dir in [golden_dir(), shipped_dir()] {
        let path = dir.join(FOLDER).join("coordinator.toml");
        let secrets = CoordinatorSettings {
            api_keys: Some(vec![format!("key:{}", "s".repeat(32)).parse().unwrap()]),
            ..CoordinatorSettings::default()
        };
        let defaults = secrets.clone().resolve().unwrap();
        assert_eq!(defaults.control_listen.port(), CONTROL_PORT);
        let config = secrets
            .or(CoordinatorSettings::from_file(&path).unwrap())
            .resolve()
            .unwrap();
        assert_eq!(config.control_listen, defaults.control_listen);
        assert_eq!(config.store, defaults.store);
        assert!(config.tls.is_some());
        assert!(config.page_url.unwrap().starts_with("https://"));
    }
}

/// What compose.yaml mounts is what the mesh beside it renders.
#[test]
fn the_container_mesh_has_the_files_that_compose_mounts() {
    let dir = shipped_dir().join("terraform/container");
    let files = render(&load_dir(&dir.join("mesh")).unwrap());
    let compose = fs::read_to_string(dir.join("compose.yaml")).unwrap();
    let mounted: Vec<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./mesh/terraform/"))
        .filter_map(|rest| rest.split(':').next())
        .collect();
    assert_eq!(mounted.len(), 3);
    for path in mounted {
        let path = Path::new("terraform").join(path);
        assert!(files.contains_key(&path), "{}", path.display());
    }
}

#[test]
fn writing_twice_changes_nothing_and_leftovers_go() {
    let dir = tempfile::tempdir().unwrap();
    let files = render(&load_dir(&golden_dir()).unwrap());
    let written = write(&files, dir.path()).unwrap();
    assert_eq!(written.len(), files.len());
    assert!(written.iter().all(|(_, how)| *how == Stale::Missing));
    assert_eq!(write(&files, dir.path()).unwrap(), []);

    let old = PathBuf::from(FOLDER).join("regions/gone/turnserver.conf");
    fs::create_dir_all(dir.path().join(&old).parent().unwrap()).unwrap();
    fs::write(dir.path().join(&old), "").unwrap();
    let own = dir.path().join("terraform/terraform.tfvars");
    fs::write(&own, "").unwrap();
    let stale = [(old.clone(), Stale::Leftover)];
    assert_eq!(check(&files, dir.path()).unwrap(), stale);
    assert_eq!(write(&files, dir.path()).unwrap(), stale);
    assert!(!dir.path().join(&old).exists());
    assert!(own.exists(), "only the renderer's own folder is tidied");
}

#[test]
fn nothing_rendered_is_a_secret() {
    for (path, text) in render(&load_dir(&golden_dir()).unwrap()) {
        for line in text.lines().filter(|line| line.contains("secret=")) {
            assert_eq!(
                line,
                "static-auth-secret=@TURN_SECRET@",
                "{}",
                path.display()
            );
        }
    }
}

#[derive(Debug, Clone)]
struct Plan {
    edges: Vec<u32>,
    capacity: u32,
    workers: u16,
    media: u16,
    turn_tls: Option<u16>,
    aws: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::collection::vec(1u32..=8, 1..=5),
        1u32..=100_000,
        1u16..=64,
        20_000u16..=60_000,
        prop::option::of(prop_oneof![Just(443), Just(5_349), 1_000u16..=2_000]),
        any::<bool>(),
    )
        .prop_map(|(edges, capacity, workers, media, turn_tls, aws)| Plan {
            edges,
            capacity,
            workers,
            media,
            turn_tls,
            aws,
        })
}

fn mesh(plan: &Plan) -> Topology {
    let names: Vec<_> = (0..plan.edges.len()).map(|n| format!("r{n}")).collect();
    let mut text = format!("name = \"any\"\nregions = {names:?}\n");
    for pair in names.windows(2) {
        text += &format!(
            "[[link]]\nends = {pair:?}\nround_trip_ms = 9\ncapacity_mbps = 9\ncost_per_gb = 0\n"
        );
    }
    let turn = plan.turn_tls.map_or_else(String::new, |tls| {
        format!("[turn]\nhost = \"turn.any.example\"\ntls_port = {tls}\n")
    });
    let cloud = if plan.aws {
        "provider = \"aws\"\nregion = \"eu-west-3\""
    } else {
        "provider = \"hetzner\"\nregion = \"hel1\""
    };
    let regions: Vec<_> = (names.iter().zip(&plan.edges))
        .map(|(name, edges)| {
            let text = format!(
                "display_name = \"{name}\"\nlatitude = 1\nlongitude = 2\n\
                 dns = [\"{name}.any.example\"]\nworkers = {}\ncapacity = {}\nedges = {edges}\n\
                 [ports]\nmedia = {}\n{turn}[cloud]\n{cloud}\n",
                plan.workers, plan.capacity, plan.media
            );
            (format!("regions/{name}.toml"), text)
        })
        .collect();
    let sources: Vec<_> = regions
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let name = "topology.toml";
    Topology::parse(Source { name, text: &text }, &sources).unwrap()
}

fn names_of(files: &Files, other: &Files) -> Vec<(PathBuf, Stale)> {
    let differs = |(path, text): (&PathBuf, &String)| {
        (other.get(path) != Some(text)).then(|| (path.clone(), Stale::Differs))
    };
    files.iter().filter_map(differs).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_same_mesh_makes_the_same_files(plan in plan()) {
        let files = render(&mesh(&plan));
        prop_assert_eq!(&files, &render(&mesh(&plan)));
        let dir = tempfile::tempdir().unwrap();
        write(&files, dir.path()).unwrap();
        prop_assert_eq!(check(&files, dir.path()).unwrap(), []);

        let moved = Plan { media: plan.media + 1, ..plan.clone() };
        let moved = render(&mesh(&moved));
        let stale = check(&moved, dir.path()).unwrap();
        prop_assert_eq!(&stale, &names_of(&moved, &files));
        let edges: usize = plan.edges.iter().map(|&edges| edges as usize).sum();
        prop_assert_eq!(stale.len(), edges + 1, "each edge's file, and Terraform's variables");
    }

    #[test]
    fn every_rendered_text_parses(plan in plan()) {
        for (path, text) in render(&mesh(&plan)) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {
                    serde_json::from_str::<serde_json::Value>(&text).unwrap();
                }
                Some("toml") => {
                    text.parse::<toml_edit::DocumentMut>().unwrap();
                }
                Some("conf") => for line in text.lines() {
                    let key = line.split('=').next().unwrap_or_default();
                    let is_key = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                    prop_assert!(line.starts_with('#') || is_key, "{}", line);
                },
                Some("zone") => for line in text.lines().filter(|line| !line.starts_with(';')) {
                    prop_assert!(line.is_empty() || line.contains(" IN A "), "{}", line);
                },
                _ => prop_assert!(false, "{}", path.display()),
            }
        }
    }
}
