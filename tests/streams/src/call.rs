//! A publisher, one edge or two, and a viewer, in virtual time.

use sluice_sfu::codec::{Codec, PayloadTypes};
use sluice_sfu::forward::{
    AnnouncedEncoding, EncodingId, Formats, Forwarder, LinkId, Origin, Outbox, OwnerId, PeerId,
    RoomId, SinkId, SourceId, Target, Track,
};
use sluice_sfu::rtcp::{Control, SenderClock, controls, nack};
use sluice_sfu::rtp::{Extension, ExtensionIds, OUTGOING_OVERHEAD_MAX, Outgoing};
use sluice_types::layers::LayerSet;
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::signal::Wish;
use sluice_types::units::Time;

use crate::link::{Link, Quality};
use crate::publisher::{FIRST_SSRC, Manner, PAYLOAD_TYPE, Publisher, REPAIR_TYPE};
use crate::viewer::Viewer;
use crate::{Format, Frame};

/// The viewer's numbers.
const SINK_SSRC: u32 = 7_000;
const VIEWER_TYPES: [u8; 2] = [40, 41];

/// How long repairs may go on after the last picture, in milliseconds.
const AFTERWARDS: u64 = 1_500;

/// What the viewer wants from which picture on: at most this height, and this many pictures a second.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// From when on.
    pub picture: usize,
    /// The height.
    pub height: u16,
    /// Pictures a second.
    pub rate: u8,
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is sent, and how.
    pub manner: Manner,
    /// From the publisher to the edge.
    pub up: Quality,
    /// From the edge to the viewer.
    pub down: Quality,
    /// Whether publisher and edge send again what is missing.
    pub repairs: bool,
    /// Whether the viewer is at another edge than the publisher.
    pub across: bool,
    /// The picture at which the viewer joins.
    pub joins: usize,
    /// What the viewer wants when.
    pub turns: Vec<Turn>,
    /// What links draw their numbers from.
    pub seed: u64,
}

impl Call {
    /// One over good links, of a viewer who is there from the start and wants everything.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self {
            manner: Manner {
                format,
                descriptors: matches!(format, Format::Av1),
                parameters: crate::packetize::Parameters::Aggregated,
            },
            up: Quality {
                lost: 0,
                overtaken: 0,
                doubled: 0,
            },
            down: Quality {
                lost: 0,
                overtaken: 0,
                doubled: 0,
            },
            repairs: true,
            across: false,
            joins: 0,
            turns: Vec::new(),
            seed: 1,
        }
    }
}

#[derive(Default)]
struct Sent {
    media: Vec<Vec<u8>>,
    control: Vec<Vec<u8>>,
    relayed: Vec<Vec<u8>>,
    clocks: Vec<(EncodingId, SenderClock)>,
}

fn bytes(packet: &Outgoing<'_>) -> Vec<u8> {
    let room = OUTGOING_OVERHEAD_MAX + packet.payload.len() + usize::from(packet.padding);
    let mut buffer = vec![0; room];
    let (_, end) = packet.write(&mut buffer).expect("there is room");
    buffer.truncate(end);
    buffer
}

impl Outbox for Sent {
    fn media(&mut self, _: PeerId, packet: &Outgoing<'_>) {
        self.media.push(bytes(packet));
    }
    fn control(&mut self, _: PeerId, packet: &[u8]) {
        self.control.push(packet.to_vec());
    }
    fn relay(&mut self, _: LinkId, _: MediaKind, packet: &Outgoing<'_>) {
        self.relayed.push(bytes(packet));
    }
    fn relay_clock(&mut self, _: LinkId, encoding: EncodingId, clock: SenderClock) {
        self.clocks.push((encoding, clock));
    }
    fn key_frame_wanted(&mut self, _: SourceId, _: EncodingId) {}
    fn first_packet(&mut self, _: SourceId) {}
    fn layers_wanted(&mut self, _: SourceId, _: LayerSet) {}
    fn paused(&mut self, _: SinkId, _: bool) {}
    fn speakers(&mut self, _: RoomId, _: &[(SourceId, u8)]) {}
}

/// What the forwarder calls what is sent.
#[must_use]
pub const fn codec(format: Format) -> Codec {
    match format {
        Format::Vp8 => Codec::Vp8,
        Format::Vp9 => Codec::Vp9,
        Format::H264 => Codec::H264ConstrainedBaseline,
        Format::Av1 => Codec::Av1,
    }
}

fn formats(format: Format, media: u8, repair: u8, reports: bool) -> Formats {
    let mut payload_types = PayloadTypes::default();
    payload_types.set(codec(format), media, Some(repair));
    let mut extensions = ExtensionIds::backbone();
    if !reports {
        // A viewer that says nothing of what arrives gets all that it wants.
        extensions.set(Extension::TransportCc, 0);
    }
    Formats {
        payload_types,
        extensions,
    }
}

const TRACK: Track = Track {
    room: RoomId(1),
    owner: OwnerId(1),
    source: TrackSource::Camera,
};

struct Edges {
    near: Forwarder,
    /// Where the viewer is, when not at the publisher's edge, and the track there.
    far: Option<(Forwarder, SourceId)>,
    publisher: PeerId,
    viewer: PeerId,
    sent: Sent,
    played: Sent,
}

impl Edges {
    fn new(call: &Call, encodings: u32) -> (Self, SourceId) {
        let format = call.manner.format;
        let mut near = Forwarder::default();
        let publisher = near.add_peer(formats(format, PAYLOAD_TYPE, REPAIR_TYPE, true));
        let announced = (FIRST_SSRC..FIRST_SSRC + encodings)
            .map(|ssrc| AnnouncedEncoding {
                rid: None,
                ssrc: Some(ssrc),
                retransmission_ssrc: Some(ssrc + 100),
            })
            .collect();
        let origin = Origin::Peer {
            peer: publisher,
            encodings: announced,
            mid: b"1"[..].into(),
            repairs: call.repairs,
        };
        let mut source = near.add_source(TRACK, origin);
        let at_viewer = formats(format, VIEWER_TYPES[0], VIEWER_TYPES[1], false);
        let mut sent = Sent::default();
        let (far, viewer) = if call.across {
            near.add_sink(Time::ZERO, source, Target::Link(LinkId(1)), &mut sent);
            let mut far = Forwarder::default();
            source = far.add_source(TRACK, Origin::Backbone);
            let viewer = far.add_peer(at_viewer);
            (Some((far, source)), viewer)
        } else {
            (None, near.add_peer(at_viewer))
        };
        let edges = Self {
            near,
            far,
            publisher,
            viewer,
            sent,
            played: Sent::default(),
        };
        (edges, source)
    }

    /// The edge of the viewer, and where its output goes.
    fn viewers(&mut self) -> (&mut Forwarder, &mut Sent) {
        match &mut self.far {
            Some((far, _)) => (far, &mut self.played),
            None => (&mut self.near, &mut self.sent),
        }
    }

    fn cross(&mut self, now: Time) {
        let Some((far, source)) = &mut self.far else {
            return;
        };
        for packet in self.sent.relayed.drain(..) {
            far.handle_relayed(now, *source, &packet, &mut self.played);
        }
        for (encoding, clock) in self.sent.clocks.drain(..) {
            far.handle_clock(now, *source, encoding, clock, &mut self.played);
        }
    }
}

/// Holds the call, and gives what the viewer received.
#[must_use]
pub fn run(call: &Call, encodings: &[((u16, u16), Vec<Frame>)]) -> Viewer {
    let pictures = encodings.first().map_or(0, |(_, frames)| frames.len());
    let (mut edges, source) = Edges::new(call, encodings.len() as u32);
    let mut publisher = Publisher::new(call.manner, encodings);
    let mut viewer = Viewer::new(SINK_SSRC, VIEWER_TYPES);
    let mut up = Link::new(call.up, call.seed);
    let mut down = Link::new(call.down, call.seed + 1_000);
    let mut sink = None;
    let mut next = 0;
    for millis in 0..pictures as u64 * 1_000 / 30 + AFTERWARDS {
        let now = Time::from_millis(millis);
        while next < pictures && millis * 30 >= next as u64 * 1_000 {
            for packet in publisher.picture(next) {
                up.send(millis, packet);
            }
            if next.is_multiple_of(30) {
                let clocks = publisher.clocks(next);
                let from = edges.publisher;
                edges
                    .near
                    .handle_control(now, from, &clocks, &mut edges.sent);
            }
            let peer = edges.viewer;
            let (edge, played) = edges.viewers();
            if next == call.joins {
                let target = Target::Peer {
                    peer,
                    ssrc: SINK_SSRC,
                    retransmission_ssrc: Some(SINK_SSRC + 1),
                };
                sink = edge.add_sink(now, source, target, played);
            }
            let turn = call.turns.iter().find(|turn| turn.picture == next);
            if let (Some(sink), Some(turn)) = (sink, turn) {
                let wish = Wish {
                    height: Some(turn.height),
                    frame_rate: Some(turn.rate),
                    ..Wish::default()
                };
                edge.set_wish(now, sink, Some(wish), played);
            }
            next += 1;
        }
        for packet in up.arrived(millis) {
            let from = edges.publisher;
            edges.near.handle_media(now, from, &packet, &mut edges.sent);
        }
        edges.near.handle_timeout(now, &mut edges.sent);
        edges.cross(now);
        if let Some((far, _)) = &mut edges.far {
            far.handle_timeout(now, &mut edges.played);
        }
        answer(call, &mut edges.sent, &mut publisher, |packet| {
            up.send(millis, packet);
        });
        let (_, played) = edges.viewers();
        for packet in played.media.drain(..) {
            down.send(millis, packet);
        }
        for packet in down.arrived(millis) {
            viewer.receive(millis, packet);
        }
        let due = viewer.due(millis);
        if call.repairs && !due.is_empty() {
            let mut request = Vec::new();
            nack(&mut request, SINK_SSRC, &due);
            let peer = edges.viewer;
            let (edge, played) = edges.viewers();
            edge.handle_control(now, peer, &request, played);
        }
    }
    viewer
}

/// The publisher sends again what the edge asks for.
fn answer(call: &Call, sent: &mut Sent, publisher: &mut Publisher, mut send: impl FnMut(Vec<u8>)) {
    for packet in sent.control.drain(..) {
        controls(&packet, |control| {
            let Control::Nack {
                ssrc,
                first,
                following,
            } = control
            else {
                return;
            };
            let more = (0..16).filter(|bit| following >> bit & 1 == 1);
            for ahead in std::iter::once(0).chain(more.map(|bit| bit + 1)) {
                if let (true, Some(repair)) = (
                    call.repairs,
                    publisher.again(ssrc, first.wrapping_add(ahead)),
                ) {
                    send(repair);
                }
            }
        });
    }
}
