//! `sluice bench faults`: a mesh of processes on loopback, whose links take as long as the topology
//! says, in which something fails under a call.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use sluice_bench::faults::{Call, Endured, in_the_middle};
use sluice_bench::load::Api;
use sluice_types::ids::{EdgeId, RegionName};

use crate::dev::{API_KEY, API_SECRET, COORDINATOR, LocalMesh, MeshOrder};

/// How long the call goes on before something fails, and afterwards.
const BEFORE: Duration = Duration::from_secs(6);
const AFTER: Duration = Duration::from_secs(10);

/// How long a plan with an edge in the middle may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Flags of `sluice bench faults`. It uses the ports of `sluice dev`.
#[derive(Debug, Args)]
pub(crate) struct FaultsArgs {
    /// Directory with topology.toml and regions/
    #[arg(long, default_value = ".")]
    topology: PathBuf,
    /// What fails, comma-separated; everything when absent
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Regions to run an edge in, comma-separated: first the publisher's, then the viewers'
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "paris,sydney,tokyo,frankfurt,mumbai,singapore,virginia"
    )]
    regions: Vec<RegionName>,
    /// How many of the regions have a viewer
    #[arg(long, default_value_t = 2)]
    viewers: usize,
    /// Directory for logs, by fault; nothing is kept when absent
    #[arg(long)]
    logs: Option<PathBuf>,
    /// Write the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What fails, under everybody behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// Nothing.
    None,
    /// An edge in the middle of a tree is killed.
    Kill,
    /// An edge in the middle of a tree stops, and goes on after the measurement.
    Pause,
    /// The link from an edge in the middle to one behind it lets nothing through.
    Cut,
    /// An edge in the middle is killed, and the coordinator with it.
    KillBoth,
    /// An edge in the middle is drained.
    Drain,
}

/// What one viewer went through.
#[derive(Debug, Serialize)]
struct Row {
    fault: Fault,
    viewer: RegionName,
    sound_gap_ms: u128,
    picture_gap_ms: u128,
    sound_hole_ms: u128,
    picture_hole_ms: u128,
    lost: u64,
    received: u64,
}

pub(crate) async fn run(args: FaultsArgs) -> Result<(), String> {
    if args.viewers == 0 || args.viewers >= args.regions.len() {
        return Err(format!(
            "`--viewers {}`; allowed: 1 to {}",
            args.viewers,
            args.regions.len().saturating_sub(1)
        ));
    }
    let faults = match args.faults.as_slice() {
        [] => Fault::value_variants(),
        some => some,
    };
    let mut rows = Vec::new();
    say(format_args!(
        "{:<10} {:<14} {:>12} {:>14} {:>13} {:>15} {:>6} {:>9}",
        "fault",
        "viewer",
        "sound gap ms",
        "picture gap ms",
        "sound hole ms",
        "picture hole ms",
        "lost",
        "received"
    ));
    for &fault in faults {
        let endured = endure(&args, fault).await?;
        for (viewer, endured) in args.regions[1..].iter().zip(endured) {
            let row = Row {
                fault,
                viewer: viewer.clone(),
                sound_gap_ms: endured.sound_gap.as_millis(),
                picture_gap_ms: endured.picture_gap.as_millis(),
                sound_hole_ms: endured.sound_hole.as_millis(),
                picture_hole_ms: endured.picture_hole.as_millis(),
                lost: endured.lost,
                received: endured.received,
            };
            say(format_args!(
                "{:<10} {:<14} {:>12} {:>14} {:>13} {:>15} {:>6} {:>9}",
                name(fault),
                row.viewer.as_str(),
                row.sound_gap_ms,
                row.picture_gap_ms,
                row.sound_hole_ms,
                row.picture_hole_ms,
                row.lost,
                row.received
            ));
            rows.push(row);
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&json!({ "viewers": rows }));
        std::fs::write(path, text.map_err(|error| error.to_string())?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn name(fault: Fault) -> String {
    fault
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

fn say(line: std::fmt::Arguments<'_>) {
    // Nobody reads it when this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn endure(args: &FaultsArgs, fault: Fault) -> Result<Vec<Endured>, String> {
    let logs = args.logs.as_ref().map(|logs| logs.join(name(fault)));
    let mut mesh = LocalMesh::start(&MeshOrder {
        topology: &args.topology,
        regions: &args.regions,
        wan: true,
        geoip: Path::new("data/geoip/country.mmdb"),
        logs: logs.as_deref(),
    })
    .await?;
    let result = watch(args, fault, &mut mesh).await;
    // One that stopped would not hear that it is to end.
    for edge in &mesh.edges {
        let _ = mesh.signal(edge.id.as_str(), "CONT").await;
    }
    mesh.end().await;
    result
}

async fn watch(
    args: &FaultsArgs,
    fault: Fault,
    mesh: &mut LocalMesh,
) -> Result<Vec<Endured>, String> {
    mesh.ready().await?;
    let api = Api::new(COORDINATOR, &format!("{API_KEY}:{API_SECRET}"))
        .map_err(|error| error.to_string())?;
    let viewers: Vec<_> = args.regions[1..=args.viewers]
        .iter()
        .map(ToString::to_string)
        .collect();
    let call = Call::start(&api, args.regions[0].as_str(), &viewers)
        .await
        .map_err(|error| error.to_string())?;
    tokio::time::sleep(BEFORE).await;
    let home = mesh.edges.first().map(|edge| edge.id.clone());
    let home = home.ok_or("there is no edge")?;
    let (middle, behind) = until_in_the_middle(mesh, &home, fault != Fault::Drain).await?;
    call.begin();
    tokio::time::sleep(Duration::from_secs(1)).await;
    tracing::info!(?fault, %middle, %behind, "now");
    match fault {
        Fault::None => {}
        Fault::Kill => mesh.signal(middle.as_str(), "KILL").await?,
        Fault::Pause => mesh.signal(middle.as_str(), "STOP").await?,
        Fault::Cut => mesh.cut(&middle, &behind),
        Fault::KillBoth => {
            mesh.signal("coordinator", "KILL").await?;
            mesh.signal(middle.as_str(), "KILL").await?;
        }
        Fault::Drain => mesh.client.drain(middle.as_str()).await?,
    }
    tokio::time::sleep(AFTER).await;
    call.endured()
        .await
        .ok_or_else(|| "the clients' thread ended".to_owned())
}

/// An edge without participants that the publisher's tracks pass, and one that receives from it.
async fn until_in_the_middle(
    mesh: &LocalMesh,
    home: &EdgeId,
    with_backup: bool,
) -> Result<(EdgeId, EdgeId), String> {
    let began = Instant::now();
    loop {
        let state = mesh.client.state().await.unwrap_or(Value::Null);
        if let Some(found) = in_the_middle(&state, home, with_backup) {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "no tree from {home} has an edge in the middle, within {PATIENCE:?}: {state}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
