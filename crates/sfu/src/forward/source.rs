//! A track that comes in.

use sluice_types::room::MediaKind;

use super::history::History;
use super::key_frame::KeyFrameRequests;
use super::reception::Reception;
use super::{PeerId, SinkId};
use sluice_types::sequence::OnceWindow;

/// Where a track comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A participant at this edge.
    Peer {
        /// Who.
        peer: PeerId,
        /// The track's SSRC, when the client said it beforehand.
        ssrc: Option<u32>,
        /// The SSRC of its retransmissions, likewise.
        retransmission_ssrc: Option<u32>,
        /// The m-line, by which an SSRC that was not said beforehand is told.
        mid: Box<[u8]>,
        /// Whether the client answers requests for missing packets.
        repairs: bool,
    },
    /// Another edge.
    Backbone,
}

impl Origin {
    pub(super) const fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Peer { peer, .. } => Some(*peer),
            Self::Backbone => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) kind: MediaKind,
    pub(super) origin: Origin,
    /// The SSRC that came; 0 before.
    pub(super) ssrc: u32,
    pub(super) reception: Reception,
    pub(super) seen: OnceWindow,
    pub(super) history: History,
    pub(super) key_frames: KeyFrameRequests,
    pub(super) sinks: Vec<SinkId>,
    pub(super) packets: u64,
}

impl Source {
    pub(super) fn new(kind: MediaKind, origin: &Origin) -> Self {
        let clock_rate = match kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        let repairs = matches!(origin, Origin::Peer { repairs: true, .. });
        Self {
            kind,
            origin: origin.clone(),
            ssrc: 0,
            reception: Reception::new(clock_rate, repairs),
            seen: OnceWindow::default(),
            history: History::new(kind),
            key_frames: KeyFrameRequests::default(),
            sinks: Vec::new(),
            packets: 0,
        }
    }
}
