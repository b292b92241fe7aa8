//! The plan as a page: maps, plots and tables, in one file that needs nothing from elsewhere.

use std::collections::BTreeSet;

use sluice_placement::forecast::{Forecast, LinkLoad, Percentiles};
use sluice_types::topology::{How, Part, Topology};

use super::plots::{Pair, bars, curves};
use super::{Plan, text};
use crate::topology::svg::{self, escape};

/// How many links are plotted, the fullest first; the table has all.
const LINKS_PLOTTED: usize = 20;

pub(super) fn page(plan: &Plan, before: &Topology, after: &Topology) -> String {
    let name = escape(after.name());
    let body = [
        format!("<h1>{name}: what would change</h1>"),
        format!(
            "<p>{}.</p><p>{}.</p>",
            escape(&text::scene(plan)),
            text::moves(plan)
        ),
        changes(plan),
        "<h2>Maps</h2><div class=\"pair\">".to_owned(),
        figure("Before", &map(before, "before")),
        figure("After", &map(after, "after")),
        "</div>".to_owned(),
        people(plan),
        day(plan),
        links(plan),
        delays(plan),
        failures(plan),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{name}: plan</title><style>{STYLE}</style>\n<main>{}</main></html>\n",
        body.join("\n")
    )
}

/// A map whose ids are its own on the page.
fn map(topology: &Topology, which: &str) -> String {
    let map = svg::draw(topology);
    map.replace("\"title desc\"", &format!("\"title-{which} desc-{which}\""))
        .replace("id=\"title\"", &format!("id=\"title-{which}\""))
        .replace("id=\"desc\"", &format!("id=\"desc-{which}\""))
}

fn figure(caption: &str, svg: &str) -> String {
    format!("<figure><figcaption>{caption}</figcaption>{svg}</figure>")
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"before\"></span> before <span class=\"after\"></span> after</p>";

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let cells = |cells: Vec<String>, tag: &str| {
        let cells = cells
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let header = cells(header.iter().map(ToString::to_string).collect(), "th");
    let rows: String = rows.into_iter().map(|row| cells(row, "td")).collect();
    format!("<table>{header}{rows}</table>")
}

fn changes(plan: &Plan) -> String {
    if plan.changes.is_empty() {
        return "<h2>Changes</h2><p>Nothing changes.</p>".to_owned();
    }
    let lines = plan.changes.iter().map(|change| {
        let (sign, values) = match &change.how {
            How::Added => ("+", &[][..]),
            How::Removed => ("-", &[][..]),
            How::Changed(values) => ("~", values.as_slice()),
        };
        let name = match change.part {
            Part::Mesh => "the mesh".to_owned(),
            part => format!("{} {}", part.as_str(), change.name),
        };
        let values = values.iter().map(|value| format!("\n    {value}"));
        escape(&format!("{sign} {name}{}", values.collect::<String>()))
    });
    let lines: Vec<_> = lines.collect();
    format!("<h2>Changes</h2><pre>{}</pre>", lines.join("\n"))
}

fn spread(plan: &Plan, of: impl Fn(&Forecast) -> Percentiles) -> Vec<Pair> {
    let (before, after) = (of(&plan.before), of(&plan.after));
    let all = |of: Percentiles| [of.p50, of.p90, of.p95, of.p99, of.max];
    let names = ["half within", "90 %", "95 %", "99 %", "all"];
    let values = all(before).into_iter().zip(all(after));
    let pair = |(name, (before, after)): (&str, (u64, u64))| Pair {
        name: name.to_owned(),
        before: Some(before as f64),
        after: Some(after as f64),
    };
    names.into_iter().zip(values).map(pair).collect()
}

fn people(plan: &Plan) -> String {
    let distance = bars(&spread(plan, |of| of.distance_km), |km| {
        format!("{km:.0} km")
    });
    let round_trip = bars(&spread(plan, |of| of.round_trip_ms), |ms| {
        format!("{ms:.0} ms")
    });
    let regions: BTreeSet<_> = (plan.before.people.keys())
        .chain(plan.after.people.keys())
        .collect();
    let at = |of: &Forecast, region| {
        of.people
            .get(region)
            .map_or("-".to_owned(), ToString::to_string)
    };
    let rows = regions.into_iter().map(|region| {
        let people = [&plan.before, &plan.after].map(|of| at(of, region));
        [&[region.to_string()][..], &people].concat()
    });
    let rows: Vec<_> = [("without a place", plan.before.unserved, plan.after.unserved)]
        .into_iter()
        .map(|(what, before, after)| vec![what.to_owned(), before.to_string(), after.to_string()])
        .chain(rows)
        .collect();
    format!(
        "<h2>People and their edges</h2>{LEGEND}<div class=\"pair\">{}{}</div>{}",
        figure("Distance to their edge", &distance),
        figure("Round trip to their edge", &round_trip),
        table(&["people at", "before", "after"], rows)
    )
}

fn day(plan: &Plan) -> String {
    let full = |of: &Forecast| -> Vec<f64> {
        let share = of
            .day
            .iter()
            .map(|hour| hour.fullest.as_ref().map_or(0.0, |(_, share)| *share));
        share.map(|share| share * 100.0).collect()
    };
    let cost = |of: &Forecast| -> Vec<f64> {
        of.day
            .iter()
            .map(|hour| hour.micro_usd as f64 / 1e6)
            .collect()
    };
    let (before, after) = (&plan.before, &plan.after);
    let full = curves(&full(before), &full(after), |share| format!("{share:.1} %"));
    let cost = curves(&cost(before), &cost(after), |usd| format!("{usd:.2} USD"));
    format!(
        "<h2>A day, by UTC</h2><p>Links cost {} USD a month before, {} after.</p>{LEGEND}\
         <div class=\"pair\">{}{}</div>",
        before.usd_a_month,
        after.usd_a_month,
        figure("The fullest link", &full),
        figure("What links cost in an hour", &cost)
    )
}

fn share(link: &LinkLoad) -> f64 {
    link.load.as_bps() as f64 / link.capacity.as_bps() as f64 * 100.0
}

fn links(plan: &Plan) -> String {
    let [before, after] = [&plan.before, &plan.after].map(|of| &of.links);
    let ends: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut pairs: Vec<_> = ends
        .iter()
        .map(|ends| Pair {
            name: format!("{} > {}", ends.0, ends.1),
            before: before.get(ends).map(share),
            after: after.get(ends).map(share),
        })
        .collect();
    let fullest = |pair: &Pair| pair.before.unwrap_or(0.0).max(pair.after.unwrap_or(0.0));
    pairs.sort_by(|a, b| fullest(b).total_cmp(&fullest(a)));
    pairs.truncate(LINKS_PLOTTED);
    let shown = |link: Option<&LinkLoad>| {
        link.map_or("-".to_owned(), |link| {
            format!("{} of {} ({:.1} %)", link.load, link.capacity, share(link))
        })
    };
    let rows = ends.into_iter().map(|ends| {
        vec![
            ends.0.to_string(),
            ends.1.to_string(),
            shown(before.get(ends)),
            shown(after.get(ends)),
        ]
    });
    format!(
        "<h2>Links in the busiest hour</h2>{LEGEND}{}{}",
        figure(
            "How full links are, the fullest first",
            &bars(&pairs, |share| format!("{share:.1} %"))
        ),
        table(&["sends", "to", "before", "after"], rows)
    )
}

fn delays(plan: &Plan) -> String {
    let [before, after] = [&plan.before, &plan.after].map(|of| &of.mouth_to_ear_ms);
    let pairs: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let shown = |millis: Option<&Option<u64>>| match millis {
        None => "-".to_owned(),
        Some(None) => "no way".to_owned(),
        Some(Some(millis)) => format!("{millis} ms"),
    };
    let rows = pairs.into_iter().map(|pair| {
        vec![
            pair.0.to_string(),
            pair.1.to_string(),
            shown(before.get(pair)),
            shown(after.get(pair)),
        ]
    });
    let header = ["between", "and", "before", "after"];
    format!(
        "<h2>From mouth to ear</h2><p>One way, mouth to ear.</p>{}",
        table(&header, rows)
    )
}

fn failures(plan: &Plan) -> String {
    let of = |when: &str, of: &Forecast| {
        let hurting: Vec<_> = of.failures.iter().filter(|failed| failed.hurts()).collect();
        let quiet = of.failures.len() - hurting.len();
        let rows = hurting
            .into_iter()
            .map(|failed| vec![failed.what.to_string(), text::breaks(failed)]);
        format!(
            "<h3>if any one fails, {when}: nobody notices {quiet} of {}</h3>{}",
            of.failures.len(),
            table(&["fails", "then"], rows)
        )
    };
    format!(
        "<h2>Failures</h2>{}{}",
        of("before", &plan.before),
        of("after", &plan.after)
    )
}

const STYLE: &str = "
:root{--page:#fff;--ink:#14202b;--soft:#5a6b78;--line:#d5dfe6;--was:#9db4c0;--is:#2374ab}
@media(prefers-color-scheme:dark){:root{--page:#0e151b;--ink:#eef3f6;--soft:#93a5b1;--line:#1f2d37;--was:#4f6572;--is:#5fb0e5}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1600px;margin:0 auto;padding:24px}
h2{margin:40px 0 8px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:16px}
figure{margin:0}
figcaption{color:var(--soft)}
pre{padding:12px;border:1px solid var(--line);overflow:auto}
table{border-collapse:collapse;margin:12px 0;font-variant-numeric:tabular-nums}
th,td{padding:3px 12px 3px 0;text-align:left;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}
svg text{fill:var(--ink);font:14px system-ui,sans-serif}
svg .small{fill:var(--soft);font-size:12px}
svg .end{text-anchor:end}
rect.before,span.before{fill:var(--was);background:var(--was)}
rect.after,span.after{fill:var(--is);background:var(--is)}
polyline{fill:none;stroke-width:2.5}
polyline.before{stroke:var(--was)}
polyline.after{stroke:var(--is)}
.axis{stroke:var(--line)}
.legend{color:var(--soft)}
.legend span{display:inline-block;width:12px;height:12px;margin-left:8px}
";
