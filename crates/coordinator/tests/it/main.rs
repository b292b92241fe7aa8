//! A whole coordinator over real sockets of loopback: REST by HTTP, edges by the control protocol.

mod audit;
mod edges;
mod etcd;
mod join;
mod meetings;
mod quotas;
mod residency;
mod revocations;
mod store;
mod support;
mod webhooks;
