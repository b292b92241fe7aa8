//! Real QUIC on loopback; the other end speaks the coordinator's part message by message.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use sluice_meshnet::{
    Identity, MeshCa, MeshConnection, MessageReceiver, MessageSender, TransportSettings,
};
use sluice_types::mesh::control::{ALPN, ALPNS, EdgeMessage};
use sluice_types::mesh::version::NEWEST;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const HEARTBEAT_MS: u32 = 50;

fn ca() -> MeshCa {
    MeshCa::generate("test").expect("a CA")
}

fn edge() -> Identity {
    Identity::Edge("paris-1".parse().expect("an edge id"))
}

fn endpoint(ca: &MeshCa, identity: &Identity, at: SocketAddr, alpn: &[&[u8]]) -> MeshEndpoint {
    let credentials = ca
        .issue(identity, Duration::from_secs(3_600))
        .expect("a certificate")
        .credentials()
        .expect("good credentials");
    MeshEndpoint::bind(at, credentials, &TransportSettings::control(), alpn).expect("an endpoint")
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn registration() -> Registration {
    Registration {
        edge: "paris-1".parse().expect("an edge id"),
        region: "paris".parse().expect("a region"),
        sfu_endpoint: "http://127.0.0.1:7410".into(),
        signal_endpoint: "ws://127.0.0.1:7410/v1/signal".into(),
        backbone: "127.0.0.1:7419".into(),
        capacity: 100,
        software: "test".into(),
    }
}

struct Line {
    control: Control,
    events: mpsc::Receiver<(LineNumber, ControlEvent)>,
    shutdown: CancellationToken,
}

/// An edge whose heartbeats count themselves.
fn line(ca: &MeshCa, coordinator: SocketAddr) -> Line {
    let beats = AtomicU32::new(0);
    let settings = ControlSettings {
        coordinators: vec![coordinator.to_string()],
        registration: registration(),
        protocol_max: NEWEST,
        heartbeat: Arc::new(move || Beat {
            heartbeat: Heartbeat {
                participants: beats.fetch_add(1, Ordering::Relaxed),
                ..Heartbeat::default()
            },
            links: LinksReport::default(),
        }),
    };
    let shutdown = CancellationToken::new();
    let (control, events) = Control::start(
        endpoint(ca, &edge(), anywhere(), &[]),
        settings,
        shutdown.clone(),
    );
    Line {
        control,
        events,
        shutdown,
    }
}

impl Line {
    async fn event(&mut self) -> ControlEvent {
        within(self.events.recv()).await.expect("an event").1
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}

struct Coordinator {
    endpoint: MeshEndpoint,
    address: SocketAddr,
}

struct Registered {
    connection: MeshConnection,
    sender: MessageSender<CoordinatorMessage>,
    receiver: MessageReceiver<EdgeMessage>,
}

impl Coordinator {
    fn at(ca: &MeshCa, address: SocketAddr) -> Self {
        Self::of_versions(ca, address, ALPNS)
    }

    fn of_versions(ca: &MeshCa, address: SocketAddr, alpns: &[&[u8]]) -> Self {
        let endpoint = endpoint(ca, &Identity::Coordinator, address, alpns);
        let address = endpoint.local_address().expect("bound");
        Self { endpoint, address }
    }

    /// Waits until the socket of the one before is gone.
    async fn again_at(ca: &MeshCa, address: SocketAddr) -> Self {
        within(async {
            while std::net::UdpSocket::bind(address).is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self::at(ca, address)
    }

    async fn answer(&self, first: CoordinatorMessage) -> Registered {
        let connection = within(self.endpoint.accept()).await.expect("a connection");
        assert_eq!(connection.peer(), &edge());
        let (mut sender, mut receiver) = within(connection.accept_messages())
            .await
            .expect("a stream");
        let hello = within(receiver.recv()).await.expect("read");
        assert_eq!(hello, Some(EdgeMessage::Hello(registration())));
        sender.send(&first).await.expect("sent");
        Registered {
            connection,
            sender,
            receiver,
        }
    }
}

impl Registered {
    /// The next message that is no heartbeat.
    async fn message(&mut self) -> EdgeMessage {
        loop {
            let message = within(self.receiver.recv()).await.expect("read");
            match message.expect("a message") {
                EdgeMessage::Heartbeat(_) | EdgeMessage::Links(_) => {}
                message => return message,
            }
        }
    }

    async fn heartbeat(&mut self) -> u32 {
        loop {
            let message = within(self.receiver.recv()).await.expect("read");
            if let EdgeMessage::Heartbeat(heartbeat) = message.expect("a message") {
                return heartbeat.participants;
            }
        }
    }
}

fn welcome() -> CoordinatorMessage {
    CoordinatorMessage::Welcome {
        mesh: "test".into(),
        jwks: "{}".into(),
        heartbeat_ms: HEARTBEAT_MS,
        public_url: "http://127.0.0.1:7400".into(),
    }
}

fn connected() -> ControlEvent {
    ControlEvent::Connected {
        mesh: "test".into(),
        jwks: "{}".into(),
        public_url: "http://127.0.0.1:7400".into(),
        has_terms: true,
    }
}

fn demand(participants: u32) -> RoomDemand {
    RoomDemand {
        room: "mtg_aaaaaaaa".parse().expect("a meeting id"),
        participants,
        publishing: true,
    }
}

#[tokio::test]
async fn an_edge_registers_beats_and_is_heard_both_ways() {
    let ca = ca();
    let coordinator = Coordinator::at(&ca, anywhere());
    let mut line = line(&ca, coordinator.address);
    let mut registered = coordinator.answer(welcome()).await;
    assert_eq!(line.event().await, connected());
    let first = registered.heartbeat().await;
    assert!(registered.heartbeat().await > first, "measured anew");

    line.control.demand(demand(2));
    assert_eq!(registered.message().await, EdgeMessage::Demand(demand(2)));
    let directory = CoordinatorMessage::Directory { edges: Vec::new() };
    registered.sender.send(&directory).await.expect("sent");
    assert_eq!(line.event().await, ControlEvent::Message(directory));

    // What was said before the shutdown still arrives.
    line.control.drain();
    line.shutdown.cancel();
    assert_eq!(registered.message().await, EdgeMessage::Draining {});
    within(registered.connection.quic().closed()).await;
}

#[tokio::test]
async fn a_coordinator_of_the_version_before_is_told_nothing_that_it_cannot_read() {
    let ca = ca();
    let before = ALPNS[1];
    let coordinator = Coordinator::of_versions(&ca, anywhere(), &[before]);
    let mut line = line(&ca, coordinator.address);
    let mut registered = coordinator.answer(welcome()).await;
    assert_eq!(registered.connection.alpn(), before);
    let ControlEvent::Connected { has_terms, .. } = line.event().await else {
        panic!("it is connected first");
    };
    assert!(!has_terms, "that version knows of none");
    line.control.demand(demand(2));
    let (mut beats, mut told) = (0, false);
    while beats < 5 || !told {
        match within(registered.receiver.recv()).await.expect("read") {
            Some(EdgeMessage::Heartbeat(_)) => beats += 1,
            Some(EdgeMessage::Demand(_)) => told = true,
            other => panic!("not of version 1: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_coordinator_without_a_common_version_is_not_registered_with() {
    let ca = ca();
    let stranger = Coordinator::of_versions(&ca, anywhere(), &[b"sluice-control/9"]);
    let dialler = endpoint(&ca, &edge(), anywhere(), &[]);
    let refused = within(dialler.connect(stranger.address, &Identity::Coordinator, ALPNS)).await;
    let error = refused.expect_err("no common version").to_string();
    assert!(
        error.contains("sluice-control/2, sluice-control/1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_coordinator_that_comes_late_and_goes_is_found_again() {
    let ca = ca();
    // Reserves a port where nobody listens yet.
    let reserved = std::net::UdpSocket::bind(anywhere()).expect("a port");
    let address = reserved.local_addr().expect("bound");
    let mut line = line(&ca, address);
    line.control.demand(demand(1));
    line.control.drain();
    drop(reserved);
    for _ in 0..2 {
        let coordinator = Coordinator::again_at(&ca, address).await;
        let mut registered = coordinator.answer(welcome()).await;
        assert_eq!(line.event().await, connected());
        // Draining is said on every line; demand is the hub's to tell again.
        assert_eq!(registered.message().await, EdgeMessage::Draining {});
        line.control.demand(demand(3));
        assert_eq!(registered.message().await, EdgeMessage::Demand(demand(3)));
        coordinator.endpoint.close("restarts").await;
        assert_eq!(line.event().await, ControlEvent::Disconnected);
    }
}

#[tokio::test]
async fn a_refused_edge_says_why_and_asks_again() {
    let ca = ca();
    let coordinator = Coordinator::at(&ca, anywhere());
    let mut line = line(&ca, coordinator.address);
    let refuse = CoordinatorMessage::Refuse {
        reason: "unknown region".into(),
    };
    let refused = coordinator.answer(refuse).await;
    let reason = "unknown region".into();
    assert_eq!(line.event().await, ControlEvent::Refused { reason });
    drop(refused);
    let _registered = coordinator.answer(welcome()).await;
    assert_eq!(line.event().await, connected());
}

#[tokio::test]
async fn nobody_else_is_taken_for_the_coordinator() {
    let ours = ca();
    let foreign = MeshCa::generate("test").expect("a CA");
    let edge = Identity::Edge("tokyo-1".parse().expect("an edge id"));
    for (ca, identity) in [(&ours, edge), (&foreign, Identity::Coordinator)] {
        let impostor = endpoint(ca, &identity, anywhere(), &[ALPN]);
        let address = impostor.local_address().expect("bound");
        let dialler = endpoint(&ours, &self::edge(), anywhere(), &[]);
        let refused = within(dialler.connect(address, &Identity::Coordinator, &[ALPN])).await;
        assert!(refused.is_err());
        let mut line = line(&ours, address);
        assert!(
            timeout(Duration::from_millis(500), line.events.recv())
                .await
                .is_err(),
            "no event"
        );
    }
}

#[tokio::test]
async fn a_coordinator_that_does_not_welcome_first_is_left() {
    let ca = ca();
    let coordinator = Coordinator::at(&ca, anywhere());
    let mut line = line(&ca, coordinator.address);
    let early = CoordinatorMessage::Jwks { jwks: "{}".into() };
    let left = coordinator.answer(early).await;
    within(left.connection.quic().closed()).await;
    let _registered = coordinator.answer(welcome()).await;
    assert_eq!(line.event().await, connected());
}

#[tokio::test]
async fn a_hub_that_is_behind_holds_up_no_heartbeat_and_misses_nothing() {
    const MESSAGES: usize = 3 * EVENTS;
    let ca = ca();
    let coordinator = Coordinator::at(&ca, anywhere());
    let mut line = line(&ca, coordinator.address);
    let Registered {
        connection,
        mut sender,
        receiver,
    } = coordinator.answer(welcome()).await;
    let message = |n: usize| CoordinatorMessage::Jwks {
        jwks: n.to_string(),
    };
    let flood = tokio::spawn(async move {
        for n in 0..MESSAGES {
            sender.send(&message(n)).await.expect("sent");
        }
        sender
    });
    // The queue is full when it takes no more, and the hub has taken nothing.
    within(async {
        while line.events.len() < EVENTS {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut registered = Registered {
        connection,
        sender: within(flood).await.expect("all sent"),
        receiver,
    };
    let before = registered.heartbeat().await;
    while registered.heartbeat().await < before + 3 {}

    assert_eq!(line.event().await, connected());
    for n in 0..MESSAGES {
        assert_eq!(line.event().await, ControlEvent::Message(message(n)));
    }
}
