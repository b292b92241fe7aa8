//! One connection's datagrams. What to send and when is `sluice-relay`'s to decide.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use sluice_relay::connection::Connection;
use sluice_relay::datagram::{Datagram, Kind, read_clock};
use sluice_relay::hop::HopSettings;
use sluice_relay::joiner::Joiner;
use sluice_sfu::forward::EncodingId;
use sluice_sfu::rtcp::{NtpTime, SenderClock};
use sluice_types::ids::{EdgeId, MeetingId, RelayId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::topology::Overhead;
use sluice_types::units::Time;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::figures::Metrics;
use super::link::Counters;
use super::outlet::{Queue, Queued};
use super::rooms::Rooms;
use super::{BackboneEvent, Route};
use crate::media::Relayed;

/// Datagrams handled before the workers that got them are woken.
const DATAGRAMS_PER_BATCH: usize = 32;

/// What may wait within QUIC, in bytes: what its window lets go in this time, within these bounds.
/// The rest waits where sound overtakes video.
const AHEAD: Duration = Duration::from_millis(5);
const AHEAD_BYTES_MIN: usize = 16 * 1024;
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// How often metrics are brought up to date, and QUIC's window is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// What the task that moves datagrams is told.
pub(super) enum TrafficCommand {
    /// Packets of this relay go there, or nowhere any more.
    Route(RelayId, Option<Route>),
    /// The peer asked for a relay of this room and root.
    Serve(RelayId, MeetingId, EdgeId),
    /// A relay that goes out is over.
    Ended(RelayId),
    /// The peer left a tree, and all its relays are over.
    Left(MeetingId, EdgeId),
    /// How much repairs may be of the media.
    Overhead(Overhead),
}

impl TrafficCommand {
    /// What a message means for what goes out: one that came, or one that is sent.
    pub(super) fn of(message: &BackboneMessage, came: bool) -> Option<Self> {
        match message {
            BackboneMessage::Subscribe {
                relay, room, root, ..
            } if came => Some(Self::Serve(*relay, room.clone(), root.clone())),
            BackboneMessage::Unsubscribe { relay } if came => Some(Self::Ended(*relay)),
            BackboneMessage::Leave { room, root } if came => {
                Some(Self::Left(room.clone(), root.clone()))
            }
            BackboneMessage::RelayEnded { relay } if !came => Some(Self::Ended(*relay)),
            _ => None,
        }
    }
}

struct Incoming {
    route: Route,
    joiner: Joiner,
}

/// See the module.
pub(super) struct Traffic {
    peer: EdgeId,
    metrics: Metrics,
    quic: quinn::Connection,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    incoming: HashMap<RelayId, Incoming>,
    rooms: Rooms,
    events: mpsc::Sender<BackboneEvent>,
    core: Connection,
    silent: bool,
    started: Instant,
    /// QUIC's send buffer when it is empty, and what of it is used.
    buffer: usize,
    ahead: usize,
    looked: Time,
    woken: Vec<RelayId>,
}

impl Traffic {
    pub(super) fn new(
        peer: &EdgeId,
        quic: quinn::Connection,
        hop: HopSettings,
        queue: Arc<Queue>,
        counters: Arc<Counters>,
        events: mpsc::Sender<BackboneEvent>,
    ) -> Self {
        Self {
            peer: peer.clone(),
            metrics: Metrics::new(peer),
            buffer: quic.datagram_send_buffer_space(),
            quic,
            queue,
            counters,
            incoming: HashMap::new(),
            rooms: Rooms::default(),
            events,
            core: Connection::new(hop, Time::ZERO),
            silent: false,
            started: Instant::now(),
            ahead: AHEAD_BYTES_MIN,
            looked: Time::ZERO,
            woken: Vec::new(),
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<TrafficCommand>,
    ) -> &'static str {
        let quic = self.quic.clone();
        let timer = tokio::time::sleep_until(self.started);
        tokio::pin!(timer);
        loop {
            let due = self.core.timeout(self.now());
            let due = self.started + due.since(Time::ZERO);
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return "replaced",
                },
                () = self.queue.wait() => self.take_queued(),
                datagram = quic.read_datagram() => match datagram {
                    Ok(datagram) => self.receive(datagram),
                    Err(_) => return "the connection is lost",
                },
                () = &mut timer => {}
            }
            // However much one side has to do, the others get their turn.
            for _ in 0..DATAGRAMS_PER_BATCH {
                match quic.read_datagram().now_or_never() {
                    Some(Ok(datagram)) => self.receive(datagram),
                    Some(Err(_)) => return "the connection is lost",
                    None => break,
                }
            }
            let now = self.now();
            if self.core.timeout(now) <= now {
                self.core.on_timeout(now);
            }
            self.listen().await;
            self.deliver_all().await;
            self.send_all();
        }
    }

    fn obey(&mut self, command: TrafficCommand) {
        match command {
            TrafficCommand::Route(relay, Some(route)) => {
                let joiner = Joiner::default();
                self.incoming.insert(relay, Incoming { route, joiner });
            }
            TrafficCommand::Route(relay, None) => drop(self.incoming.remove(&relay)),
            TrafficCommand::Overhead(overhead) => self.core.set_overhead(overhead.as_permille()),
            TrafficCommand::Serve(relay, room, root) => self.rooms.add(relay, room, root),
            TrafficCommand::Ended(relay) => self.end(relay),
            TrafficCommand::Left(room, root) => {
                for relay in self.rooms.relays_of(&room, &root) {
                    self.end(relay);
                }
            }
        }
    }

    fn end(&mut self, relay: RelayId) {
        self.core.forget_relay(relay);
        if let Some(room) = self.rooms.remove(relay) {
            self.core.forget_room(room);
        }
    }

    fn receive(&mut self, datagram: Bytes) {
        let length = datagram.len() as u64;
        self.counters
            .received_bytes
            .fetch_add(length, Ordering::Relaxed);
        self.metrics.received_bytes.increment(length);
        self.core.receive(self.now(), datagram);
    }

    /// Tells the hub when the peer falls silent, and when it is heard again.
    async fn listen(&mut self) {
        let silent = self.core.is_silent();
        if silent == self.silent {
            return;
        }
        self.silent = silent;
        let peer = self.peer.clone();
        let event = if silent {
            self.metrics.silences.increment(1);
            tracing::warn!(%peer, "nothing comes from a peer");
            BackboneEvent::PeerSilent { peer }
        } else {
            tracing::info!(%peer, "a peer is heard again");
            BackboneEvent::PeerHeard { peer }
        };
        // The hub is gone when this fails, and the edge with it.
        let _ = self.events.send(event).await;
    }

    /// Gives what came to the workers, and wakes those concerned.
    async fn deliver_all(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        while let Some(datagram) = self.core.poll_delivery() {
            if let Some(relay) = self.deliver(datagram).await
                && !woken.contains(&relay)
            {
                woken.push(relay);
            }
        }
        for relay in woken.drain(..) {
            if let Some(incoming) = self.incoming.get(&relay) {
                incoming.route.inlet.wake();
            }
        }
        self.woken = woken;
    }

    /// Takes one datagram, and says which relay got something out of it.
    async fn deliver(&mut self, datagram: Bytes) -> Option<RelayId> {
        let datagram = Datagram::parse(datagram).ok()?;
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

    fn take_queued(&mut self) {
        let now = self.now();
        while let Some(queued) = self.queue.take() {
            match queued {
                Queued::Clock(relay, encoding, clock) => {
                    let room = self.rooms.of(relay);
                    let clock = (clock.ntp.0, clock.rtp, encoding.0);
                    self.core.push_clock(now, room, relay, clock);
                }
                Queued::Media(relay, kind, packet) => {
                    let room = self.rooms.of(relay);
                    self.core.push(now, room, relay, kind, packet);
                }
            }
        }
        self.metrics
            .queue_full
            .absolute(self.queue.dropped.load(Ordering::Relaxed));
    }

    fn send_all(&mut self) {
        let Some(longest) = self.quic.max_datagram_size() else {
            return;
        };
        let now = self.now();
        self.look(now);
        let space = self.quic.datagram_send_buffer_space();
        // What urgent datagrams may fill up to the end, and media only that far.
        let mut used = self.buffer.saturating_sub(space);
        while let Some(datagram) = self.core.poll_transmit(now, longest, used < self.ahead) {
            let length = datagram.len();
            if used + length > self.buffer || self.quic.send_datagram(datagram).is_err() {
                self.metrics.no_room.increment(1);
                continue;
            }
            // QUIC counts some bytes for itself, too.
            used += length + 64;
            self.counters
                .sent_bytes
                .fetch_add(length as u64, Ordering::Relaxed);
            self.metrics.sent_bytes.increment(length as u64);
        }
        while let Some(buffer) = self.core.take_spare() {
            self.queue.recycle(buffer);
        }
    }

    /// Brings up to date what need not be with each packet.
    fn look(&mut self, now: Time) {
        if self.looked != Time::ZERO && now.since(self.looked) < EVERY {
            return;
        }
        self.looked = now;
        let path = self.quic.stats().path;
        let round_trip = path.rtt.as_secs_f64().max(0.000_1);
        let ahead = path.cwnd as f64 / round_trip * AHEAD.as_secs_f64();
        self.ahead = (ahead as usize).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
        let measured = self.core.measured();
        *self
            .counters
            .measured
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = measured;
        let window = path.cwnd as f64 * 8.0 / round_trip;
        self.metrics.show(&self.core, measured, window);
    }
}
