//! Support for the end-to-end tests: clients and meshes that end when they are dropped.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a test fails"
)]

pub mod client;
pub mod mesh;
pub mod participant;
