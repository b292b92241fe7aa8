//! Strangers that ask for more than they should get.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use sluice_guard::AddressRules;
use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::endpoint::ConnectError;
use sluice_meshnet::{Admission, MeshCa, MeshEndpoint, TransportSettings};
use sluice_types::ids::RelayId;
use sluice_types::mesh::backbone::{ALPN, BackboneMessage};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{LOOPBACK, address, edge, endpoint, within};

/// More than may shake hands at once, twice.
const STRANGERS: usize = 256;

/// The first packets of so many handshakes that never go on.
async fn beginnings(ca: &MeshCa) -> Vec<Vec<u8>> {
    let heard = tokio::net::UdpSocket::bind(LOOPBACK).await.expect("bound");
    let to = heard.local_addr().expect("an address");
    let dialler = endpoint(ca, &edge("stranger-1"), 1200);
    let mut packets = Vec::new();
    let mut known = BTreeSet::new();
    while packets.len() < STRANGERS {
        let name = edge("tokyo-1");
        let dialled = dialler.connect(to, &name, &[ALPN]);
        let packet = async {
            let mut packet = vec![0; 2_000];
            loop {
                let (length, _) = heard.recv_from(&mut packet).await.expect("received");
                // Flags, version, and the connection's id, by which retransmissions are told apart.
                let id = packet[6..6 + usize::from(packet[5])].to_vec();
                if known.insert(id) {
                    packet.truncate(length);
                    return packet;
                }
            }
        };
        let packet = within(async {
            tokio::select! {
                packet = packet => packet,
                _ = dialled => panic!("nobody answers"),
            }
        });
        packets.push(packet.await);
    }
    packets
}

/// What comes back for a packet. Like every client it asks again when nothing does: so many at once
/// may overflow the buffer of the socket that they go to.
async fn first_answer(from: SocketAddr, to: SocketAddr, packet: Vec<u8>) -> Vec<u8> {
    let socket = tokio::net::UdpSocket::bind(from)
        .await
        .expect("loopback is a /8");
    let mut answer = vec![0; 2_000];
    loop {
        socket.send_to(&packet, to).await.expect("sent");
        let patience = Duration::from_millis(500);
        if let Ok(received) = timeout(patience, socket.recv(&mut answer)).await {
            answer.truncate(received.expect("received"));
            return answer;
        }
    }
}

fn is_retry(packet: &[u8]) -> bool {
    // RFC 9000, section 17.2.5: a long header of type 3.
    packet.first().is_some_and(|flags| flags & 0xf0 == 0xf0)
}

#[tokio::test]
async fn a_flood_of_handshakes_keeps_nobody_of_the_mesh_out() {
    let ca = MeshCa::generate("test").expect("a CA");
    let tokyo = endpoint(&ca, &edge("tokyo-1"), 1200);
    let paris = endpoint(&ca, &edge("paris-1"), 1200);
    let dialled = within(paris.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect("connected");
    let accepted = within(tokyo.accept()).await.expect("accepted");
    let packets = beginnings(&ca).await;
    // Each from an address of its own, as if they were made up.
    let mut strangers = JoinSet::new();
    for (packet, n) in packets.into_iter().zip(0u16..) {
        let [high, low] = n.to_be_bytes();
        let from = SocketAddr::new(Ipv4Addr::new(127, 9, high, low).into(), 0);
        strangers.spawn(first_answer(from, address(&tokyo), packet));
    }

    // Who stands goes on.
    let (mut sender, _unused) = dialled
        .open_messages::<BackboneMessage, BackboneMessage>()
        .await
        .expect("a stream");
    let message = BackboneMessage::KeyFrame {
        relay: RelayId(1),
        encoding: 0,
    };
    sender.send(&message).await.expect("sent");
    let (_unused, mut receiver) = within(accepted.accept_messages::<BackboneMessage, _>())
        .await
        .expect("a stream");
    assert_eq!(within(receiver.recv()).await.expect("read"), Some(message));
    // Who comes is let in, while the strangers' handshakes are under way.
    let delhi = endpoint(&ca, &edge("delhi-1"), 1200);
    let newcomer = within(delhi.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN])).await;
    newcomer.expect("connected");
    let peer = within(tokyo.accept())
        .await
        .expect("accepted")
        .peer()
        .clone();
    assert_eq!(peer, edge("delhi-1"));

    // Most were told to prove their address, for which nothing is remembered.
    let answers = within(strangers.join_all()).await;
    let retries = answers.iter().filter(|answer| is_retry(answer)).count();
    assert!(retries >= STRANGERS / 2, "{retries} of {STRANGERS}");
}

#[tokio::test]
async fn who_comes_from_the_wrong_address_gets_no_answer() {
    let ca = MeshCa::generate("test").expect("a CA");
    let credentials = ca
        .issue(&edge("tokyo-1"), Duration::from_secs(3_600))
        .expect("issued")
        .credentials()
        .expect("credentials");
    let allow = vec!["127.0.0.1/32".parse().expect("a prefix")];
    let tokyo = MeshEndpoint::bind_guarded(
        LOOPBACK,
        credentials,
        &TransportSettings::backbone(1200),
        &[ALPN],
        Admission::from(AddressRules::new(allow, Vec::new())),
    )
    .expect("bound");
    let to = address(&tokyo);
    let packet = beginnings(&ca).await.pop().expect("one");
    let answered = tokio::task::spawn_blocking(move || {
        let answered = |from: [u8; 4]| {
            let socket = UdpSocket::bind(SocketAddr::new(from.into(), 0)).expect("bound");
            socket
                .set_read_timeout(Some(Duration::from_secs(3)))
                .expect("set");
            socket.send_to(&packet, to).expect("sent");
            socket.recv(&mut [0; 2_000]).is_ok()
        };
        (answered([127, 0, 0, 2]), answered([127, 0, 0, 1]))
    });
    assert_eq!(answered.await.expect("asked"), (false, true));
}

#[tokio::test]
async fn a_revoked_certificate_is_worth_nothing_from_that_moment_on() {
    let ca = MeshCa::generate("test").expect("a CA");
    let admission = Admission::default();
    let tokyo = {
        let issued = ca.issue(&edge("tokyo-1"), Duration::from_secs(3_600));
        let credentials = issued.expect("issued").credentials().expect("credentials");
        let settings = TransportSettings::backbone(1200);
        MeshEndpoint::bind_guarded(LOOPBACK, credentials, &settings, &[ALPN], admission.clone())
            .expect("bound")
    };
    let thief = endpoint(&ca, &edge("paris-1"), 1200);
    let stolen = within(thief.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect("good until now");
    let accepted = within(tokyo.accept()).await.expect("accepted");
    let other = endpoint(&ca, &edge("delhi-1"), 1200);
    let innocent = within(other.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect("connected");
    let _kept = within(tokyo.accept()).await.expect("accepted");

    let fingerprint = accepted.fingerprint();
    assert_eq!(admission.revoke(BTreeSet::from([fingerprint])), 1);
    // What stands ends, on both sides, and says why.
    let lost = within(stolen.quic().closed()).await;
    assert!(CloseCode::Refused.is_reason_of(&lost), "{lost}");
    assert!(lost.to_string().contains("revoked"), "{lost}");
    // It does not come back, neither dialling nor dialled.
    let again = within(thief.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN])).await;
    let again = again.expect("its own half of the handshake");
    let lost = within(again.quic().closed()).await;
    assert!(CloseCode::Refused.is_reason_of(&lost), "{lost}");
    let refused = within(tokyo.connect(address(&thief), &edge("paris-1"), &[ALPN])).await;
    let refused = refused.expect_err("revoked");
    assert!(
        matches!(&refused, ConnectError::Revoked(revoked) if revoked.0 == fingerprint),
        "{refused}"
    );
    // Others are not concerned, nor is the same edge with another certificate.
    assert!(innocent.quic().close_reason().is_none());
    let renewed = endpoint(&ca, &edge("paris-1"), 1200);
    let renewed = within(renewed.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN])).await;
    renewed.expect("connected");
    let peer = within(tokyo.accept())
        .await
        .expect("accepted")
        .peer()
        .clone();
    assert_eq!(peer, edge("paris-1"));
}
