//! SDP, signalling, and what edges and the coordinator say to each other.

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_relay::datagram::{
    Datagram, Kind, RELAY_ID_MAX, Split, Splitter, read_clock, write_clock,
};
use sluice_relay::joiner::Joiner;
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::mesh::codec::{self, BODY_BYTES_MAX, FORMAT};
use sluice_types::mesh::control::{CoordinatorMessage, EdgeMessage};
use sluice_types::signal::{ClientMessage, ServerMessage};

pub(crate) fn sdp(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        sluice_edge::media::untrusted::offer(text);
    }
}

/// A message that is read is read as the same when it is written again.
pub(crate) fn signalling(data: &[u8]) {
    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
        let Ok(message) = serde_json::from_slice::<T>(data) else {
            return;
        };
        let written = serde_json::to_vec(&message).expect("it was read from JSON");
        let again: T = serde_json::from_slice(&written).expect("our own");
        assert_eq!(again, message);
    }
    check::<ClientMessage>(data);
    check::<ServerMessage>(data);
}

/// As [`signalling`], for messages of the mesh. The first byte chooses which; the second whether the
/// rest is a frame or the message within one.
pub(crate) fn backbone(data: &[u8]) {
    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(frame: &[u8]) {
        let mut buffer = BytesMut::from(frame);
        while let Ok(Some(message)) = codec::decode::<T>(&mut buffer) {
            let written = codec::encode(&message).expect("it came in a frame");
            assert!(written.len() <= BODY_BYTES_MAX + 4);
            let mut again = BytesMut::from(&written[..]);
            assert_eq!(codec::decode(&mut again).expect("our own"), Some(message));
            assert!(again.is_empty());
        }
        assert!(frame.ends_with(&buffer));
    }
    let [choice, raw, rest @ ..] = data else {
        return;
    };
    let mut frame = Vec::new();
    if *raw % 2 == 0 {
        frame.extend(((rest.len() + 1) as u32).to_be_bytes());
        frame.push(FORMAT);
    }
    frame.extend_from_slice(rest);
    match choice % 3 {
        0 => check::<BackboneMessage>(&frame),
        1 => check::<EdgeMessage>(&frame),
        _ => check::<CoordinatorMessage>(&frame),
    }
}

/// Datagrams one after another, each with its length before it: what is read has the bytes that came,
/// and what is split is joined to what it was.
pub(crate) fn datagram(mut data: &[u8]) {
    let mut joiner = Joiner::default();
    while let [length, rest @ ..] = data {
        let (one, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        let Ok(datagram) = Datagram::parse(Bytes::copy_from_slice(one)) else {
            continue;
        };
        assert!(datagram.relay.0 <= RELAY_ID_MAX);
        assert!(one.ends_with(&datagram.payload));
        assert!((4..=7).contains(&(one.len() - datagram.payload.len())));
        match datagram.kind {
            Kind::Clock => {
                if let Some((ntp, rtp, encoding)) = read_clock(&datagram.payload) {
                    let written =
                        Splitter::new(datagram.relay).clock(&write_clock(ntp, rtp, encoding));
                    let again = Datagram::parse(written).expect("our own");
                    assert_eq!(
                        (again.relay, again.payload),
                        (datagram.relay, datagram.payload.clone())
                    );
                }
            }
            _ => split_and_join(&datagram),
        }
        let before = joiner.stats();
        let joined = joiner.join(datagram);
        let after = joiner.stats();
        assert_eq!(after.packets, before.packets + u64::from(joined.is_some()));
        // A stranger decides the span; it must not wrap.
        let _ = after.missing();
    }
}

fn split_and_join(datagram: &Datagram) {
    let mut splitter = Splitter::new(datagram.relay);
    let room = 8 + datagram.payload.len() / 2 + usize::from(datagram.sequence % 64);
    let Ok(split) = splitter.split(&datagram.payload, room) else {
        return;
    };
    let parts = match split {
        Split::Whole(one) => vec![one],
        Split::Halves(two) => two.to_vec(),
    };
    let mut joiner = Joiner::default();
    let mut whole = None;
    for part in parts {
        assert!(part.len() <= room);
        let part = Datagram::parse(part).expect("our own");
        assert_eq!(part.relay, datagram.relay);
        whole = joiner.join(part).or(whole);
    }
    assert_eq!(whole.as_ref(), Some(&datagram.payload));
}
