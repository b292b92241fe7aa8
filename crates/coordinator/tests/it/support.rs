//! A coordinator in this process, and edges that speak the control protocol by hand.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sluice_coordinator::config::{CoordinatorConfig, CoordinatorSettings};
use sluice_meshnet::{
    Fingerprint, Identity, MeshCa, MeshConnection, MeshEndpoint, MessageReceiver, MessageSender,
    TransportSettings,
};
use sluice_types::access::{JoinClaims, Role};
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId};
use sluice_types::mesh::control::{
    ALPN, CoordinatorMessage, EdgeMessage, Heartbeat, Registration, RoomDemand,
};
use sluice_types::quality::{Attendance, AttendanceChange, Attendee};
use sluice_types::room::LeaveReason;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ports::{free_port, loopback};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const SECRET: &str = "testsecret-testsecret-testsecret-1";

/// `west` and `east` are linked through `middle` alone.
const TOPOLOGY: &str = r#"
name = "test"
regions = ["west", "middle", "east"]

[coordinator]
heartbeat_ms = 200
silent_after_ms = 8000
fallback_region = "middle"

[[link]]
ends = ["west", "middle"]
round_trip_ms = 80
capacity_mbps = 1000
cost_per_gb = 0.02

[[link]]
ends = ["middle", "east"]
round_trip_ms = 90
capacity_mbps = 1000
cost_per_gb = 0.05
"#;

/// An answer of REST.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A running coordinator; it ends when it is dropped.
pub(crate) struct TestCoordinator {
    http: reqwest::Client,
    config: CoordinatorConfig,
    ca: MeshCa,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    work: tempfile::TempDir,
}

/// See [`ports::free_port`](crate::ports::free_port).
pub(crate) fn free_address() -> SocketAddr {
    loopback(free_port())
}

pub(crate) fn write_topology(dir: &Path, lines: &str) {
    let text = TOPOLOGY.replace("[coordinator]", &format!("{lines}\n[coordinator]"));
    std::fs::write(dir.join("topology.toml"), text).expect("written");
    std::fs::create_dir(dir.join("regions")).expect("made");
    for (name, latitude, longitude) in [
        ("west", 40.0, -75.0),
        ("middle", 50.0, 5.0),
        ("east", 35.0, 139.0),
    ] {
        let text = format!(
            "display_name = \"{name}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\ndns = [\"{name}.test.example\"]\nedges = 1\n"
        );
        std::fs::write(dir.join(format!("regions/{name}.toml")), text).expect("written");
    }
}

fn spawn(config: &CoordinatorConfig, shutdown: &CancellationToken) -> JoinHandle<()> {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let run = sluice_coordinator::run(config.clone(), metrics, shutdown.clone());
    tokio::spawn(async move { run.await.expect("it runs until it is told to end") })
}

impl TestCoordinator {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one whose settings `change` had a hand in.
    pub(crate) async fn start_with(change: impl FnOnce(&mut CoordinatorSettings)) -> Self {
        Self::start_on("", change).await
    }

    /// Starts one whose topology begins with these lines more.
    pub(crate) async fn start_on(
        lines: &str,
        change: impl FnOnce(&mut CoordinatorSettings),
    ) -> Self {
        let work = tempfile::tempdir().expect("a directory");
        write_topology(work.path(), lines);
        let ca = MeshCa::generate("test").expect("a CA");
        let mesh_dir = work.path().join("coordinator");
        ca.issue(&Identity::Coordinator, Duration::from_secs(3_600))
            .and_then(|issued| issued.save(&mesh_dir))
            .expect("a certificate");
        let geoip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/geoip/country.mmdb");
        assert!(geoip.exists(), "run scripts/geoip first");
        let key = |text: String| text.parse().expect("a key");
        let mut settings = CoordinatorSettings {
            topology: Some(work.path().to_owned()),
            http_listen: Some(free_address()),
            control_listen: Some(free_address()),
            mesh_dir: Some(mesh_dir),
            store: Some(work.path().join("store.redb")),
            geoip: Some(vec![geoip]),
            public_url: Some("http://127.0.0.1:1".to_owned()),
            page_url: Some("https://page.example/".to_owned()),
            api_keys: Some(vec![
                key(format!("acme:{SECRET}")),
                key(format!("other:{SECRET}")),
                key(format!("watch:{SECRET}:acme:ops")),
            ]),
            turn_secret: Some("s3cret".to_owned()),
            turn_override: Some("127.0.0.1:3478".to_owned()),
            dev_client_override: Some(true),
            ..CoordinatorSettings::default()
        };
        change(&mut settings);
        let config = settings.resolve().expect("good settings");
        let shutdown = CancellationToken::new();
        let started = Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            running: spawn(&config, &shutdown),
            config,
            ca,
            shutdown,
            work,
        };
        started.until_it_answers().await;
        started
    }

    /// Ends it and starts another one on the same store.
    pub(crate) async fn restart(mut self) -> Self {
        self.shutdown.cancel();
        timeout(PATIENCE, &mut self.running)
            .await
            .expect("in time")
            .expect("no panic");
        self.shutdown = CancellationToken::new();
        self.running = spawn(&self.config, &self.shutdown);
        self.until_it_answers().await;
        self
    }

    /// The folder of its topology.
    pub(crate) fn dir(&self) -> &Path {
        self.work.path()
    }

    async fn until_it_answers(&self) {
        let url = format!("http://{}/healthz", self.config.http_listen);
        let answers = async {
            while self.http.get(&url).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, answers).await.expect("it answers");
    }

    /// One request with these headers.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Option<String>,
    ) -> Answer {
        let url = format!("http://{}{path}", self.config.http_listen);
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer {
            status,
            headers,
            body,
        }
    }

    /// A request as the tenant `acme`.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> Answer {
        let headers = [json_type(), bearer(&token("acme"))];
        let body = (!body.is_null()).then(|| body.to_string());
        self.send(method, path, &headers, body).await
    }

    /// A join without a token.
    pub(crate) async fn join(&self, meeting: &Value, query: &str, body: Value) -> Answer {
        let path = format!("/v1/meetings/{}/join{query}", text(&meeting["id"]));
        self.send(Method::POST, &path, &[json_type()], Some(body.to_string()))
            .await
    }

    async fn watch(&self, query: &str) -> reqwest::Response {
        let url = format!("http://{}/v1/ops/live{query}", self.config.http_listen);
        let (name, value) = bearer(&token("watch"));
        let response = self.http.get(url).header(name, value).send().await;
        response.expect("an answer")
    }

    /// The live events of the mesh.
    pub(crate) async fn live(&self, query: &str) -> Live {
        let response = self.watch(query).await;
        assert_eq!(response.status(), 200);
        Live {
            response,
            text: String::new(),
        }
    }

    /// The status with which they would be answered.
    pub(crate) async fn live_status(&self) -> u16 {
        self.watch("").await.status().as_u16()
    }

    /// A meeting of `acme`.
    pub(crate) async fn meeting(&self, settings: Value) -> Value {
        let answer = self
            .api(
                Method::POST,
                "/v1/meetings",
                json!({ "title": "Plan", "settings": settings }),
            )
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }

    /// A meeting's record, once it is as wanted.
    pub(crate) async fn until_quality(
        &self,
        meeting: &Value,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!("/v1/meetings/{}/quality", text(&meeting["id"]));
        let mut last = Value::Null;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            last = self.api(Method::GET, &path, Value::Null).await.body;
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: not within {PATIENCE:?}; last: {last:#}");
    }

    /// Connects as an edge with the certificate of `certified`.
    async fn connect(&self, certified: &str) -> (MeshEndpoint, MeshConnection, Fingerprint) {
        let identity = Identity::Edge(certified.parse().expect("an edge"));
        let issued = self
            .ca
            .issue(&identity, Duration::from_secs(3_600))
            .expect("a certificate");
        let credentials = issued.credentials().expect("good");
        let fingerprint = Fingerprint::of_pem(&issued.cert_pem).expect("a certificate");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = MeshEndpoint::bind(any, credentials, &TransportSettings::control(), &[])
            .expect("an endpoint");
        let connection = endpoint
            .connect(self.config.control_listen, &Identity::Coordinator, &[ALPN])
            .await
            .expect("a connection");
        (endpoint, connection, fingerprint)
    }

    /// Why an edge that dials once more is refused.
    pub(crate) async fn refuses(&self, edge: &FakeEdge) -> String {
        let dialled = edge
            .endpoint
            .connect(self.config.control_listen, &Identity::Coordinator, &[ALPN])
            .await;
        let connection = dialled.expect("its own half of the handshake");
        let closed = timeout(PATIENCE, connection.quic().closed()).await;
        closed.expect("in time").to_string()
    }

    /// What the join token of an answer says.
    pub(crate) fn claims(&self, joined: &Answer) -> JoinClaims {
        let token = text(&joined.body["join_token"]);
        let part = token.split('.').nth(1).expect("three parts");
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64");
        serde_json::from_slice(&bytes).expect("claims")
    }

    /// Says hello as `edge` of `region`, with the certificate of `certified`.
    pub(crate) async fn hello(&self, edge: &str, region: &str, certified: &str) -> FakeEdge {
        let backbone = "192.0.2.1:7409";
        self.hello_at(edge, region, certified, backbone).await
    }

    /// The same of one whose backbone is there.
    pub(crate) async fn hello_at(
        &self,
        edge: &str,
        region: &str,
        certified: &str,
        backbone: &str,
    ) -> FakeEdge {
        let (endpoint, connection, fingerprint) = self.connect(certified).await;
        let (sender, receiver) = connection.open_messages().await.expect("a stream");
        let edge: EdgeId = edge.parse().expect("an edge");
        let mut fake = FakeEdge {
            sender,
            receiver,
            connection,
            endpoint,
            fingerprint,
        };
        fake.say(EdgeMessage::Hello(Registration {
            sfu_endpoint: format!("http://{edge}.example"),
            signal_endpoint: format!("ws://{edge}.example/v1/signal"),
            edge,
            region: region.parse().expect("a region"),
            backbone: backbone.to_owned(),
            capacity: 1_000,
            software: "test".to_owned(),
        }))
        .await;
        fake
    }

    /// Registers the edge of a region; the coordinator has welcomed it.
    pub(crate) async fn edge(&self, region: &str) -> FakeEdge {
        let name = format!("{region}-1");
        let mut edge = self.hello(&name, region, &name).await;
        edge.until(|message| matches!(message, CoordinatorMessage::Welcome { .. }))
            .await;
        edge
    }
}

impl Drop for TestCoordinator {
    fn drop(&mut self) {
        self.shutdown.cancel();
        // The directory goes with the store, which the aborted task no longer needs.
        self.running.abort();
        let _ = &self.work;
    }
}

/// Live events, as they come.
pub(crate) struct Live {
    response: reqwest::Response,
    text: String,
}

impl Live {
    /// The data of the next event of that name that is wanted; others are passed over.
    pub(crate) async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                while let Some((event, rest)) = self.text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.text = rest;
                    let field = |name: &str| {
                        let mut lines = event.lines();
                        lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                    };
                    if field("event: ").as_deref() == Some(name) {
                        let data = field("data: ").expect("data");
                        let data = serde_json::from_str(&data).expect("JSON");
                        if wanted(&data) {
                            return data;
                        }
                    }
                }
                let more = self.response.chunk().await.expect("readable");
                let more = more.expect("it goes on");
                self.text
                    .push_str(std::str::from_utf8(&more).expect("text"));
            }
        };
        timeout(PATIENCE, looking)
            .await
            .expect("the event comes in time")
    }
}

/// The edge's end of a control connection.
pub(crate) struct FakeEdge {
    sender: MessageSender<EdgeMessage>,
    receiver: MessageReceiver<CoordinatorMessage>,
    connection: MeshConnection,
    endpoint: MeshEndpoint,
    fingerprint: Fingerprint,
}

impl FakeEdge {
    /// That of its certificate.
    pub(crate) fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }

    /// Waits until the coordinator closes the connection; gives its reason.
    pub(crate) async fn closed(&mut self) -> String {
        let closed = timeout(PATIENCE, self.connection.quic().closed()).await;
        closed.expect("in time").to_string()
    }

    pub(crate) async fn say(&mut self, message: EdgeMessage) {
        self.sender.send(&message).await.expect("sent");
    }

    pub(crate) async fn beat(&mut self) {
        self.say(EdgeMessage::Heartbeat(Heartbeat::default())).await;
    }

    pub(crate) async fn demand(&mut self, room: &Value, participants: u32) {
        let room: MeetingId = text(room).parse().expect("a meeting");
        let publishing = participants > 0;
        self.say(EdgeMessage::Demand(RoomDemand {
            room,
            participants,
            publishing,
        }))
        .await;
    }

    pub(crate) async fn attendance(
        &mut self,
        room: &Value,
        whole: bool,
        changes: &[AttendanceChange],
    ) {
        self.say(EdgeMessage::Attendance(Attendance {
            room: text(room).parse().expect("a meeting"),
            whole,
            changes: changes.to_vec(),
        }))
        .await;
    }

    /// The next message, however long it takes.
    pub(crate) async fn next(&mut self) -> CoordinatorMessage {
        let message = self.receiver.recv().await;
        message.expect("readable").expect("not closed")
    }

    /// The next message that is wanted; others are passed over.
    pub(crate) async fn until(
        &mut self,
        mut wanted: impl FnMut(&CoordinatorMessage) -> bool,
    ) -> CoordinatorMessage {
        let looking = async {
            loop {
                let message = self.next().await;
                if wanted(&message) {
                    return message;
                }
            }
        };
        timeout(PATIENCE, looking)
            .await
            .expect("the message comes in time")
    }
}

/// The `n`th participant.
pub(crate) fn attendee(n: u8, name: &str, joined_at_ms: u64) -> Attendee {
    Attendee {
        participant: ParticipantId::from_random([n; 10]),
        name: name.to_owned(),
        role: Role::Speaker,
        joined_at_ms,
    }
}

pub(crate) fn joined(attendee: &Attendee) -> AttendanceChange {
    AttendanceChange::Joined(attendee.clone())
}

/// Left at a time of its own.
pub(crate) fn left(attendee: &Attendee, reason: LeaveReason) -> AttendanceChange {
    AttendanceChange::Left {
        participant: attendee.participant.clone(),
        reason,
        at_ms: 1_700_000_005_000,
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub(crate) fn json_type() -> (&'static str, String) {
    ("content-type", "application/json".to_owned())
}

pub(crate) fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// A token of an API key for everything.
pub(crate) fn token(key: &str) -> String {
    sign(&json!({ "iss": key, "exp": 4_000_000_000u64 }))
}

pub(crate) fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(
        &Header::default(),
        claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .expect("signed")
}
