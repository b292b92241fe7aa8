//! One receiver of a track.

use std::time::Duration;

use sluice_types::layers::{ENCODINGS_MAX, LayerSet};
use sluice_types::sequence::OnceWindow;
use sluice_types::signal::Wish;
use sluice_types::units::Time;

use super::encoding::Passing;
use super::left_out::LeftOut;
use super::numbering::Numbering;
use super::quality::Heard;
use super::selection::{Choice, Selection};
use super::sent::{Remembered, SentPacket};
use super::{LinkId, PeerId, SourceId};
use crate::layer::Layer;
use crate::layer::dependency::{Indication, Structure};

/// Where a sink's sequence numbers start: low enough that SRTP's rollover counter starts at zero
/// on both sides, high enough for packets that come before the first one that was forwarded.
pub(super) const FIRST_INDEX: u64 = 1_024;

/// How many sent packets of a video are remembered for retransmission: as many as are kept.
const SENT: usize = super::history::PACKETS_MAX;

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
    /// How its receiver wants it, if it said so.
    pub(super) wish: Option<Wish>,
    pub(super) selection: Selection,
    /// What of the track is wanted at its other end; for a relay nothing else travels over it.
    pub(super) layers: LayerSet,
    /// For a relay of video: what it left out, by encoding.
    pub(super) left_out: Vec<LeftOut>,
    /// Whether its receiver was told that it is paused.
    pub(super) told_paused: bool,
    /// Since when its choice waits for a key frame.
    pub(super) waiting: Option<Time>,
    numbering: Numbering,
    used: OnceWindow,
    pictures: Numbering,
    base_layer_offset: u8,
    frame_offset: u16,
    timestamp_offset: u32,
    latest: Option<SentPacket>,
    latest_at: Time,
    /// [`SENT`] of them for a video that goes to a participant, else none.
    sent: Box<[Remembered]>,
    /// Nothing before it is repaired.
    repaired_from: u64,
    next_retransmission: u64,
    /// Empty until somebody asks.
    answered: Vec<(u64, Time)>,
    answers: usize,
    budget: (Time, u32),
    pub(super) packets: u32,
    pub(super) bytes: u32,
    pub(super) heard: Heard,
}

impl Sink {
    pub(super) fn new(source: SourceId, target: Target, is_video: bool) -> Self {
        let mut numbering = Numbering::default();
        numbering.restart(0, FIRST_INDEX - 1);
        let remembered = match target {
            Target::Peer { .. } if is_video => SENT,
            _ => 0,
        };
        Self {
            source,
            target,
            wish: None,
            selection: Selection::default(),
            layers: LayerSet::ALL,
            left_out: match target {
                Target::Link(_) if is_video => vec![LeftOut::default(); ENCODINGS_MAX],
                _ => Vec::new(),
            },
            told_paused: false,
            waiting: None,
            numbering,
            used: OnceWindow::default(),
            pictures: Numbering::default(),
            base_layer_offset: 0,
            frame_offset: 0,
            timestamp_offset: 0,
            latest: None,
            latest_at: Time::ZERO,
            sent: vec![Remembered::NOTHING; remembered].into(),
            repaired_from: 0,
            next_retransmission: FIRST_INDEX,
            answered: Vec::new(),
            answers: 0,
            budget: (Time::ZERO, 0),
            packets: 0,
            bytes: 0,
            heard: Heard::default(),
        }
    }

    /// Whether a packet's frame belongs to anything that is wanted of its encoding.
    pub(super) fn wants(
        &self,
        passing: &Passing<'_>,
        structure: Option<(&Structure, u32)>,
    ) -> bool {
        let encoding = passing.encoding.0;
        let Layer { spatial, temporal } = passing.unit.layer;
        match (&passing.dependency, structure) {
            (Some(descriptor), Some((structure, active))) => {
                self.layers.tops(encoding).any(|(spatial, temporal)| {
                    let top = Layer { spatial, temporal };
                    structure.target_for(top, active).is_none_or(|target| {
                        descriptor.indications.of(target) != Indication::NotPresent
                    })
                })
            }
            _ => self.layers.covers(encoding, spatial, temporal),
        }
    }

    /// The participant that it goes to, if it goes to one.
    pub(super) const fn peer(&self) -> Option<PeerId> {
        match self.target {
            Target::Peer { peer, .. } => Some(peer),
            Target::Link(_) => None,
        }
    }

    /// The latest packet that went out, and when.
    pub(super) fn latest(&self) -> Option<(SentPacket, Time)> {
        Some((self.latest?, self.latest_at))
    }

    /// Nothing of what went out arrived, since the receiver was not there yet.
    pub(super) const fn begin_again(&mut self) {
        self.selection.begin_again();
        self.latest = None;
    }

    /// Goes on with the next key frame: what went out is too much for the receiver's network, so that
    /// most of it is lost.
    pub(super) const fn give_up(&mut self) {
        self.selection.begin_again();
        self.repaired_from = self.numbering.latest() + 1;
    }

    /// Whether a packet belongs to what was given up.
    pub(super) const fn is_given_up(&self, sent: &SentPacket) -> bool {
        sent.index < self.repaired_from
    }

    /// What is added to the publisher's timestamps.
    pub(super) const fn timestamp_offset(&self) -> u32 {
        self.timestamp_offset
    }

    /// What goes out now.
    pub(super) fn current(&self) -> Option<Choice> {
        self.selection.current()
    }

    /// Whether no later packet of the encoding that goes out came before this one. Where nothing goes
    /// out, any is: a sink may begin with a key frame of before it was there.
    pub(super) fn is_newest(&self, passing: &Passing<'_>) -> bool {
        let same = self
            .selection
            .current()
            .is_some_and(|current| current.encoding == passing.encoding);
        !same || self.numbering.is_newest(passing.number)
    }

    /// The stream goes on with another encoding, from this packet on, which gets `timestamp`.
    pub(super) fn start(&mut self, passing: &Passing<'_>, timestamp: u32) {
        self.numbering.restart(passing.number, 0);
        if let Some(picture) = passing.picture {
            self.pictures.restart(picture, 0);
        }
        let (base_layer_index, frame) = self
            .latest
            .map_or((0, 0), |latest| (latest.base_layer_index, latest.frame));
        if let Some((_, index)) = passing.unit.counters.base_layer_index {
            self.base_layer_offset = base_layer_index.wrapping_add(1).wrapping_sub(index);
        }
        if let Some(descriptor) = &passing.dependency {
            self.frame_offset = frame.wrapping_add(1).wrapping_sub(descriptor.frame);
        }
        self.timestamp_offset = timestamp.wrapping_sub(passing.header.timestamp);
    }

    /// Numbers a packet that goes out; `None` when it was sent already or lies before all that can
    /// be sent. SRTP must never seal two packets under one index (RFC 7714, section 8), so this and
    /// [`Self::fill`] are the only ways to get one.
    pub(super) fn number(&mut self, now: Time, passing: &Passing<'_>) -> Option<SentPacket> {
        let index = self.numbering.pass(passing.number)?;
        if !self.used.first_time(index) {
            return None;
        }
        let picture_id = passing
            .picture
            .and_then(|picture| self.pictures.pass(picture))
            .unwrap_or(0) as u16;
        let base_layer_index = passing
            .unit
            .counters
            .base_layer_index
            .map_or(0, |(_, index)| index.wrapping_add(self.base_layer_offset));
        let frame = passing.dependency.map_or(0, |descriptor| {
            descriptor.frame.wrapping_add(self.frame_offset)
        });
        let ends = passing.unit.ends && self.selection.is_top(passing);
        let packet = SentPacket {
            index,
            number: passing.number,
            timestamp: passing.header.timestamp.wrapping_add(self.timestamp_offset),
            picture_id,
            frame,
            base_layer_index,
            encoding: passing.encoding,
            marker: passing.header.marker || ends,
            filler: false,
        };
        if self.latest.is_none_or(|latest| latest.index < index) {
            self.latest = Some(packet);
            self.latest_at = now;
        }
        self.remember(&packet);
        Some(packet)
    }

    fn remember(&mut self, packet: &SentPacket) {
        if let Some(slot) = self.sent.get_mut(packet.index as usize % SENT) {
            *slot = Remembered::new(packet);
        }
    }

    /// Leaves a packet out. When a place was kept open for it, what has to be sent there.
    pub(super) fn fill(&mut self, passing: &Passing<'_>) -> Option<SentPacket> {
        if let Some(picture) = passing.picture {
            self.pictures.leave_out(picture);
        }
        let index = self.numbering.leave_out(passing.number)?;
        let filler = SentPacket {
            index,
            number: passing.number,
            encoding: passing.encoding,
            marker: false,
            filler: true,
            ..self.latest?
        };
        if !self.used.first_time(index) {
            return None;
        }
        self.remember(&filler);
        Some(filler)
    }

    /// The packet behind a requested sequence number, the nearest to the latest sent.
    pub(super) fn requested(&self, sequence: u16) -> Option<SentPacket> {
        let latest = self.numbering.latest();
        let distance = sequence.wrapping_sub(latest as u16) as i16;
        self.sent(latest.checked_add_signed(i64::from(distance))?)
    }

    /// The packet that has an index with that lower half, the nearest to the latest sent.
    pub(super) fn sent_lately(&self, index: u32) -> Option<SentPacket> {
        let latest = self.numbering.latest();
        let distance = index.wrapping_sub(latest as u32) as i32;
        self.sent(latest.checked_add_signed(i64::from(distance))?)
    }

    /// The packet that has that index.
    fn sent(&self, index: u64) -> Option<SentPacket> {
        let near = self.latest?.number;
        self.sent.get(index as usize % SENT)?.as_sent(index, near)
    }

    /// Takes the index of one retransmission of the packet with the index `of`; `None` when it was
    /// answered just now or too many were.
    pub(super) fn take_retransmission(&mut self, now: Time, of: u64) -> Option<u64> {
        let just_now = self
            .answered
            .iter()
            .any(|&(answered, then)| answered == of && now.since(then) < ANSWER_AGAIN);
        if now.since(self.budget.0) >= BUDGET_INTERVAL {
            self.budget = (now, 0);
        }
        if just_now || self.budget.1 >= BUDGET {
            return None;
        }
        self.budget.1 += 1;
        match self.answered.get_mut(self.answers % ANSWERED) {
            Some(oldest) => *oldest = (of, now),
            None => self.answered.push((of, now)),
        }
        self.answers += 1;
        Some(self.take_probe())
    }

    /// Takes the index of a packet of the retransmission stream that nobody asked for.
    pub(super) fn take_probe(&mut self) -> u64 {
        let index = self.next_retransmission;
        self.next_retransmission += 1;
        index
    }
}
