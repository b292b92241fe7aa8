//! One UDP socket that dials and accepts connections of the mesh.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use quinn::congestion::CubicConfig;
use quinn::{ClientConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::congestion::MediaWindowConfig;
use crate::connection::{CloseCode, MeshConnection};
use crate::identity::Identity;
use crate::restart::endpoint_config;
use crate::tls::{Credentials, CredentialsError};

/// The MTU that every QUIC path must carry (RFC 9000, section 14), in bytes of UDP payload.
pub const MTU_MIN: u16 = 1200;
/// The most streams that a peer may have open at once.
const STREAMS_MAX: u32 = 4;
/// The most handshakes under way at once; further ones are refused.
const HANDSHAKES_MAX: usize = 128;
/// With fewer permits left than this, an address must first be proved by a retry packet.
const PERMITS_BEFORE_RETRY: usize = HANDSHAKES_MAX / 2;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection finds out how much its path carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Congestion {
    /// CUBIC (RFC 9438): each loss counts as a full path. Fair to others, and right where little is
    /// sent.
    Cubic,
    /// BBR, whose window never closes below what arrives: counts that instead of what is lost. On a path of 150 ms that loses 2 % at
    /// random, CUBIC lets through about 1 Mbit/s, however much the path carries.
    Bbr,
}

/// How connections behave on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportSettings {
    /// The UDP payload that paths are taken to carry at first, in bytes, at least [`MTU_MIN`];
    /// discovery raises it.
    pub initial_mtu: u16,
    /// How long a connection may be silent before a packet is sent to keep it.
    pub keep_alive: Duration,
    /// After how long a silence the peer counts as gone.
    pub idle_timeout: Duration,
    /// Datagrams received and not yet taken, in bytes; the oldest are dropped beyond it.
    pub datagram_receive_bytes: usize,
    /// Datagrams not yet sent, in bytes; the sender drops beyond it.
    pub datagram_send_bytes: usize,
    /// The round trip that is assumed before one is measured.
    pub initial_rtt: Duration,
    /// How the connection finds out how much its path carries.
    pub congestion: Congestion,
    /// How many streams of one direction the peer may have open at once. The mesh uses none.
    pub one_way_streams: u32,
}

impl TransportSettings {
    /// For connections between edges: a lost peer is noticed within three seconds.
    #[must_use]
    pub const fn backbone(initial_mtu: u16) -> Self {
        Self {
            initial_mtu,
            keep_alive: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(3),
            datagram_receive_bytes: 4 * 1024 * 1024,
            datagram_send_bytes: 1024 * 1024,
            initial_rtt: Duration::from_millis(150),
            congestion: Congestion::Bbr,
            one_way_streams: 0,
        }
    }

    /// For connections between an edge and the coordinator.
    #[must_use]
    pub const fn control() -> Self {
        Self {
            initial_mtu: MTU_MIN,
            keep_alive: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(10),
            datagram_receive_bytes: 64 * 1024,
            datagram_send_bytes: 64 * 1024,
            initial_rtt: Duration::from_millis(150),
            congestion: Congestion::Cubic,
            one_way_streams: 0,
        }
    }

    fn config(&self) -> Result<Arc<TransportConfig>, EndpointError> {
        let idle = quinn::IdleTimeout::try_from(self.idle_timeout).map_err(|_| {
            EndpointError::IdleTimeout {
                value: self.idle_timeout,
            }
        })?;
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(self.one_way_streams))
            .initial_mtu(self.initial_mtu.max(MTU_MIN))
            .min_mtu(MTU_MIN)
            .mtu_discovery_config(Some(MtuDiscoveryConfig::default()))
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(Some(idle))
            .initial_rtt(self.initial_rtt)
            .datagram_receive_buffer_size(Some(self.datagram_receive_bytes))
            .datagram_send_buffer_size(self.datagram_send_bytes);
        match self.congestion {
            Congestion::Cubic => {
                config.congestion_controller_factory(Arc::new(CubicConfig::default()))
            }
            Congestion::Bbr => {
                config.congestion_controller_factory(Arc::new(MediaWindowConfig::default()))
            }
        };
        Ok(Arc::new(config))
    }
}

/// A UDP socket of the mesh with this process's credentials.
pub struct MeshEndpoint {
    inner: quinn::Endpoint,
    credentials: Credentials,
    transport: Arc<TransportConfig>,
    accepted: Mutex<mpsc::Receiver<MeshConnection>>,
    _acceptor: AbortOnDropHandle<()>,
}

impl MeshEndpoint {
    /// Binds `address` and accepts peers of the mesh that speak one of the protocols in `alpn`;
    /// with none, it only dials. Must be called within a Tokio runtime.
    ///
    /// Handshakes run beside one another, a bounded number at once. Finished ones wait for
    /// [`Self::accept`]; while they do they count as running.
    ///
    /// # Errors
    /// When the address cannot be bound or TLS refuses the credentials.
    pub fn bind(
        address: SocketAddr,
        credentials: Credentials,
        settings: &TransportSettings,
        alpn: &[&[u8]],
    ) -> Result<Self, EndpointError> {
        let transport = settings.config()?;
        let server = if alpn.is_empty() {
            None
        } else {
            let mut server = quinn::ServerConfig::with_crypto(Arc::new(credentials.server(alpn)?));
            server.transport_config(Arc::clone(&transport));
            Some(server)
        };
        let socket =
            UdpSocket::bind(address).map_err(|source| EndpointError::Bind { address, source })?;
        let inner = quinn::Endpoint::new(
            endpoint_config(&credentials)?,
            server,
            socket,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(|source| EndpointError::Bind { address, source })?;
        let (finished, accepted) = mpsc::channel(1);
        let acceptor = tokio::spawn(accept_all(inner.clone(), finished, names(alpn).into()));
        Ok(Self {
            inner,
            credentials,
            transport,
            accepted: Mutex::new(accepted),
            _acceptor: AbortOnDropHandle::new(acceptor),
        })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Whom this process's certificate speaks for.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        self.credentials.identity()
    }

    /// Dials `address`, where `expected` must answer, in one of the protocols in `alpn`: the one that
    /// the other side likes best.
    ///
    /// The peer checks our certificate only after this is done: when it refuses, the connection is
    /// closed at its first use.
    ///
    /// # Errors
    /// When nobody answers, or somebody else, or one who speaks none of `alpn`.
    pub async fn connect(
        &self,
        address: SocketAddr,
        expected: &Identity,
        alpn: &[&[u8]],
    ) -> Result<MeshConnection, ConnectError> {
        let mut config = ClientConfig::new(Arc::new(self.credentials.client(alpn)?));
        config.transport_config(Arc::clone(&self.transport));
        let connecting = self
            .inner
            .connect_with(config, address, &expected.dns_name())?;
        let connection = timeout(HANDSHAKE_TIMEOUT, connecting)
            .await
            .map_err(|_| quinn::ConnectionError::TimedOut)?
            .map_err(|error| ConnectError::of(error, names(alpn)))?;
        Ok(MeshConnection::new(connection)?)
    }

    /// The next peer whose handshake is done; `None` when the endpoint is closed. Cancel-safe.
    pub async fn accept(&self) -> Option<MeshConnection> {
        self.accepted.lock().await.recv().await
    }

    /// Closes every connection and waits until the peers have been told, or a second is over.
    pub async fn close(&self, reason: &str) {
        self.inner.close(
            VarInt::from_u32(CloseCode::Done.as_u32()),
            reason.as_bytes(),
        );
        // Peers that are gone do not answer, and need no wait.
        let _ = timeout(Duration::from_secs(1), self.inner.wait_idle()).await;
    }
}

impl fmt::Debug for MeshEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshEndpoint")
            .field("identity", self.identity())
            .finish_non_exhaustive()
    }
}

/// Protocols and versions, for people.
fn names(alpn: &[&[u8]]) -> String {
    let names = alpn.iter().map(|name| String::from_utf8_lossy(name));
    names.collect::<Vec<_>>().join(", ")
}

async fn accept_all(
    endpoint: quinn::Endpoint,
    finished: mpsc::Sender<MeshConnection>,
    spoken: Arc<str>,
) {
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            debug!("too many handshakes under way; one is refused");
            incoming.refuse();
            continue;
        };
        if permits.available_permits() < PERMITS_BEFORE_RETRY && incoming.may_retry() {
            // May fail only where `may_retry` is false.
            let _ = incoming.retry();
            continue;
        }
        let (finished, spoken) = (finished.clone(), Arc::clone(&spoken));
        tokio::spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, handshake(incoming, &spoken)).await {
                // Fails only when the endpoint is gone.
                Ok(Ok(connection)) => drop(finished.send(connection).await),
                Ok(Err(error)) => debug!(%error, "a peer was refused"),
                Err(_) => debug!("a handshake took too long"),
            }
            drop(permit);
        });
    }
}

async fn handshake(
    incoming: quinn::Incoming,
    spoken: &str,
) -> Result<MeshConnection, ConnectError> {
    let from = incoming.remote_address();
    let connection = incoming
        .await
        .map_err(|error| ConnectError::of(error, spoken.to_owned()))
        .inspect_err(|error| {
            if matches!(error, ConnectError::Version { .. }) {
                warn!(%from, %error, "a peer is refused: its software is too old or too new");
            }
        })?;
    MeshConnection::new(connection.clone()).map_err(|error| {
        let code = VarInt::from_u32(CloseCode::Refused.as_u32());
        connection.close(code, b"not a certificate of a mesh process");
        error.into()
    })
}

/// Why an endpoint could not be made.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// The address cannot be bound.
    #[error("cannot bind {address}/udp: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The idle timeout is too long to be sent.
    #[error("an idle timeout of {value:?}; less than 2^62 ms is allowed")]
    IdleTimeout {
        /// The timeout.
        value: Duration,
    },
    /// The credentials are of no use.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The dial could not be started.
    #[error("cannot dial: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// The other side speaks none of the versions that were offered.
    #[error("no common version: this side speaks {offered}, and the other none of them")]
    Version {
        /// The protocols and versions.
        offered: String,
    },
    /// The handshake failed.
    #[error("no connection: {0}")]
    Handshake(#[from] quinn::ConnectionError),
    /// The peer's certificate, or our own, is of no use.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// TLS's alert that no protocol is common (RFC 7301, section 3.2), as a QUIC error (RFC 9001, section
/// 4.8).
const NO_APPLICATION_PROTOCOL: u8 = 120;

impl ConnectError {
    fn of(error: quinn::ConnectionError, offered: String) -> Self {
        let code = quinn_proto::TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL);
        let is_version = match &error {
            quinn::ConnectionError::TransportError(error) => error.code == code,
            quinn::ConnectionError::ConnectionClosed(close) => close.error_code == code,
            _ => false,
        };
        if is_version {
            Self::Version { offered }
        } else {
            Self::Handshake(error)
        }
    }
}
