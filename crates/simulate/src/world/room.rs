//! One room of the world: who is at which edge, and what they send.

use std::collections::{BTreeMap, BTreeSet};

use sluice_placement::registry::traffic::{differ, sending};
use sluice_placement::{Demand, Residency, Stream};
use sluice_types::ids::{EdgeId, MeetingId};
use sluice_types::units::Bitrate;

/// What an edge's participants of a room do.
#[derive(Debug, Clone, Copy, Default)]
struct Here {
    edge: u16,
    participants: u32,
    microphones: u32,
    cameras: u32,
    /// What the plan was made with, if the room was planned with this edge.
    planned: Option<Bitrate>,
}

pub(super) struct Room {
    id: MeetingId,
    /// A room is at few edges: looking through them is quick.
    here: Vec<Here>,
    /// Edges that the plan has and nobody is at any more.
    left: bool,
}

impl Room {
    pub(super) fn new(number: u64) -> Self {
        let mut bytes = [0; MeetingId::RANDOM_BYTES];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Self {
            id: MeetingId::from_random(bytes),
            here: Vec::new(),
            left: false,
        }
    }

    pub(super) const fn id(&self) -> &MeetingId {
        &self.id
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.here.is_empty()
    }

    pub(super) fn has(&self, edge: u16) -> bool {
        self.here.iter().any(|here| here.edge == edge)
    }

    pub(super) fn edges(&self) -> impl Iterator<Item = u16> {
        self.here.iter().map(|here| here.edge)
    }

    pub(super) fn participants(&self) -> impl Iterator<Item = (u16, u32)> {
        self.here.iter().map(|here| (here.edge, here.participants))
    }

    pub(super) fn enter(&mut self, edge: u16) {
        match self.here.iter_mut().find(|here| here.edge == edge) {
            Some(here) => here.participants += 1,
            None => self.here.push(Here {
                edge,
                participants: 1,
                ..Here::default()
            }),
        }
    }

    pub(super) fn leave(&mut self, edge: u16) {
        if let Some(at) = self.here.iter().position(|here| here.edge == edge) {
            self.here[at].participants -= 1;
            if self.here[at].participants == 0 {
                self.left |= self.here.swap_remove(at).planned.is_some();
            }
        }
    }

    /// Counts what somebody sends, or no longer.
    pub(super) fn count(&mut self, edge: u16, microphone: bool, camera: bool, counts: bool) {
        if let Some(here) = self.here.iter_mut().find(|here| here.edge == edge) {
            let change = |of: &mut u32, sends: bool| match (sends, counts) {
                (true, true) => *of += 1,
                (true, false) => *of -= 1,
                (false, _) => {}
            };
            change(&mut here.microphones, microphone);
            change(&mut here.cameras, camera);
        }
    }

    /// Whether the room needs something else than it was planned with.
    pub(super) fn differs(&self) -> bool {
        let mut here = self.here.iter();
        self.left
            || here.any(|here| {
                here.planned
                    .is_none_or(|planned| differ(planned, here.sends()))
            })
    }

    /// What the room needs now is what it is planned with.
    pub(super) fn adopt(&mut self) {
        self.left = false;
        for here in &mut self.here {
            here.planned = Some(here.sends());
        }
    }

    pub(super) fn demand(&self, id: impl Fn(u16) -> EdgeId) -> Demand {
        let wanted_by: BTreeSet<_> = self.here.iter().map(|here| id(here.edge)).collect();
        let streams: BTreeMap<_, _> = self
            .here
            .iter()
            .map(|here| {
                let stream = Stream {
                    bitrate: here.sends(),
                    wanted_by: wanted_by.clone(),
                    warm: BTreeSet::new(),
                };
                (id(here.edge), stream)
            })
            .collect();
        Demand {
            streams,
            residency: Residency::anywhere(),
        }
    }
}

impl Here {
    const fn sends(&self) -> Bitrate {
        sending(self.microphones as u64, self.cameras as u64)
    }
}
