//! An edge on loopback ports of its own, and the coordinator's end of its line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_edge::EdgeError;
use sluice_edge::config::EdgeSettings;
use sluice_meshnet::{
    Identity, MeshCa, MeshConnection, MeshEndpoint, MessageReceiver, MessageSender,
    TransportSettings,
};
use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::{ALPN, CoordinatorMessage, EdgeMessage};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::ports::{free_port, loopback};
use crate::token::Signer;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The mesh of these tests, and the `iss` of its tokens.
pub(crate) const MESH: &str = "test-mesh";

const VALIDITY: Duration = Duration::from_secs(3_600);

/// What `what` comes to, or a failed test.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}

/// A running edge. It ends when this is dropped.
pub(crate) struct Edge {
    pub(crate) http: SocketAddr,
    pub(crate) signer: Signer,
    coordinator: MeshEndpoint,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), EdgeError>>,
    _certificates: TempDir,
}

/// The coordinator's end of a registered edge's line.
pub(crate) struct Line {
    sender: MessageSender<CoordinatorMessage>,
    receiver: MessageReceiver<EdgeMessage>,
    _connection: MeshConnection,
}

fn anywhere() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}

fn paris() -> EdgeId {
    "paris-1".parse().expect("an edge id")
}

impl Edge {
    /// An edge that nobody has registered yet, with other settings than the default's.
    pub(crate) async fn unregistered(change: impl FnOnce(&mut EdgeSettings)) -> Self {
        let ca = MeshCa::generate(MESH).expect("a CA");
        let certificates = TempDir::new().expect("a directory");
        let mesh_dir = certificates.path().join("mesh");
        ca.issue(&Identity::Edge(paris()), VALIDITY)
            .and_then(|issued| issued.save(&mesh_dir))
            .expect("a certificate");
        let own = ca
            .issue(&Identity::Coordinator, VALIDITY)
            .expect("a certificate")
            .credentials()
            .expect("good credentials");
        let coordinator =
            MeshEndpoint::bind(anywhere(), own, &TransportSettings::control(), &[ALPN])
                .expect("an endpoint");
        let line = coordinator.local_address().expect("bound");
        let http = loopback(free_port());
        let mut settings = EdgeSettings {
            edge: Some(paris()),
            region: Some("paris".parse().expect("a region")),
            coordinator: Some(vec![line.to_string()]),
            mesh_dir: Some(mesh_dir),
            http_listen: Some(http),
            media_listen: Some(Ipv4Addr::LOCALHOST.into()),
            media_port: Some(0),
            workers: Some(1),
            ice_tcp_port: Some(0),
            backbone_listen: Some(anywhere()),
            backbone_endpoint: Some("127.0.0.1:7419".into()),
            sfu_endpoint: Some(format!("http://{http}")),
            drain_ms: Some(0),
            dev: Some(true),
            ..EdgeSettings::default()
        };
        change(&mut settings);
        let config = settings.resolve().expect("a good configuration");
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(sluice_edge::run(config, metrics, shutdown.clone()));
        let edge = Self {
            http,
            signer: Signer::new(),
            coordinator,
            shutdown,
            task,
            _certificates: certificates,
        };
        edge.until("/healthz", 200).await;
        edge
    }

    /// An edge that is registered and ready.
    pub(crate) async fn start() -> (Self, Line) {
        Self::with(|_| {}).await
    }

    /// The same, with other settings than the default's.
    pub(crate) async fn with(change: impl FnOnce(&mut EdgeSettings)) -> (Self, Line) {
        let edge = Self::unregistered(change).await;
        let line = edge.register().await;
        edge.until("/readyz", 200).await;
        (edge, line)
    }

    /// Welcomes the edge, with the keys of [`Self::signer`].
    pub(crate) async fn register(&self) -> Line {
        let connection = within(self.coordinator.accept()).await.expect("the edge");
        let (mut sender, mut receiver) = within(connection.accept_messages())
            .await
            .expect("a stream");
        let hello = within(receiver.recv()).await.expect("read");
        let Some(EdgeMessage::Hello(registration)) = hello else {
            panic!("a registration first, not {hello:?}");
        };
        assert_eq!(registration.edge, paris());
        assert_eq!(registration.sfu_endpoint, self.url(""));
        let welcome = CoordinatorMessage::Welcome {
            mesh: MESH.into(),
            jwks: self.signer.jwks(),
            heartbeat_ms: 1_000,
            public_url: "http://coordinator.example".into(),
        };
        sender.send(&welcome).await.expect("sent");
        Line {
            sender,
            receiver,
            _connection: connection,
        }
    }

    /// The coordinator goes down for good.
    pub(crate) async fn lose_coordinator(&self) {
        self.coordinator.close("goes down").await;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Asks again until the answer has this status.
    pub(crate) async fn until(&self, path: &str, status: u16) {
        within(async {
            loop {
                let answer = reqwest::get(self.url(path)).await;
                if answer.is_ok_and(|answer| answer.status() == status) {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The status of a plain GET.
    pub(crate) async fn status(&self, path: &str) -> u16 {
        let answer = within(reqwest::get(self.url(path))).await;
        answer.expect("an answer").status().as_u16()
    }

    /// Ends the edge in an orderly way.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let result = within(&mut self.task).await.expect("no panic");
        assert!(result.is_ok(), "{result:?}");
    }

    /// Asks the edge to go away.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    pub(crate) async fn send(&mut self, message: CoordinatorMessage) {
        self.sender.send(&message).await.expect("sent");
    }

    /// The next message for which `wanted` gives something.
    pub(crate) async fn find<T>(&mut self, wanted: impl Fn(EdgeMessage) -> Option<T>) -> T {
        // Heartbeats go on for ever; what is looked for must come in time.
        within(async {
            loop {
                let message = self.receiver.recv().await.expect("read");
                if let Some(found) = wanted(message.expect("a message")) {
                    return found;
                }
            }
        })
        .await
    }
}
