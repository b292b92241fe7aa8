//! A whole coordinator over real sockets of loopback: REST by HTTP, edges by the control protocol.

mod audit;
mod cluster;
mod dns;
mod edges;
mod etcd;
mod join;
mod meetings;
mod quality;
mod quotas;
mod residency;
mod revocations;
mod several;
mod store;
mod support;
mod topology;
mod webhooks;
