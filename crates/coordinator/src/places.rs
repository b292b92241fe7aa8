//! The places of meetings, where several coordinators let people in at the same time.
//!
//! Everybody counts who is in a meeting, since edges tell every coordinator. Whom a coordinator has let in
//! and who is still on the way, it alone knows; so it reserves places in the store before it gives them
//! away, several at once, and gives back what it does not need. What is reserved and what is taken never
//! make more than the meeting has. Near the end a place may stay reserved for some seconds that nobody
//! wants: then a meeting is full a little early.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_types::ids::MeetingId;
use sluice_types::units::Time;
use tokio::task::JoinSet;

use crate::state::Shared;
use crate::store::{PlacesWanted, StoreError};

/// The most places that are reserved at once, and which part of those that are free.
const BLOCK_MAX: u32 = 64;
const BLOCK_PART: u32 = 4;

/// How often shares are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long places stay reserved that nobody wanted, and those of people who have arrived: other
/// coordinators may hear of them that much later.
const KEPT_LOOKS: usize = 3;

/// How many meetings are given back at once.
const AT_ONCE: usize = 16;

/// Meetings that share a turn; those who ask for the same one wait for each other.
const TURNS: usize = 64;

/// This coordinator's share of a meeting's places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    /// Reserved, and not given away yet.
    unused: u32,
    /// What the store says.
    reserved: u32,
    /// Looks since they were reserved.
    looks: usize,
    /// How many were on their way at the last looks.
    coming: [u32; KEPT_LOOKS],
    /// When none was left.
    refused: Option<Time>,
}

impl Share {
    /// How many others may not count yet, with those who are on their way now.
    fn held(&self, coming: u32) -> u32 {
        self.coming.iter().copied().max().unwrap_or(0).max(coming)
    }

    /// A look at the share; gives what should be reserved now.
    fn look(&mut self, coming: u32) -> u32 {
        self.coming.rotate_right(1);
        self.coming[0] = coming;
        self.looks += 1;
        if self.looks >= KEPT_LOOKS {
            self.unused = 0;
        }
        self.held(coming) + self.unused
    }
}

/// See the module. There are never more shares than meetings that somebody joined a little while ago.
pub(crate) struct Places {
    shares: Mutex<HashMap<MeetingId, Share>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            shares: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            hasher: RandomState::new(),
        }
    }
}

impl Places {
    fn shares(&self) -> MutexGuard<'_, HashMap<MeetingId, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, room: &MeetingId) -> &tokio::sync::Mutex<()> {
        &self.turns[self.hasher.hash_one(room) as usize % TURNS]
    }

    /// Gives a reserved place away; `false` when there is none.
    pub(crate) fn take(&self, room: &MeetingId) -> bool {
        let mut shares = self.shares();
        let Some(share) = shares.get_mut(room).filter(|share| share.unused > 0) else {
            return false;
        };
        share.unused -= 1;
        true
    }
}

/// Reserves places of a meeting that has `max`; `false` when none is left.
///
/// # Errors
/// When the store does not do it.
pub(crate) async fn reserve(
    shared: &Shared,
    room: &MeetingId,
    max: u32,
) -> Result<bool, StoreError> {
    let asked_at = shared.now();
    let _turn = shared.places.turn(room).lock().await;
    let before = shared.places.shares().get(room).copied();
    if before.is_some_and(|share| share.unused > 0) {
        return Ok(true);
    }
    // Somebody who asked before has got the answer for all who wait behind.
    let refused = before.and_then(|share| share.refused);
    if refused.is_some_and(|at| at >= asked_at) {
        return Ok(false);
    }
    let (participants, coming) = counted(shared, room);
    let free = max.saturating_sub(participants.saturating_add(coming));
    let looked = before.map_or([0; KEPT_LOOKS], |share| share.coming);
    let mut share = Share {
        unused: 0,
        reserved: 0,
        looks: 0,
        coming: looked,
        refused: None,
    };
    // Whoever is on the way now was given one of those that were reserved before.
    share.coming[0] = share.coming[0].max(coming);
    let asking = shared.now();
    let asked = PlacesWanted {
        held: share.held(coming),
        free,
        wanted: (free / BLOCK_PART).clamp(1, BLOCK_MAX),
    };
    share.unused = ask(shared, room, asked).await?;
    share.reserved = asked.held + share.unused;
    share.refused = (share.unused == 0).then_some(asking);
    shared.places.shares().insert(room.clone(), share);
    Ok(share.unused > 0)
}

/// Who is in, and who is on the way.
fn counted(shared: &Shared, room: &MeetingId) -> (u32, u32) {
    let now = shared.now();
    let mut registry = shared.registry();
    (registry.participants(room), registry.coming(now, room))
}

async fn ask(shared: &Shared, room: &MeetingId, asked: PlacesWanted) -> Result<u32, StoreError> {
    let (store, room) = (shared.store().clone(), room.clone());
    let asked = tokio::task::spawn_blocking(move || store.reserve_places(&room, asked)).await;
    asked.unwrap_or_else(|panicked| Err(StoreError::Database(panicked.to_string())))
}

/// Gives back what is not needed, for as long as the coordinator runs.
pub(crate) async fn give_back(shared: Shared) {
    loop {
        tokio::time::sleep(LOOK).await;
        let rooms: Vec<_> = shared.places.shares().keys().cloned().collect();
        let mut looks = JoinSet::new();
        for room in rooms {
            if looks.len() >= AT_ONCE {
                looks.join_next().await;
            }
            let shared = shared.clone();
            looks.spawn(async move { look(&shared, &room).await });
        }
        while looks.join_next().await.is_some() {}
    }
}

async fn look(shared: &Shared, room: &MeetingId) {
    let _turn = shared.places.turn(room).lock().await;
    let (held, reserved) = {
        let now = shared.now();
        let mut registry = shared.registry();
        let coming = registry.coming(now, room);
        // Locked together, as where somebody is let in: nobody is counted in between.
        let mut shares = shared.places.shares();
        let Some(share) = shares.get_mut(room) else {
            return;
        };
        let wanted = share.look(coming);
        if wanted == share.reserved {
            if wanted == 0 {
                shares.remove(room);
            }
            return;
        }
        (wanted, share.reserved)
    };
    debug_assert!(held <= reserved, "only `reserve` makes it more");
    let asked = PlacesWanted {
        held,
        free: 0,
        wanted: 0,
    };
    match ask(shared, room, asked).await {
        Ok(_) => {
            let mut shares = shared.places.shares();
            if held == 0 {
                shares.remove(room);
            } else if let Some(share) = shares.get_mut(room) {
                share.reserved = held;
            }
        }
        Err(error) => {
            tracing::debug!(%error, meeting = %room, "reserved places are given back later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn share(unused: u32, coming: u32) -> Share {
        Share {
            unused,
            reserved: unused + coming,
            looks: 0,
            coming: [coming, 0, 0],
            refused: None,
        }
    }

    #[test]
    fn who_has_arrived_is_held_until_others_count_it_too() {
        let mut share = share(0, 4);
        let held: Vec<_> = [1, 1, 1, 0, 0, 0].map(|coming| share.look(coming)).into();
        assert_eq!(held, [4, 4, 1, 1, 1, 0]);
    }

    #[test]
    fn what_nobody_wants_goes_back() {
        let mut share = share(3, 0);
        let held: Vec<_> = [0; 4].map(|coming| share.look(coming)).into();
        assert_eq!(held, [3, 3, 0, 0]);
    }

    #[test]
    fn a_place_is_given_once() {
        let places = Places::default();
        let room = MeetingId::from_random([1; 10]);
        assert!(!places.take(&room));
        places.shares().insert(room.clone(), share(2, 0));
        assert_eq!([(); 3].map(|()| places.take(&room)), [true, true, false]);
    }
}
