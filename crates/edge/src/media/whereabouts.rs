//! Which worker each track is at, and how it gets to receivers at others.
//!
//! A room lives at one worker until that one is full; then newcomers go to another, and each track
//! that somebody there receives is carried across once, as to another edge: plain packets through the
//! other worker's bounded, lock-free inlet. Nothing here is touched for a packet.

use std::collections::HashMap;

use sluice_sfu::forward::EncodingId;
use sluice_sfu::rtcp::SenderClock;
use sluice_types::ids::{MeetingId, ParticipantId, RelayId};
use sluice_types::room::{MediaKind, TrackInfo};
use sluice_types::signal::Wish;

use super::keys::{SinkKey, TrackKey};
use super::relay::{RelayInlet, RelayOutlet, Relayed};
use super::worker::{Command, TrackOrigin, TrackTarget, WorkerHandle};

/// A track carried to another worker.
struct Crossing {
    to: usize,
    /// At the track's own worker.
    sink: SinkKey,
    /// Receivers at the other worker.
    receivers: Vec<SinkKey>,
}

struct Entry {
    worker: usize,
    room: MeetingId,
    owner: ParticipantId,
    track: TrackInfo,
    crossings: Vec<Crossing>,
}

/// All tracks of the edge.
#[derive(Default)]
pub(super) struct Whereabouts {
    tracks: HashMap<TrackKey, Entry>,
}

/// Puts packets into another worker's inlet.
struct Crossover {
    inlet: RelayInlet,
    track: TrackKey,
}

impl RelayOutlet for Crossover {
    fn media(&mut self, _: RelayId, _: MediaKind, packet: &[u8]) {
        self.inlet.deliver_copy(self.track, packet);
    }

    fn clock(&mut self, _: RelayId, encoding: EncodingId, clock: SenderClock) {
        self.inlet
            .deliver(self.track, Relayed::Clock(encoding, clock));
    }

    fn flush(&mut self) {
        self.inlet.wake();
    }
}

impl Whereabouts {
    /// Takes in a track at a worker.
    pub(super) fn add(
        &mut self,
        workers: &[WorkerHandle],
        worker: usize,
        room: &MeetingId,
        owner: &ParticipantId,
        track: &TrackInfo,
        origin: TrackOrigin,
    ) {
        let key = TrackKey::of(&track.track_id);
        self.remove(workers, key);
        workers[worker].tell(Command::AddTrack {
            room: room.clone(),
            owner: owner.clone(),
            track: track.clone(),
            origin,
        });
        let entry = Entry {
            worker,
            room: room.clone(),
            owner: owner.clone(),
            track: track.clone(),
            crossings: Vec::new(),
        };
        self.tracks.insert(key, entry);
    }

    /// Lets go of a track, at every worker.
    pub(super) fn remove(&mut self, workers: &[WorkerHandle], key: TrackKey) {
        let Some(gone) = self.tracks.remove(&key) else {
            return;
        };
        let others = gone.crossings.iter().map(|crossing| crossing.to);
        for worker in others.chain([gone.worker]) {
            workers[worker].tell(Command::RemoveTrack { track: key });
        }
    }

    /// The worker that a track is at.
    pub(super) fn worker_of(&self, key: TrackKey) -> Option<usize> {
        self.tracks.get(&key).map(|entry| entry.worker)
    }

    /// Sends a track to a receiver at `worker`.
    pub(super) fn add_sink(
        &mut self,
        workers: &[WorkerHandle],
        worker: usize,
        key: TrackKey,
        sink: SinkKey,
        target: TrackTarget,
        wish: Option<Wish>,
    ) {
        if let Some(entry) = self.tracks.get_mut(&key)
            && entry.worker != worker
        {
            entry.cross(workers, worker, key, sink);
        }
        workers[worker].tell(Command::AddSink {
            sink,
            track: key,
            target,
            wish,
        });
    }

    /// Sends it there no more.
    pub(super) fn remove_sink(
        &mut self,
        workers: &[WorkerHandle],
        worker: usize,
        key: TrackKey,
        sink: SinkKey,
    ) {
        workers[worker].tell(Command::RemoveSink { sink });
        let Some(entry) = self.tracks.get_mut(&key) else {
            return;
        };
        let place = entry
            .crossings
            .iter()
            .position(|crossing| crossing.to == worker);
        if let Some(place) = place {
            let crossing = &mut entry.crossings[place];
            crossing.receivers.retain(|&receiver| receiver != sink);
            if crossing.receivers.is_empty() {
                let sink = entry.crossings.swap_remove(place).sink;
                workers[entry.worker].tell(Command::RemoveSink { sink });
                workers[worker].tell(Command::RemoveTrack { track: key });
            }
        }
    }
}

impl Entry {
    /// Makes sure that the track is carried to a worker, for one more receiver.
    fn cross(&mut self, workers: &[WorkerHandle], to: usize, key: TrackKey, receiver: SinkKey) {
        if let Some(crossing) = self.crossings.iter_mut().find(|c| c.to == to) {
            crossing.receivers.push(receiver);
            return;
        }
        let sink = SinkKey::next();
        // First where it goes to, so that nothing comes before it is expected.
        workers[to].tell(Command::AddTrack {
            room: self.room.clone(),
            owner: self.owner.clone(),
            track: self.track.clone(),
            origin: TrackOrigin::Worker {
                from: workers[self.worker].mailbox(),
                sink,
            },
        });
        workers[self.worker].tell(Command::AddSink {
            sink,
            track: key,
            target: TrackTarget::Relay {
                relay: RelayId(0),
                outlet: Box::new(Crossover {
                    inlet: workers[to].inlet().clone(),
                    track: key,
                }),
            },
            wish: None,
        });
        self.crossings.push(Crossing {
            to,
            sink,
            receivers: vec![receiver],
        });
    }
}
