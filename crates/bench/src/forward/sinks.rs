//! Sockets that take the floor's packets, as viewers take the edge's.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sluice_wire::udp::{Receiver, bind};

/// How soon the thread notices that it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Receiving sockets and the thread that empties them.
pub(crate) struct Sinks {
    addresses: Vec<SocketAddr>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Sinks {
    pub(crate) fn open(count: usize) -> io::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets: Vec<_> = (0..count).map(|_| bind(any)).collect::<Result<_, _>>()?;
        let addresses = sockets
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<Result<_, _>>()?;
        let received = Arc::<AtomicU64>::default();
        let stop = Arc::<AtomicBool>::default();
        let (counter, stopped) = (received.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || empty(&sockets, &counter, &stopped))?;
        Ok(Self {
            addresses,
            received,
            stop,
            thread: Some(thread),
        })
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Packets that came.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked if this fails, and has said so.
            let _ = thread.join();
        }
    }
}

fn empty(sockets: &[UdpSocket], received: &AtomicU64, stop: &AtomicBool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for (n, socket) in sockets.iter().enumerate() {
        let fd = socket.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), Token(n), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(1_024);
    let mut receiver = Receiver::new();
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = poll.poll(&mut events, Some(LOOK))
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            let Some(socket) = sockets.get(event.token().0) else {
                continue;
            };
            loop {
                let read = receiver.receive(socket, |_, _| {})?;
                received.fetch_add(read.datagrams as u64, Ordering::Relaxed);
                if !read.more {
                    break;
                }
            }
        }
    }
    Ok(())
}
