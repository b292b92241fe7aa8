//! Nothing on the packet's way allocates once warm.

use std::time::Duration;

use allocation_counter::measure;
use sluice_sfu::rtcp::nack;
use sluice_types::room::MediaKind::{self, Audio, Video};

use crate::meeting::Meeting;

/// A warm meeting of so many encodings: ten seconds of it, and not one allocation for a packet.
fn forwards_without_allocating(kind: MediaKind, encodings: u32, estimated: bool) {
    let mut meeting = Meeting::new(kind, 2, encodings, 20, estimated);
    meeting.warm();
    let before = meeting.out.packets;
    for turn in 0..300 {
        for publisher in 0..2 {
            for ssrc in 1..=encodings {
                meeting.prepare(ssrc, turn % 30 == 0);
                let allocated = measure(|| meeting.send(publisher));
                assert_eq!(
                    allocated.count_total, 0,
                    "turn {turn}, encoding {ssrc}: {allocated:?}"
                );
            }
        }
        meeting.pass();
    }
    assert!(meeting.out.packets - before >= 20 * 300, "they were sent");
}

#[test]
fn video_is_forwarded_without_allocating() {
    forwards_without_allocating(Video, 1, false);
}

#[test]
fn simulcast_is_forwarded_without_allocating() {
    forwards_without_allocating(Video, 3, false);
}

#[test]
fn paced_video_is_forwarded_without_allocating() {
    forwards_without_allocating(Video, 1, true);
}

#[test]
fn sound_is_forwarded_without_allocating() {
    forwards_without_allocating(Audio, 1, false);
}

#[test]
fn a_packet_is_sent_again_without_allocating() {
    let mut meeting = Meeting::new(Video, 1, 1, 1, false);
    meeting.warm();
    let viewer = meeting.viewers[0];
    for answered in 0..200 {
        meeting.turn();
        let mut request = Vec::new();
        // The first index is 1,024, and every packet before this one was sent.
        nack(
            &mut request,
            1_000,
            &[1_024 + meeting.out.packets - answered - 10],
        );
        let before = meeting.out.packets;
        let now = meeting.now + Duration::from_millis(1);
        let allocated = measure(|| {
            meeting
                .forwarder
                .handle_control(now, viewer, &request, &mut meeting.out);
        });
        assert_eq!(meeting.out.packets, before + 1, "it is answered");
        // The first 64 make the list of what was answered.
        assert!(answered < 64 || allocated.count_total == 0, "{allocated:?}");
    }
}
