//! What comes in from whom, and goes out to whom: the state of one media worker.
//!
//! A [`Forwarder`] is fed plain RTP and RTCP and hands what is to be sent to an [`Outbox`]. It
//! owns no socket and no key, reads no clock, and once warm allocates nothing for a forwarded
//! packet.

mod allocation;
mod control;
mod demand;
mod downlink;
mod encoding;
mod feedback;
mod history;
mod incoming;
mod key_frame;
mod left_out;
mod numbering;
mod pacing;
mod passing;
mod reception;
mod repair;
mod replay;
mod selection;
mod sink;
mod source;
mod speakers;
#[cfg(test)]
mod tests;

use std::time::Duration;

use slab::Slab;
use sluice_types::layers::{ENCODINGS_MAX, LayerSet};
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::signal::Wish;
use sluice_types::units::Time;

use self::downlink::Downlink;
pub use self::encoding::EncodingId;
use self::feedback::Arrivals;
pub use self::selection::Choice;
use self::sink::Sink;
pub use self::sink::Target;
use self::source::Source;
pub use self::source::{AnnouncedEncoding, Origin};
pub use self::speakers::AUDIBLE_MAX;
use self::speakers::Speakers;
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

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Packets from participants, audio and video.
    pub received_packets: [u64; 2],
    /// Their bytes, headers included.
    pub received_bytes: [u64; 2],
    /// Packets from the backbone, audio and video.
    pub relayed_in_packets: [u64; 2],
    /// Packets to participants, audio and video, retransmissions excluded.
    pub forwarded_packets: [u64; 2],
    /// Their payload bytes.
    pub forwarded_bytes: [u64; 2],
    /// Packets to the backbone, audio and video.
    pub relayed_out_packets: [u64; 2],
    /// Packets dropped, by [`Drop`].
    pub dropped: [u64; Drop::ALL.len()],
    /// Sequence numbers that participants asked for again.
    pub nacks_received: u64,
    /// Sequence numbers that publishers were asked for again.
    pub nacks_sent: u64,
    /// Packets sent again.
    pub retransmitted_packets: u64,
    /// Packets sent again to find out whether a path carries more.
    pub probe_packets: u64,
    /// Key frames that receivers got from the history.
    pub replayed_key_frames: u64,
    /// Packets that came by retransmission.
    pub recovered_packets: u64,
    /// Key-frame requests from participants and the backbone.
    pub key_frame_requests_received: u64,
    /// Key-frame requests to publishers and the backbone.
    pub key_frame_requests_sent: u64,
}

/// Why a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drop {
    /// It is not RTP.
    Malformed,
    /// No track has its SSRC.
    UnknownSource,
    /// Its payload type was not agreed upon.
    UnknownPayloadType,
    /// It came before.
    Duplicate,
    /// A participant cannot decode its codec.
    NoCodec,
    /// A participant's network has fallen so far behind that too much waits for it.
    Behind,
}

impl Drop {
    /// All of them, in the order of [`Stats::dropped`].
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::UnknownSource,
        Self::UnknownPayloadType,
        Self::Duplicate,
        Self::NoCodec,
        Self::Behind,
    ];

    /// The reason as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownSource => "unknown_source",
            Self::UnknownPayloadType => "unknown_payload_type",
            Self::Duplicate => "duplicate",
            Self::NoCodec => "no_codec",
            Self::Behind => "behind",
        }
    }
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

#[derive(Debug)]
struct Peer {
    formats: Formats,
    streams: Vec<Stream>,
    /// Its m-lines, for streams whose SSRC is not known yet (RFC 8843, section 9.2).
    mids: Vec<(Box<[u8]>, SourceId)>,
    sinks: Vec<SinkId>,
    transport_sequence: u16,
    arrivals: Arrivals,
    /// The last stream that came, which transport feedback has to name.
    last_ssrc: u32,
    downlink: Downlink,
    next_allocation: Time,
}

/// The state of one media worker.
#[derive(Debug)]
pub struct Forwarder {
    peers: Slab<Peer>,
    sources: Slab<Source>,
    sinks: Slab<Sink>,
    speakers: Speakers,
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
            backbone: Formats::backbone(),
            stats: Stats::default(),
            next_tick: Time::ZERO,
            next_feedback: Time::ZERO,
            next_report: Time::ZERO,
            paced: Vec::new(),
            next_drain: Time::ZERO,
            replays,
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

    /// Takes in a participant.
    pub fn add_peer(&mut self, formats: Formats) -> PeerId {
        PeerId(self.peers.insert(Peer {
            formats,
            streams: Vec::new(),
            mids: Vec::new(),
            sinks: Vec::new(),
            transport_sequence: 0,
            arrivals: Arrivals::default(),
            last_ssrc: 0,
            downlink: Downlink::default(),
            next_allocation: Time::ZERO,
        }))
    }

    /// Replaces how a participant numbers things.
    pub fn set_formats(&mut self, peer: PeerId, formats: Formats) {
        if let Some(peer) = self.peers.get_mut(peer.0) {
            peer.formats = formats;
        }
    }

    /// Lets go of a participant, its tracks and its sinks.
    pub fn remove_peer(&mut self, peer: PeerId) {
        let Some(gone) = self.peers.try_remove(peer.0) else {
            return;
        };
        for sink in gone.sinks {
            self.remove_sink(sink);
        }
        let theirs: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, source)| source.origin.peer() == Some(peer))
            .map(|(key, _)| SourceId(key))
            .collect();
        for source in theirs {
            self.remove_source(source);
        }
    }

    /// Takes in a track.
    pub fn add_source(&mut self, track: Track, origin: Origin) -> SourceId {
        let key = SourceId(self.sources.insert(Source::new(track, origin)));
        if track.source.kind() == MediaKind::Audio {
            self.speakers.add(track.room, key);
        }
        let Origin::Peer {
            peer,
            encodings,
            mid,
            ..
        } = &self.sources[key.0].origin
        else {
            return key;
        };
        if let Some(peer) = self.peers.get_mut(peer.0) {
            for (place, told) in (0u8..).zip(encodings) {
                let ssrcs = [(told.ssrc, false), (told.retransmission_ssrc, true)];
                peer.streams
                    .extend(ssrcs.into_iter().filter_map(|(ssrc, repair)| {
                        Some(Stream {
                            ssrc: ssrc?,
                            source: key,
                            encoding: EncodingId(place),
                            repair,
                        })
                    }));
            }
            peer.mids.push((mid.clone(), key));
        }
        key
    }

    /// Lets go of a track and its sinks.
    pub fn remove_source(&mut self, source: SourceId) {
        let Some(gone) = self.sources.try_remove(source.0) else {
            return;
        };
        self.speakers.remove(gone.track.room, source);
        for sink in gone.sinks {
            self.forget_sink(sink);
        }
        if let Some(peer) = gone
            .origin
            .peer()
            .and_then(|peer| self.peers.get_mut(peer.0))
        {
            peer.streams.retain(|stream| stream.source != source);
            peer.mids.retain(|&(_, key)| key != source);
        }
    }

    /// Sends a track to one more receiver; `None` when the track or the receiver is gone. A relay is
    /// sent everything until [`Self::set_layers`] says otherwise.
    pub fn add_sink(
        &mut self,
        now: Time,
        source: SourceId,
        target: Target,
        outbox: &mut impl Outbox,
    ) -> Option<SinkId> {
        let kind = self.sources.get(source.0)?.kind;
        if let Target::Peer { peer, .. } = target
            && !self.peers.contains(peer.0)
        {
            return None;
        }
        let sink = Sink::new(source, target, kind == MediaKind::Video);
        let sink = SinkId(self.sinks.insert(sink));
        self.sources[source.0].sinks.push(sink);
        match target {
            Target::Peer { peer, .. } => {
                self.peers[peer.0].sinks.push(sink);
                self.allocate(now, peer, outbox);
            }
            Target::Link(link) => {
                for (place, encoding) in (0u8..).zip(&self.sources[source.0].encodings) {
                    if let Some(clock) = encoding.reception.clock_at(now) {
                        outbox.relay_clock(link, EncodingId(place), clock);
                    }
                }
                for place in (0..ENCODINGS_MAX as u8).map(EncodingId) {
                    self.want_key_frame(now, source, place, outbox);
                }
            }
        }
        Some(sink)
    }

    /// Sends exactly these layers over a relay from now on, and key frames of every encoding that newly
    /// travels over it. Further layers of one that does are entered where its frames allow it.
    pub fn set_layers(
        &mut self,
        now: Time,
        sink: SinkId,
        layers: LayerSet,
        outbox: &mut impl Outbox,
    ) {
        let Some(at) = self.sinks.get_mut(sink.0) else {
            return;
        };
        let before = std::mem::replace(&mut at.layers, layers);
        let source = at.source;
        for place in 0..ENCODINGS_MAX as u8 {
            if layers.has(place) && !before.has(place) {
                self.want_key_frame(now, source, EncodingId(place), outbox);
            }
        }
    }

    /// A participant says how it wants a track; `None` lets the forwarder choose.
    pub fn set_wish(
        &mut self,
        now: Time,
        sink: SinkId,
        wish: Option<Wish>,
        outbox: &mut impl Outbox,
    ) {
        let Some(at) = self.sinks.get_mut(sink.0) else {
            return;
        };
        at.wish = wish;
        if let Target::Peer { peer, .. } = at.target {
            self.allocate(now, peer, outbox);
        }
    }

    /// Whether a sink is still there; it goes with its track and with its receiver.
    #[must_use]
    pub fn has_sink(&self, sink: SinkId) -> bool {
        self.sinks.contains(sink.0)
    }

    /// A participant can receive from now on: begins everything that it should get.
    pub fn refresh(&mut self, now: Time, peer: PeerId, outbox: &mut impl Outbox) {
        let Some(sinks) = self.peers.get(peer.0).map(|peer| peer.sinks.clone()) else {
            return;
        };
        for sink in sinks {
            self.sinks[sink.0].begin_again();
        }
        // Nothing that was tried before tells anything of its network.
        self.peers[peer.0].downlink = Downlink::default();
        self.allocate(now, peer, outbox);
    }

    /// Sends a track to one receiver less.
    pub fn remove_sink(&mut self, sink: SinkId) {
        if let Some(source) = self
            .sinks
            .get(sink.0)
            .and_then(|gone| self.sources.get_mut(gone.source.0))
        {
            source.sinks.retain(|&key| key != sink);
        }
        self.forget_sink(sink);
    }

    fn forget_sink(&mut self, sink: SinkId) {
        let Some(gone) = self.sinks.try_remove(sink.0) else {
            return;
        };
        if let Target::Peer { peer, .. } = gone.target
            && let Some(peer) = self.peers.get_mut(peer.0)
        {
            peer.sinks.retain(|&key| key != sink);
        }
    }

    fn dropped(&mut self, reason: Drop) {
        self.stats.dropped[reason as usize] += 1;
    }
}
