//! What comes in from whom, and goes out to whom: the state of one media worker.
//!
//! A [`Forwarder`] is fed plain RTP and RTCP and hands what is to be sent to an [`Outbox`]. It
//! owns no socket and no key, reads no clock, and once warm allocates nothing for a forwarded
//! packet.

mod allocation;
mod burst;
mod control;
mod demand;
mod downlink;
mod encoding;
mod feedback;
mod history;
mod incoming;
mod kept;
mod key_frame;
mod left_out;
mod members;
mod numbering;
mod offers;
mod pacing;
mod passing;
mod quality;
mod reception;
mod repair;
mod replay;
mod selection;
mod sent;
mod sharing;
mod sink;
mod source;
mod speakers;
mod stats;
#[cfg(test)]
mod tests;
mod voice;

use std::time::Duration;

use slab::Slab;
use sluice_types::layers::LayerSet;
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::units::Time;

use self::burst::Burst;
use self::downlink::Downlink;
pub use self::encoding::EncodingId;
use self::feedback::Arrivals;
use self::kept::Pool;
pub use self::quality::{Losses, PeerQuality, SinkQuality, StreamQuality};
pub use self::selection::Choice;
use self::sink::Sink;
pub use self::sink::Target;
use self::source::Source;
pub use self::source::{AnnouncedEncoding, Origin};
pub use self::speakers::AUDIBLE_MAX;
use self::speakers::Speakers;
pub use self::stats::{Drop, Stats};
use crate::codec::PayloadTypes;
use crate::rtcp::SenderClock;
use crate::rtp::{ExtensionIds, Outgoing};

/// How often the forwarder wants [`Forwarder::handle_timeout`].
const TICK: Duration = Duration::from_millis(20);

/// How often arrivals are reported to a publisher.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(60);

/// How often a participant's downlink is shared out anew.
const ALLOCATION_INTERVAL: Duration = Duration::from_millis(100);

/// How often sender and receiver reports go out.
const REPORT_INTERVAL: Duration = Duration::from_millis(1_000);

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(super) usize);

        impl $name {
            /// The key's place among those of its kind, small and used again after a removal.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0
            }
        }
    };
}

key!(
    /// A participant of the worker.
    PeerId
);
key!(
    /// A track that comes in.
    SourceId
);
key!(
    /// A receiver of a track.
    SinkId
);

/// A room, as the shell names it: whose voices are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// A publisher, as the shell names it, here or at another edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub u64);

/// What a track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// Its room.
    pub room: RoomId,
    /// Its publisher.
    pub owner: OwnerId,
    /// What it shows.
    pub source: TrackSource,
}

/// A relay that goes out, as the shell names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// How a participant numbers codecs and extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formats {
    /// Its payload types.
    pub payload_types: PayloadTypes,
    /// Its extension ids.
    pub extensions: ExtensionIds,
}

impl Formats {
    /// How edges number them among themselves.
    #[must_use]
    pub fn backbone() -> Self {
        Self {
            payload_types: PayloadTypes::backbone(),
            extensions: ExtensionIds::backbone(),
        }
    }
}

/// Where the forwarder's output goes.
pub trait Outbox {
    /// Seals and sends a packet to a participant.
    fn media(&mut self, peer: PeerId, packet: &Outgoing<'_>);
    /// Seals and sends RTCP to a participant.
    fn control(&mut self, peer: PeerId, packet: &[u8]);
    /// Sends a packet over the backbone.
    fn relay(&mut self, link: LinkId, kind: MediaKind, packet: &Outgoing<'_>);
    /// Sends an encoding's sender clock over the backbone.
    fn relay_clock(&mut self, link: LinkId, encoding: EncodingId, clock: SenderClock);
    /// A track that comes over the backbone needs a key frame from further up.
    fn key_frame_wanted(&mut self, source: SourceId, encoding: EncodingId);
    /// The first packet of a track came.
    fn first_packet(&mut self, source: SourceId);
    /// These layers of a track are wanted now, and no others; of what comes from a participant whole
    /// encodings.
    fn layers_wanted(&mut self, source: SourceId, layers: LayerSet);
    /// A video that a participant receives is paused, for want of bandwidth, or goes on.
    fn paused(&mut self, sink: SinkId, paused: bool);
    /// Who speaks in a room: audio tracks, the dominant speaker's first, with their levels in
    /// decibels below the loudest possible.
    fn speakers(&mut self, room: RoomId, speakers: &[(SourceId, u8)]);
}

/// What comes from a participant under one SSRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stream {
    ssrc: u32,
    source: SourceId,
    encoding: EncodingId,
    /// Whether it carries retransmissions.
    repair: bool,
}

/// What the first packets under an SSRC said of themselves. Their sender says it no longer once it knows
/// that they arrived (RFC 8843, section 9.2; RFC 8852, section 3.3), also when its track was given up
/// and another one goes on under the same SSRC.
#[derive(Debug)]
struct Label {
    ssrc: u32,
    mid: Box<[u8]>,
    rid: Option<Box<[u8]>>,
}

#[derive(Debug)]
struct Peer {
    formats: Formats,
    streams: Vec<Stream>,
    /// Of the streams that were told apart by what they say, the latest ones.
    labels: Vec<Label>,
    /// Its m-lines, for streams whose SSRC is not known yet (RFC 8843, section 9.2).
    mids: Vec<(Box<[u8]>, SourceId)>,
    sinks: Vec<SinkId>,
    transport_sequence: u16,
    arrivals: Arrivals,
    /// The last stream that came, which transport feedback has to name.
    last_ssrc: u32,
    downlink: Downlink,
    next_allocation: Time,
    /// To it and back, by its latest receiver report.
    round_trip: Option<Duration>,
}

/// The state of one media worker.
#[derive(Debug)]
pub struct Forwarder {
    peers: Slab<Peer>,
    sources: Slab<Source>,
    sinks: Slab<Sink>,
    speakers: Speakers,
    /// Buffers of kept packets.
    pool: Pool,
    backbone: Formats,
    stats: Stats,
    next_tick: Time,
    next_feedback: Time,
    next_report: Time,
    /// Participants for whom packets wait.
    paced: Vec<PeerId>,
    next_drain: Time,
    /// Whether newcomers begin with what is in the history.
    replays: bool,
    burst: Burst,
    numbers: Vec<u64>,
    bytes: Vec<u8>,
}

impl Default for Forwarder {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Forwarder {
    /// One without anybody. With `replays`, who waits for a picture begins with the latest key frame
    /// of the history and what followed, where that is recent; else the publisher is always asked.
    #[must_use]
    pub fn new(replays: bool) -> Self {
        Self {
            peers: Slab::new(),
            sources: Slab::new(),
            sinks: Slab::new(),
            speakers: Speakers::default(),
            pool: Pool::default(),
            backbone: Formats::backbone(),
            stats: Stats::default(),
            next_tick: Time::ZERO,
            next_feedback: Time::ZERO,
            next_report: Time::ZERO,
            paced: Vec::new(),
            next_drain: Time::ZERO,
            replays,
            burst: Burst::default(),
            numbers: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The rooms of all tracks; a room may come more than once.
    pub fn rooms(&self) -> impl Iterator<Item = RoomId> {
        self.sources.iter().map(|(_, source)| source.track.room)
    }

    /// How many packets of a track came, and how many of them are missing.
    #[must_use]
    pub fn source_packets(&self, source: SourceId) -> Option<(u64, u64)> {
        let source = self.sources.get(source.0)?;
        let lost = source.encodings.iter().map(|e| e.reception.lost()).sum();
        Some((source.packets, lost))
    }

    fn dropped(&mut self, reason: Drop) {
        self.stats.dropped[reason as usize] += 1;
    }
}
