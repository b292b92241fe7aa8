//! One client of a relay: its port at the target, and the packets on their way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{future, io};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::relay::{Direction, Due, IN_FLIGHT_MAX, PACKET_BYTES_MAX, queue};

pub(super) struct Session {
    last_packet: Arc<Mutex<Instant>>,
    forward: mpsc::Sender<Due>,
    _tasks: [AbortOnDropHandle<()>; 3],
}

impl Session {
    /// Gives `client` a port of its own towards `target`.
    pub(super) async fn start(
        listener: Arc<UdpSocket>,
        client: SocketAddr,
        target: SocketAddr,
        back: Arc<Direction>,
    ) -> io::Result<Self> {
        let any: IpAddr = match target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let upstream = Arc::new(UdpSocket::bind((any, 0)).await?);
        upstream.connect(target).await?;
        let last_packet = Arc::new(Mutex::new(Instant::now()));
        let (forward, forward_due) = queue();
        let (answer, answer_due) = queue();
        let tasks = [
            tokio::spawn(deliver(forward_due, Arc::clone(&upstream), None)),
            tokio::spawn(deliver(answer_due, listener, Some(client))),
            tokio::spawn(answers(upstream, back, answer, Arc::clone(&last_packet))),
        ];
        Ok(Self {
            last_packet,
            forward,
            _tasks: tasks.map(AbortOnDropHandle::new),
        })
    }

    pub(super) fn forward(&self, at: Instant, packet: &[u8]) {
        touch(&self.last_packet);
        let _ = self.forward.try_send((at, packet.to_vec()));
    }

    pub(super) fn idle_for(&self, timeout: Duration) -> bool {
        let last = *self
            .last_packet
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.elapsed() >= timeout
    }
}

fn touch(last_packet: &Mutex<Instant>) {
    *last_packet.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

/// Takes the target's answers.
async fn answers(
    upstream: Arc<UdpSocket>,
    back: Arc<Direction>,
    answer: mpsc::Sender<Due>,
    last_packet: Arc<Mutex<Instant>>,
) {
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error is the target's closed port; a later packet may find it open.
        let Ok(length) = upstream.recv(&mut buffer).await else {
            continue;
        };
        touch(&last_packet);
        if let Some(at) = back.decide(length) {
            let _ = answer.try_send((at, buffer[..length].to_vec()));
        }
    }
}

/// Sends packets when they are due, earliest first, and in the order they came when due together:
/// to a client, or to where `socket` is connected.
async fn deliver(mut queue: mpsc::Receiver<Due>, socket: Arc<UdpSocket>, to: Option<SocketAddr>) {
    let mut pending = BinaryHeap::new();
    let mut count = 0u64;
    loop {
        let due = pending
            .peek()
            .map(|Reverse((at, ..)): &Reverse<(Instant, u64, Vec<u8>)>| *at);
        let wait = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            next = queue.recv(), if pending.len() < IN_FLIGHT_MAX => match next {
                Some((at, packet)) => {
                    pending.push(Reverse((at, count, packet)));
                    count += 1;
                }
                None => return,
            },
            () = wait => {
                while let Some(Reverse((at, ..))) = pending.peek() {
                    if *at > Instant::now() {
                        break;
                    }
                    let Some(Reverse((_, _, packet))) = pending.pop() else {
                        break;
                    };
                    // The far end may be closed just now, as it may be on a real link.
                    let _ = match to {
                        Some(client) => socket.send_to(&packet, client).await,
                        None => socket.send(&packet).await,
                    };
                }
            }
        }
    }
}
