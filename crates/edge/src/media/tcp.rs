//! ICE-TCP (RFC 6544): for clients whose network lets no UDP through. Frames as in RFC 4571.
//!
//! A connection belongs to the worker of the participant that its first packet, a check, names.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sluice_guard::{AddressRules, Connections, Crowded, Permit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ice::Check;
use super::keys::ConnectionKey;
use super::worker::{Command, Mailbox};

/// How long a new connection may take to send its first check, and any to take what is sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Packets that wait for a connection; when they are too many, the newest is dropped.
const OUTGOING_PACKETS: usize = 256;

/// The longest frame that is accepted, in bytes.
const FRAME_BYTES_MAX: usize = 2_048;

/// Which worker has the participant with a user fragment.
#[derive(Clone, Default)]
pub(crate) struct Directory(Arc<RwLock<HashMap<String, Mailbox>>>);

impl Directory {
    pub(crate) fn insert(&self, ufrag: String, mailbox: Mailbox) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(ufrag, mailbox);
    }

    pub(crate) fn remove(&self, ufrag: &str) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(ufrag);
    }

    fn find(&self, ufrag: &str) -> Option<Mailbox> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(ufrag)
            .cloned()
    }
}

/// Who may connect, and how many. Others are closed at once.
pub(crate) struct Door {
    pub(crate) addresses: AddressRules,
    pub(crate) connections: Connections,
}

impl Door {
    fn admit(&self, from: SocketAddr) -> Result<Permit, &'static str> {
        if !self.addresses.allows(from.ip()) {
            return Err("address");
        }
        self.connections.take(from.ip()).map_err(Crowded::as_str)
    }
}

/// Accepts connections until it is dropped.
pub(crate) async fn serve(listener: TcpListener, directory: Directory, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let permit = match door.admit(from) {
                    Ok(permit) => permit,
                    Err(crowded) => {
                        metrics::counter!(
                            "sluice_refused_connections_total",
                            "listener" => "ice_tcp", "crowded" => crowded
                        )
                        .increment(1);
                        continue;
                    }
                };
                let directory = directory.clone();
                tokio::spawn(async move {
                    if let Err(error) = handle(stream, from, &directory).await {
                        tracing::debug!(%error, "an ICE-TCP connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end first.
                tracing::warn!(%error, "accepting an ICE-TCP connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn handle(stream: TcpStream, from: SocketAddr, directory: &Directory) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let mut first = vec![0; FRAME_BYTES_MAX];
    let length = timeout(PATIENCE, read_frame(&mut reader, &mut first)).await??;
    first.truncate(length);
    let Some(mailbox) = Check::parse(&first)
        .ok()
        .and_then(|check| directory.find(check.local_ufrag()))
    else {
        return Ok(());
    };
    let connection = ConnectionKey::next();
    let (outgoing, mut queue) = mpsc::channel::<Bytes>(OUTGOING_PACKETS);
    mailbox.tell(Command::Connected {
        connection,
        from,
        outgoing,
    });
    mailbox.tell(Command::Arrived {
        connection,
        packet: first,
    });
    let write = async {
        let mut frame = BytesMut::new();
        while let Some(packet) = queue.recv().await {
            frame.clear();
            // Datagrams are far shorter than 64 KiB.
            frame.extend_from_slice(&(packet.len() as u16).to_be_bytes());
            frame.extend_from_slice(&packet);
            timeout(PATIENCE, writer.write_all(&frame)).await??;
        }
        std::io::Result::Ok(())
    };
    let read = async {
        let mut frame = [0; FRAME_BYTES_MAX];
        loop {
            let length = read_frame(&mut reader, &mut frame).await?;
            mailbox.tell(Command::Arrived {
                connection,
                packet: frame[..length].to_vec(),
            });
        }
    };
    let result = tokio::select! {
        result = write => result,
        result = read => result,
    };
    mailbox.tell(Command::Disconnected { connection });
    result
}

async fn read_frame(
    reader: &mut (impl AsyncReadExt + Unpin),
    frame: &mut [u8],
) -> std::io::Result<usize> {
    let length = usize::from(reader.read_u16().await?);
    let frame = frame
        .get_mut(..length)
        .ok_or(std::io::ErrorKind::InvalidData)?;
    reader.read_exact(frame).await?;
    Ok(length)
}
