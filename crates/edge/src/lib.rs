//! One edge: media workers, ICE, DTLS, SDP, signalling and the backbone's sockets.
//!
//! A shell: it owns sockets and clocks, and the cores `sluice-sfu` and `sluice-relay` decide.

pub mod backbone;
mod certificates;
pub mod config;
pub mod control;
pub mod http;
pub mod hub;
pub mod media;
mod run;
pub mod signal;

pub use run::{EdgeError, run};
