//! Key-frame requests: merged over everybody who asks, and limited.

use std::time::Duration;

use sluice_types::room::MediaKind;
use sluice_types::units::Time;

use super::encoding::EncodingId;
use super::{Forwarder, Origin, Outbox, SourceId};

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
    /// `came` is when the latest packet did.
    pub(super) fn want(&mut self, now: Time, came: Option<Time>) -> bool {
        self.wanted = true;
        self.due(now, came)
    }

    /// Whether a wanted request may go out now, after which it is no longer wanted. Who sent nothing
    /// since it was last asked is not asked again: a camera that is off has no key frame.
    pub(super) fn due(&mut self, now: Time, came: Option<Time>) -> bool {
        let due = self.wanted
            && self.last.is_none_or(|last| {
                now.since(last) >= INTERVAL && came.is_some_and(|came| came >= last)
            });
        if due {
            self.last = Some(now);
            self.wanted = false;
        }
        due
    }

    /// A key frame came, for everybody who waits.
    pub(super) const fn answered(&mut self) {
        self.wanted = false;
    }
}

impl Forwarder {
    /// Somebody needs a key frame: asks where the track comes from, at most so often.
    pub(super) fn want_key_frame(
        &mut self,
        now: Time,
        key: SourceId,
        encoding: EncodingId,
        outbox: &mut impl Outbox,
    ) {
        let source = &mut self.sources[key.0];
        let Some(at) = source.encodings.get_mut(encoding.index()) else {
            return;
        };
        if source.kind == MediaKind::Video && at.key_frames.want(now, at.last) {
            self.ask_key_frame(key, encoding, outbox);
        }
    }

    pub(super) fn ask_key_frame(
        &mut self,
        key: SourceId,
        encoding: EncodingId,
        outbox: &mut impl Outbox,
    ) {
        let source = &self.sources[key.0];
        let ssrc = source.encodings[encoding.index()].ssrc;
        match source.origin {
            // Before its first packet an encoder has yet to make its first key frame.
            Origin::Peer { .. } if ssrc == 0 => return,
            Origin::Peer { peer, .. } => {
                self.bytes.clear();
                crate::rtcp::key_frame_request(&mut self.bytes, ssrc);
                outbox.control(peer, &self.bytes);
            }
            Origin::Backbone => outbox.key_frame_wanted(key, encoding),
        }
        self.stats.key_frame_requests_sent += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_joins_ask_twice() {
        let mut requests = KeyFrameRequests::default();
        let asked = (0..500)
            .map(|n| Time::from_micros(n * 100))
            .filter(|&now| requests.want(now, Some(now)))
            .count();
        assert_eq!(asked, 1);
        let due = |requests: &mut KeyFrameRequests, ms| {
            let now = Time::from_millis(ms);
            requests.due(now, Some(now))
        };
        assert!(!due(&mut requests, 499));
        assert!(due(&mut requests, 500));
        assert!(!due(&mut requests, 5_000), "nobody asked since");
    }

    #[test]
    fn what_sends_nothing_is_asked_once_and_again_when_it_sends() {
        let mut requests = KeyFrameRequests::default();
        let last = Time::from_millis(0);
        let asked = (1..100)
            .filter(|n| requests.want(Time::from_millis(n * 100), Some(last)))
            .count();
        assert_eq!(asked, 1);
        let again = Time::from_millis(10_000);
        assert!(requests.due(again, Some(again)));

        let mut new = KeyFrameRequests::default();
        assert!(new.want(last, None), "its edge has to know");
        assert!(!new.want(again, None));
        new.answered();
        assert!(!new.due(again, Some(again)), "it began with one");
    }
}
