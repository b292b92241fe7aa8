//! How the call goes for each participant of the worker, in the words that the coordinator keeps.

use std::time::Duration;

use sluice_sfu::forward::{Choice, PeerQuality, SinkQuality, StreamQuality};
use sluice_types::quality::{
    Direction, LAYER_BYTES_MAX, QualityReport, REPORT_INTERVAL_MS, TRACKS_REPORTED_MAX,
    TrackQuality,
};
use sluice_types::units::Time;

use super::Worker;
use crate::media::event::MediaEvent;

/// How soon after its media is up a participant is measured first: calls that end at once are those that
/// somebody asks about.
const FIRST: Duration = Duration::from_secs(3);

const INTERVAL: Duration = Duration::from_millis(REPORT_INTERVAL_MS as u64);

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn small(bps: u64) -> u32 {
    u32::try_from(bps).unwrap_or(u32::MAX)
}

impl Worker {
    /// Measures the participants whose turn it is: each has its own, so that a full worker never has
    /// all of them to do at once.
    pub(super) fn measure_quality(&mut self, now: Time) {
        let due: Vec<_> = self
            .table
            .peers()
            .filter(|(_, peer)| peer.measure_at.is_some_and(|at| at <= now))
            .map(|(place, _)| place)
            .collect();
        for place in due {
            let Some(peer) = self.table.at(place) else {
                continue;
            };
            let since = std::mem::replace(&mut peer.measured, now);
            peer.measure_at = Some(now + INTERVAL);
            let (room, participant) = (peer.room.clone(), peer.participant.clone());
            let Some(quality) = self.forwarder.take_quality(peer.forward) else {
                continue;
            };
            let report = self.report_of(quality, now.since(since));
            self.say(MediaEvent::Quality {
                room,
                participant,
                report: Box::new(report),
            });
        }
    }

    /// Media is up, for the first time or again after DTLS began anew.
    pub(super) fn begin_to_measure(&mut self, place: usize) {
        let now = self.now();
        if let Some(peer) = self.table.at(place) {
            peer.measured = now;
            peer.measure_at = Some(now + FIRST);
        }
    }

    fn report_of(&self, quality: PeerQuality, over: Duration) -> QualityReport {
        let sends = quality.sends.iter().map(|stream| self.published(stream));
        let receives = quality.receives.iter();
        let receives = receives.map(|sink| self.received(sink, over));
        QualityReport {
            interval_ms: millis(over),
            round_trip_ms: quality.round_trip.map(millis),
            available_bps: quality.estimate.map(|estimate| small(estimate.as_bps())),
            tracks: sends.chain(receives).take(TRACKS_REPORTED_MAX).collect(),
            ..QualityReport::default()
        }
    }

    fn published(&self, stream: &StreamQuality) -> TrackQuality {
        let rid = stream.rid.as_deref().map(String::from_utf8_lossy);
        TrackQuality {
            track_id: self.table.track(stream.source).map(|at| at.id.clone()),
            source: Some(stream.shows),
            layer: rid.map(|rid| rid.chars().take(LAYER_BYTES_MAX / 4).collect()),
            bitrate_bps: small(stream.bitrate.as_bps()),
            loss_ppm: stream.losses.ppm(),
            jitter_ms: Some(millis(stream.jitter)),
            height: stream.height,
            ..TrackQuality::new(Direction::Out, stream.shows.kind())
        }
    }

    fn received(&self, sink: &SinkQuality, over: Duration) -> TrackQuality {
        let bits = sink.bytes.saturating_mul(8);
        let bps = bits.saturating_mul(1_000) / u64::from(millis(over)).max(1);
        let layer = sink.choice.map(|choice| {
            let rid = self.forwarder.rid(sink.source, choice.encoding);
            layer_name(rid, choice)
        });
        TrackQuality {
            track_id: self.table.track(sink.source).map(|at| at.id.clone()),
            source: Some(sink.shows),
            layer,
            bitrate_bps: small(bps),
            loss_ppm: sink.losses.ppm(),
            jitter_ms: sink.jitter.map(millis),
            paused: sink.paused,
            ..TrackQuality::new(Direction::In, sink.shows.kind())
        }
    }
}

/// As `h S0T2`: the encoding's name and the highest layers, or the encoding's place (`1 S0T2`) where it
/// has no name, as at edges that are not its publisher's.
fn layer_name(rid: Option<&[u8]>, choice: Choice) -> String {
    let encoding = rid.map_or_else(
        || choice.encoding.0.to_string(),
        |rid| {
            let name = String::from_utf8_lossy(rid);
            // At most four bytes each, and room for the layers behind.
            name.chars().take(4).collect()
        },
    );
    let layer = choice.layer;
    format!("{encoding} S{}T{}", layer.spatial, layer.temporal)
}
