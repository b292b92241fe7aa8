//! AV1 payloads (the AV1 RTP specification, section 4.4): where a coded video sequence begins.

use super::Unit;

/// The bit of the aggregation header that says that a coded video sequence begins.
const NEW_SEQUENCE: u8 = 0x08;

pub(super) fn read(payload: &[u8]) -> Unit {
    let key_frame = payload
        .first()
        .is_some_and(|first| first & NEW_SEQUENCE != 0);
    Unit {
        key_frame,
        begins: key_frame,
        temporal_switch: key_frame,
        ..Unit::default()
    }
}
