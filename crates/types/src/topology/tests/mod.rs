#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod changes;
mod rules;

use proptest::prelude::*;

use super::*;
use crate::units::{Bitrate, Millis};

const MESH: &str = r#"name = "test"
regions = ["paris", "tokyo", "lima"]

[policy]
latency_stretch = 1.5
hops_max = 3

[coordinator]
public_url = "https://meet.example.net"
heartbeat_ms = 500
fallback_region = "tokyo"

[[link]]
ends = ["paris", "tokyo"]
round_trip_ms = 210
capacity_mbps = 1000
cost_per_gb = { paris = 0.02, tokyo = 0.09 }
loss = 0.001

[[link]]
ends = ["tokyo", "lima"]
round_trip_ms = 240
capacity_mbps = 500
cost_per_gb = 0.1
"#;

const PARIS: &str = r#"display_name = "Paris"
latitude = 48.8566
longitude = 2.3522
dns = ["paris.example.net"]
dev_client = "80.10.246.2"
workers = 4
edges = 2

[ports]
media = 40000
backbone = 7443

[turn]
host = "turn.paris.example.net"
"#;

const TOKYO: &str = r#"display_name = "Tokyo"
latitude = 35.6762
longitude = 139.6503
dns = ["tokyo.example.net", "jp.example.net"]
capacity = 50

[[edges]]
host = "203.0.113.7"

[[edges]]
name = "tokyo-big"
capacity = 90
"#;

const LIMA: &str = r#"display_name = "Lima"
latitude = -12
longitude = -77.0428
dns = ["lima.example.net"]
edges = [{ host = "lima.example.net" }]
"#;

const FILES: [(&str, &str); 4] = [
    ("topology.toml", MESH),
    ("regions/lima.toml", LIMA),
    ("regions/paris.toml", PARIS),
    ("regions/tokyo.toml", TOKYO),
];

fn parse(files: &[(&str, &str)]) -> Result<Topology, Vec<Fault>> {
    let sources: Vec<_> = files
        .iter()
        .map(|&(name, text)| Source { name, text })
        .collect();
    Topology::parse(sources[0], &sources[1..])
}

/// The faults after `from` became `to` in the file.
fn faults_of(file: &str, from: &str, to: &str) -> Vec<Fault> {
    let changed = FILES.map(|(name, text)| {
        if name == file {
            assert!(text.contains(from), "{name} has no {from:?}");
            (name, text.replacen(from, to, 1))
        } else {
            (name, text.to_owned())
        }
    });
    let files: Vec<_> = changed
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    parse(&files).err().unwrap_or_default()
}

fn name(text: &str) -> RegionName {
    text.parse().unwrap()
}

#[test]
fn a_sound_mesh_says_what_its_files_say() {
    let topology = parse(&FILES).unwrap();
    assert_eq!(topology.name(), "test");
    let names: Vec<_> = topology
        .regions()
        .iter()
        .map(|region| region.name().as_str())
        .collect();
    assert_eq!(
        names,
        ["paris", "tokyo", "lima"],
        "declared order, not the files'"
    );

    let policy = topology.policy();
    assert_eq!(policy.latency_stretch().as_thousandths(), 1_500);
    assert_eq!(policy.latency_stretch().limit(Millis(101)), Millis(151));
    assert_eq!(
        (
            policy.fan_out_max(),
            policy.hops_max(),
            policy.initial_mtu_bytes()
        ),
        (4, 3, 1_200)
    );

    let coordinator = topology.coordinator();
    assert_eq!(coordinator.public_url(), "https://meet.example.net");
    assert_eq!(coordinator.heartbeat(), Millis(500));
    assert_eq!(coordinator.silent_after(), Millis(3_000));
    assert_eq!(coordinator.fallback_region(), &name("tokyo"));
    assert_eq!(coordinator.join_token_s(), 300);

    let edges: Vec<_> = topology
        .edges()
        .map(|(_, edge)| {
            (
                edge.id().as_str(),
                edge.host().to_string(),
                edge.workers(),
                edge.capacity(),
            )
        })
        .collect();
    assert_eq!(
        edges,
        [
            ("paris-1", "paris-1.paris.example.net".to_owned(), 4, 500),
            ("paris-2", "paris-2.paris.example.net".to_owned(), 4, 500),
            ("tokyo-1", "203.0.113.7".to_owned(), 2, 50),
            ("tokyo-big", "tokyo-big.tokyo.example.net".to_owned(), 2, 90),
            ("lima-1", "lima.example.net".to_owned(), 2, 500),
        ]
    );
    let (region, _) = topology.edge(&"tokyo-big".parse().unwrap()).unwrap();
    assert_eq!(region.name(), &name("tokyo"));
    assert!(topology.region(&name("oslo")).is_none());

    let turn = topology.regions()[0].turn().unwrap();
    assert_eq!(turn.stun_urls(), ["stun:turn.paris.example.net:3478"]);
    assert_eq!(
        turn.turn_urls()[2],
        "turns:turn.paris.example.net:5349?transport=tcp"
    );
    assert!(topology.regions()[1].turn().is_none());
}

#[test]
fn links_are_found_from_both_ends() {
    let topology = parse(&FILES).unwrap();
    let (paris, tokyo, lima) = (name("paris"), name("tokyo"), name("lima"));
    let link = topology.link_between(&tokyo, &paris).unwrap();
    assert_eq!(link.round_trip(), Millis(210));
    assert_eq!(link.capacity(), Bitrate::mbps(1_000));
    assert_eq!(link.loss().as_ppm(), 1_000);
    assert_eq!(
        link.price_from(&paris).unwrap().as_micro_usd_per_gb(),
        20_000
    );
    assert_eq!(
        link.price_from(&tokyo).unwrap().as_micro_usd_per_gb(),
        90_000
    );
    assert_eq!(link.price_from(&lima), None);
    assert!(topology.link_between(&paris, &lima).is_none());
    let of_tokyo: Vec<_> = topology
        .neighbours(&tokyo)
        .map(|(region, _)| region.as_str())
        .collect();
    assert_eq!(of_tokyo, ["paris", "lima"]);
}

#[test]
fn regions_and_the_coordinator_choose_who_vouches_for_their_names() {
    let acme = "[acme]\ndirectory = \"https://authority.example/dir\"\ncontact = [\"mailto:ops@example.net\"]\n\n[coordinator]\ncertificates = \"acme\"";
    let mesh = MESH.replace("[coordinator]", acme);
    let paris = PARIS.replace("workers = 4", "workers = 4\ncertificates = \"acme\"");
    let parse = |tokyo: &str| {
        let regions = [
            ("regions/paris.toml", paris.as_str()),
            ("regions/tokyo.toml", tokyo),
            ("regions/lima.toml", LIMA),
        ];
        let source = |(name, text)| Source { name, text };
        Topology::parse(source(("topology.toml", &mesh)), &regions.map(source))
    };
    let topology = parse(TOKYO).unwrap();
    let authority = topology.acme().unwrap();
    assert_eq!(authority.directory(), "https://authority.example/dir");
    assert_eq!(authority.contact(), ["mailto:ops@example.net"]);
    assert_eq!(topology.coordinator().certificates(), Certificates::Acme);
    let chosen: Vec<_> = topology
        .regions()
        .iter()
        .map(|region| region.certificates().as_str())
        .collect();
    assert_eq!(chosen, ["acme", "files", "files"]);
    // No authority vouches for an address.
    let faults = parse(&TOKYO.replace("capacity = 50", "certificates = \"acme\"")).unwrap_err();
    let said: Vec<_> = faults.iter().map(Fault::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("203.0.113.7"), "{said:?}");
}

/// Each case of `faults.txt` is a file, a change to it, and how the lines of its faults begin.
#[test]
fn each_fault_is_reported_with_its_place() {
    let mut wrong = Vec::new();
    for case in include_str!("faults.txt").split("\n\n") {
        let mut lines = case.lines();
        let (file, change) = lines.next().and_then(|line| line.split_once(": ")).unwrap();
        let (from, to) = change.split_once(" ->").unwrap();
        let [from, to] = [from, to.trim_start()].map(|text| text.replace("\\n", "\n"));
        let expected: Vec<_> = lines.map(str::trim).collect();
        let faults: Vec<_> = faults_of(file, &from, &to)
            .iter()
            .map(Fault::to_string)
            .collect();
        let agree = faults.len() == expected.len()
            && faults
                .iter()
                .zip(&expected)
                .all(|(fault, start)| fault.starts_with(start));
        if !agree {
            wrong.push(format!("{file}: {change}\n    {}", faults.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "instead:\n{}", wrong.join("\n\n"));
}

#[test]
fn all_faults_are_reported_at_once_in_order() {
    let mesh = MESH.replace("1.5", "0.1").replace("= 210", "= -1");
    let paris = PARIS
        .replace("48.8566", "99")
        .replace("edges = 2", "edgs = 2");
    let files = [
        ("topology.toml", mesh.as_str()),
        ("regions/lima.toml", "= broken"),
        ("regions/paris.toml", paris.as_str()),
        ("regions/tokyo.toml", TOKYO),
    ];
    let faults = parse(&files).unwrap_err();
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.file.as_str(), fault.line, fault.kind))
        .collect();
    assert_eq!(
        places,
        [
            ("topology.toml", 5, FaultKind::InvalidValue),
            ("topology.toml", 15, FaultKind::InvalidValue),
            ("regions/lima.toml", 1, FaultKind::Syntax),
            ("regions/paris.toml", 1, FaultKind::MissingKey),
            ("regions/paris.toml", 2, FaultKind::InvalidValue),
            ("regions/paris.toml", 7, FaultKind::UnknownKey),
        ]
    );
}

#[test]
fn a_fault_carries_its_line() {
    let fault = faults_of("regions/paris.toml", "\"Paris\"", "  \"\\u0007é\" # bell").remove(0);
    assert_eq!((fault.line, fault.column, fault.width), (1, 18, 9));
    assert_eq!(fault.excerpt, "display_name =   \"\\u0007é\" # bell");
    assert_eq!(fault.value.as_deref(), Some("\"\\u0007é\""));
}

#[test]
fn a_missing_file_a_bad_stem_and_a_second_file_are_faults() {
    let missing = parse(&FILES[..3]).unwrap_err();
    assert_eq!(
        missing.len(),
        1,
        "links to the region are not reported as well"
    );
    assert_eq!(
        (missing[0].kind, missing[0].line),
        (FaultKind::UnknownRegion, 2)
    );

    let bad = parse(&[
        FILES[0],
        FILES[1],
        FILES[2],
        FILES[3],
        ("regions/Bad_One.toml", LIMA),
    ]);
    let bad = bad.unwrap_err();
    assert_eq!(
        (bad[0].kind, bad[0].file.as_str()),
        (FaultKind::InvalidValue, "regions/Bad_One.toml")
    );

    let twice = parse(&[
        FILES[0],
        FILES[1],
        FILES[2],
        FILES[3],
        ("more/lima.toml", LIMA),
    ]);
    let kinds: Vec<_> = twice.unwrap_err().iter().map(|fault| fault.kind).collect();
    assert!(kinds.contains(&FaultKind::Duplicate), "{kinds:?}");
}

#[test]
fn one_region_needs_no_link() {
    let mesh = "name = \"one\"\nregions = [\"lima\"]\n";
    let topology = parse(&[("topology.toml", mesh), ("lima.toml", LIMA)]).unwrap();
    assert_eq!(topology.coordinator().fallback_region(), &name("lima"));
    assert_eq!(topology.policy(), &Policy::default());
}

#[test]
fn distances_are_great_circles() {
    let place = |latitude, longitude| Position::new(latitude, longitude).unwrap();
    let (paris, tokyo) = (place(48.8566, 2.3522), place(35.6762, 139.6503));
    assert!(
        (paris.distance_km(tokyo) - 9_712.0).abs() < 10.0,
        "{}",
        paris.distance_km(tokyo)
    );
    assert!(
        place(10.0, 179.9).distance_km(place(10.0, -179.9)) < 25.0,
        "over the date line"
    );
    assert!((place(0.0, 0.0).distance_km(place(0.0, 180.0)) - 20_015.0).abs() < 1.0);
    assert!(Position::new(90.1, 0.0).is_err() && Position::new(f64::NAN, 0.0).is_err());
}

#[test]
fn the_shipped_mesh_is_sound() {
    let topology =
        load_dir(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    let names: Vec<_> = topology
        .regions()
        .iter()
        .map(|region| region.name().as_str())
        .collect();
    assert_eq!(
        names,
        [
            "paris",
            "virginia",
            "singapore",
            "tokyo",
            "sydney",
            "frankfurt",
            "saopaulo",
            "mumbai",
            "johannesburg"
        ]
    );
    assert!(
        topology
            .link_between(&name("paris"), &name("singapore"))
            .is_none()
    );
    for link in topology.links() {
        let [a, b] = link
            .ends()
            .clone()
            .map(|end| topology.region(&end).unwrap().position());
        // Light in glass takes 1 ms for about 200 km, there and back for 100 km.
        let fastest_ms = a.distance_km(b) / 100.0;
        assert!(
            f64::from(link.round_trip().0) > fastest_ms,
            "{:?} is faster than light",
            link.ends()
        );
    }
    assert!(
        topology
            .regions()
            .iter()
            .all(|region| region.dev_client().is_some())
    );
}

proptest! {
    #[test]
    fn no_text_panics(mesh in ".*", region in ".*", file in ".{0,20}") {
        let regions = [Source { name: &file, text: &region }];
        let result = Topology::parse(Source { name: "topology.toml", text: &mesh }, &regions);
        prop_assert!(result.is_err_and(|faults| !faults.is_empty()));
    }

    /// Cutting, doubling and replacing pieces of good files reaches deeper than random text.
    #[test]
    fn no_damage_panics(which in 0usize..4, from in 0usize..600, len in 0usize..40, with in "[-a-z0-9\"\\[\\]{}=,.\né]{0,12}") {
        let mut files = FILES.map(|(name, text)| (name, text.to_owned()));
        let text = &mut files[which].1;
        let from = from.min(text.len());
        let to = (from + len).min(text.len());
        text.replace_range(from..to, &with);
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        if let Err(faults) = parse(&files) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                let text = files.iter().find(|(name, _)| *name == fault.file).unwrap().1;
                prop_assert!(fault.line as usize <= text.lines().count() + 1);
            }
        }
    }
}
