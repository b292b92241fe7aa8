//! A WebSocket that takes little memory while nothing is said.
//!
//! `tungstenite` has one buffer for each direction, which is as long as the longest frame was and stays so.
//! An offer of many tracks has tens of kilobytes, and comes seldom: so messages leave in frames of a few.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sluice_types::signal::MESSAGE_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Bytes read from a socket at once, and the longest frame that is sent: most messages are shorter, and
/// everybody has such buffers.
const BUFFER_BYTES: usize = 4 * 1024;

/// What a client says.
pub(super) enum Said {
    Text(Utf8Bytes),
    Binary,
    /// It is there.
    Alive,
}

/// See the module.
pub(super) struct Frames<S = TokioIo<Upgraded>> {
    socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// The server's end of a connection that was upgraded.
    pub(super) async fn new(connection: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
        Self { socket }
    }

    /// The next thing that the client says; `None` at the end. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Said> {
        Some(match self.socket.next().await?.ok()? {
            Message::Text(text) => Said::Text(text),
            Message::Binary(_) => Said::Binary,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Said::Alive,
            Message::Close(_) => return None,
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn send(&mut self, text: String) -> Result<(), Error> {
        let mut rest = Bytes::from(text);
        let mut kind = Data::Text;
        loop {
            let part = rest.split_to(rest.len().min(BUFFER_BYTES));
            let frame = Frame::message(part, OpCode::Data(kind), rest.is_empty());
            self.socket.send(Message::Frame(frame)).await?;
            if rest.is_empty() {
                return Ok(());
            }
            kind = Data::Continue;
        }
    }

    /// Asks the client for a sign of life.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        self.socket.send(Message::Ping(Bytes::new())).await
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn close(&mut self, code: u16, reason: &'static str) -> Result<(), Error> {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.socket.send(Message::Close(Some(frame))).await
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    const LONG: usize = 40_000;

    /// The payload of the next message of the server, and how long its longest frame was.
    async fn message(client: &mut DuplexStream) -> (Vec<u8>, usize) {
        let (mut payload, mut longest) = (Vec::new(), 0);
        loop {
            let mut head = [0; 2];
            client.read_exact(&mut head).await.expect("a frame");
            assert_eq!(
                head[0] & 0x0f,
                u8::from(payload.is_empty()),
                "text, then more"
            );
            let length = match head[1] {
                126 => client.read_u16().await.expect("its length").into(),
                short => usize::from(short),
            };
            let start = payload.len();
            payload.resize(start + length, 0);
            client
                .read_exact(&mut payload[start..])
                .await
                .expect("its payload");
            longest = longest.max(length);
            if head[0] & 0x80 != 0 {
                return (payload, longest);
            }
        }
    }

    #[tokio::test]
    async fn a_long_message_arrives_whole_in_short_frames() {
        let (server, mut client) = duplex(1_000);
        let mut frames = Frames::new(server).await;
        for length in [0, 10, BUFFER_BYTES, BUFFER_BYTES + 1, LONG] {
            // Two bytes to a letter, so that frames end within one.
            let text = "é".repeat(length / 2);
            let (sent, (read, longest)) =
                tokio::join!(frames.send(text.clone()), message(&mut client));
            sent.expect("sent");
            assert_eq!(read, text.as_bytes());
            assert!(longest <= BUFFER_BYTES);
        }
    }

    #[test]
    fn a_long_message_leaves_no_long_buffer_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let (server, mut client) = duplex(1_000);
        let mut frames = runtime.block_on(Frames::new(server));
        let exchange = async {
            let text = "a".repeat(LONG);
            let (sent, _) = tokio::join!(frames.send(text), message(&mut client));
            sent.expect("sent");
        };
        let left = measure(|| runtime.block_on(exchange));
        assert!(left.bytes_max > LONG as u64, "it was there: {left:?}");
        assert!(left.bytes_current <= 3 * BUFFER_BYTES as i64, "{left:?}");
    }
}
