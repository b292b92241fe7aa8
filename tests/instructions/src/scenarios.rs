//! What is counted.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use sluice_relay::datagram::{Datagram, Split, Splitter};
use sluice_relay::joiner::Joiner;
use sluice_sfu::rtcp::{nack, transport_feedback};
use sluice_types::ids::RelayId;
use sluice_types::room::MediaKind::{self, Audio, Video};
use sluice_types::signal::Wish;

use crate::measured;
use crate::meeting::{Meeting, VIDEO_BYTES};

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// How many operations are counted together.
    pub(crate) operations: u32,
    pub(crate) run: fn(u32),
}

const fn scenario(name: &'static str, operations: u32, run: fn(u32)) -> Scenario {
    Scenario {
        name,
        operations,
        run,
    }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("video-to-1", 100, |count| forward(Video, 1, false, count)),
    scenario("video-to-10", 100, |count| forward(Video, 10, false, count)),
    scenario("video-to-100", 50, |count| {
        forward(Video, 100, false, count);
    }),
    scenario("paced-to-100", 50, |count| forward(Video, 100, true, count)),
    scenario("audio-to-100", 50, |count| {
        forward(Audio, 100, false, count);
    }),
    scenario("simulcast-switch", 30, simulcast_switch),
    scenario("nack-answered", 50, nack_answered),
    scenario("feedback-of-100", 20, feedback),
    scenario("allocation-of-25", 20, allocation),
    scenario("relay-datagram", 100, relay_datagram),
];

/// A packet goes to so many viewers, at the pace of each one's network where that is `estimated`.
fn forward(kind: MediaKind, viewers: usize, estimated: bool, count: u32) {
    let mut meeting = Meeting::new(kind, 1, 1, viewers, estimated);
    meeting.warm();
    for _ in 0..count {
        meeting.prepare(1, false);
        let before = meeting.out.packets;
        measured(&mut || meeting.send(0));
        assert_eq!(meeting.out.packets - before, viewers as u64);
        meeting.pass();
    }
}

/// A viewer of three encodings goes from the smallest to the largest, whose key frame comes, and back:
/// all the packets of three pictures.
fn simulcast_switch(count: u32) {
    let mut meeting = Meeting::new(Video, 1, 3, 1, false);
    meeting.warm();
    let sink = meeting.sinks[0];
    let height = |meeting: &mut Meeting, height: u16| {
        let wish = Wish {
            height: Some(height),
            ..Wish::default()
        };
        let now = meeting.now;
        meeting
            .forwarder
            .set_wish(now, sink, Some(wish), &mut meeting.out);
    };
    for n in 0..count {
        height(&mut meeting, if n % 2 == 0 { 180 } else { 720 });
        for picture in 0..3 {
            for ssrc in 1..=3 {
                meeting.prepare(ssrc, picture == 1);
                measured(&mut || meeting.send(0));
            }
            meeting.pass();
        }
        let place = meeting
            .forwarder
            .sent_to(sink)
            .map(|choice| choice.encoding.0);
        assert_eq!(place, Some(if n % 2 == 0 { 0 } else { 2 }));
    }
}

/// A viewer asks for one packet of the latest ones, and gets it.
fn nack_answered(count: u32) {
    let mut meeting = Meeting::new(Video, 1, 1, 1, false);
    meeting.warm();
    let viewer = meeting.viewers[0];
    for _ in 0..count {
        meeting.turn();
        let mut request = Vec::new();
        // The first index is 1,024, and every packet before this one was sent.
        nack(&mut request, 1_000, &[1_024 + meeting.out.packets - 10]);
        let before = meeting.forwarder.stats().retransmitted_packets;
        let now = meeting.now;
        measured(&mut || {
            meeting
                .forwarder
                .handle_control(now, viewer, &request, &mut meeting.out);
        });
        meeting.out.packets -= 1;
        assert_eq!(meeting.forwarder.stats().retransmitted_packets, before + 1);
    }
}

/// A viewer tells of 100 packets which arrived when.
fn feedback(count: u32) {
    let mut meeting = Meeting::new(Video, 1, 1, 1, true);
    let viewer = meeting.viewers[0];
    let mut arrivals = Vec::new();
    for n in 0..(count + 5) * 100 {
        let from = meeting.out.sent_to(viewer);
        meeting.prepare(1, n % 30 == 0);
        meeting.send(0);
        meeting.pass();
        let at = meeting.now + Duration::from_millis(20);
        arrivals.extend((from + 1..=meeting.out.sent_to(viewer)).map(|number| (number, at)));
        while arrivals.len() >= 100 {
            let rest = arrivals.split_off(100);
            let mut report = Vec::new();
            transport_feedback(&mut report, 1_000, 0, &arrivals);
            arrivals = rest;
            let now = meeting.now + Duration::from_millis(40);
            let operation = &mut || {
                meeting
                    .forwarder
                    .handle_control(now, viewer, &report, &mut meeting.out);
            };
            if n >= 500 {
                measured(operation);
            } else {
                operation();
            }
        }
    }
}

/// A viewer of 25 videos in three encodings each says how it wants one of them, so that all are
/// shared out anew.
fn allocation(count: u32) {
    let mut meeting = Meeting::new(Video, 25, 3, 1, false);
    for _ in 0..60 {
        meeting.turn();
    }
    let sink = meeting.sinks[7];
    for n in 0..count {
        let wish = Wish {
            height: Some([180, 360][(n % 2) as usize]),
            ..Wish::default()
        };
        let now = meeting.now;
        measured(&mut || {
            meeting
                .forwarder
                .set_wish(now, sink, Some(wish), &mut meeting.out);
        });
        meeting.turn();
    }
}

/// A packet is put into a datagram, read from it and joined.
fn relay_datagram(count: u32) {
    let packet = vec![7; VIDEO_BYTES];
    let (mut splitter, mut joiner) = (Splitter::new(RelayId(77)), Joiner::default());
    for _ in 0..count {
        let mut joined = None;
        measured(&mut || {
            let Ok(Split::Whole(datagram)) = splitter.split(black_box(&packet), 1_200) else {
                return;
            };
            joined = Datagram::parse(datagram)
                .ok()
                .and_then(|datagram| joiner.join(datagram));
        });
        assert_eq!(joined.as_ref().map(Bytes::len), Some(VIDEO_BYTES));
    }
}
