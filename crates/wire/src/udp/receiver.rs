//! Many datagrams from one `recvmmsg`.

use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use libc::c_int;

use super::address::read_name;
use super::{CONTROL_BYTES, Control};

/// Datagrams read in one system call; with GRO each may hold many segments.
const RECEIVE_BATCH: usize = 16;

/// A GRO buffer: the longest that the kernel coalesces to.
const RECEIVE_BYTES: usize = 65_535;

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
            // Not zeroes: those would be taken from the system page by page, when the first packets come.
            buffers: vec![u8::MAX; RECEIVE_BATCH * RECEIVE_BYTES],
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
            let Some(from) = read_name(&self.names[i]) else {
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
