//! A track that comes in.

use std::time::Duration;

use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::demand::Demand;
use super::encoding::{Encoding, EncodingId};
use super::voice::Voice;
use super::{PeerId, SinkId, Track};
use crate::codec::Codec;
use crate::layer::SPATIAL_MAX;

/// When the others of a track go on for so long without it, an encoding has stopped.
const STOPPED: Duration = Duration::from_millis(400);

/// When nothing came for so long, an encoding has stopped whatever the others do. A still screen is
/// sent about once a second.
const SILENT: Duration = Duration::from_millis(4_000);

/// One encoding as the client announced it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnnouncedEncoding {
    /// Its `a=rid`; `None` for a track with one encoding.
    pub rid: Option<Box<[u8]>>,
    /// Its SSRC, when the client said it beforehand.
    pub ssrc: Option<u32>,
    /// The SSRC of its retransmissions, likewise.
    pub retransmission_ssrc: Option<u32>,
}

/// Where a track comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A participant at this edge.
    Peer {
        /// Who.
        peer: PeerId,
        /// The encodings, the lowest first; at most [`SPATIAL_MAX`] count.
        encodings: Vec<AnnouncedEncoding>,
        /// The m-line, by which an SSRC that was not said beforehand is told.
        mid: Box<[u8]>,
        /// Whether the client answers requests for missing packets.
        repairs: bool,
    },
    /// Another edge. Its encodings have their place for an SSRC.
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
    pub(super) track: Track,
    pub(super) origin: Origin,
    pub(super) encodings: Vec<Encoding>,
    pub(super) sinks: Vec<SinkId>,
    pub(super) packets: u64,
    pub(super) demand: Demand,
    pub(super) voice: Voice,
}

impl Source {
    pub(super) fn new(track: Track, origin: Origin) -> Self {
        let kind = track.source.kind();
        let encodings = match &origin {
            Origin::Peer {
                encodings, repairs, ..
            } => {
                let told = encodings.iter().take(SPATIAL_MAX);
                told.map(|told| Encoding::new(kind, told.rid.clone(), *repairs))
                    .collect()
            }
            Origin::Backbone => vec![Encoding::new(kind, None, false)],
        };
        Self {
            kind,
            track,
            origin,
            encodings,
            sinks: Vec::new(),
            packets: 0,
            demand: Demand::default(),
            voice: Voice::default(),
        }
    }

    /// What its latest packet was encoded with.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.encodings.iter().find_map(|encoding| {
            let latest = encoding.history.packet(encoding.reception.highest()?)?;
            Some(latest.codec)
        })
    }

    /// The encoding that a packet from another edge belongs to.
    pub(super) fn relayed_encoding(&mut self, ssrc: u32) -> Option<EncodingId> {
        let most = match self.kind {
            MediaKind::Audio => 1,
            MediaKind::Video => SPATIAL_MAX as u32,
        };
        let place = u8::try_from(ssrc).ok().filter(|_| ssrc < most)?;
        while self.encodings.len() <= usize::from(place) {
            self.encodings.push(Encoding::new(self.kind, None, false));
        }
        Some(EncodingId(place))
    }

    /// Whether packets of an encoding still come.
    pub(super) fn is_alive(&self, now: Time, encoding: EncodingId) -> bool {
        let latest = self.encodings.iter().filter_map(|e| e.last).max();
        let last = self.encodings.get(encoding.index()).and_then(|e| e.last);
        match (last, latest) {
            (Some(last), Some(latest)) => now.since(last) < SILENT && latest.since(last) < STOPPED,
            _ => false,
        }
    }
}
