//! The coordinator: REST, GeoIP, DNS, store, and the distribution of plans.
//!
//! A shell: it owns sockets, clocks and the disk, and `sluice-placement` decides.

mod api;
pub mod config;
mod control;
mod declared;
mod dns;
pub mod geoip;
mod lead;
mod planner;
mod run;
mod state;
pub mod store;
pub mod tokens;
mod topology;
pub mod webhooks;

pub use run::{CoordinatorError, run};
pub use sluice_placement::registry;
