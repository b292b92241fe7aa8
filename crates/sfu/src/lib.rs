//! Sans-IO core of one edge: rooms, tracks and the forwarding of their packets.
//!
//! [`forward`] is the packet's way: it takes plain RTP and RTCP and says what goes to whom.
//! [`room`] is who is in a meeting, what they show and what they should receive. Neither knows of
//! sockets, clocks, tasks or the backbone: a relay is one more source or sink of packets.
#![forbid(unsafe_code)]

pub mod bandwidth;
pub mod codec;
pub mod forward;
pub mod layer;
pub mod red;
pub mod room;
pub mod rtcp;
pub mod rtp;
