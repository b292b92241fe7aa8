//! `sluice topology plan`: what another topology would change, for files and for people.

mod html;
mod json;
mod plots;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sluice_placement::forecast::{Forecast, Moves, Scene, forecast, moves};
use sluice_types::topology::{Change, Topology};

use super::load;
use super::screen::Screen;

/// Flags of `sluice topology plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The folder with the new topology.toml and regions/.
    new: PathBuf,
    /// The folder with those that are in force.
    #[arg(long, value_name = "DIR", default_value = ".")]
    from: PathBuf,
    /// How many people are in meetings at once in the busiest hour.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    people: u32,
    /// Equal seeds make equal people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many days of a month are like that.
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u32).range(1..=31))]
    days: u32,
    /// Write a report with maps and plots into this HTML file as well.
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Two topologies, and what they do for the same people.
struct Plan {
    changes: Vec<Change>,
    scene: Scene,
    moves: Moves,
    before: Forecast,
    after: Forecast,
}

impl Plan {
    fn new(before: &Topology, after: &Topology, scene: Scene) -> Self {
        Self {
            changes: before.changes(after),
            moves: moves(before, after, &scene),
            scene,
            before: forecast(before, &scene),
            after: forecast(after, &scene),
        }
    }
}

pub(super) fn run(out: &mut dyn Write, screen: Screen, args: &PlanArgs) -> io::Result<ExitCode> {
    let Some(before) = load(out, screen, &args.from)? else {
        return Ok(ExitCode::FAILURE);
    };
    let Some(after) = load(out, screen, &args.new)? else {
        return Ok(ExitCode::FAILURE);
    };
    let scene = Scene {
        people: args.people as usize,
        seed: args.seed,
        days_a_month: args.days,
    };
    let plan = Plan::new(&before, &after, scene);
    if let Some(path) = &args.html {
        fs::write(path, html::page(&plan, &before, &after)).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&json::plan(&plan)).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else {
        text::plan(out, screen, &plan)?;
    }
    Ok(ExitCode::SUCCESS)
}
