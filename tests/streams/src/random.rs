//! Numbers that look random and are the same each time.

/// A small generator (xorshift64*), for tests and not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, or 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // The upper half is the better one.
        (self.number() >> 32) as usize % limit.max(1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
