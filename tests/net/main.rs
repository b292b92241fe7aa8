//! Tests over real sockets, on loopback.

mod media;
mod mesh;
