//! How much the participants of an edge send, as far as it is known.

use sluice_types::mesh::control::{RoomReport, TrackReport};
use sluice_types::room::MediaKind;
use sluice_types::units::Bitrate;

/// Pictures in three layers.
const VIDEO: Bitrate = Bitrate::kbps(2_500);

/// Sound, with what its packets' headers take.
const AUDIO: Bitrate = Bitrate::kbps(60);

/// The roster and what keeps relays alive; it travels where nobody publishes too.
const QUIET: Bitrate = Bitrate::kbps(10);

/// What is expected of publishers before their edge has reported tracks.
pub(super) const fn expected(publishing: bool) -> Bitrate {
    let one = if publishing { 1 } else { 0 };
    sending(one, one)
}

/// What the tracks send of which packets came since the report `before`. A track that was not in
/// it counts: it has only begun.
pub(super) fn reported(report: &RoomReport, before: Option<&RoomReport>) -> Bitrate {
    let moves = |track: &&TrackReport| {
        let known = before.and_then(|before| {
            let mut tracks = before.tracks.iter();
            tracks.find(|other| other.track == track.track)
        });
        known.is_none_or(|known| known.packets != track.packets)
    };
    let mut of_kind = [0, 0];
    for track in report.tracks.iter().filter(moves) {
        match track.kind {
            MediaKind::Audio => of_kind[0] += 1,
            MediaKind::Video => of_kind[1] += 1,
        }
    }
    sending(of_kind[0], of_kind[1])
}

/// What so many tracks that are sent are planned with.
#[must_use]
pub const fn sending(audio: u64, video: u64) -> Bitrate {
    let tracks = AUDIO.as_bps() * audio + VIDEO.as_bps() * video;
    Bitrate::bps(QUIET.as_bps() + tracks)
}

/// Whether the difference is worth a look at the plan: by half.
#[must_use]
pub const fn differ(a: Bitrate, b: Bitrate) -> bool {
    let (a, b) = (a.as_bps(), b.as_bps());
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    more - less > less / 2
}
