//! How often somebody may do something: a leaky bucket each, as one point in time (GCRA, ITU-T
//! I.371), in memory that is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When more callers are remembered than may be, those that nothing is known of share the rate of so
/// many callers. Those that are remembered do not notice.
const STRANGERS_SHARE: u32 = 20;

/// How often those are forgotten who have their whole allowance.
const SWEEP: Duration = Duration::from_secs(1);

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// `per_second` on average and twice that at once; none counts as one.
    #[must_use]
    pub const fn per_second(per_second: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        Self {
            per_second,
            burst: per_second.saturating_mul(2),
        }
    }

    /// The same, with another number at once; none counts as one.
    #[must_use]
    pub const fn burst(self, burst: u32) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        Self { burst, ..self }
    }

    const fn times(self, factor: u32) -> Self {
        Self {
            per_second: self.per_second.saturating_mul(factor),
            burst: self.burst.saturating_mul(factor),
        }
    }

    /// Takes one, when there is one: `empty` is when the bucket will have run out.
    ///
    /// # Errors
    /// How long to wait for the next.
    fn take(self, empty: &mut Instant, now: Instant) -> Result<(), Duration> {
        let interval = Duration::from_secs(1) / self.per_second;
        let full = interval * self.burst;
        let after = (*empty).max(now) + interval;
        match after.duration_since(now).checked_sub(full) {
            None | Some(Duration::ZERO) => {
                *empty = after;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

/// The buckets of callers.
pub struct Rates<K> {
    remembered_max: usize,
    state: Mutex<State<K>>,
}

struct State<K> {
    empty: HashMap<K, Instant>,
    strangers: Instant,
    swept: Instant,
}

impl<K: Hash + Eq> Rates<K> {
    /// Remembers at most `remembered_max` callers, at about 40 bytes each besides the key. When there
    /// are more at once, those that are not remembered share one bucket.
    #[must_use]
    pub fn new(remembered_max: usize) -> Self {
        let now = Instant::now();
        let state = State {
            empty: HashMap::new(),
            strangers: now,
            swept: now,
        };
        Self {
            remembered_max,
            state: Mutex::new(state),
        }
    }

    /// Whether `who` may, now, at that rate.
    ///
    /// # Errors
    /// How long it should wait.
    pub fn take(&self, who: K, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.empty.len() >= self.remembered_max && !state.empty.contains_key(&who) {
            // Not each time, or a flood of strangers would make this walk its whole work.
            if now.duration_since(state.swept) >= SWEEP {
                state.swept = now;
                state.empty.retain(|_, empty| *empty > now);
            }
            if state.empty.len() >= self.remembered_max {
                return rate.times(STRANGERS_SHARE).take(&mut state.strangers, now);
            }
        }
        rate.take(state.empty.entry(who).or_insert(now), now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(rates: &Rates<u32>, who: u32, rate: Rate, at: Instant) -> usize {
        (0..1_000)
            .filter(|_| rates.take(who, rate, at).is_ok())
            .count()
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let (rates, rate) = (Rates::new(10), Rate::per_second(10));
        let now = Instant::now();
        assert_eq!(allowed(&rates, 1, rate, now), 20);
        let wait = rates.take(1, rate, now).expect_err("empty");
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(allowed(&rates, 1, rate, now + Duration::from_secs(1)), 10);
        assert_eq!(
            allowed(&rates, 2, rate.burst(3), now),
            3,
            "others have their own"
        );
    }

    #[test]
    fn strangers_share_when_too_many_come_and_the_known_do_not_notice() {
        let (rates, rate) = (Rates::new(100), Rate::per_second(1));
        let now = Instant::now();
        for who in 0..100 {
            rates.take(who, rate, now).expect("the first");
        }
        let flood = (1_000..100_000).filter(|&who| rates.take(who, rate, now).is_ok());
        assert_eq!(flood.count(), 2 * STRANGERS_SHARE as usize);
        assert_eq!(rates.state.lock().expect("whole").empty.len(), 100);
        assert!(rates.take(7, rate, now).is_ok(), "the second of its two");
        // Later, those who have their whole allowance make room.
        let later = now + Duration::from_secs(5);
        assert_eq!(allowed(&rates, 1_000_000, rate, later), 2);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_rate(
            per_second in 1u32..200,
            burst in 1u32..50,
            steps in proptest::collection::vec(0u64..200, 1..300),
        ) {
            let (rates, rate) = (Rates::new(1), Rate::per_second(per_second).burst(burst));
            let start = Instant::now();
            let (mut at, mut taken) = (start, 0u64);
            for step in steps {
                at += Duration::from_millis(step);
                match rates.take(0, rate, at) {
                    Ok(()) => taken += 1,
                    Err(wait) => prop_assert!(rates.take(0, rate, at + wait).is_ok() && { taken += 1; at += wait; true }),
                }
            }
            let most = u64::from(burst) as f64 + at.duration_since(start).as_secs_f64() * f64::from(per_second);
            prop_assert!(taken as f64 <= most + 1e-3, "{taken} of {most}");
        }
    }
}
