//! Who watches: what was delivered to whom, and which epochs were followed.

use std::collections::{BTreeMap, HashMap, HashSet};

use sluice_types::ids::{EdgeId, Epoch, MeetingId, ParticipantId};
use sluice_types::mesh::control::RelayTree;
use sluice_types::room::DataMessage;
use sluice_types::units::Time;

use super::client::mark;
use super::event::{Running, Stay};
use super::network::HostIx;
use crate::{Invariant, Violation};

/// What came under one SSRC of one participant.
#[derive(Default)]
struct Received {
    indices: HashSet<u64>,
    marks: HashSet<(u32, u32)>,
}

#[derive(Default)]
pub(super) struct Watch {
    pub(super) broken: Option<Violation>,
    /// Somebody may follow somebody else since the last look.
    pub(super) changed: bool,
    pub(super) packets: u64,
    received: HashMap<(Stay, u32), Received>,
    last: HashMap<(Stay, u32), Time>,
    messages: HashMap<(Stay, ParticipantId), u64>,
    followed: BTreeMap<(HostIx, MeetingId), Epoch>,
    plans: BTreeMap<(MeetingId, Epoch), Vec<RelayTree>>,
    /// When and where a packet came last of a relay that nobody knows.
    last_unrouted: Option<(Time, Running, EdgeId)>,
}

impl Watch {
    /// An invariant is broken; the first counts.
    pub(super) fn breaks(&mut self, invariant: Invariant, now: Time, what: String) {
        let broken = || Violation::new(invariant, now, what);
        self.broken.get_or_insert_with(broken);
    }

    /// A participant got a packet.
    pub(super) fn delivered(
        &mut self,
        now: Time,
        stay: Stay,
        ssrc: u32,
        index: u64,
        payload: &[u8],
    ) {
        self.packets += 1;
        let received = self.received.entry((stay, ssrc)).or_default();
        if !received.indices.insert(index) {
            let what = format!("{stay:?} got the packet of index {index} of SSRC {ssrc} twice");
            return self.breaks(Invariant::NoDuplicates, now, what);
        }
        // What fills a gap has no payload.
        let Some((track, number)) = mark(payload) else {
            return;
        };
        if !received.marks.insert((track, number)) {
            let what = format!("{stay:?} got packet {number:#x} of track {track} twice");
            return self.breaks(Invariant::NoDuplicates, now, what);
        }
        self.last.insert((stay, track), now);
    }

    /// When a participant last got a packet of a track.
    pub(super) fn last(&self, stay: Stay, track: u32) -> Option<Time> {
        self.last.get(&(stay, track)).copied()
    }

    /// A participant got a data message.
    pub(super) fn data(&mut self, now: Time, stay: Stay, message: &DataMessage) {
        let number = message.payload.first_chunk::<8>().copied();
        let number = number.map_or(0, u64::from_be_bytes);
        let last = self
            .messages
            .entry((stay, message.from.clone()))
            .or_default();
        if number <= *last {
            let what = format!(
                "{stay:?} got message {number} of {} after {last}",
                message.from
            );
            return self.breaks(Invariant::NoDuplicates, now, what);
        }
        *last = number;
    }

    /// An edge follows a plan.
    pub(super) fn followed(&mut self, now: Time, edge: Running, room: &MeetingId, epoch: Epoch) {
        let before = self.followed.entry((edge.host, room.clone())).or_default();
        // An edge that follows none has nothing to say.
        if epoch < *before && epoch != Epoch::default() {
            let what = format!(
                "edge {} follows epoch {epoch} of {room} after {before}",
                edge.host
            );
            return self.breaks(Invariant::EpochsRise, now, what);
        }
        *before = epoch.max(*before);
    }

    /// The coordinator makes a plan known.
    pub(super) fn planned(
        &mut self,
        now: Time,
        room: &MeetingId,
        epoch: Epoch,
        trees: &[RelayTree],
    ) {
        let key = (room.clone(), epoch);
        let known = self.plans.get(&key).is_some_and(|known| known != trees);
        let after = (room.clone(), epoch.next())..=(room.clone(), Epoch(u64::MAX));
        let later = self.plans.range(after).next().is_some();
        if known || later {
            let what = format!("epoch {epoch} of {room} was given again, or after a later one");
            self.breaks(Invariant::EpochsRise, now, what);
        }
        self.plans.insert(key, trees.to_vec());
        for tree in trees {
            if let Some(what) = unsound(tree) {
                self.breaks(
                    Invariant::NoLoops,
                    now,
                    format!("epoch {epoch} of {room}: {what}"),
                );
            }
        }
    }

    /// A packet came of a relay that nobody knows.
    pub(super) fn unrouted(&mut self, now: Time, edge: Running, peer: &EdgeId) {
        self.last_unrouted = Some((now, edge, peer.clone()));
    }

    pub(super) fn last_unrouted(&self) -> Option<&(Time, Running, EdgeId)> {
        self.last_unrouted.as_ref()
    }
}

/// What is wrong with a tree: parents come before their children, and nobody is its own backup's
/// ancestor.
pub(crate) fn unsound(tree: &RelayTree) -> Option<String> {
    let mut above: BTreeMap<&EdgeId, Vec<&EdgeId>> = BTreeMap::from([(&tree.root, Vec::new())]);
    for branch in &tree.branches {
        let Some(parents) = above.get(&branch.parent) else {
            return Some(format!(
                "in the tree of {} the parent {} of {} comes from nowhere",
                tree.root, branch.parent, branch.edge
            ));
        };
        let mut parents = parents.clone();
        parents.push(&branch.parent);
        if above.insert(&branch.edge, parents).is_some() {
            return Some(format!(
                "{} is in the tree of {} twice",
                branch.edge, tree.root
            ));
        }
    }
    for branch in &tree.branches {
        let Some(backup) = &branch.backup else {
            continue;
        };
        let below = above
            .get(backup)
            .is_none_or(|parents| parents.contains(&&branch.edge));
        if below || *backup == branch.edge {
            return Some(format!(
                "in the tree of {} the backup {backup} of {} is below it or nowhere",
                tree.root, branch.edge
            ));
        }
    }
    None
}
