//! Pacing: what a participant's network would have to queue waits here instead, as numbers of packets
//! that are in the tracks' histories anyway. Sound never waits.

use std::time::Duration;

use sluice_types::units::{Bitrate, Time};

use super::passing::Written;
use super::{Drop, Forwarder, Outbox, PeerId, SinkId, Target};
use crate::layer::Layer;

/// How often waiting packets are looked at.
const DRAIN_INTERVAL: Duration = Duration::from_millis(2);

/// The most packets that wait for one participant: more than two key frames. When there are more,
/// its videos begin anew with the next key frame.
const QUEUED_MAX: usize = 384;

/// More than this waits only where the network carries less than was thought. Packets; a fifth of a
/// second of a large picture.
const FALLING_MAX: usize = 32;

/// A packet that waits: the rest of it is in the sink's ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    /// A sink's place, of which there are fewer.
    sink: u32,
    /// The lower half of its index; the sink knows the upper one.
    index: u32,
}

impl Queued {
    const fn new(sink: SinkId, index: u64) -> Self {
        Self {
            sink: sink.0 as u32,
            index: index as u32,
        }
    }

    const fn sink(self) -> SinkId {
        SinkId(self.sink as usize)
    }
}

impl Forwarder {
    /// Whether the next video packet for a participant has to wait.
    pub(super) fn has_to_wait(&mut self, now: Time, to: PeerId) -> bool {
        let peer = &mut self.peers[to.0];
        peer.is_estimated()
            && (!peer.downlink.queue.is_empty() || !peer.downlink.bucket.may_send(now))
    }

    /// Lets a video packet wait.
    pub(super) fn wait(&mut self, to: PeerId, sink: SinkId, index: u64) {
        let queue = &mut self.peers[to.0].downlink.queue;
        if queue.len() >= QUEUED_MAX {
            self.stats.dropped[Drop::Behind as usize] += queue.len() as u64;
            queue.clear();
            let sinks = self.peers[to.0].sinks.clone();
            for sink in sinks {
                self.sinks[sink.0].selection.begin_again();
            }
            return;
        }
        if queue.is_empty() && !self.paced.contains(&to) {
            self.paced.push(to);
        }
        queue.push_back(Queued::new(sink, index));
        let source = self.sinks[sink.0].source;
        for encoding in &mut self.sources[source.0].encodings {
            encoding.history.reach_far();
        }
    }

    /// Gives up the encoding that a sink is sent, when a lower one or none was chosen and even the least
    /// of it is more than there is `room` for: the key frame that it goes on with would come behind all
    /// that, of which little arrives.
    pub(super) fn give_up_what_is_too_large(&mut self, key: SinkId, room: Bitrate) {
        let sink = &self.sinks[key.0];
        let Target::Peer { peer, .. } = sink.target else {
            return;
        };
        let Some(current) = sink.current() else {
            return;
        };
        if !sink.selection.falls() && !sink.told_paused {
            return;
        }
        let least = Layer {
            spatial: current.layer.spatial,
            temporal: 0,
        };
        let encoding = &self.sources[sink.source.0].encodings[current.encoding.index()];
        let too_much = encoding.meter.up_to(current.layer) > room;
        let too_large = encoding.meter.up_to(least) > room;
        self.sinks[key.0].selection.save(too_much);
        if too_large {
            self.give_up(peer, key);
        }
    }

    /// Ends the encoding that a sink is sent: what waits of it is dropped, what is lost is not repaired.
    fn give_up(&mut self, to: PeerId, key: SinkId) {
        let queue = &mut self.peers[to.0].downlink.queue;
        let before = queue.len();
        queue.retain(|queued| queued.sink() != key);
        self.stats.dropped[Drop::Behind as usize] += (before - queue.len()) as u64;
        self.sinks[key.0].give_up();
    }

    /// As [`Self::give_up_what_is_too_large`], when much of it waits. Says whether it did.
    pub(super) fn give_up_what_waits(&mut self, to: PeerId, key: SinkId) -> bool {
        let falls = self.sinks[key.0].selection.falls();
        let gives_up = falls && self.peers[to.0].downlink.queue.len() >= FALLING_MAX;
        if gives_up {
            self.give_up(to, key);
            self.dropped(Drop::Behind);
        }
        gives_up
    }

    /// When waiting packets should be looked at.
    pub(super) fn next_drain(&self) -> Option<Time> {
        (!self.paced.is_empty()).then_some(self.next_drain)
    }

    /// Sends what has waited long enough.
    pub(super) fn drain(&mut self, now: Time, outbox: &mut impl Outbox) {
        if self.paced.is_empty() || now < self.next_drain {
            return;
        }
        self.next_drain = now + DRAIN_INTERVAL;
        let mut at = 0;
        while let Some(&peer) = self.paced.get(at) {
            if self.drain_one(now, peer, outbox) {
                self.paced.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Says whether nothing waits any more.
    fn drain_one(&mut self, now: Time, to: PeerId, outbox: &mut impl Outbox) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(to.0) else {
                return true;
            };
            if peer.downlink.queue.is_empty() {
                return true;
            }
            if !peer.downlink.bucket.may_send(now) {
                return false;
            }
            if let Some(queued) = peer.downlink.queue.pop_front() {
                self.send_queued(now, to, queued, outbox);
            }
        }
    }

    fn send_queued(&mut self, now: Time, to: PeerId, queued: Queued, outbox: &mut impl Outbox) {
        let sink = queued.sink();
        // The sink, its track or the packet may be gone meanwhile; another sink in its place has
        // other indices.
        let Some(at) = self.sinks.get(sink.0) else {
            return;
        };
        let source = at.source.0;
        let Some(packet) = at.sent_lately(queued.index) else {
            return;
        };
        let lent = self.sources.get_mut(source).and_then(|source| {
            let encoding = source.encodings.get_mut(packet.encoding.index())?;
            encoding.history.lend(packet.number)
        });
        let Some(kept) = lent else {
            return;
        };
        let written = Written {
            codec: kept.codec,
            header: &kept.header,
            packet: kept.packet(),
            counters: packet.counters(&kept.unit.counters),
        };
        self.transmit(now, sink, to, &packet, &written, outbox);
        self.sources[source].encodings[packet.encoding.index()]
            .history
            .give_back(kept);
    }
}
