//! The worker's UDP socket, many datagrams to a system call: `recvmmsg` with GRO, `sendmmsg` with
//! GSO. The only unsafe code of media; each block says why it is sound.
#![expect(unsafe_code, reason = "system calls that std does not offer")]

use std::io;
use std::mem;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use libc::{c_int, c_void};

/// Datagrams read in one system call; with GRO each may hold many segments.
const RECEIVE_BATCH: usize = 16;

/// A GRO buffer: the longest that the kernel coalesces to.
const RECEIVE_BYTES: usize = 65_535;

/// Socket buffers asked of the kernel, in bytes; it gives at most `net.core.{r,w}mem_max`.
const SOCKET_BUFFER_BYTES: c_int = 4 * 1024 * 1024;

/// Room for one `UDP_GRO` or `UDP_SEGMENT` control message.
const CONTROL_BYTES: usize = 64;

/// Segments in one GSO send (the kernel's UDP_MAX_SEGMENTS is 128 since 6.9, 64 before).
const SEGMENTS_MAX: usize = 64;

/// Payload bytes in one GSO send: an IPv4 datagram's 65,535 less its headers.
const SEND_BYTES_MAX: usize = 65_000;

/// Messages in one `sendmmsg`.
const SEND_BATCH: usize = 64;

/// The longest datagram that is sent, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1_500 + 256;

/// Bytes gathered before they must be sent.
const ARENA_BYTES: usize = 1024 * 1024;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// The receiving half.
pub struct Receiver {
    buffers: Vec<u8>,
    names: [libc::sockaddr_storage; RECEIVE_BATCH],
    controls: [Control; RECEIVE_BATCH],
}

/// What one system call brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Datagrams, GRO segments counted one by one.
    pub datagrams: usize,
    /// Whether there may be more.
    pub more: bool,
}

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

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// With a megabyte of buffers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: vec![0; RECEIVE_BATCH * RECEIVE_BYTES],
            // SAFETY: all zeroes is a valid sockaddr_storage (family AF_UNSPEC).
            names: unsafe { mem::zeroed() },
            controls: [Control([0; CONTROL_BYTES]); RECEIVE_BATCH],
        }
    }

    /// Reads one batch and calls `datagram` for each datagram in it.
    ///
    /// # Errors
    /// When the socket cannot be read.
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        mut datagram: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<Received> {
        // SAFETY: all zeroes is a valid iovec and a valid mmsghdr (null pointers, zero lengths).
        let (mut slices, mut messages): (
            [libc::iovec; RECEIVE_BATCH],
            [libc::mmsghdr; RECEIVE_BATCH],
        ) = unsafe { (mem::zeroed(), mem::zeroed()) };
        for (i, buffer) in self.buffers.chunks_exact_mut(RECEIVE_BYTES).enumerate() {
            slices[i].iov_base = buffer.as_mut_ptr().cast();
            slices[i].iov_len = buffer.len();
            let header = &mut messages[i].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut slices[i];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[i]).cast();
            header.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: every pointer in `messages` is to memory that lives past the call and is as long
        // as the length beside it says; the kernel writes at most that much.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                RECEIVE_BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Received {
                    datagrams: 0,
                    more: false,
                }),
                // An ICMP error for an earlier send, not for this read.
                io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable => Ok(Received {
                    datagrams: 0,
                    more: true,
                }),
                _ => Err(error),
            };
        };
        let mut datagrams = 0;
        for (i, message) in messages[..count].iter().enumerate() {
            let Some(from) = address(&self.names[i]) else {
                continue;
            };
            let length = message.msg_len as usize;
            let segment = segment_bytes(&message.msg_hdr).unwrap_or(length).max(1);
            let buffer = &mut self.buffers[i * RECEIVE_BYTES..][..length];
            for segment in buffer.chunks_mut(segment) {
                datagram(from, segment);
                datagrams += 1;
            }
        }
        Ok(Received {
            datagrams,
            more: count == RECEIVE_BATCH,
        })
    }
}

/// The segment size that GRO reports, when it coalesced.
fn segment_bytes(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel filled in `header` and the control buffer that it points to, which is
    // aligned and still live; CMSG_FIRSTHDR and CMSG_NXTHDR stay within msg_controllen.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            if message.cmsg_level == libc::SOL_UDP && message.cmsg_type == libc::UDP_GRO {
                let size = libc::CMSG_DATA(control).cast::<c_int>().read_unaligned();
                return usize::try_from(size).ok();
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in, which it is larger
            // than and at least as aligned as.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr).into();
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (v6.sin6_addr.s6_addr.into(), u16::from_be(v6.sin6_port));
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn write_name(address: SocketAddr, name: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is larger than and at least as aligned as a sockaddr_in.
            let raw = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as _;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            mem::size_of::<libc::sockaddr_in>() as _
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above, for sockaddr_in6.
            let raw = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as _;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_scope_id = v6.scope_id();
            mem::size_of::<libc::sockaddr_in6>() as _
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    to: SocketAddr,
    order: u32,
    start: u32,
    length: u16,
}

/// The sending half: datagrams are gathered, and leave together.
pub struct Sender {
    arena: Vec<u8>,
    used: usize,
    queue: Vec<Queued>,
    segmentation: bool,
    /// Datagrams that the kernel had no room for, or refused.
    pub dropped: u64,
    /// Datagrams that left.
    pub sent: u64,
    /// System calls that they took.
    pub calls: u64,
}

impl Sender {
    /// Gathers up to a megabyte, and sends neighbours of equal length as segments of one message
    /// (UDP GSO) when `segmentation` says so and the interface can.
    #[must_use]
    pub fn new(segmentation: bool) -> Self {
        Self {
            arena: vec![0; ARENA_BYTES],
            used: 0,
            queue: Vec::with_capacity(ARENA_BYTES / 512),
            segmentation,
            dropped: 0,
            sent: 0,
            calls: 0,
        }
    }

    /// Whether there is no room for one more datagram before [`Self::flush`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used + DATAGRAM_BYTES_MAX > ARENA_BYTES || self.queue.len() == self.queue.capacity()
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues the datagram that `write` puts into a buffer of [`DATAGRAM_BYTES_MAX`], of which it
    /// says how much it used; `None` queues nothing. Must not be called when [`Self::is_full`].
    pub fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let start = self.used;
        let Some(length) = write(&mut self.arena[start..start + DATAGRAM_BYTES_MAX]) else {
            return;
        };
        self.used += length;
        self.queue.push(Queued {
            to,
            // The arena holds at most a million bytes, and so many datagrams of one at least.
            order: self.queue.len() as u32,
            start: start as u32,
            length: length as u16,
        });
    }

    /// Sends everything: in order for each destination, neighbours of equal length as the segments
    /// of one message. What the kernel has no room for is dropped, as a full network would.
    pub fn flush(&mut self, socket: &UdpSocket) {
        self.queue
            .sort_unstable_by_key(|datagram| (datagram.to, datagram.order));
        let mut from = 0;
        while from < self.queue.len() {
            from += self.send_some(socket, from);
        }
        self.queue.clear();
        self.used = 0;
    }

    /// How many datagrams from `from` on can be the segments of one message: same destination,
    /// same length but for a shorter last one.
    fn run(&self, from: usize) -> usize {
        let first = self.queue[from];
        if !self.segmentation {
            return 1;
        }
        let (mut count, mut bytes) = (1, usize::from(first.length));
        for next in &self.queue[from + 1..] {
            bytes += usize::from(next.length);
            if count == SEGMENTS_MAX
                || bytes > SEND_BYTES_MAX
                || next.to != first.to
                || next.length > first.length
            {
                break;
            }
            count += 1;
            if next.length < first.length {
                break;
            }
        }
        count
    }

    /// Sends one `sendmmsg` from `from` on and says how many datagrams are dealt with.
    fn send_some(&mut self, socket: &UdpSocket, from: usize) -> usize {
        const SLICES: usize = 512;
        // SAFETY: all zeroes is valid for each of these plain C structs.
        let (mut slices, mut names, mut messages): (
            [libc::iovec; SLICES],
            [libc::sockaddr_storage; SEND_BATCH],
            [libc::mmsghdr; SEND_BATCH],
        ) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut controls = [Control([0; CONTROL_BYTES]); SEND_BATCH];
        let mut runs = [0usize; SEND_BATCH];
        let (mut count, mut slice, mut at) = (0, 0, from);
        while count < SEND_BATCH && at < self.queue.len() {
            let run = self.run(at);
            if slice + run > SLICES {
                break;
            }
            for (i, datagram) in self.queue[at..at + run].iter().enumerate() {
                let bytes = &self.arena[datagram.start as usize..][..usize::from(datagram.length)];
                slices[slice + i].iov_base = bytes.as_ptr().cast_mut().cast();
                slices[slice + i].iov_len = bytes.len();
            }
            let header = &mut messages[count].msg_hdr;
            header.msg_namelen = write_name(self.queue[at].to, &mut names[count]);
            header.msg_name = (&raw mut names[count]).cast();
            header.msg_iov = &raw mut slices[slice];
            header.msg_iovlen = run as _;
            if run > 1 {
                header.msg_control = (&raw mut controls[count]).cast();
                write_segment(header, self.queue[at].length);
            }
            runs[count] = run;
            count += 1;
            slice += run;
            at += run;
        }
        self.calls += 1;
        // SAFETY: every pointer in `messages[..count]` is to memory that lives past the call
        // (arena, slices, names, controls) with the length beside it; the kernel only reads it.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as u32,
                libc::MSG_DONTWAIT,
            )
        };
        if let Ok(sent @ 1..) = usize::try_from(sent) {
            let datagrams = runs[..sent].iter().sum();
            self.sent += datagrams as u64;
            return datagrams;
        }
        let error = io::Error::last_os_error();
        if runs[0] > 1 && matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) {
            // The interface cannot segment; from now on each datagram is a message of its own.
            self.segmentation = false;
            return 0;
        }
        // The first message is the one that failed: nobody there, or no room for it.
        self.dropped += runs[0] as u64;
        runs[0]
    }
}

/// Puts a `UDP_SEGMENT` control message into the buffer that `header` points to.
fn write_segment(header: &mut libc::msghdr, segment: u16) {
    // SAFETY: msg_control points to CONTROL_BYTES zeroed, aligned bytes, which is more than
    // CMSG_SPACE(2); CMSG_FIRSTHDR is therefore non-null once msg_controllen is set.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(mem::size_of::<u16>() as u32) as _;
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = libc::SOL_UDP;
        (*control).cmsg_type = libc::UDP_SEGMENT;
        (*control).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(control)
            .cast::<u16>()
            .write_unaligned(segment);
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
