//! The hub: one task that owns every room of the edge and joins cores and sockets together.
//!
//! It decides nothing. Rooms (`sluice_sfu::room`) say who is told what and who wants which track,
//! the mesh (`sluice_relay::mesh`) says what to ask of other edges; the hub carries what one says
//! to where it belongs, until none has anything left to say.

mod command;
mod coordinator;
mod data;
mod drain;
mod mesh;
mod quality;
mod rooms;
mod session;
mod vacate;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sluice_meshnet::Admission;
use sluice_relay::leaders::Leaders;
use sluice_relay::mesh::Mesh;
use sluice_sfu::room::Room;
use sluice_types::access::JoinClaims;
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, RelayId, TrackId};
use sluice_types::mesh::control::{LinksReport, RoomDemand};
use sluice_types::room::MediaKind;
use sluice_types::units::Time;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use self::command::{Hello, HubCommand, HubHandle, Published, Refusal, SocketHandle, ToSocket};
use self::quality::Measured;
use self::vacate::Vacated;
use crate::backbone::{Backbone, BackboneEvent};
use crate::config::EdgeConfig;
use crate::control::{Beat, Control, ControlEvent, LineNumber};
use crate::media::{Media, MediaEvent, RelayInlet, RelaySink, Session};
use crate::signal::Keyring;

/// How often timers are looked at and the heartbeat is made.
const TICK: Duration = Duration::from_millis(250);

/// Events that one turn takes from each source before it settles.
const BATCH: usize = 64;

/// What the hub is given.
pub struct Parts {
    /// The configuration.
    pub config: Arc<EdgeConfig>,
    /// Media and its events.
    pub media: (Media, mpsc::Receiver<MediaEvent>),
    /// The backbone and its events.
    pub backbone: (Backbone, mpsc::Receiver<BackboneEvent>),
    /// The line to the coordinator and its events.
    pub control: (Control, mpsc::Receiver<(LineNumber, ControlEvent)>),
    /// The keys of join tokens.
    pub keyring: Keyring,
    /// Filled with the coordinator's public endpoint.
    pub coordinator_url: Arc<RwLock<Option<String>>>,
    /// Filled for heartbeats.
    pub heartbeat: Arc<Mutex<Beat>>,
    /// Whom QUIC endpoints refuse.
    pub admission: Admission,
}

/// One participant of this edge.
struct Member {
    session: Session,
    /// What it came with.
    claims: Box<JoinClaims>,
    /// `None` for a publisher that has no signalling, or while the client is away.
    socket: Option<SocketHandle>,
    /// It never had one: WHIP.
    socketless: bool,
    resume_digest: [u8; 32],
    measured: Measured,
}

/// A room and what belongs to it at this edge.
struct RoomState {
    room: Room,
    members: BTreeMap<ParticipantId, Member>,
    told: Option<RoomDemand>,
}

/// A relay that comes in.
struct Incoming {
    room: MeetingId,
    root: EdgeId,
    track: TrackId,
    kind: MediaKind,
    packets: Arc<AtomicU64>,
}

struct Hub {
    config: Arc<EdgeConfig>,
    media: Media,
    backbone: Backbone,
    control: Control,
    leaders: Leaders,
    keyring: Keyring,
    admission: Admission,
    coordinator_url: Arc<RwLock<Option<String>>>,
    heartbeat: Arc<Mutex<Beat>>,
    mesh: Mesh,
    rooms: BTreeMap<MeetingId, RoomState>,
    /// Rooms whose outputs have not been carried yet.
    touched: BTreeSet<MeetingId>,
    /// Sessions by the digest of their resume token, so that looking one up tells nothing of it.
    sessions: HashMap<[u8; 32], (MeetingId, ParticipantId)>,
    /// Tracks of other edges: their rooms and where their packets are delivered.
    tracks: BTreeMap<TrackId, (MeetingId, MediaKind, RelayInlet)>,
    /// The rooms of tracks that are published here.
    published: BTreeMap<TrackId, (MeetingId, ParticipantId, Instant)>,
    incoming: BTreeMap<(EdgeId, RelayId), Incoming>,
    outgoing: BTreeMap<(EdgeId, RelayId), RelaySink>,
    /// The edge is about to go away, and takes nobody more.
    draining: bool,
    /// Who waits until nobody needs what passes this edge.
    relief: Option<oneshot::Sender<()>>,
    /// The lines to coordinators that stand.
    lines: BTreeSet<LineNumber>,
    /// Rooms that have to be left; some of [`Self::rooms`], so no more than those.
    vacated: BTreeMap<MeetingId, Vacated>,
    started: Instant,
}

/// Starts the hub; it ends with `shutdown`.
pub fn start(
    parts: Parts,
    shutdown: CancellationToken,
) -> (HubHandle, tokio::task::JoinHandle<()>) {
    let (handle, commands) = HubHandle::new();
    let (media, media_events) = parts.media;
    let (backbone, backbone_events) = parts.backbone;
    let (control, control_events) = parts.control;
    let mesh = Mesh::new(parts.config.edge.clone(), parts.config.region.clone());
    let hub = Hub {
        config: parts.config,
        media,
        backbone,
        control,
        leaders: Leaders::default(),
        keyring: parts.keyring,
        admission: parts.admission,
        coordinator_url: parts.coordinator_url,
        heartbeat: parts.heartbeat,
        mesh,
        rooms: BTreeMap::new(),
        touched: BTreeSet::new(),
        sessions: HashMap::new(),
        tracks: BTreeMap::new(),
        published: BTreeMap::new(),
        incoming: BTreeMap::new(),
        outgoing: BTreeMap::new(),
        draining: false,
        relief: None,
        lines: BTreeSet::new(),
        vacated: BTreeMap::new(),
        started: Instant::now(),
    };
    let sources = Sources {
        commands,
        media: media_events,
        backbone: backbone_events,
        control: control_events,
    };
    (handle, tokio::spawn(hub.run(sources, shutdown)))
}

struct Sources {
    commands: mpsc::Receiver<HubCommand>,
    media: mpsc::Receiver<MediaEvent>,
    backbone: mpsc::Receiver<BackboneEvent>,
    control: mpsc::Receiver<(LineNumber, ControlEvent)>,
}

impl Hub {
    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    async fn run(mut self, mut sources: Sources, shutdown: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A source that ends is a task that died: the edge must not go on without it.
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => self.tick(),
                event = sources.backbone.recv() => {
                    let Some(event) = event else { break };
                    self.take_backbone(event);
                    for _ in 0..BATCH {
                        let Ok(event) = sources.backbone.try_recv() else { break };
                        self.take_backbone(event);
                    }
                }
                event = sources.control.recv() => {
                    let Some((line, event)) = event else { break };
                    self.take_control(line, event);
                }
                event = sources.media.recv() => {
                    let Some(event) = event else { break };
                    self.take_media(event);
                    for _ in 0..BATCH {
                        let Ok(event) = sources.media.try_recv() else { break };
                        self.take_media(event);
                    }
                }
                command = sources.commands.recv() => {
                    let Some(command) = command else { break };
                    self.obey(command);
                }
            }
            self.settle();
        }
        self.go_away();
    }

    /// Carries what rooms and the mesh say to where it belongs, until neither says anything.
    fn settle(&mut self) {
        loop {
            if let Some(output) = self.mesh.poll_output() {
                self.carry_mesh(output);
            } else if let Some(room) = self.touched.pop_first() {
                self.carry_room(&room);
            } else {
                return;
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        self.mesh.handle_timeout(now);
        self.clear_vacated(now);
        self.relieve();
        let due: Vec<_> = self
            .rooms
            .iter()
            .filter(|(_, state)| state.room.poll_timeout().is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            if let Some(state) = self.rooms.get_mut(&id) {
                state.room.handle_timeout(now);
            }
            self.touched.insert(id);
        }
        let beat = Beat {
            heartbeat: self.make_heartbeat(),
            links: LinksReport {
                up: self.backbone.qualities(),
                unreachable: self.mesh.unreachable(now).cloned().collect(),
            },
        };
        *self
            .heartbeat
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = beat;
    }
}
