//! Media at an edge: workers, the transports of participants, and their session descriptions.
//!
//! [`Media`] is what the hub holds. It gives out a [`Session`] for each participant and routes
//! relays; everything else happens at the workers.

mod data;
mod event;
mod ice;
mod keys;
mod relay;
mod sdp;
mod session;
mod tcp;
pub mod untrusted;
mod whereabouts;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_guard::{AddressRules, ConnectionBounds, Connections};
use sluice_sfu::forward::EncodingId;
use sluice_types::access::Grants;
use sluice_types::ids::{MeetingId, ParticipantId, RelayId, TrackId};
use sluice_types::layers::LayerSet;
use sluice_types::room::TrackInfo;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub use self::event::MediaEvent;
use self::keys::SinkKey;
pub use self::keys::TrackKey;
pub use self::relay::{RelayInlet, RelayOutlet, Relayed};
pub use self::sdp::SdpError;
pub use self::session::{Answered, PendingOffer, Session, WantedTrack};
use self::whereabouts::Whereabouts;
use self::worker::{Command, TrackOrigin, TrackTarget, WorkerHandle};
use sluice_wire::dtls::{DtlsError, DtlsIdentity};

/// The load of a worker, in thousandths of a core, from which on newcomers go to another. Those who
/// are in may still start cameras.
const FULL_PERMILLE: u32 = 700;

/// Events that wait for the hub.
const EVENTS: usize = 8_192;

/// Where media listens, and how clients reach it.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// The address that sockets are bound to.
    pub listen: IpAddr,
    /// The UDP port of the first worker; the others have the next ones. 0 lets the system choose.
    pub udp_port: u16,
    /// How many workers there are, 1 to 256.
    pub workers: u16,
    /// Participants that all workers together are meant for.
    pub capacity: u32,
    /// Whether each worker keeps to a core of its own.
    pub pin: bool,
    /// Whether the kernel cuts runs of packets for one client (UDP GSO).
    pub segmentation: bool,
    /// Whether newcomers begin with the latest key frame of memory, where it is recent.
    pub replay: bool,
    /// The TCP port of ICE-TCP; `None` for none.
    pub tcp_port: Option<u16>,
    /// The addresses that clients reach the edge at, for candidates.
    pub advertised: Vec<IpAddr>,
    /// From where clients may come.
    pub addresses: AddressRules,
    /// How many ICE-TCP connections there may be.
    pub tcp_connections: ConnectionBounds,
}

/// Why media does not start.
#[derive(Debug, Error)]
pub enum MediaError {
    /// A socket cannot be opened.
    #[error("media cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate for DTLS cannot be made.
    #[error("no certificate for DTLS: {0}")]
    Certificate(String),
    /// The ports of the workers go beyond 65,535.
    #[error("{workers} workers from UDP port {udp_port} on need ports beyond 65,535")]
    Ports {
        /// The first port.
        udp_port: u16,
        /// How many.
        workers: u16,
    },
}

impl From<DtlsError> for MediaError {
    fn from(error: DtlsError) -> Self {
        Self::Certificate(error.to_string())
    }
}

/// `N` bytes from the system's random source.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness nothing here is safe; the kernel fails this only before it is seeded.
    getrandom::fill(&mut bytes).expect("the system's random source works");
    bytes
}

/// What sessions share.
struct Shared {
    workers: Vec<WorkerHandle>,
    identity: DtlsIdentity,
    advertised: Vec<IpAddr>,
    tcp_candidates: Vec<SocketAddr>,
    directory: tcp::Directory,
    /// Sessions at each worker.
    sessions: Vec<AtomicUsize>,
    whereabouts: Mutex<Whereabouts>,
}

impl Shared {
    /// Where tracks are. Sessions and the hub ask; the way of a packet never comes by here.
    fn whereabouts(&self) -> MutexGuard<'_, Whereabouts> {
        self.whereabouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn udp_candidates(&self, port: u16) -> Vec<SocketAddr> {
        self.advertised
            .iter()
            .map(|&ip| SocketAddr::new(ip, port))
            .collect()
    }
}

/// A relay that media sends to; give it back to [`Media::stop_relay`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySink {
    worker: usize,
    sink: SinkKey,
}

/// What the workers counted lately.
#[derive(Debug, Clone, Default)]
pub struct MediaReport {
    /// Participants of all workers.
    pub participants: usize,
    /// The busiest worker's share of one core, in thousandths.
    pub load_permille: u32,
    /// Packets of each track so far.
    pub tracks: BTreeMap<TrackId, u64>,
}

/// All media of an edge.
pub struct Media {
    shared: Arc<Shared>,
    rooms: HashMap<MeetingId, Vec<usize>>,
    /// Sessions that one worker is meant for.
    capacity: usize,
    tcp: Option<AbortHandle>,
}

impl Media {
    /// Starts the workers and, within the current tokio runtime, ICE-TCP.
    ///
    /// # Errors
    /// See [`MediaError`].
    pub async fn start(
        config: MediaConfig,
    ) -> Result<(Self, mpsc::Receiver<MediaEvent>), MediaError> {
        let provider = rtc_crypto::default_provider()
            .map_err(|error| MediaError::Certificate(error.to_string()))?;
        let identity = DtlsIdentity::generate(provider)?;
        let (events, receiver) = mpsc::channel(EVENTS);
        let mut workers = Vec::new();
        for index in 0..config.workers.max(1) {
            let port = match config.udp_port {
                0 => 0,
                first => first.checked_add(index).ok_or(MediaError::Ports {
                    udp_port: first,
                    workers: config.workers,
                })?,
            };
            let address = SocketAddr::new(config.listen, port);
            let worker = WorkerHandle::start(
                usize::from(index),
                address,
                &config,
                identity.clone(),
                events.clone(),
            )
            .map_err(|source| MediaError::Listen { address, source })?;
            workers.push(worker);
        }
        let directory = tcp::Directory::default();
        let mut tcp_candidates = Vec::new();
        let mut tcp = None;
        if let Some(port) = config.tcp_port {
            let address = SocketAddr::new(config.listen, port);
            let failed = |source| MediaError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let port = listener.local_addr().map_err(failed)?.port();
            tcp_candidates.extend(
                config
                    .advertised
                    .iter()
                    .map(|&ip| SocketAddr::new(ip, port)),
            );
            let door = tcp::Door {
                addresses: config.addresses.clone(),
                connections: Connections::new(config.tcp_connections),
            };
            let task = tokio::spawn(tcp::serve(listener, directory.clone(), door));
            tcp = Some(task.abort_handle());
        }
        let capacity = (config.capacity as usize).div_ceil(workers.len()).max(1);
        let shared = Arc::new(Shared {
            sessions: workers.iter().map(|_| AtomicUsize::new(0)).collect(),
            whereabouts: Mutex::default(),
            workers,
            identity,
            advertised: config.advertised,
            tcp_candidates,
            directory,
        });
        let media = Self {
            shared,
            rooms: HashMap::new(),
            capacity,
            tcp,
        };
        Ok((media, receiver))
    }

    /// The worker that a room began at: chosen when the room is first named, among those with the
    /// fewest rooms and participants.
    fn home(&mut self, room: &MeetingId) -> usize {
        if let Some(workers) = self.rooms.get(room) {
            return workers[0];
        }
        let rooms_of = |worker: usize| self.rooms.values().filter(|w| w.contains(&worker)).count();
        let worker = (0..self.shared.workers.len())
            .min_by_key(|&worker| (self.is_full(worker), rooms_of(worker)))
            .unwrap_or(0);
        self.rooms.insert(room.clone(), vec![worker]);
        worker
    }

    /// Whether a worker should take nobody more while another can.
    fn is_full(&self, worker: usize) -> bool {
        self.shared.sessions[worker].load(Ordering::Relaxed) >= self.capacity
            || self.shared.workers[worker].load_permille() >= FULL_PERMILLE
    }

    /// The worker of a newcomer: one that the room is at already, or when all of those are full the
    /// one with the most to spare.
    fn worker_for_newcomer(&mut self, room: &MeetingId) -> usize {
        let home = self.home(room);
        let here = self.rooms.get(room).cloned().unwrap_or_default();
        if let Some(&worker) = here.iter().find(|&&worker| !self.is_full(worker)) {
            return worker;
        }
        let sessions = |worker: usize| self.shared.sessions[worker].load(Ordering::Relaxed);
        let worker = (0..self.shared.workers.len())
            .min_by_key(|&worker| (self.is_full(worker), sessions(worker)))
            .unwrap_or(home);
        if let Some(workers) = self.rooms.get_mut(room)
            && !workers.contains(&worker)
        {
            tracing::info!(meeting = %room, worker, "the room goes on at one more worker");
            workers.push(worker);
        }
        worker
    }

    /// How many workers a room is spread over.
    #[must_use]
    pub fn workers_of(&self, room: &MeetingId) -> usize {
        self.rooms.get(room).map_or(0, Vec::len)
    }

    /// Whether what a worker says of a whole room counts: each of a room's workers hears all voices.
    #[must_use]
    pub fn is_home(&self, room: &MeetingId, worker: usize) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|workers| workers.first() == Some(&worker))
    }

    /// Forgets which workers a room is at. Its sessions and relays must be gone.
    pub fn close_room(&mut self, room: &MeetingId) {
        self.rooms.remove(room);
    }

    /// Begins a participant's session, at one of the room's workers.
    pub fn open(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        grants: Grants,
    ) -> Session {
        let worker = self.worker_for_newcomer(room);
        Session::new(
            self.shared.clone(),
            worker,
            room.clone(),
            participant.clone(),
            grants,
        )
    }

    /// Takes in a track that comes over a relay, and says where to deliver it.
    pub fn receive_relay(
        &mut self,
        room: &MeetingId,
        owner: &ParticipantId,
        track: &TrackInfo,
    ) -> RelayInlet {
        let worker = self.home(room);
        let workers = &self.shared.workers;
        self.shared
            .whereabouts()
            .add(workers, worker, room, owner, track, TrackOrigin::Backbone);
        workers[worker].inlet().clone()
    }

    /// Lets go of a track that came over a relay.
    pub fn drop_relay(&mut self, track: &TrackId) {
        self.shared
            .whereabouts()
            .remove(&self.shared.workers, TrackKey::of(track));
    }

    /// The worker that a track is at, or else its room's.
    fn worker_of(&mut self, room: &MeetingId, track: &TrackId) -> usize {
        let at = self.shared.whereabouts().worker_of(TrackKey::of(track));
        at.unwrap_or_else(|| self.home(room))
    }

    /// Sends a track over a relay.
    pub fn send_relay(
        &mut self,
        room: &MeetingId,
        track: &TrackId,
        relay: RelayId,
        layers: LayerSet,
        outlet: Box<dyn RelayOutlet>,
    ) -> RelaySink {
        let worker = self.worker_of(room, track);
        let sink = SinkKey::next();
        self.shared.workers[worker].tell(Command::AddSink {
            sink,
            track: TrackKey::of(track),
            target: TrackTarget::Relay { relay, outlet },
            wish: None,
        });
        let sink = RelaySink { worker, sink };
        self.set_layers(&sink, layers);
        sink
    }

    /// Sends these layers over a relay from now on.
    pub fn set_layers(&mut self, relay: &RelaySink, layers: LayerSet) {
        self.shared.workers[relay.worker].tell(Command::SetLayers {
            sink: relay.sink,
            layers,
        });
    }

    /// Sends a track over a relay no more.
    pub fn stop_relay(&mut self, relay: &RelaySink) {
        self.shared.workers[relay.worker].tell(Command::RemoveSink { sink: relay.sink });
    }

    /// A receiver behind another edge needs a key frame.
    pub fn request_key_frame(&mut self, room: &MeetingId, track: &TrackId, encoding: EncodingId) {
        let worker = self.worker_of(room, track);
        self.shared.workers[worker].tell(Command::RequestKeyFrame {
            track: TrackKey::of(track),
            encoding,
        });
    }

    /// What the workers counted, at most half a second ago.
    #[must_use]
    pub fn report(&self) -> MediaReport {
        let mut all = MediaReport::default();
        for worker in &self.shared.workers {
            let report = worker.report();
            all.participants += report.peers;
            all.load_permille = all.load_permille.max(report.load_permille);
            all.tracks.extend(report.tracks);
        }
        all
    }
}

/// An inlet that nobody empties, for tests of what fills it.
#[cfg(test)]
pub(crate) fn test_inlet() -> RelayInlet {
    let poll = mio::Poll::new().expect("epoll");
    let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
    RelayInlet::new(Arc::new(waker))
}

impl Drop for Media {
    fn drop(&mut self) {
        if let Some(tcp) = &self.tcp {
            tcp.abort();
        }
    }
}
