//! How much a link carries, when it turns out to be less than is sent.
//!
//! QUIC's own window says little while media does not fill it: it grows with whatever is sent. So the
//! probes decide: a round trip that grows, or far more loss than the link usually has, says that more
//! is sent than the link carries, and what arrives says how much that is.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use crate::hop::{Measured, Ratio};

/// How much longer than its shortest the round trip is when there is a queue: the larger of both.
const QUEUE: Duration = Duration::from_millis(25);
const QUEUE_PART: u32 = 4;

/// How much is lost when a link without a queue is full: this much, and this many times as much as is
/// lost usually.
const LOSS: Ratio = 0.15;
const LOSS_TIMES: Ratio = 3.0;

/// Of what arrives when it is too much, how much is sent from then on, in hundredths: the queue has to
/// drain.
const BACK_OFF: u64 = 85;

/// What arrives says nothing about a change of rate before it could be seen.
const SETTLE: Duration = Duration::from_millis(400);

/// A link on which less than this is sent carries no pictures yet, and for so long after that, and a round
/// trip, what arrives says how little was sent rather than how much the link carries. Without this, a host
/// that stalls while media turns to a backup would pass for a link that carries next to nothing.
const IDLE: Bitrate = Bitrate::kbps(100);
const BEGUN: Duration = Duration::from_secs(1);

/// By how much the limit grows in a second without a queue, in thousandths: while most of it is used,
/// and while it is not, when nothing shows that the link carries more.
const GROWTH: u64 = 80;
const GROWTH_UNUSED: u64 = 15;
/// How much of it is most, in hundredths.
const MOST: u64 = 80;

/// A limit this many times as high as what is sent limits nothing any more.
const FREE: u64 = 3;

/// The lowest limit: some audio gets through.
const LEAST: Bitrate = Bitrate::kbps(200);

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capacity {
    limit: Option<Bitrate>,
    changed: Time,
    grown: Time,
    /// When next to nothing was sent last.
    idle: Time,
    /// In how many measurements in a row the link was full.
    full: u32,
    /// How long the queue was at the last measurement.
    queue: Duration,
}

impl Capacity {
    /// What to send at most; `None` when nothing says that there is a limit.
    #[must_use]
    pub const fn limit(&self) -> Option<Bitrate> {
        self.limit
    }

    /// Takes a measurement, some ten times a second. `recent` is the share lost in the last second,
    /// `offered` what was sent in it.
    pub fn update(&mut self, now: Time, measured: &Measured, recent: Ratio, offered: Bitrate) {
        let queue = measured.standing.saturating_sub(measured.shortest);
        // One that gets shorter is left to do so.
        let drains = queue < self.queue * 31 / 32;
        let queued = !drains && queue > QUEUE.max(measured.shortest / QUEUE_PART);
        self.queue = queue;
        let usual = measured.loss;
        let overrun = recent > LOSS && recent > usual * LOSS_TIMES;
        let squeezed = recent > LOSS && self.limit.is_some();
        self.full = if queued || ((overrun || squeezed) && !drains) {
            self.full + 1
        } else {
            0
        };
        let settle = SETTLE + measured.round_trip;
        if offered < IDLE {
            self.idle = now;
        }
        let has_begun = now.since(self.idle) > BEGUN + measured.round_trip;
        if self.full >= 2 && has_begun && now.since(self.changed) > settle {
            let arrives = measured.delivered.as_bps() * BACK_OFF / 100;
            let lower = self
                .limit
                .map_or(arrives, |limit| arrives.min(limit.as_bps()));
            self.limit = Some(Bitrate::bps(lower.max(LEAST.as_bps())));
            self.changed = now;
            self.grown = now;
        } else if let Some(limit) = self.limit
            && self.full == 0
            && now.since(self.changed) > settle
        {
            let millis = now.since(self.grown.max(self.changed)).as_millis() as u64;
            let used = measured.delivered.as_bps() * 100 >= limit.as_bps() * MOST;
            let growth = if used { GROWTH } else { GROWTH_UNUSED };
            let more = limit.as_bps() * growth * millis / 1_000_000;
            let limit = limit.as_bps() + more;
            self.grown = now;
            self.limit = (limit <= FREE * offered.as_bps().max(LEAST.as_bps()))
                .then_some(Bitrate::bps(limit));
        }
    }
}
