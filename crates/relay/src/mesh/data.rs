//! Data messages: from a participant at the root down its tree, beside media, never before it.
//!
//! Each edge of a tree remembers the latest ones, so that a child that changes its parent misses none.

use std::collections::VecDeque;

use sluice_types::ids::{EdgeId, MeetingId};
use sluice_types::mesh::backbone::BackboneMessage;
use sluice_types::room::DataMessage;

use super::{Mesh, Output};

/// How many messages are remembered, and how many bytes of them.
const REMEMBERED_MAX: usize = 64;
const REMEMBERED_BYTES_MAX: usize = 256 * 1024;

/// The data messages of one root, as far as they came.
#[derive(Debug, Default)]
pub(super) struct DataLog {
    /// The latest message's number; 0 before the first.
    latest: u64,
    /// The latest messages, the newest last.
    remembered: VecDeque<(u64, DataMessage)>,
    bytes: usize,
}

impl DataLog {
    /// Begins the numbers of an edge's own messages; `version` is higher than any of an earlier run
    /// of the edge, so that its children take the new ones for news.
    pub(super) fn start(&mut self, version: u64) {
        if self.latest == 0 {
            self.latest = version;
        }
    }

    /// What to ask a parent for.
    pub(super) fn after(&self) -> Option<u64> {
        (self.latest > 0).then_some(self.latest)
    }

    /// Takes a message, if it is news.
    fn take(&mut self, sequence: u64, message: &DataMessage) -> bool {
        if sequence <= self.latest {
            return false;
        }
        self.latest = sequence;
        self.bytes += message.payload.len();
        self.remembered.push_back((sequence, message.clone()));
        while self.remembered.len() > REMEMBERED_MAX || self.bytes > REMEMBERED_BYTES_MAX {
            let Some((_, oldest)) = self.remembered.pop_front() else {
                break;
            };
            self.bytes -= oldest.payload.len();
        }
        true
    }
}

impl Mesh {
    /// A participant of this edge sends a message to participants of other edges.
    pub fn send_data(&mut self, room: &MeetingId, message: DataMessage) {
        let own = self.edge.clone();
        let Some(tree) = self.tree_mut(room, &own) else {
            return;
        };
        let sequence = tree.data.latest + 1;
        tree.data.take(sequence, &message);
        self.pass_data(room, &own, sequence, &message);
    }

    /// A parent passed a message on.
    pub(super) fn take_data(
        &mut self,
        from: &EdgeId,
        room: &MeetingId,
        root: &EdgeId,
        sequence: u64,
        message: DataMessage,
    ) {
        let Some(tree) = self
            .tree_mut(room, root)
            .filter(|tree| tree.joined.as_ref() == Some(from))
        else {
            return;
        };
        // Only who is at the root may speak for itself.
        if !tree.roster.contains_key(&message.from) || !tree.data.take(sequence, &message) {
            return;
        }
        self.pass_data(room, root, sequence, &message);
        self.outputs.push_back(Output::Data {
            room: room.clone(),
            message,
        });
    }

    fn pass_data(&mut self, room: &MeetingId, root: &EdgeId, sequence: u64, message: &DataMessage) {
        let children: Vec<_> = self
            .tree(room, root)
            .map(|tree| tree.children.iter().cloned().collect())
            .unwrap_or_default();
        for child in children {
            self.send_one(&child, room, root, sequence, message.clone());
        }
    }

    /// A child that had a parent before gets what it missed.
    pub(super) fn repeat_data(
        &mut self,
        room: &MeetingId,
        root: &EdgeId,
        child: &EdgeId,
        after: Option<u64>,
    ) {
        let Some((after, tree)) = after.zip(self.tree(room, root)) else {
            return;
        };
        let missed: Vec<_> = tree
            .data
            .remembered
            .iter()
            .filter(|(sequence, _)| *sequence > after)
            .cloned()
            .collect();
        for (sequence, message) in missed {
            self.send_one(child, room, root, sequence, message);
        }
    }

    fn send_one(
        &mut self,
        child: &EdgeId,
        room: &MeetingId,
        root: &EdgeId,
        sequence: u64,
        message: DataMessage,
    ) {
        self.send(
            child,
            BackboneMessage::Data {
                room: room.clone(),
                root: root.clone(),
                sequence,
                message,
            },
        );
    }
}
