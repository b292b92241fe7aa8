//! The whole mesh in virtual time: the cores that edges and the coordinator run, on a network, with
//! people and with faults that are made up from a seed.
//!
//! [`mesh`] simulates few edges with every message and packet, [`world`] a thousand edges and a million
//! participants with nothing but decisions. Both check after every step what must never be otherwise,
//! and the same seed gives the same run.
#![forbid(unsafe_code)]

mod agenda;
pub mod mesh;
mod outcome;
pub mod world;

pub use outcome::{Faults, Invariant, Outcome, Violation};
