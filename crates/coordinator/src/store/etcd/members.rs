//! etcd's members as a client sees them: one is asked until it fails, then the next.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use tokio::time::{Instant, sleep, timeout};

use super::super::StoreError;

/// How long one member may take to answer, and how long all of them together.
const ATTEMPT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(6);

/// How long to wait before another member is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a connection is tried that says nothing, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Where etcd is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Members' client URLs, at least one.
    pub endpoints: Vec<String>,
    /// What every key begins with.
    pub prefix: String,
    /// Certificates, for https.
    pub tls: Option<EtcdTls>,
    /// User name and password, where etcd asks for them.
    pub user: Option<(String, String)>,
    /// How long a coordinator that says nothing goes on leading, 2 to 60 s.
    pub lease: Duration,
}

/// Certificates for etcd, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdTls {
    /// Of the authority that etcd's members are certified by.
    pub ca: PathBuf,
    /// The client's own certificate and key, where etcd asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

pub(super) struct Members {
    clients: Vec<Client>,
    current: AtomicUsize,
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path)
        .map_err(|error| StoreError::Database(format!("{}: {error}", path.display())))
}

impl Members {
    /// Connects when something is first asked.
    pub(super) async fn new(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new()
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE)
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(ATTEMPT)
            .with_require_leader(true);
        if let Some((name, password)) = &settings.user {
            options = options.with_user(name, password);
        }
        if let Some(tls) = &settings.tls {
            let mut with = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&tls.ca)?));
            if let Some((cert, key)) = &tls.client {
                with = with.identity(Identity::from_pem(read(cert)?, read(key)?));
            }
            options = options.with_tls(with);
        }
        let mut clients = Vec::new();
        for endpoint in &settings.endpoints {
            let client = Client::connect([endpoint], Some(options.clone())).await;
            clients.push(
                client.map_err(|error| {
                    StoreError::Database(format!("etcd at {endpoint}: {error}"))
                })?,
            );
        }
        Ok(Self {
            clients,
            current: AtomicUsize::new(0),
        })
    }

    /// The member that answered last, and its number for [`Self::turn_from`].
    pub(super) fn current(&self) -> (usize, Client) {
        let at = self.current.load(Ordering::Relaxed) % self.clients.len();
        (at, self.clients[at].clone())
    }

    /// That one failed: ask the next.
    pub(super) fn turn_from(&self, at: usize) {
        let next = (at + 1) % self.clients.len();
        // Another call may have turned already.
        let _ = self
            .current
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Asks until a member answers. What is asked may be done more than once: a member that fell
    /// silent may have done it.
    pub(super) async fn call<T, F>(&self, mut ask: impl FnMut(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let (at, client) = self.current();
            let reason = match timeout(ATTEMPT, ask(client)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if !passes(&error) => {
                    return Err(StoreError::Database(error.to_string()));
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {ATTEMPT:?}"),
            };
            self.turn_from(at);
            if Instant::now() + PAUSE >= until {
                return Err(StoreError::Unavailable(reason));
            }
            sleep(PAUSE).await;
        }
    }
}

/// Whether another member, or the same a little later, may answer better.
fn passes(error: &Error) -> bool {
    match error {
        // Cancelled, unknown, late, internal, unavailable: the numbers of gRPC.
        Error::GRpcStatus(status) => matches!(i32::from(status.code()), 1 | 2 | 4 | 13 | 14),
        Error::TransportError(_) | Error::IoError(_) => true,
        _ => false,
    }
}
