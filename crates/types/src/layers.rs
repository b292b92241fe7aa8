//! Which layers of a track anybody wants.

use serde::{Deserialize, Serialize};

/// The most encodings of one track.
pub const ENCODINGS_MAX: usize = 3;

/// The most spatial layers of one encoding.
const SPATIAL: u8 = 3;

/// The most temporal layers.
const TEMPORAL: u8 = 4;

/// The layers of a track that its receivers want: for each encoding, up to which spatial and temporal
/// layer each of them receives it. What is wanted by nobody need not travel.
///
/// A bit each, four temporal layers of the lowest spatial one first; bits above the twelfth mean
/// nothing, so that any number may come from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LayerSet([u16; ENCODINGS_MAX]);

impl LayerSet {
    /// Every layer of one encoding.
    const WHOLE: u16 = (1 << (SPATIAL * TEMPORAL)) - 1;

    /// Everything.
    pub const ALL: Self = Self([Self::WHOLE; ENCODINGS_MAX]);

    /// All of those encodings, a bit each, the lowest first.
    #[must_use]
    pub fn of_encodings(encodings: u8) -> Self {
        (0..ENCODINGS_MAX as u8)
            .filter(|encoding| encodings >> encoding & 1 == 1)
            .fold(Self::default(), Self::with_whole)
    }

    /// Also an encoding up to that spatial and temporal layer. What lies above all there can be counts as
    /// the highest; an encoding that cannot be is ignored.
    #[must_use]
    pub fn with(mut self, encoding: u8, spatial: u8, temporal: u8) -> Self {
        if let Some(bits) = self.0.get_mut(usize::from(encoding)) {
            *bits |= 1 << (spatial.min(SPATIAL - 1) * TEMPORAL + temporal.min(TEMPORAL - 1));
        }
        self
    }

    /// Also everything of an encoding.
    #[must_use]
    pub fn with_whole(mut self, encoding: u8) -> Self {
        if let Some(bits) = self.0.get_mut(usize::from(encoding)) {
            *bits = Self::WHOLE;
        }
        self
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] | other.0[place]))
    }

    /// Whether anything of an encoding is wanted.
    #[must_use]
    pub fn has(self, encoding: u8) -> bool {
        self.bits(encoding) != 0
    }

    /// Whether all of an encoding is wanted.
    #[must_use]
    pub fn has_whole(self, encoding: u8) -> bool {
        self.bits(encoding) == Self::WHOLE
    }

    /// The encodings of which anything is wanted, a bit each, the lowest first.
    #[must_use]
    pub fn encodings(self) -> u8 {
        (0..ENCODINGS_MAX as u8)
            .filter(|&encoding| self.has(encoding))
            .fold(0, |set, encoding| set | 1 << encoding)
    }

    /// The same, with all of each encoding of which anything is wanted.
    #[must_use]
    pub fn whole(self) -> Self {
        Self::of_encodings(self.encodings())
    }

    /// Up to which spatial and temporal layers an encoding is wanted.
    pub fn tops(self, encoding: u8) -> impl Iterator<Item = (u8, u8)> {
        let bits = self.bits(encoding);
        (0..SPATIAL * TEMPORAL)
            .filter(move |place| bits >> place & 1 == 1)
            .map(|place| (place / TEMPORAL, place % TEMPORAL))
    }

    /// Whether a layer is wanted where each layer builds on all below it.
    #[must_use]
    pub fn covers(self, encoding: u8, spatial: u8, temporal: u8) -> bool {
        self.tops(encoding)
            .any(|(s, t)| s >= spatial && t >= temporal)
    }

    fn bits(self, encoding: u8) -> u16 {
        let bits = self.0.get(usize::from(encoding)).copied();
        bits.unwrap_or(0) & Self::WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_covered_by_whoever_wants_at_least_as_much() {
        let wide = LayerSet::default().with(0, 2, 0);
        let fast = LayerSet::default().with(0, 0, 2);
        let both = wide.or(fast);
        assert!(both.covers(0, 2, 0) && both.covers(0, 1, 0) && both.covers(0, 0, 2));
        assert!(!both.covers(0, 1, 1) && !both.covers(1, 0, 0));
        assert_eq!(both.tops(0).collect::<Vec<_>>(), [(0, 2), (2, 0)]);
    }

    #[test]
    fn encodings_are_wanted_in_part_or_whole() {
        let set = LayerSet::default()
            .with(1, 9, 9)
            .with_whole(2)
            .with(7, 0, 0);
        assert_eq!(set.encodings(), 0b110);
        assert!(set.has(1) && !set.has_whole(1) && set.has_whole(2) && !set.has(7));
        assert_eq!(set.tops(1).collect::<Vec<_>>(), [(2, 3)]);
        assert!(set.whole().has_whole(1) && !set.whole().has(0));
        assert!(
            LayerSet([u16::MAX; 3]).has_whole(0),
            "bits without a meaning"
        );
    }
}
