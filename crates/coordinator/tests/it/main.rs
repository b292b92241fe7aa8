//! A whole coordinator over real sockets of loopback: REST by HTTP, edges by the control protocol.

mod cluster;
mod edges;
mod etcd;
mod join;
mod meetings;
mod residency;
mod several;
mod store;
mod support;
mod topology;
mod webhooks;
