//! What all hosts share: time, chance, the network, and who watches.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_placement::world::Dice;
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::units::Time;

use super::Sabotage;
use super::event::{Carried, EdgeEvent, Event, Running};
use super::network::{End, HostIx, Network};
use super::watch::Watch;
use crate::agenda::Agenda;

/// From a client to its edge, or to the coordinator.
pub(super) const ACCESS: Duration = Duration::from_millis(12);

/// Takes what happens, line by line, with its time.
pub type Trace = Box<dyn FnMut(Time, &str)>;

pub(super) struct Scene {
    pub(super) now: Time,
    pub(super) agenda: Agenda<Event>,
    pub(super) dice: Dice,
    pub(super) net: Network<Carried>,
    /// The edges by their host's number; the coordinator comes after them.
    pub(super) edges: Vec<(EdgeId, RegionName)>,
    pub(super) by_id: BTreeMap<EdgeId, HostIx>,
    pub(super) watch: Watch,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) trace: Option<Trace>,
}

impl Scene {
    pub(super) const fn coordinator(&self) -> HostIx {
        self.edges.len()
    }

    /// Says what happens, if anybody listens.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace(self.now, &what());
        }
    }

    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.agenda.add(self.now + wait, event);
    }

    pub(super) fn edge_after(&mut self, wait: Duration, edge: Running, event: EdgeEvent) {
        self.after(wait, Event::Edge(edge, event));
    }

    /// Some of a duration, by chance.
    pub(super) fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(self.dice.below(1_000) as f64 / 1_000.0)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    pub(super) fn breaks(&self, how: Sabotage) -> bool {
        self.sabotage == Some(how)
    }

    /// Sends something on a connection's stream.
    pub(super) fn send(&mut self, from: End, carried: Carried) {
        if let Some((at, carried)) = self.net.send(self.now, &mut self.dice, from, carried) {
            let to = from.other();
            self.agenda.add(at, Event::Arrive { to, carried });
        }
    }

    /// What waited between two hosts goes on its way.
    pub(super) fn release(&mut self, a: HostIx, b: HostIx) {
        for (from, waiting) in self.net.release(a, b) {
            for carried in waiting {
                self.send(from, carried);
            }
        }
    }

    pub(super) fn close(&mut self, end: End) {
        if let Some(at) = self.net.close(self.now, end) {
            let end = end.other();
            self.agenda.add(at, Event::Closed { end });
        }
    }

    /// From now on an end looks after its connection.
    pub(super) fn look_after(&mut self, end: End) {
        let wait = self.part_of(super::network::KEEP_ALIVE);
        self.after(wait, Event::LookAfter { end });
    }

    /// The wall clock of a host, in milliseconds since 1970: some are seconds ahead.
    pub(super) fn wall_ms(&self, host: HostIx) -> u64 {
        1_700_000_000_000 + self.now.as_millis() + host as u64 * 731 % 2_500
    }
}
