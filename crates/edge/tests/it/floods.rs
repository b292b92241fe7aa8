//! Addresses that ask for more than they should get, while somebody is in a meeting.

use std::net::SocketAddr;
use std::time::Duration;

use sluice_types::access::Role;
use sluice_types::signal::{ClientMessage, ServerEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::{Client, Joined};
use crate::edge::{Edge, PATIENCE, within};
use crate::token::claims;

async fn still_there(client: &mut Client) {
    client.send(&ClientMessage::Ping {}).await;
    assert_eq!(client.event().await, ServerEvent::Pong {});
}

/// A connection from another address of loopback.
async fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::new(address.into(), 0);
    socket.bind(from).expect("loopback is a /8");
    within(socket.connect(to)).await.expect("connected")
}

async fn answer(mut stream: TcpStream, request: &str) -> String {
    let request = format!("{request}\r\nHost: edge\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer))
        .await
        .expect("read");
    answer
}

/// Whether the other side has closed within a moment.
async fn is_closed(stream: &mut TcpStream, moment: Duration) -> bool {
    let read = timeout(moment, stream.read(&mut [0; 64])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn an_address_that_begins_too_many_sessions_is_told_when_to_come_back() {
    let (edge, _line) = Edge::with(|settings| settings.sessions_per_address = Some(2)).await;
    let mut inside = Joined::new(&edge, &claims(1, Role::Viewer)).await.client;
    // Tokens are not even looked at.
    let flood = (0..50).map(|_| async {
        let refused = Client::open(&edge, "", "sluice.v1", Some("Bearer nonsense")).await;
        let refused = refused.err().expect("refused");
        (
            refused.status().as_u16(),
            refused.headers().get("retry-after").cloned(),
        )
    });
    let answers = futures_util::future::join_all(flood).await;
    let limited = answers.iter().filter(|(status, _)| *status == 429);
    let limited: Vec<_> = limited.collect();
    assert!(limited.len() >= 40, "{answers:?}");
    assert!(
        limited.iter().all(|(_, retry)| retry.is_some()),
        "{answers:?}"
    );
    still_there(&mut inside).await;
    // Another address is not concerned.
    let elsewhere = from([127, 0, 0, 2], edge.http).await;
    let request = "GET /v1/signal HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let refused = answer(elsewhere, request).await;
    assert!(!refused.starts_with("HTTP/1.1 429"), "{refused}");
}

#[tokio::test]
async fn an_address_holds_a_bounded_number_of_connections() {
    let (edge, _line) = Edge::with(|settings| {
        settings.connections_per_address = Some(8);
        settings.connections = Some(20);
    })
    .await;
    let mut inside = Joined::new(&edge, &claims(1, Role::Viewer)).await.client;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(from([127, 0, 0, 2], edge.http).await);
    }
    let mut open = 0;
    for stream in &mut held {
        open += usize::from(!is_closed(stream, Duration::from_millis(20)).await);
    }
    assert!(open <= 8, "{open} of 200 are open");
    still_there(&mut inside).await;
    // The same address as before has places of its own left.
    let health = answer(
        from([127, 0, 0, 1], edge.http).await,
        "GET /healthz HTTP/1.1",
    )
    .await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    drop(held);
    // Places that are given back can be taken: the server notices in its own time.
    let freed = async {
        loop {
            let mut stream = from([127, 0, 0, 2], edge.http).await;
            let sent = stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
                .await;
            let mut answer = Vec::new();
            if sent.is_ok()
                && stream.read_to_end(&mut answer).await.is_ok()
                && answer.starts_with(b"HTTP/1.1 200")
            {
                return;
            }
        }
    };
    within(freed).await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let (edge, _line) = Edge::start().await;
    for beginning in ["", "G", "GET /healthz HTTP/1.1\r\nHost: edge\r\nX: "] {
        let mut stream = from([127, 0, 0, 1], edge.http).await;
        stream.write_all(beginning.as_bytes()).await.expect("sent");
        // An answer that it took too long, perhaps, and then the end.
        let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "after {beginning:?} it is waited for");
    }
}

#[tokio::test]
async fn who_comes_from_the_wrong_address_is_told_so() {
    let (edge, _line) = Edge::with(|settings| {
        settings.clients_allow = Some(vec!["127.0.0.0/30".parse().expect("a prefix")]);
        settings.clients_deny = Some(vec!["127.0.0.2/32".parse().expect("a prefix")]);
    })
    .await;
    for (address, status) in [
        ([127, 0, 0, 1], 200),
        ([127, 0, 0, 2], 403),
        ([127, 0, 0, 9], 403),
    ] {
        let answer = answer(from(address, edge.http).await, "GET /healthz HTTP/1.1").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert_eq!(
            answer.contains("address-refused"),
            status == 403,
            "{answer}"
        );
    }
}
