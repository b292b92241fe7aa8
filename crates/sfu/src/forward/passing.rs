//! From a source to one sink.

use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::encoding::{Encoding, Passing};
use super::incoming::place;
use super::selection::Verdict;
use super::sent::SentPacket;
use super::{Drop, Forwarder, Outbox, PeerId, SinkId, Target};
use crate::codec::{Codec, PayloadTypes};
use crate::layer::Counters;
use crate::red;
use crate::rtp::{Extension, ExtensionBlock, ExtensionIds, Header, Outgoing};

/// Timestamps of two encodings that differ by more than this, in seconds, do not belong to one
/// another; then the time of arrival counts.
const ALIGNED_WITHIN_S: u32 = 3;

/// A publisher's packet, and what to write over its payload's counters.
pub(super) struct Written<'a> {
    pub(super) codec: Codec,
    pub(super) header: &'a Header,
    pub(super) packet: &'a [u8],
    pub(super) counters: Counters,
}

/// Payloads of pictures are padded to a multiple of this many bytes. Encoders cut a picture into packets
/// that differ by a byte, and the kernel sends a run of equal ones at once (UDP GSO).
const EVEN: usize = 16;

/// A picture of less is one packet, which has nothing to be equal to. In bytes.
const UNEVEN_MAX: usize = 400;

/// No payload is made longer than this: with header, extensions and tag it crosses where the path's MTU is
/// the least that IPv6 allows, 1,280 bytes (RFC 8200, section 5). In bytes.
const EVEN_MAX: usize = 1_168;

/// The padding that evens a payload out.
fn evening(codec: Codec, payload: usize) -> u8 {
    let evened = payload.next_multiple_of(EVEN);
    if codec.kind() == MediaKind::Audio || payload < UNEVEN_MAX || evened > EVEN_MAX {
        return 0;
    }
    // Less than EVEN.
    (evened - payload) as u8
}

impl Forwarder {
    /// Sends one packet to one sink.
    pub(super) fn pass(
        &mut self,
        now: Time,
        key: SinkId,
        passing: &Passing<'_>,
        outbox: &mut impl Outbox,
    ) {
        match self.sinks[key.0].target {
            Target::Link(_) => self.pass_on(key, passing, outbox),
            Target::Peer { peer, .. } => self.pass_to(now, key, peer, passing, outbox),
        }
    }

    /// To another edge: as it came, so that whichever way a packet takes, its number is the same.
    fn pass_on(&mut self, key: SinkId, passing: &Passing<'_>, outbox: &mut impl Outbox) {
        let sink = &mut self.sinks[key.0];
        let Target::Link(link) = sink.target else {
            return;
        };
        let source = &self.sources[sink.source.0];
        if !sink.layers.has(passing.encoding.0) || !source.voice.audible {
            return;
        }
        let kind = passing.codec.kind();
        let mut extensions = ExtensionBlock::default();
        let mut payload = passing.header.payload(passing.packet);
        let encoding = &source.encodings[passing.encoding.index()];
        let structure = encoding.structure.as_ref();
        let wanted = kind == MediaKind::Audio
            || sink.layers.has_whole(passing.encoding.0)
            || !payload.is_empty()
                && sink.wants(
                    passing,
                    structure.map(|structure| (structure, encoding.active_targets)),
                );
        if let Some(left_out) = sink.left_out.get_mut(passing.encoding.index()) {
            let before = if wanted {
                left_out.pass(passing)
            } else if let Some(packets) = left_out.leave_out(passing) {
                // It came late: what told of those before it has left. Its number goes alone.
                payload = &[];
                (packets, 0)
            } else {
                return;
            };
            if let ((1.., _), Some(id)) = (before, self.backbone.extensions.id(Extension::LeftOut))
            {
                let _ = extensions.push(id, &[before.0, before.1]);
            }
        }
        if !payload.is_empty() {
            copy_extensions(
                &self.backbone.extensions,
                passing.header,
                passing.packet,
                None,
                &mut extensions,
            );
        }
        let mut buffer = None;
        let types = &self.backbone.payload_types;
        let Some((payload_type, payload)) = translated(types, passing.codec, payload, &mut buffer)
        else {
            return;
        };
        self.stats.relayed_out_packets[place(kind)] += 1;
        outbox.relay(
            link,
            kind,
            &Outgoing {
                marker: passing.header.marker,
                payload_type,
                index: passing.number,
                timestamp: passing.header.timestamp,
                ssrc: u32::from(passing.encoding.0),
                extensions: &extensions,
                original_sequence: None,
                payload,
                counters: Counters::default(),
                padding: 0,
            },
        );
    }

    /// To a participant: what it chose, with its own numbers.
    pub(super) fn pass_to(
        &mut self,
        now: Time,
        key: SinkId,
        peer: PeerId,
        passing: &Passing<'_>,
        outbox: &mut impl Outbox,
    ) {
        let sink = &mut self.sinks[key.0];
        let source = &self.sources[sink.source.0];
        let encoding = &source.encodings[passing.encoding.index()];
        let verdict = match source.kind {
            MediaKind::Audio if !source.voice.audible => Verdict::LeaveOut,
            MediaKind::Audio => Verdict::Pass {
                starts: sink.latest().is_none(),
            },
            // Padding is for the publisher's own path.
            MediaKind::Video if passing.header.payload(passing.packet).is_empty() => {
                match sink.current() {
                    Some(current) if current.encoding == passing.encoding => Verdict::LeaveOut,
                    _ => Verdict::Foreign,
                }
            }
            MediaKind::Video => {
                let newest = sink.is_newest(passing);
                let structure = encoding.structure.as_ref();
                sink.selection.decide(
                    passing,
                    structure.map(|structure| (structure, encoding.active_targets)),
                    newest,
                )
            }
        };
        match verdict {
            Verdict::Foreign => return,
            Verdict::LeaveOut => {
                if let Some(filler) = sink.fill(passing) {
                    self.send_filler(now, key, &filler, passing.codec, outbox);
                }
                return;
            }
            Verdict::Pass { starts: false } => {}
            Verdict::Pass { starts: true } => {
                sink.waiting = None;
                let timestamp = match sink.latest() {
                    None => passing.header.timestamp,
                    Some((latest, at)) => {
                        let before = &source.encodings[latest.encoding.index()];
                        let offset = sink.timestamp_offset();
                        continued(now, passing, encoding, before, offset, (latest, at))
                    }
                };
                sink.start(passing, timestamp);
            }
        }
        let Some(sent) = sink.number(now, passing) else {
            return self.dropped(Drop::Duplicate);
        };
        if passing.codec.kind() == MediaKind::Video && self.has_to_wait(now, peer) {
            if self.give_up_what_waits(peer, key) {
                return;
            }
            self.wait(peer, key, sent.index);
        } else {
            let written = Written {
                codec: passing.codec,
                header: passing.header,
                packet: passing.packet,
                counters: sent.counters(&passing.unit.counters),
            };
            self.transmit(now, key, peer, &sent, &written, outbox);
        }
        if verdict == (Verdict::Pass { starts: true }) && passing.codec.kind() == MediaKind::Video {
            self.catch_up(now, key, peer, passing, outbox);
        }
    }

    /// Writes a packet for its sink and sends it.
    pub(super) fn transmit(
        &mut self,
        now: Time,
        key: SinkId,
        to: PeerId,
        sent: &SentPacket,
        written: &Written<'_>,
        outbox: &mut impl Outbox,
    ) {
        let &Written {
            codec,
            header,
            packet,
            counters,
        } = written;
        let sink = &mut self.sinks[key.0];
        let Target::Peer { ssrc, .. } = sink.target else {
            return;
        };
        let peer = &mut self.peers[to.0];
        let mut buffer = None;
        let payload = header.payload(packet);
        let Some((payload_type, payload)) =
            translated(&peer.formats.payload_types, codec, payload, &mut buffer)
        else {
            return self.dropped(Drop::NoCodec);
        };
        sink.packets = sink.packets.wrapping_add(1);
        sink.bytes = sink.bytes.wrapping_add(payload.len() as u32);
        let mut extensions = ExtensionBlock::default();
        let frame = Some(sent.frame);
        copy_extensions(
            &peer.formats.extensions,
            header,
            packet,
            frame,
            &mut extensions,
        );
        let padding = evening(codec, payload.len());
        peer.number_transport(now, payload.len() + usize::from(padding), &mut extensions);
        let kind = place(codec.kind());
        self.stats.forwarded_packets[kind] += 1;
        self.stats.forwarded_bytes[kind] += payload.len() as u64;
        outbox.media(
            to,
            &Outgoing {
                marker: sent.marker,
                payload_type,
                index: sent.index,
                timestamp: sent.timestamp,
                ssrc,
                extensions: &extensions,
                original_sequence: None,
                payload,
                counters,
                padding,
            },
        );
    }

    /// A packet that is left out came so late that its place is open: padding takes it, so that
    /// nobody asks for it.
    fn send_filler(
        &mut self,
        now: Time,
        key: SinkId,
        filler: &SentPacket,
        codec: Codec,
        outbox: &mut impl Outbox,
    ) {
        let Target::Peer { peer: to, ssrc, .. } = self.sinks[key.0].target else {
            return;
        };
        let peer = &mut self.peers[to.0];
        let Some(payload_type) = peer.formats.payload_types.of(codec) else {
            return;
        };
        let mut extensions = ExtensionBlock::default();
        peer.number_transport(now, 1, &mut extensions);
        outbox.media(
            to,
            &Outgoing {
                marker: false,
                payload_type,
                index: filler.index,
                timestamp: filler.timestamp,
                ssrc,
                extensions: &extensions,
                original_sequence: None,
                payload: &[],
                counters: Counters::default(),
                padding: 1,
            },
        );
    }
}

/// A payload as a receiver knows it: its type, and for redundant audio its blocks' types, or without
/// RED the newest block alone. `None` when the receiver cannot decode it.
fn translated<'a>(
    types: &PayloadTypes,
    codec: Codec,
    payload: &'a [u8],
    buffer: &'a mut MaybeRed,
) -> Option<(u8, &'a [u8])> {
    if codec != Codec::RedOpus {
        return Some((types.of(codec)?, payload));
    }
    let opus = types.of(Codec::Opus)?;
    match types.of(codec) {
        Some(red) => Some((
            red,
            red::renumbered(
                payload,
                opus,
                buffer.get_or_insert([0; red::PAYLOAD_BYTES_MAX]),
            )?,
        )),
        None => Some((opus, red::primary(payload)?)),
    }
}

/// Room for a payload of redundant audio, filled only when there is one.
type MaybeRed = Option<[u8; red::PAYLOAD_BYTES_MAX]>;

/// The timestamp of the first packet of another encoding, or of the same one after a pause: on the
/// common wall clock where both have told theirs (RFC 3550, section 6.4.1), else by the time of
/// arrival; always after the latest.
fn continued(
    now: Time,
    passing: &Passing<'_>,
    encoding: &Encoding,
    before: &Encoding,
    offset: u32,
    (latest, latest_at): (SentPacket, Time),
) -> u32 {
    let rate = passing.codec.clock_rate();
    let elapsed = now.since(latest_at).as_micros() as u64 * u64::from(rate) / 1_000_000;
    let by_arrival = latest.timestamp.wrapping_add(elapsed as u32);
    let by_clock = encoding
        .reception
        .same_moment(passing.header.timestamp, &before.reception, rate)
        .map(|timestamp| timestamp.wrapping_add(offset));
    let timestamp = by_clock
        .filter(|clock| {
            (clock.wrapping_sub(by_arrival) as i32).unsigned_abs() < rate * ALIGNED_WITHIN_S
        })
        .unwrap_or(by_arrival);
    if (timestamp.wrapping_sub(latest.timestamp) as i32) > 0 {
        timestamp
    } else {
        latest.timestamp.wrapping_add(1)
    }
}

/// Copies what describes the media; `frame` takes the place of the dependency descriptor's frame
/// number.
pub(super) fn copy_extensions(
    ids: &ExtensionIds,
    header: &Header,
    packet: &[u8],
    frame: Option<u16>,
    block: &mut ExtensionBlock,
) {
    if !header.describes_media() {
        return;
    }
    for (extension, value) in header.extensions(packet) {
        if !extension.is_end_to_end() {
            continue;
        }
        let Some(id) = ids.id(extension) else {
            continue;
        };
        if let (Extension::DependencyDescriptor, Some(frame), Some([_, high, low, ..])) =
            (extension, frame, block.push(id, value))
        {
            [*high, *low] = frame.to_be_bytes();
        }
    }
}
