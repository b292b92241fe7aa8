//! Plots of before and after, as SVG that a page gives its colours.

use std::fmt::Write;

use crate::topology::svg::escape;

const WIDTH: f64 = 760.0;
/// Where bars begin, after their names.
const LEFT: f64 = 220.0;
/// Room for the number behind a bar.
const RIGHT: f64 = 110.0;
const ROW: f64 = 34.0;
const BAR: f64 = 12.0;
/// The height of a curve's frame.
const FRAME: f64 = 200.0;
const BOTTOM: f64 = 24.0;

/// One thing before and after; none where it is not there.
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) before: Option<f64>,
    pub(super) after: Option<f64>,
}

/// The largest, at least a little more than nothing.
fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::MIN_POSITIVE, f64::max)
}

/// Two bars for each pair; `shown` says a value.
pub(super) fn bars(pairs: &[Pair], shown: impl Fn(f64) -> String) -> String {
    let values = pairs.iter().flat_map(|pair| [pair.before, pair.after]);
    let scale = (WIDTH - LEFT - RIGHT) / most(values.flatten());
    let height = ROW * pairs.len() as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (row, pair) in pairs.iter().enumerate() {
        let top = ROW * row as f64 + 4.0;
        let name = escape(&pair.name);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<text class=\"end\" x=\"{}\" y=\"{}\">{name}</text>",
            LEFT - 10.0,
            top + BAR + 3.0
        );
        let lines = [
            ("before", pair.before, top),
            ("after", pair.after, top + BAR + 1.0),
        ];
        for (class, value, y) in lines {
            let Some(value) = value else { continue };
            let width = (value * scale).max(1.0);
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>\
                 <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT + width + 6.0,
                y + BAR - 2.0,
                escape(&shown(value))
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Two curves over the hours of a day.
pub(super) fn curves(before: &[f64], after: &[f64], shown: impl Fn(f64) -> String) -> String {
    let top = most(before.iter().chain(after).copied());
    let step = (WIDTH - RIGHT - 20.0) / 23.0;
    let at = |(hour, value): (usize, &f64)| {
        let x = 10.0 + step * hour as f64;
        let y = 10.0 + (FRAME - 20.0) * (1.0 - value / top);
        format!("{x:.1},{y:.1}")
    };
    let line = |class: &str, values: &[f64]| {
        let points: Vec<_> = values.iter().enumerate().map(at).collect();
        format!(
            "<polyline class=\"{class}\" points=\"{}\"/>",
            points.join(" ")
        )
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">\
         <text class=\"small\" x=\"{}\" y=\"16\">{}</text>\
         <path class=\"axis\" d=\"M10 {base}h{}\"/>",
        FRAME + BOTTOM,
        WIDTH - RIGHT,
        escape(&shown(top)),
        step * 23.0,
        base = FRAME - 10.0,
    );
    for hour in (0..24).step_by(3) {
        let _ = write!(
            svg,
            "<text class=\"small\" x=\"{:.1}\" y=\"{}\">{hour:02}:00</text>",
            step * hour as f64,
            FRAME + 8.0
        );
    }
    svg.push_str(&line("before", before));
    svg.push_str(&line("after", after));
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values_and_names_are_escaped() {
        let pair = |name: &str, before, after| Pair {
            name: name.to_owned(),
            before,
            after,
        };
        let pairs = [
            pair("a < b", Some(10.0), Some(5.0)),
            pair("new", None, Some(0.0)),
        ];
        let svg = bars(&pairs, |value| format!("{value} km"));
        let full = WIDTH - LEFT - RIGHT;
        assert!(svg.contains(&format!("width=\"{full:.1}\"")), "{svg}");
        assert!(svg.contains(&format!("width=\"{:.1}\"", full / 2.0)));
        assert!(svg.contains("a &lt; b") && svg.contains("10 km"));
        assert_eq!(svg.matches("<rect").count(), 3, "nothing where nothing is");
    }

    #[test]
    fn curves_reach_from_the_first_hour_to_the_last() {
        let values: Vec<_> = (0..24).map(f64::from).collect();
        let svg = curves(&values, &values, |value| value.to_string());
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("points=\"10.0,190.0 "), "{svg}");
        assert!(svg.contains(">23<"), "the top is said");
    }
}
