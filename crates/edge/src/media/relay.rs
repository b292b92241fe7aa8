//! Where media meets the backbone: what a worker takes from it and gives to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use mio::Waker;
use sluice_sfu::forward::EncodingId;
use sluice_sfu::rtcp::SenderClock;
use sluice_types::ids::RelayId;
use sluice_types::room::MediaKind;

use super::keys::TrackKey;

/// Relayed packets that wait for a worker: 20 ms of 100 video tracks, or 5 MB. When it is full, the
/// newest is dropped and counted; the track's receivers repair it or ask for a key frame.
pub(super) const INLET_PACKETS: usize = 4_096;

/// Buffers of crossing packets that are kept to be used again.
const POOLED: usize = 1_024;

/// What travels over a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relayed {
    /// An RTP packet numbered as edges do among themselves.
    Media(Bytes),
    /// The same from another worker of this edge, in a buffer that goes back.
    Crossed(Vec<u8>),
    /// The sender clock of one of the track's encodings.
    Clock(EncodingId, SenderClock),
}

/// What a worker takes from the backbone: many connections put in, one worker takes out.
#[derive(Clone)]
pub struct RelayInlet {
    queue: Arc<ArrayQueue<(TrackKey, Relayed)>>,
    pool: Arc<ArrayQueue<Vec<u8>>>,
    waker: Arc<Waker>,
    dropped: Arc<AtomicU64>,
}

impl RelayInlet {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self {
            queue: Arc::new(ArrayQueue::new(INLET_PACKETS)),
            pool: Arc::new(ArrayQueue::new(POOLED)),
            waker,
            dropped: Arc::default(),
        }
    }

    /// Queues something that came over a relay of `track`.
    pub fn deliver(&self, track: TrackKey, relayed: Relayed) {
        if let Err((_, relayed)) = self.queue.push((track, relayed)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.recycle(relayed);
        }
    }

    /// Queues a copy of a packet of `track` that another worker has.
    pub(super) fn deliver_copy(&self, track: TrackKey, packet: &[u8]) {
        let mut buffer = self.pool.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.deliver(track, Relayed::Crossed(buffer));
    }

    /// Keeps the buffer of something that was taken, for the next copy.
    pub(super) fn recycle(&self, taken: Relayed) {
        if let Relayed::Crossed(buffer) = taken {
            // A full pool has enough of them.
            let _ = self.pool.push(buffer);
        }
    }

    /// Wakes the worker; once after each batch.
    pub fn wake(&self) {
        // The worker looks at the queue at least every 20 ms, even if waking it failed.
        let _ = self.waker.wake();
    }

    pub(super) fn take(&self) -> Option<(TrackKey, Relayed)> {
        self.queue.pop()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What a worker gives to one backbone connection. It never blocks: what the connection has no
/// room for is dropped and counted there.
pub trait RelayOutlet: Send {
    /// Queues a packet numbered as edges do among themselves.
    fn media(&mut self, relay: RelayId, kind: MediaKind, packet: &[u8]);
    /// Queues the sender clock of one of a track's encodings.
    fn clock(&mut self, relay: RelayId, encoding: EncodingId, clock: SenderClock);
    /// Sends what was queued; once after each batch.
    fn flush(&mut self);
}
