//! The coordinator: REST, GeoIP, DNS, store, and the distribution of plans.
//!
//! A shell: it owns sockets, clocks and the disk, and `sluice-placement` decides.

mod api;
mod audit;
mod certificates;
pub mod config;
mod control;
mod declared;
mod dns;
mod feed;
pub mod geoip;
mod held;
mod lead;
mod places;
mod planner;
mod quality;
mod quota;
mod revocations;
mod run;
mod state;
pub mod store;
pub mod tokens;
mod topology;
mod vacate;
pub mod webhooks;

pub use audit::{AuditError, AuditFiles};
pub use quota::{Quota, TenantSettings, UsageError};
pub use run::{CoordinatorError, run};
pub use sluice_placement::registry;
