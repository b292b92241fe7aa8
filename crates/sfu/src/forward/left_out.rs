//! What a relay left out, since nobody behind it wants it: told with the next packet that travels, so
//! that the other edge takes it for left out rather than lost.
//!
//! Packets keep their publisher's numbers over every hop, whichever way they take.

use super::encoding::Passing;

/// How many numbers back marks are kept.
const WINDOW: u64 = 128;

/// What was left out of one encoding at one relay.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LeftOut {
    packets: Marks,
    pictures: Marks,
}

impl LeftOut {
    /// Leaves a packet out. `None` when a later one will tell of it; one that comes after them has to be
    /// told by itself, with how many were left out just before it.
    pub(super) fn leave_out(&mut self, passing: &Passing<'_>) -> Option<u8> {
        if let Some(picture) = passing.picture {
            self.pictures.note(picture, true);
        }
        let in_order = self.packets.is_newest(passing.number);
        self.packets.note(passing.number, true);
        (!in_order).then(|| self.packets.left_out_before(passing.number))
    }

    /// A packet travels: how many packets, and how many whole pictures, were left out just before it.
    pub(super) fn pass(&mut self, passing: &Passing<'_>) -> (u8, u8) {
        self.packets.note(passing.number, false);
        let pictures = passing.picture.map_or(0, |picture| {
            self.pictures.note(picture, false);
            self.pictures.left_out_before(picture)
        });
        (self.packets.left_out_before(passing.number), pictures)
    }
}

/// Numbers that were left out, and that were not.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    highest: Option<u64>,
    /// Bit k: `highest` - k was left out.
    left_out: u128,
    /// Bit k: `highest` - k travelled, or a part of it.
    passed: u128,
}

impl Marks {
    fn is_newest(&self, number: u64) -> bool {
        self.highest.is_none_or(|highest| number > highest)
    }

    /// A picture of which anything travels is not left out.
    fn note(&mut self, number: u64, left_out: bool) {
        let highest = *self.highest.get_or_insert(number);
        if let Some(ahead @ 1..) = number.checked_sub(highest) {
            let shift = |bits: u128| if ahead < WINDOW { bits << ahead } else { 0 };
            self.left_out = shift(self.left_out);
            self.passed = shift(self.passed);
            self.highest = Some(number);
        }
        let behind = highest.saturating_sub(number);
        if behind >= WINDOW {
            return;
        }
        let bit = 1u128 << behind;
        if !left_out {
            self.passed |= bit;
            self.left_out &= !bit;
        } else if self.passed & bit == 0 {
            self.left_out |= bit;
        }
    }

    /// How many numbers just below this one were left out, at most [`WINDOW`].
    fn left_out_before(&self, number: u64) -> u8 {
        let behind = self.highest.unwrap_or(number).saturating_sub(number);
        if behind + 1 >= WINDOW {
            return 0;
        }
        // A window's bits at most.
        (self.left_out >> (behind + 1)).trailing_ones() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_just_before_is_told_and_what_was_lost_is_not() {
        let mut marks = Marks::default();
        for (number, left_out) in [(10, false), (11, true), (12, true), (13, false)] {
            marks.note(number, left_out);
        }
        assert_eq!(marks.left_out_before(13), 2);
        marks.note(15, true);
        marks.note(16, false);
        assert_eq!(marks.left_out_before(16), 1, "14 may still come");
        assert!(!marks.is_newest(14));
        marks.note(14, true);
        assert_eq!(marks.left_out_before(16), 2);
        assert_eq!(marks.left_out_before(13), 2, "also for who came late");
        marks.note(17, true);
        marks.note(17, false);
        marks.note(17, true);
        marks.note(18, false);
        assert_eq!(marks.left_out_before(18), 0, "a part of it travelled");
    }
}
