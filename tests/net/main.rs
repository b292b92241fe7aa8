//! Tests over real sockets, on loopback.

mod coordinator;
mod media;
mod mesh;
