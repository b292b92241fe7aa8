//! Numbers that are taken once each.

/// Numbers at most this far below the highest are told apart; older ones count as taken. Half a
/// second of 30,000 packets a second.
pub(crate) const WINDOW: u64 = 1 << 14;

const WORDS: usize = (WINDOW / 64) as usize;

/// Which of the last [`WINDOW`] numbers came. 2 KiB.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// One more than the highest that came.
    end: u64,
    bits: Box<[u64; WORDS]>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            end: 0,
            bits: Box::new([0; WORDS]),
        }
    }
}

const fn place(number: u64) -> (usize, u64) {
    let bit = number % WINDOW;
    ((bit / 64) as usize, 1 << (bit % 64))
}

impl Window {
    /// Whether `number` came, or is too old to tell.
    #[must_use]
    pub(crate) fn has(&self, number: u64) -> bool {
        if number >= self.end {
            return false;
        }
        let (word, bit) = place(number);
        number + WINDOW < self.end || self.bits[word] & bit != 0
    }

    /// Takes `number`; whether it came for the first time.
    pub(crate) fn take(&mut self, number: u64) -> bool {
        if number >= self.end {
            if number - self.end >= WINDOW {
                self.bits.fill(0);
            } else {
                for between in self.end..number {
                    let (word, bit) = place(between);
                    self.bits[word] &= !bit;
                }
            }
            self.end = number + 1;
        } else if self.has(number) {
            return false;
        }
        let (word, bit) = place(number);
        self.bits[word] |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_number_passes_once(
            numbers in proptest::collection::vec(0u64..3 * WINDOW, 1..400),
            near in proptest::collection::vec(5_000u64..5_100, 1..400),
        ) {
            let (mut window, mut taken) = (Window::default(), HashSet::new());
            for number in near.into_iter().chain(numbers) {
                let highest = taken.iter().max().copied().unwrap_or(0);
                let first = window.take(number);
                prop_assert!(!first || taken.insert(number));
                prop_assert!(first || taken.contains(&number) || highest - number >= WINDOW);
                prop_assert!(window.has(number));
            }
        }
    }
}
