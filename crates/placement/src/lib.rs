//! Sans-IO core that decides who goes to which edge, and along which relay tree tracks travel.
//! [`registry`] is what a coordinator decides from.
#![forbid(unsafe_code)]

mod assess;
mod attach;
mod backup;
mod demand;
mod explain;
pub mod forecast;
mod found;
mod graph;
mod limits;
mod load;
mod nearest;
mod net;
mod optimise;
mod planned;
mod planner;
pub mod registry;
mod residency;
mod search;
mod sketch;
mod standby;
#[cfg(test)]
mod tests;
mod tree;
mod way;
pub mod world;

pub use demand::{Demand, Stream, WarmCopy};
pub use explain::{Alternative, Explanation, Reason, explain};
pub use graph::{Graph, LinkTerms};
pub use limits::{Broken, Limits};
pub use nearest::{Candidate, Preference, rank, rank_within};
pub use planner::{Changed, Planner};
pub use residency::{Residency, Rule};
pub use tree::{PlannedTrees, Rules, plan_room, plan_trees};
