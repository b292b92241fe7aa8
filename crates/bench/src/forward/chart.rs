//! The results as bars, edge beside floor.

use std::fmt::Write;

use super::Results;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const ROW: f64 = 46.0;
const BAR: f64 = 15.0;

/// An SVG chart that reads well on light and on dark pages.
#[must_use]
pub fn draw(results: &Results) -> String {
    let most = results
        .values()
        .map(|one| one.edge_ns_per_packet.max(one.floor_ns_per_packet))
        .fold(1.0, f64::max);
    let height = 50.0 + ROW * results.len() as f64;
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n\
         <text x=\"{LEFT}\" y=\"18\">CPU time per forwarded packet, in nanoseconds: \
         <tspan fill=\"#8a8a8a\">floor</tspan> and <tspan fill=\"#2f80c2\">edge</tspan></text>\n"
    );
    for (n, (name, one)) in results.iter().enumerate() {
        let y = 36.0 + ROW * n as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>",
            LEFT - 10.0,
            y + BAR + 4.0
        );
        let bars = [
            (one.floor_ns_per_packet, "#8a8a8a", String::new()),
            (
                one.edge_ns_per_packet,
                "#2f80c2",
                format!(" ({:.2}×)", one.ratio),
            ),
        ];
        for (row, (value, colour, more)) in bars.into_iter().enumerate() {
            let y = y + (BAR + 2.0) * row as f64;
            let width = value / most * (WIDTH - LEFT - 130.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{value:.0}{more}</text>",
                LEFT + width + 6.0,
                y + BAR - 3.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
