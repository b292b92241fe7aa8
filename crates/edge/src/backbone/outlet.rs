//! From media workers to one connection: bounded, lock-free, and without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use sluice_sfu::forward::EncodingId;
use sluice_sfu::rtcp::SenderClock;
use sluice_types::ids::RelayId;
use sluice_types::room::MediaKind;
use tokio::sync::Notify;

use crate::media::RelayOutlet;

/// Packets that wait for a connection: 20 ms of 100 video tracks. When they are too many, the
/// newest is dropped and counted.
const QUEUED: usize = 4_096;

/// Buffers that are kept to be used again.
const POOLED: usize = 1_024;

/// What waits to be sent.
pub(super) enum Queued {
    Media(RelayId, MediaKind, Vec<u8>),
    Clock(RelayId, EncodingId, SenderClock),
}

pub(super) struct Queue {
    packets: ArrayQueue<Queued>,
    pool: ArrayQueue<Vec<u8>>,
    notify: Notify,
    pub(super) dropped: AtomicU64,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            packets: ArrayQueue::new(QUEUED),
            pool: ArrayQueue::new(POOLED),
            notify: Notify::new(),
            dropped: AtomicU64::new(0),
        })
    }

    /// Waits until something may have been queued.
    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }

    pub(super) fn take(&self) -> Option<Queued> {
        self.packets.pop()
    }

    /// Gives a buffer back.
    pub(super) fn recycle(&self, buffer: Vec<u8>) {
        // A full pool has enough of them.
        let _ = self.pool.push(buffer);
    }
}

/// Where a worker puts packets for one connection.
#[derive(Clone)]
pub struct Outlet(Arc<Queue>);

impl Outlet {
    pub(super) const fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    fn push(&self, queued: Queued) {
        if let Err(Queued::Media(_, _, buffer)) = self.0.packets.push(queued) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            self.0.recycle(buffer);
        }
    }
}

impl RelayOutlet for Outlet {
    fn media(&mut self, relay: RelayId, kind: MediaKind, packet: &[u8]) {
        let mut buffer = self.0.pool.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.push(Queued::Media(relay, kind, buffer));
    }

    fn clock(&mut self, relay: RelayId, encoding: EncodingId, clock: SenderClock) {
        self.push(Queued::Clock(relay, encoding, clock));
    }

    fn flush(&mut self) {
        self.0.notify.notify_one();
    }
}
