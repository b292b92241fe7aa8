//! Three coordinators as processes of their own, and edges that have lines to all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_coordinator::config::CoordinatorSettings;
use sluice_edge::control::{Beat, Control, ControlEvent, ControlSettings};
use sluice_meshnet::{Identity, MeshCa, MeshEndpoint, TransportSettings};
use sluice_relay::leaders::Leaders;
use sluice_types::ids::{EdgeId, Epoch, MeetingId, Term};
use sluice_types::mesh::control::{CoordinatorMessage, Registration, RoomDemand, RoomPlan};
use sluice_types::mesh::version::NEWEST;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::etcd::Etcd;
use crate::support::{SECRET, free_address, token, write_topology};

/// How long anything may take: leases end, members elect, edges dial again with backoff.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process finds its settings.
const CHILD: &str = "SLUICE_TEST_COORDINATOR";

/// Run by [`Cluster`] in a process of its own: a coordinator until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_until_killed() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let settings = CoordinatorSettings::from_file(Path::new(&path)).expect("settings");
    let config = settings.resolve().expect("good settings");
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new();
    let metrics = metrics.build_recorder().handle();
    let run = sluice_coordinator::run(config, metrics, CancellationToken::new());
    run.await.expect("it runs until it is killed");
}

struct Coordinator {
    http: SocketAddr,
    control: SocketAddr,
    settings: PathBuf,
    process: Option<Child>,
}

/// A mesh of three coordinators; all processes end when it is dropped.
pub(crate) struct Cluster {
    pub(crate) etcd: Etcd,
    coordinators: Vec<Coordinator>,
    http: reqwest::Client,
    ca: MeshCa,
    work: tempfile::TempDir,
}

/// Sends a signal by its name.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
    assert!(sent.expect("kill runs").success(), "{name} {process}");
}

impl Cluster {
    /// Starts etcd's members and the coordinators; `endpoints` says which of etcd's URLs each uses.
    pub(crate) async fn start(
        members: usize,
        endpoints: impl Fn(usize, &[String]) -> Vec<String>,
    ) -> Self {
        let work = tempfile::tempdir().expect("a directory");
        write_topology(work.path(), "");
        let ca = MeshCa::generate("test").expect("a CA");
        let mesh_dir = work.path().join("coordinator");
        ca.issue(&Identity::Coordinator, Duration::from_secs(3_600))
            .and_then(|issued| issued.save(&mesh_dir))
            .expect("a certificate");
        let etcd = Etcd::start(members).await;
        let mut cluster = Self {
            http: reqwest::Client::builder()
                .no_proxy()
                // One that is paused takes the request and never answers.
                .timeout(Duration::from_secs(5))
                .build()
                .expect("a client"),
            coordinators: Vec::new(),
            etcd,
            ca,
            work,
        };
        for index in 0..3 {
            let (http, control) = (free_address(), free_address());
            let settings = cluster
                .work
                .path()
                .join(format!("coordinator-{index}.toml"));
            let endpoints = endpoints(index, &cluster.etcd.endpoints);
            let text = format!(
                "name = \"c{index}\"\ntopology = {:?}\nhttp_listen = \"{http}\"\n\
                 control_listen = \"{control}\"\nmesh_dir = {:?}\netcd_endpoints = {endpoints:?}\n\
                 etcd_lease_s = 6\npublic_url = \"http://{http}\"\n\
                 audit = {:?}\nusage = {:?}\nquality_store = {:?}\n\
                 api_keys = [{{ id = \"acme\", secret = {SECRET:?} }}, \
                 {{ id = \"watch\", secret = {SECRET:?}, tenant = \"acme\", ops = true }}]\n",
                cluster.work.path(),
                mesh_dir,
                cluster.work.path().join(format!("audit-{index}.jsonl")),
                cluster.work.path().join(format!("usage-{index}.json")),
                cluster.work.path().join(format!("quality-{index}.redb")),
            );
            std::fs::write(&settings, text).expect("written");
            cluster.coordinators.push(Coordinator {
                http,
                control,
                settings,
                process: None,
            });
            cluster.start_one(index);
        }
        for index in 0..3 {
            cluster.until_it_answers(index).await;
        }
        cluster
    }

    pub(crate) fn start_one(&mut self, index: usize) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.work.path().join(format!("coordinator-{index}.log")))
            .expect("a log");
        let coordinator = &mut self.coordinators[index];
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "cluster::runs_until_killed", "--nocapture"])
            .env(CHILD, &coordinator.settings)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("a process");
        coordinator.process = Some(child);
    }

    pub(crate) fn process(&self, index: usize) -> u32 {
        let process = self.coordinators[index].process.as_ref();
        process.expect("it runs").id()
    }

    pub(crate) fn kill(&mut self, index: usize) {
        let process = self.coordinators[index].process.take();
        let mut process = process.expect("it runs");
        process.kill().expect("running");
        process.wait().expect("killed");
    }

    pub(crate) async fn until_it_answers(&self, index: usize) {
        let url = format!("http://{}/healthz", self.coordinators[index].http);
        let answers = async {
            while self.http.get(&url).send().await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, answers).await.expect("it answers");
    }

    /// Asks a coordinator as the tenant, or as operator for paths of `ops`; none when it does not
    /// answer.
    pub(crate) async fn ask(
        &self,
        index: usize,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let is_ops = path.starts_with("/v1/ops");
        let key = if is_ops { "watch" } else { "acme" };
        self.ask_as(key, index, method, path, body).await
    }

    /// Asks a coordinator for something as operator.
    pub(crate) async fn operator(&self, index: usize, path: &str) -> Option<(u16, Value)> {
        self.ask_as("watch", index, Method::GET, path, &Value::Null)
            .await
    }

    /// Waits until something that is asked again and again is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let waiting = async {
            while !is_so().await {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect(what);
    }

    async fn ask_as(
        &self,
        key: &str,
        index: usize,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let url = format!("http://{}{path}", self.coordinators[index].http);
        let mut request = self.http.request(method, url).bearer_auth(token(key));
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// The coordinator that says it leads, with its term.
    pub(crate) async fn leader(&self, of: &[usize]) -> (usize, Term) {
        let looking = async {
            loop {
                for &index in of {
                    let state = self.ask(index, Method::GET, "/v1/ops/state", &Value::Null);
                    let leading = state.await.and_then(|(_, state)| state["leading"].as_u64());
                    if let Some(term) = leading {
                        return (index, Term(term));
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("somebody leads")
    }

    pub(crate) async fn meeting(&self, index: usize) -> MeetingId {
        let body = json!({ "title": "Plan" });
        let made = self.ask(index, Method::POST, "/v1/meetings", &body).await;
        let (status, meeting) = made.expect("an answer");
        assert_eq!(status, 201, "{meeting}");
        meeting["id"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("an id")
    }

    /// An edge with lines to all coordinators.
    pub(crate) fn edge(&self, region: &str) -> Edge {
        let id: EdgeId = format!("{region}-1").parse().expect("an edge");
        let issued = self
            .ca
            .issue(&Identity::Edge(id.clone()), Duration::from_secs(3_600))
            .expect("a certificate");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let credentials = issued.credentials().expect("good");
        let endpoint = MeshEndpoint::bind(any, credentials, &TransportSettings::control(), &[])
            .expect("an endpoint");
        let coordinators = self.coordinators.iter();
        let settings = ControlSettings {
            coordinators: coordinators.map(|one| one.control.to_string()).collect(),
            registration: Registration {
                sfu_endpoint: format!("http://{id}.example"),
                signal_endpoint: format!("ws://{id}.example/v1/signal"),
                edge: id,
                region: region.parse().expect("a region"),
                backbone: "192.0.2.1:7409".to_owned(),
                capacity: 1_000,
                software: "test".to_owned(),
            },
            protocol_max: NEWEST,
            heartbeat: Arc::new(Beat::default),
        };
        Edge::start(endpoint, settings)
    }

    /// What the processes said, for when a test fails.
    pub(crate) fn logs(&self) -> String {
        let log = |index: usize| {
            let path = self.work.path().join(format!("coordinator-{index}.log"));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        (0..3).map(log).collect::<Vec<_>>().join("\n--\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for coordinator in &mut self.coordinators {
            if let Some(process) = &mut coordinator.process {
                // SIGKILL ends a paused process too.
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

/// What an edge heard and follows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// By room, the plan that it follows.
    pub(crate) follows: BTreeMap<MeetingId, RoomPlan>,
    /// Every plan that ever came, followed or not, with the lines that it came on.
    pub(crate) plans: BTreeMap<(MeetingId, Epoch), (RoomPlan, Vec<usize>)>,
    /// Plans of coordinators whose term was over.
    pub(crate) fenced: usize,
    pub(crate) highest: Term,
    pub(crate) lines: BTreeMap<usize, bool>,
    /// Rooms that it was told are over.
    pub(crate) ended: BTreeSet<MeetingId>,
}

/// An edge's real lines, and by them what an edge decides.
pub(crate) struct Edge {
    control: Arc<Control>,
    heard: watch::Receiver<Heard>,
    demands: Arc<Mutex<BTreeMap<MeetingId, u32>>>,
    shutdown: CancellationToken,
}

fn demand(room: &MeetingId, participants: u32) -> RoomDemand {
    RoomDemand {
        room: room.clone(),
        participants,
        publishing: participants > 0,
    }
}

impl Edge {
    fn start(endpoint: MeshEndpoint, settings: ControlSettings) -> Self {
        let shutdown = CancellationToken::new();
        let (control, mut events) = Control::start(endpoint, settings, shutdown.clone());
        let control = Arc::new(control);
        let demands = Arc::<Mutex<BTreeMap<MeetingId, u32>>>::default();
        let (tell, heard) = watch::channel(Heard::default());
        let (telling, wanted) = (control.clone(), demands.clone());
        tokio::spawn(async move {
            let mut leaders = Leaders::default();
            while let Some((line, event)) = events.recv().await {
                tell.send_modify(|heard| take(heard, &mut leaders, line, &event));
                if matches!(event, ControlEvent::Connected { .. }) {
                    let wanted = wanted.lock().expect("no panic").clone();
                    for (room, participants) in wanted {
                        telling.demand(demand(&room, participants));
                    }
                }
            }
        });
        Self {
            control,
            heard,
            demands,
            shutdown,
        }
    }

    /// So many are in a room here now.
    pub(crate) fn demand(&self, room: &MeetingId, participants: u32) {
        let mut demands = self.demands.lock().expect("no panic");
        demands.insert(room.clone(), participants);
        self.control.demand(demand(room, participants));
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        let mut heard = self.heard.clone();
        let waited = timeout(PATIENCE, heard.wait_for(wanted)).await;
        match waited {
            Ok(heard) => heard.expect("the edge runs").clone(),
            Err(_) => panic!("{what} did not come: {:#?}", *self.heard.borrow()),
        }
    }

    /// Waits for a plan of a room with so many roots.
    pub(crate) async fn planned(&self, room: &MeetingId, roots: usize) -> RoomPlan {
        let has = |heard: &Heard| {
            let plan = heard.follows.get(room);
            plan.is_some_and(|plan| plan.trees.len() == roots)
        };
        let what = format!("a plan with {roots} roots");
        let heard = self.until(&what, has).await;
        heard.follows[room].clone()
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.borrow().clone()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn take(heard: &mut Heard, leaders: &mut Leaders, line: usize, event: &ControlEvent) {
    match event {
        ControlEvent::Connected { .. } => {
            leaders.forget(line);
            heard.lines.insert(line, true);
        }
        ControlEvent::Disconnected => {
            leaders.forget(line);
            heard.lines.insert(line, false);
        }
        ControlEvent::Message(CoordinatorMessage::Lead { term }) => {
            leaders.lead(line, *term);
            heard.highest = leaders.highest();
        }
        ControlEvent::Message(CoordinatorMessage::Plan(plan)) => {
            let key = (plan.room.clone(), plan.epoch);
            let fresh = || (plan.clone(), Vec::new());
            let (known, lines) = heard.plans.entry(key).or_insert_with(fresh);
            assert_eq!(known, plan, "two plans of one epoch");
            lines.push(line);
            if !leaders.follows(line) {
                heard.fenced += 1;
                return;
            }
            let followed = heard.follows.get(&plan.room);
            if followed.is_none_or(|followed| followed.epoch < plan.epoch) {
                heard.follows.insert(plan.room.clone(), plan.clone());
            }
        }
        ControlEvent::Message(CoordinatorMessage::End {
            room,
            reason: Some(_),
        }) => {
            heard.ended.insert(room.clone());
        }
        _ => {}
    }
}
