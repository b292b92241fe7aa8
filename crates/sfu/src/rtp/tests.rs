use proptest::prelude::*;

use super::*;

fn ids(pairs: &[(Extension, u8)]) -> ExtensionIds {
    let mut ids = ExtensionIds::NONE;
    for &(extension, id) in pairs {
        ids.set(extension, id);
    }
    ids
}

fn written(extensions: &[(u8, Vec<u8>)], payload: &[u8]) -> Vec<u8> {
    let mut block = ExtensionBlock::default();
    for (id, value) in extensions {
        block.push(*id, value);
    }
    let mut buffer = vec![0; 2_000];
    let (_, length) = Outgoing {
        marker: true,
        payload_type: 96,
        index: 0x1_0000_0007,
        timestamp: 90_000,
        ssrc: 0xdead_beef,
        extensions: &block,
        original_sequence: None,
        payload,
        counters: crate::layer::Counters::default(),
        padding: 0,
    }
    .write(&mut buffer)
    .expect("fits");
    buffer.truncate(length);
    buffer
}

#[test]
fn what_is_written_is_read() {
    let packet = written(&[(3, vec![0x80 | 17]), (5, vec![1, 2])], b"payload");
    let ids = ids(&[(Extension::AudioLevel, 3), (Extension::TransportCc, 5)]);
    let header = Header::parse(&packet, &ids).expect("RTP");
    assert!(header.marker);
    assert_eq!(
        (
            header.payload_type,
            header.sequence,
            header.timestamp,
            header.ssrc
        ),
        (96, 7, 90_000, 0xdead_beef)
    );
    assert_eq!(header.payload(&packet), b"payload");
    assert_eq!(
        header.extension(&packet, Extension::AudioLevel),
        Some(&[0x91][..])
    );
    assert_eq!(
        header.extension(&packet, Extension::TransportCc),
        Some(&[1, 2][..])
    );
    assert_eq!(header.extension(&packet, Extension::Mid), None);
}

#[test]
fn a_long_value_makes_the_block_two_byte() {
    let descriptor = vec![7; 40];
    let packet = written(&[(3, vec![1]), (12, descriptor.clone())], b"p");
    assert_eq!(packet[12..14], [0x10, 0x00]);
    let ids = ids(&[
        (Extension::AudioLevel, 3),
        (Extension::DependencyDescriptor, 12),
    ]);
    let header = Header::parse(&packet, &ids).expect("RTP");
    assert_eq!(
        header.extension(&packet, Extension::DependencyDescriptor),
        Some(&descriptor[..])
    );
    assert_eq!(
        header.extension(&packet, Extension::AudioLevel),
        Some(&[1][..])
    );
}

#[test]
fn padding_is_not_payload() {
    let mut packet = written(&[], b"data");
    packet[0] |= 0x20;
    packet.extend([0, 0, 3]);
    assert_eq!(
        Header::parse(&packet, &ExtensionIds::NONE)
            .expect("RTP")
            .payload(&packet),
        b"data"
    );
    *packet.last_mut().expect("bytes") = 200;
    assert!(matches!(
        Header::parse(&packet, &ExtensionIds::NONE),
        Err(RtpError::Padding {
            padding: 200,
            payload: 7
        })
    ));
}

#[test]
fn what_is_not_rtp_is_refused() {
    let parse = |bytes: &[u8]| Header::parse(bytes, &ExtensionIds::NONE);
    assert!(matches!(
        parse(&[0x80; 11]),
        Err(RtpError::Short { bytes: 11 })
    ));
    assert!(matches!(
        parse(&[0x40; 20]),
        Err(RtpError::Version { found: 1 })
    ));
    assert!(
        matches!(parse(&[0x8f; 20]), Err(RtpError::Short { .. })),
        "contributing sources"
    );
    assert!(
        matches!(parse(&[0x90; 14]), Err(RtpError::Short { .. })),
        "extension header"
    );
}

#[test]
fn every_uri_names_its_extension() {
    for extension in Extension::ALL {
        // What edges say to each other alone has no name that a client could use.
        let named = (extension != Extension::LeftOut).then_some(extension);
        assert_eq!(Extension::from_uri(extension.uri()), named);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(header) = Header::parse(&bytes, &ExtensionIds::backbone()) {
            prop_assert!(header.payload(&bytes).len() <= bytes.len());
            for (_, value) in header.extensions(&bytes) {
                prop_assert!(value.len() <= 255);
            }
        }
    }

    #[test]
    fn any_elements_round_trip(
        elements in proptest::collection::btree_map(1u8..=10, proptest::collection::vec(any::<u8>(), 0..20), 0..5),
        payload in proptest::collection::vec(any::<u8>(), 0..1_200),
    ) {
        let elements: Vec<_> = elements.into_iter().collect();
        let packet = written(&elements, &payload);
        let header = Header::parse(&packet, &ExtensionIds::backbone()).expect("RTP");
        prop_assert_eq!(header.payload(&packet), &payload[..]);
        let read: Vec<_> = header.extensions(&packet).map(|(e, v)| (e as u8, v.to_vec())).collect();
        prop_assert_eq!(read, elements);
    }
}
