//! Links that edges cannot use, as they report it.
//!
//! An edge that cannot reach another says so with each heartbeat. When both are registered for longer
//! than a dead edge would be, the way between them is what is wrong, and plans go around the link. It is
//! tried again after a while, and later each time that it fails again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::ids::RegionName;
use sluice_types::units::Time;

/// Reports further apart than this are of different failures.
const GAP: Duration = Duration::from_secs(3);

/// How long a link is left alone after it failed: doubled each time that it fails again, up to the
/// longest. After that long without a failure, it starts over.
const HOLD: Duration = Duration::from_secs(30);
const HOLD_MAX: Duration = Duration::from_secs(600);

/// Two regions, the smaller name first.
pub(super) type Pair = (RegionName, RegionName);

#[derive(Debug, Default)]
struct Link {
    /// Since when it has been reported without a gap, and when it was last.
    reported: Option<(Time, Time)>,
    down_until: Option<Time>,
    failures: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Links {
    patience: Duration,
    links: BTreeMap<Pair, Link>,
}

impl Links {
    /// Reports count when they have lasted for `patience`.
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            patience,
            links: BTreeMap::new(),
        }
    }

    /// An edge at one end cannot reach one at the other, though that is alive.
    pub(super) fn report(&mut self, now: Time, pair: Pair) {
        let link = self.links.entry(pair).or_default();
        let since = match link.reported {
            Some((since, last)) if now.since(last) <= GAP => since,
            Some((_, last)) if now.since(last) > HOLD_MAX => {
                link.failures = 0;
                now
            }
            _ => now,
        };
        link.reported = Some((since, now));
        if now.since(since) >= self.patience && link.down_until.is_none() {
            let hold = (HOLD * 2_u32.saturating_pow(link.failures)).min(HOLD_MAX);
            link.down_until = Some(now + hold);
            link.failures = (link.failures + 1).min(16);
        }
    }

    /// Links whose time is over are tried again.
    pub(super) fn retry(&mut self, now: Time) {
        for link in self.links.values_mut() {
            if link.down_until.take_if(|until| *until <= now).is_some() {
                link.reported = link.reported.map(|(_, last)| (now, last));
            }
        }
    }

    /// The links that plans go around.
    pub(super) fn down(&self) -> BTreeSet<Pair> {
        let down = |(pair, link): (&Pair, &Link)| link.down_until.map(|_| pair.clone());
        self.links.iter().filter_map(down).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(4);

    fn pair() -> Pair {
        (
            "paris".parse().expect("a region"),
            "tokyo".parse().expect("a region"),
        )
    }

    fn at(s: u64) -> Time {
        Time::from_millis(s * 1_000)
    }

    /// Reports every second of `seconds`; gives those at which the link was down.
    fn reported(links: &mut Links, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let down = seconds.filter(|&second| {
            links.retry(at(second));
            links.report(at(second), pair());
            links.down().contains(&pair())
        });
        down.collect()
    }

    #[test]
    fn a_link_is_down_when_reports_last_and_tried_again_later_each_time() {
        let mut links = Links::new(PATIENCE);
        let down = reported(&mut links, 0..200);
        assert_eq!(down.first(), Some(&4));
        let up: Vec<_> = (5..200).filter(|second| !down.contains(second)).collect();
        assert_eq!(up, [34, 35, 36, 37, 98, 99, 100, 101]);
    }

    #[test]
    fn a_report_now_and_then_is_none() {
        let mut links = Links::new(PATIENCE);
        for second in (0..100).step_by(4) {
            links.report(at(second), pair());
        }
        assert!(links.down().is_empty());
    }
}
