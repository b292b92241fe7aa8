//! What only a hostile client sends.

use super::*;

/// A dependency structure of `layers` spatial layers of which none is told its size.
fn structure(layers: usize) -> Vec<u8> {
    let mut bits = String::from("11000000" /* begins, ends, the first template */);
    bits += "0000000000000101"; // The frame's number.
    bits += "10000"; // It brings a structure.
    bits += "00000000000"; // From template 0 on, one decode target.
    bits += &"10".repeat(layers - 1); // Each template is a spatial layer higher
    bits += "11"; // until the last.
    bits += &"10".repeat(layers); // Each is a switch for the target
    bits += &"0".repeat(layers); // and refers to nothing.
    bits += "00"; // No chains, no sizes.
    bits.as_bytes()
        .chunks(8)
        .map(|byte| (0..8).fold(0, |sum, n| sum << 1 | u8::from(byte.get(n) == Some(&b'1'))))
        .collect()
}

#[test]
fn more_spatial_layers_than_there_can_be_are_taken_for_the_most() {
    for layers in [1, 3, 17, 64] {
        let mut room = room();
        let mut with_descriptors = formats(PUBLISHER);
        with_descriptors
            .extensions
            .set(Extension::DependencyDescriptor, 9);
        room.forwarder.set_formats(room.publisher, with_descriptors);
        let mut extensions = ExtensionBlock::default();
        extensions.push(9, &structure(layers)).expect("it fits");
        let packet = bytes(&Outgoing {
            marker: true,
            payload_type: PUBLISHER + 1,
            index: 5,
            timestamp: 0,
            ssrc: 1,
            extensions: &extensions,
            original_sequence: None,
            payload: &key_frame(5),
            counters: Counters::default(),
            padding: 0,
        });
        room.forwarder
            .handle_media(Time::ZERO, room.publisher, &packet, &mut room.sent);
        room.forwarder
            .handle_timeout(Time::from_millis(200), &mut room.sent);
        assert_eq!(room.sent.media.len(), 1, "{layers} layers");
    }
}
