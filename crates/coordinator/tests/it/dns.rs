//! Edges that are given by name, asked of a real name server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sluice_types::mesh::control::CoordinatorMessage;
use tokio::time::timeout;

use crate::ports::{free_port, loopback};
use crate::support::{FakeEdge, TestCoordinator};

/// Longer than a record's time to live, and than the shortest time between two questions.
const PATIENCE: Duration = Duration::from_secs(30);

/// dnsmasq, with the names of a file.
struct NameServer {
    process: Child,
    address: SocketAddr,
    hosts: PathBuf,
}

impl NameServer {
    fn start(dir: &Path, hosts: &str) -> Self {
        let address = loopback(free_port());
        let file = dir.join("hosts");
        std::fs::write(&file, hosts).expect("written");
        let process = Command::new("dnsmasq")
            .args([
                "--no-daemon",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
            ])
            .args([
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--local-ttl=1",
            ])
            .args(["--pid-file=", "--user="])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--addn-hosts={}", file.display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq runs: scripts/setup installs it");
        Self {
            process,
            address,
            hosts: file,
        }
    }

    /// From now on names lead elsewhere.
    fn change(&self, hosts: &str) {
        std::fs::write(&self.hosts, hosts).expect("written");
        let process = self.process.id().to_string();
        let told = Command::new("kill").args(["-HUP", &process]).status();
        assert!(told.expect("kill runs").success());
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It is gone already when this fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Until the directory says that the middle's backbone is there.
async fn middle_at(edge: &mut FakeEdge, address: &str) {
    let address: SocketAddr = address.parse().expect("an address");
    let wanted = |message: &CoordinatorMessage| match message {
        CoordinatorMessage::Directory { edges } => edges
            .iter()
            .any(|edge| edge.edge.as_str() == "middle-1" && edge.backbone == [address]),
        _ => false,
    };
    let told = async {
        loop {
            let message = edge.next().await;
            if wanted(&message) {
                return;
            }
        }
    };
    timeout(PATIENCE, told)
        .await
        .expect("the directory says so");
}

#[tokio::test]
async fn an_edge_whose_name_leads_elsewhere_is_looked_for_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = NameServer::start(dir.path(), "127.0.0.2 middle-1.mesh.test\n");
    let address = server.address;
    let coordinator = TestCoordinator::start_with(|settings| {
        settings.name_servers = Some(vec![address]);
    })
    .await;
    let mut west = coordinator.edge("west").await;
    let registered = async {
        loop {
            let at = "middle-1.mesh.test:7409";
            let mut middle = coordinator
                .hello_at("middle-1", "middle", "middle-1", at)
                .await;
            match middle.next().await {
                CoordinatorMessage::Welcome { .. } => return middle,
                // The name server does not answer yet.
                CoordinatorMessage::Refuse { .. } => {}
                other => panic!("neither in nor out: {other:?}"),
            }
        }
    };
    let _middle = timeout(PATIENCE, registered)
        .await
        .expect("the name is found");
    middle_at(&mut west, "127.0.0.2:7409").await;
    server.change("127.0.0.3 middle-1.mesh.test\n");
    middle_at(&mut west, "127.0.0.3:7409").await;
}
