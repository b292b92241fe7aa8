//! Simulcast with temporal layers, through loss and reordering, to a receiver that wavers: what comes
//! out must be one stream that a decoder can follow.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_types::signal::{Priority, Wish};

use super::*;

const ENCODINGS: usize = 3;
pub(super) const PACKETS_PER_FRAME: u16 = 2;

/// The frames of one encoding: three temporal layers in the order 0 2 1 2.
#[derive(Clone)]
struct Encoder {
    place: u8,
    frame: u16,
    since_key: u16,
    sequence: u16,
    base_layer_index: u8,
}

/// One packet as it was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    pub(super) payload: Vec<u8>,
}

impl Encoder {
    fn new(place: u8) -> Self {
        let odd = u16::from(place) * 977;
        Self {
            place,
            frame: 32_760 - odd,
            since_key: 0,
            sequence: 65_500 - odd,
            base_layer_index: 250 - place,
        }
    }

    /// The packets of the next frame, in the picture of number `picture`.
    fn next(&mut self, picture: u64, key: bool) -> Vec<Made> {
        if key {
            self.since_key = 0;
        }
        let temporal = [0, 2, 1, 2][usize::from(self.since_key % 4)];
        // The first frame of a layer after a base frame needs that alone.
        let syncs = matches!(self.since_key % 4, 1 | 2);
        if temporal == 0 {
            self.base_layer_index = self.base_layer_index.wrapping_add(1);
        }
        let [high, low] = (self.frame & 0x7fff).to_be_bytes();
        let packets = (0..PACKETS_PER_FRAME)
            .map(|part| {
                let begins = if part == 0 { 0x90 } else { 0x80 };
                let delta = u8::from(!key);
                let [n, m] = self.frame.to_be_bytes();
                let payload = vec![
                    begins,
                    0xf0,
                    high | 0x80,
                    low,
                    self.base_layer_index,
                    temporal << 6 | u8::from(syncs) << 5,
                    delta,
                    self.place,
                    n,
                    m,
                    part as u8,
                    temporal,
                    // Which frame of its group it is.
                    (self.since_key % 4) as u8,
                ];
                self.sequence = self.sequence.wrapping_add(1);
                Made {
                    ssrc: 100 + u32::from(self.place),
                    sequence: self.sequence,
                    timestamp: (picture as u32)
                        .wrapping_mul(3_000)
                        .wrapping_add(u32::from(self.place) * 1_000_000_007),
                    marker: part + 1 == PACKETS_PER_FRAME,
                    payload,
                }
            })
            .collect();
        self.frame = self.frame.wrapping_add(1);
        self.since_key += 1;
        packets
    }
}

pub(super) struct Stage {
    pub(super) forwarder: Forwarder,
    pub(super) sent: Sent,
    publisher: PeerId,
    pub(super) viewer: PeerId,
    pub(super) sink: SinkId,
    encoders: Vec<Encoder>,
    picture: u64,
}

pub(super) fn stage() -> Stage {
    let (mut forwarder, mut sent) = (Forwarder::default(), Sent::default());
    let publisher = forwarder.add_peer(formats(PUBLISHER));
    let viewer = forwarder.add_peer(formats(VIEWER));
    let encodings = (0..ENCODINGS as u32)
        .map(|n| AnnouncedEncoding {
            rid: None,
            ssrc: Some(100 + n),
            retransmission_ssrc: None,
        })
        .collect();
    let origin = Origin::Peer {
        peer: publisher,
        encodings,
        mid: b"1"[..].into(),
        repairs: true,
    };
    let source = forwarder.add_source(CAMERA, origin);
    let target = Target::Peer {
        peer: viewer,
        ssrc: SINK_SSRC,
        retransmission_ssrc: Some(SINK_SSRC + 1),
    };
    let sink = forwarder
        .add_sink(Time::ZERO, source, target, &mut sent)
        .expect("both are there");
    Stage {
        forwarder,
        sent,
        publisher,
        viewer,
        sink,
        encoders: (0..ENCODINGS as u8).map(Encoder::new).collect(),
        picture: 0,
    }
}

impl Stage {
    pub(super) fn now(&self) -> Time {
        Time::from_micros(self.picture * 33_333)
    }

    /// Makes one picture in all encodings; a key frame where one was asked for.
    pub(super) fn picture(&mut self) -> Vec<Made> {
        let asked: Vec<_> = self
            .sent
            .controls(self.publisher)
            .iter()
            .filter_map(|control| match control {
                Control::KeyFrameRequest { ssrc } => Some(*ssrc),
                _ => None,
            })
            .collect();
        self.sent.control.clear();
        let picture = self.picture;
        self.picture += 1;
        self.encoders
            .iter_mut()
            .flat_map(|encoder| {
                let key = picture == 0 || asked.contains(&(100 + u32::from(encoder.place)));
                encoder.next(picture, key)
            })
            .collect()
    }

    pub(super) fn deliver(&mut self, made: &Made) {
        let packet = bytes(&Outgoing {
            marker: made.marker,
            payload_type: PUBLISHER + 1,
            index: u64::from(made.sequence),
            timestamp: made.timestamp,
            ssrc: made.ssrc,
            extensions: &ExtensionBlock::default(),
            original_sequence: None,
            payload: &made.payload,
            counters: Counters::default(),
            padding: 0,
        });
        let now = self.now();
        self.forwarder
            .handle_media(now, self.publisher, &packet, &mut self.sent);
    }

    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.forwarder.handle_timeout(now, &mut self.sent);
    }

    pub(super) fn wish(&mut self, height: u16, frame_rate: u8) {
        let wish = Wish {
            height: Some(height),
            frame_rate: Some(frame_rate),
            priority: Priority::Normal,
            ..Wish::default()
        };
        let now = self.now();
        self.forwarder
            .set_wish(now, self.sink, Some(wish), &mut self.sent);
    }

    /// What the viewer got so far, by its index.
    pub(super) fn received(&self) -> BTreeMap<u64, Got> {
        self.sent
            .media
            .iter()
            .map(|(_, index, packet)| {
                let header = Header::parse(packet, &formats(VIEWER).extensions).expect("RTP");
                (*index, Got::read(&header, header.payload(packet)))
            })
            .collect()
    }
}

/// A packet at the viewer, read without any of the forwarder's own code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    timestamp: u32,
    marker: bool,
    pub(super) padding: bool,
    begins: bool,
    picture_id: u16,
    base_layer_index: u8,
    key: bool,
    pub(super) encoding: u8,
    pub(super) frame: u16,
    part: u8,
    pub(super) temporal: u8,
    place: u8,
}

impl Got {
    pub(super) fn read(header: &Header, payload: &[u8]) -> Self {
        let at = |n: usize| payload.get(n).copied().unwrap_or(0);
        Self {
            timestamp: header.timestamp,
            marker: header.marker,
            padding: payload.is_empty(),
            begins: at(0) & 0x10 != 0,
            picture_id: u16::from_be_bytes([at(2) & 0x7f, at(3)]),
            base_layer_index: at(4),
            key: at(6) == 0,
            encoding: at(7),
            frame: u16::from_be_bytes([at(8), at(9)]),
            part: at(10),
            temporal: at(11),
            place: at(12),
        }
    }

    /// The frames that it needs, as distances back in its encoding.
    pub(super) fn needs(&self) -> &'static [u16] {
        match (self.key, self.place) {
            (true, _) => &[],
            (_, 0) => &[4],
            (_, 1) => &[1],
            (_, 2) => &[2],
            _ => &[1, 2],
        }
    }
}

/// Plays what came, in the order of its numbers, and says what is wrong with it. `complete` when
/// nothing was lost: then no number may be missing.
pub(super) fn play(
    received: &BTreeMap<u64, Got>,
    complete: bool,
) -> Result<BTreeSet<(u8, u8)>, String> {
    let mut whole: BTreeSet<(u8, u16)> = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut before: Option<(u64, Got)> = None;
    let mut parts = 0;
    for (&index, got) in received.iter().filter(|(_, got)| !got.padding) {
        if let Some((last_index, last)) = &before {
            if complete && index != last_index + 1 {
                return Err(format!("{index} after {last_index}"));
            }
            let same_frame = (last.encoding, last.frame) == (got.encoding, got.frame);
            if same_frame != (last.timestamp == got.timestamp) {
                return Err(format!("timestamps of {last:?} and {got:?}"));
            }
            if (got.timestamp.wrapping_sub(last.timestamp) as i32) < 0 {
                return Err(format!("time runs backwards from {last:?} to {got:?}"));
            }
            let step = got.picture_id.wrapping_sub(last.picture_id) & 0x7fff;
            if same_frame && step != 0 || !same_frame && (step == 0 || complete && step != 1) {
                return Err(format!("picture ids of {last:?} and {got:?}"));
            }
            if complete && !same_frame {
                let step = got.base_layer_index.wrapping_sub(last.base_layer_index);
                if step != u8::from(got.temporal == 0) {
                    return Err(format!("base layer indices of {last:?} and {got:?}"));
                }
            }
        }
        if got.begins {
            parts = 0;
        }
        parts += 1;
        if got.marker && parts == PACKETS_PER_FRAME {
            let missing =
                |back: &&u16| !whole.contains(&(got.encoding, got.frame.wrapping_sub(**back)));
            if let (true, Some(back)) = (complete, got.needs().iter().find(missing)) {
                return Err(format!("{got:?} needs the frame {back} before"));
            }
            whole.insert((got.encoding, got.frame));
            seen.insert((got.encoding, got.temporal));
        }
        before = Some((index, got.clone()));
    }
    Ok(seen)
}

#[test]
fn a_viewer_climbs_and_descends_without_a_hole() {
    let mut stage = stage();
    let steps = [
        (720, 30),
        (180, 30),
        (180, 7),
        (360, 15),
        (720, 30),
        (100, 30),
    ];
    for (height, rate) in steps {
        stage.wish(height, rate);
        for _ in 0..60 {
            for made in stage.picture() {
                stage.deliver(&made);
            }
            stage.tick();
        }
    }
    let seen = play(&stage.received(), true).expect("one stream");
    for layer in [(0, 0), (0, 2), (1, 0), (1, 1), (2, 2)] {
        assert!(seen.contains(&layer), "{layer:?} in {seen:?}");
    }
    let current = stage
        .forwarder
        .sent_to(stage.sink)
        .expect("something is sent");
    assert_eq!(current.encoding, EncodingId(0));
}

#[test]
fn where_there_is_room_a_smaller_encoding_is_waited_for_at_the_full_picture_rate() {
    let mut stage = stage();
    let large = |made: &Made| made.ssrc == 100 + ENCODINGS as u32 - 1;
    for _ in 0..60 {
        for made in stage.picture() {
            stage.deliver(&made);
        }
        stage.tick();
    }
    stage.wish(180, 30);
    let before = stage.received().len();
    // Nothing of the smaller one comes yet.
    let pictures = 8;
    for _ in 0..pictures {
        for made in stage.picture().iter().filter(|made| large(made)) {
            stage.deliver(made);
        }
        stage.tick();
    }
    let got = stage.received().len() - before;
    assert_eq!(got, pictures * usize::from(PACKETS_PER_FRAME));
}

#[test]
fn nobody_watching_the_top_stops_it_and_a_wish_starts_it_again() {
    let mut stage = stage();
    stage.wish(180, 30);
    let run = |stage: &mut Stage, pictures: usize, top: bool| {
        for _ in 0..pictures {
            for made in stage.picture() {
                if top || made.ssrc != 102 {
                    stage.deliver(&made);
                }
            }
            stage.tick();
        }
    };
    run(&mut stage, 90, true);
    assert_eq!(
        stage.sent.wanted.last().map(|(_, set)| set.encodings()),
        Some(0b001)
    );
    run(&mut stage, 30, false);
    stage.wish(720, 30);
    run(&mut stage, 10, false);
    let told = |stage: &Stage| stage.sent.wanted.last().map(|(_, set)| set.encodings());
    assert_eq!(
        told(&stage).map(|set| set & 0b100),
        Some(0b100),
        "asked for again"
    );
    run(&mut stage, 60, true);
    let current = stage
        .forwarder
        .sent_to(stage.sink)
        .expect("something is sent");
    assert_eq!(current.encoding, EncodingId(2));
    play(&stage.received(), true).expect("one stream");
}

#[test]
fn behind_a_link_a_larger_encoding_is_wanted_before_it_was_ever_sent() {
    let mut near = stage();
    let published = near.forwarder.sinks[near.sink.0].source;
    let link = Target::Link(LinkId(9));
    near.forwarder
        .add_sink(Time::ZERO, published, link, &mut near.sent);
    let (mut far, mut out) = (Forwarder::default(), Sent::default());
    let source = far.add_source(CAMERA, Origin::Backbone);
    let target = Target::Peer {
        peer: far.add_peer(formats(VIEWER)),
        ssrc: SINK_SSRC,
        retransmission_ssrc: None,
    };
    let sink = far.add_sink(Time::ZERO, source, target, &mut out);
    for top in [false, true] {
        for _ in 0..150 {
            for made in near.picture() {
                if top || made.ssrc != 102 {
                    near.deliver(&made);
                }
            }
            let now = near.now();
            for (_, packet) in near.sent.relayed.drain(..) {
                far.handle_relayed(now, source, &packet, &mut out);
            }
            far.handle_timeout(now, &mut out);
            if !out.key_frames.is_empty() {
                out.key_frames.clear();
                for place in (0..3).map(EncodingId) {
                    near.forwarder
                        .request_key_frame(now, published, place, &mut near.sent);
                }
            }
        }
        let wanted = out.wanted.last().map_or(LayerSet::ALL, |(_, set)| *set);
        assert!(wanted.has(2), "its publisher would stop it");
    }
    let current = sink.and_then(|sink| far.sent_to(sink));
    assert_eq!(current.map(|choice| choice.encoding), Some(EncodingId(2)));
}

#[test]
fn a_hidden_video_costs_nothing_and_comes_back() {
    let mut stage = stage();
    let hide = |stage: &mut Stage, visible: bool| {
        let wish = Wish {
            visible,
            ..Wish::default()
        };
        let now = stage.now();
        stage
            .forwarder
            .set_wish(now, stage.sink, Some(wish), &mut stage.sent);
    };
    let run = |stage: &mut Stage| {
        for _ in 0..40 {
            for made in stage.picture() {
                stage.deliver(&made);
            }
            stage.tick();
        }
    };
    run(&mut stage);
    hide(&mut stage, false);
    let before = stage.sent.media.len();
    run(&mut stage);
    assert!(stage.sent.media.len() <= before + usize::from(PACKETS_PER_FRAME));
    assert!(stage.sent.paused.is_empty(), "hiding is no pause");
    hide(&mut stage, true);
    run(&mut stage);
    assert!(stage.sent.media.len() > before + 30);
    play(&stage.received(), true).expect("one stream");
}

#[test]
fn what_a_viewer_misses_is_sent_again_as_it_was() {
    let mut stage = stage();
    stage.wish(180, 15);
    for _ in 0..30 {
        for made in stage.picture() {
            stage.deliver(&made);
        }
        stage.tick();
    }
    let received = stage.received();
    let (&index, missed) = received.iter().rev().nth(20).expect("sent");
    let mut nack = Vec::new();
    rtcp::nack(&mut nack, SINK_SSRC, &[index]);
    let count = stage.sent.media.len();
    let now = stage.now();
    stage
        .forwarder
        .handle_control(now, stage.viewer, &nack, &mut stage.sent);
    let (_, _, packet) = &stage.sent.media[count];
    let mut header = Header::parse(packet, &formats(VIEWER).extensions).expect("RTP");
    assert_eq!(header.take_original_sequence(packet), Some(index as u16));
    assert_eq!(Got::read(&header, header.payload(packet)), *missed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loss, reordering, duplication, and a viewer that changes its mind: numbers, times and picture
    /// ids stay those of one stream.
    #[test]
    fn whatever_comes_in_one_stream_comes_out(
        events in proptest::collection::vec((0u8..100, 0u8..100, 0usize..6), 300),
    ) {
        let mut stage = stage();
        let mut held: Vec<Made> = Vec::new();
        for (chance, turn, late) in events {
            if turn < 6 {
                let heights = [100, 180, 360, 540, 720, 1_080];
                stage.wish(heights[usize::from(turn)], [7, 15, 30][usize::from(turn) % 3]);
            }
            for made in stage.picture() {
                match chance {
                    0..5 => {}
                    5..12 => held.push(made),
                    12..15 => {
                        stage.deliver(&made);
                        stage.deliver(&made);
                    }
                    _ => stage.deliver(&made),
                }
            }
            if held.len() > late {
                for made in held.drain(..) {
                    stage.deliver(&made);
                }
            }
            stage.tick();
        }
        let indices: BTreeSet<_> = stage.sent.media.iter().map(|(_, index, _)| *index).collect();
        prop_assert_eq!(indices.len(), stage.sent.media.len(), "no index twice");
        if let Err(wrong) = play(&stage.received(), false) {
            prop_assert!(false, "{}", wrong);
        }
    }

    /// Packets that come late, beyond changes of layers too, go the way that the rest of their frame
    /// went: every frame comes out whole or not at all.
    #[test]
    fn a_late_packet_goes_with_its_frame(
        events in proptest::collection::vec((0u8..6, proptest::option::of(0usize..3), 0usize..5), 200),
    ) {
        let mut stage = stage();
        stage.wish(720, 30);
        // By how many more pictures each packet is late.
        let mut held: Vec<(usize, Made)> = Vec::new();
        for (turn, delayed, by) in events {
            if turn < 3 {
                stage.wish(720, [7, 15, 30][usize::from(turn)]);
            }
            for (place, made) in stage.picture().into_iter().enumerate() {
                // The largest encoding's two packets come last.
                let which = place.checked_sub(2 * (ENCODINGS - 1));
                if delayed.is_some() && delayed == which {
                    held.push((by, made));
                } else {
                    stage.deliver(&made);
                }
            }
            let (due, later) = held.into_iter().partition(|(by, _)| *by == 0);
            held = later;
            let due: Vec<(usize, Made)> = due;
            for (_, made) in due {
                stage.deliver(&made);
            }
            for (by, _) in &mut held {
                *by -= 1;
            }
            stage.tick();
        }
        for (_, made) in held {
            stage.deliver(&made);
        }
        let mut parts: BTreeMap<u16, u16> = BTreeMap::new();
        let received = stage.received();
        let largest = received.values().filter(|got| !got.padding && got.encoding == 2);
        for got in largest {
            *parts.entry(got.frame).or_default() += 1;
        }
        prop_assert!(parts.len() > 20, "{} frames", parts.len());
        let torn: Vec<_> = parts.iter().filter(|(_, parts)| **parts != PACKETS_PER_FRAME).collect();
        prop_assert!(torn.is_empty(), "{torn:?}");
    }
}

#[test]
fn who_joins_after_a_key_frame_sees_a_picture_at_once() {
    let mut stage = stage();
    stage.wish(720, 30);
    for _ in 0..10 {
        for made in stage.picture() {
            stage.deliver(&made);
        }
        stage.tick();
    }
    let before = stage.forwarder.stats().key_frame_requests_sent;
    let now = stage.now();
    let late = stage.forwarder.add_peer(formats(VIEWER));
    let source = stage.sent.first[0];
    let target = Target::Peer {
        peer: late,
        ssrc: 900,
        retransmission_ssrc: None,
    };
    stage.sent.media.clear();
    stage
        .forwarder
        .add_sink(now, source, target, &mut stage.sent)
        .expect("both are there");
    play(&stage.received(), true).expect("one stream");
    let pictures = stage.sent.media.len() / usize::from(PACKETS_PER_FRAME);
    assert!(
        pictures >= 9,
        "the key frame and all that followed, not {pictures}"
    );
    assert_eq!(stage.forwarder.stats().key_frame_requests_sent, before);
}
