//! A whole coordinator over real sockets of loopback: REST by HTTP, edges by the control protocol.

mod edges;
mod etcd;
mod join;
mod meetings;
mod residency;
mod store;
mod support;
mod webhooks;
