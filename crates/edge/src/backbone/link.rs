//! One connection: a task that writes messages, one that reads them, one for datagrams.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::{MeshConnection, MessageReceiver, MessageSender};
use sluice_relay::datagram::{Datagram, Kind, Split, Splitter, read_clock};
use sluice_relay::joiner::Joiner;
use sluice_sfu::forward::EncodingId;
use sluice_sfu::rtcp::{NtpTime, SenderClock};
use sluice_types::ids::{EdgeId, RelayId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::mesh::control::LinkReport;
use tokio::sync::mpsc;

use super::outlet::{Outlet, Queue, Queued};
use super::{BackboneEvent, Route};
use crate::media::Relayed;

/// Messages that wait to be written. A peer that lets more pile up is disconnected: it has lost
/// touch, and starts afresh.
const MESSAGES: usize = 8_192;

/// Datagrams handled before the workers that got them are woken.
const DATAGRAMS_PER_BATCH: usize = 32;

/// What one connection counted.
#[derive(Debug, Default)]
struct Counters {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    /// Packets sent and lost as QUIC counts them, at the last report.
    reported: Mutex<(u64, u64)>,
}

/// A connection that is up.
#[derive(Clone)]
pub(super) struct LinkHandle {
    connection: MeshConnection,
    messages: mpsc::Sender<BackboneMessage>,
    routes: mpsc::UnboundedSender<(RelayId, Option<Route>)>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
}

impl LinkHandle {
    pub(super) fn send(&self, message: BackboneMessage) {
        if self.messages.try_send(message).is_err() {
            self.connection
                .close(CloseCode::Protocol, "too many messages wait");
        }
    }

    /// Routes are as many as this edge's own subscriptions, so their channel needs no bound.
    pub(super) fn route(&self, relay: RelayId, route: Option<Route>) {
        // The connection is gone when this fails, and its routes with it.
        let _ = self.routes.send((relay, route));
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

    pub(super) fn report(&self, peer: EdgeId) -> LinkReport {
        let path = self.connection.quic().stats().path;
        let mut reported = self
            .counters
            .reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (sent, lost) = (
            path.sent_packets.saturating_sub(reported.0),
            path.lost_packets.saturating_sub(reported.1),
        );
        *reported = (path.sent_packets, path.lost_packets);
        let loss_ppm = (lost * 1_000_000).checked_div(sent).unwrap_or(0);
        let round_trip = path.rtt;
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

/// Starts the tasks of a connection whose hellos are exchanged. `done` is called when it is gone.
pub(super) fn start(
    peer: EdgeId,
    connection: MeshConnection,
    sender: MessageSender<BackboneMessage>,
    receiver: MessageReceiver<BackboneMessage>,
    events: mpsc::Sender<BackboneEvent>,
    done: mpsc::Sender<(EdgeId, MeshConnection)>,
) -> LinkHandle {
    let (messages, messages_rx) = mpsc::channel(MESSAGES);
    let (routes, routes_rx) = mpsc::unbounded_channel();
    let queue = Queue::new();
    let counters = Arc::<Counters>::default();
    let handle = LinkHandle {
        connection: connection.clone(),
        messages,
        routes,
        queue: queue.clone(),
        counters: counters.clone(),
    };
    let datagrams = Datagrams {
        peer: peer.clone(),
        metrics: Metrics::new(&peer),
        connection: connection.clone(),
        queue,
        counters,
        incoming: HashMap::new(),
        outgoing: HashMap::new(),
        events: events.clone(),
    };
    tokio::spawn(async move {
        let reason = tokio::select! {
            reason = write(sender, messages_rx) => reason,
            reason = read(peer.clone(), receiver, events) => reason,
            reason = datagrams.run(routes_rx) => reason,
        };
        tracing::info!(%peer, reason, "a backbone connection ended");
        connection.close(CloseCode::Done, reason);
        // The supervisor is gone when this fails, and the edge with it.
        let _ = done.send((peer, connection)).await;
    });
    handle
}

async fn write(
    mut sender: MessageSender<BackboneMessage>,
    mut messages: mpsc::Receiver<BackboneMessage>,
) -> &'static str {
    while let Some(message) = messages.recv().await {
        let last = matches!(message, BackboneMessage::Goodbye {});
        if sender.send(&message).await.is_err() {
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
) -> &'static str {
    loop {
        match receiver.recv().await {
            Ok(Some(BackboneMessage::Goodbye {})) => return "the peer goes away",
            Ok(Some(message)) => {
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

struct Incoming {
    route: Route,
    joiner: Joiner,
}

struct Metrics {
    sent: metrics::Counter,
    received: metrics::Counter,
    split: metrics::Counter,
    joined: metrics::Counter,
    sent_bytes: metrics::Counter,
    received_bytes: metrics::Counter,
    unrouted: metrics::Counter,
    too_long: metrics::Counter,
    no_room: metrics::Counter,
    duplicates: metrics::Counter,
    queue_full: metrics::Counter,
}

impl Metrics {
    fn new(peer: &EdgeId) -> Self {
        let peer = peer.to_string();
        let counter = |name: &'static str| metrics::counter!(name, "peer" => peer.clone());
        let dropped = |reason: &'static str| {
            metrics::counter!(
                "sluice_backbone_dropped_packets_total", "peer" => peer.clone(), "reason" => reason
            )
        };
        Self {
            sent: counter("sluice_backbone_sent_packets_total"),
            received: counter("sluice_backbone_received_packets_total"),
            split: counter("sluice_backbone_split_packets_total"),
            joined: counter("sluice_backbone_joined_packets_total"),
            sent_bytes: counter("sluice_backbone_sent_bytes_total"),
            received_bytes: counter("sluice_backbone_received_bytes_total"),
            unrouted: dropped("unrouted"),
            too_long: dropped("too_long"),
            no_room: dropped("congestion"),
            duplicates: dropped("duplicate"),
            queue_full: dropped("queue_full"),
        }
    }
}

struct Datagrams {
    peer: EdgeId,
    metrics: Metrics,
    connection: MeshConnection,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    incoming: HashMap<RelayId, Incoming>,
    outgoing: HashMap<RelayId, Splitter>,
    events: mpsc::Sender<BackboneEvent>,
}

impl Datagrams {
    async fn run(
        mut self,
        mut routes: mpsc::UnboundedReceiver<(RelayId, Option<Route>)>,
    ) -> &'static str {
        let quic = self.connection.quic().clone();
        loop {
            tokio::select! {
                biased;
                route = routes.recv() => match route {
                    Some((relay, Some(route))) => {
                        let joiner = Joiner::default();
                        self.incoming.insert(relay, Incoming { route, joiner });
                    }
                    Some((relay, None)) => drop(self.incoming.remove(&relay)),
                    None => return "replaced",
                },
                () = self.queue.wait() => self.send_queued(&quic),
                datagram = quic.read_datagram() => {
                    let Ok(datagram) = datagram else {
                        return "the connection is lost";
                    };
                    self.receive(&quic, datagram).await;
                }
            }
        }
    }

    /// Takes a datagram, and what else has come already, then wakes the workers concerned.
    async fn receive(&mut self, quic: &quinn::Connection, first: Bytes) {
        let mut woken = Vec::new();
        let mut datagram = Some(first);
        for _ in 0..DATAGRAMS_PER_BATCH {
            let Some(bytes) = datagram.take() else {
                break;
            };
            if let Some(relay) = self.deliver(bytes).await
                && !woken.contains(&relay)
            {
                woken.push(relay);
            }
            // Only what is there already; the future is dropped when it would wait.
            datagram =
                futures_util::FutureExt::now_or_never(quic.read_datagram()).and_then(Result::ok);
        }
        for relay in woken {
            if let Some(incoming) = self.incoming.get(&relay) {
                incoming.route.inlet.wake();
            }
        }
        if let Some(last) = datagram {
            // The batch is over, but this one was taken out already.
            if let Some(relay) = self.deliver(last).await
                && let Some(incoming) = self.incoming.get(&relay)
            {
                incoming.route.inlet.wake();
            }
        }
    }

    /// Takes one datagram, and says which relay got something out of it.
    async fn deliver(&mut self, bytes: Bytes) -> Option<RelayId> {
        let length = bytes.len() as u64;
        self.counters
            .received_bytes
            .fetch_add(length, Ordering::Relaxed);
        self.metrics.received_bytes.increment(length);
        let datagram = Datagram::parse(bytes).ok()?;
        let relay = datagram.relay;
        let Some(incoming) = self.incoming.get_mut(&relay) else {
            self.metrics.unrouted.increment(1);
            return None;
        };
        let (inlet, track) = (&incoming.route.inlet, incoming.route.track);
        if datagram.kind == Kind::Clock {
            let (ntp, rtp, encoding) = read_clock(&datagram.payload)?;
            let ntp = NtpTime(ntp);
            let clock = SenderClock { ntp, rtp };
            inlet.deliver(track, Relayed::Clock(EncodingId(encoding), clock));
            return Some(relay);
        }
        let before = incoming.joiner.stats();
        let packet = incoming.joiner.join(datagram);
        let after = incoming.joiner.stats();
        self.metrics.joined.increment(after.joined - before.joined);
        self.metrics
            .duplicates
            .increment(after.duplicates - before.duplicates);
        inlet.deliver(track, Relayed::Media(packet?));
        self.metrics.received.increment(1);
        if incoming.route.packets.fetch_add(1, Ordering::Relaxed) == 0 {
            let peer = self.peer.clone();
            // The hub is gone when this fails, and the edge with it.
            let _ = self
                .events
                .send(BackboneEvent::FirstPacket { peer, relay })
                .await;
        }
        Some(relay)
    }

    fn send_queued(&mut self, quic: &quinn::Connection) {
        let Some(longest) = quic.max_datagram_size() else {
            return;
        };
        while let Some(queued) = self.queue.take() {
            match queued {
                Queued::Clock(relay, encoding, clock) => {
                    let splitter = self.splitter(relay);
                    let datagram = splitter.clock(clock.ntp.0, clock.rtp, encoding.0);
                    self.send_datagram(quic, datagram);
                }
                Queued::Media(relay, packet) => {
                    match self.splitter(relay).split(&packet, longest) {
                        Ok(Split::Whole(datagram)) => self.send_datagram(quic, datagram),
                        Ok(Split::Halves(halves)) => {
                            self.metrics.split.increment(1);
                            for half in halves {
                                self.send_datagram(quic, half);
                            }
                        }
                        Err(error) => {
                            self.metrics.too_long.increment(1);
                            tracing::debug!(peer = %self.peer, %error, "a packet is not relayed");
                        }
                    }
                    self.metrics.sent.increment(1);
                    self.queue.recycle(packet);
                }
            }
        }
        self.metrics
            .queue_full
            .absolute(self.queue.dropped.load(Ordering::Relaxed));
    }

    fn splitter(&mut self, relay: RelayId) -> &mut Splitter {
        self.outgoing
            .entry(relay)
            .or_insert_with(|| Splitter::new(relay))
    }

    /// Sends one datagram. When the congestion window leaves so much waiting that it does not fit,
    /// it is dropped rather than an older one: what waits is in order.
    fn send_datagram(&self, quic: &quinn::Connection, datagram: Bytes) {
        let length = datagram.len();
        if quic.datagram_send_buffer_space() < length || quic.send_datagram(datagram).is_err() {
            self.metrics.no_room.increment(1);
            return;
        }
        self.counters
            .sent_bytes
            .fetch_add(length as u64, Ordering::Relaxed);
        self.metrics.sent_bytes.increment(length as u64);
    }
}
