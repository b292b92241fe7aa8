//! Dialling a peer until it answers, and the hellos that open every connection.

use std::sync::Arc;
use std::time::Duration;

use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::stream::StreamError;
use sluice_meshnet::{Identity, MeshConnection, MeshEndpoint, MessageReceiver, MessageSender};
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::backbone::{ALPNS, BackboneMessage};
use sluice_types::mesh::version::up_to;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::BackboneSettings;
use super::supervisor::Directory;

/// How long to wait before the second attempt; doubled after each, up to the longest.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long the hellos may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is ready for use.
pub(super) struct Ready {
    pub(super) peer: EdgeId,
    /// Where it says it is.
    pub(super) region: RegionName,
    pub(super) connection: MeshConnection,
    pub(super) sender: MessageSender<BackboneMessage>,
    pub(super) receiver: MessageReceiver<BackboneMessage>,
    /// This edge dialled it.
    pub(super) dialled: bool,
}

/// Why a connection cannot be used.
#[derive(Debug, Error)]
pub(super) enum HelloError {
    #[error("the stream failed: {0}")]
    Stream(#[from] StreamError),
    #[error("no hello within {HELLO_TIMEOUT:?}")]
    Late,
    #[error("the first message is not a hello")]
    NotHello,
    #[error("the hello names {named}, the certificate {certified}")]
    WrongName { named: EdgeId, certified: Identity },
}

/// Exchanges hellos on a new connection.
pub(super) async fn greet(
    connection: MeshConnection,
    edge: &EdgeId,
    region: &RegionName,
    dialled: bool,
) -> Result<Ready, HelloError> {
    let exchange = async {
        let (mut sender, mut receiver) = if dialled {
            connection.open_messages().await?
        } else {
            connection.accept_messages().await?
        };
        let hello = BackboneMessage::Hello {
            edge: edge.clone(),
            region: region.clone(),
        };
        sender.send(&hello).await?;
        let Some(BackboneMessage::Hello {
            edge: named,
            region,
        }) = receiver.recv().await?
        else {
            return Err(HelloError::NotHello);
        };
        if connection.peer().edge() != Some(&named) {
            return Err(HelloError::WrongName {
                named,
                certified: connection.peer().clone(),
            });
        }
        Ok((named, region, sender, receiver))
    };
    match timeout(HELLO_TIMEOUT, exchange).await {
        Ok(Ok((peer, region, sender, receiver))) => Ok(Ready {
            peer,
            region,
            connection,
            sender,
            receiver,
            dialled,
        }),
        Ok(Err(error)) => {
            connection.close(CloseCode::Refused, "no proper hello");
            Err(error)
        }
        Err(_) => {
            connection.close(CloseCode::Refused, "no hello in time");
            Err(HelloError::Late)
        }
    }
}

/// Dials a peer at the addresses of the directory, each in turn, until one answers.
pub(super) async fn dial(
    endpoint: Arc<MeshEndpoint>,
    peer: EdgeId,
    settings: BackboneSettings,
    directory: watch::Receiver<Directory>,
) -> Ready {
    let mut backoff = BACKOFF;
    let expected = Identity::Edge(peer.clone());
    let alpns = up_to(settings.protocol_max, ALPNS);
    let BackboneSettings { edge, region, .. } = settings;
    loop {
        let addresses = directory.borrow().get(&peer).cloned().unwrap_or_default();
        for address in addresses {
            match endpoint.connect(address, &expected, alpns).await {
                Ok(connection) => match greet(connection, &edge, &region, true).await {
                    Ok(ready) => return ready,
                    Err(error) => tracing::info!(%peer, %error, "a peer does not greet"),
                },
                Err(error) => tracing::info!(%peer, %error, "a peer cannot be reached"),
            }
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}
