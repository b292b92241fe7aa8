//! Tests over real sockets, on loopback.

mod acme;
mod coordinator;
mod floods;
mod media;
mod mesh;
mod traces;
