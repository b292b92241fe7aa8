//! A whole mesh of processes on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sluice_meshnet::impair::{Wan, WanEnd};
use sluice_meshnet::{Identity, MeshCa};
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::{LoadError, Topology, load_dir};

use super::children::{COORDINATOR as COORDINATOR_NAME, Children};
use super::client::Client;
use super::{API_KEY, API_SECRET, CONTROL, COORDINATOR, TURN, TURN_SECRET, say};

/// Ports leave room for nine edges.
const EDGES_MAX: usize = 9;

/// How long everything may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Certificates last as long as a developer may leave it running.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// One edge of the development mesh.
#[derive(Debug, Clone)]
pub(crate) struct DevEdge {
    pub(crate) id: EdgeId,
    pub(crate) region: RegionName,
    pub(super) display: String,
    pub(super) client: Option<Ipv4Addr>,
    /// 7410, 7420, …
    port: u16,
}

impl DevEdge {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn backbone(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port + 9))
    }

    fn end(&self) -> WanEnd {
        WanEnd {
            edge: self.id.clone(),
            region: self.region.clone(),
            backbone: self.backbone(),
        }
    }
}

/// Which mesh to start.
pub(crate) struct MeshOrder<'a> {
    /// Directory with topology.toml and regions/.
    pub(crate) topology: &'a Path,
    /// Regions to run an edge in; all, up to nine, when empty.
    pub(crate) regions: &'a [RegionName],
    /// Give each backbone link what the topology declares for it.
    pub(crate) wan: bool,
    /// Locates clients.
    pub(crate) geoip: &'a Path,
    /// Where logs go; a temporary directory when absent.
    pub(crate) logs: Option<&'a Path>,
}

/// The processes of a mesh, and what is between them.
pub(crate) struct LocalMesh {
    pub(super) children: Children,
    pub(crate) client: Client,
    pub(crate) edges: Vec<DevEdge>,
    pub(super) logs: PathBuf,
    wan: Wan,
    _work: tempfile::TempDir,
}

impl LocalMesh {
    /// Starts every process; see [`Self::ready`].
    pub(crate) async fn start(order: &MeshOrder<'_>) -> Result<Self, String> {
        let error = |error: std::io::Error| error.to_string();
        let topology = load(order.topology)?;
        let edges = edges(&topology, order.regions)?;
        check_ports(&edges)?;
        let work = tempfile::tempdir().map_err(error)?;
        let logs = order
            .logs
            .map_or_else(|| work.path().join("logs"), Path::to_owned);
        std::fs::create_dir_all(&logs).map_err(error)?;
        let ca = MeshCa::generate(topology.name()).map_err(|error| error.to_string())?;
        let issue = |identity: Identity, name: &str| -> Result<PathBuf, String> {
            let dir = work.path().join(name);
            ca.issue(&identity, CERTIFICATE_LIFETIME)
                .and_then(|issued| issued.save(&dir))
                .map_err(|error| error.to_string())?;
            Ok(dir)
        };
        let wan = if order.wan {
            let ends: Vec<_> = edges.iter().map(DevEdge::end).collect();
            Wan::start(&topology, &ends).await.map_err(error)?
        } else {
            Wan::default()
        };
        let mut children = Children::new(logs.clone());
        start_coordinator(
            &mut children,
            order,
            &issue(Identity::Coordinator, "coordinator")?,
            work.path(),
            &edges,
        )?;
        for edge in &edges {
            let dir = issue(Identity::Edge(edge.id.clone()), edge.id.as_str())?;
            start_edge(&mut children, edge, &dir, &topology, &wan)?;
        }
        children.start_turn(TURN_SECRET);
        Ok(Self {
            children,
            client: Client::new()?,
            edges,
            logs,
            wan,
            _work: work,
        })
    }

    /// Waits until a call would succeed.
    pub(crate) async fn ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            self.children.check()?;
            if self.client.is_ready(&self.edges).await {
                return Ok(());
            }
            if started.elapsed() > READY_TIMEOUT {
                return Err(format!(
                    "not ready within {READY_TIMEOUT:?}; the logs in {} say why",
                    self.logs.display()
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a process a signal, `KILL`, `STOP` or `CONT`.
    pub(crate) async fn signal(&self, process: &str, signal: &str) -> Result<(), String> {
        self.children.signal(process, signal).await
    }

    /// Lets nothing through between two edges any more.
    pub(crate) fn cut(&self, a: &EdgeId, b: &EdgeId) {
        self.wan.cut(a, b);
    }

    /// Ends every process.
    pub(crate) async fn end(self) {
        self.children.end().await;
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

fn start_coordinator(
    children: &mut Children,
    order: &MeshOrder<'_>,
    mesh_dir: &Path,
    work: &Path,
    edges: &[DevEdge],
) -> Result<(), String> {
    let mut flags = vec![
        ("--topology", order.topology.display().to_string()),
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
    if order.geoip.exists() {
        flags.push(("--geoip", order.geoip.display().to_string()));
    } else {
        say(format_args!(
            "{} is missing (scripts/geoip fetches it): every client counts as from the fallback region",
            order.geoip.display()
        ));
    }
    let secrets = [
        ("SLUICE_API_KEYS", format!("{API_KEY}:{API_SECRET}:dev:ops")),
        ("SLUICE_TURN_SECRET", TURN_SECRET.to_owned()),
    ];
    children.start(COORDINATOR_NAME, "coordinator", &flags, &secrets)
}

fn start_edge(
    children: &mut Children,
    edge: &DevEdge,
    mesh_dir: &Path,
    topology: &Topology,
    wan: &Wan,
) -> Result<(), String> {
    let backbone = edge.backbone().to_string();
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
        flags.push(("--backbone-via", via.join(",")));
    }
    children.start(edge.id.as_str(), "edge", &flags, &[])
}
