//! A whole coordinator over real sockets of loopback: REST by HTTP, edges by the control protocol.

mod audit;
mod cluster;
mod dns;
mod edges;
mod etcd;
mod join;
mod meetings;
mod places;
#[path = "../../../../tests/support/ports.rs"]
#[expect(unreachable_pub, reason = "elsewhere it is part of a library")]
mod ports;
mod quality;
mod quotas;
mod residency;
mod revocations;
mod several;
mod store;
mod support;
mod topology;
mod webhooks;
