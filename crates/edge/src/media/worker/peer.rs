//! One participant's transport: which path, which keys.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_sfu::forward::PeerId;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::units::Time;

use super::command::Ice;
use crate::media::data::DataChannels;
use crate::media::keys::{ConnectionKey, PeerKey};
use sluice_wire::dtls::Dtls;
use sluice_wire::srtp::Srtp;

/// Addresses of one participant that are remembered; a client checks a handful.
pub(super) const PATHS_MAX: usize = 16;

/// A way to a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Path {
    Udp(SocketAddr),
    Tcp(ConnectionKey),
}

/// An ICE-TCP connection.
pub(super) struct Connection {
    pub(super) from: SocketAddr,
    pub(super) outgoing: tokio::sync::mpsc::Sender<Bytes>,
}

pub(super) struct Peer {
    pub(super) key: PeerKey,
    pub(super) forward: PeerId,
    pub(super) room: MeetingId,
    pub(super) participant: ParticipantId,
    pub(super) ice: Ice,
    /// User fragments from before an ICE restart still answer until the new path is nominated.
    pub(super) before_restart: Option<Ice>,
    pub(super) dtls: Dtls,
    /// Datagrams of DTLS before it was established.
    pub(super) handshake_datagrams: u32,
    pub(super) srtp: Option<Box<Srtp>>,
    /// Its data channels, once it opened some.
    pub(super) data: Option<Box<DataChannels>>,
    /// Where to send: the latest nominated path, or before one is, the latest that checked.
    pub(super) path: Option<Path>,
    pub(super) nominated: bool,
    /// Every address that passed a check, the latest last.
    pub(super) paths: Vec<Path>,
    pub(super) since: Instant,
    /// How long after that its first datagram of DTLS came: it has a path that works.
    pub(super) path_after: Option<Duration>,
    /// When a check last passed (RFC 7675: consent).
    pub(super) consent: Time,
    pub(super) lost: bool,
    /// When its quality was last measured, and when it is next; `None` before its media is up.
    pub(super) measured: Time,
    pub(super) measure_at: Option<Time>,
}

impl Peer {
    /// A check passed on `path`: follows the client's nomination, whenever it changes its mind.
    pub(super) fn checked(&mut self, now: Time, path: Path, nominated: bool) -> Option<Path> {
        self.consent = now;
        if nominated || !self.nominated {
            self.path = Some(path);
            self.nominated |= nominated;
        }
        if nominated {
            self.before_restart = None;
        }
        let known = self.paths.iter().position(|&known| known == path);
        if let Some(at) = known {
            self.paths.remove(at);
        }
        self.paths.push(path);
        (self.paths.len() > PATHS_MAX).then(|| self.paths.remove(0))
    }

    /// The credentials that answer checks for `ufrag`.
    pub(super) fn ice_for(&self, ufrag: &str) -> &Ice {
        match &self.before_restart {
            Some(before) if before.local.ufrag == ufrag => before,
            _ => &self.ice,
        }
    }
}
