//! A mesh of processes: coordinators and edges, each this same test program in a process of its own, on free
//! ports of loopback, and links between them that take as long as a topology says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_coordinator::config::CoordinatorSettings;
use sluice_edge::config::EdgeSettings;
use sluice_meshnet::impair::{Wan, WanEnd};
use sluice_meshnet::{Identity, MeshCa};
use sluice_types::ids::EdgeId;
use sluice_types::topology::load_dir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::PATIENCE;
use crate::ports::{free_port, loopback};
use crate::rest::Rest;

/// Where a process finds its settings, and what it is.
const SETTINGS: &str = "SLUICE_TEST_SETTINGS";
const KIND: &str = "SLUICE_TEST_PROCESS";

/// The test that [`run_child`] is called from.
const ENTRY: &str = "processes::runs_until_it_is_ended";

/// The setting of the version that is spoken.
const PROTOCOL: &str = "protocol_max";

/// What a process is, if this is one of a fleet: runs it until it is asked to end, or killed, or its parent
/// is gone.
pub async fn run_child() {
    let (Ok(settings), Ok(kind)) = (std::env::var(SETTINGS), std::env::var(KIND)) else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter("info,rtc_dtls=error")
        .with_ansi(false)
        .init();
    std::thread::spawn(|| {
        // Nothing is ever written to it: reading ends when the parent does.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("signals can be listened for");
    tokio::spawn(async move {
        terminate.recv().await;
        asked.cancel();
    });
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .expect("the only one");
    let settings = Path::new(&settings);
    if kind == "edge" {
        let settings = EdgeSettings::from_file(settings).expect("settings");
        let config = settings.resolve().expect("good settings");
        let run = sluice_edge::run(config, metrics, shutdown);
        run.await.expect("the edge runs");
    } else {
        let settings = CoordinatorSettings::from_file(settings).expect("settings");
        let config = settings.resolve().expect("good settings");
        let run = sluice_coordinator::run(config, metrics, shutdown);
        run.await.expect("the coordinator runs");
    }
}

/// Which mesh to start.
#[derive(Debug, Clone, Default)]
pub struct FleetOrder {
    /// Links lose nothing by themselves.
    pub lossless: bool,
    /// Regions to run an edge in.
    pub regions: Vec<&'static str>,
    /// How many coordinators; more than one share etcd.
    pub coordinators: usize,
    /// etcd's client URLs.
    pub etcd: Vec<String>,
    /// The newest version that a process speaks, by its name, where it is not the newest there is.
    pub protocol_max: BTreeMap<&'static str, u16>,
}

struct Process {
    kind: &'static str,
    child: Child,
    /// Its end would tell the process that this one is gone.
    _stdin: Option<ChildStdin>,
    log: PathBuf,
}

/// A running mesh; its processes end when it is dropped.
pub struct Fleet {
    /// REST of each coordinator.
    pub rest: Vec<Rest>,
    /// The links between edges.
    pub wan: Wan,
    processes: BTreeMap<String, Process>,
    work: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// One fleet at a time: each is more processes than a machine for tests has cores.
static TURN: Mutex<()> = Mutex::const_new(());

/// Copies the repository's topology.
fn write_topology(dir: &Path, lossless: bool) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(from.join("topology.toml")).expect("the topology");
    let kept = text
        .lines()
        .filter(|line| !(lossless && line.starts_with("loss =")))
        .map(|line| format!("{line}\n"));
    std::fs::write(dir.join("topology.toml"), kept.collect::<String>()).expect("written");
    std::fs::create_dir(dir.join("regions")).expect("made");
    for file in std::fs::read_dir(from.join("regions")).expect("regions") {
        let file = file.expect("a region");
        std::fs::copy(file.path(), dir.join("regions").join(file.file_name())).expect("copied");
    }
}

/// The edge of a region.
pub fn edge_of(region: &str) -> EdgeId {
    format!("{region}-1").parse().expect("an edge")
}

impl Fleet {
    /// Starts it and waits until every coordinator knows every edge.
    pub async fn start(order: &FleetOrder) -> Self {
        let turn = TURN.lock().await;
        let work = tempfile::tempdir().expect("a directory");
        write_topology(work.path(), order.lossless);
        let topology = load_dir(work.path()).expect("a good topology");
        let ca = MeshCa::generate("test").expect("a CA");
        let base = work.path().to_owned();
        let issue = |identity: Identity, name: &str| {
            let dir = base.join(name);
            ca.issue(&identity, Duration::from_secs(3_600))
                .and_then(|issued| issued.save(&dir))
                .expect("a certificate");
            dir
        };
        let ends: Vec<_> = order
            .regions
            .iter()
            .map(|region| WanEnd {
                edge: edge_of(region),
                region: region.parse().expect("a region"),
                backbone: loopback(free_port()),
            })
            .collect();
        let wan = Wan::start(&topology, &ends).await.expect("sockets");
        let controls: Vec<_> = (0..order.coordinators)
            .map(|_| (loopback(free_port()), loopback(free_port())))
            .collect();
        let mut fleet = Self {
            rest: controls.iter().map(|&(http, _)| Rest::new(http)).collect(),
            wan,
            processes: BTreeMap::new(),
            work,
            _turn: turn,
        };
        let mesh_dir = issue(Identity::Coordinator, "coordinator");
        for (index, &(http, control)) in controls.iter().enumerate() {
            let name = format!("coordinator-{index}");
            let text = fleet.coordinator(order, &name, http, control, &mesh_dir);
            fleet.launch(&name, "coordinator", &text);
        }
        let lines: Vec<_> = controls.iter().map(|(_, at)| at.to_string()).collect();
        for end in &ends {
            let dir = issue(Identity::Edge(end.edge.clone()), end.edge.as_str());
            let text = fleet.edge(order, end, &lines, &dir);
            fleet.launch(end.edge.as_str(), "edge", &text);
        }
        for rest in &fleet.rest {
            let all = ends.len();
            let known = |state: &serde_json::Value| {
                let edges = state["edges"].as_array();
                edges.is_some_and(|edges| edges.len() == all)
            };
            rest.until("every edge is registered", known).await;
        }
        fleet
    }

    fn coordinator(
        &self,
        order: &FleetOrder,
        name: &str,
        http: SocketAddr,
        control: SocketAddr,
        mesh_dir: &Path,
    ) -> String {
        let work = self.work.path();
        let [id, secret, tenant, _] = Rest::operator()
            .split(':')
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .try_into()
            .expect("four parts");
        let store = if order.etcd.is_empty() {
            format!("store = {:?}", work.join(format!("{name}.redb")))
        } else {
            format!("etcd_endpoints = {:?}\netcd_lease_s = 3", order.etcd)
        };
        format!(
            "name = {name:?}\ntopology = {work:?}\nhttp_listen = \"{http}\"\n\
             control_listen = \"{control}\"\nmesh_dir = {mesh_dir:?}\n{store}\n\
             public_url = \"http://{http}\"\naudit = {:?}\nusage = {:?}\nquality_store = {:?}\n\
             requests_per_address = 10000\n{}\
             api_keys = [{{ id = {id:?}, secret = {secret:?}, tenant = {tenant:?}, ops = true }}]\n",
            work.join(format!("{name}-audit.jsonl")),
            work.join(format!("{name}-usage.json")),
            work.join(format!("{name}-quality.redb")),
            protocol(order, name),
        )
    }

    fn edge(&self, order: &FleetOrder, end: &WanEnd, lines: &[String], mesh_dir: &Path) -> String {
        let http = loopback(free_port());
        let (edge, region, backbone) = (&end.edge, &end.region, end.backbone);
        format!(
            "edge = \"{edge}\"\nregion = \"{region}\"\ncoordinator = {lines:?}\n\
             mesh_dir = {mesh_dir:?}\nhttp_listen = \"{http}\"\nmedia_listen = \"127.0.0.1\"\n\
             media_port = 0\nworkers = 1\nice_tcp_port = 0\nbackbone_listen = \"{backbone}\"\n\
             backbone_endpoint = \"{backbone}\"\nsfu_endpoint = \"http://{http}\"\n\
             initial_mtu = 1400\nbackbone_via = {:?}\n{}",
            self.wan.via(edge),
            protocol(order, edge.as_str()),
        )
    }

    /// Starts a process anew that has ended, which speaks the newest version from now on.
    pub fn upgrade(&mut self, process: &str) {
        let file = self.work.path().join(format!("{process}.toml"));
        let text = std::fs::read_to_string(file).expect("its settings");
        let kept = text.lines().filter(|line| !line.starts_with(PROTOCOL));
        let kept = kept.map(|line| format!("{line}\n")).collect::<String>();
        let kind = self.processes[process].kind;
        self.launch(process, kind, &kept);
    }

    fn launch(&mut self, name: &str, kind: &'static str, settings: &str) {
        let file = self.work.path().join(format!("{name}.toml"));
        std::fs::write(&file, settings).expect("written");
        let path = self.work.path().join(format!("{name}.log"));
        let log = std::fs::File::create(&path).expect("a log");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", ENTRY, "--nocapture"])
            .env(SETTINGS, &file)
            .env(KIND, kind)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("a process");
        let process = Process {
            kind,
            _stdin: child.stdin.take(),
            child,
            log: path,
        };
        self.processes.insert(name.to_owned(), process);
    }

    /// Sends a process a signal, by its name as `kill` knows it.
    pub fn signal(&self, process: &str, signal: &str) {
        let pid = self.processes[process].child.id().to_string();
        let sent = Command::new("kill")
            .args([format!("-{signal}"), pid])
            .status();
        assert!(sent.expect("kill runs").success(), "{signal} to {process}");
    }

    /// Waits until a process that was asked to end has ended.
    pub async fn ended(&mut self, process: &str) {
        let process = self.processes.get_mut(process).expect("it was started");
        let ending = async {
            while process.child.try_wait().expect("a child").is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, ending).await.expect("it ends in time");
    }

    /// What a process logged.
    pub fn log(&self, process: &str) -> String {
        std::fs::read_to_string(&self.processes[process].log).unwrap_or_default()
    }
}

fn protocol(order: &FleetOrder, name: &str) -> String {
    let most = order.protocol_max.get(name);
    most.map_or_else(String::new, |most| format!("{PROTOCOL} = {most}\n"))
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            // SIGKILL ends a paused process too; one that has ended already has been waited for.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if std::thread::panicking() {
            for name in self.processes.keys() {
                let log = self.log(name);
                let tail = log.len().saturating_sub(6_000);
                let tail = (tail..=log.len()).find(|&at| log.is_char_boundary(at));
                eprintln!("-- {name}\n{}", &log[tail.unwrap_or(0)..]);
            }
        }
    }
}
