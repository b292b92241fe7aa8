//! The mesh as an SVG map that reads well on light and on dark pages.

use std::fmt::Write;

use sluice_types::topology::{Link, Region, Topology};

use super::atlas::{Frame, Point, course, land};
use super::count;
use super::labels::{Rect, Room, along_route, around_node, length};

/// The whole drawing.
pub(super) fn draw(topology: &Topology) -> String {
    let frame = Frame::around(topology);
    let drawing = Drawing {
        frame,
        height: (WIDTH / frame.aspect()).round(),
    };
    let (routes, nodes) = drawing.place(topology);
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = drawing.write(&mut svg, topology, &routes, &nodes);
    svg
}

struct Drawing {
    frame: Frame,
    height: f64,
}

/// A link as it is drawn.
struct Route<'a> {
    link: &'a Link,
    pieces: Vec<Vec<Point>>,
    label: Option<Rect>,
}

/// A region as it is drawn.
struct Node<'a> {
    region: &'a Region,
    at: Point,
    label: Option<Rect>,
}

impl Drawing {
    fn on_map(&self, place: Point) -> Point {
        self.frame.project(place, WIDTH, self.height)
    }

    /// Finds a place for everything: nodes are where they are, then names, then round trips.
    fn place<'a>(&self, topology: &'a Topology) -> (Vec<Route<'a>>, Vec<Node<'a>>) {
        let frame = Rect {
            x: 6.0,
            y: 6.0,
            width: WIDTH - 12.0,
            height: self.height - 12.0,
        };
        let mut room = Room::new(frame);
        let mut routes: Vec<Route<'_>> = Vec::new();
        for (index, link) in topology.links().iter().enumerate() {
            let pieces: Vec<Vec<Point>> = course(topology, link)
                .iter()
                .map(|piece| piece.iter().map(|&place| self.on_map(place)).collect())
                .collect();
            pieces.iter().for_each(|piece| room.add_line(index, piece));
            routes.push(Route {
                link,
                pieces,
                label: None,
            });
        }
        let node = |region: &'a Region| {
            let at = self.on_map(region.position().into());
            Node {
                region,
                at,
                label: None,
            }
        };
        let mut nodes: Vec<Node<'_>> = topology.regions().iter().map(node).collect();
        for node in &nodes {
            room.take(Rect::around(
                node.at,
                NODE_RADIUS * 2.0 + 4.0,
                NODE_RADIUS * 2.0 + 4.0,
            ));
        }
        for node in &mut nodes {
            let width = text_width(node.region.display_name(), NAME_SIZE);
            node.label = room.place(
                around_node(node.at, NODE_RADIUS, width, NAME_SIZE * 1.2),
                None,
            );
        }
        // Short links have the fewest places for their label, so they choose first.
        let mut order: Vec<usize> = (0..routes.len()).collect();
        order.sort_by(|&a, &b| length(&routes[a].pieces).total_cmp(&length(&routes[b].pieces)));
        for index in order {
            let route = &mut routes[index];
            let width = text_width(&route.link.round_trip().to_string(), LABEL_SIZE) + 12.0;
            let places = along_route(&route.pieces, width, LABEL_SIZE * 1.5);
            route.label = room.place(places, Some(index));
        }
        (routes, nodes)
    }

    fn write(
        &self,
        svg: &mut String,
        topology: &Topology,
        routes: &[Route<'_>],
        nodes: &[Node<'_>],
    ) -> std::fmt::Result {
        let height = self.height + HEAD + FOOT;
        let name = escape(topology.name());
        let regions = count(nodes.len(), "region");
        let edges = count(topology.edges().count(), "edge");
        let links = count(routes.len(), "link");
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">
<title id="title">The mesh {name}</title>
<desc id="desc">A map of {} and {}, with their round trips.</desc>
<style>{STYLE}</style>
<rect class="page" width="{WIDTH}" height="{height}"/>
<text class="head" x="24" y="40">{name}</text>
<text class="sub" x="{:.0}" y="40">{} · {} · {}</text>
<svg y="{HEAD}" width="{WIDTH}" height="{}" viewBox="0 0 {WIDTH} {}">
<rect class="sea" width="{WIDTH}" height="{}"/>"#,
            regions,
            links,
            24.0 + text_width(topology.name(), HEAD_SIZE) + 16.0,
            regions,
            edges,
            links,
            self.height,
            self.height,
            self.height,
        )?;
        self.write_world(svg)?;
        for route in routes {
            write_route(svg, route)?;
        }
        for route in routes {
            write_route_label(svg, route)?;
        }
        for node in nodes {
            write_node(svg, node)?;
        }
        writeln!(svg, "</svg>")?;
        write_legend(svg, self.height + HEAD + 26.0)?;
        writeln!(svg, "</svg>")
    }

    fn write_world(&self, svg: &mut String) -> std::fmt::Result {
        writeln!(svg, r#"<path class="land" d="{}"/>"#, {
            let outlines = land().map(|outline| {
                outline
                    .iter()
                    .map(|&place| self.on_map(place))
                    .collect::<Vec<_>>()
            });
            outlines
                .map(|outline| format!("{}Z", path(&outline)))
                .collect::<String>()
        })?;
        let (meridians, parallels) = self.frame.graticule(GRATICULE_DEGREES);
        let mut lines = String::new();
        for longitude in meridians {
            let x = self
                .on_map(Point {
                    x: longitude,
                    y: 0.0,
                })
                .x;
            write!(lines, "M{x:.1} 0V{}", self.height)?;
        }
        for latitude in parallels {
            let y = self
                .on_map(Point {
                    x: 0.0,
                    y: latitude,
                })
                .y;
            write!(lines, "M0 {y:.1}H{WIDTH}")?;
        }
        writeln!(svg, r#"<path class="graticule" d="{lines}"/>"#)
    }
}

fn write_route(svg: &mut String, route: &Route<'_>) -> std::fmt::Result {
    let [a, b] = route.link.ends();
    let lossy = if route.link.loss().as_ppm() > 0 {
        " lossy"
    } else {
        ""
    };
    let gbps = route.link.capacity().as_bps() as f64 / 1e9;
    // Half a gigabit is a thin line and ten are a thick one.
    let width = (2.4 + gbps.log10() * 1.4).clamp(1.2, 5.0);
    let course: String = route.pieces.iter().map(|piece| path(piece)).collect();
    writeln!(
        svg,
        r#"<path class="link{lossy}" stroke-width="{width:.1}" d="{course}"><title>{a} – {b}: {}, {}, loss {}</title></path>"#,
        route.link.round_trip(),
        route.link.capacity(),
        route.link.loss(),
    )
}

fn write_route_label(svg: &mut String, route: &Route<'_>) -> std::fmt::Result {
    let Some(Rect {
        x,
        y,
        width,
        height,
    }) = route.label
    else {
        return Ok(());
    };
    writeln!(
        svg,
        r#"<rect class="pill" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{:.1}"/><text class="rtt" x="{:.1}" y="{:.1}">{}</text>"#,
        height / 2.0,
        x + width / 2.0,
        y + height / 2.0,
        route.link.round_trip(),
    )
}

fn write_node(svg: &mut String, node: &Node<'_>) -> std::fmt::Result {
    let Point { x, y } = node.at;
    let name = escape(node.region.display_name());
    let edges = node.region.edges().len();
    writeln!(
        svg,
        r#"<circle class="node" cx="{x:.1}" cy="{y:.1}" r="{NODE_RADIUS}"><title>{name} ({}): edges: {edges}</title></circle>"#,
        node.region.position(),
    )?;
    let Some(label) = node.label else {
        return Ok(());
    };
    // The true width is up to the reader's font: text beside a node is set from the node's side.
    let middle = label.middle();
    let (anchor, at) = match middle.x - x {
        right if right > label.width / 2.0 => ("start", label.x),
        left if left < -label.width / 2.0 => ("end", label.x + label.width),
        _ => ("middle", middle.x),
    };
    writeln!(
        svg,
        r#"<text class="name" text-anchor="{anchor}" x="{at:.1}" y="{:.1}">{name}</text>"#,
        middle.y,
    )
}

fn write_legend(svg: &mut String, y: f64) -> std::fmt::Result {
    let line = y - 4.5;
    writeln!(
        svg,
        r#"<path class="link" stroke-width="1.8" d="M24 {line}h36"/><path class="link" stroke-width="4" d="M66 {line}h36"/><text class="note" x="112" y="{y}">capacity</text>
<path class="link lossy" stroke-width="2.4" d="M212 {line}h48"/><text class="note" x="270" y="{y}">some loss expected</text>
<text class="note" x="448" y="{y}">Numbers are round trips.</text>
<text class="note end" x="{}" y="{y}">Land: Natural Earth</text>"#,
        WIDTH - 24.0,
    )
}

fn path(points: &[Point]) -> String {
    let command = |(index, point): (usize, &Point)| {
        format!(
            "{}{:.1} {:.1}",
            if index == 0 { 'M' } else { 'L' },
            point.x,
            point.y
        )
    };
    points.iter().enumerate().map(command).collect()
}

/// How wide text may become in the widest of the usual fonts.
fn text_width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|c| if c.is_ascii() { 0.66 } else { 1.0 } * size)
        .sum()
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const WIDTH: f64 = 1_600.0;
/// The height of the band with the title.
const HEAD: f64 = 64.0;
/// The height of the band with the legend.
const FOOT: f64 = 44.0;
const NODE_RADIUS: f64 = 7.0;
const HEAD_SIZE: f64 = 26.0;
const NAME_SIZE: f64 = 18.0;
const LABEL_SIZE: f64 = 14.0;
const GRATICULE_DEGREES: f64 = 15.0;
const STYLE: &str = "
svg{--page:#fff;--sea:#f3f7fa;--land:#dfe7e3;--grid:#d5dfe6;--ink:#14202b;--soft:#5a6b78;--link:#2374ab;--node:#d1495b}
@media(prefers-color-scheme:dark){svg{--page:#0e151b;--sea:#121c24;--land:#22313a;--grid:#1f2d37;--ink:#eef3f6;--soft:#93a5b1;--link:#5fb0e5;--node:#ff8a78}}
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}
.page{fill:var(--page)}
.sea{fill:var(--sea)}
.land{fill:var(--land)}
.graticule{fill:none;stroke:var(--grid);stroke-width:1}
.link{fill:none;stroke:var(--link);stroke-linecap:round;stroke-linejoin:round}
.lossy{stroke-dasharray:9 6;stroke-linecap:butt}
.node{fill:var(--node);stroke:var(--page);stroke-width:2.5}
.head{font-size:26px;font-weight:700}
.sub,.note{font-size:16px;fill:var(--soft)}
.note{font-size:14px}
.end{text-anchor:end}
.name{font-size:18px;font-weight:650;dominant-baseline:central;paint-order:stroke;stroke:var(--sea);stroke-width:4px;stroke-linejoin:round}
.pill{fill:var(--page);stroke:var(--link);stroke-width:1}
.rtt{font-size:14px;text-anchor:middle;dominant-baseline:central;font-variant-numeric:tabular-nums}
";
