//! Real streams, forwarded and decoded: each picture that a viewer puts together must be, to the last
//! pixel, one that the publisher's encoder made, and nothing but what was left out on purpose may be
//! missing.

use std::collections::HashMap;
use std::sync::LazyLock;

use sluice_streams::call::{Call, Turn, run};
use sluice_streams::link::Quality;
use sluice_streams::packetize::Parameters;
use sluice_streams::publisher::TICKS;
use sluice_streams::viewer::{Picture, Viewer};
use sluice_streams::{Format, Frame, ffmpeg};

/// Four seconds.
const PICTURES: usize = 120;

/// Simulcast, the lowest first.
const SIZES: [(u16, u16); 3] = [(160, 90), (320, 180), (640, 360)];

/// A stream in all sizes, and which picture of which encoding has which hash when it is decoded.
struct Streams {
    encodings: Vec<((u16, u16), Vec<Frame>)>,
    known: HashMap<String, (usize, usize)>,
}

impl Streams {
    fn make(format: Format) -> Self {
        let mut known = HashMap::new();
        let encodings: Vec<_> = SIZES
            .into_iter()
            .enumerate()
            .map(|(encoding, size)| {
                let frames = ffmpeg::encode(format, size, PICTURES);
                let data: Vec<_> = frames.iter().map(|frame| frame.data.clone()).collect();
                let hashes = ffmpeg::decode(format, &data);
                assert_eq!(hashes.len(), PICTURES);
                for (picture, hash) in hashes.into_iter().enumerate() {
                    assert_eq!(known.insert(hash, (encoding, picture)), None);
                }
                (size, frames)
            })
            .collect();
        Self { encodings, known }
    }

    fn of(format: Format) -> &'static Self {
        static ALL: [LazyLock<Streams>; 4] = [
            LazyLock::new(|| Streams::make(Format::Vp8)),
            LazyLock::new(|| Streams::make(Format::Vp9)),
            LazyLock::new(|| Streams::make(Format::H264)),
            LazyLock::new(|| Streams::make(Format::Av1)),
        ];
        &ALL[format as usize]
    }
}

/// A picture that was seen: its encoding, its place in it, and its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    encoding: usize,
    picture: usize,
    temporal: u8,
}

/// Decodes what a viewer can, and checks that it is one stream. `complete` when nothing may be missing.
fn watch(call: &Call, streams: &Streams, viewer: &Viewer, complete: bool) -> Vec<Seen> {
    let format = call.manner.format;
    let all = viewer.pictures(format);
    let mut playable: Vec<&Picture> = Vec::new();
    let mut waits = true;
    for picture in &all {
        let key = ffmpeg::is_key(format, &picture.data);
        waits = !key && (waits || picture.after_gap);
        if !waits {
            playable.push(picture);
        }
    }
    if complete {
        check_gaps(format, &viewer.gaps(), &all);
        let first = all.first().map(|first| first.number);
        let begun = playable.first().map(|first| first.number);
        assert_eq!(begun, first, "it begins with a key frame");
    }
    let data: Vec<_> = playable
        .iter()
        .map(|picture| picture.data.clone())
        .collect();
    let hashes = ffmpeg::decode(format, &data);
    assert_eq!(hashes.len(), playable.len(), "each picture is decoded");
    let seen: Vec<_> = hashes
        .iter()
        .zip(&playable)
        .enumerate()
        .map(|(n, (hash, picture))| {
            let &(encoding, place) = streams.known.get(hash).unwrap_or_else(|| {
                panic!(
                    "picture {n} is none that was encoded: {:?}",
                    picture.counters
                )
            });
            Seen {
                encoding,
                picture: place,
                temporal: picture.temporal,
            }
        })
        .collect();
    for (n, (pair, pictures)) in seen.windows(2).zip(playable.windows(2)).enumerate() {
        check_order(n, pair, [pictures[0], pictures[1]], complete);
    }
    seen
}

/// Numbers that never came may only stand shortly before a key frame: what was missing of the encoding
/// before it when it began is of no use any more.
fn check_gaps(format: Format, gaps: &[u64], pictures: &[Picture]) {
    for gap in gaps {
        let mut next = pictures
            .iter()
            .filter(|picture| picture.number > *gap)
            .take(6);
        let harmless = next.any(|next| ffmpeg::is_key(format, &next.data));
        assert!(harmless, "{gap} of {gaps:?} never came");
    }
}

fn check_order(n: usize, pair: &[Seen], pictures: [&Picture; 2], complete: bool) {
    let [before, after] = [pair[0], pair[1]];
    let said = format!("picture {n}: {before:?}, then {after:?}");
    let ticks = pictures[1].timestamp.wrapping_sub(pictures[0].timestamp);
    let same = before.encoding == after.encoding;
    if let (false, 0..=4) = (same, before.picture.wrapping_sub(after.picture)) {
        // The key frame of the next encoding took longer than the pictures of the one before it.
        assert_eq!(ticks, 1, "{said}");
    } else {
        assert!(after.picture > before.picture, "{said}");
        let passed = (after.picture - before.picture) as u32 * TICKS;
        let inexact = if complete && same { 0 } else { 30 };
        assert!(ticks.abs_diff(passed) <= inexact, "{said}: {ticks} ticks");
    }
    let (Some((id, base)), Some((next_id, next_base))) =
        (pictures[0].counters, pictures[1].counters)
    else {
        return;
    };
    let step = next_id.wrapping_sub(id) & 0x7fff;
    let base_step = next_base.wrapping_sub(base);
    // Where something comes late a picture may be given up after its first packets went.
    let most = if complete { 3 } else { 1_000 };
    assert!((1..=most).contains(&step), "{said}: picture ids");
    let most = if same { 1 } else { 2 };
    let base = usize::from(after.temporal == 0);
    assert!(
        !complete || (base..=base * most).contains(&usize::from(base_step)),
        "{said}: TL0PICIDX"
    );
}

fn hold(call: &Call, sizes: usize, complete: bool) -> Vec<Seen> {
    let streams = Streams::of(call.manner.format);
    let encodings = match sizes {
        1 => &streams.encodings[2..],
        _ => &streams.encodings[..],
    };
    let viewer = run(call, encodings);
    watch(call, streams, &viewer, complete)
}

const LOSSY: Quality = Quality {
    lost: 4,
    overtaken: 6,
    doubled: 3,
};

/// Where nothing is repaired, and every picture takes several packets.
const LOSING: Quality = Quality { lost: 1, ..LOSSY };

/// Heights that lead up and down, and less smooth and smooth again.
/// The edge takes the largest to be 720 high when nothing says how high it is.
fn turns(told: bool) -> Vec<Turn> {
    [
        (0, 90, 30),
        (20, 360, 30),
        (45, 180, 30),
        (60, 180, 7),
        (75, 180, 30),
        (90, 90, 15),
        (105, 360, 30),
    ]
    .map(|(picture, height, rate)| Turn {
        picture,
        height: if told { height } else { height * 2 },
        rate,
    })
    .to_vec()
}

fn every_picture_arrives(format: Format) {
    for (seed, up, down) in [
        (1, Quality::default(), Quality::default()),
        (2, Quality::default(), LOSSY),
        (3, LOSSY, Quality::default()),
        (4, LOSSY, LOSSY),
    ] {
        for across in [false, true] {
            let call = Call {
                up,
                down,
                across,
                seed,
                ..Call::new(format)
            };
            let seen = hold(&call, 1, true);
            let first = seen.first().map_or(PICTURES, |seen| seen.picture);
            assert!(first <= 16, "seed {seed}: begins with picture {first}");
            assert!(
                seen.len() + 3 >= PICTURES - first,
                "seed {seed}: {} pictures from {first} on",
                seen.len()
            );
        }
    }
}

fn layers_are_switched(format: Format, descriptors: bool) {
    for (seed, quality) in [(5, Quality::default()), (6, LOSSY), (7, LOSSY), (8, LOSSY)] {
        let mut call = Call {
            up: quality,
            down: quality,
            turns: turns(descriptors || format != Format::H264),
            seed,
            ..Call::new(format)
        };
        call.manner.descriptors |= descriptors;
        let seen = hold(&call, 3, true);
        for encoding in 0..3 {
            assert!(
                seen.iter().any(|seen| seen.encoding == encoding),
                "seed {seed}: encoding {encoding}"
            );
        }
        if matches!(format, Format::Vp8 | Format::Vp9) {
            // From picture 64 to 75 a quarter is wanted, and from 80 to 90 all.
            let of = |from: usize, to: usize| {
                let pictures = seen.iter().filter(move |s| (from..to).contains(&s.picture));
                pictures.map(|seen| seen.temporal).max()
            };
            assert_eq!(of(64, 75), Some(0), "seed {seed}");
            assert_eq!(of(80, 90), Some(2), "seed {seed}");
        }
    }
}

fn what_is_lost_for_good_harms_nothing_else(format: Format) {
    for seed in 10..14 {
        let call = Call {
            up: LOSING,
            down: LOSING,
            repairs: false,
            turns: turns(true),
            seed,
            ..Call::new(format)
        };
        let seen = hold(&call, 3, false);
        assert!(seen.len() >= 10, "seed {seed}: {} pictures", seen.len());
    }
}

fn who_joins_later_begins_with_a_key_frame(format: Format) {
    for joins in [3, 10, 18, 40] {
        let mut call = Call {
            joins,
            ..Call::new(format)
        };
        for parameters in [Parameters::Aggregated, Parameters::Single] {
            call.manner.parameters = parameters;
            let seen = hold(&call, 1, true);
            let first = seen.first().map(|seen| seen.picture);
            assert!(
                first.is_some_and(|first| first % 16 == 0 && first <= joins.next_multiple_of(16))
            );
        }
    }
}

macro_rules! formats {
    ($($module:ident: $format:expr),*) => {
        $(mod $module {
            use super::*;

            #[test]
            fn every_picture_arrives() {
                super::every_picture_arrives($format);
            }

            #[test]
            fn layers_are_switched() {
                super::layers_are_switched($format, false);
            }

            #[test]
            fn layers_are_switched_by_descriptors() {
                super::layers_are_switched($format, true);
            }

            #[test]
            fn what_is_lost_for_good_harms_nothing_else() {
                super::what_is_lost_for_good_harms_nothing_else($format);
            }

            #[test]
            fn who_joins_later_begins_with_a_key_frame() {
                super::who_joins_later_begins_with_a_key_frame($format);
            }
        })*
    };
}

formats! {
    vp8: Format::Vp8,
    vp9: Format::Vp9,
    h264: Format::H264,
    av1: Format::Av1
}
