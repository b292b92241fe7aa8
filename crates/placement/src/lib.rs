//! Sans-IO core that decides who goes to which edge, and along which relay tree tracks travel.
#![forbid(unsafe_code)]

mod graph;
mod nearest;
#[cfg(test)]
mod tests;
mod tree;

pub use graph::{Graph, Paths};
pub use nearest::{Candidate, Preference, rank};
pub use tree::{Broken, PlannedTrees, plan_trees};
