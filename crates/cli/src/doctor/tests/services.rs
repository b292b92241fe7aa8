//! DNS and TURN.

use std::process::{Child, Command, Stdio};

use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType, rdata};

use sluice_coordinator::tokens::turn_credential;
use sluice_types::ids::ParticipantId;

use super::*;
use crate::doctor::stun::{Line, TurnError};

/// Answers A of `edge.test` alone, with 127.0.0.1.
async fn name_server() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).expect("DNS");
            let query = question.queries[0].clone();
            let id = question.metadata.id;
            let mut answer = Message::new(id, MessageType::Response, OpCode::Query);
            answer.add_query(query.clone());
            let ours = query.name().to_utf8().starts_with("edge.test");
            if ours && query.query_type() == RecordType::A {
                let data = RData::A(rdata::A(Ipv4Addr::LOCALHOST));
                answer.add_answer(Record::from_rdata(query.name().clone(), 7, data));
            }
            let bytes = answer.to_vec().expect("DNS");
            let _ = socket.send_to(&bytes, from).await;
        }
    });
    address
}

#[tokio::test]
async fn names_lead_here_elsewhere_or_nowhere() {
    let mut hospital = Hospital::new();
    let server = name_server().await;
    hospital.patient.resolver = names::resolver(Some(server)).expect("a resolver");
    let check = async |hospital: &Hospital| {
        let mut report = Report::default();
        let patient = &hospital.patient;
        names::check(&mut report, &patient.resolver, &patient.config, None).await;
        worst(&report, "dns")
    };
    hospital.patient.config.sfu_endpoint = "http://edge.test.:7400".to_owned();
    assert_eq!(check(&hospital).await, Verdict::Skip);
    hospital.patient.config.advertise = vec!["192.0.2.1".parse().expect("an address")];
    assert_eq!(check(&hospital).await, Verdict::Warn);
    hospital.patient.config.sfu_endpoint = "http://nowhere.test.".to_owned();
    assert_eq!(check(&hospital).await, Verdict::Fail);
}

#[test]
fn hosts_of_urls() {
    for (url, host) in [
        ("https://a.example", "a.example"),
        ("http://a.example:80/x", "a.example"),
        ("http://[::1]:7400", "::1"),
    ] {
        assert_eq!(names::host_of_url(url), Some(host));
    }
}

struct Coturn(Child);

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn coturn_takes_a_credential_of_its_secret_and_no_other() {
    if Command::new("turnserver").arg("--help").output().is_err() {
        eprintln!("SKIPPED: coturn is not installed");
        return;
    }
    let port = free_port();
    let mut hospital = Hospital::new();
    let work = hospital.dir.path();
    let child = Command::new("turnserver")
        .args(["-n", "--no-tls", "--no-dtls", "--no-cli", "--fingerprint"])
        .args(["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"])
        .arg(format!("--listening-port={port}"))
        .args([
            "--use-auth-secret",
            "--static-auth-secret=s3cret",
            "--realm=test",
        ])
        .args(["--allow-loopback-peers", "--log-file=stdout"])
        .arg(format!("--pidfile={}", work.join("pid").display()))
        .arg(format!("--userdb={}", work.join("db").display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("coturn starts");
    let _coturn = Coturn(child);
    hospital.patient.turn = Some(turn_at(port));
    hospital.patient.turn_secret = Some("s3cret".to_owned());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let report = loop {
        let mut report = Report::default();
        turn::check(&mut report, &hospital.patient).await;
        if worst(&report, "turn") < Verdict::Fail || std::time::Instant::now() > deadline {
            break report;
        }
    };
    let finding = found_one(&report);
    assert_eq!(finding.verdict, Verdict::Ok, "{finding:?}");
    assert!(
        finding.found.contains("relays from 127.0.0.1:"),
        "{finding:?}"
    );
    assert!(
        found(&report, "turn")
            .iter()
            .any(|it| it.found == "relays to this edge, 127.0.0.1"),
        "{report:?}"
    );

    // Edges are at public addresses now: what leads within is a door.
    hospital.patient.config.advertise = vec!["51.15.0.10".parse().expect("an address")];
    let mut report = Report::default();
    turn::check(&mut report, &hospital.patient).await;
    let door = found(&report, "turn")
        .into_iter()
        .find(|it| it.verdict == Verdict::Fail)
        .expect("a failure");
    assert!(door.found.contains("127.0.0.1, 10.0.0.1"), "{door:?}");
    assert!(
        door.mend
            .as_deref()
            .expect("advice")
            .contains("denied-peer-ip")
    );
    hospital.patient.config.advertise = vec![Ipv4Addr::LOCALHOST.into()];

    hospital.patient.turn_secret = Some("another".to_owned());
    let mut report = Report::default();
    turn::check(&mut report, &hospital.patient).await;
    let finding = found_one(&report);
    assert_eq!(finding.verdict, Verdict::Fail);
    assert!(finding.found.contains("401"), "{finding:?}");
}

/// coturn as a machine starts it with these lines in the file of its secret.
async fn coturn_with(dir: &std::path::Path, secrets: &str) -> (Coturn, SocketAddr) {
    let port = free_port();
    let configuration = format!(
        "use-auth-secret\nstatic-auth-secret=@TURN_SECRET@\nrealm=test\nno-tls\nno-dtls\nno-cli\n\
         fingerprint\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nlistening-port={port}\n\
         log-file=stdout\npidfile={dir}/pid\nuserdb={dir}/db\n",
        dir = dir.display()
    );
    std::fs::write(dir.join("turnserver.conf"), configuration).expect("written");
    std::fs::write(dir.join("turn-secret"), secrets).expect("written");
    let run = dir.join("run");
    std::fs::create_dir_all(&run).expect("made");
    let script = include_str!("../../../../../terraform/modules/turn/files/turn-config.sh")
        .replace("/etc/sluice", &dir.display().to_string())
        .replace("/run/sluice-turn", &run.display().to_string());
    let told = Command::new("sh").args(["-c", &script]).status();
    assert!(told.expect("a shell").success());
    let child = Command::new("turnserver")
        .arg("-c")
        .arg(run.join("turnserver.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let coturn = Coturn(child.expect("coturn starts"));
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    // Refused, it answers all the same.
    while matches!(
        allocated(at, ("nobody".to_owned(), String::new())).await,
        Err(TurnError::Silent | TurnError::Socket(_))
    ) {
        assert!(std::time::Instant::now() < deadline, "coturn is silent");
    }
    (coturn, at)
}

async fn allocated(at: SocketAddr, credential: (String, String)) -> Result<(), TurnError> {
    let line = Line::udp(at).await?;
    let allocation = line.allocate(&credential.0, &credential.1).await?;
    allocation.end().await;
    Ok(())
}

#[tokio::test]
async fn credentials_of_either_secret_are_good_until_the_old_one_is_withdrawn() {
    if Command::new("turnserver").arg("--help").output().is_err() {
        eprintln!("SKIPPED: coturn is not installed");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let participant = ParticipantId::from_random([0; 10]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let until = now.expect("after 1970").as_secs() + 3_600;
    let credential = |secret| turn_credential(secret, &participant, until);
    // One secret, then both while it is rotated, then the new one alone.
    for (secrets, old_is_good, new_is_good) in [
        ("oldsecret\n", true, false),
        ("newsecret\noldsecret\n", true, true),
        ("newsecret\n", false, true),
    ] {
        let (_coturn, at) = coturn_with(dir.path(), secrets).await;
        for (secret, good) in [("oldsecret", old_is_good), ("newsecret", new_is_good)] {
            let told = allocated(at, credential(secret)).await;
            match good {
                true => assert!(told.is_ok(), "{secrets:?}, {secret}: {told:?}"),
                false => assert!(
                    matches!(told, Err(TurnError::Refused(_))),
                    "{secrets:?}, {secret}: {told:?}"
                ),
            }
        }
    }
}

fn turn_at(port: u16) -> turn::Server {
    turn::Server {
        host: "127.0.0.1".to_owned(),
        port,
        tls_port: None,
    }
}

fn found_one(report: &Report) -> &Finding {
    found(report, "turn").first().copied().expect("a finding")
}

#[tokio::test]
async fn a_silent_turn_server_is_said_to_be_silent() {
    let mut hospital = Hospital::new();
    hospital.patient.turn = Some(turn_at(free_port()));
    hospital.patient.turn_secret = Some("s3cret".to_owned());
    let mut report = Report::default();
    turn::check(&mut report, &hospital.patient).await;
    assert!(found_one(&report).found.contains("no answer"));
}

/// Peers of the shipped topology's Paris, all at 127.0.0.1.
fn near_paris(dir: &std::path::Path, ports: &str) -> Topology {
    std::fs::create_dir(dir.join("regions")).expect("made");
    std::fs::write(
        dir.join("topology.toml"),
        "name = \"near\"\nregions = [\"rome\"]\n",
    )
    .expect("written");
    let region = format!(
        "display_name = \"Rome\"\nlatitude = 41.9\nlongitude = 12.5\ndns = [\"rome.example\"]\n\
         edges = [{{ name = \"rome-1\", host = \"127.0.0.1\" }}]\nworkers = 1\n[ports]\n{ports}"
    );
    std::fs::write(dir.join("regions/rome.toml"), region).expect("written");
    load_dir(dir).expect("a topology")
}

#[tokio::test]
async fn ports_of_another_edge_that_are_open_and_that_are_not() {
    let hospital = Hospital::new();
    let signal = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let media = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let ports = format!(
        "signal = {}\nmedia = {}\nice_tcp = {}\n",
        signal.local_addr().expect("bound").port(),
        media.local_addr().expect("bound").port(),
        free_port(),
    );
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((_, from)) = media.recv_from(&mut buffer).await {
            // As an edge refuses: an error of this transaction, no longer than the request.
            let mut answer = [0; 28];
            answer[..4].copy_from_slice(&[1, 0x11, 0, 8]);
            answer[4..20].copy_from_slice(&buffer[4..20]);
            answer[20..].copy_from_slice(&[0, 9, 0, 4, 0, 0, 4, 0]);
            let _ = media.send_to(&answer, from).await;
        }
    });
    let dir = tempfile::tempdir().expect("a directory");
    let topology = near_paris(dir.path(), &ports);
    let peers = [("rome-1".parse().expect("an edge"), String::new())];
    let mut report = Report::default();
    reach::check(
        &mut report,
        &hospital.patient.resolver,
        Some(&topology),
        &peers,
    )
    .await;
    let verdicts: Vec<_> = found(&report, "reach")
        .iter()
        .map(|it| (it.of.split(", ").nth(1).expect("a port"), it.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("signalling", Verdict::Ok),
            ("ICE-TCP", Verdict::Fail),
            ("media", Verdict::Ok),
        ]
    );
}
