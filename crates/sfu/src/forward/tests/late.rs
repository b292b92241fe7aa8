//! What comes late, and what it finds.

use sluice_types::signal::Wish;

use super::stage::stage;
use super::*;

#[test]
fn what_overtook_a_key_frame_follows_it() {
    let mut room = room();
    room.send(0, &follower(8));
    room.send(1, &follower(11));
    room.send(2, &follower(12));
    assert!(room.sent.media.is_empty(), "no decoder can start here");
    room.send(30, &video(10));
    room.send(31, &follower(13));
    let received = room.received();
    let payloads: Vec<_> = received
        .iter()
        .map(|(_, header, packet)| header.payload(packet)[3])
        .collect();
    assert_eq!(payloads, [10, 11, 12, 13]);
    let first = received[0].0;
    let indices: Vec<_> = received.iter().map(|(index, ..)| index - first).collect();
    assert_eq!(indices, [0, 1, 2, 3]);
    assert_eq!(room.forwarder.stats().dropped[Drop::Duplicate as usize], 0);
}

#[test]
fn who_connects_after_its_sink_was_made_begins_with_the_key_frame() {
    let mut room = room();
    room.send(0, &video(10));
    room.send(30, &follower(11));
    room.send(60, &follower(12));
    let before = room.sent.media.len();
    assert_eq!(before, 3, "to a viewer whose DTLS is not up yet");
    let now = Time::from_millis(70);
    room.forwarder.refresh(now, room.viewer, &mut room.sent);
    room.send(90, &follower(13));
    let ids = formats(VIEWER).extensions;
    let again: Vec<_> = room.sent.media[before..]
        .iter()
        .map(|(_, _, packet)| {
            let header = Header::parse(packet, &ids).expect("RTP");
            header.payload(packet)[3]
        })
        .collect();
    assert_eq!(again, [10, 11, 12, 13]);
}

#[test]
fn a_stream_that_stopped_is_not_shown_again_from_before() {
    let mut room = room();
    for (millis, packet) in [(0, video(10)), (30, follower(11)), (60, follower(12))] {
        room.send(millis, &packet);
    }
    let before = room.sent.media.len();
    let sink = room.forwarder.peers[room.viewer.0].sinks[0];
    for (millis, visible) in [(1_000, false), (3_500, true)] {
        let wish = Wish {
            visible,
            ..Wish::default()
        };
        let now = Time::from_millis(millis);
        room.forwarder
            .set_wish(now, sink, Some(wish), &mut room.sent);
        room.forwarder.handle_timeout(now, &mut room.sent);
    }
    assert_eq!(
        room.sent.media.len(),
        before,
        "the viewer has had all of it"
    );
}

#[test]
fn a_camera_that_is_off_is_not_asked_for_key_frames_until_it_sends_again() {
    let mut room = room();
    room.send(0, &video(10));
    let late = room.forwarder.add_peer(formats(VIEWER));
    let target = Target::Peer {
        peer: late,
        ssrc: 900,
        retransmission_ssrc: None,
    };
    room.forwarder
        .add_sink(
            Time::from_millis(20_000),
            room.source,
            target,
            &mut room.sent,
        )
        .expect("both are there");
    room.sent.control.clear();
    let requests = |room: &Room| {
        room.sent
            .controls(room.publisher)
            .iter()
            .filter(|control| **control == Control::KeyFrameRequest { ssrc: 1 })
            .count()
    };
    for millis in (20_000..40_000).step_by(20) {
        room.forwarder
            .handle_timeout(Time::from_millis(millis), &mut room.sent);
    }
    assert!(requests(&room) <= 1, "{} in 20 s", requests(&room));
    room.sent.control.clear();
    room.send(40_000, &follower(11));
    for millis in (40_000..40_140).step_by(20) {
        room.forwarder
            .handle_timeout(Time::from_millis(millis), &mut room.sent);
    }
    assert_eq!(requests(&room), 1, "it sends again, and somebody waits");
}

#[test]
fn padding_that_was_lost_is_sent_again() {
    let mut stage = stage();
    stage.wish(180, 7);
    let mut late = None;
    for n in 0..60 {
        let mut picture = stage.picture();
        if n >= 50 && late.is_none() {
            // The first packet of a picture that is left out; those behind it open its place.
            late = (picture[0].payload[5] >> 6 == 2).then(|| picture.remove(0));
        }
        for made in picture {
            stage.deliver(&made);
        }
        stage.tick();
    }
    for made in stage.picture() {
        stage.deliver(&made);
    }
    stage.deliver(&late.expect("a picture was left out"));
    let received = stage.received();
    let fillers: Vec<_> = received.iter().filter(|(_, got)| got.padding).collect();
    let [(filler, _)] = fillers[..] else {
        panic!("one filler, not {fillers:?}");
    };
    let before = stage.sent.media.len();
    let mut request = Vec::new();
    rtcp::nack(&mut request, SINK_SSRC, &[*filler]);
    let now = stage.now();
    stage
        .forwarder
        .handle_control(now, stage.viewer, &request, &mut stage.sent);
    let (_, _, packet) = stage.sent.media.get(before).expect("it is answered");
    let header = Header::parse(packet, &formats(VIEWER).extensions).expect("RTP");
    assert_eq!(header.payload(packet), (*filler as u16).to_be_bytes());
}
