//! A meeting whose packets are counted.

use std::hint::black_box;

use sluice_sfu::codec::{Codec, PayloadTypes};
use sluice_sfu::forward::{
    AnnouncedEncoding, EncodingId, Formats, Forwarder, LinkId, Origin, Outbox, OwnerId, PeerId,
    RoomId, SinkId, SourceId, Target, Track,
};
use sluice_sfu::layer::Counters;
use sluice_sfu::rtcp::SenderClock;
use sluice_sfu::rtp::{Extension, ExtensionBlock, ExtensionIds, OUTGOING_OVERHEAD_MAX, Outgoing};
use sluice_types::layers::LayerSet;
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::units::Time;

/// The payload of a video packet and of an audio packet, in bytes.
pub(crate) const VIDEO_BYTES: usize = 1_100;
pub(crate) const AUDIO_BYTES: usize = 80;

pub(crate) const MEDIA: u8 = 96;
pub(crate) const AUDIO: u8 = 111;

/// Writes what is sent into a buffer, as sealing would, and lets it go.
pub(crate) struct Written {
    buffer: Vec<u8>,
    pub(crate) packets: u64,
    /// The transport-wide sequence number that was last given to a participant.
    sent: Vec<u64>,
}

impl Written {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; OUTGOING_OVERHEAD_MAX + VIDEO_BYTES + usize::from(u8::MAX)],
            packets: 0,
            sent: vec![0; 128],
        }
    }

    /// How many packets went to a participant.
    pub(crate) fn sent_to(&self, peer: PeerId) -> u64 {
        self.sent[peer.index()]
    }

    fn take(&mut self, packet: &Outgoing<'_>) {
        self.packets += 1;
        black_box(packet.write(&mut self.buffer));
        black_box(&self.buffer);
    }
}

impl Outbox for Written {
    fn media(&mut self, peer: PeerId, packet: &Outgoing<'_>) {
        self.take(packet);
        self.sent[peer.index()] += 1;
    }
    fn control(&mut self, _: PeerId, packet: &[u8]) {
        black_box(packet);
    }
    fn relay(&mut self, _: LinkId, _: MediaKind, packet: &Outgoing<'_>) {
        self.take(packet);
    }
    fn relay_clock(&mut self, _: LinkId, _: EncodingId, _: SenderClock) {}
    fn key_frame_wanted(&mut self, _: SourceId, _: EncodingId) {}
    fn first_packet(&mut self, _: SourceId) {}
    fn layers_wanted(&mut self, _: SourceId, _: LayerSet) {}
    fn paused(&mut self, _: SinkId, _: bool) {}
    fn speakers(&mut self, _: RoomId, _: &[(SourceId, u8)]) {}
}

/// How participants number things; with transport-wide sequence numbers where they are `estimated`.
pub(crate) fn formats(estimated: bool) -> Formats {
    let mut payload_types = PayloadTypes::default();
    payload_types.set(Codec::Vp8, MEDIA, Some(MEDIA + 1));
    payload_types.set(Codec::Opus, AUDIO, None);
    let mut extensions = ExtensionIds::backbone();
    if !estimated {
        extensions.set(Extension::TransportCc, 0);
    }
    Formats {
        payload_types,
        extensions,
    }
}

/// An encoding that comes under that SSRC.
pub(crate) const fn encoding(ssrc: u32) -> AnnouncedEncoding {
    AnnouncedEncoding {
        rid: None,
        ssrc: Some(ssrc),
        retransmission_ssrc: None,
    }
}

/// See the module.
pub(crate) struct Meeting {
    pub(crate) forwarder: Forwarder,
    pub(crate) out: Written,
    pub(crate) viewers: Vec<PeerId>,
    pub(crate) sinks: Vec<SinkId>,
    pub(crate) now: Time,
    publishers: Vec<PeerId>,
    kind: MediaKind,
    encodings: u32,
    sequence: u16,
    packet: Vec<u8>,
}

impl Meeting {
    /// So many publishers of one track in so many encodings each, all of which go to each viewer.
    pub(crate) fn new(
        kind: MediaKind,
        publishers: u64,
        encodings: u32,
        viewers: usize,
        estimated: bool,
    ) -> Self {
        let mut forwarder = Forwarder::default();
        let mut out = Written::new();
        let viewers: Vec<_> = (0..viewers)
            .map(|_| forwarder.add_peer(formats(estimated)))
            .collect();
        let mut sinks = Vec::new();
        let publishers = (0..publishers)
            .map(|owner| {
                let peer = forwarder.add_peer(formats(true));
                let origin = Origin::Peer {
                    peer,
                    encodings: (1..=encodings).map(encoding).collect(),
                    mid: b"1"[..].into(),
                    repairs: true,
                };
                let track = Track {
                    room: RoomId(1),
                    owner: OwnerId(owner),
                    source: match kind {
                        MediaKind::Audio => TrackSource::Microphone,
                        MediaKind::Video => TrackSource::Camera,
                    },
                };
                let source = forwarder.add_source(track, origin);
                for &viewer in &viewers {
                    let ssrc = 1_000 + 2 * owner as u32;
                    let target = Target::Peer {
                        peer: viewer,
                        ssrc,
                        retransmission_ssrc: Some(ssrc + 1),
                    };
                    sinks.extend(forwarder.add_sink(Time::ZERO, source, target, &mut out));
                }
                peer
            })
            .collect();
        Self {
            forwarder,
            out,
            viewers,
            sinks,
            now: Time::from_millis(1),
            publishers,
            kind,
            encodings,
            sequence: 0,
            packet: Vec::new(),
        }
    }

    /// Puts the next packet of an encoding into [`Self::packet`].
    pub(crate) fn prepare(&mut self, ssrc: u32, key: bool) {
        let video = self.kind == MediaKind::Video;
        let mut payload = vec![7; if video { VIDEO_BYTES } else { AUDIO_BYTES }];
        if video {
            // A descriptor with picture id, TL0PICIDX and layer, then the frame's first bytes.
            let [high, low] = (self.sequence & 0x7fff).to_be_bytes();
            let start = [0x90, 0xf0, high | 0x80, low, 3, 0, u8::from(!key)];
            payload[..start.len()].copy_from_slice(&start);
        }
        let mut extensions = ExtensionBlock::default();
        extensions.push(Extension::TransportCc as u8, &self.sequence.to_be_bytes());
        if !video {
            extensions.push(Extension::AudioLevel as u8, &[30]);
        }
        let outgoing = Outgoing {
            marker: true,
            payload_type: if video { MEDIA } else { AUDIO },
            index: u64::from(self.sequence),
            timestamp: u32::from(self.sequence).wrapping_mul(if video { 3_000 } else { 960 }),
            ssrc,
            extensions: &extensions,
            original_sequence: None,
            payload: &payload,
            counters: Counters::default(),
            padding: 0,
        };
        self.packet.resize(OUTGOING_OVERHEAD_MAX + payload.len(), 0);
        let (_, end) = outgoing.write(&mut self.packet).unwrap_or_default();
        self.packet.truncate(end);
    }

    /// Hands the prepared packet of one publisher to the forwarder, as if it were all that came.
    pub(crate) fn send(&mut self, publisher: usize) {
        self.forwarder.begin_burst();
        self.forwarder.handle_media(
            self.now,
            self.publishers[publisher],
            &self.packet,
            &mut self.out,
        );
        self.forwarder.end_burst(self.now, &mut self.out);
    }

    /// The next picture, or twentieth of a second of sound, of every publisher in every encoding; a
    /// key frame now and then.
    pub(crate) fn turn(&mut self) {
        for publisher in 0..self.publishers.len() {
            for ssrc in 1..=self.encodings {
                self.prepare(ssrc, self.sequence.is_multiple_of(30));
                self.send(publisher);
            }
        }
        self.pass();
    }

    /// A thirtieth of a second.
    pub(crate) fn pass(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        self.now = self.now + std::time::Duration::from_millis(33);
        self.forwarder.handle_timeout(self.now, &mut self.out);
    }

    /// Long enough for everything to have its size: two rings of packets, and some seconds.
    pub(crate) fn warm(&mut self) {
        for _ in 0..300 {
            self.turn();
        }
    }
}
