//! A congestion window for media: never less than what the path has just shown to carry.
//!
//! BBR closes its window for a while every ten seconds, and after some losses, to measure anew. A
//! transfer makes up for that later; media is late, and on long paths so late that it has to be
//! dropped. So the window stays open for what was acknowledged in the last seconds. What is sent on a
//! full path is for the sender of the media to lower.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{BbrConfig, Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

/// What is acknowledged is counted in spans of this length.
const SPAN: Duration = Duration::from_millis(250);

/// How many spans are remembered: four seconds.
const SPANS: usize = 16;

/// The window is at least this many halves of what the path carried in its shortest round trip and
/// the time that acknowledgements wait.
const HALVES: u64 = 4;
const ACK_DELAY: Duration = Duration::from_millis(25);

/// Makes [`MediaWindow`]s.
#[derive(Debug, Default)]
pub(crate) struct MediaWindowConfig {
    inner: Arc<BbrConfig>,
}

impl ControllerFactory for MediaWindowConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(MediaWindow {
            inner: Arc::clone(&self.inner).build(now, current_mtu),
            spans: [0; SPANS],
            span: 0,
            began: now,
            least: 0,
        })
    }
}

struct MediaWindow {
    inner: Box<dyn Controller>,
    /// Bytes acknowledged in each span.
    spans: [u64; SPANS],
    span: usize,
    began: Instant,
    least: u64,
}

impl MediaWindow {
    fn count(&mut self, now: Instant, bytes: u64, rtt: &RttEstimator) {
        if now.saturating_duration_since(self.began) >= SPAN {
            self.began = now;
            self.span = (self.span + 1) % SPANS;
            self.spans[self.span] = 0;
            let most = self.spans.iter().max().copied().unwrap_or(0);
            let time = (rtt.min() + ACK_DELAY).as_micros() as u64;
            self.least = most * time / SPAN.as_micros() as u64 * HALVES / 2;
        }
        self.spans[self.span] += bytes;
    }
}

impl Controller for MediaWindow {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.count(now, bytes, rtt);
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().max(self.least)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            ..*self
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
