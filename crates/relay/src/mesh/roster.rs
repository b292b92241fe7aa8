//! Rosters: who is at a root, passed down its tree. The root's edge alone writes; the highest
//! version wins.

use sluice_types::ids::{EdgeId, MeetingId, ParticipantId};
use sluice_types::mesh::backbone::{BackboneMessage, Departure, Hop};
use sluice_types::room::{LeaveReason, ParticipantRecord};
use sluice_types::units::Time;

use super::{DEPARTED_MAX, Mesh, Output, Tree};

/// A piece of a roster that came, or is to be passed on.
pub(super) struct Change {
    pub(super) path: Vec<Hop>,
    pub(super) revision: u64,
    pub(super) complete: bool,
    pub(super) participants: Vec<ParticipantRecord>,
    pub(super) left: Vec<Departure>,
}

impl Tree {
    /// Takes a record, if it is news.
    fn upsert(&mut self, record: ParticipantRecord) -> bool {
        let known = self
            .roster
            .get(&record.participant_id)
            .map(|known| known.version)
            .max(self.departed.get(&record.participant_id).copied());
        if known.is_some_and(|known| known >= record.version) {
            return false;
        }
        self.departed.remove(&record.participant_id);
        self.roster.insert(record.participant_id.clone(), record);
        true
    }

    /// Takes a departure, if it is news. One that the root did not write leaves no mark: whoever is
    /// out of reach may be found again.
    fn depart(&mut self, departure: &Departure) -> bool {
        let id = &departure.participant;
        let known = self.roster.get(id).map(|known| known.version);
        if known.is_none_or(|known| known > departure.version) {
            return false;
        }
        self.roster.remove(id);
        if known < Some(departure.version) {
            if self.departed.len() >= DEPARTED_MAX {
                self.departed.pop_first();
            }
            self.departed.insert(id.clone(), departure.version);
        }
        true
    }
}

impl Mesh {
    /// A participant of this edge came or changed.
    pub fn local_participant(&mut self, room: &MeetingId, record: ParticipantRecord) {
        let own = self.edge.clone();
        let Some(state) = self.room_mut(room) else {
            return;
        };
        let tree = state.trees.entry(own.clone()).or_default();
        tree.complete = true;
        tree.revision = tree.revision.max(record.version);
        tree.data.start(record.version);
        if tree.upsert(record.clone()) {
            self.end_gone_tracks(room, &own);
            self.pass_down(room, &own, false, &[record], &[]);
        }
    }

    /// A participant of this edge left.
    pub fn local_departure(&mut self, room: &MeetingId, departure: &Departure) {
        let own = self.edge.clone();
        let news = self.tree_mut(room, &own).is_some_and(|tree| {
            tree.revision = tree.revision.max(departure.version);
            tree.depart(departure)
        });
        if news {
            self.end_gone_tracks(room, &own);
            self.pass_down(room, &own, false, &[], std::slice::from_ref(departure));
        }
    }

    /// A host here removes a participant of another edge: says so up the tree. Who moves is at two.
    pub fn remove_participant(&mut self, room: &MeetingId, participant: &ParticipantId) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let trees = state.trees.iter();
        let roots: Vec<_> = trees
            .filter(|(root, tree)| **root != self.edge && tree.roster.contains_key(participant))
            .map(|(root, _)| root.clone())
            .collect();
        for root in roots {
            self.pass_removal(room, &root, participant);
        }
    }

    pub(super) fn pass_removal(
        &mut self,
        room: &MeetingId,
        root: &EdgeId,
        participant: &ParticipantId,
    ) {
        if *root == self.edge {
            self.outputs.push_back(Output::RemoveLocal {
                room: room.clone(),
                participant: participant.clone(),
            });
        } else if let Some(parent) = self.tree(room, root).and_then(|tree| tree.joined.clone()) {
            self.send(
                &parent,
                BackboneMessage::Remove {
                    room: room.clone(),
                    root: root.clone(),
                    participant: participant.clone(),
                },
            );
        }
    }

    /// A parent's roster came.
    pub(super) fn take_roster(
        &mut self,
        now: Time,
        from: &EdgeId,
        room: &MeetingId,
        root: &EdgeId,
        change: Change,
    ) {
        let own = self.edge.clone();
        // A path through here would be a loop; it can only come of two plans being mixed. Whoever follows
        // this edge cannot feed it: another parent is looked for unless a plan comes soon.
        if change.path.iter().any(|hop| hop.edge == own) {
            let tree = self.tree_mut(room, root);
            if let Some(tree) = tree.filter(|tree| tree.joined.as_ref() == Some(from)) {
                tree.confirmed = false;
            }
            return;
        }
        let Some(tree) = self.tree_mut(room, root).filter(|tree| {
            // The former parent's word counts until the new one has spoken.
            let former = !tree.confirmed && tree.former.as_ref() == Some(from);
            former || tree.joined.as_ref() == Some(from)
        }) else {
            return;
        };
        let moved = tree.path != change.path;
        tree.path = change.path;
        tree.confirmed |= change.complete && tree.joined.as_ref() == Some(from);
        let mut left: Vec<_> = change
            .left
            .into_iter()
            .filter(|departure| tree.depart(departure))
            .collect();
        // A parent that knows less than this edge cannot say who is gone, unless it is the root, which may
        // have started anew. When it knows more, it is asked.
        let knows = change.revision >= tree.revision || from == root;
        let ask = !change.complete && knows && std::mem::take(&mut tree.doubted);
        if change.complete {
            tree.doubted = !knows;
        }
        if change.complete && knows {
            let gone: Vec<_> = tree
                .roster
                .values()
                .filter(|known| {
                    let still =
                        |record: &ParticipantRecord| record.participant_id == known.participant_id;
                    !change.participants.iter().any(still)
                })
                .map(|known| Departure {
                    participant: known.participant_id.clone(),
                    version: known.version,
                    reason: LeaveReason::EdgeLost,
                })
                .collect();
            left.extend(gone.into_iter().filter(|departure| tree.depart(departure)));
        }
        tree.complete |= change.complete;
        tree.revision = tree.revision.max(change.revision);
        let upserts: Vec<_> = change
            .participants
            .into_iter()
            .filter(|record| tree.upsert(record.clone()))
            .collect();
        self.end_gone_tracks(room, root);
        if moved || !upserts.is_empty() || !left.is_empty() {
            self.report(room, root, upserts.clone(), left.clone());
        }
        if change.complete || moved {
            for child in self
                .tree(room, root)
                .map(|tree| tree.children.clone())
                .unwrap_or_default()
            {
                self.send_whole_roster(room, root, &child);
            }
        } else if !upserts.is_empty() || !left.is_empty() {
            self.pass_down(room, root, false, &upserts, &left);
        }
        self.refresh_interest(now, room, root);
        if change.complete {
            self.release_former(room, root);
        }
        if ask {
            self.join_once_more(room, root);
        }
    }

    /// Everybody at a root is out of reach.
    pub(super) fn lose_roster(&mut self, room: &MeetingId, root: &EdgeId, reason: LeaveReason) {
        let Some(tree) = self.tree_mut(room, root) else {
            return;
        };
        let left: Vec<_> = std::mem::take(&mut tree.roster)
            .into_values()
            .map(|record| Departure {
                participant: record.participant_id,
                version: record.version,
                reason,
            })
            .collect();
        if left.is_empty() {
            return;
        }
        self.end_gone_tracks(room, root);
        if *root != self.edge {
            self.report(room, root, Vec::new(), left.clone());
        }
        self.pass_down(room, root, false, &[], &left);
    }

    fn report(
        &mut self,
        room: &MeetingId,
        root: &EdgeId,
        upserts: Vec<ParticipantRecord>,
        left: Vec<Departure>,
    ) {
        let path = self.path_through(room, root);
        self.outputs.push_back(Output::RosterChanged {
            room: room.clone(),
            root: root.clone(),
            path: path.into_iter().map(|hop| hop.region).collect(),
            upserts,
            left,
        });
    }

    /// The edges from the root to this one, both included.
    fn path_through(&self, room: &MeetingId, root: &EdgeId) -> Vec<Hop> {
        let mut path = self
            .tree(room, root)
            .map(|tree| tree.path.clone())
            .unwrap_or_default();
        path.push(Hop {
            edge: self.edge.clone(),
            region: self.region.clone(),
        });
        path
    }

    pub(super) fn send_whole_roster(&mut self, room: &MeetingId, root: &EdgeId, child: &EdgeId) {
        let tree = self.tree(room, root).filter(|tree| tree.complete);
        let Some(tree) = tree.filter(|tree| self.is_fed(root, tree)) else {
            return;
        };
        let message = BackboneMessage::Roster {
            room: room.clone(),
            root: root.clone(),
            path: self.path_through(room, root),
            revision: tree.revision,
            complete: true,
            participants: tree.roster.values().cloned().collect(),
            left: Vec::new(),
        };
        self.send(child, message);
    }

    fn pass_down(
        &mut self,
        room: &MeetingId,
        root: &EdgeId,
        complete: bool,
        participants: &[ParticipantRecord],
        left: &[Departure],
    ) {
        let (children, revision) = match self.tree(room, root) {
            Some(tree) => (tree.children.clone(), tree.revision),
            None => return,
        };
        let path = self.path_through(room, root);
        for child in children {
            self.send(
                &child,
                BackboneMessage::Roster {
                    room: room.clone(),
                    root: root.clone(),
                    path: path.clone(),
                    revision,
                    complete,
                    participants: participants.to_vec(),
                    left: left.to_vec(),
                },
            );
        }
    }
}
