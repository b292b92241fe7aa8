//! Support for the end-to-end tests: clients and meshes that end when they are dropped.

pub mod authority;
pub mod client;
pub mod fleet;
pub mod mesh;
pub mod participant;
pub mod ports;
pub mod rest;
