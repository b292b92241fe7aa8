//! The mesh as tables: its links, and the shortest paths over them.

use std::io::{self, Write};

use sluice_types::topology::{Link, Price, Topology};

use super::paths;
use super::screen::Screen;

pub(super) fn links(out: &mut dyn Write, screen: Screen, topology: &Topology) -> io::Result<()> {
    let header = [
        "link",
        "",
        "round trip",
        "capacity",
        "$/GB there",
        "back",
        "loss",
    ];
    let rows = topology.links().iter().map(|link| {
        let [a, b] = link.ends();
        let price = |price: Option<Price>| {
            price.map_or_else(String::new, |price| format!("{:.3}", price.as_usd_per_gb()))
        };
        vec![
            a.to_string(),
            b.to_string(),
            link.round_trip().to_string(),
            capacity(link),
            price(link.price_from(a)),
            price(link.price_from(b)),
            link.loss().to_string(),
        ]
    });
    table(out, screen, &header, &[2, 3, 4, 5, 6], rows.collect())
}

pub(super) fn paths(out: &mut dyn Write, screen: Screen, topology: &Topology) -> io::Result<()> {
    let mut rows = Vec::new();
    for (index, from) in topology.regions().iter().enumerate() {
        let shortest = paths::shortest_from(topology, from.name());
        // A path back is the same path.
        for to in &topology.regions()[index + 1..] {
            let Some(path) = shortest.get(to.name()) else {
                continue;
            };
            let between = &path.regions[1..path.regions.len() - 1];
            let via: Vec<_> = between.iter().map(|region| region.as_str()).collect();
            rows.push(vec![
                from.name().to_string(),
                to.name().to_string(),
                path.round_trip.to_string(),
                (path.regions.len() - 1).to_string(),
                via.join(", "),
            ]);
        }
    }
    table(
        out,
        screen,
        &["shortest path", "", "round trip", "links", "via"],
        &[2, 3],
        rows,
    )
}

fn capacity(link: &Link) -> String {
    match link.capacity().as_bps() / 1_000_000 {
        mbps if mbps >= 1_000 && mbps % 100 == 0 => format!("{} Gbit/s", mbps as f64 / 1e3),
        mbps => format!("{mbps} Mbit/s"),
    }
}

/// Columns as wide as their widest cell, those in `right` set flush right.
pub(super) fn table(
    out: &mut dyn Write,
    screen: Screen,
    header: &[&str],
    right: &[usize],
    rows: Vec<Vec<String>>,
) -> io::Result<()> {
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&header)
            .chain(&rows)
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if right.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
        screen.fit(cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    writeln!(out, "{}", screen.bold(&line(&header)))?;
    rows.iter()
        .try_for_each(|row| writeln!(out, "{}", line(row)))
}
