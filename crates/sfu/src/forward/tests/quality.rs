use sluice_types::units::Bitrate;

use super::*;
use crate::rtcp::ReportBlock;

#[test]
fn a_viewers_report_tells_its_loss_jitter_and_round_trip() {
    let mut room = room();
    for n in 0..100u16 {
        room.send(u64::from(n) * 10, &video(n));
    }
    room.forwarder.handle_clock(
        Time::from_millis(1_000),
        room.source,
        EncodingId(0),
        SenderClock {
            ntp: NtpTime(7 << 32),
            rtp: 300_000,
        },
        &mut room.sent,
    );
    room.forwarder
        .handle_timeout(Time::from_millis(1_100), &mut room.sent);
    let told = room.sent.controls(room.viewer);
    let middle = told.iter().find_map(|control| match control {
        Control::SenderReport { clock, .. } => Some(clock.ntp.middle()),
        _ => None,
    });
    let highest = room.sent.media.last().expect("it went out").1 as u32;
    room.ask(1_260, |packet| {
        rtcp::receiver_report(
            packet,
            &[ReportBlock {
                ssrc: SINK_SSRC,
                fraction_lost: 0,
                total_lost: 20,
                highest,
                jitter: 900,
                last_report: middle.expect("a sender report"),
                delay: 65_536 / 10,
            }],
        );
    });
    let viewer = room.forwarder.take_quality(room.viewer).expect("there");
    let [sink] = viewer.receives[..] else {
        panic!("one track: {viewer:?}")
    };
    assert_eq!(sink.source, room.source);
    assert_eq!(sink.losses.ppm(), Some(200_000));
    assert_eq!(sink.bytes, 400);
    assert_eq!(sink.jitter, Some(Duration::from_millis(10)));
    let round_trip = viewer.round_trip.expect("told").as_millis();
    assert!((59..=61).contains(&round_trip), "{round_trip}");
    let again = room.forwarder.take_quality(room.viewer).expect("there");
    assert_eq!(again.receives[0].losses.ppm(), None, "nothing since");
    assert_eq!(again.receives[0].bytes, 0);
}

#[test]
fn what_a_publisher_sends_again_was_lost_before() {
    let mut room = room();
    for n in (0..50u16).filter(|n| n % 10 != 5) {
        room.send(u64::from(n) * 10, &video(n));
    }
    let mut again = video(5);
    again.payload_type = PUBLISHER + 2;
    again.ssrc = 2;
    again.payload = [&[0, 5][..], &key_frame(5)].concat();
    room.send(500, &again);
    let publisher = room.forwarder.take_quality(room.publisher).expect("there");
    let [stream] = &publisher.sends[..] else {
        panic!("one encoding: {publisher:?}")
    };
    let losses = Losses {
        expected: 50,
        lost: 5,
    };
    assert_eq!(stream.losses, losses);
    assert_eq!(room.forwarder.source_packets(room.source), Some((46, 4)));
    let later = room.forwarder.take_quality(room.publisher).expect("there");
    assert_eq!(later.sends[0].losses, Losses::default());
    assert_eq!(later.sends[0].bitrate, Bitrate::default(), "it stopped");
}
