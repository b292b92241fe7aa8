//! How a participant's streams fared on the network, since it was asked last: what receiver reports say
//! of what it is sent, and what the edge sees of what it sends.

use std::time::Duration;

use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::units::{Bitrate, Time};

use super::encoding::EncodingId;
use super::selection::Choice;
use super::sink::FIRST_INDEX;
use super::{Forwarder, PeerId, SinkId, SourceId};
use crate::layer::{Layer, SPATIAL_MAX, TEMPORAL_MAX};

/// All layers of an encoding.
const WHOLE: Layer = Layer {
    spatial: SPATIAL_MAX as u8 - 1,
    temporal: TEMPORAL_MAX as u8 - 1,
};

/// Packets of a stream over an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// How many there should have been.
    pub expected: u64,
    /// How many of them did not come by themselves; some came by repair.
    pub lost: u64,
}

impl Losses {
    /// Lost of a million; `None` when nothing was expected.
    #[must_use]
    pub fn ppm(self) -> Option<u32> {
        let ppm = (self.lost * 1_000_000).checked_div(self.expected)?;
        Some(ppm.min(1_000_000) as u32)
    }
}

/// An encoding that a participant sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamQuality {
    /// The track.
    pub source: SourceId,
    /// What it shows.
    pub shows: TrackSource,
    /// Its `a=rid`, when it has one.
    pub rid: Option<Box<[u8]>>,
    /// How fast it comes now.
    pub bitrate: Bitrate,
    /// What is missing of it.
    pub losses: Losses,
    /// Interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
    /// The height of its pictures, where they tell it.
    pub height: Option<u16>,
}

/// A track that a participant is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkQuality {
    /// Which.
    pub sink: SinkId,
    /// The track.
    pub source: SourceId,
    /// What it shows.
    pub shows: TrackSource,
    /// Payload bytes that went out, retransmissions excluded.
    pub bytes: u64,
    /// What its receiver misses; nothing when it did not report.
    pub losses: Losses,
    /// Interarrival jitter as its receiver measures it; `None` before it did.
    pub jitter: Option<Duration>,
    /// What goes out now of a video.
    pub choice: Option<Choice>,
    /// Whether it is held back for want of bandwidth.
    pub paused: bool,
}

/// One participant's streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerQuality {
    /// To the participant and back, by its latest receiver report.
    pub round_trip: Option<Duration>,
    /// What its network is taken to carry; `None` where it says nothing of it.
    pub estimate: Option<Bitrate>,
    /// What it sends.
    pub sends: Vec<StreamQuality>,
    /// What it is sent.
    pub receives: Vec<SinkQuality>,
}

/// What the receiver of a sink said, and how much of it was told on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// The middle of the NTP time of the latest sender report, and when it went out.
    sender_report: Option<(u32, Time)>,
    highest: u32,
    lost: i32,
    jitter: Option<u32>,
    told_highest: u32,
    told_lost: i32,
    told_bytes: u32,
}

impl Default for Heard {
    fn default() -> Self {
        let before_first = FIRST_INDEX as u32 - 1;
        Self {
            sender_report: None,
            highest: before_first,
            lost: 0,
            jitter: None,
            told_highest: before_first,
            told_lost: 0,
            told_bytes: 0,
        }
    }
}

/// A reception report block, without the stream's name (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) total_lost: i32,
    pub(super) highest: u32,
    pub(super) jitter: u32,
    pub(super) last_report: u32,
    pub(super) delay: u32,
}

impl Heard {
    /// A sender report with that middle of its NTP time goes out.
    pub(super) const fn reported(&mut self, now: Time, middle: u32) {
        self.sender_report = Some((middle, now));
    }

    /// Takes note of a block, and gives the round trip that follows from it.
    fn take(&mut self, now: Time, block: Block) -> Option<Duration> {
        // An old report that comes late says nothing new.
        if (block.highest.wrapping_sub(self.highest) as i32) >= 0 {
            self.highest = block.highest;
            self.lost = block.total_lost;
            self.jitter = Some(block.jitter);
        }
        let (middle, sent) = self.sender_report?;
        if block.last_report != middle {
            return None;
        }
        let waited = Duration::from_micros(u64::from(block.delay) * 1_000_000 / 65_536);
        now.since(sent).checked_sub(waited)
    }

    fn losses(&mut self) -> Losses {
        let expected = self.highest.wrapping_sub(self.told_highest);
        // Late packets make the counter fall.
        let lost = self.lost.saturating_sub(self.told_lost).max(0);
        (self.told_highest, self.told_lost) = (self.highest, self.lost);
        Losses {
            expected: u64::from(expected),
            lost: u64::from(lost.unsigned_abs().min(expected)),
        }
    }
}

fn clock_rate(kind: MediaKind) -> u64 {
    match kind {
        MediaKind::Audio => 48_000,
        MediaKind::Video => 90_000,
    }
}

impl Forwarder {
    /// A participant reported how one of its tracks arrives.
    pub(super) fn handle_reception(&mut self, now: Time, from: PeerId, ssrc: u32, block: Block) {
        let Some(sink) = self.sink_of(from, ssrc) else {
            return;
        };
        if let Some(round_trip) = self.sinks[sink.0].heard.take(now, block) {
            self.peers[from.0].round_trip = Some(round_trip);
        }
    }

    /// How a participant's streams fared since this was asked last; `None` when it is gone.
    pub fn take_quality(&mut self, peer: PeerId) -> Option<PeerQuality> {
        let at = self.peers.get(peer.0)?;
        let has_estimate = at.is_estimated();
        let streams = at.streams.iter().filter(|stream| !stream.repair);
        let mut sends = Vec::new();
        for stream in streams {
            let source = &mut self.sources[stream.source.0];
            let (kind, shows) = (source.kind, source.track.source);
            let Some(encoding) = source.encodings.get_mut(stream.encoding.index()) else {
                continue;
            };
            let ticks = u64::from(encoding.reception.jitter_ticks());
            let losses = encoding.reception.take_losses();
            // What has stopped keeps the rate that it had.
            let flows = losses.expected > 0;
            let bitrate = flows.then(|| encoding.meter.up_to(WHOLE));
            sends.push(StreamQuality {
                source: stream.source,
                shows,
                rid: encoding.rid.clone(),
                bitrate: bitrate.unwrap_or_default(),
                losses,
                jitter: Duration::from_micros(ticks * 1_000_000 / clock_rate(kind)),
                height: encoding.size.map(|size| size.1),
            });
        }
        let mut receives = Vec::with_capacity(at.sinks.len());
        for &key in &at.sinks {
            let sink = &mut self.sinks[key.0];
            let shows = self.sources[sink.source.0].track.source;
            let kind = shows.kind();
            let bytes = sink.bytes.wrapping_sub(sink.heard.told_bytes);
            sink.heard.told_bytes = sink.bytes;
            let jitter = sink.heard.jitter.map(|ticks| {
                Duration::from_micros(u64::from(ticks) * 1_000_000 / clock_rate(kind))
            });
            receives.push(SinkQuality {
                sink: key,
                source: sink.source,
                shows,
                bytes: u64::from(bytes),
                losses: sink.heard.losses(),
                jitter,
                choice: (kind == MediaKind::Video).then(|| sink.current()).flatten(),
                paused: sink.told_paused,
            });
        }
        Some(PeerQuality {
            round_trip: at.round_trip,
            estimate: has_estimate.then(|| at.budget()),
            sends,
            receives,
        })
    }

    /// The `a=rid` of a track's encoding, when it has one.
    #[must_use]
    pub fn rid(&self, source: SourceId, encoding: EncodingId) -> Option<&[u8]> {
        let source = self.sources.get(source.0)?;
        source.encodings.get(encoding.index())?.rid.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(highest: u32, total_lost: i32) -> Block {
        Block {
            total_lost,
            highest,
            jitter: 480,
            last_report: 0,
            delay: 0,
        }
    }

    #[test]
    fn losses_are_those_since_the_last_time() {
        let mut heard = Heard::default();
        assert_eq!(heard.losses(), Losses::default());
        heard.take(Time::ZERO, block(1_123, 10));
        let first = Losses {
            expected: 100,
            lost: 10,
        };
        assert_eq!(heard.losses(), first);
        assert_eq!(first.ppm(), Some(100_000));
        heard.take(Time::ZERO, block(1_223, 8));
        let second = Losses {
            expected: 100,
            lost: 0,
        };
        assert_eq!(heard.losses(), second, "late ones make up for others");
        heard.take(Time::ZERO, block(1_200, 50));
        assert_eq!(heard.losses().ppm(), None, "an old report is no news");
    }

    #[test]
    fn the_round_trip_is_what_is_left_of_the_answer_to_our_own_report() {
        let mut heard = Heard::default();
        let answer = |last_report| Block {
            last_report,
            delay: 65_536 / 2,
            ..block(1_100, 0)
        };
        assert_eq!(heard.take(Time::from_millis(10), answer(7)), None);
        heard.reported(Time::from_millis(100), 7);
        let round_trip = heard.take(Time::from_millis(640), answer(7));
        assert_eq!(round_trip, Some(Duration::from_millis(40)));
        let other = heard.take(Time::from_millis(640), answer(6));
        assert_eq!(other, None, "it answers another report");
    }
}
