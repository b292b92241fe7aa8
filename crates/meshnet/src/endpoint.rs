//! One UDP socket that dials and accepts connections of the mesh.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use quinn::{ClientConfig, TransportConfig, VarInt};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::admission::{Admission, Revoked};
use crate::connection::{CloseCode, MeshConnection};
use crate::identity::Identity;
use crate::restart::endpoint_config;
use crate::tls::{Credentials, CredentialsError};
use crate::transport::TransportSettings;

/// The most handshakes under way at once; further ones are refused.
const HANDSHAKES_MAX: usize = 128;
/// With fewer permits left than this, an address must first be proved by a retry packet.
const PERMITS_BEFORE_RETRY: usize = HANDSHAKES_MAX / 2;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What handshakes are made with; replaced as a whole.
struct Certified {
    credentials: RwLock<Arc<Credentials>>,
    transport: Arc<TransportConfig>,
    alpn: Vec<Vec<u8>>,
}

impl Certified {
    fn credentials(&self) -> Arc<Credentials> {
        let current = self.credentials.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// How peers are accepted with `credentials`; `None` where only dialling is done.
    fn server(
        &self,
        credentials: &Credentials,
    ) -> Result<Option<quinn::ServerConfig>, CredentialsError> {
        if self.alpn.is_empty() {
            return Ok(None);
        }
        let alpn: Vec<_> = self.alpn.iter().map(Vec::as_slice).collect();
        let crypto = Arc::new(credentials.server(&alpn)?);
        let mut server = quinn::ServerConfig::with_crypto(crypto);
        server.transport_config(Arc::clone(&self.transport));
        Ok(Some(server))
    }
}

/// A way to give an endpoint new credentials, wherever the endpoint itself has gone.
#[derive(Clone)]
pub struct Renewal {
    inner: quinn::Endpoint,
    identity: Identity,
    certified: Arc<Certified>,
}

impl Renewal {
    /// Handshakes from now on are made with these. Connections that stand go on.
    ///
    /// # Errors
    /// When they are another process's, or TLS refuses them; those before stay in use.
    pub fn renew(&self, credentials: Credentials) -> Result<(), CredentialsError> {
        if *credentials.identity() != self.identity {
            return Err(CredentialsError::Another {
                found: credentials.identity().to_string(),
                expected: self.identity.to_string(),
            });
        }
        let server = self.certified.server(&credentials)?;
        // A certificate and a key that do not belong together are found out where one is shown.
        credentials.client(&[])?;
        let place = self.certified.credentials.write();
        *place.unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        if server.is_some() {
            self.inner.set_server_config(server);
        }
        Ok(())
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A UDP socket of the mesh with this process's credentials.
pub struct MeshEndpoint {
    inner: quinn::Endpoint,
    identity: Identity,
    certified: Arc<Certified>,
    accepted: Mutex<mpsc::Receiver<MeshConnection>>,
    admission: Admission,
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
        Self::bind_guarded(address, credentials, settings, alpn, Admission::default())
    }

    /// As [`Self::bind`], but for those whom `admission` refuses: peers at the wrong addresses, and
    /// peers, dialled ones too, whose certificates are revoked.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_guarded(
        address: SocketAddr,
        credentials: Credentials,
        settings: &TransportSettings,
        alpn: &[&[u8]],
        admission: Admission,
    ) -> Result<Self, EndpointError> {
        let identity = credentials.identity().clone();
        let config = endpoint_config(&credentials)?;
        let credentials = Arc::new(credentials);
        let certified = Arc::new(Certified {
            credentials: RwLock::new(Arc::clone(&credentials)),
            transport: settings.config()?,
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        });
        let server = certified.server(&credentials)?;
        let socket =
            UdpSocket::bind(address).map_err(|source| EndpointError::Bind { address, source })?;
        let inner = quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))
            .map_err(|source| EndpointError::Bind { address, source })?;
        let (finished, accepted) = mpsc::channel(1);
        let spoken = names(alpn).into();
        let accepting = accept_all(inner.clone(), finished, spoken, admission.clone());
        let acceptor = tokio::spawn(accepting);
        Ok(Self {
            inner,
            identity,
            certified,
            accepted: Mutex::new(accepted),
            admission,
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
        &self.identity
    }

    /// A way to give it new credentials later.
    #[must_use]
    pub fn renewal(&self) -> Renewal {
        Renewal {
            inner: self.inner.clone(),
            identity: self.identity.clone(),
            certified: Arc::clone(&self.certified),
        }
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
        let crypto = self.certified.credentials().client(alpn)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::clone(&self.certified.transport));
        let connecting = self
            .inner
            .connect_with(config, address, &expected.dns_name())?;
        let connection = timeout(HANDSHAKE_TIMEOUT, connecting)
            .await
            .map_err(|_| quinn::ConnectionError::TimedOut)?
            .map_err(|error| ConnectError::of(error, names(alpn)))?;
        MeshConnection::new(connection.clone(), &self.admission)
            .inspect_err(|error| refuse(&connection, error))
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

fn count_refused(reason: &'static str) {
    metrics::counter!("sluice_quic_refused_handshakes_total", "reason" => reason).increment(1);
}

/// Tells a peer why it is refused.
fn refuse(connection: &quinn::Connection, error: &ConnectError) {
    let reason: &[u8] = match error {
        ConnectError::Revoked(_) => {
            count_refused("revoked");
            b"the certificate is revoked"
        }
        _ => b"not a certificate of a mesh process",
    };
    connection.close(VarInt::from_u32(CloseCode::Refused.as_u32()), reason);
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
    admission: Admission,
) {
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        let from = incoming.remote_address().ip();
        if !admission.allows(from) {
            count_refused("address");
            // No answer: the address may be made up.
            incoming.ignore();
            continue;
        }
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            debug!("too many handshakes under way; one is refused");
            count_refused("all");
            incoming.refuse();
            continue;
        };
        if permits.available_permits() < PERMITS_BEFORE_RETRY && incoming.may_retry() {
            // May fail only where `may_retry` is false.
            let _ = incoming.retry();
            continue;
        }
        let Some(counted) = admission.begin(from) else {
            count_refused("network");
            // An address that is not proved may be made up, and its owner be one of ours.
            if incoming.may_retry() {
                let _ = incoming.retry();
            } else {
                incoming.refuse();
            }
            continue;
        };
        let (finished, spoken) = (finished.clone(), Arc::clone(&spoken));
        let admission = admission.clone();
        tokio::spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, handshake(incoming, &spoken, &admission)).await {
                // Fails only when the endpoint is gone.
                Ok(Ok(connection)) => {
                    drop(counted);
                    drop(finished.send(connection).await);
                }
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
    admission: &Admission,
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
    MeshConnection::new(connection.clone(), admission)
        .inspect_err(|error| refuse(&connection, error))
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
    /// The peer's certificate is revoked.
    #[error(transparent)]
    Revoked(#[from] Revoked),
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
