//! Sharing out one receiver's downlink among its videos.
//!
//! A pure function of what is offered, wanted and possible: every video gets its lowest layer, in
//! the order of priority, while the budget lasts; then whoever matters most gets better, one step at
//! a time. What was there before is kept while it fits; better is given only with a margin, so that a
//! wavering estimate does not make layers flap.

use sluice_types::signal::Priority;
use sluice_types::units::Bitrate;

use super::selection::Choice;

/// Share of the budget, in percent, that a step up may fill.
const MARGIN_PERCENT: u64 = 90;

/// One possible quality of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) choice: Choice,
    /// What it takes.
    pub(super) bitrate: Bitrate,
}

/// One video of a receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demanded<'a> {
    pub(super) priority: Priority,
    /// What can be had and is wanted, the lowest first; never empty.
    pub(super) offers: &'a [Offer],
    /// What it has now.
    pub(super) current: Option<Choice>,
}

/// What everybody gets, as a place in its offers; `None` for a video that does not fit at all.
pub(super) fn allocate(budget: Bitrate, demanded: &[Demanded<'_>], given: &mut Vec<Option<usize>>) {
    given.clear();
    given.resize(demanded.len(), None);
    let mut left = budget.as_bps();
    let reserve = left / 100 * (100 - MARGIN_PERCENT);
    let priorities = [Priority::High, Priority::Normal, Priority::Low];
    for priority in priorities {
        for (video, place) in demanded.iter().zip(given.iter_mut()) {
            let Some(lowest) = video.offers.first() else {
                continue;
            };
            let cost = lowest.bitrate.as_bps();
            let margin = if video.current.is_some() { 0 } else { reserve };
            if video.priority == priority && cost.saturating_add(margin) <= left {
                left -= cost;
                *place = Some(0);
            }
        }
    }
    for priority in priorities {
        while raise_one_each(priority, demanded, given, &mut left, reserve) {}
    }
}

/// Raises each video of a priority by one step where it fits, and says whether any was raised.
fn raise_one_each(
    priority: Priority,
    demanded: &[Demanded<'_>],
    given: &mut [Option<usize>],
    left: &mut u64,
    reserve: u64,
) -> bool {
    let mut raised = false;
    for (video, place) in demanded.iter().zip(given.iter_mut()) {
        let Some(now) = *place else { continue };
        if video.priority != priority {
            continue;
        }
        let Some(next) = video.offers.get(now + 1) else {
            continue;
        };
        let more = next
            .bitrate
            .as_bps()
            .saturating_sub(video.offers[now].bitrate.as_bps());
        let had = video.current.is_some_and(|current| next.choice <= current);
        let margin = if had { 0 } else { reserve };
        if more.saturating_add(margin) <= *left {
            *left -= more;
            *place = Some(now + 1);
            raised = true;
        }
    }
    raised
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forward::EncodingId;
    use crate::layer::Layer;

    fn offers(kbps: &[u64]) -> Vec<Offer> {
        (0u8..)
            .zip(kbps)
            .map(|(n, &kbps)| Offer {
                choice: Choice {
                    encoding: EncodingId(n),
                    layer: Layer::default(),
                },
                bitrate: Bitrate::kbps(kbps),
            })
            .collect()
    }

    fn share(kbps: u64, videos: &[(Priority, &[Offer], Option<usize>)]) -> Vec<Option<usize>> {
        let demanded: Vec<_> = videos
            .iter()
            .map(|&(priority, offers, current)| Demanded {
                priority,
                offers,
                current: current.map(|place| offers[place].choice),
            })
            .collect();
        let mut given = Vec::new();
        allocate(Bitrate::kbps(kbps), &demanded, &mut given);
        given
    }

    #[test]
    fn everybody_is_seen_before_anybody_is_sharp() {
        let three = offers(&[150, 500, 1_700]);
        let videos = [
            (Priority::Normal, &three[..], None),
            (Priority::High, &three[..], None),
            (Priority::Normal, &three[..], None),
        ];
        assert_eq!(share(100, &videos), [None, None, None]);
        assert_eq!(share(200, &videos), [None, Some(0), None]);
        assert_eq!(share(560, &videos), [Some(0), Some(0), Some(0)]);
        assert_eq!(share(1_000, &videos), [Some(0), Some(1), Some(0)]);
        assert_eq!(share(2_400, &videos), [Some(0), Some(2), Some(0)]);
        assert_eq!(share(10_000, &videos), [Some(2), Some(2), Some(2)]);
    }

    #[test]
    fn what_is_there_is_kept_and_better_needs_a_margin() {
        let three = offers(&[150, 500, 1_700]);
        assert_eq!(share(520, &[(Priority::Normal, &three, None)]), [Some(0)]);
        assert_eq!(
            share(520, &[(Priority::Normal, &three, Some(1))]),
            [Some(1)]
        );
        assert_eq!(
            share(490, &[(Priority::Normal, &three, Some(1))]),
            [Some(0)]
        );
        assert_eq!(
            share(150, &[(Priority::Normal, &three, Some(0))]),
            [Some(0)]
        );
        assert_eq!(share(150, &[(Priority::Normal, &three, None)]), [None]);
    }

    proptest! {
        #[test]
        fn the_sum_fits_always(
            budget in 0u64..5_000,
            videos in proptest::collection::vec((0u8..3, 1u64..600, 0u64..600, 0u64..2_000), 0..12),
        ) {
            let lists: Vec<_> = videos
                .iter()
                .map(|&(_, a, b, c)| offers(&[a, a + b, a + b + c]))
                .collect();
            let demanded: Vec<_> = videos
                .iter()
                .zip(&lists)
                .map(|(&(priority, ..), offers)| Demanded {
                    priority: [Priority::Low, Priority::Normal, Priority::High][usize::from(priority)],
                    offers,
                    current: None,
                })
                .collect();
            let mut given = Vec::new();
            allocate(Bitrate::kbps(budget), &demanded, &mut given);
            let sum: u64 = given
                .iter()
                .zip(&lists)
                .filter_map(|(place, offers)| Some(offers[(*place)?].bitrate.as_bps()))
                .sum();
            prop_assert!(sum <= budget * 1_000);
        }
    }
}
