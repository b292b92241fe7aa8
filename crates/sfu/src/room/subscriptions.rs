//! What participants receive: by default everything of everybody else within bounds, and as they say
//! otherwise.

use sluice_types::ids::{ParticipantId, TrackId};
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::signal::{SUBSCRIPTIONS_MAX, ServerEvent, ServerMessage, Speaker, Subscription};

use super::stays::{Present, Shown};
use super::{Local, Output, RECEIVED_AUDIO_MAX, RECEIVED_VIDEO_MAX, Room, RoomError};

/// How many past speakers are remembered: as many as can be seen.
const SPOKE_MAX: usize = RECEIVED_VIDEO_MAX;

impl Room {
    /// A participant says how it wants tracks.
    ///
    /// # Errors
    /// When it would have too many subscriptions; nothing has changed then.
    pub fn subscribe(
        &mut self,
        participant: &ParticipantId,
        changes: Vec<Subscription>,
    ) -> Result<(), RoomError> {
        let known: Vec<_> = self
            .everybody()
            .iter()
            .flat_map(Present::tracks)
            .map(|track| track.info.track_id.clone())
            .collect();
        let Some(local) = self.locals.get_mut(participant) else {
            return Ok(());
        };
        local.wishes.retain(|track, _| known.contains(track));
        let found = local.wishes.len() + changes.len();
        if changes.len() > SUBSCRIPTIONS_MAX || found > 2 * SUBSCRIPTIONS_MAX {
            return Err(RoomError::TooManySubscriptions { found });
        }
        for Subscription { track_id, wish } in changes {
            // A track may be gone before its subscription came.
            if !known.contains(&track_id) {
                continue;
            }
            let before = match wish {
                Some(wish) => local.wishes.insert(track_id.clone(), wish),
                None => local.wishes.remove(&track_id),
            };
            if before != wish {
                self.outputs.push_back(Output::Wish {
                    participant: participant.clone(),
                    track: track_id,
                    wish,
                });
            }
        }
        self.refresh_wanted();
        Ok(())
    }

    /// Who speaks now: audio tracks, the dominant speaker's first, with their levels in decibels
    /// below the loudest possible.
    pub fn set_speakers(&mut self, tracks: &[(TrackId, u8)]) {
        let everybody = self.everybody();
        let owner = |track: &TrackId| {
            everybody
                .iter()
                .find(|present| present.tracks().any(|one| one.info.track_id == *track))
                .map(|present| present.record.participant_id.clone())
        };
        let mut speakers: Vec<Speaker> = Vec::new();
        for (track, level) in tracks {
            if let Some(participant_id) = owner(track)
                && speakers.iter().all(|s| s.participant_id != participant_id)
            {
                speakers.push(Speaker {
                    participant_id,
                    level: *level,
                });
            }
        }
        if speakers == self.speakers {
            return;
        }
        self.speakers.clone_from(&speakers);
        for speaker in speakers.iter().rev() {
            self.spoke.retain(|who| *who != speaker.participant_id);
            self.spoke.insert(0, speaker.participant_id.clone());
        }
        self.spoke.truncate(SPOKE_MAX);
        for participant in self.locals.keys() {
            self.outputs.push_back(Output::Tell {
                participant: participant.clone(),
                message: ServerMessage {
                    seq: None,
                    event: ServerEvent::Speakers {
                        speakers: speakers.clone(),
                    },
                },
            });
        }
        self.refresh_wanted();
    }
}

/// Which of all tracks a participant should be sent, in their order.
pub(super) fn wanted_by(
    participant: &ParticipantId,
    local: &Local,
    tracks: &[Shown<'_>],
    spoke: &[ParticipantId],
) -> Vec<usize> {
    if !local.grants.subscribe {
        return Vec::new();
    }
    let mut wanted = Vec::new();
    for (kind, most) in [
        (MediaKind::Audio, RECEIVED_AUDIO_MAX),
        (MediaKind::Video, RECEIVED_VIDEO_MAX),
    ] {
        let wish = |index: usize| local.wishes.get(&tracks[index].info.track_id);
        let mut of_kind: Vec<_> = (0..tracks.len())
            .filter(|&index| {
                tracks[index].info.kind == kind
                    && tracks[index].publisher != participant
                    && wish(index).is_none_or(|wish| wish.subscribed)
            })
            .collect();
        if of_kind.len() > most {
            of_kind.sort_by_cached_key(|&index| {
                let track = &tracks[index];
                let screen = matches!(
                    track.info.source,
                    TrackSource::Screen | TrackSource::ScreenAudio
                );
                let spoke_last = spoke
                    .iter()
                    .position(|who| who == track.publisher)
                    .unwrap_or(usize::MAX);
                (wish(index).is_none(), !screen, spoke_last, index)
            });
            of_kind.truncate(most);
        }
        wanted.extend(of_kind);
    }
    wanted.sort_unstable();
    wanted
}
