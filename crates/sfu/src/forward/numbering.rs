//! Numbers without holes where something was left out on purpose.

/// How many numbers back late arrivals are still placed.
const WINDOW: u64 = 128;

/// A wider gap than this is not kept open for late arrivals: nobody could repair it.
const GAP_MAX: u64 = WINDOW;

/// Renumbers a stream of which some items are left out: what is passed on gets consecutive numbers,
/// what did not come yet keeps its place, also when it comes late.
///
/// Used for sequence numbers, an item being a packet, and for picture ids, an item being a frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbering {
    /// Nothing below it belongs to the stream.
    first: u64,
    /// The highest number that came.
    highest: u64,
    /// The latest number that was given, or kept open, up to `highest`.
    given: u64,
    /// Bit k: `highest` - k was left out.
    left_out: u128,
}

impl Numbering {
    /// The stream goes on with another one, whose number `first` gets the next free number after
    /// `skipped` more.
    pub(super) fn restart(&mut self, first: u64, skipped: u64) {
        self.first = first;
        self.highest = first.wrapping_sub(1);
        self.given += skipped;
        self.left_out = 0;
    }

    /// The latest number that was given or kept open.
    pub(super) const fn latest(&self) -> u64 {
        self.given
    }

    /// Whether nothing later than `number` came.
    pub(super) const fn is_newest(&self, number: u64) -> bool {
        self.ahead(number).is_some()
    }

    /// The number of an item that is passed on; `None` when it was left out before, or is too old to
    /// be placed.
    pub(super) fn pass(&mut self, number: u64) -> Option<u64> {
        if let Some(ahead) = self.ahead(number) {
            self.given += self.advance(number, ahead);
            return Some(self.given);
        }
        let behind = self.behind(number)?;
        if self.left_out >> behind & 1 == 1 {
            return None;
        }
        let after = self.left_out & ((1u128 << behind) - 1);
        self.given
            .checked_sub(behind - u64::from(after.count_ones()))
    }

    /// Leaves an item out. When its place was kept open already, that is its number: something has
    /// to be sent under it, or the receiver asks for it.
    pub(super) fn leave_out(&mut self, number: u64) -> Option<u64> {
        if let Some(ahead) = self.ahead(number) {
            self.given += self.advance(number, ahead) - 1;
            self.left_out |= 1;
            return None;
        }
        self.pass(number)
    }

    /// How far `number` is beyond all that came, if it is.
    const fn ahead(&self, number: u64) -> Option<u64> {
        let ahead = number.wrapping_sub(self.highest);
        if ahead != 0 && ahead < u64::MAX / 2 {
            Some(ahead)
        } else {
            None
        }
    }

    fn behind(&self, number: u64) -> Option<u64> {
        let behind = self.highest.checked_sub(number)?;
        (number >= self.first && behind < WINDOW).then_some(behind)
    }

    fn advance(&mut self, number: u64, ahead: u64) -> u64 {
        self.highest = number;
        if ahead > GAP_MAX {
            self.first = number;
            self.left_out = 0;
            return 1;
        }
        self.left_out = if ahead < 128 {
            self.left_out << ahead
        } else {
            0
        };
        ahead
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    fn started(first: u64) -> Numbering {
        let mut numbering = Numbering::default();
        numbering.restart(first, 1_000);
        numbering
    }

    #[test]
    fn what_is_left_out_leaves_no_hole() {
        let mut numbering = started(5);
        assert_eq!(numbering.pass(5), Some(1_001));
        assert_eq!(numbering.leave_out(6), None);
        assert_eq!(numbering.pass(7), Some(1_002));
        assert_eq!(numbering.pass(10), Some(1_005), "8 and 9 may still come");
        assert_eq!(numbering.pass(9), Some(1_004));
        assert_eq!(numbering.leave_out(8), Some(1_003), "its place is open");
        assert_eq!(numbering.pass(4), None, "before the start");
        numbering.restart(900, 0);
        assert_eq!(numbering.pass(900), Some(1_006));
    }

    #[test]
    fn a_gap_that_nobody_repairs_is_closed() {
        let mut numbering = started(0);
        numbering.pass(0);
        assert_eq!(numbering.pass(5_000), Some(1_002));
        assert_eq!(numbering.pass(4_999), None);
    }

    proptest! {
        /// Whatever order things come in: numbers are unique, in the order of what they number, and
        /// between two of them there is exactly one place for each item that was not left out.
        #[test]
        fn order_and_places_are_kept(
            choices in proptest::collection::vec((any::<bool>(), 0u8..6, any::<bool>()), 1..120),
        ) {
            let mut order: Vec<(usize, bool)> =
                choices.iter().enumerate().map(|(n, &(pass, _, _))| (n, pass)).collect();
            order.sort_by_key(|&(n, _)| n + usize::from(choices[n].1));
            let mut numbering = started(0);
            let mut passed = BTreeMap::new();
            let mut filled = BTreeMap::new();
            for (n, pass) in order {
                if choices[n].2 && n % 7 == 3 {
                    continue;
                }
                let number = n as u64;
                if pass {
                    if let Some(index) = numbering.pass(number) {
                        passed.insert(number, index);
                    }
                } else if let Some(index) = numbering.leave_out(number) {
                    filled.insert(number, index);
                }
            }
            let all: BTreeMap<_, _> = passed.iter().chain(&filled).collect();
            let indices: Vec<_> = all.values().copied().copied().collect();
            prop_assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
        }
    }
}
