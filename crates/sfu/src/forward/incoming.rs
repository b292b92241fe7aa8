//! RTP that comes in: which encoding of which track it is, and whether it is new.

use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::encoding::{EncodingId, Passing};
use super::{Drop, Forwarder, Label, Origin, Outbox, PeerId, SourceId, Stream};
use crate::codec::{Codec, Payload};
use crate::layer::Unit;
use crate::rtp::{Extension, ExtensionIds, FIXED_HEADER_BYTES, Header};

/// The most streams that one participant may send: its tracks' encodings, and their retransmissions.
const STREAMS_MAX: usize = 32;

/// The most SSRCs whose labels are remembered; the oldest gives way.
const LABELS_MAX: usize = 2 * STREAMS_MAX;

/// Which place a kind has in [`super::Stats`].
pub(super) const fn place(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Audio => 0,
        MediaKind::Video => 1,
    }
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
        let Some(stream) = self.stream(from, &header, packet) else {
            return self.dropped(Drop::UnknownSource);
        };
        let kind = place(self.sources[stream.source.0].kind);
        self.stats.received_packets[kind] += 1;
        self.stats.received_bytes[kind] += packet.len() as u64;
        let codec = match payload {
            Some(Payload::Media(codec)) if !stream.repair => codec,
            Some(Payload::Retransmission(codec)) if stream.repair => {
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
        let (source, encoding) = (stream.source, stream.encoding);
        let original = !stream.repair;
        self.publish(
            now, source, encoding, codec, &header, packet, original, outbox,
        );
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
        let Some(encoding) = self.sources[source.0].relayed_encoding(header.ssrc) else {
            return self.dropped(Drop::UnknownSource);
        };
        self.stats.relayed_in_packets[place(kind)] += 1;
        match self.backbone.payload_types.payload(header.payload_type) {
            Some(Payload::Media(codec)) => {
                self.note_left_out(now, source, encoding, codec, &header, packet, outbox);
                self.publish(now, source, encoding, codec, &header, packet, true, outbox);
            }
            _ => self.dropped(Drop::UnknownPayloadType),
        }
    }

    /// The stream that a packet belongs to: by its SSRC, or for the first packet of a new SSRC by its
    /// m-line and encoding (RFC 8843, section 9.2; RFC 8852).
    fn stream(&mut self, from: PeerId, header: &Header, packet: &[u8]) -> Option<Stream> {
        let peer = &mut self.peers[from.0];
        let known = peer.streams.iter().find(|s| s.ssrc == header.ssrc).copied();
        if known.is_some() || peer.streams.len() >= STREAMS_MAX {
            return known;
        }
        let label = peer.labels.iter().find(|label| label.ssrc == header.ssrc);
        let mid = header
            .extension(packet, Extension::Mid)
            .or(label.map(|label| &*label.mid))?;
        let source = peer
            .mids
            .iter()
            .find_map(|(name, source)| (**name == *mid).then_some(*source))?;
        let repair = matches!(
            peer.formats.payload_types.payload(header.payload_type),
            Some(Payload::Retransmission(_))
        );
        let rid = header
            .extension(packet, Extension::RtpStreamId)
            .or_else(|| header.extension(packet, Extension::RepairedRtpStreamId))
            .or_else(|| label.and_then(|label| label.rid.as_deref()));
        let encodings = &self.sources[source.0].encodings;
        let place = match rid {
            Some(rid) => encodings
                .iter()
                .position(|e| e.rid.as_deref() == Some(rid))?,
            None if encodings.len() == 1 => 0,
            None => return None,
        };
        let label = Label {
            ssrc: header.ssrc,
            mid: mid.into(),
            rid: rid.map(Into::into),
        };
        peer.labels.retain(|label| label.ssrc != header.ssrc);
        if peer.labels.len() == LABELS_MAX {
            peer.labels.remove(0);
        }
        peer.labels.push(label);
        let stream = Stream {
            ssrc: header.ssrc,
            source,
            // Three at most.
            encoding: EncodingId(place as u8),
            repair,
        };
        peer.streams.push(stream);
        Some(stream)
    }

    /// A relay left out what nobody here wants just before this packet: everybody takes it for padding,
    /// so that nothing is waited for.
    #[expect(clippy::too_many_arguments, reason = "one step of the packet's way")]
    fn note_left_out(
        &mut self,
        now: Time,
        key: SourceId,
        at: EncodingId,
        codec: Codec,
        header: &Header,
        packet: &[u8],
        outbox: &mut impl Outbox,
    ) {
        let Some(&[packets, pictures]) = header.extension(packet, Extension::LeftOut) else {
            return;
        };
        self.pass_burst(now, outbox);
        let encoding = &mut self.sources[key.0].encodings[at.index()];
        if encoding.reception.highest().is_none() {
            return;
        }
        let picture = encoding.picture(codec, header, packet);
        for before in (1..=packets).rev() {
            let mut empty = [0; FIXED_HEADER_BYTES];
            let sequence = header.sequence.wrapping_sub(u16::from(before));
            empty[0] = 0x80;
            empty[2..4].copy_from_slice(&sequence.to_be_bytes());
            empty[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
            let Ok(left_out) = Header::parse(&empty, &ExtensionIds::NONE) else {
                return;
            };
            let encoding = &mut self.sources[key.0].encodings[at.index()];
            let arrival = encoding
                .reception
                .arrived(now, sequence, header.timestamp, false);
            if !encoding.seen.first_time(arrival.number) {
                continue;
            }
            let passing = Passing {
                encoding: at,
                number: arrival.number,
                codec,
                header: &left_out,
                packet: &empty,
                unit: Unit::default(),
                picture: picture
                    .filter(|_| before <= pictures)
                    .and_then(|picture| picture.checked_sub(u64::from(before))),
                dependency: None,
            };
            encoding.history.keep(now, &passing, &mut self.pool);
            self.pass_to_all(now, key, &passing, outbox);
        }
    }

    pub(super) fn pass_to_all(
        &mut self,
        now: Time,
        key: SourceId,
        passing: &Passing<'_>,
        outbox: &mut impl Outbox,
    ) {
        let mut next = 0;
        while let Some(&sink) = self.sources[key.0].sinks.get(next) {
            self.pass(now, sink, passing, outbox);
            next += 1;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of the packet's way")]
    fn publish(
        &mut self,
        now: Time,
        key: SourceId,
        at: EncodingId,
        codec: Codec,
        header: &Header,
        packet: &[u8],
        original: bool,
        outbox: &mut impl Outbox,
    ) {
        self.pass_burst_before(now, (key, at), header, packet, outbox);
        let source = &mut self.sources[key.0];
        let encoding = &mut source.encodings[at.index()];
        if original && matches!(source.origin, Origin::Peer { .. }) {
            encoding.ssrc = header.ssrc;
        }
        let arrival = encoding
            .reception
            .arrived(now, header.sequence, header.timestamp, original);
        if !encoding.seen.first_time(arrival.number) {
            return self.dropped(Drop::Duplicate);
        }
        encoding.last = Some(now);
        source.packets += 1;
        if source.packets == 1 {
            outbox.first_packet(key);
        }
        if let (MediaKind::Audio, Some(&[level, ..])) =
            (source.kind, header.extension(packet, Extension::AudioLevel))
        {
            source.voice.heard(level);
        }
        let passing = encoding.describe(at, arrival.number, codec, header, packet);
        encoding.history.keep(now, &passing, &mut self.pool);
        self.pass_in_burst(now, key, &passing, outbox);
        if arrival.beyond_repair {
            self.want_key_frame(now, key, at, outbox);
        }
    }
}
