//! First frame fast: who waits for a key frame gets the latest one from the history, with all that
//! followed, when it is whole and recent.
//!
//! Of many who join at once the first makes the edge ask the publisher; the others are served from
//! what came of it.

use std::time::Duration;

use sluice_types::units::Time;

use super::encoding::{EncodingId, Passing};
use super::{Forwarder, Outbox, PeerId, SinkId, Target};

/// How old the key frame may be, in seconds of its clock: what follows it has to be decoded in a burst.
const AGE_MAX_S: u32 = 1;

/// How old it may be for somebody who saw later pictures of an encoding that was given up, of which
/// little arrived.
const BACK_MAX: Duration = Duration::from_millis(250);

/// The most packets that are sent at once.
const PACKETS_MAX: u64 = 100;

impl Forwarder {
    /// Sends a sink that waits for `encoding` the latest key frame and what followed; says whether
    /// there was one.
    pub(super) fn replay(
        &mut self,
        now: Time,
        key: SinkId,
        encoding: EncodingId,
        outbox: &mut impl Outbox,
    ) -> bool {
        if !self.replays {
            return false;
        }
        let sink = &self.sinks[key.0];
        let Target::Peer { peer, .. } = sink.target else {
            return false;
        };
        let source = sink.source;
        let Some(at) = self.sources[source.0].encodings.get(encoding.index()) else {
            return false;
        };
        // Whoever sees the track already must not be taken back in time, or hardly.
        let elsewhere = |(_, at)| now.since(at) <= Duration::from_secs(u64::from(AGE_MAX_S) + 1);
        let back = at.key_frame_at.is_none_or(|at| now.since(at) > BACK_MAX);
        let stands_still = sink.current().is_none();
        if sink.latest().is_some_and(elsewhere) && (back || !stands_still) {
            return false;
        }
        let (Some(first), Some(last)) = (at.key_frame, at.reception.highest()) else {
            return false;
        };
        // What came too long ago may be what the sink has had.
        let lately = at
            .last
            .is_some_and(|last| now.since(last) <= Duration::from_secs(u64::from(AGE_MAX_S)));
        let whole = last - first < PACKETS_MAX
            && (first..=last).all(|number| at.history.packet(number).is_some());
        let timestamp = |number| at.history.packet(number).map(|kept| kept.header.timestamp);
        let recent = match (timestamp(first), timestamp(last)) {
            (Some(first), Some(last)) => last.wrapping_sub(first) <= AGE_MAX_S * 90_000,
            _ => false,
        };
        if !whole || !lately || !recent || !self.sources[source.0].is_alive(now, encoding) {
            return false;
        }
        let lent = self.sources[source.0].encodings[encoding.index()]
            .history
            .lend(first);
        let Some(kept) = lent else {
            return false;
        };
        self.pass_to(now, key, peer, &Passing::again(encoding, &kept), outbox);
        self.sources[source.0].encodings[encoding.index()]
            .history
            .give_back(kept);
        let began = self.sinks[key.0].selection.awaited().is_none();
        self.stats.replayed_key_frames += u64::from(began);
        began
    }

    /// A sink begins with a packet after which others came already, since it came late or is sent
    /// from the history: sends those too. Nobody could ask for them, as they never had a number at
    /// this sink.
    pub(super) fn catch_up(
        &mut self,
        now: Time,
        key: SinkId,
        peer: PeerId,
        begun: &Passing<'_>,
        outbox: &mut impl Outbox,
    ) {
        let (source, encoding) = (self.sinks[key.0].source, begun.encoding);
        let last = self.sources[source.0].encodings[encoding.index()]
            .reception
            .highest()
            .unwrap_or(begun.number);
        for number in begun.number + 1..=last {
            let Some(kept) = self.sources[source.0].encodings[encoding.index()]
                .history
                .lend(number)
            else {
                continue;
            };
            self.pass_to(now, key, peer, &Passing::again(encoding, &kept), outbox);
            self.sources[source.0].encodings[encoding.index()]
                .history
                .give_back(kept);
        }
    }
}
