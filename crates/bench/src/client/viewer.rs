//! What a viewer notes of what it receives. It looks at headers, which are in clear; decrypting
//! everything would cost more than the edge's work.

use std::time::Duration;

use sluice_sfu::rtp::{Extension, ExtensionIds, Header};
use sluice_types::sequence::{OnceWindow, Unroller};
use sluice_types::units::Time;
use sluice_wire::srtp::Srtp;

use super::publisher::{MAGIC, STAMP_AT};
use super::sdp::{OPUS, VP8};

/// One of so many packets is decrypted to see when it was sent.
const SAMPLE: u64 = 16;

/// The most delays that are kept of one stream.
const DELAYS_MAX: usize = 20_000;

/// How much longer than usual a gap between pictures is when it counts as a freeze (W3C
/// webrtc-stats, `freezeCount`): the longer of three times and 150 ms more.
const FREEZE_FACTOR: u32 = 3;
const FREEZE_MORE: Duration = Duration::from_millis(150);

/// What was noted of one stream.
#[derive(Debug, Clone)]
pub struct StreamReport {
    /// Its SSRC.
    pub ssrc: u32,
    /// Whether it is sound.
    pub audio: bool,
    /// Packets that came, repeated ones not counted.
    pub received: u64,
    /// Packets that did not, before any repair.
    pub lost: u64,
    /// Bytes of RTP that came.
    pub bytes: u64,
    /// Pictures that came.
    pub frames: u64,
    /// Freezes, and how long they took together.
    pub freezes: u32,
    /// See `freezes`.
    pub frozen: Duration,
    /// The longest time without a packet.
    pub gap: Duration,
    /// The longest time without anything that can be decoded: of pictures, after a loss, until what is
    /// missing has come, or the next key frame.
    pub blind: Duration,
    /// The longest stretch of the media itself, by its timestamps, of which nothing can be decoded.
    pub hole: Duration,
    /// Packets of sound, or of pictures, that can be decoded.
    pub good: u64,
    /// Delays from the publisher's system call to the viewer's, in microseconds.
    pub delays: Vec<u32>,
}

struct Stream {
    report: StreamReport,
    unroller: Unroller,
    seen: OnceWindow,
    first: u64,
    highest: u64,
    packets: u64,
    last_frame: Option<Time>,
    usual: Duration,
    last_packet: Option<Time>,
    /// When the last came that could be decoded, and its timestamp; and whether the next cannot.
    last_good: Option<(Time, u32)>,
    broken: bool,
    /// How many are missing since it cannot.
    missing: u64,
    /// The latest packet's timestamp.
    timestamp: u32,
}

impl Stream {
    /// Notes when a packet came that is later than all before.
    fn note(&mut self, now: Time, timestamp: u32, missing: u64, is_key: impl FnOnce() -> bool) {
        self.timestamp = timestamp;
        if let Some(before) = self.last_packet.replace(now) {
            self.report.gap = self.report.gap.max(now.since(before));
        }
        if missing > 0 && !self.report.audio {
            self.broken = true;
            self.missing += missing;
        }
        if self.broken && is_key() {
            self.broken = false;
            self.missing = 0;
        }
        if self.broken {
            return;
        }
        self.report.good += 1;
        if let Some((before, at)) = self.last_good.replace((now, timestamp)) {
            let per_ms = if self.report.audio { 48 } else { 90 };
            let hole = u64::from(timestamp.wrapping_sub(at)) / per_ms;
            self.report.blind = self.report.blind.max(now.since(before));
            self.report.hole = self.report.hole.max(Duration::from_millis(hole));
        }
    }

    /// Notes a packet that is not later than all before: perhaps the last one that was missing.
    fn note_late(&mut self, now: Time) {
        self.missing = self.missing.saturating_sub(1);
        if self.broken && self.missing == 0 {
            self.broken = false;
            if let Some((before, _)) = self.last_good.replace((now, self.timestamp)) {
                self.report.blind = self.report.blind.max(now.since(before));
            }
        }
    }
}

/// Everything that one viewer notes.
pub(crate) struct Viewer {
    ids: ExtensionIds,
    streams: Vec<Stream>,
    latest: usize,
    /// Arrivals since the last feedback.
    arrivals: Vec<(u64, Time)>,
    transport: Unroller,
    feedbacks: u8,
    first_media: Option<Time>,
}

impl Viewer {
    pub(crate) fn new(ids: ExtensionIds) -> Self {
        Self {
            ids,
            streams: Vec::new(),
            latest: 0,
            arrivals: Vec::new(),
            transport: Unroller::default(),
            feedbacks: 0,
            first_media: None,
        }
    }

    /// When the first picture was whole.
    pub(crate) const fn first_media(&self) -> Option<Time> {
        self.first_media
    }

    /// Forgets everything but which packets came, to measure from now on.
    pub(crate) fn begin(&mut self) {
        for stream in &mut self.streams {
            stream.first = stream.highest + 1;
            stream.packets = 0;
            let StreamReport { ssrc, audio, .. } = stream.report;
            stream.report = empty(ssrc, audio);
        }
    }

    pub(crate) fn reports(&self) -> Vec<StreamReport> {
        self.streams
            .iter()
            .map(|stream| {
                let mut report = stream.report.clone();
                let expected = (stream.highest + 1).saturating_sub(stream.first);
                report.lost = expected.saturating_sub(report.received);
                report
            })
            .collect()
    }

    /// An SRTP packet came.
    pub(crate) fn receive(&mut self, now: Time, packet: &mut [u8], srtp: &mut Srtp) {
        let Some(header) = sealed_header(packet, &self.ids) else {
            return;
        };
        if let Some(&[high, low]) = header.extension(packet, Extension::TransportCc) {
            let number = self.transport.unroll(u16::from_be_bytes([high, low]));
            self.arrivals.push((number, now));
        }
        let audio = match header.payload_type {
            OPUS => true,
            VP8 => false,
            // Retransmissions and probes.
            _ => return,
        };
        let place = self.place(header.ssrc, header.sequence, audio);
        let stream = &mut self.streams[place];
        let number = stream.unroller.unroll(header.sequence);
        if !stream.seen.first_time(number) {
            return;
        }
        let mut opened = false;
        if number >= stream.highest {
            let missing = number.saturating_sub(stream.highest + 1);
            stream.note(now, header.timestamp, missing, || {
                opened = true;
                begins_key_frame(packet, srtp)
            });
        } else {
            stream.note_late(now);
        }
        stream.highest = stream.highest.max(number);
        if number < stream.first {
            return;
        }
        stream.packets += 1;
        stream.report.received += 1;
        stream.report.bytes += packet.len() as u64;
        if header.marker && !audio {
            stream.report.frames += 1;
            self.first_media.get_or_insert(now);
            if let Some(before) = stream.last_frame {
                let gap = now.since(before);
                let limit = (stream.usual * FREEZE_FACTOR).max(stream.usual + FREEZE_MORE);
                if stream.usual > Duration::ZERO && gap > limit {
                    stream.report.freezes += 1;
                    stream.report.frozen += gap;
                }
                stream.usual = if stream.usual > Duration::ZERO {
                    (stream.usual * 15 + gap) / 16
                } else {
                    gap
                };
            }
            stream.last_frame = Some(now);
        }
        if !opened
            && stream.packets.is_multiple_of(SAMPLE)
            && stream.report.delays.len() < DELAYS_MAX
            && let Some(sent) = sent_at(packet, srtp)
        {
            let delay = now.as_micros().saturating_sub(sent);
            stream
                .report
                .delays
                .push(u32::try_from(delay).unwrap_or(u32::MAX));
        }
    }

    fn place(&mut self, ssrc: u32, sequence: u16, audio: bool) -> usize {
        let matches = |stream: &Stream| stream.report.ssrc == ssrc;
        if self.streams.get(self.latest).is_some_and(matches) {
            return self.latest;
        }
        self.latest = match self.streams.iter().position(matches) {
            Some(place) => place,
            None => {
                let mut unroller = Unroller::default();
                let first = unroller.unroll(sequence);
                self.streams.push(Stream {
                    report: empty(ssrc, audio),
                    unroller,
                    seen: OnceWindow::default(),
                    first,
                    highest: first,
                    packets: 0,
                    last_frame: None,
                    usual: Duration::ZERO,
                    last_packet: None,
                    last_good: None,
                    broken: false,
                    missing: 0,
                    timestamp: 0,
                });
                self.streams.len() - 1
            }
        };
        self.latest
    }

    /// The feedback that is due, one packet at a time
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01), and requests for key frames of what cannot
    /// be decoded.
    pub(crate) fn feedback(&mut self, buffer: &mut Vec<u8>, mut send: impl FnMut(&[u8])) {
        self.arrivals.sort_unstable();
        self.arrivals.dedup_by_key(|&mut (number, _)| number);
        let mut rest = &self.arrivals[..];
        while !rest.is_empty() {
            buffer.clear();
            let told = sluice_sfu::rtcp::transport_feedback(buffer, 0, self.feedbacks, rest).max(1);
            self.feedbacks = self.feedbacks.wrapping_add(1);
            send(buffer);
            rest = &rest[told..];
        }
        self.arrivals.clear();
        for stream in self.streams.iter().filter(|stream| stream.broken) {
            buffer.clear();
            sluice_sfu::rtcp::key_frame_request(buffer, stream.report.ssrc);
            send(buffer);
        }
    }
}

fn empty(ssrc: u32, audio: bool) -> StreamReport {
    StreamReport {
        ssrc,
        audio,
        received: 0,
        lost: 0,
        bytes: 0,
        frames: 0,
        freezes: 0,
        frozen: Duration::ZERO,
        gap: Duration::ZERO,
        blind: Duration::ZERO,
        hole: Duration::ZERO,
        good: 0,
        delays: Vec::new(),
    }
}

/// The header of a packet whose payload is still sealed, so that nobody knows how long its padding is.
fn sealed_header(packet: &mut [u8], ids: &ExtensionIds) -> Option<Header> {
    /// RFC 3550, section 5.1.
    const PADDED: u8 = 0x20;
    let first = *packet.first()?;
    packet[0] &= !PADDED;
    let header = Header::parse(packet, ids).ok();
    packet[0] = first;
    header
}

/// Whether a packet is the first of a key frame (RFC 7741, section 4), as publishers write them.
/// Decrypts it.
fn begins_key_frame(packet: &mut [u8], srtp: &mut Srtp) -> bool {
    let payload = srtp.opener.open(packet).ok().and_then(|length| {
        let header = sluice_sfu::rtp::header_bytes(packet).ok()?;
        packet.get(header..length)
    });
    matches!(payload, Some([descriptor, tag, ..]) if descriptor & 0x90 == 0x10 && tag & 1 == 0)
}

/// When a packet was sent, in microseconds of the engine's clock.
fn sent_at(packet: &mut [u8], srtp: &mut Srtp) -> Option<u64> {
    let length = srtp.opener.open(packet).ok()?;
    let header = sluice_sfu::rtp::header_bytes(packet).ok()?;
    let stamp = packet[header..length].get(STAMP_AT..STAMP_AT + 12)?;
    let micros = stamp.strip_prefix(&MAGIC)?;
    Some(u64::from_be_bytes(micros.try_into().ok()?))
}
