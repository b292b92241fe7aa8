//! One receiver of a track.

use std::time::Duration;

use sluice_types::units::Time;

use super::{LinkId, PeerId, SourceId};
use sluice_types::sequence::OnceWindow;

/// Where a sink's sequence numbers start: low enough that SRTP's rollover counter starts at zero
/// on both sides, high enough for packets that come before the first one that was forwarded.
const FIRST_INDEX: u64 = 1_024;

/// How many answered requests are remembered, and for how long one is not answered again.
const ANSWERED: usize = 64;
const ANSWER_AGAIN: Duration = Duration::from_millis(30);

/// The most retransmissions to one sink within [`BUDGET_INTERVAL`].
const BUDGET: u32 = 100;
const BUDGET_INTERVAL: Duration = Duration::from_millis(200);

/// Where a sink's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A participant at this edge.
    Peer {
        /// Whom.
        peer: PeerId,
        /// The sink's SSRC, unique at that participant.
        ssrc: u32,
        /// The SSRC of retransmissions, when they were agreed upon.
        retransmission_ssrc: Option<u32>,
    },
    /// Another edge.
    Link(LinkId),
}

#[derive(Debug)]
pub(super) struct Sink {
    pub(super) source: SourceId,
    pub(super) target: Target,
    offset: Option<i64>,
    sent: OnceWindow,
    next_retransmission: u64,
    answered: [(u64, Time); ANSWERED],
    answers: usize,
    budget: (Time, u32),
    pub(super) packets: u32,
    pub(super) bytes: u32,
}

impl Sink {
    pub(super) fn new(source: SourceId, target: Target) -> Self {
        Self {
            source,
            target,
            offset: None,
            sent: OnceWindow::default(),
            next_retransmission: FIRST_INDEX,
            answered: [(u64::MAX, Time::ZERO); ANSWERED],
            answers: 0,
            budget: (Time::ZERO, 0),
            packets: 0,
            bytes: 0,
        }
    }

    /// The sink's number for the source's `number`; `None` when it was used already or lies before
    /// all that can be sent. SRTP must never seal two packets under one index (RFC 7714,
    /// section 8), so this is the only way to get one.
    pub(super) fn take_index(&mut self, number: u64) -> Option<u64> {
        let offset = *self
            .offset
            .get_or_insert(FIRST_INDEX as i64 - number as i64);
        let index = number.checked_add_signed(offset)?;
        self.sent.first_time(index).then_some(index)
    }

    /// The source's number behind a requested sequence number, the nearest to the latest sent.
    pub(super) fn requested(&self, latest: u64, sequence: u16) -> Option<(u64, u16)> {
        let offset = self.offset?;
        let latest_index = latest.checked_add_signed(offset)?;
        let distance = sequence.wrapping_sub(latest_index as u16) as i16;
        let number = latest.checked_add_signed(i64::from(distance))?;
        Some((number, sequence))
    }

    /// Takes the index of one retransmission of `number`; `None` when it was answered just now or
    /// too many were.
    pub(super) fn take_retransmission(&mut self, now: Time, number: u64) -> Option<u64> {
        let just_now = self
            .answered
            .iter()
            .any(|&(answered, then)| answered == number && now.since(then) < ANSWER_AGAIN);
        if now.since(self.budget.0) >= BUDGET_INTERVAL {
            self.budget = (now, 0);
        }
        if just_now || self.budget.1 >= BUDGET {
            return None;
        }
        self.budget.1 += 1;
        self.answered[self.answers % ANSWERED] = (number, now);
        self.answers += 1;
        let index = self.next_retransmission;
        self.next_retransmission += 1;
        Some(index)
    }
}
