//! Tests over real sockets, on loopback.

mod acme;
mod coordinator;
#[path = "../../crates/coordinator/tests/it/etcd.rs"]
mod etcd;
mod faults;
mod floods;
mod media;
mod mesh;
mod processes;
mod takeover;
mod traces;
mod versions;

use sluice_tests::ports;
