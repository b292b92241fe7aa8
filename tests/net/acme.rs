//! Certificates of public names, from a real ACME authority.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::Client;
use reqwest::tls::TlsInfo;
use sluice_acme::AcmeSettings;
use sluice_coordinator::config::CoordinatorSettings;
use sluice_edge::config::EdgeSettings;
use sluice_meshnet::{Identity, MeshCa};
use sluice_tests::authority::Authority;
use sluice_tests::client::PATIENCE;
use sluice_tests::ports::{free_port, loopback};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Long enough that whatever shows a certificate is asked while it is good.
const HOUR: Duration = Duration::from_secs(3_600);

/// Within this a certificate of 24 s is renewed, and the new one shown.
const RENEWED: Duration = Duration::from_secs(60);

fn mesh_dir(dir: &Path, identity: &Identity) -> PathBuf {
    let dir = dir.join("mesh");
    if !dir.exists() {
        let ca = MeshCa::generate("test").expect("a CA");
        let issued = ca.issue(identity, HOUR).expect("a certificate");
        issued.save(&dir).expect("saved");
    }
    dir
}

fn settings(authority: &Authority, name: &str, listen: SocketAddr, dir: &Path) -> AcmeSettings {
    AcmeSettings {
        names: Some(vec![name.to_owned()]),
        directory: Some(authority.directory.clone()),
        contact: Some(vec!["mailto:ops@sluice.example".to_owned()]),
        dir: Some(dir.join("acme")),
        ca: Some(authority.ca.clone()),
        listen: Some(listen),
        ..AcmeSettings::default()
    }
}

/// An edge with HTTPS at the address, until the token is cancelled.
fn edge(
    dir: &Path,
    acme: AcmeSettings,
    metrics: PrometheusHandle,
    stop: &CancellationToken,
) -> (SocketAddr, JoinHandle<()>) {
    let http = loopback(free_port());
    let id = "paris-1".parse().expect("an edge");
    let config = EdgeSettings {
        mesh_dir: Some(mesh_dir(dir, &Identity::Edge(id))),
        edge: Some("paris-1".parse().expect("an edge")),
        region: Some("paris".parse().expect("a region")),
        coordinator: Some(vec!["127.0.0.1:1".to_owned()]),
        http_listen: Some(http),
        acme,
        media_listen: Some(http.ip()),
        media_port: Some(0),
        workers: Some(1),
        ice_tcp_port: Some(0),
        backbone_listen: Some(loopback(0)),
        backbone_endpoint: Some("127.0.0.1:1".to_owned()),
        sfu_endpoint: Some("https://paris-1.sluice.example".to_owned()),
        drain_ms: Some(0),
        ..EdgeSettings::default()
    };
    let config = config.resolve().expect("good settings");
    let run = sluice_edge::run(config, metrics, stop.clone());
    let task = tokio::spawn(async move { run.await.expect("the edge runs") });
    (http, task)
}

/// The certificate of the connection over which `client` asks, once somebody answers.
async fn shown(client: &Client, url: &str) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        match client.get(url).send().await {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < deadline, "nobody answers: {error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    let info = answer.extensions().get::<TlsInfo>().expect("TLS");
    let certificate = info.peer_certificate().expect("a certificate").to_vec();
    assert_eq!(answer.text().await.expect("a body"), "ok\n");
    certificate
}

#[tokio::test]
async fn a_certificate_is_got_shown_and_renewed_and_nobody_is_cut_off() {
    // Two thirds of it pass within the test.
    let authority = Authority::start(Duration::from_secs(24)).await;
    let name = "paris-1.sluice.example";
    let dir = tempfile::tempdir().expect("a directory");
    let stop = CancellationToken::new();
    let acme = settings(&authority, name, authority.asks_at, dir.path());
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let (http, running) = edge(dir.path(), acme, metrics, &stop);
    let url = format!("https://{name}:{}/healthz", http.port());

    let standing = authority.client(name, http);
    let first = shown(&standing, &url).await;
    let deadline = Instant::now() + RENEWED;
    while shown(&authority.client(name, http), &url).await == first {
        assert!(Instant::now() < deadline, "it is never renewed");
        assert_eq!(shown(&standing, &url).await, first, "it is cut off");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(shown(&standing, &url).await, first, "it was cut off");
    stop.cancel();
    running.await.expect("it ends in an orderly way");
}

#[tokio::test]
async fn who_shares_a_name_and_the_account_key_answers_for_the_other() {
    let authority = Authority::start(HOUR).await;
    let name = "meet.sluice.example";
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let key = dirs[0].path().join("shared-key.pem");
    fs::write(&key, sluice_acme::new_account_key().expect("a key")).expect("written");
    let stop = CancellationToken::new();
    let metrics = || PrometheusBuilder::new().build_recorder().handle();
    let shared = |listen, dir: &Path| AcmeSettings {
        account_key: Some(key.clone()),
        ..settings(&authority, name, listen, dir)
    };
    // The authority asks the edge alone, whoever ordered.
    let (_, edge) = edge(
        dirs[0].path(),
        shared(authority.asks_at, dirs[0].path()),
        metrics(),
        &stop,
    );
    let http = loopback(free_port());
    let dir = dirs[1].path();
    fs::create_dir(dir.join("regions")).expect("made");
    fs::write(
        dir.join("topology.toml"),
        "name = \"t\"\nregions = [\"paris\"]\n",
    )
    .expect("written");
    fs::write(
        dir.join("regions/paris.toml"),
        "display_name = \"Paris\"\nlatitude = 48.8\nlongitude = 2.3\ndns = [\"p.example\"]\nedges = 1\n",
    )
    .expect("written");
    let coordinator = CoordinatorSettings {
        topology: Some(dir.to_owned()),
        http_listen: Some(http),
        control_listen: Some(loopback(0)),
        mesh_dir: Some(mesh_dir(dir, &Identity::Coordinator)),
        store: Some(dir.join("store.redb")),
        acme: shared(loopback(0), dir),
        api_keys: Some(vec![
            "key:0123456789abcdef0123456789abcdef"
                .parse()
                .expect("a key"),
        ]),
        ..CoordinatorSettings::default()
    };
    let config = coordinator.resolve().expect("good settings");
    let run = sluice_coordinator::run(config, metrics(), stop.clone());
    let coordinator = tokio::spawn(async move { run.await.expect("the coordinator runs") });

    let url = format!("https://{name}:{}/healthz", http.port());
    shown(&authority.client(name, http), &url).await;
    stop.cancel();
    for running in [edge, coordinator] {
        running.await.expect("it ends in an orderly way");
    }
}

#[tokio::test]
async fn a_failure_keeps_the_certificate_that_there_is_and_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // Tasks of this test's runtime are on its thread.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let authority = Authority::start(HOUR).await;
    let name = "paris-1.sluice.example";
    let dir = tempfile::tempdir().expect("a directory");
    let stop = CancellationToken::new();
    let acme = settings(&authority, name, authority.asks_at, dir.path());
    let (http, running) = edge(dir.path(), acme, metrics.clone(), &stop);
    let url = |http: SocketAddr| format!("https://{name}:{}/healthz", http.port());
    let first = shown(&authority.client(name, http), &url(http)).await;
    stop.cancel();
    running.await.expect("it ends in an orderly way");

    // Another name is ordered at once, and nobody answers for it.
    let stop = CancellationToken::new();
    let mut acme = settings(&authority, name, loopback(0), dir.path());
    acme.names = Some(vec![name.to_owned(), "paris.sluice.example".to_owned()]);
    let (http, running) = edge(dir.path(), acme, metrics.clone(), &stop);
    let deadline = Instant::now() + PATIENCE;
    while !metrics.render().contains("sluice_acme_failures 1") {
        assert!(Instant::now() < deadline, "{}", metrics.render());
        sleep(Duration::from_millis(50)).await;
    }
    let said = metrics.render();
    assert!(
        said.contains("sluice_acme_orders_total{result=\"failed\"} 1"),
        "{said}"
    );
    assert!(
        said.contains("sluice_acme_orders_total{result=\"issued\"} 1"),
        "{said}"
    );
    assert_eq!(
        shown(&authority.client(name, http), &url(http)).await,
        first
    );
    stop.cancel();
    running.await.expect("it ends in an orderly way");
}
