//! What a track has to offer to a receiver's wish, and what each quality of it takes.

use sluice_types::room::TrackSource;
use sluice_types::signal::{Priority, Wish};
use sluice_types::units::{Bitrate, Time};

use super::OwnerId;
use super::allocation::Offer;
use super::encoding::EncodingId;
use super::selection::Choice;
use super::source::{Origin, Source};
use crate::layer::{Layer, SPATIAL_MAX, TEMPORAL_MAX};

/// What an encoding of that place is taken to need before it is measured, of one, two or three.
const NOMINAL: [Bitrate; SPATIAL_MAX] =
    [Bitrate::kbps(150), Bitrate::kbps(500), Bitrate::kbps(1_700)];

/// The height of the largest encoding before a key frame told it, in pixels.
const NOMINAL_HEIGHT: u16 = 720;

/// The picture rate of a whole stream; each temporal layer halves it.
const FRAME_RATE: u8 = 30;

/// How a video is wanted by a receiver that says nothing: who speaks large, a screen in full, the
/// others the smaller the more there are.
pub(super) fn default_wish(source: &Source, dominant: Option<OwnerId>, videos: usize) -> Wish {
    let matters = source.track.source == TrackSource::Screen
        || dominant == Some(source.track.owner)
        || videos <= 2;
    let height = match videos {
        _ if matters => None,
        0..=6 => Some(360),
        _ => Some(180),
    };
    Wish {
        height,
        priority: if matters {
            Priority::High
        } else {
            Priority::Normal
        },
        ..Wish::default()
    }
}

/// What a source offers to a wish.
#[derive(Clone, Copy)]
pub(super) struct Offered {
    /// The encoding that the wish is best served by, whether it is sent now or not.
    pub(super) ideal: EncodingId,
    /// One that may serve it better, if the publisher has it: only its edge knows how many there
    /// are, and a publisher whose own network begins slowly starts the largest late.
    pub(super) unseen: Option<EncodingId>,
}

impl Offered {
    pub(super) const NOTHING: Self = Self {
        ideal: EncodingId(0),
        unseen: None,
    };
}

/// The bitrate of an encoding's layers, or what it is taken to be before it was measured.
pub(super) fn bitrate(source: &Source, choice: Choice) -> Bitrate {
    // Better a burst than no picture: what may be large is only known once it was sent.
    if choice.encoding.index() == 0 && !is_measured(source, choice) {
        return NOMINAL[0];
    }
    likely_bitrate(source, choice)
}

fn is_measured(source: &Source, choice: Choice) -> bool {
    let meter = &source.encodings[choice.encoding.index()].meter;
    meter.up_to(choice.layer) > Bitrate::bps(0)
}

/// What an encoding's layers may need: room for so much is looked for.
pub(super) fn likely_bitrate(source: &Source, choice: Choice) -> Bitrate {
    let place = choice.encoding.index();
    if is_measured(source, choice) {
        return source.encodings[place].meter.up_to(choice.layer);
    }
    let from_top = source.encodings.len() - 1 - place;
    NOMINAL[SPATIAL_MAX - 1 - from_top.min(SPATIAL_MAX - 1)]
}

/// Appends what can be had of a source now and is not more than wished, the lowest first.
pub(super) fn offer(source: &Source, now: Time, wish: &Wish, offers: &mut Vec<Offer>) -> Offered {
    let count = source.encodings.len();
    let last = count - 1;
    let tallest = source.encodings[last]
        .size
        .map_or(NOMINAL_HEIGHT, |size| size.1);
    // Ten percent too few pixels are not worth four times the bits.
    let enough = |height: u16| {
        wish.height
            .is_some_and(|wished| u32::from(height) * 10 >= u32::from(wished) * 9)
    };
    let height_of = |place: usize| {
        let told = source.encodings[place].size.map(|size| size.1);
        told.unwrap_or(tallest >> (last - place))
    };
    let ideal = (0..count)
        .find(|&place| enough(height_of(place)))
        .unwrap_or(last);
    let alive = |place: usize| source.is_alive(now, EncodingId(place as u8));
    let before = offers.len();
    for place in (0..=ideal).filter(|&place| alive(place)) {
        let first = offers.len() == before;
        offer_layers(
            source,
            EncodingId(place as u8),
            wish,
            &enough,
            first,
            offers,
        );
    }
    if offers.len() == before {
        // Nothing as small comes: the next larger there is, or what comes first.
        let place = (ideal..count).find(|&place| alive(place)).unwrap_or(0);
        let choice = Choice {
            encoding: EncodingId(place as u8),
            layer: Layer {
                spatial: 0,
                temporal: TEMPORAL_MAX as u8 - 1,
            },
        };
        let bitrate = if alive(place) {
            bitrate(source, choice)
        } else {
            Bitrate::bps(0)
        };
        offers.push(Offer { choice, bitrate });
    }
    let more = matches!(source.origin, Origin::Backbone) && count < SPATIAL_MAX;
    Offered {
        // Three at most.
        ideal: EncodingId(ideal as u8),
        unseen: (more && ideal == last && !enough(height_of(last)))
            .then_some(EncodingId(count as u8)),
    }
}

/// Appends the layers of one encoding. Of the larger ones only those are worth having that are
/// nearly as smooth as the smaller one was.
fn offer_layers(
    source: &Source,
    encoding: EncodingId,
    wish: &Wish,
    enough: &impl Fn(u16) -> bool,
    first: bool,
    offers: &mut Vec<Offer>,
) {
    let at = &source.encodings[encoding.index()];
    let temporal_layers = at.meter.temporal_layers().max(1);
    let highest = (0..temporal_layers)
        .find(|&temporal| {
            let rate = FRAME_RATE >> (temporal_layers - 1 - temporal).min(7);
            wish.frame_rate.is_some_and(|wished| rate >= wished)
        })
        .unwrap_or(temporal_layers - 1);
    let spatial_layers = at.spatial_layers();
    let resolutions = at.structure.as_ref().map_or(&[][..], |s| s.resolutions());
    let tallest = at.size.map_or(NOMINAL_HEIGHT, |size| size.1);
    for spatial in 0..spatial_layers {
        let lowest = if first && spatial == 0 {
            0
        } else {
            highest.saturating_sub(1)
        };
        for temporal in lowest..=highest {
            // A stream that was not measured yet may have more layers than it showed.
            let whole = wish.frame_rate.is_none() && temporal + 1 == temporal_layers;
            let choice = Choice {
                encoding,
                layer: Layer {
                    spatial,
                    temporal: if whole {
                        TEMPORAL_MAX as u8 - 1
                    } else {
                        temporal
                    },
                },
            };
            offers.push(Offer {
                choice,
                bitrate: bitrate(source, choice),
            });
        }
        let height = resolutions
            .get(usize::from(spatial))
            .map_or(tallest >> (spatial_layers - 1 - spatial), |size| size.1);
        if enough(height) {
            break;
        }
    }
}
