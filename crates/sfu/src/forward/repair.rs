//! Repair: what a participant misses is sent again from the track's history, what the edge misses is
//! asked for.

use std::time::Duration;

use sluice_types::units::Time;

use super::encoding::EncodingId;
use super::history;
use super::passing::copy_extensions;
use super::{Forwarder, Origin, Outbox, Peer, SinkId, SourceId, Target};
use crate::layer::Counters;
use crate::rtcp;
use crate::rtp::{ExtensionBlock, Outgoing};

/// Why a packet is sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The receiver asked for it.
    Requested,
    /// To see whether the path carries more.
    Probe,
}

impl Peer {
    /// How long ago a packet went out that may still be needed for it.
    pub(super) fn reach(&self) -> Duration {
        // What waits for it is in no hurry.
        if !self.downlink.queue.is_empty() {
            return history::reach(None);
        }
        let estimated = self.downlink.estimator.round_trip();
        history::reach(self.round_trip.or(estimated))
    }
}

impl Forwarder {
    /// Answers a participant's request for a packet that it misses.
    pub(super) fn retransmit(
        &mut self,
        now: Time,
        key: SinkId,
        sequence: u16,
        outbox: &mut impl Outbox,
    ) {
        self.send_again(now, key, sequence, Again::Requested, outbox);
    }

    /// Sends a packet of the latest ones once more (RFC 4588), and says how many bytes it was.
    pub(super) fn send_again(
        &mut self,
        now: Time,
        key: SinkId,
        sequence: u16,
        why: Again,
        outbox: &mut impl Outbox,
    ) -> Option<usize> {
        let sink = &mut self.sinks[key.0];
        let Target::Peer {
            peer: to,
            retransmission_ssrc: Some(ssrc),
            ..
        } = sink.target
        else {
            return None;
        };
        let sent = sink.requested(sequence)?;
        // What the network has no room for is not repaired while a smaller encoding is waited for: its
        // key frame would come behind the repairs.
        let too_large = !self.peers[to.0].downlink.queue.is_empty()
            && sink
                .selection
                .choice()
                .is_none_or(|choice| choice.encoding < sent.encoding);
        let refused = match why {
            Again::Requested => too_large || sink.is_given_up(&sent),
            // A probe finds out whether it still is, above all when the video is paused for it.
            Again::Probe => sent.filler,
        };
        if refused {
            return None;
        }
        let source = &self.sources[sink.source.0];
        let history = &source.encodings.get(sent.encoding.index())?.history;
        let kept = history.packet(sent.number)?;
        let peer = &mut self.peers[to.0];
        let payload_type = peer.formats.payload_types.retransmission_of(kept.codec)?;
        let index = match why {
            Again::Requested => sink.take_retransmission(now, sent.index)?,
            Again::Probe => sink.take_probe(),
        };
        let mut extensions = ExtensionBlock::default();
        // A filler has nothing but its number.
        let (payload, counters) = if sent.filler {
            (&[][..], Counters::default())
        } else {
            copy_extensions(
                &peer.formats.extensions,
                &kept.header,
                kept.packet(),
                Some(sent.frame),
                &mut extensions,
            );
            let payload = kept.header.payload(kept.packet());
            (payload, sent.counters(&kept.unit.counters))
        };
        peer.number_transport(now, payload.len(), &mut extensions);
        match why {
            Again::Requested => self.stats.retransmitted_packets += 1,
            Again::Probe => self.stats.probe_packets += 1,
        }
        outbox.media(
            to,
            &Outgoing {
                marker: sent.marker,
                payload_type,
                index,
                timestamp: sent.timestamp,
                ssrc,
                extensions: &extensions,
                original_sequence: Some(sent.index as u16),
                payload,
                counters,
                padding: 0,
            },
        );
        Some(payload.len())
    }

    /// Sends a packet of nothing but padding among the retransmissions, where receivers drop it, and
    /// says whether it could.
    pub(super) fn send_padding(
        &mut self,
        now: Time,
        key: SinkId,
        outbox: &mut impl Outbox,
    ) -> bool {
        let sink = &mut self.sinks[key.0];
        let Target::Peer {
            peer: to,
            retransmission_ssrc: Some(ssrc),
            ..
        } = sink.target
        else {
            return false;
        };
        // A video that was paused before it began has no timestamp yet, and any will do.
        let timestamp = sink.latest().map_or(0, |(latest, _)| latest.timestamp);
        let Some(codec) = self.sources[sink.source.0].codec() else {
            return false;
        };
        let peer = &mut self.peers[to.0];
        let Some(payload_type) = peer.formats.payload_types.retransmission_of(codec) else {
            return false;
        };
        let mut extensions = ExtensionBlock::default();
        peer.number_transport(now, usize::from(u8::MAX), &mut extensions);
        self.stats.probe_packets += 1;
        outbox.media(
            to,
            &Outgoing {
                marker: false,
                payload_type,
                index: sink.take_probe(),
                timestamp,
                ssrc,
                extensions: &extensions,
                original_sequence: None,
                payload: &[],
                counters: Counters::default(),
                padding: u8::MAX,
            },
        );
        true
    }

    /// Asks publishers for what is missing, and for key frames that had to wait.
    pub(super) fn ask_for_missing(&mut self, now: Time, outbox: &mut impl Outbox) {
        for key in 0..self.sources.capacity() {
            let count = self.sources.get(key).map_or(0, |s| s.encodings.len());
            for place in 0..count {
                let source = &mut self.sources[key];
                let encoding = &mut source.encodings[place];
                if let Origin::Peer { peer, .. } = source.origin {
                    encoding.reception.due(now, &mut self.numbers);
                    if !self.numbers.is_empty() {
                        self.bytes.clear();
                        rtcp::nack(&mut self.bytes, encoding.ssrc, &self.numbers);
                        self.stats.nacks_sent += self.numbers.len() as u64;
                        outbox.control(peer, &self.bytes);
                    }
                }
                if encoding.key_frames.due(now, encoding.last) {
                    // Three at most.
                    self.ask_key_frame(SourceId(key), EncodingId(place as u8), outbox);
                }
            }
        }
    }
}
