//! Sans-IO core that decides who goes to which edge, and along which relay tree tracks travel.
#![forbid(unsafe_code)]

mod graph;
mod limits;
mod nearest;
mod search;
#[cfg(test)]
mod tests;
mod tree;

pub use graph::{Graph, Paths};
pub use limits::{Broken, Limits};
pub use nearest::{Candidate, Preference, rank};
pub use tree::{PlannedTrees, plan_trees};
