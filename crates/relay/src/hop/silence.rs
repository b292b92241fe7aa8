//! Whether the other end is still heard.
//!
//! QUIC gives a silent peer up after some round trips at the earliest. Media cannot wait that long, and
//! need not: probes come at a steady pace however long the way is, so a few that are missing in a row
//! say enough. Time during which this end itself did not run is not held against the other.

use std::time::Duration;

use sluice_types::units::Time;

/// How many probes are sent in the time after which silence counts.
pub(super) const PROBES: u32 = 4;

/// How finely silence is measured, in parts of the limit; and how much may pass between two looks
/// before this end counts as held up.
const STEP_PART: u32 = 8;
const STEP_MAX_PART: u32 = 4;

/// Listens for the other end, from the first time that it is heard.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    limit: Duration,
    looked: Option<Time>,
    lasted: Duration,
}

impl Silence {
    pub(super) const fn new(limit: Duration) -> Self {
        Self {
            limit,
            looked: None,
            lasted: Duration::ZERO,
        }
    }

    pub(super) const fn heard(&mut self, now: Time) {
        self.looked = Some(now);
        self.lasted = Duration::ZERO;
    }

    pub(super) fn look(&mut self, now: Time) {
        if let Some(looked) = self.looked {
            self.looked = Some(now);
            self.lasted += now.since(looked).min(self.limit / STEP_MAX_PART);
        }
    }

    /// When to look next; never while it is known to be silent, or was not heard yet.
    pub(super) fn due(&self) -> Option<Time> {
        let looked = self.looked.filter(|_| !self.is_silent())?;
        Some(looked + self.limit / STEP_PART)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.lasted >= self.limit
    }

    pub(super) fn probe_every(&self) -> Duration {
        self.limit / PROBES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(400);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn nobody_is_silent_before_it_was_heard() {
        let mut silence = Silence::new(LIMIT);
        silence.look(at(10_000));
        assert!(!silence.is_silent());
        assert_eq!(silence.due(), None);
    }

    #[test]
    fn silence_counts_from_the_last_that_was_heard() {
        let mut silence = Silence::new(LIMIT);
        silence.heard(at(1_000));
        while let Some(due) = silence.due() {
            silence.look(due);
            assert_eq!(silence.is_silent(), due >= at(1_400), "{due:?}");
        }
        silence.heard(at(2_000));
        assert!(!silence.is_silent());
    }

    #[test]
    fn who_was_held_up_blames_nobody() {
        let mut silence = Silence::new(LIMIT);
        silence.heard(at(0));
        silence.look(at(5_000));
        assert!(!silence.is_silent());
    }
}
