//! RTCP and everything that happens on time.

use sluice_types::layers::LayerSet;
use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use slab::Slab;

use super::quality::Block;
use super::source::Source;
use super::speakers::VoiceOf;
use super::voice::Voice;
use super::{
    ALLOCATION_INTERVAL, EncodingId, FEEDBACK_INTERVAL, Forwarder, Origin, Outbox, PeerId,
    REPORT_INTERVAL, SinkId, SourceId, TICK, Target,
};
use crate::layer::Layer;
use crate::rtcp::{self, Control, SenderClock, controls};

impl Forwarder {
    /// A participant's RTCP came, decrypted.
    pub fn handle_control(
        &mut self,
        now: Time,
        from: PeerId,
        packet: &[u8],
        outbox: &mut impl Outbox,
    ) {
        if !self.peers.contains(from.0) {
            return;
        }
        self.pass_burst(now, outbox);
        controls(packet, |control| match control {
            Control::SenderReport { ssrc, clock } => {
                let stream = self.peers[from.0]
                    .streams
                    .iter()
                    .find(|stream| stream.ssrc == ssrc && !stream.repair)
                    .copied();
                if let Some(stream) = stream {
                    self.handle_clock(now, stream.source, stream.encoding, clock, outbox);
                }
            }
            Control::Nack {
                ssrc,
                first,
                following,
            } => {
                let Some(sink) = self.sink_of(from, ssrc) else {
                    return;
                };
                let more = (0..16u16).filter(|bit| following >> bit & 1 == 1);
                for ahead in std::iter::once(0).chain(more.map(|bit| bit + 1)) {
                    self.stats.nacks_received += 1;
                    self.retransmit(now, sink, first.wrapping_add(ahead), outbox);
                }
            }
            Control::KeyFrameRequest { ssrc } => {
                if let Some(sink) = self.sink_of(from, ssrc) {
                    let sink = &self.sinks[sink.0];
                    let current = sink.current().or_else(|| sink.selection.choice());
                    let encoding = current.map_or(EncodingId(0), |choice| choice.encoding);
                    self.request_key_frame(now, sink.source, encoding, outbox);
                }
            }
            Control::TransportFeedback(feedback) => {
                let peer = &mut self.peers[from.0];
                peer.downlink.estimator.feedback(now, &feedback);
                self.estimate_changed(now, from, outbox);
            }
            Control::Remb(bitrate) => {
                self.peers[from.0].downlink.estimator.remb(bitrate);
                self.estimate_changed(now, from, outbox);
            }
            Control::Reception {
                ssrc,
                total_lost,
                highest,
                jitter,
                last_report,
                delay,
                ..
            } => {
                let block = Block {
                    total_lost,
                    highest,
                    jitter,
                    last_report,
                    delay,
                };
                self.handle_reception(now, from, ssrc, block);
            }
        });
    }

    /// A receiver at this edge or behind it needs a key frame.
    pub fn request_key_frame(
        &mut self,
        now: Time,
        source: SourceId,
        encoding: EncodingId,
        outbox: &mut impl Outbox,
    ) {
        if self.sources.contains(source.0) {
            self.stats.key_frame_requests_received += 1;
            self.want_key_frame(now, source, encoding, outbox);
        }
    }

    /// The sender of an encoding told its clocks, here or over the backbone.
    pub fn handle_clock(
        &mut self,
        now: Time,
        source: SourceId,
        encoding: EncodingId,
        clock: SenderClock,
        outbox: &mut impl Outbox,
    ) {
        let Some(source) = self.sources.get_mut(source.0) else {
            return;
        };
        let Some(at) = source.encodings.get_mut(encoding.index()) else {
            return;
        };
        at.reception.sender_clock(now, clock);
        for sink in &source.sinks {
            let sink = &self.sinks[sink.0];
            if let (Target::Link(link), true) = (sink.target, sink.layers.has(encoding.0)) {
                outbox.relay_clock(link, encoding, clock);
            }
        }
    }

    pub(super) fn sink_of(&self, peer: PeerId, wanted: u32) -> Option<SinkId> {
        self.peers[peer.0].sinks.iter().copied().find(
            |sink| matches!(self.sinks[sink.0].target, Target::Peer { ssrc, .. } if ssrc == wanted),
        )
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        self.next_drain()
            .map_or(self.next_tick, |drain| drain.min(self.next_tick))
    }

    /// Sends what is due by now: requests for missing packets, late key-frame requests, transport
    /// feedback, and reports.
    pub fn handle_timeout(&mut self, now: Time, outbox: &mut impl Outbox) {
        self.drain(now, outbox);
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.ask_for_missing(now, outbox);
        self.listen(now, outbox);
        self.share_out(now, outbox);
        if now >= self.next_feedback {
            self.next_feedback = now + FEEDBACK_INTERVAL;
            for (key, peer) in &mut self.peers {
                peer.arrivals
                    .report(peer.last_ssrc, &mut self.bytes, |packet| {
                        outbox.control(PeerId(key), packet);
                    });
            }
        }
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            self.report_reception(now, outbox);
            self.report_sending(now, outbox);
        }
    }

    /// Follows the voices.
    fn listen(&mut self, now: Time, outbox: &mut impl Outbox) {
        let sources = &mut self.sources;
        self.speakers
            .advance(now, Voices(sources), |room, speakers| {
                outbox.speakers(room, speakers);
            });
    }

    /// Measures encodings, and shares out the downlinks whose turn it is.
    fn share_out(&mut self, now: Time, outbox: &mut impl Outbox) {
        self.pool.trim(now);
        for (_, source) in &mut self.sources {
            let wanted = match source.origin {
                Origin::Peer { .. } => LayerSet::ALL,
                Origin::Backbone => source.demand.told(),
            };
            for (place, encoding) in (0u8..).zip(&mut source.encodings) {
                let sent = |layer: Layer| wanted.covers(place, layer.spatial, layer.temporal);
                if encoding.meter.tick(now, sent) && source.kind == MediaKind::Video {
                    let watch = source
                        .sinks
                        .iter()
                        .filter_map(|sink| self.sinks[sink.0].peer());
                    let reach = watch.map(|peer| self.peers[peer.0].reach()).max();
                    encoding.history.set_reach(reach.unwrap_or_default());
                    encoding.history.tidy(now, &mut self.pool);
                }
            }
        }
        for key in 0..self.peers.capacity() {
            let Some(peer) = self.peers.get_mut(key) else {
                continue;
            };
            if now >= peer.next_allocation {
                peer.next_allocation = now + ALLOCATION_INTERVAL;
                self.allocate(now, PeerId(key), outbox);
            }
            self.probe(now, PeerId(key), outbox);
        }
        self.update_demand(now, outbox);
    }

    fn report_reception(&mut self, now: Time, outbox: &mut impl Outbox) {
        let mut blocks = Vec::new();
        for (key, peer) in &self.peers {
            blocks.clear();
            for stream in peer.streams.iter().filter(|stream| !stream.repair) {
                let encodings = &mut self.sources[stream.source.0].encodings;
                if let Some(encoding) = encodings.get_mut(stream.encoding.index()) {
                    blocks.extend(encoding.reception.report(now, stream.ssrc));
                }
            }
            if !blocks.is_empty() {
                self.bytes.clear();
                rtcp::receiver_report(&mut self.bytes, &blocks);
                outbox.control(PeerId(key), &self.bytes);
            }
        }
    }

    fn report_sending(&mut self, now: Time, outbox: &mut impl Outbox) {
        for (key, peer) in &self.peers {
            self.bytes.clear();
            for sink in &peer.sinks {
                let sink = &mut self.sinks[sink.0];
                let clock = sink.latest().and_then(|(latest, _)| {
                    let encodings = &self.sources[sink.source.0].encodings;
                    let clock = encodings[latest.encoding.index()].reception.clock_at(now)?;
                    Some(SenderClock {
                        rtp: clock.rtp.wrapping_add(sink.timestamp_offset()),
                        ..clock
                    })
                });
                if let (Target::Peer { ssrc, .. }, Some(clock), 1..) =
                    (sink.target, clock, sink.packets)
                {
                    rtcp::sender_report(&mut self.bytes, ssrc, clock, sink.packets, sink.bytes);
                    sink.heard.reported(now, clock.ntp.middle());
                }
                // A datagram's worth at a time.
                if self.bytes.len() > 1_000 {
                    outbox.control(PeerId(key), &self.bytes);
                    self.bytes.clear();
                }
            }
            if !self.bytes.is_empty() {
                outbox.control(PeerId(key), &self.bytes);
            }
        }
    }
}

/// The voices of all tracks.
struct Voices<'a>(&'a mut Slab<Source>);

impl<'a> VoiceOf<'a> for Voices<'a> {
    fn with<R>(&mut self, source: SourceId, f: impl FnOnce(&mut Voice) -> R) -> Option<R> {
        self.0.get_mut(source.0).map(|source| f(&mut source.voice))
    }
}
