//! One room: what edges need of it, its plan, the seats that were given away, and who waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::Broken;
use sluice_types::ids::{EdgeId, Epoch, ParticipantId};
use sluice_types::mesh::control::{RelayTree, RoomDemand};
use sluice_types::units::{Bitrate, Time};

/// How long a join counts as taken before its edge reports it.
const SEAT_LIFETIME: Duration = Duration::from_secs(60);

/// The most who wait in one meeting, and how long without asking again. More are refused.
const WAITING_MAX: usize = 1_000;
const WAITING_LIFETIME: Duration = Duration::from_secs(60);

/// How often other coordinators are told that one still waits.
const WAITING_TOLD: Duration = Duration::from_secs(20);

/// One who waits to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The name it gave.
    pub name: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the host said; `None` while it has not.
    pub admitted: Option<bool>,
    asked: Time,
    /// When other coordinators were last told.
    told: Option<Time>,
}

/// What one who asks to come in is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The host has not spoken; ask again under this name.
    Wait(ParticipantId),
    /// Come in under this name.
    Admitted(ParticipantId),
    /// The host said no.
    Denied,
    /// Too many wait already.
    Full,
}

/// An edge's need, and the connection over which it was told.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) demand: RoomDemand,
    pub(super) connection: u64,
    /// What its participants send, as far as it is known.
    pub(super) bitrate: Bitrate,
}

#[derive(Debug, Default)]
pub(super) struct RoomState {
    pub(super) needs: BTreeMap<EdgeId, Need>,
    pub(super) trees: Vec<RelayTree>,
    pub(super) epoch: Epoch,
    /// Another coordinator made the plan.
    pub(super) foreign: bool,
    pub(super) broken: Vec<Broken>,
    /// Since which epoch an edge's tracks take the way to another that they take now: root and edge.
    pub(super) since: BTreeMap<(EdgeId, EdgeId), Epoch>,
    /// Joins that no edge has reported yet: when they were answered, and for which edge.
    seats: VecDeque<(Time, EdgeId)>,
    waiting: BTreeMap<ParticipantId, Waiting>,
}

impl RoomState {
    pub(super) fn participants(&self) -> u32 {
        let counted = self.needs.values().map(|need| need.demand.participants);
        counted.fold(0, u32::saturating_add)
    }

    /// Every edge of the plan, carriers without participants included.
    pub(super) fn members(&self) -> BTreeSet<EdgeId> {
        members(&self.trees)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.needs.is_empty()
            && self.trees.is_empty()
            && self.seats.is_empty()
            && self.waiting.is_empty()
    }

    /// Forgets seats and those who wait when their time is over.
    pub(super) fn forget_old(&mut self, now: Time) {
        let is_old = |(taken, _): &(Time, EdgeId)| now.since(*taken) > SEAT_LIFETIME;
        while self.seats.front().is_some_and(is_old) {
            self.seats.pop_front();
        }
        self.waiting
            .retain(|_, waiting| now.since(waiting.asked) <= WAITING_LIFETIME);
    }

    pub(super) fn take_seat(&mut self, now: Time, edge: &EdgeId, max: u32) -> bool {
        self.forget_old(now);
        let taken = self.participants() as usize + self.seats.len();
        if taken >= max as usize {
            return false;
        }
        self.seats.push_back((now, edge.clone()));
        true
    }

    /// Joins that an edge has reported now. Who was sent elsewhere may have come there too, when the
    /// first edge did not answer.
    pub(super) fn arrive(&mut self, edge: &EdgeId, arrived: usize) {
        for _ in 0..arrived {
            let own = self.seats.iter().position(|(_, sent_to)| sent_to == edge);
            if self.seats.remove(own.unwrap_or(0)).is_none() {
                break;
            }
        }
    }

    /// Where participants are, or on their way to; an edge may come more than once.
    pub(super) fn edges(&self) -> impl Iterator<Item = &EdgeId> {
        let seats = self.seats.iter().map(|(_, edge)| edge);
        self.needs.keys().chain(seats)
    }

    /// Whether participants are at an edge, or on their way there.
    pub(super) fn is_at(&self, edge: &EdgeId) -> bool {
        self.edges().any(|other| other == edge)
    }

    /// What the participants of each edge send.
    pub(super) fn bitrates(&self) -> BTreeMap<EdgeId, Bitrate> {
        let needs = self.needs.iter();
        needs
            .map(|(edge, need)| (edge.clone(), need.bitrate))
            .collect()
    }

    /// Whether an edge is in the plan.
    pub(super) fn has(&self, edge: &EdgeId) -> bool {
        let mut trees = self.trees.iter();
        trees.any(|tree| tree.root == *edge || tree.branch(edge).is_some())
    }

    /// A plan is in force.
    pub(super) fn adopt(&mut self, trees: &[RelayTree], broken: &[Broken], epoch: Epoch) {
        let (before, after) = (paths(&self.trees), paths(trees));
        let since = after.iter().map(|(ends, path)| {
            let kept = self
                .since
                .get(ends)
                .filter(|_| before.get(ends) == Some(path));
            (ends.clone(), kept.copied().unwrap_or(epoch))
        });
        self.since = since.collect();
        self.foreign = false;
        self.trees = trees.to_vec();
        self.broken = broken.to_vec();
        self.epoch = epoch;
    }

    pub(super) fn wait(
        &mut self,
        now: Time,
        known: Option<&ParticipantId>,
        fresh: ParticipantId,
        name: &str,
        since_ms: u64,
    ) -> Word {
        self.forget_old(now);
        // Only a name that was given out here counts, or anybody could come in as somebody else.
        if let Some(known) = known
            && let Some(waiting) = self.waiting.get_mut(known)
        {
            waiting.asked = now;
            return match waiting.admitted {
                None => Word::Wait(known.clone()),
                Some(true) => Word::Admitted(known.clone()),
                Some(false) => Word::Denied,
            };
        }
        if self.waiting.len() >= WAITING_MAX {
            return Word::Full;
        }
        let waiting = Waiting {
            name: name.to_owned(),
            since_ms,
            admitted: None,
            asked: now,
            told: None,
        };
        self.waiting.insert(fresh.clone(), waiting);
        Word::Wait(fresh)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = (&ParticipantId, &Waiting)> {
        let undecided = |(_, waiting): &(&ParticipantId, &Waiting)| waiting.admitted.is_none();
        self.waiting.iter().filter(undecided)
    }

    pub(super) fn admit(&mut self, participant: &ParticipantId, admitted: bool) -> bool {
        let waiting = self.waiting.get_mut(participant);
        waiting
            .map(|waiting| {
                waiting.admitted = Some(admitted);
                waiting.told = None;
            })
            .is_some()
    }

    pub(super) fn adopt_waiting(
        &mut self,
        now: Time,
        participant: ParticipantId,
        name: &str,
        since_ms: u64,
        admitted: Option<bool>,
    ) {
        self.forget_old(now);
        if let Some(known) = self.waiting.get_mut(&participant) {
            known.asked = now;
            known.admitted = admitted.or(known.admitted);
        } else if self.waiting.len() < WAITING_MAX {
            let waiting = Waiting {
                name: name.to_owned(),
                since_ms,
                admitted,
                asked: now,
                told: Some(now),
            };
            self.waiting.insert(participant, waiting);
        }
    }

    pub(super) fn waiting_to_tell(
        &mut self,
        now: Time,
        participant: &ParticipantId,
    ) -> Option<(String, u64, Option<bool>)> {
        let waiting = self.waiting.get_mut(participant)?;
        let recent = |told: Time| now.since(told) < WAITING_TOLD;
        if waiting.told.is_some_and(recent) {
            return None;
        }
        waiting.told = Some(now);
        Some((waiting.name.clone(), waiting.since_ms, waiting.admitted))
    }
}

/// Every edge of these trees.
pub(super) fn members(trees: &[RelayTree]) -> BTreeSet<EdgeId> {
    let of_tree = |tree: &RelayTree| {
        let branches: Vec<_> = tree
            .branches
            .iter()
            .map(|branch| branch.edge.clone())
            .collect();
        branches.into_iter().chain([tree.root.clone()])
    };
    trees.iter().flat_map(of_tree).collect()
}

/// The way from each tree's root to each of its edges, without the edge itself, upwards.
fn paths(trees: &[RelayTree]) -> BTreeMap<(EdgeId, EdgeId), Vec<EdgeId>> {
    let mut paths = BTreeMap::new();
    for tree in trees {
        for branch in &tree.branches {
            // Parents come before children.
            let ends = (tree.root.clone(), branch.parent.clone());
            let above = paths.get(&ends).cloned().unwrap_or_default();
            let path = [vec![branch.parent.clone()], above].concat();
            paths.insert((tree.root.clone(), branch.edge.clone()), path);
        }
    }
    paths
}
