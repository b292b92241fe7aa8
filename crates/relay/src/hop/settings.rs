//! How a hop is repaired, and what it counts.

use std::time::Duration;

/// How one hop is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopSettings {
    /// How much repairs, parity and probes may be of the media, in thousandths. With 0, nothing is
    /// repaired.
    pub overhead_permille: u16,
    /// How long beyond one round trip a repair is of use, at least; a fifth of the round trip when
    /// that is longer.
    pub slack: Duration,
    /// How long after a gap showed a repair is of no use in any case. On a link whose round trip is
    /// longer, nothing is asked for, and parity is all there is.
    pub latest: Duration,
    /// The round trip that is assumed before one is measured.
    pub round_trip: Duration,
    /// After how long without anything from the other end it counts as silent. Both ends send at
    /// least four probes in that time, media or not. `None` for a peer that need not: nothing is
    /// said of it.
    pub silence: Option<Duration>,
}

impl Default for HopSettings {
    fn default() -> Self {
        Self {
            overhead_permille: 100,
            slack: Duration::from_millis(40),
            latest: Duration::from_millis(600),
            round_trip: Duration::from_millis(150),
            silence: None,
        }
    }
}

/// What a hop counted since its start. Bytes are those of its datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HopCounters {
    /// Media sent.
    pub media_bytes: u64,
    /// Datagrams of requests sent.
    pub nacks_sent: u64,
    /// And how long they were.
    pub nack_bytes: u64,
    /// Packets sent again.
    pub repairs_sent: u64,
    /// And how long they were.
    pub repair_bytes: u64,
    /// Parities sent.
    pub parities_sent: u64,
    /// And how long they were.
    pub parity_bytes: u64,
    /// Probes sent.
    pub probe_bytes: u64,
    /// Packets that were asked for and no longer remembered.
    pub too_old: u64,
    /// Packets that were asked for beyond what the overhead allows.
    pub over_budget: u64,
    /// Packets that came because they were asked for.
    pub repaired: u64,
    /// Packets that parity brought back.
    pub restored: u64,
    /// Packets that came after later ones, without having been lost.
    pub reordered: u64,
    /// Packets that did not come in time to be of use.
    pub lost: u64,
    /// Repairs of those; they are delivered all the same.
    pub late: u64,
    /// Packets that came again.
    pub duplicates: u64,
}

impl HopCounters {
    /// What was sent beyond the media.
    #[must_use]
    pub const fn overhead_bytes(&self) -> u64 {
        self.repair_bytes + self.parity_bytes + self.nack_bytes + self.probe_bytes
    }
}
