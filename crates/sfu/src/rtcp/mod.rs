//! RTCP (RFC 3550, section 6; RFC 4585; RFC 5104): the little of it that an SFU reads and writes.

mod read;
#[cfg(test)]
mod tests;
mod transport;
mod write;

pub use read::{Control, controls};
pub use transport::{PacketStatus, TransportFeedback};
pub use write::{
    ReportBlock, key_frame_request, nack, receiver_report, sender_report, transport_feedback,
};

/// Payload types of RTCP packets (RFC 3550, section 12.1; RFC 4585, section 6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Formats of transport-layer feedback (RFC 4585, section 6.2).
mod transport_format {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_CC: u8 = 15;
}

/// Formats of payload-specific feedback (RFC 4585, section 6.3; RFC 5104, section 4.3).
mod payload_format {
    pub(super) const PICTURE_LOSS: u8 = 1;
    pub(super) const FULL_INTRA: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

/// An NTP timestamp: seconds since 1900 in the upper half, fractions of one in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as reception reports repeat them (RFC 3550, section 6.4.1).
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// This much later.
    #[must_use]
    pub fn after(self, duration: std::time::Duration) -> Self {
        let fraction = u64::from(duration.subsec_nanos()) * (1 << 32) / 1_000_000_000;
        Self(self.0.wrapping_add((duration.as_secs() << 32) + fraction))
    }
}

/// A point on a sender's two clocks, as its sender report gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// The wall clock.
    pub ntp: NtpTime,
    /// The track's RTP clock at that moment.
    pub rtp: u32,
}
