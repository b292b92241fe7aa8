//! Real QUIC on loopback.

mod floods;
mod handshake;
mod impaired;
mod support;
