//! Which encodings of a track anybody wants: the others need not be sent, neither by the publisher
//! nor over the backbone.

use std::time::Duration;

use sluice_types::units::Time;

use super::encoding::EncodingId;
use super::sink::EncodingSet;

/// How long nobody has to want an encoding before it is stopped. Starting it again costs a key frame.
const LINGER: Duration = Duration::from_millis(2_000);

/// The demand for one track's encodings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demand {
    /// When each encoding was last wanted.
    wanted: [Option<Time>; 3],
    told: Option<EncodingSet>,
}

impl Demand {
    /// These encodings are wanted now. Gives the set to tell the sender, when it changed: more at
    /// once, less after a while. The lowest is always in it, so that a newcomer sees something at
    /// once.
    pub(super) fn update(&mut self, now: Time, wanted: EncodingSet) -> Option<EncodingSet> {
        let mut set = EncodingSet::default().with(EncodingId(0));
        for place in 0..3u8 {
            let encoding = EncodingId(place);
            let last = &mut self.wanted[encoding.index()];
            if wanted.has(encoding) {
                *last = Some(now);
            }
            // Before anybody was asked everything is sent, so a first set may not stop anything.
            let lingers = last.get_or_insert(now);
            if now.since(*lingers) < LINGER {
                set = set.with(encoding);
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
        let low = EncodingSet(0b001);
        assert_eq!(
            demand.update(Time::from_millis(0), low),
            Some(EncodingSet::ALL)
        );
        assert_eq!(demand.update(Time::from_millis(1_900), low), None);
        assert_eq!(demand.update(Time::from_millis(2_000), low), Some(low));
        let high = EncodingSet(0b100);
        assert_eq!(
            demand.update(Time::from_millis(2_020), high),
            Some(EncodingSet(0b101)),
            "the lowest stays"
        );
    }
}
