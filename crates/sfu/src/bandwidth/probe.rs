//! Probes: short clusters of packets at a higher rate than the media has, to find out whether the path
//! carries more. Their price is bounded: a failed one doubles the time to the next.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::Arrived;

/// How long a cluster lasts, and the fewest packets that say something.
const DURATION_MS: u64 = 20;
const PACKETS_MIN: u32 = 6;

/// Time between probes: at first, after each success, and at most.
const INTERVAL: Duration = Duration::from_millis(1_000);
const INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How long after it was sent a cluster is evaluated.
const PATIENCE: Duration = Duration::from_millis(500);

/// A probe asks for this many times the target; the first ones for more.
const STEP_PERCENT: u64 = 200;
const FIRST_STEP_PERCENT: u64 = 300;

/// What a probe has to find to be worth the next one, of what it asked.
const SUCCESS_PERCENT: u64 = 70;

/// What is trusted of a rate at which a queue was seen to grow.
const TRUSTED_PERCENT: u64 = 90;

/// Names one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(u16);

impl ProbeId {
    /// How a packet that belongs to it is marked; never 0.
    pub(super) const fn mark(self) -> u16 {
        self.0 + 1
    }

    /// The cluster of a packet so marked; `None` for 0.
    pub(super) fn from_mark(mark: u16) -> Option<Self> {
        mark.checked_sub(1).map(Self)
    }
}

/// A cluster to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Its name, for each of its packets.
    pub id: ProbeId,
    /// How fast to send it.
    pub bitrate: Bitrate,
    /// How many bytes it takes, in at least `packets` packets.
    pub bytes: usize,
    /// The fewest packets.
    pub packets: u32,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    id: ProbeId,
    at: Time,
    bitrate: Bitrate,
    packets: u32,
    bytes: u64,
    first: Option<Arrived>,
    last: Option<Arrived>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Prober {
    next_id: u16,
    cluster: Option<Cluster>,
    next: Option<Time>,
    interval: Option<Duration>,
    first_done: bool,
}

impl Prober {
    /// The cluster to send now, if one is due: `target` is known to be carried, `wanted` could be made
    /// use of, and `free` says that nothing speaks against it.
    pub(super) fn poll(
        &mut self,
        now: Time,
        target: Bitrate,
        wanted: Bitrate,
        free: bool,
    ) -> Option<Probe> {
        let due = self.next.is_none_or(|next| now >= next);
        let useful = wanted.as_bps() > target.as_bps() + target.as_bps() / 20;
        if self.cluster.is_some() || !due || !useful || !free {
            return None;
        }
        let step = if self.first_done {
            STEP_PERCENT
        } else {
            FIRST_STEP_PERCENT
        };
        // At first nobody knows what will be wanted.
        let most = if self.first_done {
            wanted.as_bps() + wanted.as_bps() / 4
        } else {
            u64::MAX
        };
        let bitrate = Bitrate::bps((target.as_bps() / 100 * step).min(most));
        let id = ProbeId(self.next_id);
        // One less than there are, so that marks fit.
        self.next_id = (self.next_id + 1) % u16::MAX;
        self.first_done = true;
        self.cluster = Some(Cluster {
            id,
            at: now,
            bitrate,
            packets: 0,
            bytes: 0,
            first: None,
            last: None,
        });
        let interval = *self.interval.get_or_insert(INTERVAL);
        self.next = Some(now + interval);
        Some(Probe {
            id,
            bitrate,
            bytes: (bitrate.as_bps() * DURATION_MS / 8_000) as usize,
            packets: PACKETS_MIN,
        })
    }

    pub(super) fn arrived(&mut self, id: ProbeId, packet: Arrived) {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.id == id) else {
            return;
        };
        cluster.packets += 1;
        cluster.bytes += u64::from(packet.bytes);
        if cluster
            .first
            .is_none_or(|first| packet.arrived < first.arrived)
        {
            cluster.first = Some(packet);
        }
        if cluster
            .last
            .is_none_or(|last| packet.arrived >= last.arrived)
        {
            cluster.last = Some(packet);
        }
    }

    /// What the latest cluster found to be carried, once all of it should have been told.
    pub(super) fn result(&mut self, now: Time, target: Bitrate) -> Option<Bitrate> {
        let cluster = self.cluster?;
        let whole = (cluster.bitrate.as_bps() * DURATION_MS / 8_000) * 9 / 10;
        let complete = cluster.packets >= PACKETS_MIN && cluster.bytes >= whole;
        if !complete && now.since(cluster.at) < PATIENCE {
            return None;
        }
        self.cluster = None;
        let found = cluster.found().map(|found| found.min(cluster.bitrate));
        let enough = found.is_some_and(|found| {
            found.as_bps() >= cluster.bitrate.as_bps() / 100 * SUCCESS_PERCENT
                && found.as_bps() > target.as_bps()
        });
        let interval = self.interval.unwrap_or(INTERVAL);
        self.interval = Some(if enough {
            INTERVAL
        } else {
            (interval * 2).min(INTERVAL_MAX)
        });
        if enough {
            self.next = Some(now + INTERVAL / 4);
        }
        found.filter(|found| found.as_bps() > target.as_bps())
    }
}

impl Cluster {
    /// The rate at which the cluster arrived. Where it arrived slower than it was sent, a queue was
    /// growing: a little less is trusted.
    fn found(&self) -> Option<Bitrate> {
        let (first, last) = (self.first?, self.last?);
        if self.packets < PACKETS_MIN {
            return None;
        }
        let bits = (self.bytes - u64::from(first.bytes)) * 8;
        let micros = last.arrived.since(first.arrived).as_micros().max(1) as u64;
        let rate = bits.saturating_mul(1_000_000) / micros;
        Some(Bitrate::bps(if rate < self.bitrate.as_bps() {
            rate / 100 * TRUSTED_PERCENT
        } else {
            rate
        }))
    }
}
