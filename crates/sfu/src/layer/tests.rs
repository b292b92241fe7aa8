use proptest::prelude::*;

use super::dependency::{Indication, read};
use super::*;

#[test]
fn a_vp8_key_frame_tells_its_size_and_counters() {
    // X S; I L T K; 15-bit picture id 0x1234; TL0PICIDX 7; TID 0 Y KEYIDX 3; key frame 640x360.
    let payload = [
        0x90, 0xf0, 0x92, 0x34, 7, 0x23, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1,
    ];
    let unit = Unit::read(Codec::Vp8, &payload);
    assert!(unit.key_frame && unit.begins);
    assert_eq!(unit.size, Some((640, 360)));
    let id = unit.counters.picture_id.expect("there");
    assert_eq!((id.at, id.value, id.wide), (2, 0x1234, true));
    assert_eq!(unit.counters.base_layer_index, Some((4, 7)));
}

#[test]
fn a_vp8_layer_says_where_to_switch() {
    let payload = [0x90, 0xa0, 0x05, 0xa0, 0x11, 0, 0];
    let unit = Unit::read(Codec::Vp8, &payload);
    assert!(!unit.key_frame && unit.begins && unit.temporal_switch);
    assert_eq!(unit.layer.temporal, 2);
    assert!(!unit.counters.picture_id.expect("there").wide);
}

#[test]
fn vp9_layers_begin_and_end_on_their_own() {
    // I L B; picture id 0x42; TID 1 U SID 2 D; TL0PICIDX 9.
    let unit = Unit::read(Codec::Vp9, &[0xe8, 0x42, 0x35, 9, 0]);
    assert_eq!(
        unit.layer,
        Layer {
            spatial: 2,
            temporal: 1
        }
    );
    assert!(unit.begins && !unit.ends && unit.temporal_switch && !unit.key_frame);
    assert!(!unit.spatial_switch, "an earlier picture predicts it");
    // The same without prediction from earlier pictures.
    let unit = Unit::read(Codec::Vp9, &[0xa8, 0x42, 0x05, 9, 0]);
    assert!(unit.spatial_switch && !unit.key_frame);
    let unit = Unit::read(Codec::Vp9, &[0xa8, 0x42, 0x00, 9, 0]);
    assert!(unit.key_frame);
}

#[test]
fn h264_key_frames_begin_with_their_parameters() {
    let key = |payload: &[u8]| Unit::read(Codec::H264ConstrainedBaseline, payload).key_frame;
    assert!(key(&[0x67, 1, 2]));
    assert!(key(&[0x18, 0, 2, 0x67, 1, 0, 1, 0x68]));
    assert!(key(&[0x7c, 0x87, 1]));
    assert!(!key(&[0x7c, 0x85, 1]), "a picture without its parameters");
    assert!(!key(&[0x65, 1]), "likewise");
    assert!(!key(&[0x41, 1]));
    assert!(!key(&[0x18, 0, 9, 0x41]));
}

/// A structure of two temporal layers and one spatial one, as encoders send it for L1T2.
fn l1t2() -> Vec<u8> {
    let mut bits = Vec::new();
    let mut put = |value: u32, count: usize| {
        bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    };
    // Mandatory: begins, ends, template 0, frame 5; then the structure alone.
    put(1, 1);
    put(1, 1);
    put(0, 6);
    put(5, 16);
    put(0b10000, 5);
    // Offset 0, two targets; templates T0 (key), T0, T1.
    put(0, 6);
    put(1, 5);
    for next in [0, 1, 3] {
        put(next, 2);
    }
    // Indications: switch, switch; switch, required; not present, discardable.
    for indication in [2, 2, 2, 3, 0, 1] {
        put(indication, 2);
    }
    // References: none; 2 back; 1 back.
    put(0, 1);
    for distance in [1, 0] {
        put(1, 1);
        put(distance, 4);
        put(0, 1);
    }
    // One chain, which protects both (each in no bits), and each template's distance.
    put(0b10, 2);
    for distance in [0, 2, 1] {
        put(distance, 4);
    }
    // 1,280 by 720.
    put(1, 1);
    put(1_279, 16);
    put(719, 16);
    while bits.len() % 8 != 0 {
        bits.push(false);
    }
    bits.chunks(8)
        .map(|byte| byte.iter().fold(0, |sum, &bit| sum << 1 | u8::from(bit)))
        .collect()
}

#[test]
fn a_structure_serves_the_descriptors_after_it() {
    let (descriptor, structure) = read(&l1t2(), None).expect("readable");
    let structure = structure.expect("it brings one");
    assert_eq!((descriptor.frame, descriptor.active_targets), (5, Some(3)));
    assert_eq!(structure.resolutions(), [(1_280, 720)]);
    let temporal: Vec<_> = structure.targets().iter().map(|t| t.temporal).collect();
    assert_eq!(temporal, [0, 1]);
    assert_eq!(structure.target_for(Layer::default(), u32::MAX), Some(0));
    // Three bytes: template 2, frame 7.
    let (descriptor, _) = read(&[0xc2, 0, 7], Some(&structure)).expect("readable");
    assert_eq!(descriptor.layer.temporal, 1);
    assert_eq!(descriptor.indications.of(0), Indication::NotPresent);
    assert_eq!(descriptor.indications.of(1), Indication::Discardable);
    assert_eq!(descriptor.references.iter().collect::<Vec<_>>(), [1]);
    assert!(read(&[0xc2, 0, 7], None).is_none(), "no structure came");
    assert!(
        read(&[0xc5, 0, 7], Some(&structure)).is_none(),
        "no such template"
    );
}

proptest! {
    #[test]
    fn nothing_that_comes_from_the_network_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for codec in Codec::ALL {
            let unit = Unit::read(codec, &bytes);
            if let Some(id) = unit.counters.picture_id {
                prop_assert!(usize::from(id.at) + usize::from(id.wide) < bytes.len());
            }
            if let Some((at, _)) = unit.counters.base_layer_index {
                prop_assert!(usize::from(at) < bytes.len());
            }
        }
        let structure = read(&l1t2(), None).and_then(|(_, structure)| structure);
        let _ = read(&bytes, structure.as_ref());
        let _ = read(&bytes, None);
    }
}
