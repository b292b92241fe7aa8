//! Clients that say too much, too early, or what nobody understands.

use sluice_types::access::Role;
use sluice_types::room::PresenceChange;
use sluice_types::signal::{ClientMessage, ErrorCode, MESSAGE_BYTES_MAX, ServerEvent};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::{Client, Joined};
use crate::edge::Edge;
use crate::token::claims;

async fn opened(edge: &Edge, n: u8) -> Client {
    let token = edge.signer.token(&claims(n, Role::Viewer));
    let client = Client::with_token(edge, &token).await;
    client.unwrap_or_else(|refused| panic!("{refused:?}"))
}

#[tokio::test]
async fn a_session_begins_with_hello() {
    let (edge, _line) = Edge::start().await;
    let early = ClientMessage::Presence(PresenceChange::default());
    for (first, code) in [
        (
            serde_json::to_string(&early).expect("JSON"),
            ErrorCode::OutOfOrder,
        ),
        (
            r#"{"type":"participant.resume","last_seq":0}"#.into(),
            ErrorCode::OutOfOrder,
        ),
        (
            r#"{"type":"participant.hello"}"#.into(),
            ErrorCode::BadMessage,
        ),
        ("hello".into(), ErrorCode::BadMessage),
    ] {
        let mut client = opened(&edge, 1).await;
        client.send_raw(Message::text(first)).await;
        assert_eq!(client.error().await, (code, true));
        client.closed().await;
    }
    let mut client = opened(&edge, 1).await;
    let hello = ClientMessage::Hello {
        sdp_offer: "v=0\r\n".into(),
        tracks: Vec::new(),
        presence: sluice_types::room::Presence::default(),
    };
    client.send(&hello).await;
    assert_eq!(client.error().await, (ErrorCode::BadSdp, true));
    client.closed().await;
}

#[tokio::test]
async fn what_nobody_understands_is_answered_and_the_session_goes_on() {
    let (edge, _line) = Edge::start().await;
    let mut client = Joined::new(&edge, &claims(1, Role::Viewer)).await.client;
    for message in [
        Message::text("[]"),
        Message::text(r#"{"type":"no.such"}"#),
        Message::binary(vec![1, 2, 3]),
    ] {
        client.send_raw(message).await;
        assert_eq!(client.error().await, (ErrorCode::BadMessage, false));
    }
    client.hello().await;
    assert_eq!(client.error().await, (ErrorCode::OutOfOrder, false));
    client.send(&ClientMessage::Ping {}).await;
    assert_eq!(client.event().await, ServerEvent::Pong {});
}

#[tokio::test]
async fn a_flood_ends_the_socket() {
    let (edge, _line) = Edge::start().await;
    let mut client = Joined::new(&edge, &claims(1, Role::Viewer)).await.client;
    for _ in 0..100 {
        client.send(&ClientMessage::Ping {}).await;
    }
    assert_eq!(client.error().await, (ErrorCode::TooMuch, true));
    let code = client.closed().await.map(|frame| frame.code);
    assert_eq!(code, Some(CloseCode::Policy));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_socket() {
    let (edge, _line) = Edge::start().await;
    let mut client = Joined::new(&edge, &claims(1, Role::Viewer)).await.client;
    let long = format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX));
    client.send_raw(Message::text(long)).await;
    client.closed().await;
}

#[tokio::test]
async fn a_full_edge_takes_nobody_more_but_lets_those_inside_come_back() {
    let (edge, _line) = Edge::with(|settings| settings.capacity = Some(1)).await;
    let mut inside = Joined::new(&edge, &claims(1, Role::Viewer)).await.client;
    let mut client = opened(&edge, 2).await;
    client.hello().await;
    assert_eq!(client.error().await, (ErrorCode::EdgeFull, true));
    client.closed().await;
    inside.send(&ClientMessage::Ping {}).await;
    assert_eq!(inside.event().await, ServerEvent::Pong {});
    // Its page was reloaded: it takes its own place.
    Joined::new(&edge, &claims(1, Role::Viewer)).await;
}
