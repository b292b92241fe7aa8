//! Whether it pays to pad packets of a picture to one length, so that the kernel takes them as segments of
//! one send (UDP GSO): `cargo run --release -p sluice-wire --example segments -- SECONDS`.
//!
//! Encoders in browsers cut a picture into packets that differ by at most one byte, the longer ones last
//! (libwebrtc's `RtpPacketizer::SplitAboutEqually`), so that most pictures are two runs of equal length.
//! Here so many pictures go to 100 sockets on loopback, sealed, and the processor's time is counted.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rtc_crypto::default_provider;
use sluice_wire::srtp::{Profile, Sealer};
use sluice_wire::udp::{Receiver, Sender, bind};

const VIEWERS: usize = 100;

/// The most payload of one packet, header and extensions, in bytes.
const PAYLOAD_MAX: usize = 1_150;
const HEADER: usize = 28;

/// What lengths are padded to.
#[derive(Clone, Copy)]
enum Padding {
    None,
    /// That of the picture's longest: the whole picture has to be there before its first packet goes.
    Longest,
    /// A multiple of so many bytes, which needs no look ahead.
    Multiple(usize),
}

/// The payload lengths of a picture of so many bytes.
fn split(bytes: usize) -> Vec<usize> {
    let count = bytes.div_ceil(PAYLOAD_MAX).max(1);
    let longer = bytes % count;
    (0..count)
        .map(|n| bytes / count + usize::from(n >= count - longer))
        .collect()
}

fn padded(lengths: &[usize], padding: Padding) -> Vec<usize> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    lengths
        .iter()
        .map(|&length| match padding {
            Padding::None => length,
            Padding::Longest => longest,
            Padding::Multiple(of) => length.next_multiple_of(of),
        })
        .collect()
}

/// Nanoseconds that this thread ran so far.
fn cpu_nanos() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = stat.split(' ').next();
    Ok(first.and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Nanoseconds and payload bytes a packet.
fn measure(bitrate: usize, padding: Padding, run: Duration) -> io::Result<(f64, f64)> {
    let other = |error: rtc_crypto::CryptoError| io::Error::other(error.to_string());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let from = bind(any)?;
    let sockets: Vec<UdpSocket> = (0..VIEWERS).map(|_| bind(any)).collect::<Result<_, _>>()?;
    let to: Vec<_> = sockets
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let provider = default_provider().map_err(other)?;
    let mut sealers = Vec::new();
    for n in 0..VIEWERS {
        let key = [n as u8; Profile::KEY_BYTES];
        let sealer = Sealer::new(provider.crypto(), Profile::Aes128Gcm, &key, &[7; 12]);
        sealers.push(sealer.map_err(other)?);
    }
    let (mut sender, mut receiver) = (Sender::new(true), Receiver::new());
    let plain = [0x5a; 1_500];
    let (mut index, mut packets, mut bytes, mut nanos, mut picture) = (0, 0u64, 0u64, 0, 1usize);
    let end = Instant::now() + run;
    while Instant::now() < end {
        // Pictures vary around their average by a half to either side.
        picture = picture
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let average = bitrate / 8 / 30;
        let lengths = padded(&split(average / 2 + (picture >> 33) % average), padding);
        let before = cpu_nanos()?;
        for &length in &lengths {
            index += 1;
            for (sealer, &to) in sealers.iter_mut().zip(&to) {
                if sender.is_full() {
                    sender.flush(&from);
                }
                sender.push(to, |buffer| {
                    buffer[..HEADER + length].copy_from_slice(&plain[..HEADER + length]);
                    sealer.seal(buffer, HEADER, HEADER + length, 7, index).ok()
                });
                packets += 1;
                bytes += length as u64;
            }
        }
        sender.flush(&from);
        nanos += cpu_nanos()? - before;
        for socket in &sockets {
            while receiver.receive(socket, |_, _| {})?.more {}
        }
    }
    let per_packet = |sum: u64| sum as f64 / packets as f64;
    Ok((per_packet(nanos), per_packet(bytes)))
}

#[expect(clippy::print_stdout, reason = "the table is the output")]
fn main() -> io::Result<()> {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok());
    let run = Duration::from_secs(seconds.unwrap_or(3));
    println!(
        "kbit/s: nanoseconds and payload bytes a packet; as it is, padded to the longest, to 16"
    );
    for kbps in [150, 500, 1_700, 3_000] {
        print!("{kbps:>6}:");
        for padding in [Padding::None, Padding::Longest, Padding::Multiple(16)] {
            let (nanos, bytes) = measure(kbps * 1_000, padding, run)?;
            print!("  {nanos:7.0} {bytes:6.1}");
        }
        println!();
    }
    Ok(())
}
