//! What a load noticed, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sluice_types::mos;

use super::Load;
use super::engine::Counted;
use super::meeting::JoinTimes;

/// The 50th, 99th and 99.9th percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
}

impl Percentiles {
    /// Of values in any order; all zero of none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (values.len() as f64 * share) as usize;
            values
                .get(place.min(values.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
        }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p999 } = self;
        write!(f, "{p50:.2} / {p99:.2} / {p999:.2}")
    }
}

/// What everybody of a load noticed.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    /// Participants that joined.
    pub participants: usize,
    /// Streams that they receive.
    pub streams: usize,
    /// From the join request to its answer, in milliseconds.
    pub admitted_ms: Percentiles,
    /// From the join request until ICE and DTLS were up, in milliseconds.
    pub connected_ms: Percentiles,
    /// From the join request until the first picture was whole, in milliseconds.
    pub first_media_ms: Percentiles,
    /// Packets that publishers sent.
    pub packets_published: u64,
    /// Packets that arrived.
    pub packets_received: u64,
    /// Packets that did not, before any repair.
    pub packets_lost: u64,
    /// What one viewer received on average, in kbit/s.
    pub kbps_per_viewer: f64,
    /// From the publisher's system call to the viewer's, in milliseconds; both on this machine.
    pub delay_ms: Percentiles,
    /// Pictures a second of a stream, on average.
    pub frame_rate: f64,
    /// Freezes for each stream and minute (W3C webrtc-stats).
    pub freezes_per_minute: f64,
    /// The share of time frozen.
    pub frozen_share: f64,
    /// Mean opinion score of sound by ITU-T G.107, 1 to 4.5. Pictures get none, since nothing is
    /// decoded; freezes and frame rate speak for them.
    pub audio_mos: f64,
}

impl LoadReport {
    pub(super) fn new(load: &Load, times: Vec<JoinTimes>, counted: &Counted) -> Self {
        let streams: Vec<_> = counted.viewers.iter().flatten().collect();
        let video: Vec<_> = streams.iter().filter(|stream| !stream.audio).collect();
        let sound: Vec<_> = streams.iter().filter(|stream| stream.audio).collect();
        let seconds = load.duration.as_secs_f64().max(1.0);
        let millis = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let of = |time: &dyn Fn(&JoinTimes) -> Option<Duration>| {
            Percentiles::of(times.iter().filter_map(time).map(millis).collect())
        };
        let delays = |audio: bool| -> Vec<f64> {
            streams
                .iter()
                .filter(|stream| stream.audio == audio)
                .flat_map(|stream| stream.delays.iter())
                .map(|&micros| f64::from(micros) / 1_000.0)
                .collect()
        };
        let sum = |of: &dyn Fn(&crate::client::StreamReport) -> u64| -> u64 {
            streams.iter().map(|stream| of(stream)).sum()
        };
        let video_seconds = (video.len() as f64 * seconds).max(1.0);
        let frozen: Duration = video.iter().map(|stream| stream.frozen).sum();
        let freezes: u32 = video.iter().map(|stream| stream.freezes).sum();
        let frames: u64 = video.iter().map(|stream| stream.frames).sum();
        let delay = Percentiles::of(delays(true));
        let scores: Vec<_> = sound
            .iter()
            .map(|stream| {
                let all = (stream.received + stream.lost).max(1);
                let loss = stream.lost as f64 / all as f64;
                mos::audio(Duration::from_secs_f64(delay.p50 / 1_000.0), None, loss)
            })
            .collect();
        let receivers = counted
            .viewers
            .iter()
            .filter(|streams| !streams.is_empty())
            .count()
            .max(1);
        Self {
            participants: times.len(),
            streams: streams.len(),
            admitted_ms: of(&|times| Some(times.admitted)),
            connected_ms: of(&|times| Some(times.connected)),
            first_media_ms: of(&|times| times.first_media),
            packets_published: counted.published,
            packets_received: sum(&|stream| stream.received),
            packets_lost: sum(&|stream| stream.lost),
            kbps_per_viewer: sum(&|stream| stream.bytes) as f64 * 8.0
                / seconds
                / 1_000.0
                / receivers as f64,
            delay_ms: Percentiles::of([delays(false), delays(true)].concat()),
            frame_rate: frames as f64 / video_seconds,
            freezes_per_minute: f64::from(freezes) * 60.0 / video_seconds,
            frozen_share: frozen.as_secs_f64() / video_seconds,
            audio_mos: scores.iter().sum::<f64>() / scores.len().max(1) as f64,
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = (self.packets_received + self.packets_lost).max(1);
        let loss = self.packets_lost as f64 * 100.0 / all as f64;
        writeln!(f, "participants         {}", self.participants)?;
        writeln!(f, "streams received     {}", self.streams)?;
        writeln!(f, "                     50 % / 99 % / 99.9 %")?;
        writeln!(f, "join answered, ms    {}", self.admitted_ms)?;
        writeln!(f, "connected, ms        {}", self.connected_ms)?;
        writeln!(f, "first picture, ms    {}", self.first_media_ms)?;
        writeln!(f, "delay, ms            {}", self.delay_ms)?;
        writeln!(f, "packets received     {}", self.packets_received)?;
        writeln!(
            f,
            "packets lost         {} ({loss:.3} %)",
            self.packets_lost
        )?;
        writeln!(f, "kbit/s per viewer    {:.0}", self.kbps_per_viewer)?;
        writeln!(f, "pictures a second    {:.1}", self.frame_rate)?;
        writeln!(f, "freezes per minute   {:.2}", self.freezes_per_minute)?;
        writeln!(f, "time frozen          {:.2} %", self.frozen_share * 100.0)?;
        writeln!(f, "sound, MOS (G.107)   {:.2}", self.audio_mos)
    }
}
