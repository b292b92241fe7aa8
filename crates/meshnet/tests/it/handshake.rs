//! Who is let in, and as whom.

use std::time::Duration;

use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::endpoint::ConnectError;
use sluice_meshnet::stream::StreamError;
use sluice_meshnet::{Credentials, Identity, MeshCa, MeshEndpoint, TransportSettings};
use sluice_types::ids::RelayId;
use sluice_types::mesh::backbone::{ALPN, BackboneMessage};
use sluice_types::mesh::control;

use crate::support::{LOOPBACK, address, edge, endpoint, within};

fn key_frame(relay: u32) -> BackboneMessage {
    BackboneMessage::KeyFrame {
        relay: RelayId(relay),
        encoding: 0,
    }
}

#[tokio::test]
async fn both_ends_know_each_other_and_exchange_messages() {
    let ca = MeshCa::generate("test").expect("a CA");
    let paris = endpoint(&ca, &edge("paris-1"), 1200);
    let tokyo = endpoint(&ca, &edge("tokyo-1"), 1200);
    let dialled = within(paris.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect("connected");
    let accepted = within(tokyo.accept()).await.expect("accepted");
    assert_eq!(dialled.peer(), &edge("tokyo-1"));
    assert_eq!(accepted.peer(), &edge("paris-1"));
    assert_eq!(accepted.alpn(), ALPN);

    let (mut to_tokyo, mut from_tokyo) = dialled
        .open_messages::<BackboneMessage, BackboneMessage>()
        .await
        .expect("a stream");
    to_tokyo.send(&key_frame(1)).await.expect("sent");
    let (mut to_paris, mut from_paris) = within(accepted.accept_messages())
        .await
        .expect("the stream");
    assert_eq!(
        within(from_paris.recv()).await.expect("read"),
        Some(key_frame(1))
    );
    to_paris.send(&key_frame(2)).await.expect("sent");
    assert_eq!(
        within(from_tokyo.recv()).await.expect("read"),
        Some(key_frame(2))
    );
    to_tokyo.finish().await;
    let end: Option<BackboneMessage> = within(from_paris.recv()).await.expect("read");
    assert_eq!(end, None);

    accepted.close(CloseCode::Duplicate, "for the test");
    let error = within(from_tokyo.recv()).await.expect_err("closed");
    assert!(
        matches!(&error, StreamError::Read(quinn::ReadError::ConnectionLost(lost))
            if CloseCode::Duplicate.is_reason_of(lost)),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused_before_anything_is_read() {
    let ours = MeshCa::generate("test").expect("a CA");
    // The same name does not help.
    let theirs = MeshCa::generate("test").expect("a CA");
    let tokyo = endpoint(&ours, &edge("tokyo-1"), 1200);
    let stranger = endpoint(&theirs, &edge("paris-1"), 1200);
    let error = within(stranger.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect_err("the stranger does not trust our CA either");
    assert!(matches!(error, ConnectError::Handshake(_)), "{error}");

    // One that trusts our CA but has no certificate of it gets through its own half of the
    // handshake, and no further.
    let forged = theirs
        .issue(&edge("paris-1"), Duration::from_secs(3600))
        .expect("issued");
    let credentials = Credentials::from_pem(ours.cert_pem(), &forged.cert_pem, &forged.key_pem)
        .expect("credentials");
    let settings = TransportSettings::backbone(1200);
    let forger = MeshEndpoint::bind(LOOPBACK, credentials, &settings, &[ALPN]).expect("bound");
    let refused = within(async {
        let connection = forger
            .connect(address(&tokyo), &edge("tokyo-1"), &[ALPN])
            .await
            .map_err(|error| error.to_string())?;
        let (mut send, mut receive) = connection
            .open_messages::<BackboneMessage, BackboneMessage>()
            .await
            .map_err(|error| error.to_string())?;
        let _ = send.send(&key_frame(1)).await;
        receive.recv().await.map_err(|error| error.to_string())
    })
    .await;
    assert!(refused.is_err(), "{refused:?}");
    let accepted = tokio::time::timeout(Duration::from_millis(200), tokyo.accept()).await;
    assert!(accepted.is_err(), "nothing to accept");
}

#[tokio::test]
async fn the_dialler_refuses_whoever_it_did_not_dial() {
    let ca = MeshCa::generate("test").expect("a CA");
    let paris = endpoint(&ca, &edge("paris-1"), 1200);
    let tokyo = endpoint(&ca, &edge("tokyo-1"), 1200);
    for wrong in [edge("delhi-1"), Identity::Coordinator] {
        let error = within(paris.connect(address(&tokyo), &wrong, &[ALPN]))
            .await
            .expect_err("another identity");
        assert!(matches!(error, ConnectError::Handshake(_)), "{error}");
    }
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let ca = MeshCa::generate("test").expect("a CA");
    let paris = endpoint(&ca, &edge("paris-1"), 1200);
    let tokyo = endpoint(&ca, &edge("tokyo-1"), 1200);
    let error = within(paris.connect(address(&tokyo), &edge("tokyo-1"), &[control::ALPN]))
        .await
        .expect_err("a backbone speaks no control");
    assert!(matches!(error, ConnectError::Version { .. }), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = MeshCa::generate("test").expect("a CA");
    let paris = endpoint(&ca, &edge("paris-1"), 1200);
    let expired = ca
        .issue(&edge("tokyo-1"), Duration::ZERO)
        .expect("issued")
        .credentials()
        .expect("credentials");
    // Certificates count whole seconds, and this one ends with the present one.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let settings = TransportSettings::backbone(1200);
    let tokyo = MeshEndpoint::bind(LOOPBACK, expired, &settings, &[ALPN]).expect("bound");
    let error = within(paris.connect(address(&tokyo), &edge("tokyo-1"), &[ALPN]))
        .await
        .expect_err("expired");
    assert!(error.to_string().contains("xpired"), "{error}");
}
