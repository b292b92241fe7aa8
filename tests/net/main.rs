//! Tests over real sockets, on loopback.

mod floods;
mod media;
mod mesh;
