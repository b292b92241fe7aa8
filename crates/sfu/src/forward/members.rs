//! Who comes and goes: participants, tracks and their receivers.

use sluice_types::layers::{ENCODINGS_MAX, LayerSet};
use sluice_types::room::MediaKind;
use sluice_types::signal::Wish;
use sluice_types::units::Time;

use super::downlink::Downlink;
use super::encoding::EncodingId;
use super::feedback::Arrivals;
use super::sink::{Sink, Target};
use super::source::{Origin, Source};
use super::{Formats, Forwarder, Outbox, Peer, PeerId, SinkId, SourceId, Stream, Track};

impl Forwarder {
    /// Takes in a participant.
    pub fn add_peer(&mut self, formats: Formats) -> PeerId {
        PeerId(self.peers.insert(Peer {
            formats,
            streams: Vec::new(),
            labels: Vec::new(),
            mids: Vec::new(),
            sinks: Vec::new(),
            transport_sequence: 0,
            arrivals: Arrivals::default(),
            last_ssrc: 0,
            downlink: Downlink::default(),
            next_allocation: Time::ZERO,
            round_trip: None,
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
}
