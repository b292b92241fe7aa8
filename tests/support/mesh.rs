//! A whole mesh in this process: a coordinator and edges, on free ports of loopback.

use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_coordinator::config::CoordinatorSettings;
use sluice_edge::config::EdgeSettings;
use sluice_meshnet::{Identity, MeshCa};
use sluice_types::ids::EdgeId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ports::{free_port, loopback};
use crate::rest::Rest;

/// Three regions in a row: `west` and `east` are linked through `middle` alone.
const TOPOLOGY: &str = r#"
name = "test"
regions = ["west", "middle", "east"]

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

/// A running mesh; it ends when it is dropped.
pub struct TestMesh {
    /// Its REST.
    pub rest: Rest,
    shutdown: CancellationToken,
    settings: Box<dyn Fn() -> CoordinatorSettings + Send + Sync>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    _work: tempfile::TempDir,
}

fn write_topology(dir: &Path) {
    std::fs::write(dir.join("topology.toml"), TOPOLOGY).expect("written");
    let regions = dir.join("regions");
    std::fs::create_dir(&regions).expect("made");
    for (name, latitude, longitude) in [
        ("west", 40.0, -75.0),
        ("middle", 50.0, 5.0),
        ("east", 35.0, 139.0),
    ] {
        let text = format!(
            "display_name = \"{name}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\ndns = [\"{name}.test.example\"]\nedges = 1\n"
        );
        std::fs::write(regions.join(format!("{name}.toml")), text).expect("written");
    }
}

impl TestMesh {
    /// Starts it and waits until every edge is registered.
    pub async fn start() -> Self {
        Self::start_told(None).await
    }

    /// As [`Self::start`], with an OTLP collector that all its processes tell.
    pub async fn start_told(collector: Option<String>) -> Self {
        let work = tempfile::tempdir().expect("a directory");
        write_topology(work.path());
        let ca = MeshCa::generate("test").expect("a CA");
        let issue = |identity: Identity, name: &str| {
            let dir = work.path().join(name);
            ca.issue(&identity, Duration::from_secs(3_600))
                .and_then(|issued| issued.save(&dir))
                .expect("a certificate");
            dir
        };
        let shutdown = CancellationToken::new();
        let (http, control) = (loopback(free_port()), loopback(free_port()));
        let metrics = || PrometheusBuilder::new().build_recorder().handle();
        let (dir, mesh_dir) = (
            work.path().to_owned(),
            issue(Identity::Coordinator, "coordinator"),
        );
        let told = collector.clone();
        let settings = Box::new(move || CoordinatorSettings {
            otlp_endpoint: told.clone(),
            topology: Some(dir.clone()),
            http_listen: Some(http),
            control_listen: Some(control),
            mesh_dir: Some(mesh_dir.clone()),
            store: Some(dir.join("store.redb")),
            public_url: Some(format!("http://{http}")),
            api_keys: Some(vec![Rest::operator().parse().expect("a key")]),
            requests_per_address: Some(10_000),
            ..CoordinatorSettings::default()
        });
        for region in ["west", "middle", "east"] {
            let edge: EdgeId = format!("{region}-1").parse().expect("an edge");
            let (page, backbone) = (loopback(free_port()), loopback(free_port()));
            let config = EdgeSettings {
                mesh_dir: Some(issue(Identity::Edge(edge.clone()), edge.as_str())),
                edge: Some(edge),
                region: Some(region.parse().expect("a region")),
                coordinator: Some(vec![control.to_string()]),
                http_listen: Some(page),
                media_listen: Some(page.ip()),
                media_port: Some(0),
                workers: Some(1),
                ice_tcp_port: Some(0),
                backbone_listen: Some(backbone),
                backbone_endpoint: Some(backbone.to_string()),
                sfu_endpoint: Some(format!("http://{page}")),
                otlp_endpoint: collector.clone(),
                ..EdgeSettings::default()
            };
            let config = config.resolve().expect("good settings");
            tokio::spawn(sluice_edge::run(config, metrics(), shutdown.clone()));
        }
        let mut mesh = Self {
            settings,
            running: None,
            rest: Rest::new(http),
            shutdown,
            _work: work,
        };
        mesh.start_coordinator();
        mesh.rest
            .until("three edges are registered", |state| {
                state["edges"]
                    .as_array()
                    .is_some_and(|edges| edges.len() == 3)
            })
            .await;
        mesh
    }

    /// Starts the coordinator, for the first time or again with what it stored.
    pub fn start_coordinator(&mut self) {
        let config = (self.settings)().resolve().expect("good settings");
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let shutdown = self.shutdown.child_token();
        let run = sluice_coordinator::run(config, metrics, shutdown.clone());
        let task = tokio::spawn(async move { run.await.expect("the coordinator runs") });
        self.running = Some((shutdown, task));
    }

    /// Stops the coordinator, and waits until it is gone.
    pub async fn stop_coordinator(&mut self) {
        if let Some((shutdown, task)) = self.running.take() {
            shutdown.cancel();
            task.await.expect("it ends in an orderly way");
        }
    }
}

impl Drop for TestMesh {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
