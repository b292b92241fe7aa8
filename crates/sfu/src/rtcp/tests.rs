use proptest::prelude::*;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use sluice_types::units::Time;

use super::*;

/// The one packet in `bytes`, as the family's own reader sees it.
fn oracle<T: 'static + Clone>(bytes: &[u8]) -> T {
    let packets = rtc_rtcp::packet::unmarshal(&mut &bytes[..]).expect("RTCP");
    assert_eq!(packets.len(), 1);
    let any: &dyn std::any::Any = packets[0].as_any();
    any.downcast_ref::<T>()
        .expect("that kind of packet")
        .clone()
}

fn said(bytes: &[u8]) -> Vec<Control<'_>> {
    let mut all = Vec::new();
    controls(bytes, |control| all.push(control));
    all
}

#[test]
fn reports_are_read_as_written() {
    let clock = SenderClock {
        ntp: NtpTime(0x1122_3344_5566_7788),
        rtp: 90_000,
    };
    let mut bytes = Vec::new();
    sender_report(&mut bytes, 7, clock, 11, 12);
    let report: SenderReport = oracle(&bytes);
    assert_eq!(
        (report.ssrc, report.ntp_time, report.rtp_time),
        (7, clock.ntp.0, 90_000)
    );
    assert_eq!((report.packet_count, report.octet_count), (11, 12));
    assert_eq!(said(&bytes), [Control::SenderReport { ssrc: 7, clock }]);
}

#[test]
fn reception_is_read_as_written() {
    let block = ReportBlock {
        ssrc: 9,
        fraction_lost: 64,
        total_lost: 1_000,
        highest: 70_000,
        jitter: 33,
        last_report: 0x3344_5566,
        delay: 65_536,
    };
    let mut bytes = Vec::new();
    receiver_report(&mut bytes, &[block]);
    let report: ReceiverReport = oracle(&bytes);
    assert_eq!(report.reports[0].total_lost, 1_000);
    assert_eq!(report.reports[0].last_sequence_number, 70_000);
    assert_eq!(
        said(&bytes),
        [Control::Reception {
            ssrc: 9,
            fraction_lost: 64,
            total_lost: 1_000,
            highest: 70_000,
            jitter: 33,
            last_report: 0x3344_5566,
            delay: 65_536
        }]
    );
}

#[test]
fn key_frame_requests_are_read_as_written() {
    let mut bytes = Vec::new();
    key_frame_request(&mut bytes, 5);
    assert_eq!(oracle::<PictureLossIndication>(&bytes).media_ssrc, 5);
    assert_eq!(said(&bytes), [Control::KeyFrameRequest { ssrc: 5 }]);
}

#[test]
fn a_compound_says_everything_up_to_its_first_fault() {
    let mut bytes = Vec::new();
    key_frame_request(&mut bytes, 5);
    nack(&mut bytes, 6, &[100]);
    bytes.extend([0x80, 201, 0xff, 0xff]);
    assert_eq!(said(&bytes).len(), 2);
}

proptest! {
    #[test]
    fn nacks_name_exactly_the_missing(numbers in proptest::collection::btree_set(65_000u64..66_500, 1..200)) {
        let numbers: Vec<_> = numbers.into_iter().collect();
        let mut bytes = Vec::new();
        nack(&mut bytes, 6, &numbers);
        let wanted: Vec<u16> = numbers.iter().map(|&n| n as u16).collect();
        let packet: TransportLayerNack = oracle(&bytes);
        let theirs: Vec<u16> = packet.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
        prop_assert_eq!(&theirs, &wanted);
        let mut ours = Vec::new();
        controls(&bytes, |control| if let Control::Nack { first, following, .. } = control {
            ours.push(first);
            ours.extend((0..16).filter(|bit| following >> bit & 1 == 1).map(|bit| first.wrapping_add(bit + 1)));
        });
        prop_assert_eq!(ours, wanted);
    }

    #[test]
    fn transport_feedback_tells_every_arrival(
        gaps in proptest::collection::vec((1u64..30, 0u64..40_000), 1..200),
        start in 0u64..70_000,
    ) {
        let (mut number, mut micros) = (start, 123_456_789);
        let arrivals: Vec<_> = gaps.iter().map(|&(gap, wait)| {
            number += gap;
            micros += wait;
            (number, Time::from_micros(micros))
        }).collect();
        let (mut rest, mut count) = (&arrivals[..], 0);
        while !rest.is_empty() {
            let mut bytes = Vec::new();
            let reported = transport_feedback(&mut bytes, 3, count, rest);
            prop_assert!(reported > 0 && bytes.len() < 1_200);
            let packet: TransportLayerCc = oracle(&bytes);
            prop_assert_eq!(packet.base_sequence_number, rest[0].0 as u16);
            prop_assert_eq!(u64::from(packet.packet_status_count), rest[reported - 1].0 - rest[0].0 + 1);
            prop_assert_eq!(packet.fb_pkt_count, count);
            prop_assert_eq!(packet.recv_deltas.len(), reported);
            let mut clock = i64::from(packet.reference_time) * 64_000;
            for (delta, (_, arrival)) in packet.recv_deltas.iter().zip(rest) {
                clock += delta.delta;
                let late = arrival.as_micros() as i64 - clock;
                prop_assert!((0..250).contains(&late), "{late} µs off");
            }
            let [Control::TransportFeedback(feedback)] = said(&bytes)[..] else { panic!("one feedback") };
            prop_assert_eq!(feedback.count(), packet.packet_status_count);
            rest = &rest[reported..];
            count = count.wrapping_add(1);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        said(&bytes);
    }
}
