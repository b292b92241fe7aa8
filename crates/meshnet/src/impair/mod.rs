//! Link impairment: makes a loopback feel like a link between continents.
//!
//! [`Impairment`] decides, one direction of a link at a time, in virtual time and from a seed.
//! [`ImpairmentRelay`] is the socket around two of them: a UDP port that stands for one end of a
//! link and passes packets on to a target.

mod decide;
mod figures;
mod relay;
mod rng;
mod session;
#[cfg(test)]
mod tests;
mod wan;

pub use decide::{DropReason, Impairment, Verdict};
pub use figures::{BurstLoss, LinkFigures, LossModel};
pub use relay::{ImpairmentRelay, RelaySettings, RelayStats};
pub use wan::{Wan, WanEnd};
