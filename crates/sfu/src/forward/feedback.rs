//! Which packets of one participant arrived when, for its bandwidth estimation.

use sluice_types::units::Time;

use crate::rtcp::transport_feedback;
use sluice_types::sequence::Unroller;

/// The most arrivals between two reports: 50 ms at 80 Mbit/s. More are not reported, which the
/// sender takes for loss.
const ARRIVALS_MAX: usize = 512;

/// Arrivals since the last report.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals {
    unroller: Unroller,
    arrivals: Vec<(u64, Time)>,
    reports: u8,
}

impl Arrivals {
    /// A packet with that transport-wide sequence number came.
    pub(super) fn note(&mut self, now: Time, sequence: u16) {
        let number = self.unroller.unroll(sequence);
        if self.arrivals.len() < ARRIVALS_MAX {
            self.arrivals.push((number, now));
        }
    }

    /// Appends reports about all of them to `buffer`, one call of `sent` for each.
    pub(super) fn report(&mut self, ssrc: u32, buffer: &mut Vec<u8>, mut sent: impl FnMut(&[u8])) {
        self.arrivals.sort_unstable();
        self.arrivals.dedup_by_key(|&mut (number, _)| number);
        let mut rest = &self.arrivals[..];
        while !rest.is_empty() {
            buffer.clear();
            let reported = transport_feedback(buffer, ssrc, self.reports, rest).max(1);
            self.reports = self.reports.wrapping_add(1);
            sent(buffer);
            rest = &rest[reported..];
        }
        self.arrivals.clear();
    }
}
