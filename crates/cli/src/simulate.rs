//! `sluice simulate`: the whole mesh in virtual time, seed after seed.

use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use sluice_simulate::mesh::{self, Sabotage, Trace};
use sluice_simulate::world::{Report as WorldReport, World};
use sluice_simulate::{Faults, Invariant, Outcome};

use crate::process::failed;

/// Flags of `sluice simulate`.
///
/// Runs the real cores of edges and coordinator in virtual time, on networks, people and faults that
/// are made up from seeds, and checks after every step what must never be otherwise. The first seed
/// that breaks something is printed and replays exactly.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Run this seed alone, which gives the same run every time
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// What to simulate: few edges with every message and packet, or very many with decisions alone
    #[arg(long, value_enum, default_value_t = Level::Mesh)]
    level: Level,
    /// Threads, each with a seed of its own; as many as there are cores when absent
    #[arg(long)]
    jobs: Option<usize>,
    /// Regions, with `--level world`
    #[arg(long, default_value_t = World::FULL.regions as u64, value_parser = clap::value_parser!(u64).range(2..=250))]
    regions: u64,
    /// Edges of each region, with `--level world`
    #[arg(long, default_value_t = World::FULL.edges_each, value_parser = clap::value_parser!(u32).range(1..=100))]
    edges: u32,
    /// People, with `--level world`
    #[arg(long, default_value_t = World::FULL.people as u64, value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    people: u64,
    /// What they do after all have come, with `--level world`
    #[arg(long, default_value_t = World::FULL.events)]
    events: u64,
    /// Write everything that happens into this file, with `--seed` and `--level mesh`
    #[arg(long, requires = "seed")]
    trace: Option<PathBuf>,
    /// Break something on purpose, to see that it is caught, with `--level mesh`
    #[arg(long, value_parser = sabotage)]
    sabotage: Option<Sabotage>,
    /// Write what was found to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Mesh,
    World,
}

fn sabotage(name: &str) -> Result<Sabotage, String> {
    let found = Sabotage::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, sabotage)| *sabotage).ok_or_else(|| {
        let names: Vec<_> = Sabotage::ALL.iter().map(|(name, _)| *name).collect();
        format!("one of {} is allowed", names.join(", "))
    })
}

/// What all seeds showed.
#[derive(Debug, Default, Serialize)]
struct Report {
    level: &'static str,
    seeds_run: u64,
    first_seed: u64,
    events: u64,
    virtual_seconds: f64,
    wall_seconds: f64,
    events_per_second: f64,
    faults: Faults,
    /// How long after the last fault everything was as it should be, in milliseconds.
    settled_ms_median: u64,
    settled_ms_max: u64,
    /// How often each was broken.
    invariants_broken: BTreeMap<Invariant, u64>,
    broken: Vec<Outcome>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    worlds: Vec<TimedWorld>,
}

/// What one seed of a world showed, and how long it took until everybody had come.
#[derive(Debug, Serialize)]
struct TimedWorld {
    #[serde(flatten)]
    report: WorldReport,
    joining_seconds: f64,
}

pub(crate) fn run(args: SimulateArgs) -> ExitCode {
    match simulate(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

/// Runs all seeds; says whether nothing broke.
fn simulate(args: &SimulateArgs) -> Result<bool, String> {
    let (from, count) = match args.seed {
        Some(seed) => (seed, 1),
        None => (args.from, args.seeds),
    };
    let started = Instant::now();
    let (outcomes, worlds) = match args.level {
        Level::Mesh => (meshes(args, from, count)?, Vec::new()),
        Level::World => {
            let worlds = worlds(args, from, count);
            let outcomes = worlds.iter().map(|world| world.report.outcome.clone());
            (outcomes.collect(), worlds)
        }
    };
    let level = if args.level == Level::Mesh {
        "mesh"
    } else {
        "world"
    };
    let report = Report {
        level,
        first_seed: from,
        worlds,
        ..summed(outcomes, started.elapsed().as_secs_f64())
    };
    say(&report, args);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report.broken.is_empty())
}

fn meshes(args: &SimulateArgs, from: u64, count: u64) -> Result<Vec<Outcome>, String> {
    if let (Some(seed), Some(path)) = (args.seed, &args.trace) {
        let file = std::fs::File::create(path);
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut file = BufWriter::new(file);
        let trace: Trace = Box::new(move |at, what| {
            // A full disk ends the trace, not the run.
            let _ = writeln!(file, "{:>12.3} ms  {what}", at.as_micros() as f64 / 1e3);
        });
        return Ok(vec![mesh::run(seed, args.sabotage, Some(trace))]);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores).max(1);
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let outcome = mesh::run(from + number, args.sabotage, None);
            let mut all = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(outcome);
            progress("seed", done.fetch_add(1, Ordering::Relaxed) + 1, count);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.seed);
    Ok(outcomes)
}

fn worlds(args: &SimulateArgs, from: u64, count: u64) -> Vec<TimedWorld> {
    let world = World {
        regions: args.regions as usize,
        edges_each: args.edges,
        people: args.people as usize,
        events: args.events,
        ..World::FULL
    };
    let seeds = from..from + count;
    let run = |seed| {
        let (started, mut joining_seconds) = (Instant::now(), 0.0);
        let report = world.run(seed, &mut |done, of| {
            if done <= args.people {
                joining_seconds = started.elapsed().as_secs_f64();
            }
            progress("event", done, of);
        });
        TimedWorld {
            report,
            joining_seconds,
        }
    };
    seeds.map(run).collect()
}

fn summed(outcomes: Vec<Outcome>, wall_seconds: f64) -> Report {
    let mut report = Report {
        seeds_run: outcomes.len() as u64,
        wall_seconds,
        ..Report::default()
    };
    let mut settled: Vec<_> = outcomes.iter().filter_map(|o| o.settled_ms).collect();
    settled.sort_unstable();
    report.settled_ms_median = settled.get(settled.len() / 2).copied().unwrap_or(0);
    report.settled_ms_max = settled.last().copied().unwrap_or(0);
    for outcome in outcomes {
        report.events += outcome.events;
        report.virtual_seconds += outcome.virtual_ms as f64 / 1e3;
        report.faults.add(&outcome.faults);
        if let Some(broken) = &outcome.broken {
            *report
                .invariants_broken
                .entry(broken.invariant)
                .or_insert(0) += 1;
            report.broken.push(outcome);
        }
    }
    report.events_per_second = report.events as f64 / wall_seconds.max(1e-9);
    report
}

/// Shows on a terminal how far it is.
fn progress(what: &str, done: u64, of: u64) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let end = if done == of { "\n" } else { "" };
        // Nobody reads it when this fails.
        let _ = write!(err, "\r{what} {done} of {of}\x1b[K{end}").and_then(|()| err.flush());
    }
}

fn say(report: &Report, args: &SimulateArgs) {
    let faults = &report.faults;
    let mut out = std::io::stdout();
    let mut line = |text: String| {
        // Nobody reads it when this fails.
        let _ = writeln!(out, "{text}");
    };
    line(format!(
        "{} seeds from {}: {} events in {:.1} s ({:.0} a second), {:.0} s of virtual time",
        report.seeds_run,
        report.first_seed,
        report.events,
        report.wall_seconds,
        report.events_per_second,
        report.virtual_seconds,
    ));
    line(format!(
        "faults: {} edges died and {} came back, {} links cut, {} edges cut off, {} times no coordinator, \
         {} datagrams lost, {} reordered",
        faults.edge_crashes,
        faults.edge_restarts,
        faults.links_cut,
        faults.edges_cut_off,
        faults.coordinator_crashes,
        faults.datagrams_lost,
        faults.datagrams_reordered,
    ));
    for world in &report.worlds {
        let (found, seconds) = (&world.report, world.joining_seconds);
        line(format!(
            "seed {}: {} people came to {} rooms at {} edges in {seconds:.1} s ({:.0} a second); {} participants \
             placed, {} rooms planned, {} plans changed, {} beyond a limit",
            found.outcome.seed,
            args.people,
            found.rooms,
            found.edges,
            args.people as f64 / seconds.max(1e-9),
            found.placed,
            found.planned,
            found.changed,
            found.beyond_limits,
        ));
    }
    if report.level == "mesh" {
        line(format!(
            "all was well after the last fault: median {} ms, longest {} ms",
            report.settled_ms_median, report.settled_ms_max
        ));
    }
    for outcome in &report.broken {
        if let Some(broken) = &outcome.broken {
            line(format!(
                "BROKEN seed {} at {:.3} s: {:?}: {}",
                outcome.seed,
                broken.at_us as f64 / 1e6,
                broken.invariant,
                broken.what,
            ));
        }
    }
    match report.broken.first() {
        Some(first) => line(format!(
            "again: sluice simulate{} --seed {}",
            again(args),
            first.seed
        )),
        None => line("nothing was broken".to_owned()),
    }
}

/// The flags that a seed's run depends on.
fn again(args: &SimulateArgs) -> String {
    let mut flags = String::new();
    if args.level == Level::World {
        flags = format!(
            " --level world --regions {} --edges {} --people {} --events {}",
            args.regions, args.edges, args.people, args.events
        );
    }
    let name = |sabotage| Sabotage::ALL.iter().find(|(_, known)| *known == sabotage);
    if let Some((name, _)) = args.sabotage.and_then(name) {
        flags += &format!(" --sabotage {name}");
    }
    flags
}
