//! The checks against real sockets on loopback: a mesh endpoint for the coordinator and a peer, a
//! small HTTP server, a name server, and coturn where it is installed.

#[path = "../../../../tests/support/ports.rs"]
#[expect(unreachable_pub, reason = "elsewhere it is part of a library")]
mod ports;
mod services;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, UNIX_EPOCH};

use sluice_meshnet::{Identity, MeshCa, MeshEndpoint, TransportSettings};
use sluice_types::mesh::{backbone, control};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use self::ports::{free_port, loopback};
use super::report::Finding;
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A mesh around the edge `paris-1`, whose doctor is called.
struct Hospital {
    dir: tempfile::TempDir,
    ca: MeshCa,
    patient: Patient,
}

fn edge(name: &str) -> Identity {
    Identity::Edge(name.parse().expect("an edge"))
}

impl Hospital {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ca = MeshCa::generate("test").expect("a CA");
        let mesh_dir = dir.path().join("mesh");
        ca.issue(&edge("paris-1"), 90 * DAY)
            .and_then(|issued| issued.save(&mesh_dir))
            .expect("a certificate");
        let settings = EdgeSettings {
            edge: Some("paris-1".parse().expect("an edge")),
            region: Some("paris".parse().expect("a region")),
            coordinator: Some(vec!["127.0.0.1:9".to_owned()]),
            mesh_dir: Some(mesh_dir),
            http_listen: Some(loopback(free_port())),
            media_listen: Some(Ipv4Addr::LOCALHOST.into()),
            media_port: Some(free_port()),
            workers: Some(1),
            ice_tcp_port: Some(free_port()),
            backbone_listen: Some(loopback(free_port())),
            backbone_endpoint: Some("127.0.0.1:7409".to_owned()),
            sfu_endpoint: Some("http://127.0.0.1:9".to_owned()),
            ..EdgeSettings::default()
        };
        let sysctl = dir.path().join("sysctl");
        std::fs::create_dir(&sysctl).expect("made");
        for name in ["rmem_max", "wmem_max"] {
            std::fs::write(sysctl.join(name), "33554432\n").expect("written");
        }
        let patient = Patient {
            config: settings.resolve().expect("good settings"),
            topology: None,
            coordinator_url: None,
            turn: None,
            turn_secret: None,
            peers: Vec::new(),
            geoip: Vec::new(),
            resolver: names::resolver(Some("127.0.0.1:9".parse().expect("an address")))
                .expect("a resolver"),
            sysctl,
        };
        Self { dir, ca, patient }
    }

    /// A process of the mesh that answers on loopback for as long as the test runs.
    fn answers(&self, who: &Identity, alpn: &[u8]) -> SocketAddr {
        self.answers_of(&self.ca, who, alpn)
    }

    fn answers_of(&self, ca: &MeshCa, who: &Identity, alpn: &[u8]) -> SocketAddr {
        let credentials = ca.issue(who, DAY).expect("issued");
        let credentials = credentials.credentials().expect("credentials");
        let any = "127.0.0.1:0".parse().expect("an address");
        let settings = TransportSettings::backbone(1_200);
        let endpoint = MeshEndpoint::bind(any, credentials, &settings, &[alpn]).expect("bound");
        let address = endpoint.local_address().expect("bound");
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Some(connection) = endpoint.accept().await {
                kept.push(connection);
            }
        });
        address
    }

    async fn ports(&self) -> Report {
        let mut report = Report::default();
        let http = host::http().expect("a client");
        host::ports(&mut report, &http, &self.patient.config).await;
        report
    }

    async fn clock(&self) -> Report {
        let mut report = Report::default();
        let http = host::http().expect("a client");
        let url = self.patient.coordinator_url.as_deref();
        host::clock(&mut report, &http, url).await;
        report
    }

    async fn report(&self) -> Report {
        examine(&self.patient).await
    }
}

/// Answers every request with this date and body.
async fn http_server(date: String, body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn date(ahead_s: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead_s);
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .expect("a date")
}

fn found<'a>(report: &'a Report, check: &str) -> Vec<&'a Finding> {
    let of_it = report.findings.iter().filter(|it| it.check == check);
    of_it.collect()
}

fn worst(report: &Report, check: &str) -> Verdict {
    let verdicts = found(report, check).into_iter().map(|it| it.verdict);
    verdicts.max().expect("it was looked at")
}

#[tokio::test]
async fn a_healthy_edge_that_does_not_run_yet() {
    let mut hospital = Hospital::new();
    let coordinator = hospital.answers(&Identity::Coordinator, control::ALPN);
    let peer = hospital.answers(&edge("mumbai-1"), backbone::ALPN);
    let clock = http_server(date(0), String::new()).await;
    let patient = &mut hospital.patient;
    patient.config.coordinators = vec![coordinator.to_string()];
    patient.peers = vec![("mumbai-1".parse().expect("an edge"), peer.to_string())];
    patient.coordinator_url = Some(format!("http://{clock}"));
    let report = hospital.report().await;
    for check in [
        "certificate",
        "buffers",
        "port",
        "clock",
        "dns",
        "coordinator",
        "peer",
        "mtu",
    ] {
        assert!(
            worst(&report, check) <= Verdict::Skip,
            "{:#?}",
            found(&report, check)
        );
    }
    assert!(report.worst() < Verdict::Fail);
    let mut text = Vec::new();
    report.write_text(&mut text).expect("written");
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("ok   coordinator  127.0.0.1"), "{text}");
    assert!(text.trim_end().ends_with("0 failed"), "{text}");
    let mut json = Vec::new();
    report.write_json("paris-1", &mut json).expect("written");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(
        (&json["edge"], &json["verdict"]),
        (&"paris-1".into(), &"skip".into())
    );
}

#[tokio::test]
async fn a_coordinator_of_another_authority_and_nobody_at_all() {
    let mut hospital = Hospital::new();
    let stranger = MeshCa::generate("other").expect("a CA");
    let at = hospital.answers_of(&stranger, &Identity::Coordinator, control::ALPN);
    hospital.patient.config.coordinators = vec![at.to_string()];
    // A peer that is somebody else than it should be.
    let peer = hospital.answers(&edge("tokyo-1"), backbone::ALPN);
    hospital.patient.peers = vec![("mumbai-1".parse().expect("an edge"), peer.to_string())];
    let report = hospital.report().await;
    assert_eq!(worst(&report, "coordinator"), Verdict::Fail);
    assert_eq!(worst(&report, "peer"), Verdict::Fail);
    assert_eq!(report.worst(), Verdict::Fail);
    for finding in report
        .findings
        .iter()
        .filter(|it| it.verdict == Verdict::Fail)
    {
        assert!(finding.mend.is_some(), "{finding:?}");
    }
}

#[tokio::test]
async fn a_coordinator_that_refuses_our_certificate_is_no_success() {
    let hospital = Hospital::new();
    // Its CA file lets it be known, but it knows another authority for those who dial it.
    let ours = hospital
        .ca
        .issue(&Identity::Coordinator, DAY)
        .expect("issued");
    let other = MeshCa::generate("other").expect("a CA");
    let credentials =
        sluice_meshnet::Credentials::from_pem(other.cert_pem(), &ours.cert_pem, &ours.key_pem)
            .expect("credentials");
    let any = "127.0.0.1:0".parse().expect("an address");
    let endpoint = MeshEndpoint::bind(
        any,
        credentials,
        &TransportSettings::control(),
        &[control::ALPN],
    )
    .expect("bound");
    let mut hospital = hospital;
    let at = endpoint.local_address().expect("bound");
    hospital.patient.config.coordinators = vec![at.to_string()];
    let report = hospital.report().await;
    assert_eq!(worst(&report, "coordinator"), Verdict::Fail);
}

#[tokio::test]
async fn ports_that_another_has_and_ports_of_the_edge_that_runs() {
    let mut hospital = Hospital::new();
    let media = UdpSocket::bind("127.0.0.1:0").expect("a port");
    hospital.patient.config.media_port = media.local_addr().expect("bound").port();
    let report = hospital.ports().await;
    assert_eq!(worst(&report, "port"), Verdict::Fail);

    let runs = http_server(date(0), r#"{"edge":"paris-1"}"#.to_owned()).await;
    let config = &mut hospital.patient.config;
    config.sfu_endpoint = format!("http://{runs}");
    config.http_listen = runs;
    let report = hospital.ports().await;
    // What it does not listen on is of another configuration; what is taken is its own.
    assert_eq!(worst(&report, "port"), Verdict::Warn);

    let other = http_server(date(0), r#"{"edge":"rome-1"}"#.to_owned()).await;
    hospital.patient.config.sfu_endpoint = format!("http://{other}");
    let report = hospital.ports().await;
    assert!(found(&report, "port")[0].found.contains("something else"));
}

#[tokio::test]
async fn a_clock_that_is_off_and_a_coordinator_without_http() {
    let mut hospital = Hospital::new();
    for (ahead_s, verdict) in [
        (60, Verdict::Fail),
        (-60, Verdict::Fail),
        (4, Verdict::Warn),
    ] {
        let clock = http_server(date(ahead_s), String::new()).await;
        hospital.patient.coordinator_url = Some(format!("http://{clock}"));
        let report = hospital.clock().await;
        assert_eq!(worst(&report, "clock"), verdict, "{ahead_s} s");
    }
    hospital.patient.coordinator_url = Some("http://127.0.0.1:9".to_owned());
    assert_eq!(worst(&hospital.clock().await, "clock"), Verdict::Fail);
}

#[tokio::test]
async fn certificates_that_end_are_not_ours_or_are_missing() {
    let mut hospital = Hospital::new();
    let dir = hospital.dir.path().to_owned();
    for (name, who, good, verdict) in [
        ("soon", "paris-1", 3 * DAY, Verdict::Warn),
        ("ended", "paris-1", Duration::ZERO, Verdict::Fail),
        ("rome", "rome-1", 90 * DAY, Verdict::Fail),
    ] {
        let mesh_dir = dir.join(name);
        hospital
            .ca
            .issue(&edge(who), good)
            .and_then(|issued| issued.save(&mesh_dir))
            .expect("a certificate");
        hospital.patient.config.mesh_dir = mesh_dir;
        let mut report = Report::default();
        let now = SystemTime::now() + Duration::from_secs(2);
        mesh::certificates(&mut report, &hospital.patient.config, now);
        assert_eq!(worst(&report, "certificate"), verdict, "{name}");
    }
    hospital.patient.config.mesh_dir = dir.join("nowhere");
    assert_eq!(
        worst(&hospital.report().await, "certificate"),
        Verdict::Fail
    );
}

#[test]
fn small_buffers_and_old_files() {
    let hospital = Hospital::new();
    for (bytes, verdict) in [("212992", Verdict::Fail), ("8388608", Verdict::Warn)] {
        std::fs::write(hospital.patient.sysctl.join("rmem_max"), bytes).expect("written");
        let mut report = Report::default();
        host::buffers(&mut report, &hospital.patient.sysctl);
        assert_eq!(worst(&report, "buffers"), verdict);
    }
    let file = hospital.dir.path().join("country.mmdb");
    std::fs::write(&file, "nonsense").expect("written");
    let mut report = Report::default();
    host::geoip(&mut report, &[file], SystemTime::now());
    assert_eq!(worst(&report, "geoip"), Verdict::Fail);
    let real =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/geoip/country.mmdb");
    let mut report = Report::default();
    host::geoip(&mut report, std::slice::from_ref(&real), UNIX_EPOCH);
    assert_eq!(
        worst(&report, "geoip"),
        Verdict::Ok,
        "run scripts/geoip first"
    );
    let late = SystemTime::now() + 3_650 * DAY;
    let mut report = Report::default();
    host::geoip(&mut report, &[real], late);
    assert_eq!(worst(&report, "geoip"), Verdict::Warn);
}
