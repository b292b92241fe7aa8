//! The backbone's sockets: QUIC connections to other edges, their control streams and datagrams.
//!
//! The hub says which peers to keep connected and which relay belongs to which track; workers hand
//! packets to an [`Outlet`] without ever waiting. What to ask of whom is `sluice-relay`'s to decide.

mod dial;
mod figures;
mod link;
mod outlet;
mod rooms;
mod supervisor;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sluice_meshnet::MeshEndpoint;
use sluice_types::ids::{EdgeId, RegionName, RelayId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::mesh::control::{EdgeAddress, LinkQuality, LinkReport};
use sluice_types::mesh::version::Version;
use sluice_types::topology::Overhead;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::link::Link;
pub use self::outlet::Outlet;
use crate::media::{RelayInlet, TrackKey};

/// Events that wait for the hub. When it is so far behind that they do not fit, connections wait.
const EVENTS: usize = 4_096;

/// Commands that wait for the supervisor.
const COMMANDS: usize = 4_096;

/// Something that happened on the backbone.
#[derive(Debug, Clone)]
pub enum BackboneEvent {
    /// A connection to an edge is up.
    PeerUp {
        /// Whom to.
        peer: EdgeId,
        /// To send on; see [`Backbone::adopt`].
        link: Link,
    },
    /// Another connection to an edge takes the place of the one before. Nothing comes any more over
    /// that one, and what was sent on it last may be lost.
    PeerReplaced {
        /// Whom to.
        peer: EdgeId,
        /// To send on; see [`Backbone::adopt`].
        link: Link,
    },
    /// The connection to an edge stands, but nothing comes over it.
    PeerSilent {
        /// Whom to.
        peer: EdgeId,
    },
    /// Something comes over it again.
    PeerHeard {
        /// Whom to.
        peer: EdgeId,
    },
    /// The connection to an edge is gone.
    PeerDown {
        /// Whom to.
        peer: EdgeId,
    },
    /// An edge says something.
    Message {
        /// Who.
        peer: EdgeId,
        /// What.
        message: BackboneMessage,
    },
    /// The first packet of a relay came.
    FirstPacket {
        /// From whom.
        peer: EdgeId,
        /// The relay.
        relay: RelayId,
    },
}

/// How the backbone is run.
#[derive(Debug, Clone)]
pub struct BackboneSettings {
    /// This edge.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// After how long without anything from a peer it counts as silent.
    pub silence: Duration,
    /// The newest version that is offered to those who are dialled.
    pub protocol_max: Version,
}

/// Where a relay's packets go.
#[derive(Clone)]
pub struct Route {
    /// The track.
    pub track: TrackKey,
    /// The worker that has it.
    pub inlet: RelayInlet,
    /// Counts its packets.
    pub packets: Arc<AtomicU64>,
}

/// How much repairs towards a region may be of the media; where none is given, the usual.
pub type Overheads = BTreeMap<RegionName, Overhead>;

enum Command {
    Directory(Vec<EdgeAddress>),
    Connect(EdgeId),
    Disconnect(EdgeId),
    Overheads(Overheads),
}

/// The backbone, as the hub holds it.
pub struct Backbone {
    commands: mpsc::Sender<Command>,
    /// The connections that are up as far as the holder has heard. What it says under one is never
    /// sent on the next.
    links: BTreeMap<EdgeId, Link>,
    lost_commands: AtomicU64,
    _supervisor: AbortOnDropHandle<()>,
}

impl Backbone {
    /// Takes connections at `endpoint` and opens those that are asked for, until `shutdown`.
    pub fn start(
        endpoint: MeshEndpoint,
        settings: BackboneSettings,
        shutdown: CancellationToken,
    ) -> (Self, mpsc::Receiver<BackboneEvent>) {
        let (commands, commands_rx) = mpsc::channel(COMMANDS);
        let (events, events_rx) = mpsc::channel(EVENTS);
        let supervisor = supervisor::Supervisor::new(endpoint, settings, events);
        let task = tokio::spawn(supervisor.run(commands_rx, shutdown));
        let backbone = Self {
            commands,
            links: BTreeMap::new(),
            lost_commands: AtomicU64::new(0),
            _supervisor: AbortOnDropHandle::new(task),
        };
        (backbone, events_rx)
    }

    fn tell(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            self.lost_commands.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                queued = COMMANDS,
                "the backbone is stuck; a command was dropped"
            );
        }
    }

    /// From now on messages and packets for an edge go over this link. For the one who takes the
    /// backbone's events, at each that brings a link.
    pub fn adopt(&mut self, peer: EdgeId, link: Link) {
        self.links.insert(peer, link);
    }

    /// Nothing is sent to an edge any more. For the one who takes the backbone's events, at each
    /// [`BackboneEvent::PeerDown`].
    pub fn forget(&mut self, peer: &EdgeId) {
        self.links.remove(peer);
    }

    /// Replaces where edges are reached. Connections that are up stay up.
    pub fn update_directory(&self, edges: Vec<EdgeAddress>) {
        self.tell(Command::Directory(edges));
    }

    /// From now on repairs cost at most this much, on connections that are up too.
    pub fn set_overheads(&self, overheads: Overheads) {
        self.tell(Command::Overheads(overheads));
    }

    /// Keeps a connection to an edge, dialling it again with backoff whenever it is lost.
    pub fn connect(&self, peer: EdgeId) {
        self.tell(Command::Connect(peer));
    }

    /// Dials an edge no more. A connection that is up stays until the other side lets go too.
    pub fn disconnect(&self, peer: EdgeId) {
        self.tell(Command::Disconnect(peer));
    }

    /// Sends a message, if the edge is connected.
    pub fn send(&self, peer: &EdgeId, message: BackboneMessage) {
        if let Some(link) = self.links.get(peer) {
            link.send(message);
        }
    }

    /// From now on packets of this relay go there.
    pub fn route(&self, peer: &EdgeId, relay: RelayId, route: Route) {
        if let Some(link) = self.links.get(peer) {
            link.route(relay, Some(route));
        }
    }

    /// Packets of this relay go nowhere any more.
    pub fn unroute(&self, peer: &EdgeId, relay: RelayId) {
        if let Some(link) = self.links.get(peer) {
            link.route(relay, None);
        }
    }

    /// Where to put packets for an edge, if it is connected.
    #[must_use]
    pub fn outlet(&self, peer: &EdgeId) -> Option<Outlet> {
        self.links.get(peer).map(Link::outlet)
    }

    /// How each connection fares now.
    #[must_use]
    pub fn qualities(&self) -> Vec<LinkQuality> {
        self.links
            .iter()
            .map(|(peer, link)| link.quality(peer.clone()))
            .collect()
    }

    /// What each connection measured since the last call.
    #[must_use]
    pub fn reports(&self) -> Vec<LinkReport> {
        self.links
            .iter()
            .map(|(peer, link)| link.report(peer.clone()))
            .collect()
    }
}
