//! Who speaks: from the audio-level extension (RFC 6464), without decoding.
//!
//! The dominant speaker is found as in I. Volfin and I. Cohen, "Dominant Speaker Identification for
//! Multipoint Videoconferencing" (Computer Speech and Language 27, 2013): speech activity is scored
//! over an immediate, a medium and a long time, and a speaker replaces the dominant one only when it
//! is clearly more active over all three, which ignores coughs and passing remarks.
//!
//! Which tracks are loud enough to be heard at all is decided by a peak meter with slow release, so
//! that a voice is let in with its first syllable and does not flap.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_types::signal::SPEAKERS_MAX;
use sluice_types::units::Time;

use super::voice::{Tables, Voice};
use super::{RoomId, SourceId};

/// How many audio tracks of a room are forwarded, the loudest; all when there are no more.
pub const AUDIBLE_MAX: usize = 8;

/// The length of one step.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// How often the dominant speaker is looked for, in steps.
const DECISION_STEPS: u32 = 15;

/// By how much, in logarithms, a speaker must be more active than the dominant one: immediately, over
/// the medium and over the long time.
const LEAD: [f64; 3] = [3.0, 2.0, 0.0];

/// How much louder another voice must be to take an audible one's place, in decibels.
const HYSTERESIS: u8 = 6;

#[derive(Debug, Default)]
struct Stage {
    sources: Vec<SourceId>,
    dominant: Option<SourceId>,
    announced: Vec<SourceId>,
}

/// The voices of all rooms.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    rooms: BTreeMap<RoomId, Stage>,
    tables: Tables,
    next_step: Time,
    steps: u32,
    order: Vec<(u8, SourceId)>,
}

impl Speakers {
    pub(super) fn add(&mut self, room: RoomId, source: SourceId) {
        self.rooms.entry(room).or_default().sources.push(source);
    }

    pub(super) fn remove(&mut self, room: RoomId, source: SourceId) {
        if let Some(stage) = self.rooms.get_mut(&room) {
            stage.sources.retain(|&other| other != source);
            stage.dominant = stage.dominant.filter(|&dominant| dominant != source);
            if stage.sources.is_empty() && stage.announced.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    /// The dominant speaker's track.
    pub(super) fn dominant(&self, room: RoomId) -> Option<SourceId> {
        self.rooms.get(&room)?.dominant
    }

    /// Takes the steps that are due. `voice` finds a track's voice, `announce` is told who speaks in
    /// a room when that changed: tracks with their levels below the loudest possible.
    pub(super) fn advance<'a>(
        &mut self,
        now: Time,
        mut voice: impl VoiceOf<'a>,
        mut announce: impl FnMut(RoomId, &[(SourceId, u8)]),
    ) {
        if now < self.next_step {
            return;
        }
        self.next_step = now + STEP;
        self.steps = self.steps.wrapping_add(1);
        let decides = self.steps.is_multiple_of(DECISION_STEPS);
        let (order, tables) = (&mut self.order, &self.tables);
        self.rooms.retain(|&room, stage| {
            for &source in &stage.sources {
                voice.with(source, |voice| {
                    voice.step();
                    if decides {
                        voice.score(tables);
                    }
                });
            }
            stage.choose_audible(&mut voice, order);
            if decides {
                stage.choose_dominant(&mut voice);
                stage.tell(room, &mut voice, order, &mut announce);
            }
            !stage.sources.is_empty() || !stage.announced.is_empty()
        });
    }
}

/// Finds the voice of a track.
pub(super) trait VoiceOf<'a> {
    /// Calls `f` with it, if the track is there.
    fn with<R>(&mut self, source: SourceId, f: impl FnOnce(&mut Voice) -> R) -> Option<R>;
}

impl Stage {
    fn choose_audible<'a>(&self, voice: &mut impl VoiceOf<'a>, order: &mut Vec<(u8, SourceId)>) {
        if self.sources.len() <= AUDIBLE_MAX {
            for &source in &self.sources {
                voice.with(source, |voice| voice.audible = true);
            }
            return;
        }
        order.clear();
        for &source in &self.sources {
            let peak = voice.with(source, |voice| {
                let bonus = if voice.audible { HYSTERESIS } else { 0 };
                voice.peak.saturating_add(bonus)
            });
            order.extend(peak.map(|peak| (peak, source)));
        }
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (place, &(_, source)) in order.iter().enumerate() {
            voice.with(source, |voice| voice.audible = place < AUDIBLE_MAX);
        }
    }

    /// Section 3.3 of the paper.
    fn choose_dominant<'a>(&mut self, voice: &mut impl VoiceOf<'a>) {
        let scores = |voice: &mut Voice| (voice.scores, voice.is_speaking());
        let Some((current, _)) = self
            .dominant
            .and_then(|dominant| voice.with(dominant, scores))
        else {
            self.dominant = self
                .sources
                .iter()
                .filter_map(|&source| {
                    let (scores, speaks) = voice.with(source, scores)?;
                    speaks.then_some((scores[1], source))
                })
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
                .map(|(_, source)| source);
            return;
        };
        let mut best = LEAD[1];
        let mut next = None;
        for &source in &self.sources {
            if Some(source) == self.dominant {
                continue;
            }
            let Some((theirs, true)) = voice.with(source, scores) else {
                continue;
            };
            let lead: [f64; 3] = std::array::from_fn(|n| (theirs[n] / current[n]).ln());
            if lead[0] > LEAD[0] && lead[1] > best && lead[2] > LEAD[2] {
                best = lead[1];
                next = Some(source);
            }
        }
        if next.is_some() {
            self.dominant = next;
        }
    }

    fn tell<'a>(
        &mut self,
        room: RoomId,
        voice: &mut impl VoiceOf<'a>,
        order: &mut Vec<(u8, SourceId)>,
        announce: &mut impl FnMut(RoomId, &[(SourceId, u8)]),
    ) {
        order.clear();
        for &source in &self.sources {
            let speaks = voice.with(source, |voice| voice.is_speaking().then_some(voice.peak));
            order.extend(speaks.flatten().map(|peak| (peak, source)));
        }
        let dominant = self.dominant;
        order.sort_unstable_by(|a, b| {
            let first = |source| Some(source) != dominant;
            (first(a.1), std::cmp::Reverse(a.0), a.1).cmp(&(
                first(b.1),
                std::cmp::Reverse(b.0),
                b.1,
            ))
        });
        order.truncate(SPEAKERS_MAX);
        if order
            .iter()
            .map(|&(_, source)| source)
            .ne(self.announced.iter().copied())
        {
            self.announced.clear();
            self.announced
                .extend(order.iter().map(|&(_, source)| source));
            let levels: Vec<_> = order
                .iter()
                .map(|&(peak, source)| (source, 127 - peak))
                .collect();
            announce(room, &levels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Voices(Vec<Voice>);

    impl VoiceOf<'_> for &mut Voices {
        fn with<R>(&mut self, source: SourceId, f: impl FnOnce(&mut Voice) -> R) -> Option<R> {
            self.0.get_mut(source.index()).map(f)
        }
    }

    struct Talk {
        speakers: Speakers,
        voices: Voices,
        now: Time,
        told: Vec<Vec<usize>>,
    }

    const ROOM: RoomId = RoomId(1);

    fn talk(count: usize) -> Talk {
        let mut speakers = Speakers::default();
        for n in 0..count {
            speakers.add(ROOM, SourceId(n));
        }
        Talk {
            speakers,
            voices: Voices(vec![Voice::default(); count]),
            now: Time::from_millis(1),
            told: Vec::new(),
        }
    }

    impl Talk {
        /// Lets `loud` speak for `millis`; everybody else makes a little noise.
        fn speak(&mut self, millis: u64, loud: &[usize]) {
            for step in 0..millis / 20 {
                for (n, voice) in self.voices.0.iter_mut().enumerate() {
                    // Speech rises and falls with its syllables.
                    let syllable = if step % 10 < 8 { 28 } else { 60 };
                    voice.heard(if loud.contains(&n) { syllable } else { 95 });
                }
                let told = &mut self.told;
                self.speakers.advance(self.now, &mut self.voices, |_, who| {
                    told.push(who.iter().map(|(source, _)| source.index()).collect());
                });
                self.now = self.now + STEP;
            }
        }

        fn dominant(&self) -> Option<usize> {
            self.speakers.dominant(ROOM).map(SourceId::index)
        }
    }

    #[test]
    fn whoever_goes_on_speaking_becomes_dominant() {
        let mut talk = talk(4);
        talk.speak(1_000, &[]);
        assert_eq!(talk.dominant(), None);
        talk.speak(2_000, &[2]);
        assert_eq!(talk.dominant(), Some(2));
        talk.speak(3_000, &[1]);
        assert_eq!(talk.dominant(), Some(1));
        assert_eq!(talk.told.last(), Some(&vec![1]));
        talk.speak(5_000, &[]);
        assert_eq!(talk.told.last(), Some(&vec![]), "silence is told too");
        assert_eq!(talk.dominant(), Some(1), "until somebody else speaks");
    }

    #[test]
    fn a_cough_changes_nothing() {
        let mut talk = talk(3);
        talk.speak(3_000, &[0]);
        talk.speak(160, &[0, 1]);
        talk.speak(2_000, &[0]);
        assert_eq!(talk.dominant(), Some(0));
        assert!(talk.told.iter().all(|who| who.first() != Some(&1)));
    }

    #[test]
    fn the_loudest_are_heard_and_do_not_flap() {
        let mut talk = talk(30);
        talk.speak(1_000, &[5, 25]);
        let audible =
            |talk: &Talk| -> Vec<_> { (0..30).filter(|&n| talk.voices.0[n].audible).collect() };
        let heard = audible(&talk);
        assert_eq!(heard.len(), AUDIBLE_MAX);
        assert!(heard.contains(&5) && heard.contains(&25));
        for _ in 0..50 {
            talk.speak(20, &[]);
            assert!(audible(&talk).contains(&25), "a pause between words");
        }
        talk.speak(20, &[29]);
        assert!(audible(&talk).contains(&29), "the first syllable");
    }
}
