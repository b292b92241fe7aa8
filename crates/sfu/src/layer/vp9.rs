//! VP9 payload descriptors (RFC 9628, section 4.2).

use super::vp8::{base_layer_index, picture_id};
use super::{Layer, Unit};

/// The most reference differences in flexible mode (RFC 9628, section 4.2).
const REFERENCES_MAX: usize = 3;

pub(super) fn read(payload: &[u8]) -> Option<Unit> {
    let first = *payload.first()?;
    let flag = |bit: u8| first & bit != 0;
    let (has_id, predicted, has_layer, flexible) = (flag(0x80), flag(0x40), flag(0x20), flag(0x10));
    let (begins, ends, has_structure) = (flag(0x08), flag(0x04), flag(0x02));
    let mut at = 1;
    let mut unit = Unit {
        begins,
        ends,
        ..Unit::default()
    };
    if has_id {
        unit.counters.picture_id = Some(picture_id(payload, &mut at)?);
    }
    let mut inter_layer = false;
    if has_layer {
        let byte = *payload.get(at)?;
        at += 1;
        unit.layer = Layer {
            temporal: byte >> 5,
            spatial: byte >> 1 & 7,
        };
        unit.temporal_switch = byte & 0x10 != 0;
        inter_layer = byte & 1 != 0;
        if !flexible {
            unit.counters.base_layer_index = Some(base_layer_index(payload, &mut at)?);
        }
    }
    if flexible && predicted {
        for _ in 0..REFERENCES_MAX {
            let more = *payload.get(at)? & 1 != 0;
            at += 1;
            if !more {
                break;
            }
        }
    }
    if has_structure {
        unit.size = largest_size(payload.get(at..)?);
    }
    // A picture that no earlier one predicts, at the lowest spatial layer, starts everything anew.
    unit.key_frame = begins && !predicted && unit.layer.spatial == 0 && !inter_layer;
    // What earlier pictures do not predict can be decoded from the layers below alone.
    unit.spatial_switch = begins && !predicted;
    unit.temporal_switch |= unit.key_frame;
    Some(unit)
}

/// The largest size in a scalability structure.
fn largest_size(structure: &[u8]) -> Option<(u16, u16)> {
    let first = *structure.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let layers = usize::from(first >> 5) + 1;
    let last = structure.get(1 + (layers - 1) * 4..1 + layers * 4)?;
    Some((
        u16::from_be_bytes([last[0], last[1]]),
        u16::from_be_bytes([last[2], last[3]]),
    ))
}
