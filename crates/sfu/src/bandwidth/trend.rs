//! Whether a queue on the way grows: the trend of the delay between groups of packets
//! (draft-ietf-rmcat-gcc-02, section 4, with a trendline filter in place of the Kalman filter).

use std::time::Duration;

use sluice_types::units::Time;

use super::Arrived;

/// Packets sent within this time form one group.
const BURST: Duration = Duration::from_millis(5);

/// Packets that arrive together after a hold-up belong together, up to this long.
const HELD_UP_MAX: Duration = Duration::from_millis(100);

/// Points of the trendline, how it is smoothed, and how steeply it counts.
const POINTS: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
const DELTAS_MAX: f64 = 60.0;

/// The threshold, in milliseconds: where it starts, its bounds, and how fast it follows the trend up
/// and down (section 4.4).
const THRESHOLD: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
/// A trend so far above the threshold is a spike, to which it is not adapted.
const SPIKE: f64 = 15.0;

/// How long the trend must be above the threshold, in milliseconds.
const OVER_FOR: f64 = 10.0;

/// What the path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    /// A queue drains.
    Under,
    /// Nothing.
    #[default]
    Normal,
    /// A queue grows.
    Over,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: Time,
    last_sent: Time,
    first_arrived: Time,
    last_arrived: Time,
}

#[derive(Debug, Clone)]
pub(super) struct Trend {
    current: Option<Group>,
    previous: Option<Group>,
    /// Accumulated and smoothed delay, in milliseconds.
    accumulated: f64,
    smoothed: f64,
    points: Points,
    deltas: u32,
    start: Option<Time>,
    threshold: f64,
    threshold_at: Option<Time>,
    before: f64,
    over_for: Option<f64>,
    over_count: u32,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            current: None,
            previous: None,
            accumulated: 0.0,
            smoothed: 0.0,
            points: Points::default(),
            deltas: 0,
            start: None,
            threshold: THRESHOLD,
            threshold_at: None,
            before: 0.0,
            over_for: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }
}

fn millis(later: Time, earlier: Time) -> f64 {
    // Microseconds of clocks that began with the process, or a few years ago.
    (later.as_micros() as i64 - earlier.as_micros() as i64) as f64 / 1e3
}

impl Trend {
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// A packet arrived; says what the path does when a group was completed.
    pub(super) fn note(&mut self, packet: Arrived) -> Option<Usage> {
        let Some(group) = &mut self.current else {
            self.current = Some(Group::of(packet));
            return None;
        };
        if packet.sent < group.first_sent {
            return None;
        }
        if group.takes(packet) {
            group.last_sent = group.last_sent.max(packet.sent);
            group.last_arrived = group.last_arrived.max(packet.arrived);
            return None;
        }
        let done = *group;
        self.current = Some(Group::of(packet));
        let usage = self.previous.map(|previous| {
            let sent = millis(done.last_sent, previous.last_sent);
            let arrived = millis(done.last_arrived, previous.last_arrived);
            self.add(done.last_arrived, arrived - sent, sent);
            self.usage
        });
        self.previous = Some(done);
        usage
    }

    fn add(&mut self, at: Time, delay: f64, sent: f64) {
        self.deltas = self.deltas.saturating_add(1);
        self.accumulated += delay;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let start = *self.start.get_or_insert(at);
        self.points.push(millis(at, start), self.smoothed);
        let slope = self.points.slope().unwrap_or(self.before);
        self.detect(at, slope, sent);
    }

    fn detect(&mut self, at: Time, slope: f64, sent: f64) {
        let trend = f64::from(self.deltas).min(DELTAS_MAX) * slope * GAIN;
        if trend > self.threshold {
            let over = self.over_for.map_or(sent / 2.0, |over| over + sent);
            self.over_for = Some(over);
            self.over_count += 1;
            if over > OVER_FOR && self.over_count > 1 && slope >= self.before {
                self.over_for = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = None;
            self.over_count = 0;
            self.usage = if trend < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.before = slope;
        self.adapt(at, trend);
    }

    fn adapt(&mut self, at: Time, trend: f64) {
        let since = millis(at, *self.threshold_at.get_or_insert(at)).clamp(0.0, 100.0);
        self.threshold_at = Some(at);
        if trend.abs() > self.threshold + SPIKE {
            return;
        }
        let speed = if trend.abs() < self.threshold {
            FALL
        } else {
            RISE
        };
        self.threshold += speed * (trend.abs() - self.threshold) * since;
        self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
    }
}

impl Group {
    const fn of(packet: Arrived) -> Self {
        Self {
            first_sent: packet.sent,
            last_sent: packet.sent,
            first_arrived: packet.arrived,
            last_arrived: packet.arrived,
        }
    }

    fn takes(&self, packet: Arrived) -> bool {
        if packet.sent.since(self.first_sent) <= BURST {
            return true;
        }
        let arrived = millis(packet.arrived, self.last_arrived);
        let sent = millis(packet.sent, self.last_sent);
        arrived - sent < 0.0
            && arrived <= BURST.as_secs_f64() * 1e3
            && packet.arrived.since(self.first_arrived) < HELD_UP_MAX
    }
}

/// The latest points, in any order.
#[derive(Debug, Clone, Default)]
struct Points {
    x: [f64; POINTS],
    y: [f64; POINTS],
    count: usize,
}

impl Points {
    fn push(&mut self, x: f64, y: f64) {
        let oldest = self.count % POINTS;
        (self.x[oldest], self.y[oldest]) = (x, y);
        self.count += 1;
    }

    /// The least-squares slope, once there are enough. Four sums beside each other, since the order of
    /// additions binds the compiler.
    fn slope(&self) -> Option<f64> {
        if self.count < POINTS {
            return None;
        }
        let mean = |of: &[f64; POINTS]| {
            let (mut sums, (rows, _)) = ([0.0; 4], of.as_chunks::<4>());
            for row in rows {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            sums.iter().sum::<f64>() / POINTS as f64
        };
        let (mean_x, mean_y) = (mean(&self.x), mean(&self.y));
        let (mut above, mut below) = ([0.0; 4], [0.0; 4]);
        let (rows_x, rows_y) = (self.x.as_chunks::<4>().0, self.y.as_chunks::<4>().0);
        for (row_x, row_y) in rows_x.iter().zip(rows_y) {
            for lane in 0..4 {
                let x = row_x[lane] - mean_x;
                above[lane] += x * (row_y[lane] - mean_y);
                below[lane] += x * x;
            }
        }
        let below: f64 = below.iter().sum();
        (below > 0.0).then(|| above.iter().sum::<f64>() / below)
    }
}

const _: () = assert!(POINTS.is_multiple_of(4), "rows of four");
