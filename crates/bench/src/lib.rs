//! Load for a mesh: participants by the hundred, and what an edge costs beside the bare sending.
#![forbid(unsafe_code)]

mod client;
pub mod faults;
pub mod forward;
pub mod load;

pub use client::{Camera, SdpError, StreamReport};
