//! The impairment relay between two real endpoints.

use std::time::{Duration, Instant};

use sluice_meshnet::impair::{ImpairmentRelay, LinkFigures, LossModel, RelaySettings};
use sluice_meshnet::pki::Issued;
use sluice_meshnet::{MeshCa, MeshConnection, MeshEndpoint, TransportSettings};
use sluice_types::ids::RelayId;
use sluice_types::mesh::backbone::{ALPN, BackboneMessage};

use crate::support::{LOOPBACK, address, edge, endpoint, within};

const ONE_WAY: Duration = Duration::from_millis(40);
const LONG_WAY: Duration = Duration::from_millis(75);

fn figures(loss: f64) -> LinkFigures {
    LinkFigures {
        delay: ONE_WAY,
        loss: LossModel::Random(loss),
        ..LinkFigures::default()
    }
}

/// Two endpoints and what is between them.
struct Linked {
    relay: ImpairmentRelay,
    dialled: MeshConnection,
    accepted: MeshConnection,
    /// They end with these.
    _endpoints: [MeshEndpoint; 2],
}

async fn linked(initial_mtu: u16, settings: RelaySettings) -> Linked {
    let ca = MeshCa::generate("test").expect("a CA");
    let paris = endpoint(&ca, &edge("paris-1"), initial_mtu);
    let tokyo = endpoint(&ca, &edge("tokyo-1"), initial_mtu);
    let relay = ImpairmentRelay::start(LOOPBACK, address(&tokyo), settings)
        .await
        .expect("started");
    let dialled = within(paris.connect(relay.local_address(), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect("connected");
    let accepted = within(tokyo.accept()).await.expect("accepted");
    Linked {
        relay,
        dialled,
        accepted,
        _endpoints: [paris, tokyo],
    }
}

#[tokio::test]
async fn a_control_stream_works_over_delay_and_loss() {
    let settings = RelaySettings {
        there: figures(0.05),
        back: figures(0.05),
        seed: 42,
        ..RelaySettings::default()
    };
    let Linked {
        relay,
        dialled,
        accepted,
        _endpoints,
    } = linked(1200, settings).await;

    let (mut send, mut receive) = dialled
        .open_messages::<BackboneMessage, BackboneMessage>()
        .await
        .expect("a stream");
    let message = |relay| BackboneMessage::KeyFrame {
        relay: RelayId(relay),
        encoding: 0,
    };
    let echo = async {
        let (mut send, mut receive) = accepted
            .accept_messages::<BackboneMessage, BackboneMessage>()
            .await
            .expect("the stream");
        while let Some(message) = receive.recv().await.expect("read") {
            send.send(&message).await.expect("sent");
        }
    };
    let exchange = async {
        for index in 0..500 {
            send.send(&message(index)).await.expect("sent");
        }
        for index in 0..500 {
            let echoed = receive.recv().await.expect("read");
            assert_eq!(echoed, Some(message(index)));
        }
        let asked = Instant::now();
        send.send(&message(500)).await.expect("sent");
        receive.recv().await.expect("read");
        assert!(asked.elapsed() >= 2 * ONE_WAY, "{:?}", asked.elapsed());
        send.finish().await;
    };
    within(async { tokio::join!(echo, exchange) }).await;
    assert!(dialled.quic().rtt() >= 2 * ONE_WAY);
    assert!(relay.there().lost + relay.back().lost > 0, "loss was real");
}

#[tokio::test]
async fn a_cut_link_ends_the_connection_after_its_idle_timeout() {
    let linked = linked(1200, RelaySettings::default()).await;
    let cut = || LinkFigures {
        loss: LossModel::Random(1.0),
        ..LinkFigures::default()
    };
    linked.relay.set_figures(cut(), cut());
    let lost = within(linked.dialled.quic().closed()).await;
    assert_eq!(lost, quinn::ConnectionError::TimedOut);
}

#[tokio::test]
async fn each_client_gets_its_own_answers_and_a_silent_one_is_forgotten() {
    use tokio::net::UdpSocket;
    let target = UdpSocket::bind(LOOPBACK).await.expect("bound");
    let settings = RelaySettings {
        client_timeout: Duration::from_millis(100),
        ..RelaySettings::default()
    };
    let relay = ImpairmentRelay::start(LOOPBACK, target.local_addr().expect("bound"), settings)
        .await
        .expect("started");
    let clients = [
        UdpSocket::bind(LOOPBACK).await.expect("bound"),
        UdpSocket::bind(LOOPBACK).await.expect("bound"),
    ];
    let mut buffer = [0; 16];
    let mut ports = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        let packet = [index as u8];
        client
            .send_to(&packet, relay.local_address())
            .await
            .expect("sent");
        let (length, from) = within(target.recv_from(&mut buffer)).await.expect("read");
        assert_eq!(&buffer[..length], packet);
        ports.push(from);
    }
    assert_ne!(ports[0], ports[1]);
    for (index, port) in ports.iter().enumerate().rev() {
        target.send_to(&[index as u8], port).await.expect("sent");
    }
    for (index, client) in clients.iter().enumerate() {
        let (length, _) = within(client.recv_from(&mut buffer)).await.expect("read");
        assert_eq!(&buffer[..length], [index as u8]);
    }
    // Once forgotten, the client comes from another port.
    within(async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            clients[0]
                .send_to(b"again", relay.local_address())
                .await
                .expect("sent");
            let (_, from) = target.recv_from(&mut buffer).await.expect("read");
            if from != ports[0] {
                return;
            }
        }
    })
    .await;
}

/// Media is not elastic: a link that has the room must carry it, however many packets it loses.
#[tokio::test]
async fn random_loss_on_a_long_link_does_not_throttle_datagrams() {
    const PACKETS: u32 = 2_000;
    const EVERY: Duration = Duration::from_millis(2);
    let long = LinkFigures {
        delay: LONG_WAY,
        loss: LossModel::Random(0.02),
        ..LinkFigures::default()
    };
    let settings = RelaySettings {
        there: long.clone(),
        back: long,
        seed: 7,
        ..RelaySettings::default()
    };
    let Linked {
        relay: _relay,
        dialled,
        accepted,
        _endpoints,
    } = linked(1400, settings).await;
    let started = Instant::now();
    let send = async {
        let mut tick = tokio::time::interval(EVERY);
        for _ in 0..PACKETS {
            tick.tick().await;
            let mut packet = vec![0; 1_000];
            let now = started.elapsed().as_micros() as u64;
            packet[..8].copy_from_slice(&now.to_be_bytes());
            dialled.quic().send_datagram(packet.into()).expect("sent");
        }
    };
    // Two in a hundred are lost; the rest come until it has been quiet for a while.
    let receive = async {
        let mut delays = Vec::new();
        while let Ok(Ok(packet)) =
            tokio::time::timeout(Duration::from_secs(2), accepted.quic().read_datagram()).await
        {
            let sent = u64::from_be_bytes(packet[..8].try_into().expect("eight bytes"));
            delays.push(started.elapsed() - Duration::from_micros(sent));
        }
        delays.sort();
        delays
    };
    let ((), delays) = within(async { tokio::join!(send, receive) }).await;
    assert!(
        delays.len() > PACKETS as usize * 96 / 100,
        "{} of {PACKETS}",
        delays.len()
    );
    // They did not wait for the sender's window either. The bound leaves room for a busy machine.
    let late = delays[delays.len() * 9 / 10];
    assert!(late < LONG_WAY + Duration::from_millis(60), "{late:?}");
}

#[tokio::test]
async fn a_killed_and_restarted_peer_is_noticed_long_before_the_idle_timeout() {
    let ca = MeshCa::generate("test").expect("a CA");
    let settings = TransportSettings {
        idle_timeout: Duration::from_secs(300),
        ..TransportSettings::backbone(1200)
    };
    let issue = |name| {
        ca.issue(&edge(name), Duration::from_secs(3600))
            .expect("issued")
    };
    let issued = issue("tokyo-1");
    let bind = |issued: &Issued, address| {
        let credentials = issued.credentials().expect("credentials");
        MeshEndpoint::bind(address, credentials, &settings, &[ALPN])
    };
    let paris = bind(&issue("paris-1"), LOOPBACK).expect("bound");
    let tokyo = bind(&issued, LOOPBACK).expect("bound");
    let tokyo_address = address(&tokyo);
    let relay = ImpairmentRelay::start(LOOPBACK, tokyo_address, RelaySettings::default())
        .await
        .expect("started");
    let connection = within(paris.connect(relay.local_address(), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect("connected");

    // Over a cut link no goodbye arrives, as from a killed process.
    let cut = || LinkFigures {
        loss: LossModel::Random(1.0),
        ..LinkFigures::default()
    };
    relay.set_figures(cut(), cut());
    within(tokyo.close("killed")).await;
    drop(tokyo);
    let _restarted = within(async {
        loop {
            // The old socket goes away with the last task of its endpoint.
            match bind(&issued, tokyo_address) {
                Ok(endpoint) => return endpoint,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    relay.set_figures(LinkFigures::default(), LinkFigures::default());
    let lost = within(connection.quic().closed()).await;
    assert_eq!(lost, quinn::ConnectionError::Reset);
}

#[tokio::test]
async fn a_connection_goes_on_when_a_peer_has_another_address() {
    let Linked {
        relay,
        dialled,
        accepted,
        _endpoints,
    } = linked(1200, RelaySettings::default()).await;
    let (mut send, _receive) = dialled
        .open_messages::<BackboneMessage, BackboneMessage>()
        .await
        .expect("a stream");
    send.send(&BackboneMessage::Goodbye {}).await.expect("sent");
    let (mut answer, mut heard) =
        within(accepted.accept_messages::<BackboneMessage, BackboneMessage>())
            .await
            .expect("the stream");
    assert!(within(heard.recv()).await.expect("read").is_some());
    let before = accepted.remote_address();
    relay.change_ports();
    let (mut last, mut said) = (0, 0);
    within(async {
        // What was under way under the old port is lost, and sent again.
        while accepted.remote_address() == before || last < 100 {
            said += 1;
            let relay = RelayId(said);
            let message = BackboneMessage::KeyFrame { relay, encoding: 0 };
            send.send(&message).await.expect("sent");
            let Some(BackboneMessage::KeyFrame { relay, .. }) = heard.recv().await.expect("read")
            else {
                panic!("another message");
            };
            last += 1;
            assert_eq!(relay.0, last, "in order, and each once");
            answer.send(&message).await.expect("sent back");
        }
    })
    .await;
    assert_eq!(dialled.quic().close_reason(), None);
}
