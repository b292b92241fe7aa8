//! Media on the wire: batched UDP, DTLS and SRTP.
//!
//! A crate of its own so that the load generator, and the floor that an edge is measured against,
//! send and seal with the very same calls as the edge.

pub mod core;
pub mod dtls;
pub mod srtp;
pub mod udp;
