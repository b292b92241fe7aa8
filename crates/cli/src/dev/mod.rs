//! `sluice dev`: a whole mesh on loopback, as separate processes, until Ctrl-C.

mod children;
mod client;
mod view;
mod wan;

use std::io::{IsTerminal, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use sluice_meshnet::{Identity, MeshCa};
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::{LoadError, Topology, load_dir};
use tokio::signal::unix::{SignalKind, signal};

use self::children::Children;
use self::client::Client;
use crate::ops::api_token;
use crate::process::{failed, start_logs};

/// Fixed, so that guides and scripts can rely on them.
pub(super) const COORDINATOR: &str = "http://127.0.0.1:7400";
const CONTROL: &str = "127.0.0.1:7400";
const API_KEY: &str = "devkey";
const API_SECRET: &str = "devsecret-devsecret-devsecret-0001";
const TURN: &str = "127.0.0.1:3478";
const TURN_SECRET: &str = "devturn-devturn-devturn-devturn-0001";

/// Ports leave room for nine edges.
const EDGES_MAX: usize = 9;

/// How long everything may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the link to the live page is good, in seconds.
const LIVE_TOKEN_S: u64 = 24 * 3_600;

/// How often the picture is drawn.
const REFRESH: Duration = Duration::from_secs(1);

/// Certificates last as long as a developer may leave it running.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

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

/// One edge of the development mesh.
#[derive(Debug, Clone)]
pub(super) struct DevEdge {
    pub(super) id: EdgeId,
    pub(super) region: RegionName,
    pub(super) display: String,
    pub(super) client: Option<std::net::Ipv4Addr>,
    /// 7410, 7420, …
    port: u16,
}

impl DevEdge {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) const fn backbone_port(&self) -> u16 {
        self.port + 9
    }
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

fn load(dir: &Path) -> Result<Topology, String> {
    load_dir(dir).map_err(|error| match error {
        LoadError::Faults(faults) => {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            lines.join("\n")
        }
        other => other.to_string(),
    })
}

fn edges(topology: &Topology, wanted: &[RegionName]) -> Result<Vec<DevEdge>, String> {
    for name in wanted {
        if topology.region(name).is_none() {
            let known: Vec<_> = topology
                .regions()
                .iter()
                .map(|r| r.name().as_str())
                .collect();
            return Err(format!("no region `{name}`; allowed: {}", known.join(", ")));
        }
    }
    let edges: Vec<_> = topology
        .regions()
        .iter()
        .filter(|region| wanted.is_empty() || wanted.contains(region.name()))
        .take(EDGES_MAX)
        .enumerate()
        .filter_map(|(n, region)| {
            Some(DevEdge {
                id: region.edges().first()?.id().clone(),
                region: region.name().clone(),
                display: region.display_name().to_owned(),
                client: region.dev_client(),
                // At most nine.
                port: 7_410 + n as u16 * 10,
            })
        })
        .collect();
    if edges.is_empty() {
        return Err("no region to run".to_owned());
    }
    Ok(edges)
}

/// Another mesh on this machine would answer in this one's place.
fn check_ports(edges: &[DevEdge]) -> Result<(), String> {
    for port in std::iter::once(7_400).chain(edges.iter().map(|edge| edge.port)) {
        TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
            format!("127.0.0.1:{port} cannot be used ({error}): does another mesh run here?")
        })?;
    }
    Ok(())
}

fn say(line: std::fmt::Arguments<'_>) {
    // Nobody reads it when this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn run_mesh(args: DevArgs) -> Result<(), String> {
    let error = |error: std::io::Error| error.to_string();
    let topology = load(&args.topology)?;
    let edges = edges(&topology, &args.regions)?;
    check_ports(&edges)?;
    let work = tempfile::tempdir().map_err(error)?;
    let logs = args
        .logs
        .clone()
        .unwrap_or_else(|| work.path().join("logs"));
    std::fs::create_dir_all(&logs).map_err(error)?;
    if let Some(ready) = &args.ready_file {
        // An old one would lie.
        let _ = std::fs::remove_file(ready);
    }
    let ca = MeshCa::generate(topology.name()).map_err(|error| error.to_string())?;
    let issue = |identity: Identity, name: &str| -> Result<PathBuf, String> {
        let dir = work.path().join(name);
        ca.issue(&identity, CERTIFICATE_LIFETIME)
            .and_then(|issued| issued.save(&dir))
            .map_err(|error| error.to_string())?;
        Ok(dir)
    };
    let wan = if args.wan {
        wan::Wan::start(&topology, &edges).await.map_err(error)?
    } else {
        wan::Wan::default()
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(error)?;
    let mut children = Children::new(logs.clone());
    start_coordinator(
        &mut children,
        &args,
        &issue(Identity::Coordinator, "coordinator")?,
        work.path(),
        &edges,
    )?;
    for edge in &edges {
        let dir = issue(Identity::Edge(edge.id.clone()), edge.id.as_str())?;
        start_edge(&mut children, edge, &dir, &topology, &wan)?;
    }
    children.start_turn(TURN_SECRET);
    let client = Client::new()?;
    let result = tokio::select! {
        result = watch(&client, &mut children, &args, &edges, &logs) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    say(format_args!("\nending the mesh …"));
    children.end().await;
    result
}

fn start_coordinator(
    children: &mut Children,
    args: &DevArgs,
    mesh_dir: &Path,
    work: &Path,
    edges: &[DevEdge],
) -> Result<(), String> {
    let mut flags = vec![
        ("--topology", args.topology.display().to_string()),
        ("--http-listen", CONTROL.to_owned()),
        ("--control-listen", CONTROL.to_owned()),
        ("--mesh-dir", mesh_dir.display().to_string()),
        (
            "--store",
            work.join("coordinator.redb").display().to_string(),
        ),
        ("--page-url", edges[0].url()),
        ("--public-url", COORDINATOR.to_owned()),
        ("--turn-override", TURN.to_owned()),
        ("--requests-per-address", "10000".to_owned()),
        ("--connections-per-address", "10000".to_owned()),
        ("--dev-client-override", "true".to_owned()),
    ];
    if args.geoip.exists() {
        flags.push(("--geoip", args.geoip.display().to_string()));
    } else {
        say(format_args!(
            "{} is missing (scripts/geoip fetches it): every client counts as from the fallback region",
            args.geoip.display()
        ));
    }
    let secrets = [
        ("SLUICE_API_KEYS", format!("{API_KEY}:{API_SECRET}:dev:ops")),
        ("SLUICE_TURN_SECRET", TURN_SECRET.to_owned()),
    ];
    children.start("coordinator", "coordinator", &flags, &secrets)
}

fn start_edge(
    children: &mut Children,
    edge: &DevEdge,
    mesh_dir: &Path,
    topology: &Topology,
    wan: &wan::Wan,
) -> Result<(), String> {
    let backbone = format!("127.0.0.1:{}", edge.backbone_port());
    let mut flags = vec![
        ("--edge", edge.id.to_string()),
        ("--region", edge.region.to_string()),
        ("--coordinator", CONTROL.to_owned()),
        ("--mesh-dir", mesh_dir.display().to_string()),
        ("--http-listen", format!("127.0.0.1:{}", edge.port)),
        ("--media-listen", "127.0.0.1".to_owned()),
        ("--media-port", (edge.port + 1).to_string()),
        ("--workers", "1".to_owned()),
        ("--ice-tcp-port", (edge.port + 5).to_string()),
        ("--advertise", "127.0.0.1".to_owned()),
        ("--backbone-listen", backbone.clone()),
        ("--backbone-endpoint", backbone),
        ("--sfu-endpoint", edge.url()),
        (
            "--initial-mtu",
            topology.policy().initial_mtu_bytes().to_string(),
        ),
        // Everybody comes from one address.
        ("--connections-per-address", "10000".to_owned()),
        ("--sessions-per-address", "10000".to_owned()),
        ("--dev", "true".to_owned()),
    ];
    let via = wan.via(&edge.id);
    if !via.is_empty() {
        flags.push(("--backbone-via", via));
    }
    children.start(edge.id.as_str(), "edge", &flags, &[])
}

async fn watch(
    client: &Client,
    children: &mut Children,
    args: &DevArgs,
    edges: &[DevEdge],
    logs: &Path,
) -> Result<(), String> {
    say(format_args!(
        "starting the coordinator and {} edges …",
        edges.len()
    ));
    let started = Instant::now();
    loop {
        children.check()?;
        if client.is_ready(edges).await {
            break;
        }
        if started.elapsed() > READY_TIMEOUT {
            return Err(format!(
                "not ready within {READY_TIMEOUT:?}; the logs in {} say why",
                logs.display()
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
                serde_json::json!({ "edge": edge.id, "region": edge.region, "url": edge.url(), "join": url, "client": edge.client })
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
        children.check()?;
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
