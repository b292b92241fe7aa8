//! Tests over real sockets, on loopback.

mod acme;
mod coordinator;
mod faults;
mod floods;
mod media;
mod mesh;
mod processes;
mod traces;
