//! One connection with a verified peer.

use std::net::SocketAddr;

use bytes::Bytes;
use quinn::VarInt;
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_types::mesh::version::Version;

use crate::identity::Identity;
use crate::stream::{MessageReceiver, MessageSender, StreamError};
use crate::tls::{CredentialsError, identity_of};

/// Why a connection was closed, as a number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// In an orderly way.
    Done,
    /// There is another connection with the same peer, which is kept.
    Duplicate,
    /// The peer is not allowed to speak this protocol, or is not who it says it is.
    Refused,
    /// The peer did not keep to the protocol.
    Protocol,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Duplicate => 1,
            Self::Refused => 2,
            Self::Protocol => 3,
        }
    }

    /// Whether `error` says that the peer closed with this code.
    #[must_use]
    pub fn is_reason_of(self, error: &quinn::ConnectionError) -> bool {
        matches!(error, quinn::ConnectionError::ApplicationClosed(close)
            if close.error_code == VarInt::from_u32(self.as_u32()))
    }
}

/// A connection whose peer has shown a certificate of the mesh's CA. Clones share it.
#[derive(Debug, Clone)]
pub struct MeshConnection {
    inner: quinn::Connection,
    peer: Identity,
    alpn: Bytes,
}

impl MeshConnection {
    /// Takes over a connection after its handshake.
    pub(crate) fn new(inner: quinn::Connection) -> Result<Self, CredentialsError> {
        let peer = inner
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
            .and_then(|chain| chain.into_iter().next())
            .ok_or(CredentialsError::NoCertificate)?;
        let alpn = inner
            .handshake_data()
            .and_then(|any| {
                any.downcast::<quinn::crypto::rustls::HandshakeData>()
                    .ok()?
                    .protocol
            })
            .map_or_else(Bytes::new, Bytes::from);
        Ok(Self {
            peer: identity_of(&peer)?,
            alpn,
            inner,
        })
    }

    /// Whom the peer's certificate speaks for.
    #[must_use]
    pub const fn peer(&self) -> &Identity {
        &self.peer
    }

    /// The protocol that both agreed on.
    #[must_use]
    pub fn alpn(&self) -> &[u8] {
        &self.alpn
    }

    /// The version of the protocol that both agreed on; 0 when its name has none.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of_alpn(&self.alpn).unwrap_or(Version(0))
    }

    /// The peer's address now.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.inner.remote_address()
    }

    /// The connection itself, for datagrams and statistics.
    #[must_use]
    pub const fn quic(&self) -> &quinn::Connection {
        &self.inner
    }

    /// Opens the stream of messages. The peer sees it with the first message.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn open_messages<S: Serialize, R: DeserializeOwned>(
        &self,
    ) -> Result<(MessageSender<S>, MessageReceiver<R>), StreamError> {
        let (send, receive) = self.inner.open_bi().await?;
        Ok((MessageSender::new(send), MessageReceiver::new(receive)))
    }

    /// Waits for the stream of messages that the peer opens.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn accept_messages<S: Serialize, R: DeserializeOwned>(
        &self,
    ) -> Result<(MessageSender<S>, MessageReceiver<R>), StreamError> {
        let (send, receive) = self.inner.accept_bi().await?;
        Ok((MessageSender::new(send), MessageReceiver::new(receive)))
    }

    /// Ends the connection at once; what was not sent is lost.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.inner
            .close(VarInt::from_u32(code.as_u32()), reason.as_bytes());
    }
}
