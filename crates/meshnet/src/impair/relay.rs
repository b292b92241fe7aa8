//! The sockets around the decision.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_types::units::Time;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::decide::{DropReason, Impairment, Verdict};
use super::figures::LinkFigures;
use super::session::Session;

/// The most clients of one relay; packets of further ones are dropped.
const CLIENTS_MAX: usize = 1024;
/// The most packets on their way in one direction of one client; further ones are dropped.
pub(super) const IN_FLIGHT_MAX: usize = 65_536;
/// The longest UDP payload.
pub(super) const PACKET_BYTES_MAX: usize = 65_535;

/// What a relay does.
#[derive(Debug, Clone, PartialEq)]
pub struct RelaySettings {
    /// What happens to packets on the way to the target.
    pub there: LinkFigures,
    /// What happens to packets on the way back.
    pub back: LinkFigures,
    /// What makes two runs lose the same packets.
    pub seed: u64,
    /// After how long without a packet of a client its port at the target is given up.
    pub client_timeout: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            there: LinkFigures::default(),
            back: LinkFigures::default(),
            seed: 1,
            client_timeout: Duration::from_secs(60),
        }
    }
}

/// One direction, shared by all clients as a link is.
pub(super) struct Direction {
    started: Instant,
    impairment: Mutex<Impairment>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    delivered: AtomicU64,
    lost: AtomicU64,
    queue_full: AtomicU64,
    too_long: AtomicU64,
}

impl Direction {
    fn new(figures: LinkFigures, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            impairment: Mutex::new(Impairment::new(figures, seed)),
            counters: Counters::default(),
        })
    }

    /// When a packet of that length arrives; `None` when it does not. Counted either way.
    pub(super) fn decide(&self, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let elapsed = now - self.started;
        let verdict = self
            .impairment
            .lock()
            // The decision cannot be left half made: a panic in it leaves plain numbers.
            .unwrap_or_else(PoisonError::into_inner)
            .on_packet(Time::ZERO + elapsed, bytes);
        let (counter, at) = match verdict {
            Verdict::Deliver { at } => {
                let wait = at.since(Time::ZERO + elapsed);
                (&self.counters.delivered, Some(now + wait))
            }
            Verdict::Drop(DropReason::Loss) => (&self.counters.lost, None),
            Verdict::Drop(DropReason::QueueFull) => (&self.counters.queue_full, None),
            Verdict::Drop(DropReason::TooLong) => (&self.counters.too_long, None),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        at
    }

    fn set_figures(&self, figures: LinkFigures) {
        self.impairment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set_figures(figures);
    }

    fn stats(&self) -> RelayStats {
        RelayStats {
            delivered: self.counters.delivered.load(Ordering::Relaxed),
            lost: self.counters.lost.load(Ordering::Relaxed),
            queue_full: self.counters.queue_full.load(Ordering::Relaxed),
            too_long: self.counters.too_long.load(Ordering::Relaxed),
        }
    }
}

/// What became of packets in one direction, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayStats {
    /// Packets that the link delivers.
    pub delivered: u64,
    /// Packets that the link lost.
    pub lost: u64,
    /// Packets that found the link's queue full.
    pub queue_full: u64,
    /// Packets that did not fit.
    pub too_long: u64,
}

/// A UDP port that passes packets on to a target over an impaired link, and answers back.
///
/// Each source address that sends to it gets its own port towards the target, as behind a NAT, so
/// that answers find their way. Dropping the relay ends it.
pub struct ImpairmentRelay {
    local: SocketAddr,
    there: Arc<Direction>,
    back: Arc<Direction>,
    forget: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl ImpairmentRelay {
    /// Listens on `listen` (port 0 picks one) and passes packets on to `target`.
    ///
    /// # Errors
    /// When `listen` cannot be bound.
    pub async fn start(
        listen: SocketAddr,
        target: SocketAddr,
        settings: RelaySettings,
    ) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(listen).await?);
        let local = socket.local_addr()?;
        let there = Direction::new(settings.there, settings.seed);
        // Another sequence than that of the way there.
        let back = Direction::new(settings.back, !settings.seed);
        let forget = Arc::<Notify>::default();
        let listener = Listener {
            socket,
            target,
            there: Arc::clone(&there),
            back: Arc::clone(&back),
            client_timeout: settings.client_timeout,
            clients: BTreeMap::new(),
            forget: Arc::clone(&forget),
        };
        let task = tokio::spawn(listener.run());
        Ok(Self {
            local,
            there,
            back,
            forget,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Changes what the link does from now on, for example to cut it.
    pub fn set_figures(&self, there: LinkFigures, back: LinkFigures) {
        self.there.set_figures(there);
        self.back.set_figures(back);
    }

    /// Gives every client another port at the target from its next packet on, as a NAT does that
    /// forgot it. What is on its way under the old one is lost.
    pub fn change_ports(&self) {
        self.forget.notify_one();
    }

    /// What became of packets on the way to the target.
    #[must_use]
    pub fn there(&self) -> RelayStats {
        self.there.stats()
    }

    /// What became of packets on the way back.
    #[must_use]
    pub fn back(&self) -> RelayStats {
        self.back.stats()
    }
}

impl std::fmt::Debug for ImpairmentRelay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImpairmentRelay")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

struct Listener {
    socket: Arc<UdpSocket>,
    target: SocketAddr,
    there: Arc<Direction>,
    back: Arc<Direction>,
    client_timeout: Duration,
    clients: BTreeMap<SocketAddr, Session>,
    forget: Arc<Notify>,
}

impl Listener {
    async fn run(mut self) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        let mut sweep = interval(self.client_timeout.max(Duration::from_millis(1)));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, client)) => self.packet(client, &buffer[..length]).await,
                    // An earlier answer met a closed port; the socket itself is sound.
                    Err(error) => debug!(%error, "a relay's socket says"),
                },
                () = self.forget.notified() => self.clients.clear(),
                _ = sweep.tick() => {
                    let timeout = self.client_timeout;
                    self.clients.retain(|_, session| !session.idle_for(timeout));
                }
            }
        }
    }

    async fn packet(&mut self, client: SocketAddr, packet: &[u8]) {
        if !self.clients.contains_key(&client) {
            if self.clients.len() >= CLIENTS_MAX {
                return;
            }
            let back = Arc::clone(&self.back);
            match Session::start(Arc::clone(&self.socket), client, self.target, back).await {
                Ok(session) => drop(self.clients.insert(client, session)),
                Err(error) => {
                    debug!(%error, "a relay has no port for a client");
                    return;
                }
            }
        }
        let (Some(at), Some(session)) = (
            self.there.decide(packet.len()),
            self.clients.get_mut(&client),
        ) else {
            return;
        };
        session.forward(at, packet);
    }
}

/// A packet and when it arrives.
pub(super) type Due = (Instant, Vec<u8>);

/// A full queue drops the newest packet; it holds more than any link keeps in flight.
pub(super) fn queue() -> (mpsc::Sender<Due>, mpsc::Receiver<Due>) {
    mpsc::channel(IN_FLIGHT_MAX)
}
