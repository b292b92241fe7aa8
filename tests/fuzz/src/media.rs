//! RTP, RTCP and what is in payloads.

use sluice_sfu::codec::Codec;
use sluice_sfu::layer::dependency::{self, Indication, Structure};
use sluice_sfu::layer::{Counters, Layer, Unit};
use sluice_sfu::red;
use sluice_sfu::rtcp::{Control, controls, key_frame_request, nack, sender_report};
use sluice_sfu::rtp::{ExtensionBlock, ExtensionIds, Header, OUTGOING_OVERHEAD_MAX, Outgoing};

/// What is read of a packet is what is read of the same packet written anew.
pub(crate) fn rtp(data: &[u8]) {
    let ids = ExtensionIds::backbone();
    let Ok(header) = Header::parse(data, &ids) else {
        return;
    };
    let payload = header.payload(data);
    assert!(payload.len() + 12 <= data.len());
    let mut extensions = ExtensionBlock::default();
    let mut kept = Vec::new();
    for (extension, value) in header.extensions(data) {
        let id = ids.id(extension).expect("it was found by its id");
        if extensions.push(id, value).is_some() {
            kept.push((extension, value));
        }
    }
    let outgoing = Outgoing {
        marker: header.marker,
        payload_type: header.payload_type,
        index: u64::from(header.sequence),
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        extensions: &extensions,
        original_sequence: None,
        payload,
        counters: Counters::default(),
        padding: (payload.len() % 5) as u8,
    };
    let mut buffer = vec![0xaa; OUTGOING_OVERHEAD_MAX + payload.len() + 4];
    let (start, end) = outgoing.write(&mut buffer).expect("there is room");
    let written = &buffer[..end];
    let again = match Header::parse(written, &ids) {
        Ok(again) => again,
        // Positions have 16 bits; no datagram is as long.
        Err(_) if end > usize::from(u16::MAX) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(sluice_sfu::rtp::header_bytes(written), Ok(start));
    assert_eq!(again.payload(written), payload);
    assert_eq!(
        (
            again.marker,
            again.payload_type,
            again.sequence,
            again.timestamp,
            again.ssrc
        ),
        (
            header.marker,
            header.payload_type,
            header.sequence,
            header.timestamp,
            header.ssrc
        )
    );
    let found: Vec<_> = again.extensions(written).collect();
    assert_eq!(found, kept);

    let mut repair = header;
    if let Some(sequence) = repair.take_original_sequence(data) {
        assert_eq!(repair.payload(data).len() + 2, payload.len());
        assert_eq!(payload[..2], sequence.to_be_bytes());
    }
}

/// What is read keeps its bounds, and what can be written is read as it was.
pub(crate) fn rtcp(data: &[u8]) {
    let mut said = Vec::new();
    controls(data, |control| said.push(control));
    for control in said {
        let mut written = Vec::new();
        match control {
            Control::TransportFeedback(feedback) => {
                let mut expected = None;
                let mut count = 0usize;
                for status in feedback.packets() {
                    let sequence: u16 = status.sequence;
                    assert!(expected.is_none_or(|expected| expected == sequence));
                    expected = Some(sequence.wrapping_add(1));
                    count += 1;
                }
                assert!(count <= usize::from(feedback.count()));
                continue;
            }
            Control::Nack {
                ssrc,
                first,
                following,
            } => {
                let base = 1 << 20 | u64::from(first);
                let missing: Vec<_> = std::iter::once(base)
                    .chain(
                        (0..16)
                            .filter(|bit| following >> bit & 1 == 1)
                            .map(|bit| base + bit + 1),
                    )
                    .collect();
                nack(&mut written, ssrc, &missing);
            }
            Control::KeyFrameRequest { ssrc } => key_frame_request(&mut written, ssrc),
            Control::SenderReport { ssrc, clock } => {
                sender_report(&mut written, ssrc, clock, 1, 2);
            }
            Control::Reception { .. } | Control::Remb(_) => continue,
        }
        assert!(written.len().is_multiple_of(4));
        let mut again = Vec::new();
        controls(&written, |control| again.push(control));
        assert_eq!(again, [control]);
    }
}

/// The first byte says how long the first descriptor is; what follows it refers to the structure that
/// it brings.
pub(crate) fn descriptor(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let (first, second) = rest.split_at(usize::from(length).min(rest.len()));
    let known = dependency::read(first, None).and_then(|(_, structure)| structure);
    if let Some(structure) = &known {
        check_structure(structure);
    }
    for bytes in [first, second] {
        let Some((descriptor, brought)) = dependency::read(bytes, known.as_ref()) else {
            continue;
        };
        assert_eq!(descriptor.frame.to_be_bytes(), bytes[1..3]);
        assert_eq!(
            (descriptor.begins, descriptor.ends),
            (bytes[0] & 0x80 != 0, bytes[0] & 0x40 != 0)
        );
        assert!(descriptor.references.iter().all(|distance| distance >= 1));
        let structure = brought.as_ref().or(known.as_ref()).expect("one was needed");
        check_structure(structure);
        assert!(descriptor.layer.spatial < structure.spatial_layers());
        for target in structure.targets().len()..32 {
            assert_eq!(
                descriptor.indications.of(target as u8),
                Indication::NotPresent,
                "of a target that there is not"
            );
        }
    }
}

fn check_structure(structure: &Structure) {
    let targets = structure.targets();
    assert!((1..=32).contains(&targets.len()));
    assert!(structure.resolutions().len() <= usize::from(structure.spatial_layers()));
    for wish in targets {
        assert!(wish.spatial < structure.spatial_layers());
        let found = structure.target_for(*wish, u32::MAX).expect("it is one");
        assert!(targets[usize::from(found)] >= *wish);
        assert_eq!(structure.target_for(*wish, 0), None);
    }
    let highest = Layer {
        spatial: u8::MAX,
        temporal: u8::MAX,
    };
    assert!(structure.target_for(highest, u32::MAX).is_some());
}

/// The first byte chooses the codec. Whatever counts pictures is within the payload, and written over
/// is read as it was written.
pub(crate) fn payload(data: &[u8]) {
    let Some((&choice, payload)) = data.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(choice) % Codec::ALL.len()];
    let unit = Unit::read(codec, payload);
    assert!(
        !unit.key_frame || unit.begins,
        "a key frame that does not begin"
    );
    let mut wanted = unit.counters;
    if let Some(id) = &mut wanted.picture_id {
        assert!(usize::from(id.at) + usize::from(id.wide) < payload.len());
        id.value = id.value.wrapping_add(1) & if id.wide { 0x7fff } else { 0x7f };
    }
    if let Some((at, value)) = &mut wanted.base_layer_index {
        assert!(usize::from(*at) < payload.len());
        *value = value.wrapping_add(1);
    }
    let outgoing = Outgoing {
        marker: false,
        payload_type: 96,
        index: 1,
        timestamp: 0,
        ssrc: 1,
        extensions: &ExtensionBlock::default(),
        original_sequence: None,
        payload,
        counters: wanted,
        padding: 0,
    };
    let mut buffer = vec![0; OUTGOING_OVERHEAD_MAX + payload.len()];
    let (start, end) = outgoing.write(&mut buffer).expect("there is room");
    let again = Unit::read(codec, &buffer[start..end]);
    assert_eq!(
        again,
        Unit {
            counters: wanted,
            ..unit
        }
    );
}

/// Renumbered redundant audio has the same blocks, and the newest is at its end.
pub(crate) fn red(data: &[u8]) {
    let newest = red::primary(data);
    assert!(newest.is_none_or(|newest| data.ends_with(newest)));
    let mut buffer = [0; red::PAYLOAD_BYTES_MAX];
    let Some(renumbered) = red::renumbered(data, 111, &mut buffer) else {
        return;
    };
    assert_eq!(renumbered.len(), data.len());
    assert_eq!(red::primary(renumbered), newest);
    let mut again = [0; red::PAYLOAD_BYTES_MAX];
    assert_eq!(
        red::renumbered(renumbered, 111, &mut again),
        Some(renumbered)
    );
}
