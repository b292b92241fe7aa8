//! The m-lines of a session description: what each is for, and how they are put into words.

use std::collections::BTreeSet;

use sluice_types::ids::TrackId;
use sluice_types::room::{MediaKind, TrackInfo, TrackSource};
use sluice_types::signal::PublishedMid;

use super::{Session, WantedTrack};
use crate::media::keys::{SinkKey, TrackKey};
use crate::media::random;
use crate::media::sdp::{
    self, Description, KindFormats, LocalMedia, RemoteDescription, RemoteMedia, SdpError,
    SendStream, Transport, numbering,
};
use crate::media::worker::{Command, TrackOrigin};

/// What an m-line is for.
pub(super) enum Use {
    /// The client's: it publishes on it, or not.
    Publish(Option<Published>),
    /// The edge's: it sends a track on it, or nothing.
    Receive(Option<Carried>),
    /// Data channels, while they are not rejected.
    Data { open: bool },
    /// What the edge does not know.
    Unknown { name: String, protocol: String },
}

/// A track on an m-line of the client.
pub(super) struct Published {
    pub(super) track: TrackInfo,
    /// Its simulcast encodings, the lowest first; empty without simulcast.
    pub(super) rids: Vec<String>,
}

/// A track on an m-line of the edge.
pub(super) struct Carried {
    pub(super) wanted: WantedTrack,
    pub(super) stream: SendStream,
    /// Set once the client has agreed to receive it.
    pub(super) sink: Option<SinkKey>,
}

pub(super) struct Line {
    pub(super) mid: String,
    pub(super) kind: Option<MediaKind>,
    pub(super) purpose: Use,
}

impl Session {
    /// m-lines never change place or kind (RFC 3264, section 8).
    pub(super) fn check_lines(&self, remote: &RemoteDescription) -> Result<(), SdpError> {
        if remote.media.len() < self.lines.len() {
            return Err(SdpError::Changed {
                index: remote.media.len(),
                expected: self.lines[remote.media.len()].mid.clone(),
            });
        }
        let mut mids = BTreeSet::new();
        for (index, media) in remote.media.iter().enumerate() {
            let same = self
                .lines
                .get(index)
                .is_none_or(|line| line.mid == media.mid && line.kind == media.kind);
            if !same || !mids.insert(&media.mid) {
                return Err(SdpError::Changed {
                    index,
                    expected: self
                        .lines
                        .get(index)
                        .map_or_else(|| "one of its own".to_owned(), |line| line.mid.clone()),
                });
            }
        }
        Ok(())
    }

    pub(super) fn formats(&self, kind: MediaKind) -> &KindFormats {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        }
    }

    /// The first m-line of a kind fixes how the client numbers its formats and extensions.
    pub(super) fn learn_formats(&mut self, remote: &RemoteDescription) {
        let mut learned = false;
        for media in &remote.media {
            let place = match media.kind {
                Some(MediaKind::Audio) => &mut self.audio,
                Some(MediaKind::Video) => &mut self.video,
                None => continue,
            };
            if place.formats.is_empty() && !media.formats.is_empty() {
                *place = KindFormats {
                    formats: media.formats.clone(),
                    extensions: media.extensions.clone(),
                };
                learned = true;
            }
        }
        if learned && self.remote_ufrag.is_some() {
            self.tell(Command::SetFormats {
                peer: self.peer,
                formats: numbering([&self.audio, &self.video]),
            });
        }
    }

    /// Takes one m-line of a client's offer.
    pub(super) fn take_line(&mut self, index: usize, media: &RemoteMedia, tracks: &[PublishedMid]) {
        if index == self.lines.len() {
            let purpose = match media.kind {
                Some(_) => Use::Publish(None),
                None if media.is_data() && !self.has_data() => Use::Data { open: false },
                None => Use::Unknown {
                    name: media.name.clone(),
                    protocol: media.protocol.clone(),
                },
            };
            self.lines.push(Line {
                mid: media.mid.clone(),
                kind: media.kind,
                purpose,
            });
        }
        if let Use::Data { open } = &mut self.lines[index].purpose {
            *open = !media.rejected;
        }
        let (Use::Publish(published), Some(kind)) = (&self.lines[index].purpose, media.kind) else {
            return;
        };
        let declared = tracks.iter().find(|track| track.mid == media.mid);
        let source = declared.map_or(
            match kind {
                MediaKind::Audio => TrackSource::Microphone,
                MediaKind::Video => TrackSource::Camera,
            },
            |track| track.source,
        );
        let publishes = !media.rejected
            && media.direction.sends
            && !media.formats.is_empty()
            && source.kind() == kind
            && self.may_publish(source);
        match (published, publishes) {
            (None, true) => {
                let track = TrackInfo {
                    track_id: TrackId::from_random(random()),
                    kind,
                    source,
                };
                let rids = media
                    .encodings
                    .iter()
                    .filter_map(|encoding| String::from_utf8(encoding.rid.clone()?.into()).ok())
                    .collect();
                let origin = TrackOrigin::Peer {
                    peer: self.peer,
                    encodings: media.encodings.clone(),
                    mid: media.mid.clone(),
                    repairs: media.formats.iter().any(|format| format.nack),
                };
                self.shared.whereabouts().add(
                    &self.shared.workers,
                    self.worker,
                    &self.room,
                    &self.participant,
                    &track,
                    origin,
                );
                self.lines[index].purpose = Use::Publish(Some(Published { track, rids }));
            }
            (Some(published), false) => {
                let track = TrackKey::of(&published.track.track_id);
                self.shared
                    .whereabouts()
                    .remove(&self.shared.workers, track);
                self.lines[index].purpose = Use::Publish(None);
            }
            _ => {}
        }
    }

    pub(super) fn has_data(&self) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line.purpose, Use::Data { .. }))
    }

    pub(super) const fn may_publish(&self, source: TrackSource) -> bool {
        match source {
            TrackSource::Microphone => self.grants.publish_audio,
            TrackSource::Camera => self.grants.publish_video,
            TrackSource::Screen | TrackSource::ScreenAudio => self.grants.publish_screen,
        }
    }

    pub(super) fn line_of(&self, wanted: &WantedTrack) -> Option<&Line> {
        self.lines.iter().find(|line| {
            matches!(&line.purpose, Use::Receive(Some(carried))
                if carried.wanted.track.track_id == wanted.track.track_id)
        })
    }

    /// Puts a track on an idle m-line of its kind, or on a new one. A kind that the client has not
    /// shown formats for cannot be offered to it.
    pub(super) fn carry(&mut self, wanted: WantedTrack) {
        let kind = wanted.track.kind;
        if self.formats(kind).formats.is_empty() {
            return;
        }
        let repairs = self
            .formats(kind)
            .formats
            .iter()
            .any(|format| format.retransmission.is_some());
        let stream = SendStream {
            ssrc: self.new_ssrc(),
            retransmission_ssrc: repairs.then(|| self.new_ssrc()),
            stream: wanted.participant_id.to_string(),
            track: wanted.track.track_id.to_string(),
        };
        let purpose = Use::Receive(Some(Carried {
            wanted,
            stream,
            sink: None,
        }));
        let idle = self
            .lines
            .iter()
            .position(|line| line.kind == Some(kind) && matches!(line.purpose, Use::Receive(None)));
        match idle {
            Some(index) => self.lines[index].purpose = purpose,
            None if self.lines.len() < sdp::MEDIA_MAX => {
                let mid = (0..)
                    .map(|n| format!("s{n}"))
                    .find(|mid| self.lines.iter().all(|line| line.mid != *mid));
                if let Some(mid) = mid {
                    self.lines.push(Line {
                        mid,
                        kind: Some(kind),
                        purpose,
                    });
                }
            }
            None => {}
        }
    }

    pub(super) fn new_ssrc(&mut self) -> u32 {
        loop {
            let ssrc = u32::from_be_bytes(random());
            // Zero names nobody, and one is the edge's own RTCP.
            if ssrc > 1 && self.used_ssrcs.insert(ssrc) {
                return ssrc;
            }
        }
    }

    pub(super) fn describe(&mut self, offer: bool) -> String {
        self.version += 1;
        let worker = &self.shared.workers[self.worker];
        let media = self
            .lines
            .iter()
            .map(|line| {
                let local = match (&line.purpose, line.kind) {
                    (Use::Unknown { name, protocol }, _) => LocalMedia::Rejected { name, protocol },
                    (Use::Data { open: true }, _) => LocalMedia::Data,
                    (Use::Publish(published), Some(kind)) => LocalMedia::Active {
                        kind,
                        formats: self.formats(kind),
                        receives: published.is_some(),
                        rids: published.as_ref().map_or(&[], |published| &published.rids),
                        sends: None,
                    },
                    (Use::Receive(carried), Some(kind)) => LocalMedia::Active {
                        kind,
                        formats: self.formats(kind),
                        receives: false,
                        rids: &[],
                        sends: carried.as_ref().map(|carried| &carried.stream),
                    },
                    (Use::Data { open: false }, _) | (_, None) => LocalMedia::Rejected {
                        name: "application",
                        protocol: "UDP/DTLS/SCTP",
                    },
                };
                (line.mid.as_str(), local)
            })
            .collect();
        Description {
            session: self.id,
            version: self.version,
            offer,
            transport: Transport {
                credentials: &self.credentials,
                fingerprint: self.shared.identity.fingerprint(),
                udp: &self.shared.udp_candidates(worker.address().port()),
                tcp: &self.shared.tcp_candidates,
            },
            media,
        }
        .text()
    }
}
