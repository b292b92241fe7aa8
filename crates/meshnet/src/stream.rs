//! Messages on one bidirectional QUIC stream, in the layout of [`sluice_types::mesh::codec`].

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use quinn::{RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_types::mesh::codec::{self, CodecError};
use thiserror::Error;

/// How much is read from the stream at once, in bytes. The buffer holds at most one frame and this.
const READ_BYTES: usize = 64 * 1024;

/// The writing half of a stream of messages.
///
/// Its queue is QUIC's send window; when that is full, [`Self::send`] waits.
#[derive(Debug)]
pub struct MessageSender<T> {
    stream: SendStream,
    message: PhantomData<fn(T)>,
}

impl<T: Serialize> MessageSender<T> {
    pub(crate) const fn new(stream: SendStream) -> Self {
        Self {
            stream,
            message: PhantomData,
        }
    }

    /// Writes one message; done when QUIC has taken all of it.
    ///
    /// # Errors
    /// When the message is too long or the connection is lost.
    pub async fn send(&mut self, message: &T) -> Result<(), StreamError> {
        let frame: Bytes = codec::encode(message)?;
        self.stream.write_chunk(frame).await?;
        Ok(())
    }

    /// Says that nothing follows, and waits until the peer has everything or the connection ends.
    pub async fn finish(mut self) {
        // Both fail only when the stream is over already, which is what is wanted.
        if self.stream.finish().is_ok() {
            let _ = self.stream.stopped().await;
        }
    }
}

/// The reading half of a stream of messages.
#[derive(Debug)]
pub struct MessageReceiver<T> {
    stream: RecvStream,
    buffer: BytesMut,
    message: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> MessageReceiver<T> {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            message: PhantomData,
        }
    }

    /// The next message; `None` when the peer finished between two messages.
    ///
    /// Cancel-safe: what was read stays in the buffer.
    ///
    /// # Errors
    /// When the peer does not keep to the layout or the connection is lost. Both end the stream.
    pub async fn recv(&mut self) -> Result<Option<T>, StreamError> {
        loop {
            if let Some(message) = codec::decode(&mut self.buffer)? {
                return Ok(Some(message));
            }
            match self.stream.read_chunk(READ_BYTES, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    return Err(StreamError::Truncated {
                        bytes: self.buffer.len(),
                    });
                }
            }
        }
    }
}

/// Why a stream of messages is over.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The peer, or the message to send, does not keep to the layout.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The stream could not be written.
    #[error("cannot write: {0}")]
    Write(#[from] quinn::WriteError),
    /// The stream could not be read.
    #[error("cannot read: {0}")]
    Read(#[from] quinn::ReadError),
    /// The stream could not be opened or accepted.
    #[error("no stream: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The peer finished within a message.
    #[error("the stream ended {bytes} bytes into a message")]
    Truncated {
        /// How much of it came.
        bytes: usize,
    },
}
