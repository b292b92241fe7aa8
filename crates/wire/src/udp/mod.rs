//! The worker's UDP socket, many datagrams to a system call: `recvmmsg` with GRO, `sendmmsg` with
//! GSO. The only unsafe code of media; each block says why it is sound.
#![expect(unsafe_code, reason = "system calls that std does not offer")]

mod address;
mod receiver;
mod sender;

use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use libc::{c_int, c_void};

pub use self::receiver::{Received, Receiver};
pub use self::sender::Sender;

/// Socket buffers asked of the kernel, in bytes; it gives at most `net.core.{r,w}mem_max`.
const SOCKET_BUFFER_BYTES: c_int = 4 * 1024 * 1024;

/// Room for one `UDP_GRO` or `UDP_SEGMENT` control message.
const CONTROL_BYTES: usize = 64;

/// The longest datagram that is sent, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1_500 + 256;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Opens a non-blocking socket at `address`, with GRO where the kernel has it.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let fd = socket.as_raw_fd();
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        set_option(fd, libc::SOL_SOCKET, option, SOCKET_BUFFER_BYTES)?;
    }
    // Without GRO each segment simply comes as a datagram of its own.
    let _ = set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    Ok(socket)
}

fn set_option(fd: RawFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a live c_int, and the length says so.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            (&raw const value).cast::<c_void>(),
            mem::size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let any = "127.0.0.1:0".parse().expect("an address");
        (bind(any).expect("a socket"), bind(any).expect("a socket"))
    }

    fn receive_all(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
        let (mut receiver, mut all) = (Receiver::new(), Vec::new());
        let deadline = Instant::now() + Duration::from_secs(5);
        while all.len() < count && Instant::now() < deadline {
            receiver
                .receive(socket, |_, datagram| all.push(datagram.to_vec()))
                .expect("reading works");
        }
        all
    }

    #[test]
    fn datagrams_arrive_whole_and_in_order_however_they_were_batched() {
        let (here, there) = pair();
        let to = there.local_addr().expect("bound");
        let mut sender = Sender::new(true);
        let lengths = [1_200, 1_200, 1_200, 700, 1_200, 1_201, 10, 10, 9, 11];
        for (n, length) in lengths.into_iter().enumerate() {
            sender.push(to, |buffer| {
                buffer[..length].fill(n as u8);
                Some(length)
            });
        }
        sender.flush(&here);
        assert_eq!((sender.sent, sender.dropped, sender.calls), (10, 0, 1));
        let received = receive_all(&there, lengths.len());
        for (n, datagram) in received.iter().enumerate() {
            assert_eq!((datagram.len(), datagram[0]), (lengths[n], n as u8));
        }
        assert_eq!(received.len(), lengths.len());
    }

    #[test]
    fn two_destinations_share_a_call() {
        let (here, there) = pair();
        let (_, elsewhere) = pair();
        let mut sender = Sender::new(true);
        for n in 0..40u8 {
            let to = if n % 2 == 0 { &there } else { &elsewhere };
            sender.push(to.local_addr().expect("bound"), |buffer| {
                buffer[..1_000].fill(n);
                Some(1_000)
            });
        }
        sender.flush(&here);
        assert_eq!((sender.sent, sender.calls), (40, 1));
        let even: Vec<_> = receive_all(&there, 20).iter().map(|d| d[0]).collect();
        assert_eq!(even, (0..40).step_by(2).collect::<Vec<_>>());
        assert_eq!(receive_all(&elsewhere, 20).len(), 20);
    }

    #[test]
    fn more_than_one_call_holds_leaves_too() {
        let (here, there) = pair();
        let to = there.local_addr().expect("bound");
        let mut sender = Sender::new(true);
        let mut received = 0;
        let mut receiver = Receiver::new();
        for _ in 0..700 {
            assert!(!sender.is_full());
            sender.push(to, |_| Some(100));
        }
        sender.flush(&here);
        assert!(sender.is_empty());
        let deadline = Instant::now() + Duration::from_secs(5);
        while received < 700 && Instant::now() < deadline {
            received += receiver
                .receive(&there, |_, _| {})
                .expect("reading works")
                .datagrams;
        }
        assert_eq!(received, 700);
    }
}
