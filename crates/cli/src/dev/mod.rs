//! `sluice dev`: a whole mesh on loopback, as separate processes, until Ctrl-C.

mod children;
mod client;
mod local;
mod view;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sluice_types::ids::RegionName;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::local::{LocalMesh, MeshOrder};
use crate::ops::api_token;
use crate::process::{failed, start_logs};

/// Fixed, so that guides and scripts can rely on them.
pub(crate) const COORDINATOR: &str = "http://127.0.0.1:7400";
const CONTROL: &str = "127.0.0.1:7400";
pub(crate) const API_KEY: &str = "devkey";
pub(crate) const API_SECRET: &str = "devsecret-devsecret-devsecret-0001";
const TURN: &str = "127.0.0.1:3478";
const TURN_SECRET: &str = "devturn-devturn-devturn-devturn-0001";

/// How long the link to the live page is good, in seconds.
const LIVE_TOKEN_S: u64 = 24 * 3_600;

/// How often the picture is drawn.
const REFRESH: Duration = Duration::from_secs(1);

/// Flags of `sluice dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Directory with topology.toml and regions/
    #[arg(long, default_value = ".")]
    topology: PathBuf,
    /// Regions to run an edge in, comma-separated; all of the topology's, up to nine, when absent
    #[arg(long, value_delimiter = ',')]
    regions: Vec<RegionName>,
    /// Give each backbone link the delay, loss and bandwidth that the topology declares for it
    #[arg(long)]
    wan: bool,
    /// Written when a call would succeed: a JSON object with the URLs
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// MaxMind DB file that locates clients
    #[arg(long, default_value = "data/geoip/country.mmdb")]
    geoip: PathBuf,
    /// Directory for logs; a temporary one when absent
    #[arg(long)]
    logs: Option<PathBuf>,
}

pub(crate) fn run(args: DevArgs) -> ExitCode {
    start_logs();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run_mesh(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    // Nobody reads it when this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn run_mesh(args: DevArgs) -> Result<(), String> {
    let error = |error: std::io::Error| error.to_string();
    if let Some(ready) = &args.ready_file {
        // An old one would lie.
        let _ = std::fs::remove_file(ready);
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(error)?;
    let mut mesh = LocalMesh::start(&MeshOrder {
        topology: &args.topology,
        regions: &args.regions,
        wan: args.wan,
        geoip: &args.geoip,
        logs: args.logs.as_deref(),
    })
    .await?;
    let result = tokio::select! {
        result = watch(&args, &mut mesh) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    say(format_args!("\nending the mesh …"));
    mesh.end().await;
    result
}

async fn watch(args: &DevArgs, mesh: &mut LocalMesh) -> Result<(), String> {
    say(format_args!(
        "starting the coordinator and {} edges …",
        mesh.edges.len()
    ));
    mesh.ready().await?;
    let LocalMesh {
        children,
        client,
        edges,
        logs,
        ..
    } = mesh;
    let join_url = client.create_meeting().await?;
    let path = join_url.trim_start_matches(&edges[0].url()).to_owned();
    let urls: Vec<_> = edges
        .iter()
        .map(|edge| {
            let place = edge
                .client
                .map(|ip| format!("?as={ip}"))
                .unwrap_or_default();
            (edge, format!("{}{path}{place}", edge.url()))
        })
        .collect();
    if let Some(ready) = &args.ready_file {
        let list: Vec<_> = urls
            .iter()
            .map(|(edge, url)| {
                serde_json::json!({ "edge": edge.id, "region": edge.region, "url": edge.url(), "join": url, "client": edge.client, "pid": children.pid(edge.id.as_str()) })
            })
            .collect();
        let document =
            serde_json::json!({ "coordinator": COORDINATOR, "join_url": join_url, "edges": list });
        std::fs::write(ready, document.to_string()).map_err(|error| error.to_string())?;
    }
    let mut header = format!(
        "Sluice runs. Coordinator {COORDINATOR} (REST: {COORDINATOR}/docs), API key {API_KEY}, secret {API_SECRET}\n\nJoin the same meeting as from …\n"
    );
    for (edge, url) in &urls {
        header.push_str(&format!("  {:<14} {url}\n", edge.display));
    }
    header.push_str(&format!(
        "\nLogs: {}. Ctrl-C ends everything.\n",
        logs.display()
    ));
    say(format_args!("{header}"));
    if let Ok(token) = api_token(&format!("{API_KEY}:{API_SECRET}"), LIVE_TOKEN_S) {
        say(format_args!(
            "The mesh, live: {COORDINATOR}/ops/#token={token}\n"
        ));
    }
    let on_terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    loop {
        for what in children.ended()? {
            say(format_args!(
                "{what}; its log in {} says why",
                logs.display()
            ));
        }
        if let Some(state) = client.state().await {
            let picture = view::draw(&state, on_terminal);
            if picture != shown {
                if on_terminal {
                    // Clear, home, and everything anew.
                    say(format_args!("\x1b[2J\x1b[H{header}\n{picture}"));
                } else {
                    say(format_args!("{picture}"));
                }
                shown = picture;
            }
        }
        tokio::time::sleep(REFRESH).await;
    }
}
