//! How calls went: what edges tell is gathered in memory, kept in a file a few times a minute, and read
//! from both.

mod file;
mod record;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_types::ids::{EdgeId, MeetingId, ParticipantId, RegionName};
use sluice_types::mos;
use sluice_types::quality::{Direction, MeetingQuality, QualitySample, Reporter};
use sluice_types::room::MediaKind;

use self::file::{Chunk, File};
use self::record::Entry;
use crate::config::CoordinatorConfig;
use crate::registry::{News, Registry};
use crate::state::{Shared, wall_ms};
use crate::store::StoreError;

/// How often what was gathered is kept. Of a coordinator that dies, so much is lost.
const KEEP_EVERY: Duration = Duration::from_secs(15);

/// How often records are looked at that are too old or too much.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// The most that is gathered between two writes, in bytes, a full minute of some 100,000 participants;
/// more is dropped and counted.
const GATHERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most that is kept of one meeting, in bytes; its oldest chunks go first. A participant with ten
/// tracks takes about 1 KiB every ten seconds.
const MEETING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long somebody who left may still be spoken of: the last figures come after the word.
const LEFT_FOR: Duration = Duration::from_secs(60);

/// Where somebody is, and what its sound takes to get to its edge.
#[derive(Debug)]
struct Person {
    edge: EdgeId,
    round_trip: Option<Duration>,
    left: Option<Instant>,
}

#[derive(Debug, Default)]
struct Gathered {
    /// What was not kept yet.
    chunks: BTreeMap<MeetingId, Vec<u8>>,
    bytes: usize,
    people: BTreeMap<MeetingId, BTreeMap<ParticipantId, Person>>,
}

/// Records of quality, and where they are kept.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Without it nothing is recorded.
    file: Option<File>,
    gathered: Mutex<Gathered>,
}

impl Recorder {
    /// Records as the configuration says.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn open(config: &CoordinatorConfig) -> Result<Self, StoreError> {
        let file = match config.quality_retention {
            Duration::ZERO => None,
            _ => Some(File::open(&config.quality_store)?),
        };
        Ok(Self {
            file,
            gathered: Mutex::default(),
        })
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody came or went.
    pub(crate) fn attended(
        &self,
        meeting: &MeetingId,
        edge: &EdgeId,
        region: &RegionName,
        news: &News,
    ) {
        if self.file.is_none() {
            return;
        }
        let mut gathered = self.gathered();
        let people = gathered.people.entry(meeting.clone()).or_default();
        let entry = match news {
            News::Joined(attendee) | News::Moved(attendee) => {
                let person = Person {
                    edge: edge.clone(),
                    round_trip: None,
                    left: None,
                };
                people.insert(attendee.participant.clone(), person);
                Entry::Joined {
                    attendee: attendee.clone(),
                    edge: edge.clone(),
                    region: region.clone(),
                }
            }
            News::Left {
                participant,
                reason,
                at_ms,
            } => {
                if let Some(person) = people.get_mut(participant) {
                    person.left = Some(Instant::now());
                }
                Entry::Left {
                    participant: participant.clone(),
                    reason: *reason,
                    at_ms: *at_ms,
                }
            }
        };
        gathered.append(meeting, &entry);
    }

    /// An edge tells of somebody who is there, or was a moment ago; of others it is not believed.
    pub(crate) fn measured(&self, registry: &Registry, edge: &EdgeId, mut sample: QualitySample) {
        if self.file.is_none() || sample.report.check().is_err() {
            return;
        }
        let mut gathered = self.gathered();
        let person = gathered
            .people
            .get_mut(&sample.room)
            .and_then(|people| people.get_mut(&sample.participant))
            .filter(|person| person.edge == *edge);
        let Some(person) = person else {
            metrics::counter!("sluice_coordinator_quality_dropped_total", "reason" => "unknown")
                .increment(1);
            return;
        };
        if let Some(round_trip_ms) = sample.report.round_trip_ms {
            person.round_trip = Some(Duration::from_millis(round_trip_ms.into()));
        }
        if sample.by == Reporter::Client {
            gathered.score(registry, edge, &mut sample);
        }
        let room = sample.room.clone();
        gathered.append(&room, &Entry::measured(sample));
    }

    /// Keeps what was gathered. What the file does not take is gathered on.
    fn keep(&self) -> Result<(), StoreError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let now_ms = wall_ms();
        let chunks: Vec<_> = {
            let mut gathered = self.gathered();
            gathered.forget_left();
            gathered.bytes = 0;
            let chunk = |(meeting, bytes)| Chunk {
                meeting,
                at_ms: now_ms,
                bytes,
            };
            let chunks = std::mem::take(&mut gathered.chunks);
            chunks.into_iter().map(chunk).collect()
        };
        if chunks.is_empty() {
            return Ok(());
        }
        let kept = file.keep(&chunks, MEETING_BYTES_MAX);
        if kept.is_err() {
            let mut gathered = self.gathered();
            for Chunk { meeting, bytes, .. } in chunks {
                gathered.put_back(meeting, bytes);
            }
        }
        kept
    }

    /// How a meeting went, as far as it is kept or gathered.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(
        &self,
        meeting: &MeetingId,
        only: Option<&ParticipantId>,
        reports_max: usize,
    ) -> Result<MeetingQuality, StoreError> {
        // First what is gathered: what is kept in between comes twice rather than not at all.
        let gathered = self.gathered().chunks.get(meeting).cloned();
        let file = self.file.as_ref();
        let mut chunks = file.map_or_else(|| Ok(Vec::new()), |file| file.read(meeting))?;
        chunks.extend(gathered.filter(|new| chunks.last() != Some(new)));
        Ok(record::read(meeting, &chunks, only, reports_max))
    }
}

impl Gathered {
    fn append(&mut self, meeting: &MeetingId, entry: &Entry) {
        let chunk = self.chunks.entry(meeting.clone()).or_default();
        let before = chunk.len();
        let full = self.bytes >= GATHERED_BYTES_MAX;
        if full || entry.append(chunk).is_err() {
            metrics::counter!("sluice_coordinator_quality_dropped_total", "reason" => "full")
                .increment(1);
            return;
        }
        self.bytes += chunk.len() - before;
    }

    fn put_back(&mut self, meeting: MeetingId, mut bytes: Vec<u8>) {
        if self.bytes + bytes.len() > GATHERED_BYTES_MAX {
            metrics::counter!("sluice_coordinator_quality_dropped_total", "reason" => "full")
                .increment(1);
            return;
        }
        self.bytes += bytes.len();
        let since = self.chunks.entry(meeting).or_default();
        bytes.append(since);
        *since = bytes;
    }

    fn forget_left(&mut self) {
        for people in self.people.values_mut() {
            people.retain(|_, person| person.left.is_none_or(|at| at.elapsed() < LEFT_FOR));
        }
        self.people.retain(|_, people| !people.is_empty());
    }

    /// Scores received sound, from the speaker's mouth to the listener's ear: half of each one's round
    /// trip to its edge, half of that between the edges, and the jitter buffer.
    fn score(&self, registry: &Registry, edge: &EdgeId, sample: &mut QualitySample) {
        let people = self.people.get(&sample.room);
        let own = sample.report.round_trip_ms.unwrap_or_default();
        let own = Duration::from_millis(own.into());
        for track in &mut sample.report.tracks {
            // Whatever a client says of it.
            track.mos_centi = None;
            let heard = (track.direction, track.kind) == (Direction::In, MediaKind::Audio);
            let Some(loss) = track.loss_ppm.filter(|_| heard && track.bitrate_bps > 0) else {
                continue;
            };
            let speaker = track.participant_id.as_ref();
            let speaker = speaker.and_then(|id| people?.get(id));
            let way = speaker.and_then(|at| registry.round_trip(&sample.room, &at.edge, edge));
            let theirs = speaker.and_then(|at| at.round_trip);
            let round_trips = own + way.unwrap_or_default() + theirs.unwrap_or_default();
            let playout = track.playout_ms.map(|ms| Duration::from_millis(ms.into()));
            let score = mos::audio(round_trips / 2, playout, f64::from(loss) / 1e6);
            // 1 to 4.5.
            track.mos_centi = Some((score * 100.0).round() as u16);
        }
    }
}

/// Keeps records and forgets old ones, for as long as the coordinator runs.
pub(crate) async fn run(shared: Shared) {
    let mut forgotten: Option<Instant> = None;
    loop {
        tokio::time::sleep(KEEP_EVERY).await;
        let due = forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        if due {
            forgotten = Some(Instant::now());
        }
        let shared = shared.clone();
        let turn = tokio::task::spawn_blocking(move || {
            if let Err(error) = shared.quality.keep() {
                tracing::warn!(%error, "records of quality cannot be kept now");
            }
            if due {
                forget(&shared);
            }
        });
        // It panicked, which was reported, and the next turn may do better.
        let _ = turn.await;
    }
}

/// The last of it, when the coordinator ends.
pub(crate) fn keep_rest(shared: &Shared) {
    if let Err(error) = shared.quality.keep() {
        tracing::warn!(%error, "the last records of quality are lost");
    }
}

fn forget(shared: &Shared) {
    let retention = shared.config.quality_retention;
    let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let before_ms = wall_ms().saturating_sub(retention_ms);
    let Some(file) = &shared.quality.file else {
        return;
    };
    match file.forget(before_ms, shared.config.quality_store_bytes) {
        Ok(bytes) => metrics::gauge!("sluice_coordinator_quality_bytes").set(bytes as f64),
        Err(error) => tracing::warn!(%error, "old records of quality cannot be forgotten"),
    }
}
