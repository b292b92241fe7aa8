//! What crosses one connection between two edges: relays' packets out, shared and repaired; and in.
//!
//! Packets wait in [`Shares`] until the connection has room, and get their numbers only when they
//! leave, so that what is shed leaves no gap. Requests, repairs, parity and probes of the [`Hop`] go
//! before them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sluice_types::ids::RelayId;
use sluice_types::room::MediaKind;
use sluice_types::units::{Bitrate, Time};

use crate::datagram::{CLOCK_BYTES, Split, Splitter, write_clock};
use crate::hop::{Hop, HopCounters, HopSettings, Measured};
use crate::share::{Capacity, Class, RoomKey, ShareCounters, Shares};

/// How often what waits is looked at again: while something waits, and while something is shed.
const RETRY: Duration = Duration::from_millis(1);
const REVIEW: Duration = Duration::from_millis(5);
const REVIEW_SHED: Duration = Duration::from_millis(100);

/// With a limit, this much of it may leave at once.
const BURST: Duration = Duration::from_millis(15);
const BURST_BYTES_MIN: i64 = 3_000;

/// Over how long the offered rate is averaged.
const OFFERED_OVER: Duration = Duration::from_secs(1);

/// What waits.
#[derive(Debug)]
enum Packet {
    Media(RelayId, Vec<u8>),
    Clock(RelayId, [u8; CLOCK_BYTES]),
}

/// What a connection did beside what its hop and shares count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounters {
    /// Packets sent.
    pub sent: u64,
    /// Of them, in two datagrams.
    pub split: u64,
    /// Packets that not even two datagrams hold.
    pub too_long: u64,
}

/// See the module.
pub struct Connection {
    hop: Hop,
    shares: Shares<Packet>,
    splitters: HashMap<RelayId, Splitter>,
    /// Second halves.
    pending: VecDeque<Bytes>,
    capacity: Capacity,
    credit: i64,
    credited: Time,
    offered: (Time, u64),
    probes: u64,
    reviewed: Time,
    /// Something waits for room.
    blocked: bool,
    counters: ConnectionCounters,
    spare: Vec<Vec<u8>>,
}

/// A packet's class: of video, its encoding is its SSRC.
fn class_of(kind: MediaKind, packet: &[u8]) -> Class {
    match kind {
        MediaKind::Audio => Class::Audio,
        MediaKind::Video => {
            let encoding = packet.get(8..).and_then(<[u8]>::first_chunk::<4>);
            Class::of_encoding(encoding.map_or(0, |bytes| u32::from_be_bytes(*bytes)))
        }
    }
}

impl Connection {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(settings: HopSettings, now: Time) -> Self {
        Self {
            hop: Hop::new(settings, now),
            shares: Shares::default(),
            splitters: HashMap::new(),
            pending: VecDeque::new(),
            capacity: Capacity::default(),
            credit: 0,
            credited: now,
            offered: (now, 0),
            probes: 0,
            reviewed: now,
            blocked: false,
            counters: ConnectionCounters::default(),
            spare: Vec::new(),
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> (ConnectionCounters, HopCounters, ShareCounters) {
        (self.counters, self.hop.counters(), self.shares.counters())
    }

    /// What was measured; `None` while the peer answers no probes.
    #[must_use]
    pub fn measured(&self) -> Option<Measured> {
        self.hop.is_understood().then(|| self.hop.measured())
    }

    /// Whether nothing comes from the other end any more; see [`HopSettings::silence`].
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.hop.is_silent()
    }

    /// How many probes came.
    #[must_use]
    pub const fn probes(&self) -> u64 {
        self.hop.probes()
    }

    /// What is sent at most.
    #[must_use]
    pub const fn limit(&self) -> Option<Bitrate> {
        self.capacity.limit()
    }

    /// From now on repairs, parity and probes may be this much of the media, in thousandths.
    pub fn set_overhead(&mut self, permille: u16) {
        self.hop.set_overhead(permille);
    }

    /// How many encodings are shed now.
    #[must_use]
    pub fn away(&self) -> usize {
        self.shares.away()
    }

    /// Queues an RTP packet of a relay.
    pub fn push(
        &mut self,
        now: Time,
        room: RoomKey,
        relay: RelayId,
        kind: MediaKind,
        packet: Vec<u8>,
    ) {
        let class = class_of(kind, &packet);
        let bytes = packet.len().max(1);
        self.offered.1 += bytes as u64;
        let what = Packet::Media(relay, packet);
        self.shares.push(now, room, relay, class, bytes, what);
    }

    /// Queues a sender clock; NTP time, RTP time and of which encoding.
    pub fn push_clock(
        &mut self,
        now: Time,
        room: RoomKey,
        relay: RelayId,
        (ntp, rtp, encoding): (u64, u32, u8),
    ) {
        let clock = write_clock(ntp, rtp, encoding);
        let what = Packet::Clock(relay, clock);
        self.shares
            .push(now, room, relay, Class::Audio, CLOCK_BYTES, what);
    }

    /// A relay that went out is over.
    pub fn forget_relay(&mut self, relay: RelayId) {
        self.splitters.remove(&relay);
        self.shares.forget_relay(relay);
    }

    /// A room's last relay that went out is over.
    pub fn forget_room(&mut self, room: RoomKey) {
        self.shares.forget_room(room);
    }

    /// A buffer of a packet that left or was dropped, to be used again.
    pub fn take_spare(&mut self) -> Option<Vec<u8>> {
        while let Some(packet) = self.shares.take_dropped() {
            if let Packet::Media(_, buffer) = packet {
                return Some(buffer);
            }
        }
        self.spare.pop()
    }

    /// Takes a datagram that arrived.
    pub fn receive(&mut self, now: Time, datagram: Bytes) {
        self.hop.receive(now, datagram);
        if self.hop.probes() != self.probes {
            self.probes = self.hop.probes();
            self.learn(now);
        }
    }

    fn learn(&mut self, now: Time) {
        let (since, bytes) = self.offered;
        let span = now.since(since);
        if span < OFFERED_OVER / 10 {
            return;
        }
        let rate = Bitrate::bps(bytes * 8 * 1_000 / (span.as_millis() as u64).max(1));
        if span >= OFFERED_OVER {
            self.offered = (now, 0);
        }
        let recent = self.hop.loss_over(OFFERED_OVER);
        let measured = self.hop.measured();
        self.capacity.update(now, &measured, recent, rate);
        // On a full link, parity would take from what it protects.
        self.hop.allow_parity(self.capacity.limit().is_none());
    }

    /// The next relay's datagram that arrived.
    pub fn poll_delivery(&mut self) -> Option<Bytes> {
        self.hop.poll_delivery()
    }

    /// The next datagram to send; datagrams may be `longest` bytes long. `room` says whether the
    /// connection has room for media; without, only what is urgent comes.
    pub fn poll_transmit(&mut self, now: Time, longest: usize, room: bool) -> Option<Bytes> {
        self.refill(now);
        if let Some(datagram) = self.hop.poll_transmit() {
            return Some(self.spend(datagram));
        }
        if !room || self.is_limited() {
            self.blocked = !self.shares.is_empty() || !self.pending.is_empty();
            return None;
        }
        if let Some(datagram) = self.pending.pop_front() {
            let datagram = self.hop.send(now, datagram);
            return Some(self.spend(datagram));
        }
        let longest = longest.saturating_sub(self.hop.envelope_bytes());
        while let Some(packet) = self.shares.pop() {
            if let Some(datagram) = self.take_apart(packet, longest) {
                let datagram = self.hop.send(now, datagram);
                return Some(self.spend(datagram));
            }
        }
        self.blocked = false;
        None
    }

    fn take_apart(&mut self, packet: Packet, longest: usize) -> Option<Bytes> {
        match packet {
            Packet::Clock(relay, clock) => Some(splitter(&mut self.splitters, relay).clock(&clock)),
            Packet::Media(relay, buffer) => {
                let split = splitter(&mut self.splitters, relay).split(&buffer, longest);
                if self.spare.len() < 256 {
                    self.spare.push(buffer);
                }
                match split {
                    Ok(Split::Whole(datagram)) => {
                        self.counters.sent += 1;
                        Some(datagram)
                    }
                    Ok(Split::Halves([first, second])) => {
                        self.counters.sent += 1;
                        self.counters.split += 1;
                        self.pending.push_back(second);
                        Some(first)
                    }
                    Err(_) => {
                        self.counters.too_long += 1;
                        None
                    }
                }
            }
        }
    }

    fn refill(&mut self, now: Time) {
        let Some(limit) = self.capacity.limit() else {
            self.credit = BURST_BYTES_MIN;
            self.credited = now;
            return;
        };
        let bytes = |time: Duration| (limit.as_bps() as u128 * time.as_micros() / 8_000_000) as i64;
        let earned = bytes(now.since(self.credited));
        // Less than a byte's time is left to the next call.
        if earned > 0 {
            self.credit = (self.credit + earned).min(bytes(BURST).max(BURST_BYTES_MIN));
            self.credited = now;
        }
    }

    const fn is_limited(&self) -> bool {
        self.capacity.limit().is_some() && self.credit <= 0
    }

    const fn spend(&mut self, datagram: Bytes) -> Bytes {
        self.credit -= datagram.len() as i64;
        datagram
    }

    /// When [`Self::on_timeout`] is to be called next.
    #[must_use]
    pub fn timeout(&self, now: Time) -> Time {
        let mut due = self.hop.timeout();
        if self.blocked {
            due = due.min(now + RETRY);
        }
        if self.shares.away() > 0 {
            due = due.min(self.reviewed + REVIEW_SHED);
        }
        due
    }

    /// Does what is due. Then there may be something to transmit.
    pub fn on_timeout(&mut self, now: Time) {
        if now >= self.hop.timeout() {
            self.hop.on_timeout(now);
        }
        let every = if self.blocked { REVIEW } else { REVIEW_SHED };
        if now.since(self.reviewed) >= every {
            self.reviewed = now;
            self.shares.review(now);
        }
    }
}

fn splitter(splitters: &mut HashMap<RelayId, Splitter>, relay: RelayId) -> &mut Splitter {
    splitters
        .entry(relay)
        .or_insert_with(|| Splitter::new(relay))
}
