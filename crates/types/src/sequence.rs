//! Sequence numbers that do not wrap, and what their gaps say.

/// Unrolls a 16-bit sequence number: each number becomes the nearest one to the highest seen so
/// far (RFC 3711, section 3.3.1).
#[derive(Debug, Clone, Default)]
pub struct Unroller {
    highest: Option<u64>,
}

/// Where the first number starts, so that packets from before it have room below.
const START: u64 = 1 << 16;

impl Unroller {
    /// The unrolled number of `sequence`.
    pub fn unroll(&mut self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else {
            let first = START + u64::from(sequence);
            self.highest = Some(first);
            return first;
        };
        let distance = sequence.wrapping_sub(highest as u16) as i16;
        let unrolled = highest.saturating_add_signed(i64::from(distance));
        self.highest = Some(highest.max(unrolled));
        unrolled
    }

    /// The highest number so far.
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// The last 128 numbers below the highest, each seen at most once.
#[derive(Debug, Clone, Default)]
pub struct OnceWindow {
    highest: u64,
    seen: u128,
}

impl OnceWindow {
    /// Whether `number` comes for the first time; one that is too old to tell counts as repeated.
    pub fn first_time(&mut self, number: u64) -> bool {
        if self.seen == 0 || number > self.highest {
            let ahead = number.saturating_sub(self.highest);
            self.seen = if ahead < 128 && self.seen != 0 {
                self.seen << ahead | 1
            } else {
                1
            };
            self.highest = number;
            return true;
        }
        let behind = self.highest - number;
        if behind >= 128 || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrapping_goes_on_and_reordering_goes_back() {
        let mut unroller = Unroller::default();
        let first = unroller.unroll(65_534);
        assert_eq!(unroller.unroll(65_535), first + 1);
        assert_eq!(unroller.unroll(1), first + 3);
        assert_eq!(unroller.unroll(0), first + 2);
        assert_eq!(unroller.highest(), Some(first + 3));
    }

    proptest! {
        #[test]
        fn unrolled_keeps_the_sixteen_bits(numbers in proptest::collection::vec(any::<u16>(), 1..300)) {
            let mut unroller = Unroller::default();
            for number in numbers {
                prop_assert_eq!(unroller.unroll(number) as u16, number);
            }
        }

        #[test]
        fn nothing_passes_twice(numbers in proptest::collection::vec(1_000u64..1_400, 1..600)) {
            let (mut window, mut passed) = (OnceWindow::default(), HashSet::new());
            for number in numbers {
                let highest = passed.iter().max().copied().unwrap_or(0);
                let first = window.first_time(number);
                prop_assert!(!first || passed.insert(number));
                prop_assert!(first || passed.contains(&number) || highest - number >= 128);
            }
        }
    }
}
