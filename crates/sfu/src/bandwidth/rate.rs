//! The rate that follows the delay: additive or multiplicative increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02, section 5.5).

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::trend::Usage;

/// What is kept of the acknowledged rate when a queue grows.
const BACK_OFF: f64 = 0.85;

/// Growth in a second while the link's capacity is unknown.
const GROWTH: f64 = 0.08;

/// How far the rate may run ahead of what is acknowledged: a source that sends less than it may must
/// not make the estimate grow without end.
const AHEAD: f64 = 1.5;
const AHEAD_KBPS: f64 = 10.0;

/// An average packet, in bits, of which one more is sent each response time when near the capacity.
const PACKET_BITS: f64 = 1_200.0 * 8.0;

/// How fast the capacity's average follows, in shares of each sample.
const CAPACITY_FOLLOWS: f64 = 0.05;

/// What the capacity's deviation begins with, and is at least.
const DEVIATION: f64 = 0.4;

#[derive(Debug, Clone, Copy)]
struct Capacity {
    kbps: f64,
    /// Variance, normalized by the average.
    deviation: f64,
}

impl Capacity {
    fn spread(&self) -> f64 {
        3.0 * (self.deviation * self.kbps).sqrt()
    }

    fn near(&self, kbps: f64) -> bool {
        (kbps - self.kbps).abs() <= self.spread()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

#[derive(Debug, Clone)]
pub(super) struct RateControl {
    kbps: f64,
    state: State,
    capacity: Option<Capacity>,
    updated: Option<Time>,
    decreased: Option<Time>,
}

fn kbps(bitrate: Bitrate) -> f64 {
    bitrate.as_bps() as f64 / 1e3
}

impl RateControl {
    pub(super) fn new(start: Bitrate) -> Self {
        Self {
            kbps: kbps(start),
            state: State::Increase,
            capacity: None,
            updated: None,
            decreased: None,
        }
    }

    pub(super) fn target(&self) -> Bitrate {
        Bitrate::bps((self.kbps * 1e3) as u64)
    }

    pub(super) fn clamp(&mut self, min: Bitrate, max: Bitrate) {
        self.kbps = self.kbps.clamp(kbps(min), kbps(max));
    }

    /// A probe found that so much is carried.
    pub(super) fn raise_to(&mut self, now: Time, found: Bitrate) {
        if kbps(found) > self.kbps {
            self.kbps = kbps(found);
            self.updated = Some(now);
            if self
                .capacity
                .is_some_and(|capacity| !capacity.near(self.kbps))
            {
                self.capacity = None;
            }
        }
    }

    /// The path is known to carry so much and no more.
    pub(super) fn fall_to(&mut self, now: Time, carried: Bitrate) {
        let carried = kbps(carried);
        self.kbps = self.kbps.min(carried * BACK_OFF);
        self.capacity = Some(Capacity {
            kbps: carried,
            deviation: DEVIATION,
        });
        self.decreased = Some(now);
        self.updated = Some(now);
        self.state = State::Hold;
    }

    pub(super) fn update(
        &mut self,
        now: Time,
        usage: Usage,
        acknowledged: Option<Bitrate>,
        round_trip: Duration,
    ) {
        let since = now
            .since(*self.updated.get_or_insert(now))
            .min(Duration::from_secs(1));
        self.updated = Some(now);
        match usage {
            Usage::Over => self.decrease(now, acknowledged, round_trip),
            Usage::Under => self.state = State::Hold,
            Usage::Normal if self.state == State::Hold => self.state = State::Increase,
            Usage::Normal => self.increase(since, acknowledged, round_trip),
        }
    }

    fn increase(&mut self, since: Duration, acknowledged: Option<Bitrate>, round_trip: Duration) {
        let acknowledged = acknowledged.map(kbps);
        if let (Some(capacity), Some(acknowledged)) = (self.capacity, acknowledged)
            && acknowledged > capacity.kbps + capacity.spread()
        {
            self.capacity = None;
        }
        let seconds = since.as_secs_f64();
        let more = if self.capacity.is_some() {
            let response = (round_trip + Duration::from_millis(100)).as_secs_f64();
            (PACKET_BITS / 1e3 / response * seconds).max(4.0 * seconds)
        } else {
            (self.kbps * ((1.0 + GROWTH).powf(seconds) - 1.0)).max(seconds)
        };
        let most = acknowledged.map_or(f64::MAX, |acknowledged| acknowledged * AHEAD + AHEAD_KBPS);
        // What runs ahead of the media already stays where it is.
        self.kbps = (self.kbps + more).min(most.max(self.kbps));
    }

    fn decrease(&mut self, now: Time, acknowledged: Option<Bitrate>, round_trip: Duration) {
        // The queue that this one made takes a round trip to show its draining.
        let early = self
            .decreased
            .is_some_and(|then| now.since(then) < round_trip.min(Duration::from_millis(300)));
        let measured = acknowledged.map_or(self.kbps, kbps);
        if early && measured > 0.5 * self.kbps {
            return;
        }
        self.decreased = Some(now);
        self.state = State::Hold;
        let lower = (measured * BACK_OFF).min(self.kbps);
        if let Some(capacity) = self.capacity
            && measured < capacity.kbps - capacity.spread()
        {
            self.capacity = None;
        }
        self.capacity = Some(match self.capacity {
            None => Capacity {
                kbps: measured,
                deviation: DEVIATION,
            },
            Some(before) => {
                let average = before.kbps * (1.0 - CAPACITY_FOLLOWS) + measured * CAPACITY_FOLLOWS;
                let error = before.kbps - measured;
                let deviation = before.deviation * (1.0 - CAPACITY_FOLLOWS)
                    + CAPACITY_FOLLOWS * error * error / average.max(1.0);
                Capacity {
                    kbps: average,
                    deviation: deviation.clamp(DEVIATION, 2.5),
                }
            }
        });
        self.kbps = lower;
    }
}
