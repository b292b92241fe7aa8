#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use sluice_types::topology::{Position, Source, Topology, load_dir};

use super::atlas::{Point, land};
use super::labels::{Rect, Room, around_node};
use super::screen::Screen;
use super::{chart, check, paths, report, svg, tables};

const PLAIN: Screen = Screen {
    width: 90,
    colours: false,
};

fn shipped() -> Topology {
    load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_fault_is_shown_with_its_line_and_a_mark() {
    let mesh = Source {
        name: "topology.toml",
        text: "name = \"one\"\nregions = [\"lima\"]\n",
    };
    let region = "display_name = \"Lima\"\nlatitude = -120.5\nlongitude = -77.0\n\
                  dns = [\"lima.example.net\"]\nedges = 1\n";
    let region = Source {
        name: "regions/lima.toml",
        text: region,
    };
    let faults = Topology::parse(mesh, &[region]).unwrap_err();
    assert_eq!(
        text(|out| report::faults(out, PLAIN, &faults)),
        "\
error[invalid-value]: latitude = -120.5: the value is out of range
 --> regions/lima.toml:2:12
  |
2 | latitude = -120.5
  |            ^^^^^^
  = allowed: a number from -90 to 90 degrees north

error: 1 fault found
"
    );
}

#[test]
fn colours_are_only_used_when_wanted() {
    let topology = shipped();
    let plain = text(|out| chart::draw(out, PLAIN, &topology));
    assert!(!plain.contains('\x1b'));
    let coloured = text(|out| {
        chart::draw(
            out,
            Screen {
                colours: true,
                ..PLAIN
            },
            &topology,
        )
    });
    assert!(coloured.contains("\x1b[1;33m●\x1b[0m"));
}

#[test]
fn check_says_what_is_missing_and_fails() {
    let mut out = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    let code = check(&mut out, PLAIN, dir.path()).unwrap();
    // An exit code can only be compared as text.
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::FAILURE)
    );
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("error: cannot read ") && out.contains("topology.toml"),
        "{out}"
    );
}

#[test]
fn everything_fits_the_terminal_and_every_region_is_named() {
    let topology = shipped();
    for width in [60, 80, 120, 160] {
        let screen = Screen {
            width,
            colours: false,
        };
        let map = text(|out| chart::draw(out, screen, &topology));
        let lists = text(|out| {
            tables::links(out, screen, &topology)?;
            tables::paths(out, screen, &topology)
        });
        for line in map.lines().chain(lists.lines()) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        for region in topology.regions() {
            assert!(
                map.contains(region.name().as_str()),
                "{width}: no {} in\n{map}",
                region.name()
            );
        }
    }
}

#[test]
fn paths_are_the_shortest_by_round_trip() {
    let topology = shipped();
    let [paris, singapore] = ["paris", "singapore"].map(|name| name.parse().unwrap());
    let from_paris = paths::shortest_from(&topology, &paris);
    let path = &from_paris[&singapore];
    assert_eq!(path.round_trip.0, 106 + 56);
    let regions: Vec<_> = path.regions.iter().map(|region| region.as_str()).collect();
    assert_eq!(regions, ["paris", "mumbai", "singapore"]);
    assert_eq!(from_paris.len(), topology.regions().len() - 1);
}

#[test]
fn a_course_over_the_date_line_is_cut_there() {
    let topology = shipped();
    let [virginia, tokyo] = ["virginia", "tokyo"].map(|name| name.parse().unwrap());
    let link = topology.link_between(&virginia, &tokyo).unwrap();
    let pieces = super::atlas::course(&topology, link);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].last().map(|point| point.x), Some(-180.0));
    assert_eq!(pieces[1].first().map(|point| point.x), Some(180.0));
    let end = pieces[1].last().copied();
    assert_eq!(
        end,
        Some(Point::from(Position::new(35.6762, 139.6503).unwrap()))
    );
}

#[test]
fn land_is_read_whole() {
    let outlines: Vec<_> = land().collect();
    assert_eq!(outlines.len(), include_str!("land.txt").lines().count() - 2);
    assert!(outlines.iter().all(|outline| outline.len() >= 3));
}

#[test]
fn labels_do_not_overlap() {
    let mut room = Room::new(Rect {
        x: 0.0,
        y: 0.0,
        width: 400.0,
        height: 400.0,
    });
    let mut taken: Vec<Rect> = Vec::new();
    for n in 0..8 {
        let at = Point {
            x: 200.0 + f64::from(n) * 3.0,
            y: 200.0,
        };
        let rect = room.place(around_node(at, 5.0, 60.0, 18.0), None).unwrap();
        assert!(
            taken.iter().all(|other| rect.overlap(other) == 0.0),
            "{n}: {rect:?}"
        );
        taken.push(rect);
    }
}

#[test]
fn the_svg_names_every_region_and_link() {
    let topology = shipped();
    let svg = svg::draw(&topology);
    assert!(svg.contains("prefers-color-scheme:dark"));
    for region in topology.regions() {
        assert!(svg.contains(&format!(">{}</text>", region.display_name())));
    }
    let labels = svg.matches("class=\"rtt\"").count();
    assert_eq!(labels, topology.links().len());
    assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
}
