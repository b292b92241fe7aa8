//! A client that sends encodings that were made beforehand, and answers requests for packets.

use std::collections::BTreeMap;

use sluice_sfu::layer;
use sluice_sfu::rtcp::{NtpTime, SenderClock, sender_report};
use sluice_sfu::rtp::{Extension, ExtensionBlock, OUTGOING_OVERHEAD_MAX, Outgoing};

use crate::descriptor::{Place, Structure};
use crate::packetize::{Counters, Parameters, payloads};
use crate::{Format, Frame};

/// The payload types of media and of retransmissions.
pub const PAYLOAD_TYPE: u8 = 96;
/// The payload type of retransmissions.
pub const REPAIR_TYPE: u8 = 97;

/// The first encoding's SSRC; the others' follow. Retransmissions have a hundred more.
pub const FIRST_SSRC: u32 = 1_000;

/// Ticks of the RTP clock between two pictures.
pub const TICKS: u32 = 3_000;

/// The longest payload, in bytes: short, so that small pictures take several packets.
const PAYLOAD_BYTES_MAX: usize = 700;

/// One encoding.
#[derive(Debug)]
struct Encoding {
    frames: Vec<Frame>,
    size: (u16, u16),
    sequence: u16,
    repair_sequence: u16,
    picture_id: u16,
    base_layer_index: u8,
    frame: u16,
    since_key: usize,
    sent: BTreeMap<u16, Vec<u8>>,
}

/// What is sent, and how.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// The codec.
    pub format: Format,
    /// Whether packets have dependency descriptors.
    pub descriptors: bool,
    /// How H.264's parameter sets go.
    pub parameters: Parameters,
}

/// See the module.
#[derive(Debug)]
pub struct Publisher {
    manner: Manner,
    encodings: Vec<Encoding>,
    transport_sequence: u16,
}

/// An encoding's timestamp of a picture: each has its own start, and the first soon wraps.
#[must_use]
pub const fn timestamp(encoding: usize, picture: usize) -> u32 {
    let start = (u32::MAX - 40 * TICKS).wrapping_add(encoding as u32 * 1_000_000_007);
    start.wrapping_add(picture as u32 * TICKS)
}

impl Publisher {
    /// A client with these encodings, the lowest first. All numbers are about to wrap.
    #[must_use]
    pub fn new(manner: Manner, encodings: &[((u16, u16), Vec<Frame>)]) -> Self {
        let encodings = (0u16..)
            .zip(encodings)
            .map(|(place, (size, frames))| Encoding {
                frames: frames.clone(),
                size: *size,
                sequence: 65_500 - place * 97,
                repair_sequence: 9,
                picture_id: 32_750 - place,
                base_layer_index: 250 - place as u8,
                frame: 65_520 - place,
                since_key: 0,
                sent: BTreeMap::new(),
            })
            .collect();
        Self {
            manner,
            encodings,
            transport_sequence: 65_000,
        }
    }

    /// The packets of one picture in all encodings.
    pub fn picture(&mut self, picture: usize) -> Vec<Vec<u8>> {
        (0..self.encodings.len())
            .flat_map(|place| self.encoded(place, picture))
            .collect()
    }

    fn encoded(&mut self, place: usize, picture: usize) -> Vec<Vec<u8>> {
        let Manner {
            format,
            descriptors,
            parameters,
        } = self.manner;
        let encoding = &mut self.encodings[place];
        let Some(frame) = encoding.frames.get(picture) else {
            return Vec::new();
        };
        encoding.since_key = if frame.key { 0 } else { encoding.since_key + 1 };
        encoding.picture_id = (encoding.picture_id + 1) & 0x7fff;
        encoding.frame = encoding.frame.wrapping_add(1);
        if frame.temporal == 0 {
            encoding.base_layer_index = encoding.base_layer_index.wrapping_add(1);
        }
        let counters = Counters {
            picture_id: encoding.picture_id,
            base_layer_index: encoding.base_layer_index,
            since_key: encoding.since_key,
            size: encoding.size,
        };
        let payloads = payloads(format, frame, &counters, parameters, PAYLOAD_BYTES_MAX);
        let structure = match format {
            Format::Vp8 | Format::Vp9 => Structure::Three,
            Format::H264 | Format::Av1 => Structure::Single,
        };
        let last = payloads.len() - 1;
        payloads
            .iter()
            .enumerate()
            .map(|(n, payload)| {
                let mut extensions = ExtensionBlock::default();
                self.transport_sequence = self.transport_sequence.wrapping_add(1);
                extensions.push(
                    Extension::TransportCc as u8,
                    &self.transport_sequence.to_be_bytes(),
                );
                if descriptors {
                    let descriptor = structure.write(&Place {
                        begins: n == 0,
                        ends: n == last,
                        frame: encoding.frame,
                        since_key: encoding.since_key,
                        size: encoding.size,
                    });
                    extensions.push(Extension::DependencyDescriptor as u8, &descriptor);
                }
                encoding.sequence = encoding.sequence.wrapping_add(1);
                let packet = write(&Outgoing {
                    marker: n == last,
                    payload_type: PAYLOAD_TYPE,
                    index: u64::from(encoding.sequence),
                    timestamp: timestamp(place, picture),
                    ssrc: FIRST_SSRC + place as u32,
                    extensions: &extensions,
                    original_sequence: None,
                    payload,
                    counters: layer::Counters::default(),
                    padding: 0,
                });
                encoding.sent.insert(encoding.sequence, packet.clone());
                packet
            })
            .collect()
    }

    /// The retransmission of a packet (RFC 4588).
    pub fn again(&mut self, ssrc: u32, sequence: u16) -> Option<Vec<u8>> {
        let place = ssrc.checked_sub(FIRST_SSRC)? as usize;
        let encoding = self.encodings.get_mut(place)?;
        let packet = encoding.sent.get(&sequence)?;
        let header = sluice_sfu::rtp::header_bytes(packet).ok()?;
        encoding.repair_sequence = encoding.repair_sequence.wrapping_add(1);
        let mut repair = packet[..header].to_vec();
        repair[1] = repair[1] & 0x80 | REPAIR_TYPE;
        repair[2..4].copy_from_slice(&encoding.repair_sequence.to_be_bytes());
        repair[8..12].copy_from_slice(&(ssrc + 100).to_be_bytes());
        repair.extend(sequence.to_be_bytes());
        repair.extend(&packet[header..]);
        Some(repair)
    }

    /// A sender report of each encoding at a picture.
    #[must_use]
    pub fn clocks(&self, picture: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        for place in 0..self.encodings.len() {
            let clock = SenderClock {
                ntp: NtpTime((1_000 << 32) + ((picture as u64) << 32) / 30),
                rtp: timestamp(place, picture),
            };
            sender_report(&mut packet, FIRST_SSRC + place as u32, clock, 1, 1);
        }
        packet
    }
}

fn write(packet: &Outgoing<'_>) -> Vec<u8> {
    let mut buffer = vec![0; OUTGOING_OVERHEAD_MAX + packet.payload.len()];
    let (_, end) = packet.write(&mut buffer).expect("there is room");
    buffer.truncate(end);
    buffer
}
