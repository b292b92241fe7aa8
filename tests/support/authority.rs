//! A real ACME authority on loopback (Pebble), for which every name leads to 127.0.0.1.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::client::PATIENCE;
use crate::ports::{free_port, loopback};

/// It ends when this is dropped.
pub struct Authority {
    processes: Vec<Child>,
    /// The URL of its directory.
    pub directory: String,
    /// The certificate of the directory's own listener, PEM.
    pub ca: PathBuf,
    /// Where it asks for proofs, at whatever name.
    pub asks_at: SocketAddr,
    /// What its certificates are believed by.
    pub root: Certificate,
    work: tempfile::TempDir,
}

impl Authority {
    /// Starts one whose certificates are good for so long, and waits until it answers.
    pub async fn start(good_for: Duration) -> Self {
        let work = tempfile::tempdir().expect("a directory");
        let [acme, management, http, dns, names] = [(); 5].map(|()| loopback(free_port()));
        let (ca, key, config) = (
            work.path().join("ca.pem"),
            work.path().join("key.pem"),
            work.path().join("pebble.json"),
        );
        let pair = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let own = own.self_signed(&pair).expect("a certificate");
        fs::write(&ca, own.pem()).expect("written");
        fs::write(&key, pair.serialize_pem()).expect("written");
        let settings = json!({ "pebble": {
            "listenAddress": acme.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": ca,
            "privateKey": key,
            "httpPort": http.port(),
            "tlsPort": 1,
            "certificateValidityPeriod": good_for.as_secs(),
        }});
        fs::write(&config, settings.to_string()).expect("written");
        let started = |command: &mut Command| {
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("Pebble runs: scripts/setup installs it")
        };
        let names_server = started(
            Command::new("pebble-challtestsrv")
                .args(["-dns01", &dns.to_string()])
                .args(["-management", &names.to_string()])
                .args([
                    "-defaultIPv6",
                    "",
                    "-http01",
                    "",
                    "-https01",
                    "",
                    "-tlsalpn01",
                    "",
                ]),
        );
        let pebble = started(
            Command::new("pebble")
                .arg("-config")
                .arg(&config)
                .args(["-strict", "-dnsserver", &dns.to_string()])
                // Every order has to be proven anew, and at once.
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_VA_NOSLEEP", "1"),
        );
        let processes = vec![names_server, pebble];
        let trusted = Certificate::from_pem(own.pem().as_bytes()).expect("a certificate");
        let client = Client::builder().no_proxy().add_root_certificate(trusted);
        let client = client.build().expect("a client");
        let root = async {
            let url = format!("https://{management}/roots/0");
            loop {
                match client.get(&url).send().await {
                    Ok(answer) => break answer.bytes().await.expect("a body"),
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let root = timeout(PATIENCE, root).await.expect("Pebble answers");
        Self {
            processes,
            directory: format!("https://{acme}/dir"),
            ca,
            asks_at: http,
            root: Certificate::from_pem(&root).expect("a certificate"),
            work,
        }
    }

    /// A client that takes `name` for what listens at `at`, and believes this authority alone.
    pub fn client(&self, name: &str, at: SocketAddr) -> Client {
        let client = Client::builder()
            .no_proxy()
            .tls_info(true)
            .tls_built_in_root_certs(false)
            .add_root_certificate(self.root.clone())
            .resolve(name, at);
        client.build().expect("a client")
    }

    /// A folder that ends with it.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Either it is gone already, or it is ours to end and to wait for.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
