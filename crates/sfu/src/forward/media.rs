//! RTP: from a source to its sinks.

use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::{Drop, Forwarder, Origin, Outbox, SinkId, SourceId, Target};
use crate::codec::{Codec, Payload};
use crate::forward::PeerId;
use crate::rtp::{Extension, ExtensionBlock, ExtensionIds, Header, Outgoing};

/// The most streams that one participant may send: its tracks', and their retransmissions.
const STREAMS_MAX: usize = 32;

/// Which place a kind has in [`super::Stats`].
const fn place(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Audio => 0,
        MediaKind::Video => 1,
    }
}

/// A packet on its way to sinks.
struct Passing<'a> {
    number: u64,
    codec: Codec,
    header: &'a Header,
    packet: &'a [u8],
}

impl Forwarder {
    /// A participant's packet came, decrypted.
    pub fn handle_media(
        &mut self,
        now: Time,
        from: PeerId,
        packet: &[u8],
        outbox: &mut impl Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(from.0) else {
            return;
        };
        let Ok(mut header) = Header::parse(packet, &peer.formats.extensions) else {
            return self.dropped(Drop::Malformed);
        };
        if let Some(&[high, low]) = header.extension(packet, Extension::TransportCc) {
            peer.last_ssrc = header.ssrc;
            peer.arrivals.note(now, u16::from_be_bytes([high, low]));
        }
        let payload = peer.formats.payload_types.payload(header.payload_type);
        let Some((source, repair)) = self.stream(from, &header, packet) else {
            return self.dropped(Drop::UnknownSource);
        };
        let kind = place(self.sources[source.0].kind);
        self.stats.received_packets[kind] += 1;
        self.stats.received_bytes[kind] += packet.len() as u64;
        let codec = match payload {
            Some(Payload::Media(codec)) if !repair => codec,
            Some(Payload::Retransmission(codec)) if repair => {
                // RFC 4588, section 4: the original sequence number, then the original payload.
                // One without is padding with which a client probes for bandwidth.
                let Some(sequence) = header.take_original_sequence(packet) else {
                    return;
                };
                header.sequence = sequence;
                self.stats.recovered_packets += 1;
                codec
            }
            _ => return self.dropped(Drop::UnknownPayloadType),
        };
        self.publish(now, source, codec, &header, packet, !repair, outbox);
    }

    /// A packet of a track that comes over the backbone.
    pub fn handle_relayed(
        &mut self,
        now: Time,
        source: SourceId,
        packet: &[u8],
        outbox: &mut impl Outbox,
    ) {
        let Some(kind) = self.sources.get(source.0).map(|source| source.kind) else {
            return self.dropped(Drop::UnknownSource);
        };
        let Ok(header) = Header::parse(packet, &self.backbone.extensions) else {
            return self.dropped(Drop::Malformed);
        };
        self.stats.relayed_in_packets[place(kind)] += 1;
        match self.backbone.payload_types.payload(header.payload_type) {
            Some(Payload::Media(codec)) => {
                self.publish(now, source, codec, &header, packet, true, outbox);
            }
            _ => self.dropped(Drop::UnknownPayloadType),
        }
    }

    /// The track that a packet belongs to, and whether it is a retransmission: by its SSRC, or for
    /// the first packet of a new SSRC by its m-line (RFC 8843, section 9.2).
    fn stream(&mut self, from: PeerId, header: &Header, packet: &[u8]) -> Option<(SourceId, bool)> {
        let peer = &mut self.peers[from.0];
        let known = peer
            .streams
            .iter()
            .find(|&&(ssrc, ..)| ssrc == header.ssrc)
            .map(|&(_, source, repair)| (source, repair));
        if known.is_some() || peer.streams.len() >= STREAMS_MAX {
            return known;
        }
        let mid = header.extension(packet, Extension::Mid)?;
        let source = peer
            .mids
            .iter()
            .find_map(|(name, source)| (**name == *mid).then_some(*source))?;
        let repair = matches!(
            peer.formats.payload_types.payload(header.payload_type),
            Some(Payload::Retransmission(_))
        );
        peer.streams.push((header.ssrc, source, repair));
        Some((source, repair))
    }

    #[expect(clippy::too_many_arguments, reason = "one step of the packet's way")]
    fn publish(
        &mut self,
        now: Time,
        key: SourceId,
        codec: Codec,
        header: &Header,
        packet: &[u8],
        original: bool,
        outbox: &mut impl Outbox,
    ) {
        let source = &mut self.sources[key.0];
        if original && source.ssrc != header.ssrc {
            source.ssrc = header.ssrc;
        }
        let arrival = source
            .reception
            .arrived(now, header.sequence, header.timestamp, original);
        if !source.seen.first_time(arrival.number) {
            return self.dropped(Drop::Duplicate);
        }
        source.packets += 1;
        if source.packets == 1 {
            outbox.first_packet(key);
        }
        source.history.keep(arrival.number, header, codec, packet);
        let passing = Passing {
            number: arrival.number,
            codec,
            header,
            packet,
        };
        let mut at = 0;
        while let Some(&sink) = self.sources[key.0].sinks.get(at) {
            self.pass(sink, &passing, outbox);
            at += 1;
        }
        if arrival.beyond_repair {
            self.want_key_frame(now, key, outbox);
        }
    }

    /// Sends one packet to one sink.
    fn pass(&mut self, key: SinkId, passing: &Passing<'_>, outbox: &mut impl Outbox) {
        let sink = &mut self.sinks[key.0];
        let kind = place(passing.codec.kind());
        let payload = passing.header.payload(passing.packet);
        let (ssrc, formats) = match sink.target {
            Target::Peer { peer, ssrc, .. } => (ssrc, &self.peers[peer.0].formats),
            Target::Link(_) => (passing.header.ssrc, &self.backbone),
        };
        let Some(payload_type) = formats.payload_types.of(passing.codec) else {
            return self.dropped(Drop::NoCodec);
        };
        let mut extensions = ExtensionBlock::default();
        copy_extensions(
            &formats.extensions,
            passing.header,
            passing.packet,
            &mut extensions,
        );
        let index = match sink.target {
            Target::Peer { .. } => sink.take_index(passing.number),
            // The far edge unrolls the publisher's own numbers again.
            Target::Link(_) => Some(passing.number),
        };
        let Some(index) = index else {
            return self.dropped(Drop::Duplicate);
        };
        sink.packets = sink.packets.wrapping_add(1);
        sink.bytes = sink.bytes.wrapping_add(payload.len() as u32);
        if let Target::Peer { peer, .. } = sink.target {
            let peer = &mut self.peers[peer.0];
            number_transport(
                &peer.formats.extensions,
                &mut peer.transport_sequence,
                &mut extensions,
            );
        }
        let outgoing = Outgoing {
            marker: passing.header.marker,
            payload_type,
            index,
            timestamp: passing.header.timestamp,
            ssrc,
            extensions: &extensions,
            original_sequence: None,
            payload,
        };
        match self.sinks[key.0].target {
            Target::Peer { peer, .. } => {
                self.stats.forwarded_packets[kind] += 1;
                self.stats.forwarded_bytes[kind] += payload.len() as u64;
                outbox.media(peer, &outgoing);
            }
            Target::Link(link) => {
                self.stats.relayed_out_packets[kind] += 1;
                outbox.relay(link, passing.codec.kind(), &outgoing);
            }
        }
    }

    /// Answers a participant's request for a packet that it misses.
    pub(super) fn retransmit(
        &mut self,
        now: Time,
        key: SinkId,
        sequence: u16,
        outbox: &mut impl Outbox,
    ) {
        let sink = &mut self.sinks[key.0];
        let Target::Peer {
            peer: to,
            retransmission_ssrc: Some(ssrc),
            ..
        } = sink.target
        else {
            return;
        };
        let source = &self.sources[sink.source.0];
        let Some((number, original)) = source
            .reception
            .highest()
            .and_then(|latest| sink.requested(latest, sequence))
        else {
            return;
        };
        let Some(kept) = source.history.packet(number) else {
            return;
        };
        let peer = &mut self.peers[to.0];
        let Some(payload_type) = peer.formats.payload_types.retransmission_of(kept.codec) else {
            return;
        };
        let Some(index) = sink.take_retransmission(now, number) else {
            return;
        };
        let mut extensions = ExtensionBlock::default();
        copy_extensions(
            &peer.formats.extensions,
            &kept.header,
            kept.packet(),
            &mut extensions,
        );
        number_transport(
            &peer.formats.extensions,
            &mut peer.transport_sequence,
            &mut extensions,
        );
        self.stats.retransmitted_packets += 1;
        outbox.media(
            to,
            &Outgoing {
                marker: kept.header.marker,
                payload_type,
                index,
                timestamp: kept.header.timestamp,
                ssrc,
                extensions: &extensions,
                original_sequence: Some(original),
                payload: kept.header.payload(kept.packet()),
            },
        );
    }

    /// Somebody needs a key frame of a track: asks where it comes from, at most so often.
    pub(super) fn want_key_frame(&mut self, now: Time, key: SourceId, outbox: &mut impl Outbox) {
        let source = &mut self.sources[key.0];
        if source.kind == MediaKind::Video && source.key_frames.want(now) {
            self.ask_key_frame(key, outbox);
        }
    }

    pub(super) fn ask_key_frame(&mut self, key: SourceId, outbox: &mut impl Outbox) {
        let source = &self.sources[key.0];
        match source.origin {
            // Before its first packet an encoder has yet to make its first key frame.
            Origin::Peer { .. } if source.ssrc == 0 => return,
            Origin::Peer { peer, .. } => {
                self.bytes.clear();
                crate::rtcp::key_frame_request(&mut self.bytes, source.ssrc);
                outbox.control(peer, &self.bytes);
            }
            Origin::Backbone => outbox.key_frame_wanted(key),
        }
        self.stats.key_frame_requests_sent += 1;
    }
}

/// Copies what describes the media.
fn copy_extensions(ids: &ExtensionIds, header: &Header, packet: &[u8], block: &mut ExtensionBlock) {
    for (extension, value) in header.extensions(packet) {
        if extension.is_end_to_end()
            && let Some(id) = ids.id(extension)
        {
            block.push(id, value);
        }
    }
}

/// Adds the next transport-wide sequence number.
fn number_transport(ids: &ExtensionIds, sequence: &mut u16, block: &mut ExtensionBlock) {
    if let Some(id) = ids.id(Extension::TransportCc) {
        *sequence = sequence.wrapping_add(1);
        block.push(id, &sequence.to_be_bytes());
    }
}
