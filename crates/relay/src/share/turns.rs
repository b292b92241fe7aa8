//! One class's queues, and whose turn it is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sluice_types::ids::RelayId;
use sluice_types::units::Time;

use super::RoomKey;

/// What one turn of a room is worth, in bytes: at least the longest packet.
const QUANTUM: usize = 3_000;

/// A room waits at most once this long for one shed relay to make a difference.
const SHED_EVERY: Duration = Duration::from_millis(60);

#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) relay: RelayId,
    pub(super) bytes: usize,
    pub(super) at: Time,
    pub(super) what: T,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    pub(super) items: VecDeque<Item<T>>,
    pub(super) deficit: usize,
    /// When it was last looked at for waiting too long, and how long it waited then.
    pub(super) late: Option<(Time, Duration)>,
}

impl<T> Queue<T> {
    pub(super) fn waited(&self, now: Time) -> Duration {
        self.items
            .front()
            .map_or(Duration::ZERO, |item| now.since(item.at))
    }

    /// Whether it is late, and what was shed before has not made it shorter.
    pub(super) fn has_to_shed(&mut self, now: Time, waited: Duration, patience: Duration) -> bool {
        if waited <= patience {
            self.late = None;
            return false;
        }
        let (at, before) = self.late.unwrap_or((Time::ZERO, Duration::ZERO));
        if now.since(at) < SHED_EVERY {
            return false;
        }
        self.late = Some((now, waited));
        waited >= before
    }
}

#[derive(Debug)]
pub(super) struct Turns<T> {
    pub(super) queues: HashMap<RoomKey, Queue<T>>,
    /// Rooms with something in their queue; the first one's turn it is.
    pub(super) ring: VecDeque<RoomKey>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            ring: VecDeque::new(),
        }
    }
}

impl<T> Turns<T> {
    pub(super) fn push(&mut self, room: RoomKey, item: Item<T>) {
        let queue = self.queues.entry(room).or_insert_with(|| Queue {
            items: VecDeque::new(),
            deficit: 0,
            late: None,
        });
        if queue.items.is_empty() {
            self.ring.push_back(room);
        }
        queue.items.push_back(item);
    }

    /// The next item: rooms whose turn it is send what their deficit allows, then the next room.
    pub(super) fn pop(&mut self) -> Option<Item<T>> {
        while let Some(&room) = self.ring.front() {
            let Some(queue) = self.queues.get_mut(&room) else {
                self.ring.pop_front();
                continue;
            };
            let Some(first) = queue.items.front() else {
                queue.deficit = 0;
                self.ring.pop_front();
                continue;
            };
            if queue.deficit < first.bytes {
                queue.deficit += QUANTUM;
                self.ring.rotate_left(1);
                continue;
            }
            let item = queue.items.pop_front()?;
            queue.deficit -= item.bytes;
            if queue.items.is_empty() {
                queue.deficit = 0;
                self.ring.pop_front();
            }
            return Some(item);
        }
        None
    }

    /// Forgets a room of which nothing waits.
    pub(super) fn forget(&mut self, room: RoomKey) {
        let empty = |queue: &Queue<T>| queue.items.is_empty();
        if self.queues.get(&room).is_some_and(empty) {
            self.queues.remove(&room);
            self.ring.retain(|of| *of != room);
        }
    }
}
