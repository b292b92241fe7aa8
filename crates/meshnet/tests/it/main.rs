//! Real QUIC on loopback.

mod handshake;
mod impaired;
mod support;
