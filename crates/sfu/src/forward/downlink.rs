//! One participant's downlink: what its network carries, and how that is found out.

use std::collections::VecDeque;
use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::encoding::EncodingId;
use super::pacing::Queued;
use super::repair::Again;
use super::{Forwarder, Outbox, Peer, PeerId};
use crate::bandwidth::{Bucket, Config, Estimator, ProbeId};
use crate::rtp::{Extension, ExtensionBlock};

/// How far back packets are repeated for a probe, at each sink.
const PROBE_BACK: u16 = 64;

/// The most attempts at packets of nothing but padding for one probe.
const PADDING_MAX: usize = 200;

/// What a packet is longer than its payload on the wire, in bytes: IP, UDP, RTP with extensions, SRTP.
const OVERHEAD_BYTES: usize = 28 + 12 + 20 + 16;

/// How often a participant's network may be suspected to fall: key frames cost everybody.
const SUSPICION_INTERVAL: Duration = Duration::from_secs(5);

/// A network that carries less than this share of what it was given, in percent, fell.
const FALL_PERCENT: u64 = 60;

/// How long a fall is felt.
const RECOVERY: Duration = Duration::from_secs(1);

/// The budget of a participant that cannot say what arrives.
const UNLIMITED: Bitrate = Bitrate::mbps(1_000_000);

/// What is known of one participant's network, and what waits for it.
#[derive(Debug)]
pub(super) struct Downlink {
    pub(super) estimator: Estimator,
    pub(super) bucket: Bucket,
    pub(super) queue: VecDeque<Queued>,
    /// What everything that it wants would take.
    pub(super) needed: Bitrate,
    /// What it was given.
    pub(super) allocated: Bitrate,
    /// Whether a video does not fit.
    pub(super) paused: bool,
    /// The cluster that packets are sent for.
    probe: Option<ProbeId>,
    /// When a suspicion counts again.
    next_suspicion: Time,
    /// When its network fell to a fraction of what it was given.
    fell_at: Option<Time>,
}

impl Downlink {
    /// Whether the network's queue may still be full, and what it carries now is hardly measured.
    pub(super) fn fell_lately(&self, now: Time) -> bool {
        self.fell_at.is_some_and(|fell| now.since(fell) < RECOVERY)
    }
}

impl Default for Downlink {
    fn default() -> Self {
        let config = Config::default();
        Self {
            estimator: Estimator::new(config),
            bucket: Bucket::new(config.start),
            queue: VecDeque::new(),
            needed: Bitrate::bps(0),
            allocated: Bitrate::bps(0),
            paused: false,
            probe: None,
            next_suspicion: Time::ZERO,
            fell_at: None,
        }
    }
}

impl Peer {
    /// Gives a packet its transport-wide sequence number, where that was agreed upon.
    pub(super) fn number_transport(
        &mut self,
        now: Time,
        bytes: usize,
        extensions: &mut ExtensionBlock,
    ) {
        let Some(id) = self.formats.extensions.id(Extension::TransportCc) else {
            return;
        };
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        extensions.push(id, &self.transport_sequence.to_be_bytes());
        let downlink = &mut self.downlink;
        let bytes = bytes + OVERHEAD_BYTES;
        downlink
            .estimator
            .sent(now, self.transport_sequence, bytes, downlink.probe);
        downlink.bucket.spend(now, bytes);
    }

    /// Whether it is known what arrives.
    pub(super) fn is_estimated(&self) -> bool {
        self.formats.extensions.id(Extension::TransportCc).is_some()
            || self.downlink.estimator.has_feedback()
    }

    /// What the participant's network carries, as far as it is known.
    pub(super) fn budget(&self) -> Bitrate {
        if self.is_estimated() {
            self.downlink.estimator.target()
        } else {
            UNLIMITED
        }
    }
}

impl Forwarder {
    /// Whether a participant can be sent padding, from which feedback tells what its network carries
    /// while all of its video is paused.
    pub(super) fn can_probe(&self, key: PeerId) -> bool {
        let peer = &self.peers[key.0];
        let formats = &peer.formats;
        let is_numbered = formats.extensions.id(Extension::TransportCc).is_some();
        is_numbered
            && peer.sinks.iter().any(|sink| {
                let codec = self.sources[self.sinks[sink.0].source.0].codec();
                codec.is_some_and(|codec| formats.payload_types.retransmission_of(codec).is_some())
            })
    }

    /// Feedback of a participant changed what its network is taken to carry.
    pub(super) fn estimate_changed(&mut self, now: Time, key: PeerId, outbox: &mut impl Outbox) {
        let peer = &mut self.peers[key.0];
        let target = peer.downlink.estimator.target();
        peer.downlink.bucket.set_estimate(target);
        let suspect = peer.downlink.estimator.is_suspect();
        // A fall is acted upon at once, the rest when its time comes.
        if target < peer.downlink.allocated {
            if target.as_bps() < peer.downlink.allocated.as_bps() / 100 * FALL_PERCENT {
                peer.downlink.fell_at = Some(now);
            }
            self.allocate(now, key, outbox);
        } else if suspect && now >= peer.downlink.next_suspicion {
            peer.downlink.next_suspicion = now + SUSPICION_INTERVAL;
            self.get_ready_to_fall(now, key, outbox);
        }
    }

    /// A participant's network may be falling: asks for key frames of the smallest encodings of its
    /// videos, which are there when it did.
    fn get_ready_to_fall(&mut self, now: Time, key: PeerId, outbox: &mut impl Outbox) {
        for place in 0..self.peers[key.0].sinks.len() {
            let sink = &self.sinks[self.peers[key.0].sinks[place].0];
            let source = sink.source;
            let lowest = EncodingId::default();
            if sink
                .current()
                .is_some_and(|current| current.encoding > lowest)
                && self.sources[source.0].is_alive(now, lowest)
            {
                self.want_key_frame(now, source, lowest, outbox);
            }
        }
    }

    /// Sends a participant a cluster of packets faster than media goes, to see whether its network
    /// carries more: the latest ones once more, which the receiver drops as repeated.
    pub(super) fn probe(&mut self, now: Time, key: PeerId, outbox: &mut impl Outbox) {
        let peer = &mut self.peers[key.0];
        // Media brings the first feedback by itself, unless all of it is paused.
        let begun = peer.downlink.estimator.has_feedback() || peer.downlink.paused;
        if !begun || peer.formats.extensions.id(Extension::TransportCc).is_none() {
            return;
        }
        let needed = peer.downlink.needed;
        let Some(probe) = peer.downlink.estimator.poll_probe(now, needed) else {
            return;
        };
        let sinks = peer.sinks.clone();
        peer.downlink.probe = Some(probe.id);
        let (mut bytes, mut packets) = (0, 0);
        'cluster: for back in 0..PROBE_BACK {
            for &sink in &sinks {
                if bytes >= probe.bytes && packets >= probe.packets {
                    break 'cluster;
                }
                let Some((latest, _)) = self.sinks[sink.0].latest() else {
                    continue;
                };
                let sequence = (latest.index as u16).wrapping_sub(back);
                if let Some(sent) = self.send_again(now, sink, sequence, Again::Probe, outbox) {
                    bytes += sent + OVERHEAD_BYTES;
                    packets += 1;
                }
            }
        }
        // Nothing is left to repeat of a video that has been paused for long.
        for &sink in sinks.iter().cycle().take(PADDING_MAX) {
            if bytes >= probe.bytes && packets >= probe.packets {
                break;
            }
            if self.send_padding(now, sink, outbox) {
                bytes += usize::from(u8::MAX) + OVERHEAD_BYTES;
                packets += 1;
            }
        }
        self.peers[key.0].downlink.probe = None;
    }
}
