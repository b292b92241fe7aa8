//! Simulcast with temporal layers, through loss and reordering, to a receiver that wavers: what comes
//! out must be one stream that a decoder can follow.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_types::signal::Wish;

use super::stage::{ENCODINGS, Got, Made, PACKETS_PER_FRAME, Stage, play, stage};
use super::*;

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
