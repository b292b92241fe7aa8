//! Payloads of RTP, as browsers write them.

use crate::container::{SEQUENCE_HEADER, nal_units, open_units, write_leb128};
use crate::{Format, Frame, pieces};

/// What counts pictures.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    /// The picture id, of 15 bits.
    pub picture_id: u16,
    /// TL0PICIDX.
    pub base_layer_index: u8,
    /// Pictures since the latest key frame, 0 for itself.
    pub since_key: usize,
    /// Width and height.
    pub size: (u16, u16),
}

/// Ways to send the same H.264.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parameters {
    /// Parameter sets together in one packet (RFC 6184, section 5.7.1).
    #[default]
    Aggregated,
    /// Each in a packet of its own.
    Single,
}

/// The payloads of one picture, of at most `most` bytes each.
#[must_use]
pub fn payloads(
    format: Format,
    frame: &Frame,
    counters: &Counters,
    parameters: Parameters,
    most: usize,
) -> Vec<Vec<u8>> {
    match format {
        Format::Vp8 => vp8(frame, counters, most),
        Format::Vp9 => vp9(frame, counters, most),
        Format::H264 => h264(frame, parameters, most),
        Format::Av1 => av1(frame, most),
    }
}

/// Whether a receiver of the lower layers may take this picture in: the first of its layer after a
/// picture of the lowest refers to that alone.
fn syncs(frame: &Frame, since_key: usize) -> bool {
    frame.temporal > 0 && matches!(since_key % 4, 1 | 2)
}

/// RFC 7741, section 4.2.
fn vp8(frame: &Frame, counters: &Counters, most: usize) -> Vec<Vec<u8>> {
    let [high, low] = counters.picture_id.to_be_bytes();
    let layer = frame.temporal << 6 | u8::from(syncs(frame, counters.since_key)) << 5;
    pieces(frame.data.len(), most - 6)
        .map(|piece| {
            let first = if piece.start == 0 { 0x90 } else { 0x80 };
            let mut payload = vec![
                first,
                0xf0,
                high | 0x80,
                low,
                counters.base_layer_index,
                layer,
            ];
            payload.extend(&frame.data[piece]);
            payload
        })
        .collect()
}

/// RFC 9628, section 4.2, not flexible.
fn vp9(frame: &Frame, counters: &Counters, most: usize) -> Vec<Vec<u8>> {
    let [high, low] = counters.picture_id.to_be_bytes();
    let layer = frame.temporal << 5 | u8::from(syncs(frame, counters.since_key)) << 4;
    pieces(frame.data.len(), most - 10)
        .map(|piece| {
            let (begins, ends) = (piece.start == 0, piece.end == frame.data.len());
            let structure = begins && frame.key;
            // I, P, L, B, E, V, Z.
            let first = 0xa1
                | u8::from(!frame.key) << 6
                | u8::from(begins) << 3
                | u8::from(ends) << 2
                | u8::from(structure) << 1;
            let mut payload = vec![first, high | 0x80, low, layer, counters.base_layer_index];
            if structure {
                // One layer, and its size.
                payload.push(0x10);
                payload.extend(counters.size.0.to_be_bytes());
                payload.extend(counters.size.1.to_be_bytes());
            }
            payload.extend(&frame.data[piece]);
            payload
        })
        .collect()
}

/// RFC 6184, packetization mode 1.
fn h264(frame: &Frame, parameters: Parameters, most: usize) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    let mut aggregate = vec![0x78];
    for nal in nal_units(&frame.data) {
        let kind = nal[0] & 0x1f;
        // Sequence and picture parameters, and what says nothing of pictures.
        if matches!(kind, 6..=8) && parameters == Parameters::Aggregated && nal.len() + 3 < most {
            aggregate.extend((nal.len() as u16).to_be_bytes());
            aggregate.extend(nal);
            continue;
        }
        if aggregate.len() > 1 {
            payloads.push(std::mem::replace(&mut aggregate, vec![0x78]));
        }
        if nal.len() <= most {
            payloads.push(nal.to_vec());
            continue;
        }
        let body = &nal[1..];
        for piece in pieces(body.len(), most - 2) {
            let start = u8::from(piece.start == 0) << 7;
            let end = u8::from(piece.end == body.len()) << 6;
            let mut payload = vec![nal[0] & 0xe0 | 28, start | end | kind];
            payload.extend(&body[piece]);
            payloads.push(payload);
        }
    }
    payloads
}

/// The AV1 RTP specification, section 4.4: at most three elements a packet, so that their count says
/// which has no length.
fn av1(frame: &Frame, most: usize) -> Vec<Vec<u8>> {
    struct Packet {
        elements: Vec<Vec<u8>>,
        continues: bool,
        continued: bool,
    }
    let empty = |continues| Packet {
        elements: Vec::new(),
        continues,
        continued: false,
    };
    let room = |packet: &Packet| {
        let used: usize = packet
            .elements
            .iter()
            .map(|element| element.len() + 2)
            .sum();
        (most - 3).saturating_sub(used)
    };
    let units = open_units(&frame.data);
    let mut packets = vec![empty(false)];
    for unit in &units {
        let mut rest = &unit[..];
        while let Some(packet) = packets.last_mut() {
            let room = room(packet);
            if packet.elements.len() == 3 || room < 16 {
                packets.push(empty(false));
                continue;
            }
            let (piece, tail) = rest.split_at(rest.len().min(room));
            packet.elements.push(piece.to_vec());
            rest = tail;
            if rest.is_empty() {
                break;
            }
            packet.continued = true;
            packets.push(empty(true));
        }
    }
    let new_sequence = frame.key
        && units
            .iter()
            .any(|unit| unit[0] >> 3 & 0x0f == SEQUENCE_HEADER);
    packets
        .iter()
        .enumerate()
        .filter(|(_, packet)| !packet.elements.is_empty())
        .map(|(n, packet)| {
            let count = packet.elements.len();
            let mut payload = vec![
                u8::from(packet.continues) << 7
                    | u8::from(packet.continued) << 6
                    | (count as u8) << 4
                    | u8::from(new_sequence && n == 0) << 3,
            ];
            for (place, element) in packet.elements.iter().enumerate() {
                if place + 1 < count {
                    write_leb128(element.len(), &mut payload);
                }
                payload.extend(element);
            }
            payload
        })
        .collect()
}
