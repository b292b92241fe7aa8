//! Who gets how much of a link that cannot carry everything.
//!
//! Sound goes first, then the lowest encoding of video, then the higher ones in turn. Within each of
//! these classes rooms take turns by bytes (deficit round robin, Shreedhar and Varghese 1995), so that
//! a large room cannot starve a small one. A class whose packets wait too long sheds one relay's
//! encoding at a time, whole, of the room that waits: a picture with holes is of use to nobody. What
//! was shed returns one at a time after the link has been calm, the lowest class first, and stays away
//! for longer each time it does not last.

mod capacity;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sluice_types::ids::RelayId;
use sluice_types::units::Time;

pub use self::capacity::Capacity;
use self::turns::{Item, Turns};

/// How many classes there are.
pub const CLASSES: usize = 4;

/// What a packet is, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Sound, and what goes with it.
    Audio,
    /// The lowest encoding of a picture.
    Base,
    /// The next one.
    Middle,
    /// Any higher one.
    High,
}

impl Class {
    /// The class of a picture's encoding, the lowest being 0.
    #[must_use]
    pub const fn of_encoding(encoding: u32) -> Self {
        match encoding {
            0 => Self::Base,
            1 => Self::Middle,
            _ => Self::High,
        }
    }

    /// How long a packet may wait. Beyond it video is shed; of sound the oldest goes.
    const fn patience(self) -> Duration {
        Duration::from_millis(match self {
            Self::Audio => 400,
            Self::Base => 250,
            Self::Middle => 150,
            Self::High => 100,
        })
    }
}

/// A room, as the shell numbers those of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomKey(pub u32);

/// All that may wait, in bytes. What comes beyond it is refused; sound up to twice as much.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A link is calm when nothing waits longer than this.
const CALM: Duration = Duration::from_millis(20);

/// How long a link must be calm before something returns, and how long before the next does.
const CALM_FOR: Duration = Duration::from_millis(1_500);

/// How long something stays shed at first, and at most.
const HOLD: Duration = Duration::from_secs(2);
const HOLD_MAX: Duration = Duration::from_secs(60);

/// What is shed again within this time after its return did not last.
const LASTING: Duration = Duration::from_secs(15);

/// After how long without packets what is known of a shed encoding is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(120);

type Encoding = (RelayId, Class);

#[derive(Debug, Clone, Copy)]
struct Shed {
    away: bool,
    /// When it was shed, or returned.
    since: Time,
    hold: Duration,
    /// When something of it came last.
    seen: Time,
}

/// What a link's sharing counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareCounters {
    /// Packets that were not sent, by class.
    pub dropped: [u64; CLASSES],
    /// How often an encoding of a relay was shed.
    pub shed: u64,
    /// How often one returned.
    pub returned: u64,
}

/// See the module. `T` is a packet as the shell keeps it.
#[derive(Debug)]
pub struct Shares<T> {
    classes: [Turns<T>; CLASSES],
    bytes: usize,
    shed: BTreeMap<Encoding, Shed>,
    calm_since: Time,
    returned_at: Time,
    dropped: Vec<T>,
    counters: ShareCounters,
}

impl<T> Default for Shares<T> {
    fn default() -> Self {
        Self {
            classes: std::array::from_fn(|_| Turns::default()),
            bytes: 0,
            shed: BTreeMap::new(),
            calm_since: Time::ZERO,
            returned_at: Time::ZERO,
            dropped: Vec::new(),
            counters: ShareCounters::default(),
        }
    }
}

const VIDEO: [Class; 3] = [Class::Base, Class::Middle, Class::High];

impl<T> Shares<T> {
    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> ShareCounters {
        self.counters
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many encodings are shed now.
    #[must_use]
    pub fn away(&self) -> usize {
        self.shed.values().filter(|shed| shed.away).count()
    }

    /// What was dropped and can be used again.
    pub fn take_dropped(&mut self) -> Option<T> {
        self.dropped.pop()
    }

    /// Queues a packet of `bytes` bytes, at least 1, or drops it.
    pub fn push(
        &mut self,
        now: Time,
        room: RoomKey,
        relay: RelayId,
        class: Class,
        bytes: usize,
        what: T,
    ) {
        if !self.shed.is_empty()
            && let Some(shed) = self.shed.get_mut(&(relay, class))
        {
            shed.seen = now;
            if shed.away {
                return self.drop_one(class, what);
            }
        }
        let most = WAITING_BYTES_MAX << usize::from(class == Class::Audio);
        if self.bytes + bytes > most {
            return self.drop_one(class, what);
        }
        self.bytes += bytes;
        self.classes[class as usize].push(
            room,
            Item {
                relay,
                bytes,
                at: now,
                what,
            },
        );
    }

    fn drop_one(&mut self, class: Class, what: T) {
        self.counters.dropped[class as usize] += 1;
        self.dropped.push(what);
    }

    /// The next packet to be sent.
    pub fn pop(&mut self) -> Option<T> {
        for turns in &mut self.classes {
            if let Some(item) = turns.pop() {
                self.bytes -= item.bytes;
                return Some(item.what);
            }
        }
        None
    }

    /// Sheds what waits too long, and lets return what can. Called every few milliseconds while
    /// something waits, and some ten times a second while something is shed.
    pub fn review(&mut self, now: Time) {
        self.drop_old_audio(now);
        let mut calm = true;
        for class in VIDEO.into_iter().rev() {
            let turns = &mut self.classes[class as usize];
            let rooms: Vec<_> = turns
                .ring
                .iter()
                .copied()
                .filter(|room| {
                    turns.queues.get_mut(room).is_some_and(|queue| {
                        let waited = queue.waited(now);
                        calm &= waited <= CALM;
                        queue.has_to_shed(now, waited, class.patience())
                    })
                })
                .collect();
            for room in rooms {
                self.shed_one(now, class, room);
            }
        }
        if !calm {
            self.calm_since = now;
        }
        self.let_return(now);
    }

    fn drop_old_audio(&mut self, now: Time) {
        let patience = Class::Audio.patience();
        let mut old = Vec::new();
        for queue in self.classes[Class::Audio as usize].queues.values_mut() {
            while let Some(item) = queue.items.front()
                && now.since(item.at) > patience
            {
                self.bytes -= item.bytes;
                old.extend(queue.items.pop_front().map(|item| item.what));
            }
        }
        for what in old {
            self.drop_one(Class::Audio, what);
        }
    }

    /// Sheds what returned last and has not lasted yet, or else the relay with most waiting.
    fn shed_one(&mut self, now: Time, class: Class, room: RoomKey) {
        let Some(queue) = self.classes[class as usize].queues.get_mut(&room) else {
            return;
        };
        let mut waiting: BTreeMap<RelayId, usize> = BTreeMap::new();
        for item in &queue.items {
            *waiting.entry(item.relay).or_default() += item.bytes;
        }
        let relapsed = |relay: &RelayId| {
            self.shed
                .get(&(*relay, class))
                .filter(|shed| now.since(shed.since) < LASTING)
                .map(|shed| shed.since)
        };
        let Some(relay) = waiting
            .iter()
            .max_by_key(|(relay, bytes)| (relapsed(relay), **bytes))
            .map(|(relay, _)| *relay)
        else {
            return;
        };
        let hold = match self.shed.get(&(relay, class)) {
            Some(before) if now.since(before.since) < LASTING => (before.hold * 2).min(HOLD_MAX),
            _ => HOLD,
        };
        let (stay, go): (VecDeque<_>, VecDeque<_>) =
            queue.items.drain(..).partition(|item| item.relay != relay);
        queue.items = stay;
        for item in go {
            self.bytes -= item.bytes;
            self.drop_one(class, item.what);
        }
        self.counters.shed += 1;
        self.shed.insert(
            (relay, class),
            Shed {
                away: true,
                since: now,
                hold,
                seen: now,
            },
        );
    }

    fn let_return(&mut self, now: Time) {
        if self.shed.is_empty() {
            return;
        }
        self.shed.retain(|_, shed| now.since(shed.seen) < FORGOTTEN);
        if now.since(self.calm_since) < CALM_FOR || now.since(self.returned_at) < CALM_FOR {
            return;
        }
        let candidate = self
            .shed
            .iter_mut()
            .filter(|(_, shed)| shed.away && now.since(shed.since) >= shed.hold)
            .min_by_key(|((_, class), shed)| (*class, shed.hold, shed.since));
        if let Some((_, shed)) = candidate {
            shed.away = false;
            shed.since = now;
            self.returned_at = now;
            self.counters.returned += 1;
        }
    }

    /// A relay is over.
    pub fn forget_relay(&mut self, relay: RelayId) {
        self.shed.retain(|(of, _), _| *of != relay);
    }

    /// A room has no relay any more. What waits of it is still sent.
    pub fn forget_room(&mut self, room: RoomKey) {
        for turns in &mut self.classes {
            turns.forget(room);
        }
    }
}
