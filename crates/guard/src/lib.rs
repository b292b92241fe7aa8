//! What a listener bears: from which addresses, how often, and over how many connections at once.
//!
//! A shell library, for edges and the coordinator. All that it remembers is bounded, and what
//! happens when it is full stands beside each bound.

#![forbid(unsafe_code)]

mod addresses;
mod connections;
mod gate;
mod rate;

pub use self::addresses::{AddressRules, network};
pub use self::connections::{ConnectionBounds, Connections, Crowded, Permit};
pub use self::gate::{Gate, Guarded, be_impatient};
pub use self::rate::{Rate, Rates};
