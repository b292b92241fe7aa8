//! One edge: media workers, ICE, DTLS, SDP, signalling and the backbone's sockets.
//!
//! A shell: it owns sockets and clocks, and the cores `sluice-sfu` and `sluice-relay` decide.

pub mod backbone;
pub mod control;
pub mod media;
