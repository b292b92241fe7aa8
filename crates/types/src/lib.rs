//! The words of Sluice: ids, units, tokens, messages and the validated topology.
//!
//! Everything here is plain data. Cores and shells both speak it; it depends on neither.
#![forbid(unsafe_code)]

pub mod access;
pub mod ids;
pub mod layers;
pub mod mesh;
pub mod mos;
pub mod quality;
pub mod rest;
pub mod revocation;
pub mod room;
pub mod sequence;
pub mod signal;
pub mod topology;
pub mod trace;
pub mod units;
