mod burst;
mod hostile;
mod late;
mod layers;
mod network;
mod quality;
mod relayed;
mod stage;
mod voices;
mod watcher;

use std::collections::BTreeSet;
use std::collections::HashMap;

use proptest::prelude::*;
use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::*;
use crate::codec::Codec;
use crate::layer::Counters;
use crate::rtcp::{self, Control, NtpTime, controls};
use crate::rtp::{Extension, ExtensionBlock, Header};

/// Keeps what was sent.
#[derive(Default)]
struct Sent {
    media: Vec<(PeerId, u64, Vec<u8>)>,
    control: Vec<(PeerId, Vec<u8>)>,
    relayed: Vec<(LinkId, Vec<u8>)>,
    clocks: Vec<(LinkId, SenderClock)>,
    key_frames: Vec<SourceId>,
    first: Vec<SourceId>,
    wanted: Vec<(SourceId, LayerSet)>,
    paused: Vec<(SinkId, bool)>,
    speakers: Vec<Vec<SourceId>>,
}

fn bytes(packet: &Outgoing<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 2_000];
    let (_, length) = packet.write(&mut buffer).expect("fits");
    buffer.truncate(length);
    buffer
}

impl Outbox for Sent {
    fn media(&mut self, peer: PeerId, packet: &Outgoing<'_>) {
        self.media.push((peer, packet.index, bytes(packet)));
    }
    fn control(&mut self, peer: PeerId, packet: &[u8]) {
        self.control.push((peer, packet.to_vec()));
    }
    fn relay(&mut self, link: LinkId, _: MediaKind, packet: &Outgoing<'_>) {
        self.relayed.push((link, bytes(packet)));
    }
    fn relay_clock(&mut self, link: LinkId, _: EncodingId, clock: SenderClock) {
        self.clocks.push((link, clock));
    }
    fn key_frame_wanted(&mut self, source: SourceId, _: EncodingId) {
        self.key_frames.push(source);
    }
    fn first_packet(&mut self, source: SourceId) {
        self.first.push(source);
    }
    fn layers_wanted(&mut self, source: SourceId, layers: LayerSet) {
        self.wanted.push((source, layers));
    }
    fn paused(&mut self, sink: SinkId, paused: bool) {
        self.paused.push((sink, paused));
    }
    fn speakers(&mut self, _: RoomId, speakers: &[(SourceId, u8)]) {
        self.speakers
            .push(speakers.iter().map(|&(source, _)| source).collect());
    }
}

impl Sent {
    fn controls(&self, to: PeerId) -> Vec<Control<'_>> {
        let mut all = Vec::new();
        for (_, packet) in self.control.iter().filter(|&&(peer, _)| peer == to) {
            controls(packet, |control| all.push(control));
        }
        all
    }
}

/// A participant that numbers everything from `base` on.
fn formats(base: u8) -> Formats {
    let mut payload_types = PayloadTypes::default();
    payload_types.set(Codec::Opus, base, None);
    payload_types.set(Codec::Vp8, base + 1, Some(base + 2));
    let mut extensions = ExtensionIds::NONE;
    for (n, extension) in [
        Extension::AudioLevel,
        Extension::TransportCc,
        Extension::Mid,
    ]
    .into_iter()
    .enumerate()
    {
        extensions.set(extension, base / 16 + n as u8);
    }
    Formats {
        payload_types,
        extensions,
    }
}

const PUBLISHER: u8 = 96;
const VIEWER: u8 = 32;

struct Packet {
    payload_type: u8,
    sequence: u16,
    ssrc: u32,
    mid: Option<&'static [u8]>,
    payload: Vec<u8>,
}

fn video(sequence: u16) -> Packet {
    Packet {
        payload_type: PUBLISHER + 1,
        sequence,
        ssrc: 1,
        mid: None,
        payload: key_frame(sequence),
    }
}

/// A picture of VP8 that refers to earlier ones, in one packet.
fn follower(sequence: u16) -> Packet {
    let [high, low] = sequence.to_be_bytes();
    Packet {
        payload: vec![0x10, 1, high, low],
        ..video(sequence)
    }
}

/// A key frame of VP8 in one packet.
fn key_frame(mark: u16) -> Vec<u8> {
    let [high, low] = mark.to_be_bytes();
    vec![0x10, 0, high, low]
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        let mut extensions = ExtensionBlock::default();
        let _ = extensions.push(PUBLISHER / 16, &[0x55]);
        let _ = extensions.push(PUBLISHER / 16 + 1, &self.sequence.to_be_bytes());
        if let Some(mid) = self.mid {
            let _ = extensions.push(PUBLISHER / 16 + 2, mid);
        }
        bytes(&Outgoing {
            marker: false,
            payload_type: self.payload_type,
            index: u64::from(self.sequence),
            timestamp: u32::from(self.sequence) * 3_000,
            ssrc: self.ssrc,
            extensions: &extensions,
            original_sequence: None,
            payload: &self.payload,
            counters: Counters::default(),
            padding: 0,
        })
    }
}

struct Room {
    forwarder: Forwarder,
    sent: Sent,
    publisher: PeerId,
    viewer: PeerId,
    source: SourceId,
}

const SINK_SSRC: u32 = 500;

const CAMERA: Track = Track {
    room: RoomId(1),
    owner: OwnerId(1),
    source: TrackSource::Camera,
};

/// One publisher of video, one viewer of it.
fn room() -> Room {
    let (mut forwarder, mut sent) = (Forwarder::default(), Sent::default());
    let publisher = forwarder.add_peer(formats(PUBLISHER));
    let viewer = forwarder.add_peer(formats(VIEWER));
    let source = forwarder.add_source(
        CAMERA,
        Origin::Peer {
            peer: publisher,
            encodings: vec![AnnouncedEncoding {
                rid: None,
                ssrc: Some(1),
                retransmission_ssrc: Some(2),
            }],
            mid: b"1"[..].into(),
            repairs: true,
        },
    );
    let target = Target::Peer {
        peer: viewer,
        ssrc: SINK_SSRC,
        retransmission_ssrc: Some(SINK_SSRC + 1),
    };
    forwarder
        .add_sink(Time::ZERO, source, target, &mut sent)
        .expect("both are there");
    Room {
        forwarder,
        sent,
        publisher,
        viewer,
        source,
    }
}

impl Room {
    fn send(&mut self, millis: u64, packet: &Packet) {
        self.forwarder.handle_media(
            Time::from_millis(millis),
            self.publisher,
            &packet.bytes(),
            &mut self.sent,
        );
    }

    fn ask(&mut self, millis: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = Vec::new();
        write(&mut packet);
        self.forwarder.handle_control(
            Time::from_millis(millis),
            self.viewer,
            &packet,
            &mut self.sent,
        );
    }

    fn received(&self) -> Vec<(u64, Header, Vec<u8>)> {
        self.sent
            .media
            .iter()
            .map(|(_, index, packet)| {
                let header = Header::parse(packet, &formats(VIEWER).extensions).expect("RTP");
                (*index, header, packet.clone())
            })
            .collect()
    }
}

#[test]
fn a_packet_gets_the_sinks_own_numbers() {
    let mut room = room();
    room.send(0, &video(40_000));
    let (index, header, packet) = room.received().remove(0);
    assert_eq!((header.payload_type, header.ssrc), (VIEWER + 1, SINK_SSRC));
    assert_eq!(header.sequence, index as u16);
    assert!(index < 1 << 15, "SRTP's rollover counter starts at zero");
    assert_eq!(header.payload(&packet), key_frame(40_000));
    assert_eq!(
        header.extension(&packet, Extension::AudioLevel),
        Some(&[0x55][..])
    );
    assert_eq!(
        header.extension(&packet, Extension::TransportCc),
        Some(&[0, 1][..]),
        "its own count"
    );
    assert_eq!(room.sent.first, [room.source]);
}

#[test]
fn packets_of_a_picture_leave_with_one_length() {
    let mut room = room();
    let mut lengths = BTreeSet::new();
    for (sequence, length) in [(1, 1_001), (2, 1_001), (3, 1_002)] {
        let mut packet = video(sequence);
        packet.payload.resize(length, 7);
        room.send(0, &packet);
        let (_, header, sent) = room.received().pop().expect("it goes on");
        assert_eq!(header.payload(&sent), packet.payload);
        lengths.insert(sent.len());
    }
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}

#[test]
fn evening_out_makes_no_packet_too_long_for_ipv6s_least_mtu() {
    let mut room = room();
    for (sequence, length) in (1_140..=1_180).enumerate() {
        let mut packet = video(sequence as u16);
        packet.payload.resize(length, 7);
        room.send(40 * u64::from(packet.sequence), &packet);
        let (_, header, sent) = room.received().pop().expect("it goes on");
        assert_eq!(header.payload(&sent), packet.payload);
        let padded = sent[0] & 0x20 != 0;
        // IPv6, UDP and SRTP's tag, and 20 bytes of extensions that this packet does not have.
        assert!(
            !padded || 40 + 8 + sent.len() + 20 + 16 <= 1_280,
            "{length}"
        );
        assert_eq!(padded, length % 16 != 0 && length <= 1_168, "{length}");
    }
}

#[test]
fn a_new_ssrc_is_told_by_its_m_line() {
    let mut room = room();
    let mut packet = Packet {
        ssrc: 77,
        ..video(5)
    };
    room.send(0, &packet);
    assert!(room.sent.media.is_empty());
    assert_eq!(
        room.forwarder.stats().dropped[Drop::UnknownSource as usize],
        1
    );
    packet.mid = Some(b"1");
    room.send(1, &packet);
    packet.mid = None;
    packet.sequence = 6;
    room.send(2, &packet);
    assert_eq!(room.sent.media.len(), 2);
}

#[test]
fn a_track_that_goes_on_under_its_ssrc_need_not_say_again_which_it_is() {
    let mut room = room();
    let mut packet = Packet {
        ssrc: 77,
        mid: Some(b"1"),
        ..video(5)
    };
    room.send(0, &packet);
    room.forwarder.remove_source(room.source);
    let origin = Origin::Peer {
        peer: room.publisher,
        encodings: vec![AnnouncedEncoding {
            rid: None,
            ssrc: None,
            retransmission_ssrc: None,
        }],
        mid: b"1"[..].into(),
        repairs: true,
    };
    let source = room.forwarder.add_source(CAMERA, origin);
    let target = Target::Peer {
        peer: room.viewer,
        ssrc: SINK_SSRC + 2,
        retransmission_ssrc: None,
    };
    let sink = (room.forwarder).add_sink(Time::from_millis(1), source, target, &mut room.sent);
    assert!(sink.is_some());
    packet.mid = None;
    packet.sequence = 6;
    room.send(2, &packet);
    assert_eq!(room.sent.media.len(), 2);
}

#[test]
fn a_lost_packet_is_sent_again_once_and_a_repair_fills_the_gap() {
    let mut room = room();
    for sequence in [65_534, 65_535, 1] {
        room.send(0, &video(sequence));
    }
    room.forwarder
        .handle_timeout(Time::from_millis(20), &mut room.sent);
    let nacks: Vec<_> = room
        .sent
        .controls(room.publisher)
        .into_iter()
        .filter(|c| matches!(c, Control::Nack { .. }))
        .collect();
    assert_eq!(
        nacks,
        [Control::Nack {
            ssrc: 1,
            first: 0,
            following: 0
        }]
    );

    let repair = Packet {
        payload_type: PUBLISHER + 2,
        ssrc: 2,
        payload: [&[0, 0][..], b"late"].concat(),
        ..video(900)
    };
    room.send(30, &repair);
    let received = room.received();
    let (_, header, packet) = received.last().expect("forwarded");
    assert_eq!(header.payload(packet), b"late");
    let indices: Vec<_> = received
        .iter()
        .map(|(index, ..)| index - received[0].0)
        .collect();
    assert_eq!(indices, [0, 1, 3, 2]);

    let asked = received[1].1.sequence;
    for millis in [50, 55, 100] {
        room.ask(millis, |packet| {
            rtcp::nack(packet, SINK_SSRC, &[u64::from(asked)]);
        });
    }
    let again: Vec<_> = room.received().split_off(received.len());
    assert_eq!(again.len(), 2, "not twice within 30 ms");
    let (_, header, packet) = &again[0];
    assert_eq!(
        (header.ssrc, header.payload_type),
        (SINK_SSRC + 1, VIEWER + 2)
    );
    assert_eq!(
        header.payload(packet),
        [asked.to_be_bytes().to_vec(), key_frame(65_535)].concat()
    );
    assert_eq!(room.forwarder.stats().nacks_received, 3);
}

#[test]
fn key_frame_requests_are_merged() {
    let mut room = room();
    room.send(0, &video(1));
    room.sent.control.clear();
    for millis in 500..800 {
        room.ask(millis, |packet| rtcp::key_frame_request(packet, SINK_SSRC));
    }
    let requests = |room: &Room| {
        room.sent
            .controls(room.publisher)
            .iter()
            .filter(|c| **c == Control::KeyFrameRequest { ssrc: 1 })
            .count()
    };
    assert_eq!(requests(&room), 1);
    room.send(900, &follower(2));
    room.forwarder
        .handle_timeout(Time::from_millis(1_100), &mut room.sent);
    assert_eq!(requests(&room), 2, "those that came after the first");
    room.forwarder
        .handle_timeout(Time::from_millis(2_000), &mut room.sent);
    assert_eq!(requests(&room), 2);
}

#[test]
fn a_track_crosses_a_link_once_and_plays_behind_it() {
    let mut near = room();
    near.forwarder.add_sink(
        Time::ZERO,
        near.source,
        Target::Link(LinkId(9)),
        &mut near.sent,
    );
    let mut far = Forwarder::default();
    let mut out = Sent::default();
    let source = far.add_source(CAMERA, Origin::Backbone);
    let viewers: Vec<_> = (0..5).map(|_| far.add_peer(formats(VIEWER))).collect();
    for (n, &peer) in viewers.iter().enumerate() {
        let target = Target::Peer {
            peer,
            ssrc: 600 + n as u32,
            retransmission_ssrc: None,
        };
        far.add_sink(Time::ZERO, source, target, &mut out);
    }
    assert_eq!(out.key_frames, [source], "five viewers, one request");

    near.send(0, &video(1));
    near.send(1, &video(2));
    let clock = SenderClock {
        ntp: NtpTime(5 << 32),
        rtp: 77,
    };
    near.forwarder.handle_clock(
        Time::ZERO,
        near.source,
        EncodingId(0),
        clock,
        &mut near.sent,
    );
    assert_eq!(near.sent.relayed.len(), 2);
    assert_eq!(near.sent.clocks, [(LinkId(9), clock)]);
    for (_, packet) in &near.sent.relayed {
        far.handle_relayed(Time::ZERO, source, packet, &mut out);
    }
    far.handle_clock(Time::ZERO, source, EncodingId(0), clock, &mut out);
    assert_eq!(out.media.len(), 10);
    let header = Header::parse(&out.media[0].2, &formats(VIEWER).extensions).expect("RTP");
    assert_eq!((header.payload_type, header.ssrc), (VIEWER + 1, 600));
    far.handle_timeout(Time::from_millis(1_000), &mut out);
    assert!(out.controls(viewers[4]).contains(&Control::SenderReport {
        ssrc: 604,
        clock: SenderClock {
            ntp: NtpTime(6 << 32),
            rtp: 90_077
        },
    }));
}

#[test]
fn what_is_removed_is_no_longer_sent_to_or_from() {
    let mut room = room();
    room.send(0, &video(1));
    let viewer = room.viewer;
    room.forwarder.remove_peer(viewer);
    room.send(1, &video(2));
    assert_eq!(room.sent.media.len(), 1);
    let publisher = room.publisher;
    room.forwarder.remove_peer(publisher);
    assert!(
        room.forwarder.sources.is_empty()
            && room.forwarder.sinks.is_empty()
            && room.forwarder.peers.is_empty()
    );
    room.forwarder
        .handle_timeout(Time::from_millis(5_000), &mut room.sent);
}

proptest! {
    /// SRTP's catastrophe: two packets of one SSRC under one index (RFC 7714, section 8).
    #[test]
    fn no_index_is_used_twice(
        steps in proptest::collection::vec((any::<u8>(), any::<bool>(), any::<bool>()), 1..400),
        start in any::<u16>(),
    ) {
        let mut room = room();
        let mut sequence = start;
        let mut used: HashMap<(u32, u64), Vec<u8>> = HashMap::new();
        for (n, (step, back, ask)) in steps.into_iter().enumerate() {
            sequence = if back { sequence.wrapping_sub(u16::from(step)) } else { sequence.wrapping_add(u16::from(step)) };
            room.send(n as u64 * 40, &video(sequence));
            if ask && let Some((_, header, _)) = room.received().last() {
                let wanted = u64::from(header.sequence.wrapping_sub(1));
                room.ask(n as u64 * 40 + 1, |packet| rtcp::nack(packet, SINK_SSRC, &[wanted]));
            }
            for (index, header, packet) in room.received() {
                prop_assert!(used.insert((header.ssrc, index), packet).is_none(), "index {} of {}", index, header.ssrc);
            }
            room.sent.media.clear();
        }
    }

    /// Whatever order packets come in, a viewer's numbers keep the publisher's distances from the
    /// first key frame on.
    #[test]
    fn distances_are_kept(order in Just((0..100u16).collect::<Vec<_>>()).prop_shuffle(), start in any::<u16>()) {
        let mut room = room();
        for (n, offset) in order.iter().enumerate() {
            room.send(n as u64, &video(start.wrapping_add(*offset)));
        }
        let received = room.received();
        let mut seen = 0;
        for (_, header, packet) in &received {
            let payload = header.payload(packet);
            let original = u16::from_be_bytes([payload[2], payload[3]]);
            let first = received[0].2.clone();
            let first_header = received[0].1;
            let first_original = u16::from_be_bytes([first_header.payload(&first)[2], first_header.payload(&first)[3]]);
            prop_assert_eq!(header.sequence.wrapping_sub(first_header.sequence), original.wrapping_sub(first_original));
            seen += 1;
        }
        prop_assert_eq!(seen, order.iter().filter(|&&offset| offset >= order[0]).count());
    }

    #[test]
    fn no_bytes_panic(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..40)) {
        let mut room = room();
        for (n, packet) in packets.iter().enumerate() {
            let now = Time::from_millis(n as u64 * 30);
            room.forwarder.handle_media(now, room.publisher, packet, &mut room.sent);
            room.forwarder.handle_control(now, room.viewer, packet, &mut room.sent);
            room.forwarder.handle_relayed(now, room.source, packet, &mut room.sent);
            room.forwarder.handle_timeout(now, &mut room.sent);
        }
    }
}
