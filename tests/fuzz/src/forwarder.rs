//! A meeting of one publisher, two receivers and a receiver behind another edge: whatever comes, what
//! goes out is RTP, and no index is used twice.

use std::collections::{HashSet, VecDeque};

use sluice_sfu::codec::{Codec, PayloadTypes};
use sluice_sfu::forward::{
    AnnouncedEncoding, EncodingId, Formats, Forwarder, LinkId, Origin, Outbox, OwnerId, PeerId,
    RoomId, SinkId, SourceId, Target, Track,
};
use sluice_sfu::layer::Counters;
use sluice_sfu::rtcp::SenderClock;
use sluice_sfu::rtp::{
    Extension, ExtensionBlock, ExtensionIds, Header, OUTGOING_OVERHEAD_MAX, Outgoing,
};
use sluice_types::layers::LayerSet;
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::signal::{Priority, Wish};
use sluice_types::units::Time;

/// The first SSRC of each track; encodings follow one another.
const CAMERA: u32 = 10;
const MICROPHONE: u32 = 20;

/// Retransmissions have the media's SSRC and this much more.
const REPAIR: u32 = 100;

/// The most steps of one input, so that none takes long.
const STEPS_MAX: usize = 400;

fn formats(first: u8) -> Formats {
    let mut payload_types = PayloadTypes::default();
    for (place, codec) in (0u8..).zip(Codec::ALL) {
        payload_types.set(codec, first + place, Some(first + 16 + place));
    }
    Formats {
        payload_types,
        extensions: ExtensionIds::backbone(),
    }
}

/// Checks what is sent, and keeps what goes over the backbone.
#[derive(Default)]
struct Checked {
    used: HashSet<(PeerId, u32, u64)>,
    relayed: VecDeque<(MediaKind, Vec<u8>)>,
}

fn written(packet: &Outgoing<'_>) -> Vec<u8> {
    let room = OUTGOING_OVERHEAD_MAX + packet.payload.len() + usize::from(packet.padding);
    let mut buffer = vec![0; room];
    let (header, end) = packet.write(&mut buffer).expect("there is room");
    buffer.truncate(end);
    let read = Header::parse(&buffer, &ExtensionIds::backbone()).expect("RTP");
    assert_eq!(sluice_sfu::rtp::header_bytes(&buffer), Ok(header));
    assert_eq!(
        (read.ssrc, read.sequence),
        (packet.ssrc, packet.index as u16)
    );
    let original = packet.original_sequence.map_or(0, |_| 2);
    assert_eq!(read.payload(&buffer).len(), packet.payload.len() + original);
    buffer
}

impl Outbox for Checked {
    fn media(&mut self, peer: PeerId, packet: &Outgoing<'_>) {
        written(packet);
        assert!(
            self.used.insert((peer, packet.ssrc, packet.index)),
            "index {} of {} twice",
            packet.index,
            packet.ssrc
        );
    }
    fn control(&mut self, _: PeerId, packet: &[u8]) {
        assert!(
            packet.len().is_multiple_of(4) && packet.len() <= 1_500,
            "{} bytes",
            packet.len()
        );
    }
    fn relay(&mut self, _: LinkId, kind: MediaKind, packet: &Outgoing<'_>) {
        self.relayed.push_back((kind, written(packet)));
    }
    fn relay_clock(&mut self, _: LinkId, _: EncodingId, _: SenderClock) {}
    fn key_frame_wanted(&mut self, _: SourceId, _: EncodingId) {}
    fn first_packet(&mut self, _: SourceId) {}
    fn layers_wanted(&mut self, _: SourceId, layers: LayerSet) {
        assert!(layers.has(0), "a newcomer sees something at once");
    }
    fn paused(&mut self, _: SinkId, _: bool) {}
    fn speakers(&mut self, _: RoomId, speakers: &[(SourceId, u8)]) {
        assert!(speakers.iter().all(|&(_, level)| level <= 127));
    }
}

struct Meeting {
    near: Forwarder,
    far: Forwarder,
    sent: Checked,
    played: Checked,
    publisher: PeerId,
    viewers: [PeerId; 2],
    sources: [SourceId; 2],
    relayed: [SourceId; 2],
    sinks: Vec<SinkId>,
    now: Time,
}

fn track(source: TrackSource) -> Track {
    Track {
        room: RoomId(1),
        owner: OwnerId(1),
        source,
    }
}

impl Meeting {
    fn new() -> Self {
        let (mut near, mut far) = (Forwarder::default(), Forwarder::default());
        let (mut sent, mut played) = (Checked::default(), Checked::default());
        let publisher = near.add_peer(formats(96));
        let mut plain = formats(64);
        plain.extensions.set(Extension::TransportCc, 0);
        let viewers = [near.add_peer(formats(32)), near.add_peer(plain)];
        let behind = far.add_peer(formats(32));
        let announced = |first: u32, count: u32| -> Vec<AnnouncedEncoding> {
            (first..first + count)
                .map(|ssrc| AnnouncedEncoding {
                    rid: None,
                    ssrc: Some(ssrc),
                    retransmission_ssrc: Some(ssrc + REPAIR),
                })
                .collect()
        };
        let kinds = [
            (TrackSource::Camera, CAMERA, 3),
            (TrackSource::Microphone, MICROPHONE, 1),
        ];
        let sources = kinds.map(|(source, first, count)| {
            let origin = Origin::Peer {
                peer: publisher,
                encodings: announced(first, count),
                mid: first.to_string().into_bytes().into(),
                repairs: true,
            };
            near.add_source(track(source), origin)
        });
        let relayed = kinds.map(|(source, ..)| far.add_source(track(source), Origin::Backbone));
        let mut sinks = Vec::new();
        for (place, source) in (0u32..).zip(sources) {
            for (peer, retransmission_ssrc) in [(viewers[0], Some(600 + place)), (viewers[1], None)]
            {
                let target = Target::Peer {
                    peer,
                    ssrc: 500 + place,
                    retransmission_ssrc,
                };
                sinks.extend(near.add_sink(Time::ZERO, source, target, &mut sent));
            }
            near.add_sink(Time::ZERO, source, Target::Link(LinkId(1)), &mut sent);
            let target = Target::Peer {
                peer: behind,
                ssrc: 500 + place,
                retransmission_ssrc: Some(600 + place),
            };
            far.add_sink(Time::ZERO, relayed[place as usize], target, &mut played);
        }
        Self {
            near,
            far,
            sent,
            played,
            publisher,
            viewers,
            sources,
            relayed,
            sinks,
            now: Time::ZERO,
        }
    }

    /// A packet as a client would write it, of what the input chose.
    fn media(
        &mut self,
        [stream, codec, sequence, time]: [u8; 4],
        extension: &[u8],
        payload: &[u8],
    ) {
        let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
        let repair = stream & 0x80 != 0;
        let ssrc = match codec.kind() {
            MediaKind::Audio => MICROPHONE,
            MediaKind::Video => CAMERA + u32::from(stream % 3),
        };
        let mut extensions = ExtensionBlock::default();
        extensions.push(Extension::TransportCc as u8, &[stream, sequence]);
        if stream & 0x40 != 0 {
            extensions.push(Extension::AudioLevel as u8, &[time]);
        }
        if !extension.is_empty() {
            extensions.push(Extension::DependencyDescriptor as u8, extension);
        }
        let first = 96 + if repair { 16 } else { 0 };
        let packet = written(&Outgoing {
            marker: stream & 0x20 != 0,
            payload_type: first + codec.backbone_payload_type(),
            index: u64::from(sequence).wrapping_mul(3).wrapping_add(65_400),
            timestamp: (self.now.as_micros() as u32 / 1_000).wrapping_mul(90) + u32::from(time),
            ssrc: if repair { ssrc + REPAIR } else { ssrc },
            extensions: &extensions,
            original_sequence: repair.then_some(u16::from(sequence)),
            payload,
            counters: Counters::default(),
            padding: 0,
        });
        self.near
            .handle_media(self.now, self.publisher, &packet, &mut self.sent);
    }

    fn pass(&mut self, millis: u8) {
        self.now = self.now + std::time::Duration::from_millis(u64::from(millis));
        self.near.handle_timeout(self.now, &mut self.sent);
        self.far.handle_timeout(self.now, &mut self.played);
    }

    fn wish(&mut self, sink: u8, wish: u8) {
        let place = usize::from(sink) % self.sinks.len();
        let heights = [90, 180, 360, 720];
        let wish = Wish {
            visible: wish & 0x80 == 0,
            height: Some(heights[usize::from(wish) % 4]),
            frame_rate: (wish & 0x40 != 0).then_some(wish & 0x1f),
            priority: Priority::High,
            ..Wish::default()
        };
        self.near
            .set_wish(self.now, self.sinks[place], Some(wish), &mut self.sent);
    }

    fn cross(&mut self) {
        while let Some((kind, packet)) = self.sent.relayed.pop_front() {
            let source = self.relayed[usize::from(kind == MediaKind::Audio)];
            self.far
                .handle_relayed(self.now, source, &packet, &mut self.played);
        }
    }
}

/// Takes `count` bytes off the input, or what is left.
fn take<'a>(data: &mut &'a [u8], count: u8) -> &'a [u8] {
    let (piece, rest) = data.split_at(usize::from(count).min(data.len()));
    *data = rest;
    piece
}

/// Each step begins with its kind; see the match.
pub(crate) fn run(mut data: &[u8]) {
    let mut meeting = Meeting::new();
    for _ in 0..STEPS_MAX {
        let [step, rest @ ..] = data else { break };
        data = rest;
        match step % 8 {
            0..=3 => {
                let &[
                    stream,
                    codec,
                    sequence,
                    time,
                    described,
                    length,
                    ref rest @ ..,
                ] = data
                else {
                    break;
                };
                data = rest;
                let extension = take(&mut data, described);
                let payload = take(&mut data, length);
                meeting.media([stream, codec, sequence, time], extension, payload);
            }
            4 => {
                let length = take(&mut data, 1).first().copied().unwrap_or(0);
                let packet = take(&mut data, length);
                let (now, from) = (meeting.now, meeting.publisher);
                meeting
                    .near
                    .handle_media(now, from, packet, &mut meeting.sent);
                let source = meeting.relayed[usize::from(step >> 7)];
                meeting
                    .far
                    .handle_relayed(now, source, packet, &mut meeting.played);
            }
            5 => {
                let length = take(&mut data, 1).first().copied().unwrap_or(0);
                let packet = take(&mut data, length);
                let now = meeting.now;
                for peer in meeting.viewers.into_iter().chain([meeting.publisher]) {
                    meeting
                        .near
                        .handle_control(now, peer, packet, &mut meeting.sent);
                }
            }
            6 => {
                let millis = take(&mut data, 1).first().copied().unwrap_or(20);
                meeting.pass(millis);
            }
            _ => {
                if let &[sink, wish] = take(&mut data, 2) {
                    meeting.wish(sink, wish);
                }
            }
        }
        meeting.cross();
    }
    meeting.pass(u8::MAX);
    for source in meeting.sources {
        assert!(meeting.near.source_packets(source).is_some());
    }
}
