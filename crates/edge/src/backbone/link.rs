//! One connection: a task that writes messages, one that reads them, one for datagrams (`traffic.rs`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::{MeshConnection, MessageReceiver, MessageSender};
use sluice_relay::hop::{HopSettings, Measured};
use sluice_types::ids::{EdgeId, RelayId};
use sluice_types::mesh::backbone::{BackboneMessage, STEADY_PROBES};
use sluice_types::mesh::control::{LinkQuality, LinkReport};
use sluice_types::mesh::version::Version;
use sluice_types::topology::Overhead;
use tokio::sync::mpsc;

use super::outlet::{Outlet, Queue};
use super::traffic::{Traffic, TrafficCommand};
use super::{BackboneEvent, Route};

/// Messages that wait to be written. A peer that lets more pile up is disconnected: it has lost
/// touch, and starts afresh.
const MESSAGES: usize = 8_192;

/// What one connection counted and measured.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent_bytes: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    /// What probes measured; `None` while the peer answers none.
    pub(super) measured: Mutex<Option<Measured>>,
    /// Packets sent and lost as QUIC counts them, at the last report.
    reported: Mutex<(u64, u64)>,
}

/// A connection that is up, to send on. The one who holds it sends to nobody else: what replaces the
/// connection is another link.
#[derive(Clone)]
pub struct Link {
    connection: MeshConnection,
    messages: mpsc::Sender<BackboneMessage>,
    traffic: mpsc::UnboundedSender<TrafficCommand>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
}

impl Link {
    pub(super) fn send(&self, message: BackboneMessage) {
        self.tell(TrafficCommand::of(&message, false));
        if self.messages.try_send(message).is_err() {
            self.connection
                .close(CloseCode::Protocol, "too many messages wait");
        }
    }

    /// Routes are as many as this edge's own subscriptions, so their channel needs no bound.
    pub(super) fn route(&self, relay: RelayId, route: Option<Route>) {
        self.tell(Some(TrafficCommand::Route(relay, route)));
    }

    pub(super) fn set_overhead(&self, overhead: Overhead) {
        self.tell(Some(TrafficCommand::Overhead(overhead)));
    }

    fn tell(&self, command: Option<TrafficCommand>) {
        if let Some(command) = command {
            // The connection is gone when this fails, and what it carried with it.
            let _ = self.traffic.send(command);
        }
    }

    pub(super) fn outlet(&self) -> Outlet {
        Outlet::new(self.queue.clone())
    }

    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code, reason);
    }

    /// Says goodbye before it closes.
    pub(super) fn goodbye(&self) {
        self.send(BackboneMessage::Goodbye {});
    }

    pub(super) fn same_as(&self, other: &MeshConnection) -> bool {
        self.connection.quic().stable_id() == other.quic().stable_id()
    }

    pub(super) fn quality(&self, peer: EdgeId) -> LinkQuality {
        let path = self.connection.quic().stats().path;
        let measured = lock(&self.counters.measured).unwrap_or_default();
        let window = path.cwnd as f64 * 8.0 / path.rtt.as_secs_f64().max(0.000_1);
        let used = measured.delivered.as_bps() as f64 / window.max(1.0);
        LinkQuality {
            peer,
            jitter_us: measured.jitter.as_micros() as u64,
            used_permille: (used * 1_000.0) as u32,
        }
    }

    pub(super) fn report(&self, peer: EdgeId) -> LinkReport {
        let path = self.connection.quic().stats().path;
        let mut reported = lock(&self.counters.reported);
        let (sent, lost) = (
            path.sent_packets.saturating_sub(reported.0),
            path.lost_packets.saturating_sub(reported.1),
        );
        *reported = (path.sent_packets, path.lost_packets);
        // A peer that answers no probes leaves what QUIC knows.
        let (round_trip, loss_ppm) = match *lock(&self.counters.measured) {
            Some(measured) => (measured.round_trip, (measured.loss * 1e6) as u64),
            None => {
                let loss = (lost * 1_000_000).checked_div(sent).unwrap_or(0);
                (path.rtt, loss)
            }
        };
        metrics::gauge!("sluice_backbone_round_trip_seconds", "peer" => peer.to_string())
            .set(round_trip.as_secs_f64());
        metrics::gauge!("sluice_backbone_loss_ratio", "peer" => peer.to_string())
            .set(loss_ppm as f64 / 1e6);
        metrics::gauge!("sluice_backbone_mtu_bytes", "peer" => peer.to_string())
            .set(f64::from(path.current_mtu));
        LinkReport {
            peer,
            round_trip_us: round_trip.as_micros() as u64,
            loss_ppm: loss_ppm.min(1_000_000) as u32,
            sent_bytes: self.counters.sent_bytes.load(Ordering::Relaxed),
            received_bytes: self.counters.received_bytes.load(Ordering::Relaxed),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind it is plain numbers, whole after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Link").field(self.connection.peer()).finish()
    }
}

/// A link over a connection whose hellos are exchanged, and what carries it. `done` is told when the
/// connection is gone.
pub(super) fn open(
    peer: EdgeId,
    connection: MeshConnection,
    (sender, receiver): (
        MessageSender<BackboneMessage>,
        MessageReceiver<BackboneMessage>,
    ),
    silence: Duration,
    events: mpsc::Sender<BackboneEvent>,
    done: mpsc::Sender<(EdgeId, MeshConnection)>,
) -> (Link, impl Future<Output = ()> + Send + use<>) {
    let (messages, messages_rx) = mpsc::channel(MESSAGES);
    let (traffic, commands) = mpsc::unbounded_channel();
    let queue = Queue::new();
    let counters = Arc::<Counters>::default();
    let handle = Link {
        connection: connection.clone(),
        messages,
        traffic: traffic.clone(),
        queue: queue.clone(),
        counters: counters.clone(),
    };
    let version = connection.version();
    let hop = HopSettings {
        silence: (version >= STEADY_PROBES).then_some(silence),
        ..HopSettings::default()
    };
    let (quic, traffic_events) = (connection.quic().clone(), events.clone());
    let datagrams = Traffic::new(&peer, quic, hop, queue, counters, traffic_events);
    let carry = async move {
        let reason = tokio::select! {
            reason = write(sender, version, messages_rx) => reason,
            reason = read(peer.clone(), receiver, events, traffic) => reason,
            reason = datagrams.run(commands) => reason,
        };
        tracing::info!(%peer, reason, "a backbone connection ended");
        connection.close(CloseCode::Done, reason);
        // The supervisor is gone when this fails, and the edge with it.
        let _ = done.send((peer, connection)).await;
    };
    (handle, carry)
}

async fn write(
    mut sender: MessageSender<BackboneMessage>,
    version: Version,
    mut messages: mpsc::Receiver<BackboneMessage>,
) -> &'static str {
    while let Some(message) = messages.recv().await {
        let last = matches!(message, BackboneMessage::Goodbye {});
        if sender.send(&message.for_version(version)).await.is_err() {
            return "writing failed";
        }
        if last {
            sender.finish().await;
            return "this edge goes away";
        }
    }
    "replaced"
}

async fn read(
    peer: EdgeId,
    mut receiver: MessageReceiver<BackboneMessage>,
    events: mpsc::Sender<BackboneEvent>,
    traffic: mpsc::UnboundedSender<TrafficCommand>,
) -> &'static str {
    loop {
        match receiver.recv().await {
            Ok(Some(BackboneMessage::Goodbye {})) => return "the peer goes away",
            Ok(Some(message)) => {
                // The traffic's task is gone when this fails, and the connection with it.
                if let Some(command) = TrafficCommand::of(&message, true) {
                    let _ = traffic.send(command);
                }
                let peer = peer.clone();
                if events
                    .send(BackboneEvent::Message { peer, message })
                    .await
                    .is_err()
                {
                    return "the hub is gone";
                }
            }
            Ok(None) => return "the peer closed its stream",
            Err(error) => {
                tracing::debug!(%peer, %error, "reading from a peer failed");
                return "reading failed";
            }
        }
    }
}
