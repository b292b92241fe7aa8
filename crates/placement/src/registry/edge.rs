//! One edge as the registry knows it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::{Heartbeat, Registration};
use sluice_types::units::Time;
use thiserror::Error;

/// How long a join counts as on its way to its edge, unless the edge reports it earlier.
const UNDERWAY_LIFETIME: Duration = Duration::from_secs(10);

/// Why an edge is not registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// The topology does not have it.
    #[error("the topology has no edge `{0}`")]
    UnknownEdge(EdgeId),
    /// The topology has it elsewhere.
    #[error("edge `{edge}` belongs to region `{region}`")]
    WrongRegion {
        /// The edge.
        edge: EdgeId,
        /// Its region.
        region: String,
    },
}

/// An edge that is registered.
#[derive(Debug, Clone)]
pub struct EdgeState {
    /// What it said of itself.
    pub registration: Registration,
    /// What it measured last.
    pub heartbeat: Heartbeat,
    /// When it was last heard of.
    pub heard: Time,
    /// Its backbone's addresses.
    pub addresses: Vec<SocketAddr>,
    /// It takes nobody new.
    pub draining: bool,
    /// Which connection it is registered over; a newer one replaces an older.
    pub connection: u64,
    /// Heartbeats over that connection.
    pub(super) beats: u32,
    /// When joins were answered that are on their way to it.
    pub(super) underway: VecDeque<Time>,
}

impl EdgeState {
    /// Participants that it has, and those on their way to it.
    pub(super) fn participants(&self, now: Time) -> u32 {
        let is_recent = |at: &&Time| now.since(**at) <= UNDERWAY_LIFETIME;
        let underway = self.underway.iter().filter(is_recent).count();
        let underway = u32::try_from(underway).unwrap_or(u32::MAX);
        self.heartbeat.participants.saturating_add(underway)
    }

    /// Somebody was sent to it.
    pub(super) fn expect_one(&mut self, now: Time) {
        let is_old = |at: &Time| now.since(*at) > UNDERWAY_LIFETIME;
        while self.underway.front().is_some_and(is_old) {
            self.underway.pop_front();
        }
        self.underway.push_back(now);
    }

    /// It reports that many more.
    pub(super) fn arrive(&mut self, arrived: usize) {
        self.underway.drain(..arrived.min(self.underway.len()));
    }
}
