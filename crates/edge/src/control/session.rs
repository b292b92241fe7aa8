//! One connection to the coordinator, from the dial to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::endpoint::ConnectError;
use sluice_meshnet::stream::StreamError;
use sluice_meshnet::{Identity, MeshConnection, MeshEndpoint, MessageReceiver, MessageSender};
use sluice_types::mesh::control::{
    ALPNS, CoordinatorMessage, EdgeMessage, LEADS, LINKS_AND_DRAIN, ROOMS_REPORTED_MAX,
};
use sluice_types::mesh::version::{Version, up_to};
use thiserror::Error;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::pending::Pending;
use super::{Beat, ControlEvent, ControlSettings, LineNumber, Standing};

/// How long the coordinator's name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the coordinator may take to welcome or refuse the edge.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the coordinator gets to take the last messages of an edge that goes away.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// The shortest and the longest interval of heartbeats that is obeyed, in milliseconds.
const HEARTBEAT_MS: std::ops::RangeInclusive<u32> = 50..=60_000;

/// What outlives a connection.
pub(super) struct Shared {
    pub(super) line: LineNumber,
    pub(super) endpoint: Arc<MeshEndpoint>,
    pub(super) settings: Arc<ControlSettings>,
    pub(super) pending: Arc<Pending>,
    pub(super) events: mpsc::Sender<(LineNumber, ControlEvent)>,
    pub(super) standing: Arc<Standing>,
    pub(super) shutdown: CancellationToken,
}

impl Shared {
    /// Waits when the hub is behind, but not past the shutdown.
    pub(super) async fn say(&self, event: ControlEvent) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            // The hub is gone when this fails, and the edge with it.
            _ = self.events.send((self.line, event)) => {}
        }
    }
}

/// Why there is no connection, or no longer.
#[derive(Debug, Error)]
pub(super) enum SessionError {
    #[error("cannot resolve {name}: {source}")]
    Resolve { name: String, source: io::Error },
    #[error("{name} has no address")]
    NoAddress { name: String },
    #[error("cannot connect to {address}: {source}")]
    Connect {
        address: SocketAddr,
        source: ConnectError,
    },
    #[error("the stream failed: {0}")]
    Stream(#[from] StreamError),
    #[error("the coordinator closed the stream")]
    Closed,
    #[error("no welcome within {WELCOME_TIMEOUT:?}")]
    Late,
    #[error("{0} where a welcome belongs, or the other way round")]
    Unexpected(&'static str),
    #[error("refused: {reason}")]
    Refused { reason: String },
}

/// A connection on which the edge is registered.
pub(super) struct Session {
    connection: MeshConnection,
    sender: MessageSender<EdgeMessage>,
    receiver: MessageReceiver<CoordinatorMessage>,
    heartbeat_ms: u32,
    welcome: ControlEvent,
}

/// Dials the coordinator and registers.
pub(super) async fn connect(shared: &Shared) -> Result<Session, SessionError> {
    let connection = dial(shared).await?;
    match timeout(WELCOME_TIMEOUT, register(shared, &connection)).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => {
            connection.close(CloseCode::Protocol, "not registered");
            Err(error)
        }
        Err(_) => {
            connection.close(CloseCode::Protocol, "no welcome in time");
            Err(SessionError::Late)
        }
    }
}

/// Tries the coordinator's addresses in turn.
async fn dial(shared: &Shared) -> Result<MeshConnection, SessionError> {
    let name = &shared.settings.coordinators[shared.line];
    let addresses = timeout(RESOLVE_TIMEOUT, lookup_host(name))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| SessionError::Resolve {
            name: name.clone(),
            source,
        })?;
    let mut error = SessionError::NoAddress { name: name.clone() };
    for address in addresses {
        let alpns = up_to(shared.settings.protocol_max, ALPNS);
        let connecting = shared
            .endpoint
            .connect(address, &Identity::Coordinator, alpns);
        match connecting.await {
            Ok(connection) => return Ok(connection),
            Err(source) => error = SessionError::Connect { address, source },
        }
    }
    Err(error)
}

async fn register(shared: &Shared, connection: &MeshConnection) -> Result<Session, SessionError> {
    let (mut sender, mut receiver) = connection.open_messages().await?;
    let registration = shared.settings.registration.clone();
    sender.send(&EdgeMessage::Hello(registration)).await?;
    match receiver.recv().await?.ok_or(SessionError::Closed)? {
        CoordinatorMessage::Welcome {
            mesh,
            jwks,
            heartbeat_ms,
            public_url,
        } => Ok(Session {
            connection: connection.clone(),
            sender,
            receiver,
            heartbeat_ms,
            welcome: ControlEvent::Connected {
                mesh,
                jwks,
                public_url,
                has_terms: connection.version() >= LEADS,
            },
        }),
        CoordinatorMessage::Refuse { reason } => Err(SessionError::Refused { reason }),
        _ => Err(SessionError::Unexpected("another message")),
    }
}

impl Session {
    /// Exchanges messages until the shutdown, which is no error, or until the connection ends.
    pub(super) async fn run(self, shared: &Shared) -> Result<(), SessionError> {
        let Self {
            connection,
            sender,
            receiver,
            heartbeat_ms,
            welcome,
        } = self;
        tracing::info!(
            coordinator = %connection.remote_address(),
            heartbeat_ms,
            version = %connection.version(),
            "registered with the coordinator"
        );
        shared.pending.connected(connection.version());
        // Beside one another: a hub that is behind holds up what it is told, and no heartbeat.
        let result = tokio::select! {
            result = speak(shared, sender, connection.version(), heartbeat_ms) => result,
            error = listen(shared, welcome, receiver) => Err(error),
        };
        shared.pending.disconnected();
        connection.close(CloseCode::Done, "the edge lets go");
        if result.is_err() {
            shared.say(ControlEvent::Disconnected).await;
        }
        result
    }
}

/// Sends heartbeats and whatever is pending. Ends without an error only at the shutdown.
async fn speak(
    shared: &Shared,
    mut sender: MessageSender<EdgeMessage>,
    version: Version,
    heartbeat_ms: u32,
) -> Result<(), SessionError> {
    let heartbeat_ms = heartbeat_ms.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end());
    let mut beat = interval(Duration::from_millis(heartbeat_ms.into()));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => break,
            _ = beat.tick() => {
                let Beat { mut heartbeat, links } = (shared.settings.heartbeat)();
                heartbeat.rooms.truncate(ROOMS_REPORTED_MAX);
                sender.send(&EdgeMessage::Heartbeat(heartbeat)).await?;
                if version >= LINKS_AND_DRAIN {
                    sender.send(&EdgeMessage::Links(links)).await?;
                }
            }
            () = shared.pending.wait() => tell(shared, &mut sender).await?,
        }
    }
    let farewell = async {
        tell(shared, &mut sender).await?;
        sender.finish().await;
        Ok::<(), SessionError>(())
    };
    // The coordinator notices the end either way.
    let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
    Ok(())
}

async fn tell(
    shared: &Shared,
    sender: &mut MessageSender<EdgeMessage>,
) -> Result<(), SessionError> {
    for message in shared.pending.take() {
        sender.send(&message).await?;
    }
    Ok(())
}

/// Hands the coordinator's messages to the hub; returns why there are no more.
async fn listen(
    shared: &Shared,
    welcome: ControlEvent,
    mut receiver: MessageReceiver<CoordinatorMessage>,
) -> SessionError {
    shared.say(welcome).await;
    loop {
        match receiver.recv().await {
            Ok(Some(CoordinatorMessage::Welcome { .. })) => {
                return SessionError::Unexpected("a second welcome");
            }
            Ok(Some(CoordinatorMessage::Refuse { reason })) => {
                return SessionError::Refused { reason };
            }
            Ok(Some(message)) => shared.say(ControlEvent::Message(message)).await,
            Ok(None) => return SessionError::Closed,
            Err(error) => return error.into(),
        }
    }
}
