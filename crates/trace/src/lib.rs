//! Traces of joins: one for each that is chosen, over all processes that have a part in it, told to an
//! OpenTelemetry collector by OTLP (HTTP, protobuf).
//!
//! Steps of a join follow each other and are done by one task after another, so they are written down
//! with their times instead of being entered and left. Nothing here is for packets. While nothing is
//! told to anybody a [`Trace`] is empty, and its methods do nothing.

#![forbid(unsafe_code)]

mod endpoint;
mod sending;
mod service;
mod span;

pub use endpoint::{Endpoint, InvalidEndpoint};
pub use service::{Service, TraceError, Tracing};
pub use span::Trace;
