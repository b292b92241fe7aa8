//! `sluice bench`: how fast an edge forwards, and how a mesh bears load.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use sluice_bench::Camera;
use sluice_bench::forward::floor::FloorOrder;
use sluice_bench::forward::{Results, SCENARIOS, Scenario, draw, floor};
use sluice_bench::load::{Api, Load};

use crate::faults::{self, FaultsArgs};
use crate::process::{failed, start_logs};

/// Flags of `sluice bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What an edge on this machine costs for each packet, beside sealing and sending alone.
    Forward(ForwardArgs),
    /// Let many participants join a running mesh, and see what they notice.
    Load(LoadArgs),
    /// Let edges, links and the coordinator fail in a mesh on loopback, and see what viewers notice.
    Faults(FaultsArgs),
    /// The floor that `forward` compares with; reads its order as JSON.
    #[command(hide = true)]
    Floor,
}

#[derive(Debug, Args)]
struct ForwardArgs {
    /// Scenarios to run, comma-separated; all when absent
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Seconds that each scenario is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Write the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw them into this file
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// The coordinator, such as `https://meet.example`
    url: String,
    /// API key as KEY:SECRET
    #[arg(
        long,
        env = "SLUICE_API_KEY",
        hide_env_values = true,
        default_value = "devkey:devsecret-devsecret-devsecret-0001",
        hide_default_value = true
    )]
    api_key: String,
    /// Rooms
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// Participants of each room that send sound and pictures
    #[arg(long, default_value_t = 2)]
    publishers: usize,
    /// Participants of each room that only receive
    #[arg(long, default_value_t = 0)]
    viewers: usize,
    /// Seconds to measure, after everybody has joined
    #[arg(long = "for", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Regions that participants say they are nearest to, in turn, comma-separated
    #[arg(long, value_delimiter = ',')]
    regions: Vec<String>,
    /// What each camera sends, in kbit/s
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(100..=20_000))]
    kbps: u32,
    /// Write the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: BenchArgs) -> ExitCode {
    start_logs();
    let result = match args.command {
        Command::Floor => run_floor(),
        Command::Forward(args) => on_runtime(run_forward(args)),
        Command::Load(args) => on_runtime(run_load(args)),
        Command::Faults(args) => on_runtime(faults::run(args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn on_runtime(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Runtime::new()
        .map_err(|error| error.to_string())?
        .block_on(work)
}

fn say(line: std::fmt::Arguments<'_>) {
    // Nobody reads it when this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Shows on a terminal how far something is.
fn progress(what: &str, done: usize, of: usize) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let end = if done == of { "\n" } else { "" };
        // Nobody reads it when this fails.
        let _ = write!(err, "\r{what} {done} of {of}\x1b[K{end}").and_then(|()| err.flush());
    }
}

fn write_file(path: Option<&Path>, text: &str) -> Result<(), String> {
    match path {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => Ok(()),
    }
}

fn chosen(names: &[String]) -> Result<Vec<Scenario>, String> {
    if names.is_empty() {
        return Ok(SCENARIOS.to_vec());
    }
    let find = |name: &String| {
        let known = SCENARIOS.iter().find(|scenario| scenario.name == name);
        known.copied().ok_or_else(|| {
            let all: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            format!("no scenario `{name}`; allowed: {}", all.join(", "))
        })
    };
    names.iter().map(find).collect()
}

async fn run_forward(args: ForwardArgs) -> Result<(), String> {
    let sluice = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut results = Results::new();
    say(format_args!(
        "{:<18} {:>9} {:>9} {:>6} {:>9} {:>6} {:>22} {:>9} {:>5}",
        "scenario",
        "floor ns",
        "edge ns",
        "ratio",
        "packets",
        "lost",
        "delay ms 50/99/99.9 %",
        "KiB each",
        "load"
    ));
    for scenario in chosen(&args.scenarios)? {
        let duration = Duration::from_secs(args.seconds);
        let one = scenario
            .run(&sluice, duration, &progress)
            .await
            .map_err(|error| format!("{}: {error}", scenario.name))?;
        say(format_args!(
            "{:<18} {:>9.0} {:>9.0} {:>6.2} {:>9} {:>6} {:>22} {:>9.0} {:>5.2}",
            scenario.name,
            one.floor_ns_per_packet,
            one.edge_ns_per_packet,
            one.ratio,
            one.packets_sent,
            one.packets_lost,
            one.added_delay_ms.to_string(),
            one.bytes_per_participant / 1_024.0,
            one.edge_load,
        ));
        results.insert(scenario.name, one);
    }
    let document = json!({ "seconds": args.seconds, "scenarios": results });
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    write_file(args.json.as_deref(), &text)?;
    write_file(args.svg.as_deref(), &draw(&results))
}

async fn run_load(args: LoadArgs) -> Result<(), String> {
    let api = Api::new(&args.url, &args.api_key).map_err(|error| error.to_string())?;
    // Thirty pictures a second of packets of 1,100 bytes at most.
    let bytes_per_frame = args.kbps as usize * 125 / 30;
    let packets_per_frame = bytes_per_frame.div_ceil(1_100);
    let load = Load {
        rooms: args.rooms,
        publishers: args.publishers,
        viewers: args.viewers,
        camera: Camera {
            packets_per_frame,
            packet_bytes: bytes_per_frame / packets_per_frame,
        },
        regions: args.regions,
        duration: Duration::from_secs(args.seconds),
    };
    let report = load
        .run(&api, &progress)
        .await
        .map_err(|error| error.to_string())?;
    say(format_args!("{report}"));
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    write_file(args.json.as_deref(), &text)
}

fn run_floor() -> Result<(), String> {
    let order: FloorOrder =
        serde_json::from_reader(std::io::stdin()).map_err(|error| error.to_string())?;
    let cost = floor::run(&order).map_err(|error| error.to_string())?;
    let text = serde_json::to_string(&cost).map_err(|error| error.to_string())?;
    say(format_args!("{text}"));
    Ok(())
}
