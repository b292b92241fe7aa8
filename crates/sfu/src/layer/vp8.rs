//! VP8 payload descriptors (RFC 7741, section 4.2).

use super::{Counters, Layer, PictureId, Unit};

/// The start code of a key frame (RFC 6386, section 9.1).
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

pub(super) fn read(payload: &[u8]) -> Option<Unit> {
    let first = *payload.first()?;
    let begins = first & 0x17 == 0x10;
    let mut at = 1;
    let mut unit = Unit {
        begins,
        ..Unit::default()
    };
    if first & 0x80 != 0 {
        let present = *payload.get(at)?;
        at += 1;
        unit.counters = counters(payload, &mut at, present & 0x80 != 0, present & 0x40 != 0)?;
        if present & 0x30 != 0 {
            let byte = *payload.get(at)?;
            at += 1;
            if present & 0x20 != 0 {
                unit.layer.temporal = byte >> 6;
                unit.temporal_switch = byte & 0x20 != 0;
            }
        }
    }
    if let (true, Some(frame)) = (begins, payload.get(at..))
        && frame.first()? & 1 == 0
    {
        unit.key_frame = true;
        unit.temporal_switch = true;
        unit.layer = Layer::default();
        unit.size = size(frame);
    }
    Some(unit)
}

/// Reads picture id and TL0PICIDX, which VP8 and VP9 write alike.
pub(super) fn counters(
    payload: &[u8],
    at: &mut usize,
    has_picture_id: bool,
    has_base_layer_index: bool,
) -> Option<Counters> {
    let mut counters = Counters::default();
    if has_picture_id {
        counters.picture_id = Some(picture_id(payload, at)?);
    }
    if has_base_layer_index {
        counters.base_layer_index = Some(base_layer_index(payload, at)?);
    }
    Some(counters)
}

/// Reads a picture id of one or two bytes.
pub(super) fn picture_id(payload: &[u8], at: &mut usize) -> Option<PictureId> {
    let high = *payload.get(*at)?;
    let wide = high & 0x80 != 0;
    let mut id = PictureId {
        // At most 3 bytes stand before it.
        at: *at as u8,
        value: u16::from(high & 0x7f),
        wide,
    };
    *at += 1;
    if wide {
        id.value = id.value << 8 | u16::from(*payload.get(*at)?);
        *at += 1;
    }
    Some(id)
}

/// Reads a TL0PICIDX.
pub(super) fn base_layer_index(payload: &[u8], at: &mut usize) -> Option<(u8, u8)> {
    let index = (*at as u8, *payload.get(*at)?);
    *at += 1;
    Some(index)
}

/// Width and height in a key frame's header (RFC 6386, section 9.1).
fn size(frame: &[u8]) -> Option<(u16, u16)> {
    if frame.get(3..6)? != START_CODE {
        return None;
    }
    let bytes = frame.get(6..10)?;
    let side = |low: u8, high: u8| u16::from_le_bytes([low, high]) & 0x3fff;
    Some((side(bytes[0], bytes[1]), side(bytes[2], bytes[3])))
}
