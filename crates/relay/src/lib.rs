//! Sans-IO core of the backbone: what edges say to each other about rooms, and how packets cross.
//!
//! [`mesh`] is the state machine of one edge in all its rooms: whom it receives a root's roster and
//! tracks from, and to whom it passes them on. [`datagram`] and [`joiner`] are the two ends of one
//! relay, [`hop`] repairs what a connection loses, [`share`] says
//! what to send of what does not fit, and [`connection`] joins these. [`leaders`] says which
//! coordinator's plans count. [`duplicate`] says which
//! of two connections with one peer stays.
#![forbid(unsafe_code)]

pub mod connection;
pub mod datagram;
pub mod duplicate;
pub mod hop;
pub mod joiner;
pub mod leaders;
pub mod mesh;
pub mod share;
mod window;
