//! Who is at this worker, by every name that packets and commands call them.

use std::collections::HashMap;
use std::net::SocketAddr;

use slab::Slab;
use sluice_sfu::forward::{LinkId, PeerId, RoomId, SinkId, SourceId};
use sluice_types::ids::{MeetingId, TrackId};

use super::Mailbox;
use super::outbox::Link;
use super::peer::{Connection, Path, Peer};
use crate::media::keys::{ConnectionKey, PeerKey, SinkKey, TrackKey};

/// A track of this worker.
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) source: SourceId,
    /// For a track that comes from another worker: that worker, and its sink.
    pub(super) across: Option<(Mailbox, SinkKey)>,
}

/// A receiver of a track.
pub(super) struct SinkEntry {
    pub(super) sink: SinkId,
    pub(super) link: Option<LinkId>,
    pub(super) track: TrackKey,
    /// The participant that receives it; `None` for a relay.
    pub(super) receiver: Option<PeerKey>,
}

#[derive(Default)]
pub(super) struct Table {
    peers: Slab<Peer>,
    by_key: HashMap<PeerKey, usize>,
    by_ufrag: HashMap<String, usize>,
    by_path: HashMap<Path, usize>,
    /// Forwarder's ids are small and used again, so they index a vector.
    by_forward: Vec<Option<usize>>,
    pub(super) connections: HashMap<ConnectionKey, Connection>,
    pub(super) tracks: HashMap<TrackKey, Track>,
    pub(super) track_of: HashMap<SourceId, TrackKey>,
    pub(super) sinks: HashMap<SinkKey, SinkEntry>,
    pub(super) sink_of: HashMap<SinkId, SinkKey>,
    pub(super) rooms: HashMap<RoomId, MeetingId>,
    pub(super) links: HashMap<LinkId, Link>,
}

impl Table {
    /// The track that the forwarder calls `source`.
    pub(super) fn track(&self, source: SourceId) -> Option<&Track> {
        self.tracks.get(self.track_of.get(&source)?)
    }

    pub(super) fn insert(&mut self, peer: Peer) {
        let (key, forward, ufrag) = (peer.key, peer.forward.index(), peer.ice.local.ufrag.clone());
        let place = self.peers.insert(peer);
        self.by_key.insert(key, place);
        self.by_ufrag.insert(ufrag, place);
        if self.by_forward.len() <= forward {
            self.by_forward.resize(forward + 1, None);
        }
        self.by_forward[forward] = Some(place);
    }

    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let place = self.by_key.remove(&key)?;
        let peer = self.peers.try_remove(place)?;
        self.by_ufrag.retain(|_, &mut other| other != place);
        for path in &peer.paths {
            self.by_path.remove(path);
        }
        self.by_forward[peer.forward.index()] = None;
        Some(peer)
    }

    pub(super) fn by_key(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.peers.get_mut(*self.by_key.get(&key)?)
    }

    pub(super) fn place_of_key(&self, key: PeerKey) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn place_of_path(&self, path: Path) -> Option<usize> {
        self.by_path.get(&path).copied()
    }

    pub(super) fn place_of_ufrag(&self, ufrag: &str) -> Option<usize> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// The peer at a place that one of the look-ups gave.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Peer> {
        self.peers.get_mut(place)
    }

    pub(super) fn by_forward(
        &mut self,
        peer: PeerId,
    ) -> Option<(&mut Peer, &HashMap<ConnectionKey, Connection>)> {
        let place = self.by_forward.get(peer.index()).copied().flatten()?;
        Some((self.peers.get_mut(place)?, &self.connections))
    }

    pub(super) fn peers(&mut self) -> impl Iterator<Item = (usize, &mut Peer)> {
        self.peers.iter_mut()
    }

    pub(super) fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// From now on `path` leads to the peer at `place`; `forgotten` no longer leads anywhere.
    pub(super) fn learn_path(&mut self, place: usize, path: Path, forgotten: Option<Path>) {
        if let Some(forgotten) = forgotten {
            self.by_path.remove(&forgotten);
        }
        if let Some(before) = self.by_path.insert(path, place)
            && before != place
            && let Some(peer) = self.peers.get_mut(before)
        {
            peer.paths.retain(|&known| known != path);
        }
    }

    /// The peer at `place` answers to one more user fragment.
    pub(super) fn learn_ufrag(&mut self, key: PeerKey, ufrag: String) {
        if let Some(&place) = self.by_key.get(&key) {
            self.by_ufrag.insert(ufrag, place);
        }
    }

    pub(super) fn address_of(&self, path: Path) -> Option<SocketAddr> {
        match path {
            Path::Udp(address) => Some(address),
            Path::Tcp(connection) => Some(self.connections.get(&connection)?.from),
        }
    }
}
