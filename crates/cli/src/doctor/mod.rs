//! `sluice doctor`: looks at everything that an edge needs, from where the edge runs.
//!
//! It registers nothing and takes nobody's place, so it may run beside the edge.

mod host;
mod mesh;
mod names;
mod reach;
mod report;
mod stun;
#[cfg(test)]
mod tests;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use hickory_resolver::TokioResolver;
use sluice_edge::config::{EdgeConfig, EdgeSettings};
use sluice_types::ids::EdgeId;
use sluice_types::topology::{Topology, load_dir};

use self::report::{Report, Verdict};
use crate::process::failed;

/// Flags of `sluice doctor`: those of `sluice edge`, and what else there is to look at.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// TOML file of the edge
    #[arg(long, env = "SLUICE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: EdgeSettings,
    /// Directory with topology.toml and regions/: names, peers, TURN and the coordinator's URL
    #[arg(long, env = "SLUICE_TOPOLOGY")]
    topology: Option<PathBuf>,
    /// The coordinator's public URL, for the clock [default: the topology's public_url]
    #[arg(long)]
    coordinator_url: Option<String>,
    /// TURN server, host:port [default: the region's of the topology]
    #[arg(long)]
    turn: Option<String>,
    /// The port at which the TURN server has TLS [default: the region's of the topology]
    #[arg(long)]
    turn_tls_port: Option<u16>,
    /// File with the secret of coturn, else SLUICE_TURN_SECRET; without it credentials are not tried
    #[arg(long)]
    turn_secret_file: Option<PathBuf>,
    /// Another edge to reach, EDGE=HOST:PORT of its backbone, comma-separated [default: those of
    /// regions that a link joins with this one]
    #[arg(long, value_delimiter = ',')]
    peer: Vec<String>,
    /// GeoIP files, comma-separated
    #[arg(long, env = "SLUICE_GEOIP", value_delimiter = ',')]
    geoip: Vec<PathBuf>,
    /// Name server to ask, IP:PORT [default: the system's]
    #[arg(long)]
    name_server: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is examined.
struct Patient {
    config: EdgeConfig,
    topology: Option<Topology>,
    coordinator_url: Option<String>,
    turn: Option<turn::Server>,
    turn_secret: Option<String>,
    peers: Vec<(EdgeId, String)>,
    geoip: Vec<PathBuf>,
    resolver: TokioResolver,
    /// Where the kernel's limits are.
    sysctl: PathBuf,
}

/// Ends with 1 when something does not work, or nothing can be said.
pub(crate) fn run(args: DoctorArgs) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    let json = args.json;
    runtime.block_on(async {
        let patient = match admit(args) {
            Ok(patient) => patient,
            Err(error) => return refuse(&error),
        };
        let report = examine(&patient).await;
        let mut out = io::stdout().lock();
        let written = if json {
            report.write_json(patient.config.edge.as_str(), &mut out)
        } else {
            report.write_text(&mut out)
        };
        match written {
            Ok(()) if report.worst() < Verdict::Fail => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    })
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    crate::process::start_logs();
    failed(error)
}

fn admit(args: DoctorArgs) -> Result<Patient, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let file = match &args.config {
        Some(path) => EdgeSettings::from_file(path).map_err(|error| text(&error))?,
        None => EdgeSettings::default(),
    };
    let config = args.settings.or(file).resolve();
    let config = config.map_err(|error| text(&error))?;
    let topology = args.topology.as_deref().map(load_dir).transpose();
    let topology = topology.map_err(|error| text(&error))?;
    let mut peers = Vec::new();
    for peer in &args.peer {
        let (edge, at) = peer
            .split_once('=')
            .ok_or_else(|| format!("`--peer {peer}`; allowed: EDGE=HOST:PORT"))?;
        peers.push((edge.parse().map_err(|error| text(&error))?, at.to_owned()));
    }
    let turn_secret = match &args.turn_secret_file {
        Some(path) => {
            let secret = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            // While it is rotated there are two; new credentials are of the first.
            let first = secret.lines().map(str::trim).find(|line| !line.is_empty());
            Some(first.unwrap_or_default().to_owned())
        }
        None => std::env::var("SLUICE_TURN_SECRET").ok(),
    };
    let turn = args
        .turn
        .map(|server| {
            let (host, port) = names::host_and_port(&server)?;
            Ok::<_, String>(turn::Server {
                host: host.to_owned(),
                port,
                tls_port: args.turn_tls_port,
            })
        })
        .transpose()?;
    let mut patient = Patient {
        config,
        topology,
        coordinator_url: args.coordinator_url,
        turn,
        turn_secret,
        peers,
        geoip: args.geoip,
        resolver: names::resolver(args.name_server)?,
        sysctl: PathBuf::from("/proc/sys/net/core"),
    };
    patient.fill_in();
    Ok(patient)
}

impl Patient {
    /// What the topology knows and nobody said.
    fn fill_in(&mut self) {
        let Some(topology) = &self.topology else {
            return;
        };
        let url = || topology.coordinator().public_url().to_owned();
        self.coordinator_url.get_or_insert_with(url);
        let region = topology.region(&self.config.region);
        if let (None, Some(turn)) = (&self.turn, region.and_then(|region| region.turn())) {
            self.turn = Some(turn::Server {
                host: turn.host().to_string(),
                port: turn.port(),
                tls_port: Some(turn.tls_port()),
            });
        }
        if self.peers.is_empty() {
            let ours = &self.config.region;
            let near = topology.edges().filter(|(region, edge)| {
                *edge.id() != self.config.edge
                    && (region.name() == ours
                        || topology.link_between(ours, region.name()).is_some())
            });
            self.peers = near
                .map(|(_, edge)| {
                    let at = format!("{}:{}", edge.host().in_url(), edge.ports().backbone());
                    (edge.id().clone(), at)
                })
                .collect();
        }
    }
}

async fn examine(patient: &Patient) -> Report {
    let mut report = Report::default();
    let (config, resolver) = (&patient.config, &patient.resolver);
    let now = SystemTime::now();
    mesh::certificates(&mut report, config, now);
    host::buffers(&mut report, &patient.sysctl);
    match host::http() {
        Ok(http) => {
            host::ports(&mut report, &http, config).await;
            host::clock(&mut report, &http, patient.coordinator_url.as_deref()).await;
        }
        Err(error) => report.skip("port", "all", error),
    }
    names::check(&mut report, resolver, config, patient.topology.as_ref()).await;
    mesh::coordinators(&mut report, config, resolver).await;
    mesh::peers(&mut report, config, resolver, &patient.peers).await;
    reach::check(
        &mut report,
        resolver,
        patient.topology.as_ref(),
        &patient.peers,
    )
    .await;
    turn::check(&mut report, patient).await;
    host::geoip(&mut report, &patient.geoip, now);
    report
}
