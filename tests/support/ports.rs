//! Ports for what tests start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Those that the kernel gives to connections begin at 32768.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of loopback that is free, for UDP and for TCP, and that no connection is given meanwhile: what
/// needs it may come to it only after a while. None is given twice before all were.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another run beside this one begins elsewhere.
    let start = (std::process::id() % 12 * 1_000) as u16;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|&port| is_free(loopback(port)))
        .expect("a free port")
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

/// An address of loopback.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
