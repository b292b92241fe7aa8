//! One encoding of a track: the whole of it, or one size of a simulcast (RFC 8853).

use std::time::Duration;

use sluice_types::room::MediaKind;
use sluice_types::sequence::OnceWindow;
use sluice_types::units::{Bitrate, Time};

use super::history::History;
use super::kept::Kept;
use super::key_frame::KeyFrameRequests;
use super::reception::Reception;
use crate::codec::Codec;
use crate::layer::dependency::{self, Descriptor, Structure};
use crate::layer::{Layer, PictureId, SPATIAL_MAX, TEMPORAL_MAX, Unit};
use crate::rtp::{Extension, Header};

/// Over how long bitrates are measured.
const METER_INTERVAL: Duration = Duration::from_millis(500);

/// After so many intervals without a packet a stream counts as stopped rather than still.
const SILENT_MAX: u8 = 4;

/// Which encoding of a track, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EncodingId(pub u8);

impl EncodingId {
    /// Its place in the track's encodings.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of an incoming packet before any sink sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passing<'a> {
    pub(super) encoding: EncodingId,
    pub(super) number: u64,
    pub(super) codec: Codec,
    pub(super) header: &'a Header,
    pub(super) packet: &'a [u8],
    pub(super) unit: Unit,
    /// The unrolled picture id.
    pub(super) picture: Option<u64>,
    pub(super) dependency: Option<Descriptor>,
}

impl<'a> Passing<'a> {
    /// A packet that was kept, once more.
    pub(super) fn again(encoding: EncodingId, kept: &'a Kept) -> Self {
        Self {
            encoding,
            number: kept.number,
            codec: kept.codec,
            header: &kept.header,
            packet: kept.packet(),
            unit: kept.unit,
            picture: kept.picture,
            dependency: kept.dependency,
        }
    }
}

/// The state of one encoding.
#[derive(Debug)]
pub(super) struct Encoding {
    /// Its `a=rid`, when it has one.
    pub(super) rid: Option<Box<[u8]>>,
    /// The SSRC that came; 0 before.
    pub(super) ssrc: u32,
    pub(super) reception: Reception,
    pub(super) seen: OnceWindow,
    pub(super) history: History,
    pub(super) key_frames: KeyFrameRequests,
    /// When its last packet came.
    pub(super) last: Option<Time>,
    /// The dependency structure of its latest key frame.
    pub(super) structure: Option<Structure>,
    /// The decode targets that are still sent.
    pub(super) active_targets: u32,
    /// Width and height of its pictures, where they were told.
    pub(super) size: Option<(u16, u16)>,
    /// The number of the first packet of the latest key frame.
    pub(super) key_frame: Option<u64>,
    /// When it came.
    pub(super) key_frame_at: Option<Time>,
    pub(super) meter: Meter,
    pictures: PictureUnroller,
    /// The latest packet's timestamp.
    timestamp: Option<u32>,
}

impl Encoding {
    /// One of which nothing has come yet; missing packets are asked for when `repairs`.
    pub(super) fn new(kind: MediaKind, rid: Option<Box<[u8]>>, repairs: bool) -> Self {
        let clock_rate = match kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        Self {
            rid,
            ssrc: 0,
            reception: Reception::new(clock_rate, repairs),
            seen: OnceWindow::default(),
            history: History::default(),
            key_frames: KeyFrameRequests::default(),
            last: None,
            structure: None,
            active_targets: u32::MAX,
            size: None,
            key_frame: None,
            key_frame_at: None,
            meter: Meter::default(),
            pictures: PictureUnroller::default(),
            timestamp: None,
        }
    }

    /// Reads what a packet says of its frame.
    pub(super) fn describe<'a>(
        &mut self,
        encoding: EncodingId,
        number: u64,
        codec: Codec,
        header: &'a Header,
        packet: &'a [u8],
    ) -> Passing<'a> {
        let mut unit = Unit::read(codec, header.payload(packet));
        let picture = unit.counters.picture_id.map(|id| self.pictures.unroll(id));
        let mut found = None;
        if let Some(bytes) = header.extension(packet, Extension::DependencyDescriptor)
            && let Some((descriptor, brought)) = dependency::read(bytes, self.structure.as_ref())
        {
            unit.layer = descriptor.layer;
            unit.begins = descriptor.begins;
            unit.ends = descriptor.ends;
            unit.key_frame = descriptor.begins && brought.is_some();
            if let Some(structure) = brought {
                unit.size = structure.resolutions().last().copied().or(unit.size);
                self.structure = Some(structure);
            }
            if let Some(active) = descriptor.active_targets {
                self.active_targets = active;
            }
            found = Some(descriptor);
        } else if !matches!(codec, Codec::Vp8 | Codec::Vp9) {
            // RFC 3550, section 5.1: packets of one picture share their timestamp.
            let newer = |before| header.timestamp.wrapping_sub(before) as i32 > 0;
            unit.begins |= self.timestamp.is_none_or(newer);
            unit.ends = header.marker;
        }
        self.timestamp = Some(header.timestamp);
        self.size = unit.size.or(self.size);
        if unit.key_frame {
            self.key_frame = Some(number);
            self.key_frames.answered();
            self.key_frame_at = self.last;
        }
        self.meter.count(unit.layer, packet.len());
        Passing {
            encoding,
            number,
            codec,
            header,
            packet,
            unit,
            picture,
            dependency: found,
        }
    }

    /// The unrolled picture id of a packet.
    pub(super) fn picture(&mut self, codec: Codec, header: &Header, packet: &[u8]) -> Option<u64> {
        let id = Unit::read(codec, header.payload(packet))
            .counters
            .picture_id?;
        Some(self.pictures.unroll(id))
    }

    /// Spatial layers within the encoding, at most [`SPATIAL_MAX`] whatever its structure says.
    pub(super) fn spatial_layers(&self) -> u8 {
        let told = self.structure.as_ref().map(Structure::spatial_layers);
        let layers = told.unwrap_or(0).max(self.meter.spatial_layers());
        layers.min(SPATIAL_MAX as u8)
    }
}

/// Unrolls picture ids of 7 or 15 bits.
#[derive(Debug, Clone, Copy, Default)]
struct PictureUnroller(Option<u64>);

impl PictureUnroller {
    fn unroll(&mut self, id: PictureId) -> u64 {
        let modulus = if id.wide { 1i64 << 15 } else { 1 << 7 };
        let value = i64::from(id.value);
        let Some(highest) = self.0 else {
            let first = (1 << 20) + u64::from(id.value);
            self.0 = Some(first);
            return first;
        };
        let mut distance = (value - highest as i64).rem_euclid(modulus);
        if distance >= modulus / 2 {
            distance -= modulus;
        }
        let unrolled = highest.saturating_add_signed(distance);
        self.0 = Some(highest.max(unrolled));
        unrolled
    }
}

/// Measures the bitrate of each layer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meter {
    bytes: [[u32; TEMPORAL_MAX]; SPATIAL_MAX],
    rates: [[u32; TEMPORAL_MAX]; SPATIAL_MAX],
    since: Option<Time>,
    phase: Phase,
    /// The rates before the silence.
    before: [[u32; TEMPORAL_MAX]; SPATIAL_MAX],
    /// Intervals without a packet.
    silent: u8,
}

/// How far a measurement is since the stream began, or began again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet. What it took before it stopped is the best guess.
    #[default]
    Stopped,
    /// It began within the interval before, which therefore says too little.
    Begun,
    /// There were whole intervals.
    Steady,
}

impl Meter {
    fn count(&mut self, layer: Layer, bytes: usize) {
        let spatial = usize::from(layer.spatial).min(SPATIAL_MAX - 1);
        let temporal = usize::from(layer.temporal).min(TEMPORAL_MAX - 1);
        let sum = &mut self.bytes[spatial][temporal];
        // A packet is far below 4 GiB.
        *sum = sum.saturating_add(bytes as u32);
    }

    /// Takes stock when an interval is over, and says whether it is. What is not `sent`, since nobody
    /// wants it, keeps the bitrate that it had.
    pub(super) fn tick(&mut self, now: Time, sent: impl Fn(Layer) -> bool) -> bool {
        let since = *self.since.get_or_insert(now);
        let passed = now.since(since);
        if passed < METER_INTERVAL {
            return false;
        }
        self.since = Some(now);
        self.take_stock(passed, sent);
        true
    }

    fn take_stock(&mut self, passed: Duration, sent: impl Fn(Layer) -> bool) {
        if self.bytes.iter().flatten().all(|&bytes| bytes == 0) {
            self.be_silent();
            return;
        }
        if std::mem::take(&mut self.silent) > 0 {
            // It goes on, or was stopped and begins again within the interval.
            self.rates = self.before;
            self.phase = Phase::Stopped;
        }
        let phase = self.phase;
        self.phase = match phase {
            Phase::Stopped => Phase::Begun,
            Phase::Begun | Phase::Steady => Phase::Steady,
        };
        let micros = passed.as_micros().max(1) as u64;
        let places = (0..SPATIAL_MAX).flat_map(|s| (0..TEMPORAL_MAX).map(move |t| (s, t)));
        for (spatial, temporal) in places {
            let (bytes, rate) = (
                &mut self.bytes[spatial][temporal],
                &mut self.rates[spatial][temporal],
            );
            let layer = Layer {
                spatial: spatial as u8,
                temporal: temporal as u8,
            };
            if *bytes == 0 && !sent(layer) {
                continue;
            }
            let bits = u64::from(std::mem::take(bytes)) * 8;
            let current = (bits * 1_000_000 / micros).min(u64::from(u32::MAX)) as u32;
            *rate = match phase {
                Phase::Stopped => current.max(*rate),
                Phase::Begun => current,
                // A key frame must not double the figure, nor a still picture empty it at once.
                Phase::Steady => (*rate / 4).saturating_mul(3).saturating_add(current / 4),
            };
        }
    }

    /// A still picture takes less and less; what was stopped will take what it took.
    fn be_silent(&mut self) {
        if self.phase == Phase::Stopped {
            return;
        }
        if self.silent == 0 {
            self.before = self.rates;
        }
        self.silent += 1;
        if self.silent >= SILENT_MAX {
            self.rates = self.before;
            self.phase = Phase::Stopped;
            self.silent = 0;
            return;
        }
        for rate in self.rates.iter_mut().flatten() {
            *rate = *rate / 4 * 3;
        }
    }

    /// The bitrate of everything up to a layer.
    pub(super) fn up_to(&self, layer: Layer) -> Bitrate {
        sum_up_to(&self.rates, layer)
    }

    /// The same, of one that would be started: what it was before it fell silent.
    pub(super) fn started_up_to(&self, layer: Layer) -> Bitrate {
        let silent = self.silent > 0;
        sum_up_to(if silent { &self.before } else { &self.rates }, layer)
    }

    /// Temporal layers that carry anything.
    pub(super) fn temporal_layers(&self) -> u8 {
        let used = |temporal: &usize| self.rates.iter().any(|rates| rates[*temporal] > 0);
        (0..TEMPORAL_MAX).rev().find(used).unwrap_or(0) as u8 + 1
    }

    fn spatial_layers(&self) -> u8 {
        let used = |spatial: &usize| self.rates[*spatial].iter().any(|&rate| rate > 0);
        (0..SPATIAL_MAX).rev().find(used).unwrap_or(0) as u8 + 1
    }
}

fn sum_up_to(rates: &[[u32; TEMPORAL_MAX]; SPATIAL_MAX], layer: Layer) -> Bitrate {
    let temporal = usize::from(layer.temporal).min(TEMPORAL_MAX - 1);
    let sum = rates[..=usize::from(layer.spatial).min(SPATIAL_MAX - 1)]
        .iter()
        .flat_map(|rates| &rates[..=temporal])
        .map(|&rate| u64::from(rate))
        .sum();
    Bitrate::bps(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One interval of the lowest layer.
    fn interval(meter: &mut Meter, at: &mut u64, kbps: u64) -> u64 {
        meter.count(Layer::default(), (kbps * 500 / 8) as usize);
        *at += 500;
        meter.tick(Time::from_millis(*at), |_| true);
        meter.up_to(Layer::default()).as_bps() / 1_000
    }

    #[test]
    fn a_stream_that_was_stopped_briefly_is_not_taken_for_a_small_one() {
        let (mut meter, mut at) = (Meter::default(), 0);
        meter.tick(Time::ZERO, |_| true);
        for _ in 0..8 {
            interval(&mut meter, &mut at, 1_600);
        }
        for _ in 0..3 {
            interval(&mut meter, &mut at, 0);
        }
        assert_eq!(interval(&mut meter, &mut at, 300), 1_600);
        assert_eq!(interval(&mut meter, &mut at, 1_500), 1_500);
    }

    #[test]
    fn a_stream_that_begins_again_is_taken_for_what_it_was_and_then_for_what_it_is() {
        let (mut meter, mut at) = (Meter::default(), 0);
        meter.tick(Time::ZERO, |_| true);
        for _ in 0..8 {
            interval(&mut meter, &mut at, 400);
        }
        let still: Vec<_> = (1..4).map(|_| interval(&mut meter, &mut at, 0)).collect();
        assert!(still.is_sorted_by(|a, b| a > b), "{still:?}");
        for _ in 0..20 {
            interval(&mut meter, &mut at, 0);
        }
        assert_eq!(meter.up_to(Layer::default()).as_bps() / 1_000, 400);
        // It begins in the middle of an interval.
        assert_eq!(interval(&mut meter, &mut at, 30), 400);
        assert_eq!(interval(&mut meter, &mut at, 500), 500);
        assert_eq!(interval(&mut meter, &mut at, 900), 600, "smoothed");
    }
}
