//! A whole edge over real sockets: HTTP, signalling and WHIP on one side, the coordinator's line on
//! the other.

mod bounds;
mod client;
mod coordinator;
mod edge;
mod floods;
mod http;
#[path = "../../../../tests/support/ports.rs"]
#[expect(unreachable_pub, reason = "elsewhere it is part of a library")]
mod ports;
mod resume;
mod revoked;
mod room;
mod sdp;
mod token;
mod upgrade;
mod vacated;
mod whip;
