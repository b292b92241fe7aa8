//! Fuzz targets: everything that is read from the network. A target takes any bytes and panics when
//! something does not hold that must.
//!
//! `cargo test -p sluice-fuzz` runs every target over its corpus and over mutations of it, the same
//! ones each time. `scripts/fuzz TARGET SECONDS` searches on, guided by coverage.

mod forwarder;
mod media;
pub mod mutate;
mod words;

use std::path::PathBuf;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

impl Target {
    /// Where its corpus is.
    #[must_use]
    pub fn corpus(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(self.name)
    }
}

macro_rules! targets {
    ($($name:literal => $run:path),* $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: $name, run: $run }),*];
    };
}

targets! {
    "stun" => sluice_edge::media::untrusted::stun,
    "sdp" => words::sdp,
    "signalling" => words::signalling,
    "backbone" => words::backbone,
    "datagram" => words::datagram,
    "rtp" => media::rtp,
    "rtcp" => media::rtcp,
    "descriptor" => media::descriptor,
    "payload" => media::payload,
    "red" => media::red,
    "forwarder" => forwarder::run,
}
