//! Links that carry less than they are offered, in virtual time.

use proptest::prelude::*;
use sluice_types::units::Bitrate;

use super::*;
use crate::hop::Measured;

/// One encoding of a relay: so many bytes, every so often.
#[derive(Clone, Copy)]
struct Stream {
    room: u32,
    relay: u32,
    class: Class,
    bytes: usize,
    every_ms: u64,
}

fn camera(room: u32, relay: u32, kbps: [u64; 3]) -> Vec<Stream> {
    VIDEO
        .into_iter()
        .zip(kbps)
        .filter(|(_, kbps)| *kbps > 0)
        .map(|(class, kbps)| Stream {
            room,
            relay,
            class,
            bytes: 1_000,
            every_ms: (8_000 / kbps).max(1),
        })
        .collect()
}

const fn voice(room: u32, relay: u32) -> Stream {
    Stream {
        room,
        relay,
        class: Class::Audio,
        bytes: 100,
        every_ms: 20,
    }
}

/// What got through, in packets, by room, relay and class, for each second.
type Seconds = Vec<BTreeMap<(u32, u32, Class), u64>>;

/// Runs streams over a link whose rate in kbit/s changes with the second.
fn run(streams: &[Stream], seconds: u64, kbps: impl Fn(u64) -> u64) -> (Seconds, ShareCounters) {
    let mut shares = Shares::default();
    let mut through: Seconds = vec![BTreeMap::new(); seconds as usize];
    let mut credit = 0;
    for millis in 0..seconds * 1_000 {
        let now = Time::from_millis(millis);
        for stream in streams {
            if (millis + u64::from(stream.relay) * 3) % stream.every_ms == 0 {
                let room = RoomKey(stream.room);
                shares.push(
                    now,
                    room,
                    RelayId(stream.relay),
                    stream.class,
                    stream.bytes,
                    *stream,
                );
            }
        }
        credit = (credit + kbps(millis / 1_000) as i64).min(12_000);
        while credit > 0 {
            let Some(stream) = shares.pop() else { break };
            credit -= stream.bytes as i64 * 8;
            let key = (stream.room, stream.relay, stream.class);
            *through[(millis / 1_000) as usize].entry(key).or_default() += 1;
        }
        while shares.take_dropped().is_some() {}
        if millis % 5 == 0 {
            shares.review(now);
        }
    }
    (through, shares.counters())
}

fn got(
    through: &Seconds,
    seconds: std::ops::Range<usize>,
    of: impl Fn(&(u32, u32, Class)) -> bool,
) -> u64 {
    through[seconds]
        .iter()
        .flatten()
        .filter(|(key, _)| of(key))
        .map(|(_, packets)| packets)
        .sum()
}

#[test]
fn highest_encodings_go_first_and_sound_never() {
    let mut streams = camera(1, 1, [200, 600, 2_000]);
    streams.push(voice(1, 2));
    // Room for everything, then without the highest, then for the lowest, then for no picture.
    for (kbps, lasting) in [
        (
            3_500,
            vec![Class::Audio, Class::Base, Class::Middle, Class::High],
        ),
        (1_100, vec![Class::Audio, Class::Base, Class::Middle]),
        (400, vec![Class::Audio, Class::Base]),
        (100, vec![Class::Audio]),
    ] {
        let (through, counters) = run(&streams, 20, |_| kbps);
        for class in [Class::Audio, Class::Base, Class::Middle, Class::High] {
            let offered: u64 = streams
                .iter()
                .filter(|stream| stream.class == class)
                .map(|stream| 17_000 / stream.every_ms)
                .sum();
            let share = got(&through, 3..20, |key| key.2 == class) as f64 / offered as f64;
            if lasting.contains(&class) {
                assert!(share > 0.95, "{class:?} at {kbps}: {share}");
            } else {
                assert!(share < 0.35, "{class:?} at {kbps}: {share}");
            }
        }
        assert_eq!(counters.dropped[0], 0);
    }
}

#[test]
fn a_shed_encoding_returns_and_what_does_not_fit_tries_ever_less() {
    let streams = camera(1, 1, [200, 600, 2_000]);
    // Two minutes with no room for the highest, then plenty.
    let (through, counters) = run(
        &streams,
        240,
        |second| if second < 120 { 1_500 } else { 5_000 },
    );
    assert!(counters.shed <= 8, "{counters:?}");
    let high = |range| got(&through, range, |key| key.2 == Class::High);
    let back = (120..240).find(|second| high(*second..*second + 1) > 200);
    assert!(back.is_some_and(|second| second < 185), "{back:?}");
    assert!(high(200..240) > 40 * 240);
    // What stays is not touched by the attempts.
    assert!(got(&through, 1..240, |key| key.2 == Class::Middle) > 239 * 72);
}

#[test]
fn a_large_room_does_not_starve_a_small_one() {
    // Forty cameras against one, at a third of what the forty want.
    let mut streams: Vec<_> = (0..40)
        .flat_map(|relay| camera(1, relay, [500, 0, 0]))
        .collect();
    streams.extend(camera(2, 100, [500, 0, 0]));
    streams.push(voice(2, 101));
    let (through, _) = run(&streams, 30, |_| 7_000);
    let small = got(&through, 1..30, |key| key.0 == 2 && key.2 == Class::Base);
    assert!(small >= 29 * 61, "{small} of {}", 29 * 62);
    // And the large one uses all the rest.
    let large = got(&through, 5..30, |key| key.0 == 1);
    assert!(large as f64 * 8_000.0 > 25.0 * 6_300_000.0 * 0.8, "{large}");
}

#[test]
fn rooms_that_both_want_too_much_share_evenly() {
    // Packets of different lengths: turns count bytes.
    let mut streams: Vec<_> = (0..10)
        .flat_map(|relay| camera(1, relay, [800, 0, 0]))
        .collect();
    streams.extend(
        (20..60)
            .flat_map(|relay| camera(2, relay, [800, 0, 0]))
            .map(|stream| Stream {
                bytes: 250,
                every_ms: stream.every_ms / 4,
                ..stream
            }),
    );
    // Before anything is shed.
    let mut shares = Shares::default();
    let mut bytes = [0usize; 3];
    for millis in 0..200 {
        for stream in &streams {
            if millis % stream.every_ms.max(1) == 0 {
                let at = Time::from_millis(millis);
                let room = RoomKey(stream.room);
                shares.push(
                    at,
                    room,
                    RelayId(stream.relay),
                    stream.class,
                    stream.bytes,
                    *stream,
                );
            }
        }
        for _ in 0..3 {
            if let Some(stream) = shares.pop() {
                bytes[stream.room as usize] += stream.bytes;
            }
        }
    }
    let (one, two) = (bytes[1] as f64, bytes[2] as f64);
    assert!((one / two - 1.0).abs() < 0.1, "{bytes:?}");
}

#[test]
fn a_full_link_is_found_and_an_emptier_one_found_again() {
    let mut capacity = Capacity::default();
    let offered = Bitrate::mbps(6);
    let mut measured = Measured {
        round_trip: Duration::from_millis(80),
        standing: Duration::from_millis(80),
        shortest: Duration::from_millis(80),
        loss: 0.02,
        delivered: Bitrate::mbps(6),
        ..Measured::default()
    };
    let mut now = Time::ZERO;
    let mut step = |capacity: &mut Capacity, measured: &Measured, recent, times| {
        for _ in 0..times {
            now = now + Duration::from_millis(100);
            capacity.update(now, measured, recent, offered);
        }
    };
    // Loss as usual is no sign of anything.
    step(&mut capacity, &measured, 0.05, 100);
    assert_eq!(capacity.limit(), None);
    // A queue is, and so is sudden loss.
    measured.standing = Duration::from_millis(160);
    measured.delivered = Bitrate::mbps(3);
    step(&mut capacity, &measured, 0.02, 4);
    assert_eq!(capacity.limit(), Some(Bitrate::kbps(2_550)));
    measured.standing = Duration::from_millis(80);
    measured.delivered = Bitrate::mbps(6);
    step(&mut capacity, &measured, 0.02, 300);
    assert!(
        capacity
            .limit()
            .is_none_or(|limit| limit > Bitrate::mbps(6))
    );
    measured.loss = 0.05;
    measured.delivered = Bitrate::mbps(3);
    step(&mut capacity, &measured, 0.45, 8);
    assert!(
        capacity
            .limit()
            .is_some_and(|limit| limit <= Bitrate::kbps(2_700))
    );
}

proptest! {
    #[test]
    fn everything_is_sent_or_dropped_once(
        packets in proptest::collection::vec((0u32..4, 0u32..6, 0u32..4, 1usize..1_400, 0u64..40), 1..400),
        pops in proptest::collection::vec(0usize..4, 1..400),
    ) {
        let mut shares = Shares::default();
        let (mut now, mut seen, mut pushed) = (Time::ZERO, Vec::new(), 0);
        let mut pops = pops.into_iter().cycle();
        for (which, (room, relay, class, bytes, wait)) in packets.into_iter().enumerate() {
            now = now + Duration::from_millis(wait);
            let class = if class == 3 { Class::Audio } else { Class::of_encoding(class) };
            shares.push(now, RoomKey(room), RelayId(relay), class, bytes, which);
            pushed += 1;
            for _ in 0..pops.next().unwrap_or(0) {
                seen.extend(shares.pop());
            }
            shares.review(now);
            if which % 7 == 0 {
                shares.forget_room(RoomKey(room));
                shares.forget_relay(RelayId(relay));
            }
            seen.extend(std::iter::from_fn(|| shares.take_dropped()));
        }
        seen.extend(std::iter::from_fn(|| shares.pop()));
        prop_assert!(shares.is_empty());
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..pushed).collect::<Vec<_>>());
    }
}

#[test]
fn what_arrives_of_media_that_has_just_begun_is_no_limit() {
    let mut capacity = Capacity::default();
    let mut measured = Measured {
        round_trip: Duration::from_millis(70),
        standing: Duration::from_millis(70),
        shortest: Duration::from_millis(70),
        delivered: Bitrate::kbps(5),
        ..Measured::default()
    };
    let mut now = Time::from_millis(10_000);
    let mut step = |capacity: &mut Capacity, measured: &Measured, offered, times| {
        for _ in 0..times {
            now = now + Duration::from_millis(100);
            capacity.update(now, measured, 0.0, offered);
        }
    };
    // A backup link carries probes alone.
    step(&mut capacity, &measured, Bitrate::kbps(5), 50);
    // Media turns to it, and a host stands still: probes say nothing of the link for a while.
    measured.standing = Duration::from_millis(400);
    step(&mut capacity, &measured, Bitrate::kbps(600), 8);
    assert_eq!(capacity.limit(), None);
    measured.standing = Duration::from_millis(70);
    measured.delivered = Bitrate::kbps(600);
    step(&mut capacity, &measured, Bitrate::kbps(600), 50);
    assert_eq!(capacity.limit(), None);
    // A queue that stands later is one.
    measured.standing = Duration::from_millis(400);
    measured.delivered = Bitrate::kbps(400);
    step(&mut capacity, &measured, Bitrate::kbps(600), 8);
    assert_eq!(capacity.limit(), Some(Bitrate::kbps(340)));
}
