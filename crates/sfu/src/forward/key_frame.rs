//! Key-frame requests: merged over everybody who asks, and limited.

use std::time::Duration;

use sluice_types::units::Time;

/// The shortest time between two requests for one track. An encoder needs about one round trip to
/// answer, and a key frame costs five to ten times an ordinary one.
const INTERVAL: Duration = Duration::from_millis(500);

/// Requests for one track.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyFrameRequests {
    last: Option<Time>,
    wanted: bool,
}

impl KeyFrameRequests {
    /// Somebody needs a key frame. Says whether to ask for one now; if not, [`Self::due`] will.
    pub(super) fn want(&mut self, now: Time) -> bool {
        self.wanted = true;
        self.due(now)
    }

    /// Whether a wanted request may go out now, after which it is no longer wanted.
    pub(super) fn due(&mut self, now: Time) -> bool {
        let due = self.wanted && self.last.is_none_or(|last| now.since(last) >= INTERVAL);
        if due {
            self.last = Some(now);
            self.wanted = false;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_joins_ask_twice() {
        let mut requests = KeyFrameRequests::default();
        let asked = (0..500)
            .filter(|n| requests.want(Time::from_micros(n * 100)))
            .count();
        assert_eq!(asked, 1);
        assert!(!requests.due(Time::from_millis(499)));
        assert!(requests.due(Time::from_millis(500)));
        assert!(
            !requests.due(Time::from_millis(5_000)),
            "nobody asked since"
        );
    }
}
