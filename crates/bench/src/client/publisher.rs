//! What a publisher sends: sound and pictures of which everything but the content is real.

use std::time::Duration;

use sluice_wire::srtp::{Srtp, TAG_BYTES_MAX};

use super::sdp::{OPUS, VP8};

/// The interval of sound packets, and what one carries.
pub(crate) const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_BYTES: usize = 80;

/// Pictures a second.
pub(crate) const FRAME_INTERVAL: Duration = Duration::from_micros(33_333);

/// Where in a payload the moment of sending is: behind the codec's headers.
pub(crate) const STAMP_AT: usize = 16;

/// Marks a payload that has a moment in it.
pub(crate) const MAGIC: [u8; 4] = *b"sl01";

/// What a publisher's camera sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Camera {
    /// RTP packets in each picture.
    pub packets_per_frame: usize,
    /// Bytes of each RTP packet, headers and tag included.
    pub packet_bytes: usize,
}

/// One RTP stream that goes out.
struct Stream {
    ssrc: u32,
    payload_type: u8,
    number: u64,
    timestamp: u32,
}

impl Stream {
    /// Writes and seals one packet; gives its length.
    fn seal(
        &mut self,
        srtp: &mut Srtp,
        buffer: &mut [u8],
        marker: bool,
        extensions: &[u8],
        payload: impl FnOnce(&mut [u8]) -> usize,
    ) -> Option<usize> {
        let [high, low] = (self.number as u16).to_be_bytes();
        let marker = u8::from(marker) << 7;
        buffer[..4].copy_from_slice(&[0x90, marker | self.payload_type, high, low]);
        buffer[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        buffer[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        // RFC 8285, section 4.2; the extensions fill whole words.
        let words = (extensions.len() / 4) as u8;
        buffer[12..16].copy_from_slice(&[0xbe, 0xde, 0, words]);
        let header = 16 + extensions.len();
        buffer[16..header].copy_from_slice(extensions);
        let end = buffer.len() - TAG_BYTES_MAX;
        let length = header + payload(&mut buffer[header..end]);
        let index = self.number;
        self.number += 1;
        srtp.sealer
            .seal(buffer, header, length, self.ssrc, index)
            .ok()
    }
}

/// A microphone and a camera.
pub(crate) struct Publisher {
    audio: Stream,
    video: Stream,
    camera: Camera,
    transport_sequence: u16,
    pub(crate) key_frame: bool,
}

impl Publisher {
    pub(crate) fn new((audio, video): (u32, u32), camera: Camera) -> Self {
        let stream = |ssrc, payload_type| Stream {
            ssrc,
            payload_type,
            number: 1_000,
            timestamp: ssrc,
        };
        Self {
            audio: stream(audio, OPUS),
            video: stream(video, VP8),
            camera,
            transport_sequence: 0,
            key_frame: true,
        }
    }

    fn extensions(&mut self, level: Option<u8>) -> [u8; 8] {
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        let [high, low] = self.transport_sequence.to_be_bytes();
        match level {
            Some(level) => [0x21, high, low, 0x10, level, 0, 0, 0],
            None => [0x21, high, low, 0, 0, 0, 0, 0],
        }
    }

    /// One packet of sound.
    pub(crate) fn sound(
        &mut self,
        srtp: &mut Srtp,
        micros: u64,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let extensions = self.extensions(Some(30));
        self.audio.timestamp = self.audio.timestamp.wrapping_add(960);
        self.audio
            .seal(srtp, buffer, false, &extensions, |payload| {
                payload[..AUDIO_BYTES].fill(0);
                stamp(payload, micros);
                AUDIO_BYTES
            })
    }

    /// Begins a picture.
    pub(crate) fn begin_frame(&mut self) {
        self.video.timestamp = self.video.timestamp.wrapping_add(3_000);
    }

    pub(crate) const fn packets_per_frame(&self) -> usize {
        self.camera.packets_per_frame
    }

    /// The `nth` packet of the picture (RFC 7741).
    pub(crate) fn picture(
        &mut self,
        srtp: &mut Srtp,
        nth: usize,
        micros: u64,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let extensions = self.extensions(None);
        let last = nth + 1 == self.camera.packets_per_frame;
        let key = self.key_frame;
        if last {
            self.key_frame = false;
        }
        let bytes = self.camera.packet_bytes;
        self.video.seal(srtp, buffer, last, &extensions, |payload| {
            let length = bytes.saturating_sub(24 + TAG_BYTES_MAX).max(STAMP_AT + 12);
            payload[..length].fill(0x5a);
            let start = if nth == 0 { 0x10 } else { 0 };
            // A key frame of 1,280 by 720 (RFC 6386, section 9.1), or an inter frame.
            let head = if nth == 0 && key {
                [start, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]
            } else {
                [start, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            };
            payload[..head.len()].copy_from_slice(&head);
            stamp(payload, micros);
            length
        })
    }
}

fn stamp(payload: &mut [u8], micros: u64) {
    payload[STAMP_AT..STAMP_AT + 4].copy_from_slice(&MAGIC);
    payload[STAMP_AT + 4..STAMP_AT + 12].copy_from_slice(&micros.to_be_bytes());
}
