//! RTCP and everything that happens on time.

use sluice_types::units::Time;

use super::{
    FEEDBACK_INTERVAL, Forwarder, Origin, Outbox, PeerId, REPORT_INTERVAL, SinkId, SourceId, TICK,
    Target,
};
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
        controls(packet, |control| match control {
            Control::SenderReport { ssrc, clock } => {
                let source = self.peers[from.0]
                    .streams
                    .iter()
                    .find(|&&(stream, _, repair)| stream == ssrc && !repair)
                    .map(|&(_, source, _)| source);
                if let Some(source) = source {
                    self.handle_clock(now, source, clock, outbox);
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
                    let source = self.sinks[sink.0].source;
                    self.request_key_frame(now, source, outbox);
                }
            }
            Control::Reception { .. } | Control::TransportFeedback { .. } => {}
        });
    }

    /// A receiver at this edge or behind it needs a key frame.
    pub fn request_key_frame(&mut self, now: Time, source: SourceId, outbox: &mut impl Outbox) {
        if self.sources.contains(source.0) {
            self.stats.key_frame_requests_received += 1;
            self.want_key_frame(now, source, outbox);
        }
    }

    /// A track's sender told its clocks, here or over the backbone.
    pub fn handle_clock(
        &mut self,
        now: Time,
        source: SourceId,
        clock: SenderClock,
        outbox: &mut impl Outbox,
    ) {
        let Some(source) = self.sources.get_mut(source.0) else {
            return;
        };
        source.reception.sender_clock(now, clock);
        for sink in &source.sinks {
            if let Target::Link(link) = self.sinks[sink.0].target {
                outbox.relay_clock(link, clock);
            }
        }
    }

    fn sink_of(&self, peer: PeerId, wanted: u32) -> Option<SinkId> {
        self.peers[peer.0].sinks.iter().copied().find(
            |sink| matches!(self.sinks[sink.0].target, Target::Peer { ssrc, .. } if ssrc == wanted),
        )
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub const fn poll_timeout(&self) -> Time {
        self.next_tick
    }

    /// Sends what is due by now: requests for missing packets, late key-frame requests, transport
    /// feedback, and reports.
    pub fn handle_timeout(&mut self, now: Time, outbox: &mut impl Outbox) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.repair(now, outbox);
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

    fn repair(&mut self, now: Time, outbox: &mut impl Outbox) {
        for key in 0..self.sources.capacity() {
            let Some(source) = self.sources.get_mut(key) else {
                continue;
            };
            if let Origin::Peer { peer, .. } = source.origin {
                source.reception.due(now, &mut self.numbers);
                if !self.numbers.is_empty() {
                    self.bytes.clear();
                    rtcp::nack(&mut self.bytes, source.ssrc, &self.numbers);
                    self.stats.nacks_sent += self.numbers.len() as u64;
                    outbox.control(peer, &self.bytes);
                }
            }
            if source.key_frames.due(now) {
                self.ask_key_frame(SourceId(key), outbox);
            }
        }
    }

    fn report_reception(&mut self, now: Time, outbox: &mut impl Outbox) {
        let mut blocks = Vec::new();
        for (key, peer) in &self.peers {
            blocks.clear();
            for &(ssrc, source, repair) in &peer.streams {
                if !repair {
                    blocks.extend(self.sources[source.0].reception.report(now, ssrc));
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
                let sink = &self.sinks[sink.0];
                let clock = self.sources[sink.source.0].reception.clock_at(now);
                if let (Target::Peer { ssrc, .. }, Some(clock), 1..) =
                    (sink.target, clock, sink.packets)
                {
                    rtcp::sender_report(&mut self.bytes, ssrc, clock, sink.packets, sink.bytes);
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
