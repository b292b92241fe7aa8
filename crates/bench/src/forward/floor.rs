//! The floor: the same packets to the same destinations, sealed and sent by the same batched calls,
//! and nothing else. It runs in a process of its own, as the edge does.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc_crypto::default_provider;
use serde::{Deserialize, Serialize};
use sluice_wire::srtp::{Profile, Sealer, TAG_BYTES_MAX};
use sluice_wire::udp::{Sender, bind};

use super::process::own_cpu_nanos;

/// What to send: read from standard input as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FloorOrder {
    /// Everything that is published.
    pub flows: Vec<Flow>,
    /// How long, in milliseconds.
    pub duration_ms: u64,
    /// Whether the kernel may cut runs for one destination.
    pub segmentation: bool,
}

/// Something that is published, and to whom it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    /// One for each viewer.
    pub to: Vec<SocketAddr>,
    /// Packets in each burst.
    pub packets: usize,
    /// Bytes of each, SRTP's tag included.
    pub packet_bytes: usize,
    /// Microseconds between bursts.
    pub interval_micros: u64,
}

/// What it cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FloorCost {
    /// Packets that left.
    pub packets: u64,
    /// Nanoseconds on a processor.
    pub cpu_nanos: u64,
    /// System calls.
    pub calls: u64,
}

/// Carries an order out.
///
/// # Errors
/// When there is no socket or no cipher.
pub fn run(order: &FloorOrder) -> io::Result<FloorCost> {
    let other = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let provider = default_provider().map_err(|error| other(&error))?;
    let mut sealers = Vec::new();
    for (n, _) in order.flows.iter().flat_map(|flow| &flow.to).enumerate() {
        let key = [n as u8; Profile::KEY_BYTES];
        let sealer = Sealer::new(provider.crypto(), Profile::Aes128Gcm, &key, &[7; 12])
            .map_err(|error| other(&error))?;
        sealers.push(sealer);
    }
    let mut sender = Sender::new(order.segmentation);
    let plain = [0x5a; 1_500];
    let start = Instant::now();
    let mut next: Vec<Instant> = (0u32..)
        .zip(&order.flows)
        .map(|(n, flow)| start + Duration::from_micros(flow.interval_micros) * (n * 7 % 30) / 30)
        .collect();
    let end = start + Duration::from_millis(order.duration_ms);
    let mut index = 0;
    let before = own_cpu_nanos()?;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        let mut first = 0;
        for (due, flow) in next.iter_mut().zip(&order.flows) {
            let sealers = &mut sealers[first..first + flow.to.len()];
            first += flow.to.len();
            if now < *due {
                continue;
            }
            *due += Duration::from_micros(flow.interval_micros);
            let plain = &plain[..flow.packet_bytes.clamp(48, 1_500) - TAG_BYTES_MAX];
            for _ in 0..flow.packets {
                index += 1;
                for (sealer, &to) in sealers.iter_mut().zip(&flow.to) {
                    if sender.is_full() {
                        sender.flush(&socket);
                    }
                    sender.push(to, |buffer| {
                        buffer[..plain.len()].copy_from_slice(plain);
                        // A fixed header and one word of extensions stay in clear.
                        sealer.seal(buffer, 20, plain.len(), 7, index).ok()
                    });
                }
            }
        }
        if !sender.is_empty() {
            sender.flush(&socket);
        }
        let soonest = next.iter().min().copied().unwrap_or(end).min(end);
        std::thread::sleep(soonest.saturating_duration_since(Instant::now()));
    }
    Ok(FloorCost {
        packets: sender.sent,
        cpu_nanos: own_cpu_nanos()? - before,
        calls: sender.calls,
    })
}
