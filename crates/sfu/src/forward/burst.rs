//! Packets that came at once, mostly of one picture: they are passed sink by sink rather than packet by
//! packet, so that what a participant's sending needs is fetched from memory once for all of them, and they
//! leave as neighbours.

use std::mem;

use sluice_types::units::Time;

use super::encoding::{EncodingId, Passing};
use super::history::History;
use super::kept::Kept;
use super::{Forwarder, Outbox, SourceId};
use crate::layer::dependency;
use crate::rtp::{Extension, Header};

/// The most packets that are passed together.
const PACKETS_MAX: usize = 16;

/// What came of one encoding and no sink has seen yet.
#[derive(Debug, Default)]
pub(super) struct Burst {
    /// Whether more may come.
    open: bool,
    of: Option<(SourceId, EncodingId)>,
    /// Numbers of packets in the encoding's history.
    numbers: Vec<u64>,
    /// Room for the packets while they are passed.
    #[expect(
        clippy::vec_box,
        reason = "they go back to the history, which holds them so"
    )]
    lent: Vec<Box<Kept>>,
}

impl Forwarder {
    /// From now on packets that come may wait for those that come with them, until [`Self::end_burst`],
    /// which must follow as soon as what was read is handled.
    pub fn begin_burst(&mut self) {
        self.burst.open = true;
    }

    /// All that came at once was handled: what waits of it is passed.
    pub fn end_burst(&mut self, now: Time, outbox: &mut impl Outbox) {
        self.pass_burst(now, outbox);
        self.burst.open = false;
    }

    /// Passes what waits when the packet that comes now cannot be passed with it: one of another encoding,
    /// or one that changes how those before it are read.
    pub(super) fn pass_burst_before(
        &mut self,
        now: Time,
        of: (SourceId, EncodingId),
        header: &Header,
        packet: &[u8],
        outbox: &mut impl Outbox,
    ) {
        let Some(before) = self.burst.of else {
            return;
        };
        let descriptor = header.extension(packet, Extension::DependencyDescriptor);
        if before != of
            || self.burst.numbers.len() == PACKETS_MAX
            || descriptor.is_some_and(dependency::is_extended)
        {
            self.pass_burst(now, outbox);
        }
    }

    /// Passes a packet with those that came at once, or at once when it is not in the history.
    pub(super) fn pass_in_burst(
        &mut self,
        now: Time,
        key: SourceId,
        passing: &Passing<'_>,
        outbox: &mut impl Outbox,
    ) {
        let history = &self.sources[key.0].encodings[passing.encoding.index()].history;
        if self.burst.open && history.packet(passing.number).is_some() {
            self.burst.of = Some((key, passing.encoding));
            self.burst.numbers.push(passing.number);
            return;
        }
        self.pass_burst(now, outbox);
        self.pass_to_all(now, key, passing, outbox);
    }

    /// Passes what waits, sink by sink.
    pub(super) fn pass_burst(&mut self, now: Time, outbox: &mut impl Outbox) {
        let Some((key, at)) = self.burst.of.take() else {
            return;
        };
        let mut lent = mem::take(&mut self.burst.lent);
        let mut numbers = mem::take(&mut self.burst.numbers);
        if let Some(history) = self.history_of(key, at) {
            lent.extend(numbers.drain(..).filter_map(|number| history.lend(number)));
        }
        numbers.clear();
        let mut all = [None; PACKETS_MAX];
        for (place, kept) in all.iter_mut().zip(&lent) {
            *place = Some(Passing::again(at, kept));
        }
        let all = &all[..lent.len().min(PACKETS_MAX)];
        let sink_at =
            |forwarder: &Self, next| forwarder.sources.get(key.0)?.sinks.get(next).copied();
        let mut next = 0;
        while let Some(sink) = sink_at(self, next) {
            for passing in all.iter().flatten() {
                self.pass(now, sink, passing, outbox);
            }
            next += 1;
        }
        if let Some(history) = self.history_of(key, at) {
            lent.drain(..).for_each(|kept| history.give_back(kept));
        }
        lent.clear();
        (self.burst.lent, self.burst.numbers) = (lent, numbers);
    }

    fn history_of(&mut self, source: SourceId, at: EncodingId) -> Option<&mut History> {
        let source = self.sources.get_mut(source.0)?;
        Some(&mut source.encodings.get_mut(at.index())?.history)
    }
}
