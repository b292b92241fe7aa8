//! One hop: a connection between two edges, on which lost packets are repaired.
//!
//! What is sent gets hop numbers, across all relays. The other end sees gaps, waits as long as packets
//! were seen to be reordered, and asks for what is missing while a repair can still come in time: one
//! round trip and some slack after the gap showed. Where even that is late, which is where round trip
//! times loss is high, the sender adds parity, and requests are for what parity did not bring back.
//! Repairs, parity and probes together stay within a share of the media ([`HopSettings`]); what is
//! beyond it stays lost.
//!
//! Feed a [`Hop`] what is sent and received; take what it delivers and transmits, and call
//! [`Hop::on_timeout`] when [`Hop::timeout`] says.

mod health;
mod parity;
mod receiver;
mod sender;
mod settings;
mod silence;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sluice_types::units::Time;

use self::health::Health;
pub use self::health::{Measured, Ratio};
use self::receiver::{Pace, Receiver};
use self::sender::Sender;
pub use self::settings::{HopCounters, HopSettings};
use self::silence::Silence;
use self::wire::{Frame, MEDIA_HEADER_BYTES, PARITY_ENVELOPE_BYTES, Probe, is_hop};

/// How often probes are sent while there is media, while there is none, and before the peer answers.
const PROBE_EVERY: Duration = Duration::from_millis(100);
const PROBE_EVERY_IDLE: Duration = Duration::from_millis(500);

/// How many probes follow the last packet before a pause: the first may be lost with it.
const TAIL_PROBES: u32 = 2;

/// From this round trip, repairs on request are late: they hold a picture up for longer than receivers
/// have in store.
const LATE_ROUND_TRIP: Duration = Duration::from_millis(200);
/// There parity is added from this much delay per packet that repairs cost on average, which is round
/// trip times loss; and until it is this small.
const PARITY_FROM: Duration = Duration::from_millis(1);
const PARITY_UNTIL: Duration = Duration::from_micros(500);
/// Parity and the repair of what it does not bring back have to fit into the overhead together. They
/// do up to this loss, in parts of the overhead, and while losses come in runs up to this length. Above
/// it, requests alone bring back more.
const PARITY_LOSS_MAX: Ratio = 0.35;
const PARITY_RUN_MAX: f64 = 2.0;
/// How far these bounds may be exceeded before parity ends.
const PARITY_TOLERANCE: f64 = 1.3;

/// Datagrams that wait to be transmitted or delivered. The newest is dropped beyond it.
const WAITING_MAX: usize = 8_192;

/// See the module.
pub struct Hop {
    settings: HopSettings,
    health: Health,
    sender: Sender,
    receiver: Receiver,
    counters: HopCounters,
    /// The other end numbers and repairs.
    understood: bool,
    silence: Option<Silence>,
    received_bytes: u64,
    /// The latest stamp of the other end, and when it came.
    stamp: Option<(u64, Time)>,
    probes: u64,
    parity_allowed: bool,
    probe_due: Time,
    /// When media, or a probe after it, was sent last; and how many such probes there were.
    tail: Option<(Time, u32)>,
    active: bool,
    transmits: VecDeque<Bytes>,
    deliveries: VecDeque<Bytes>,
}

impl Hop {
    /// A new hop; its first probe is due at once.
    #[must_use]
    pub fn new(settings: HopSettings, now: Time) -> Self {
        Self {
            settings,
            health: Health::new(settings.round_trip),
            sender: Sender::new(settings.overhead_permille),
            receiver: Receiver::new(),
            counters: HopCounters::default(),
            understood: false,
            silence: settings.silence.map(Silence::new),
            received_bytes: 0,
            stamp: None,
            probes: 0,
            parity_allowed: true,
            probe_due: now,
            tail: None,
            active: false,
            transmits: VecDeque::new(),
            deliveries: VecDeque::new(),
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> HopCounters {
        self.counters
    }

    /// What was measured.
    #[must_use]
    pub fn measured(&self) -> Measured {
        self.health.measured()
    }

    /// The share of this end's packets that the peer did not get at the first try, over `span`.
    #[must_use]
    pub fn loss_over(&self, span: Duration) -> Ratio {
        self.health.loss.ratio_over(span)
    }

    /// Whether the other end is known to repair too.
    #[must_use]
    pub const fn is_understood(&self) -> bool {
        self.understood
    }

    /// Whether nothing has come from the other end for as long as [`HopSettings::silence`] says.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silence.as_ref().is_some_and(Silence::is_silent)
    }

    /// How many probes came.
    #[must_use]
    pub const fn probes(&self) -> u64 {
        self.probes
    }

    /// Whether parity may be added where it helps; it may from the start.
    pub fn allow_parity(&mut self, allowed: bool) {
        self.parity_allowed = allowed;
        if !allowed && self.sender.parity {
            self.sender.use_parity(false);
        }
    }

    /// Whether parity is added.
    #[must_use]
    pub const fn has_parity(&self) -> bool {
        self.sender.parity
    }

    fn pace(&self) -> Pace {
        let round_trip = self.health.round_trip();
        let slack = self.settings.slack.max(round_trip / 5);
        Pace {
            round_trip,
            slack,
            deadline: (round_trip + slack).min(self.settings.latest),
        }
    }

    fn block_age(&self) -> Duration {
        (self.health.round_trip() / 10).clamp(Duration::from_millis(8), Duration::from_millis(40))
    }

    /// From now on repairs, parity and probes may be this much of the media, in thousandths; see
    /// [`HopSettings::overhead_permille`].
    pub fn set_overhead(&mut self, permille: u16) {
        self.settings.overhead_permille = permille;
        self.sender.set_overhead(permille);
        if permille == 0 {
            self.sender.use_parity(false);
        }
    }

    /// What a relay's datagram grows by at most when it is sent now, or its parity is. Most hops use
    /// no parity, and their longest packets need not be split for it.
    #[must_use]
    pub const fn envelope_bytes(&self) -> usize {
        if self.sender.parity {
            PARITY_ENVELOPE_BYTES
        } else {
            MEDIA_HEADER_BYTES
        }
    }

    /// A relay's datagram, of at most the path's longest less [`Self::envelope_bytes`], as it is
    /// to be transmitted now.
    pub fn send(&mut self, now: Time, inner: Bytes) -> Bytes {
        self.active = true;
        if !self.understood || self.settings.overhead_permille == 0 {
            self.counters.media_bytes += inner.len() as u64;
            return inner;
        }
        self.tail = Some((now, 0));
        let age = self.block_age();
        let datagram = self
            .sender
            .send(now, &inner, &mut self.counters, age, &mut self.transmits);
        self.counters.media_bytes += datagram.len() as u64;
        datagram
    }

    /// Takes a datagram that arrived.
    pub fn receive(&mut self, now: Time, datagram: Bytes) {
        self.received_bytes += datagram.len() as u64;
        if let Some(silence) = &mut self.silence {
            silence.heard(now);
        }
        if !is_hop(&datagram) {
            self.deliver(datagram);
            return;
        }
        let pace = self.pace();
        let (counters, out) = (&mut self.counters, &mut self.deliveries);
        match Frame::parse(datagram) {
            Some(Frame::Media {
                number,
                repair,
                inner,
            }) if out.len() < WAITING_MAX => {
                self.active = true;
                self.receiver
                    .media(now, pace, (number, repair), inner, counters, out);
            }
            Some(Frame::Parity(parity)) if out.len() < WAITING_MAX => {
                self.receiver.parity(now, pace, parity, counters, out);
            }
            Some(Frame::Missing(numbers)) if self.transmits.len() < WAITING_MAX => {
                self.sender
                    .repair(now, &numbers, counters, &mut self.transmits);
            }
            Some(Frame::Probe(probe)) => self.probe(now, &probe),
            _ => {}
        }
    }

    fn deliver(&mut self, inner: Bytes) {
        if self.deliveries.len() < WAITING_MAX {
            self.deliveries.push_back(inner);
        }
    }

    fn probe(&mut self, now: Time, probe: &Probe) {
        if self.health.on_probe(now, probe).is_none() {
            return;
        }
        self.understood = true;
        self.probes += 1;
        self.stamp = Some((probe.stamp, now));
        let pace = self.pace();
        self.receiver
            .head(now, pace, probe.next, &mut self.counters);
        let wanted = self.parity_allowed && self.wants_parity(pace.round_trip);
        if wanted != self.sender.parity {
            self.sender.use_parity(wanted);
        }
    }

    fn wants_parity(&self, round_trip: Duration) -> bool {
        let loss = &self.health.loss;
        let cost = round_trip.mul_f64(loss.ratio().clamp(0.0, 1.0));
        let (least, tolerance) = if self.sender.parity {
            (PARITY_UNTIL, PARITY_TOLERANCE)
        } else {
            (PARITY_FROM, 1.0)
        };
        if round_trip < LATE_ROUND_TRIP || cost < least {
            return false;
        }
        let overhead = Ratio::from(self.settings.overhead_permille) / 1_000.0;
        let affordable = loss.ratio() <= PARITY_LOSS_MAX * overhead * tolerance
            && loss.run_length() <= PARITY_RUN_MAX * tolerance;
        affordable || round_trip > self.settings.latest
    }

    /// How long after the last packet a probe tells the other end that it was the last. Only where
    /// packets are lost: it is for losses that no later packet shows.
    fn tail_due(&self) -> Option<Time> {
        let quiet = (self.health.round_trip() / 40)
            .clamp(Duration::from_millis(1), Duration::from_millis(6));
        self.tail
            .filter(|_| self.health.loss.ratio() > 0.0)
            .map(|(tail, probes)| tail + quiet * (1 + probes))
    }

    /// When [`Self::on_timeout`] is to be called next.
    #[must_use]
    pub fn timeout(&self) -> Time {
        [
            self.receiver.due(),
            self.tail_due(),
            self.sender.block_due(self.block_age()),
            self.silence.as_ref().and_then(Silence::due),
        ]
        .into_iter()
        .flatten()
        .fold(self.probe_due, Time::min)
    }

    /// Does what is due.
    pub fn on_timeout(&mut self, now: Time) {
        if let Some(silence) = &mut self.silence {
            silence.look(now);
        }
        let pace = self.pace();
        self.receiver
            .ask(now, pace, &mut self.counters, &mut self.transmits);
        let age = self.block_age();
        self.sender
            .close_block(now, age, &mut self.counters, &mut self.transmits);
        if now >= self.probe_due || self.tail_due().is_some_and(|due| now >= due) {
            self.send_probe(now);
        }
    }

    fn send_probe(&mut self, now: Time) {
        let counts = self.receiver.counts;
        self.receiver.loss.note(now, counts);
        let (echo, came) = self.stamp.unwrap_or((0, now));
        let probe = Probe {
            // 0 says that there is none.
            stamp: now.as_micros().max(1),
            echo,
            held_us: u32::try_from(now.since(came).as_micros()).unwrap_or(u32::MAX),
            next: self.sender.next() as u32,
            expected: counts.expected as u32,
            received: counts.received as u32,
            runs: counts.runs as u32,
            bytes: self.received_bytes as u32,
            read_ms: now.as_millis() as u32,
        };
        let datagram = probe.write();
        self.sender.spend(datagram.len());
        self.counters.probe_bytes += datagram.len() as u64;
        if self.transmits.len() < WAITING_MAX {
            self.transmits.push_back(datagram);
        }
        let busy = std::mem::take(&mut self.active) || !self.understood;
        let every = if busy { PROBE_EVERY } else { PROBE_EVERY_IDLE };
        let steady = self.silence.as_ref().map(Silence::probe_every);
        let every = steady.map_or(every, |steady| steady.min(every));
        self.probe_due = now + every;
        self.tail = self
            .tail
            .filter(|(_, probes)| probes + 1 < TAIL_PROBES)
            .map(|(_, probes)| (now, probes + 1));
        let remembered = (self.pace().deadline * 2).max(Duration::from_secs(1));
        self.sender.forget_before(now - remembered);
    }

    /// The next datagram to transmit, beside those that [`Self::send`] gave.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    /// The next datagram of a relay that arrived.
    pub fn poll_delivery(&mut self) -> Option<Bytes> {
        self.deliveries.pop_front()
    }
}
