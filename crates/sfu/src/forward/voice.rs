//! One voice: how active it was lately, over an immediate, a medium and a long time, and how loud.

/// Levels that one immediate value sums up, and the parts that medium and long times have of the
/// next shorter ones (table 1 of the paper, as its implementations use it).
const BANDS: usize = 13;
const BAND_LEVELS: u8 = 10;
const MEDIUM_PARTS: usize = 5;
const LONG_PARTS: usize = 10;
const STEPS: usize = MEDIUM_PARTS * LONG_PARTS;

/// From which value a part counts as active.
const MEDIUM_THRESHOLD: u8 = 7;
const LONG_THRESHOLD: u8 = 4;

/// The parameter of each time's distribution of silence.
const LAMBDA: [f64; 3] = [0.78, 24.0, 47.0];

/// How loud, of 127, a voice must be to count as speaking.
const SPEAKING: u8 = 70;

/// How fast the peak meter falls, in steps for each decibel.
const RELEASE_STEPS: u32 = 2;

/// One track's voice.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    /// The loudest since the last step: 127 less the decibels below the loudest possible.
    current: u8,
    levels: [u8; STEPS],
    steps: u32,
    pub(super) peak: u8,
    pub(super) scores: [f64; 3],
    /// Whether the track is among those that are forwarded.
    pub(super) audible: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            current: 0,
            levels: [0; STEPS],
            steps: 0,
            peak: 0,
            scores: [f64::MIN; 3],
            audible: true,
        }
    }
}

impl Voice {
    /// A packet came whose audio-level extension holds `level` (RFC 6464, section 3).
    pub(super) fn heard(&mut self, level: u8) {
        self.current = self.current.max(127 - (level & 0x7f));
    }

    pub(super) fn step(&mut self) {
        let level = std::mem::take(&mut self.current);
        self.levels[self.steps as usize % STEPS] = level;
        self.steps = self.steps.wrapping_add(1);
        if level >= self.peak {
            self.peak = level;
        } else if self.steps.is_multiple_of(RELEASE_STEPS) {
            self.peak -= 1;
        }
    }

    pub(super) fn is_speaking(&self) -> bool {
        self.peak >= SPEAKING
    }

    /// Scores the activity up to the latest step (sections 3.1 and 3.2 of the paper).
    pub(super) fn score(&mut self, tables: &Tables) {
        let newest_first = |n: usize| {
            let place = (self.steps as usize + STEPS - 1 - n) % STEPS;
            self.levels[place] / BAND_LEVELS
        };
        let mut mediums = [0u8; LONG_PARTS];
        for (group, medium) in mediums.iter_mut().enumerate() {
            *medium = (0..MEDIUM_PARTS)
                .filter(|part| newest_first(group * MEDIUM_PARTS + part) >= MEDIUM_THRESHOLD)
                .count() as u8;
        }
        let long = mediums.iter().filter(|&&m| m >= LONG_THRESHOLD).count();
        self.scores = [
            tables.immediate[usize::from(newest_first(0)).min(BANDS)],
            tables.medium[usize::from(mediums[0])],
            tables.long[long],
        ];
    }
}

/// The score of each possible activity.
#[derive(Debug)]
pub(super) struct Tables {
    immediate: [f64; BANDS + 1],
    medium: [f64; MEDIUM_PARTS + 1],
    long: [f64; LONG_PARTS + 1],
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            immediate: std::array::from_fn(|active| score(active, BANDS, LAMBDA[0])),
            medium: std::array::from_fn(|active| score(active, MEDIUM_PARTS, LAMBDA[1])),
            long: std::array::from_fn(|active| score(active, LONG_PARTS, LAMBDA[2])),
        }
    }
}

/// The logarithm of the likelihood of speech against silence when `active` of `all` parts are active
/// (equation 5 of the paper, with a probability of one half for each part), at least a tiny one.
fn score(active: usize, all: usize, lambda: f64) -> f64 {
    let choose: f64 = (0..active)
        .map(|k| ((all - k) as f64 / (k + 1) as f64).ln())
        .sum();
    let score = choose + all as f64 * 0.5f64.ln() - lambda.ln() + lambda * active as f64;
    score.max(1e-10)
}
