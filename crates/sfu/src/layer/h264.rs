//! H.264 payloads (RFC 6184): where key frames begin.

use super::Unit;

/// Types of NAL units (RFC 6184, section 5.2 and 5.4).
mod nal {
    pub(super) const SEQUENCE_PARAMETERS: u8 = 7;
    pub(super) const SINGLE_TIME_AGGREGATE: u8 = 24;
    pub(super) const FRAGMENT: u8 = 28;
}

pub(super) fn read(payload: &[u8]) -> Unit {
    let key_frame = begins_key_frame(payload).unwrap_or(false);
    Unit {
        key_frame,
        begins: key_frame,
        temporal_switch: key_frame,
        ..Unit::default()
    }
}

/// Whether a key frame begins with this packet, which is where its parameter sets do: no decoder can
/// start with the picture after them, and they always go in the stream itself (RFC 7742, section
/// 6.2). The picture has their timestamp, and so is one frame with them.
fn begins_key_frame(payload: &[u8]) -> Option<bool> {
    let starts = |kind: u8| kind == nal::SEQUENCE_PARAMETERS;
    Some(match payload.first()? & 0x1f {
        nal::SINGLE_TIME_AGGREGATE => {
            let mut rest = &payload[1..];
            while let [high, low, tail @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if starts(tail.first()? & 0x1f) {
                    return Some(true);
                }
                rest = tail.get(length..)?;
            }
            false
        }
        nal::FRAGMENT => {
            let header = *payload.get(1)?;
            header & 0x80 != 0 && starts(header & 0x1f)
        }
        kind => starts(kind),
    })
}
