//! Tests over real sockets, on loopback.

mod coordinator;
mod floods;
mod media;
mod mesh;
