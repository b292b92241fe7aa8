//! Which layers of a track anybody wants: the others need not be sent, neither by the publisher nor
//! over the backbone.

use std::time::Duration;

use sluice_types::layers::{ENCODINGS_MAX, LayerSet};
use sluice_types::units::Time;

use crate::layer::{SPATIAL_MAX, TEMPORAL_MAX};

/// How long nobody has to want something before it is stopped. Starting it again may cost a key frame.
const LINGER: Duration = Duration::from_millis(2_000);

/// The demand for one track's layers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demand {
    /// When each encoding was last wanted, by up to which layer.
    wanted: [[[Option<Time>; TEMPORAL_MAX]; SPATIAL_MAX]; ENCODINGS_MAX],
    told: Option<LayerSet>,
}

impl Demand {
    /// What the sender was told last; everything before.
    pub(super) fn told(&self) -> LayerSet {
        self.told.unwrap_or(LayerSet::ALL)
    }

    /// These layers are wanted now. Gives the set to tell the sender, when it changed: more at once, less
    /// after a while. The lowest is always in it, so that a newcomer sees something at once.
    pub(super) fn update(&mut self, now: Time, wanted: LayerSet) -> Option<LayerSet> {
        for encoding in 0..ENCODINGS_MAX as u8 {
            for (spatial, temporal) in wanted.tops(encoding) {
                self.wanted[usize::from(encoding)][usize::from(spatial)][usize::from(temporal)] =
                    Some(now);
            }
        }
        let mut set = LayerSet::default().with(0, 0, 0);
        for (encoding, tops) in (0u8..).zip(&mut self.wanted) {
            for (spatial, tops) in (0u8..).zip(tops) {
                for (temporal, last) in (0u8..).zip(tops) {
                    // Before anybody was asked everything is sent, so a first set may not stop anything.
                    let lingers = last.get_or_insert(now);
                    if now.since(*lingers) < LINGER {
                        set = set.with(encoding, spatial, temporal);
                    }
                }
            }
        }
        (self.told.replace(set) != Some(set)).then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_at_once_and_less_after_a_while() {
        let mut demand = Demand::default();
        let low = LayerSet::default().with_whole(0);
        assert_eq!(
            demand.update(Time::from_millis(0), low),
            Some(LayerSet::ALL)
        );
        assert_eq!(demand.update(Time::from_millis(1_900), low), None);
        assert_eq!(demand.update(Time::from_millis(2_000), low), Some(low));
        let high = LayerSet::default().with(2, 1, 2);
        assert_eq!(
            demand.update(Time::from_millis(2_020), high),
            Some(low.or(high)),
        );
        assert_eq!(
            demand.update(Time::from_millis(4_000), high),
            Some(high.with(0, 0, 0)),
            "the lowest stays"
        );
    }
}
