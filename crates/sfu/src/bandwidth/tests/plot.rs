//! Runs as pictures: what the path carries, what is estimated, what arrives, and how long the queue is.

use std::fmt::Write;

use super::Moment;

const WIDTH: f64 = 720.0;
const RATES: f64 = 180.0;
const QUEUE: f64 = 70.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 28.0;

/// An SVG drawing that reads well on light and on dark pages.
pub(super) fn draw(title: &str, moments: &[Moment]) -> String {
    let most = moments
        .iter()
        .map(|m| m.capacity.max(m.target).max(m.delivered))
        .max()
        .unwrap_or(1) as f64
        * 1.05;
    let longest = moments
        .iter()
        .map(|m| m.queue_ms)
        .max()
        .unwrap_or(1)
        .max(100) as f64;
    let x = |n: usize| LEFT + (WIDTH - LEFT) * n as f64 / moments.len().max(1) as f64;
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
         font-size=\"11\" fill=\"#777\">\n<text x=\"{LEFT}\" y=\"16\">{title}: \
         <tspan fill=\"#999\">capacity</tspan>, <tspan fill=\"#d08020\">estimate</tspan>, \
         <tspan fill=\"#2f80c2\">arrived</tspan> in kbit/s; below the queue in ms; {} s</text>\n",
        WIDTH + 10.0,
        TOP + RATES + QUEUE + 30.0,
        moments.len() / 10
    );
    let mut line = |colour: &str, base: f64, height: f64, top: f64, of: &dyn Fn(&Moment) -> u64| {
        let points: Vec<_> = moments
            .iter()
            .enumerate()
            .map(|(n, m)| format!("{:.1},{:.1}", x(n), base - of(m) as f64 / top * height))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" points=\"{}\"/>",
            points.join(" ")
        );
    };
    let base = TOP + RATES;
    line("#999", base, RATES, most, &|m| m.capacity);
    line("#2f80c2", base, RATES, most, &|m| m.delivered);
    line("#d08020", base, RATES, most, &|m| m.target);
    if moments.iter().any(|m| m.rival > 0) {
        line("#50a060", base, RATES, most, &|m| m.rival);
    }
    line("#b04040", base + 15.0 + QUEUE, QUEUE, longest, &|m| {
        m.queue_ms
    });
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"{}\">{most:.0}</text><text x=\"0\" y=\"{base}\">0</text>\
         <text x=\"0\" y=\"{}\">{longest:.0} ms</text>\n</svg>\n",
        TOP + 10.0,
        base + 25.0
    );
    svg
}
