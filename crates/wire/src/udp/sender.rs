//! Many datagrams with one `sendmmsg`, runs for one destination as segments.

use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::address::write_name;
use super::{CONTROL_BYTES, Control, DATAGRAM_BYTES_MAX};

/// Segments in one GSO send (the kernel's UDP_MAX_SEGMENTS is 128 since 6.9, 64 before).
const SEGMENTS_MAX: usize = 64;

/// Payload bytes in one GSO send: an IPv4 datagram's 65,535 less its headers.
const SEND_BYTES_MAX: usize = 65_000;

/// Messages in one `sendmmsg`.
const SEND_BATCH: usize = 64;

/// Bytes gathered before they must be sent.
const ARENA_BYTES: usize = 1024 * 1024;

/// Datagrams gathered before they must be sent.
const QUEUED_MAX: usize = ARENA_BYTES / 512;

/// A datagram in the arena.
#[derive(Debug, Clone, Copy)]
struct Queued {
    to: SocketAddr,
    start: u32,
    length: u16,
}

/// Datagrams for one destination that were queued one after another.
#[derive(Debug, Clone, Copy)]
struct Neighbours {
    to: SocketAddr,
    first: u32,
    count: u32,
}

/// The sending half: datagrams are gathered, and leave together.
pub struct Sender {
    arena: Vec<u8>,
    used: usize,
    queue: Vec<Queued>,
    neighbours: Vec<Neighbours>,
    /// Places in the queue, in the order in which they are sent.
    order: Vec<u32>,
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
            // Not zeroes: those would be taken from the system page by page, when the first packets leave.
            arena: vec![u8::MAX; ARENA_BYTES],
            used: 0,
            queue: Vec::with_capacity(QUEUED_MAX),
            neighbours: Vec::with_capacity(QUEUED_MAX),
            order: Vec::with_capacity(QUEUED_MAX),
            segmentation,
            dropped: 0,
            sent: 0,
            calls: 0,
        }
    }

    /// Whether there is no room for one more datagram before [`Self::flush`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used + DATAGRAM_BYTES_MAX > ARENA_BYTES || self.queue.len() == QUEUED_MAX
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
        match self.neighbours.last_mut() {
            Some(last) if last.to == to => last.count += 1,
            _ => self.neighbours.push(Neighbours {
                to,
                // At most QUEUED_MAX; the arena holds a million bytes.
                first: self.queue.len() as u32,
                count: 1,
            }),
        }
        self.queue.push(Queued {
            to,
            start: start as u32,
            length: length as u16,
        });
    }

    /// Sends everything: in order for each destination, neighbours of equal length as the segments
    /// of one message. What the kernel has no room for is dropped, as a full network would.
    pub fn flush(&mut self, socket: &UdpSocket) {
        self.neighbours
            .sort_unstable_by_key(|neighbours| (neighbours.to, neighbours.first));
        let places = self.neighbours.iter();
        self.order
            .extend(places.flat_map(|at| at.first..at.first + at.count));
        let mut from = 0;
        while from < self.order.len() {
            from += self.send_some(socket, from);
        }
        self.order.clear();
        self.neighbours.clear();
        self.queue.clear();
        self.used = 0;
    }

    /// The datagram that is sent at that place in the order.
    fn at(&self, place: usize) -> Queued {
        self.queue[self.order[place] as usize]
    }

    /// How many datagrams from `from` on can be the segments of one message: same destination,
    /// same length but for a shorter last one.
    fn run(&self, from: usize) -> usize {
        let first = self.at(from);
        if !self.segmentation {
            return 1;
        }
        let (mut count, mut bytes) = (1, usize::from(first.length));
        for next in (from + 1..self.order.len()).map(|place| self.at(place)) {
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
        while count < SEND_BATCH && at < self.order.len() {
            let run = self.run(at);
            if slice + run > SLICES {
                break;
            }
            for i in 0..run {
                let datagram = self.at(at + i);
                let bytes = &self.arena[datagram.start as usize..][..usize::from(datagram.length)];
                slices[slice + i].iov_base = bytes.as_ptr().cast_mut().cast();
                slices[slice + i].iov_len = bytes.len();
            }
            let header = &mut messages[count].msg_hdr;
            header.msg_namelen = write_name(self.at(at).to, &mut names[count]);
            header.msg_name = (&raw mut names[count]).cast();
            header.msg_iov = &raw mut slices[slice];
            header.msg_iovlen = run as _;
            if run > 1 {
                header.msg_control = (&raw mut controls[count]).cast();
                write_segment(header, self.at(at).length);
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
