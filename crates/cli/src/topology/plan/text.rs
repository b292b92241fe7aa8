//! The plan for people: changes, then tables of before and after.

use std::collections::BTreeSet;
use std::io::{self, Write};

use sluice_placement::forecast::{Failed, Forecast, Hour, LinkLoad, Percentiles, Scene};
use sluice_types::topology::{Change, How, Part};

use super::Plan;
use crate::topology::count;
use crate::topology::screen::Screen;
use crate::topology::tables::table;

/// What stands where one of the two has nothing.
const NOTHING: &str = "-";

pub(super) fn plan(out: &mut dyn Write, screen: Screen, plan: &Plan) -> io::Result<()> {
    changes(out, screen, &plan.changes)?;
    writeln!(out, "\n{}\n{}\n", scene(plan), moves(plan))?;
    people(out, screen, plan)?;
    writeln!(out)?;
    day(out, screen, plan)?;
    writeln!(out)?;
    delays(out, screen, plan)?;
    writeln!(out)?;
    links(out, screen, plan)?;
    writeln!(out)?;
    failures(out, screen, plan)
}

/// What is played.
pub(super) fn scene(plan: &Plan) -> String {
    format!(
        "{} people in meetings at once in the busiest hour ({}:00 UTC), {} days a month, seed {}",
        plan.scene.people,
        Scene::busiest_hour(),
        plan.scene.days_a_month,
        plan.scene.seed
    )
}

/// Who would notice the change.
pub(super) fn moves(plan: &Plan) -> String {
    let moves = &plan.moves;
    format!(
        "At {:02}:00 UTC, when it concerns most, {} to another edge, in {}; {} more {} another way",
        moves.hour,
        match moves.people {
            1 => "1 person goes".to_owned(),
            people => format!("{people} people go"),
        },
        count(moves.meetings, "meeting"),
        count(moves.rerouted, "meeting"),
        if moves.rerouted == 1 {
            "travels"
        } else {
            "travel"
        },
    )
}

/// The day, every third hour.
fn day(out: &mut dyn Write, screen: Screen, plan: &Plan) -> io::Result<()> {
    let shown = |hour: Option<&Hour>| {
        let Some(hour) = hour else {
            return [NOTHING.to_owned(), NOTHING.to_owned()];
        };
        let fullest = hour.fullest.as_ref().map_or_else(
            || NOTHING.to_owned(),
            |((from, to), share)| format!("{:.0} % {from} > {to}", share * 100.0),
        );
        [hour.unserved.to_string(), fullest]
    };
    let rows = (0..24).step_by(3).map(|hour| {
        let [before, after] = [&plan.before, &plan.after].map(|of| shown(of.day.get(hour)));
        let people = plan.scene.people_at(hour as u32).to_string();
        let names = [format!("{hour:02}:00 UTC"), people];
        [&names[..], &before, &after].concat()
    });
    let header = [
        "hour",
        "people",
        "no place",
        "fullest link",
        "no place",
        "fullest link",
    ];
    table(out, screen, &header, &[1, 2, 4], rows.collect())
}

fn changes(out: &mut dyn Write, screen: Screen, changes: &[Change]) -> io::Result<()> {
    if changes.is_empty() {
        return writeln!(out, "Nothing changes.");
    }
    let mut counts = [0; 3];
    for change in changes {
        let name = match change.part {
            Part::Mesh => "the mesh".to_owned(),
            part => format!("{} {}", part.as_str(), change.name),
        };
        let (sign, kind) = match change.how {
            How::Added => ("+", 0),
            How::Removed => ("-", 1),
            How::Changed(_) => ("~", 2),
        };
        counts[kind] += 1;
        writeln!(out, "{sign} {name}")?;
        if let How::Changed(values) = &change.how {
            for value in values {
                writeln!(out, "    {value}")?;
            }
        }
    }
    let [added, removed, changed] = counts;
    let summary = format!("{added} added, {removed} removed, {changed} changed");
    writeln!(out, "{}", screen.bold(&summary))
}

fn people(out: &mut dyn Write, screen: Screen, plan: &Plan) -> io::Result<()> {
    let mut rows = Vec::new();
    let mut row = |what: &str, of: &dyn Fn(&Forecast) -> String| {
        rows.push(vec![what.to_owned(), of(&plan.before), of(&plan.after)]);
    };
    row("with a place", &|of| of.served.to_string());
    row("without", &|of| of.unserved.to_string());
    let percentiles = |of: &Percentiles| [of.p50, of.p90, of.p95, of.p99, of.max];
    for (index, name) in ["half", "90 %", "95 %", "99 %", "all"]
        .into_iter()
        .enumerate()
    {
        let what = format!("km to their edge, {name} within");
        row(&what, &|of| percentiles(&of.distance_km)[index].to_string());
    }
    for (index, name) in ["half", "90 %", "95 %", "99 %", "all"]
        .into_iter()
        .enumerate()
    {
        let what = format!("ms there and back, {name} within");
        row(&what, &|of| {
            percentiles(&of.round_trip_ms)[index].to_string()
        });
    }
    row("USD a month for links", &|of| of.usd_a_month.to_string());
    let kinds: BTreeSet<_> = (plan.before.broken.keys())
        .chain(plan.after.broken.keys())
        .collect();
    for kind in kinds {
        let what = format!("meetings that break `{kind}`");
        row(&what, &|of| {
            of.broken.get(kind).copied().unwrap_or_default().to_string()
        });
    }
    let regions: BTreeSet<_> = (plan.before.people.keys())
        .chain(plan.after.people.keys())
        .collect();
    for region in regions {
        let what = format!("people at {region}");
        row(&what, &|of| {
            let people = of.people.get(region);
            people.map_or_else(|| NOTHING.to_owned(), ToString::to_string)
        });
    }
    table(out, screen, &["people", "before", "after"], &[1, 2], rows)
}

fn delays(out: &mut dyn Write, screen: Screen, plan: &Plan) -> io::Result<()> {
    let [before, after] = [&plan.before, &plan.after].map(|of| &of.mouth_to_ear_ms);
    let pairs: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let shown = |millis: Option<&Option<u64>>| match millis {
        None => NOTHING.to_owned(),
        Some(None) => "no way".to_owned(),
        Some(Some(millis)) => format!("{millis} ms"),
    };
    let rows = pairs.into_iter().map(|pair| {
        let (a, b) = pair;
        let delays = (shown(before.get(pair)), shown(after.get(pair)));
        vec![a.to_string(), b.to_string(), delays.0, delays.1]
    });
    let header = ["mouth to ear", "", "before", "after"];
    table(out, screen, &header, &[2, 3], rows.collect())
}

fn links(out: &mut dyn Write, screen: Screen, plan: &Plan) -> io::Result<()> {
    let [before, after] = [&plan.before, &plan.after].map(|of| &of.links);
    let ends: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let shown = |link: Option<&LinkLoad>| {
        let Some(link) = link else {
            return [NOTHING.to_owned(), String::new()];
        };
        let share = link.load.as_bps() as f64 / link.capacity.as_bps() as f64 * 100.0;
        [link.load.to_string(), format!("{share:.1} %")]
    };
    let rows = ends.into_iter().map(|ends| {
        let [before, after] = [shown(before.get(ends)), shown(after.get(ends))];
        let names = [ends.0.to_string(), ends.1.to_string()];
        [names, before, after].concat()
    });
    let header = ["sends", "to", "before", "of it", "after", "of it"];
    table(out, screen, &header, &[2, 3, 4, 5], rows.collect())
}

fn failures(out: &mut dyn Write, screen: Screen, plan: &Plan) -> io::Result<()> {
    for (when, of) in [("before", &plan.before), ("after", &plan.after)] {
        let hurting: Vec<_> = of.failures.iter().filter(|failed| failed.hurts()).collect();
        let title = format!(
            "if any one fails, {when}: nobody notices {} of {} links and regions",
            of.failures.len() - hurting.len(),
            of.failures.len(),
        );
        writeln!(out, "{}", screen.bold(&title))?;
        for failed in hurting {
            writeln!(
                out,
                "{}",
                screen.fit(&format!("  {}: {}", failed.what, breaks(failed)))
            )?;
        }
    }
    Ok(())
}

/// What a failure breaks.
pub(super) fn breaks(failed: &Failed) -> String {
    let mut parts = Vec::new();
    if failed.moved > 0 {
        parts.push(format!(
            "{} move, 90 % then within {} ms",
            failed.moved, failed.round_trip_ms.p90
        ));
    }
    if failed.unserved > 0 {
        parts.push(format!("{} find no place", failed.unserved));
    }
    for (kind, meetings) in &failed.broken {
        parts.push(format!("{} break `{kind}`", count(*meetings, "meeting")));
    }
    for (from, to) in &failed.full {
        parts.push(format!("{from} to {to} is full"));
    }
    parts.join("; ")
}
