//! How a call sounds, by the E-model (ITU-T G.107, 06/2015): from delay and loss to a mean opinion
//! score of 1 to 4.5.

use std::time::Duration;

/// R without any impairment: the default of G.107, table 2.
const R_DEFAULT: f64 = 93.2;

/// Opus has no official equipment impairment; like the wideband codecs of G.113, appendix IV, it is
/// taken to have none by itself, and to conceal loss as G.711 with its concealment does (Bpl 25.1).
const EQUIPMENT_IMPAIRMENT: f64 = 0.0;
const LOSS_ROBUSTNESS: f64 = 25.1;

/// Sound waits this long in a browser's jitter buffer at least, and took one packet's time to fill.
const PLAYOUT: Duration = Duration::from_millis(60);

/// The score of sound with that one-way delay on the network, so long in the receiver's jitter buffer
/// (60 ms where nobody measured it), and that share of packets lost, 0 to 1.
#[must_use]
pub fn audio(delay: Duration, playout: Option<Duration>, loss: f64) -> f64 {
    let delay_ms = (delay + playout.unwrap_or(PLAYOUT)).as_secs_f64() * 1_000.0;
    // G.107, section 7.4, in its usual short form (Cole and Rosenbluth 2001, equation 2).
    let late = if delay_ms > 177.3 {
        0.11 * (delay_ms - 177.3)
    } else {
        0.0
    };
    let delay_impairment = 0.024 * delay_ms + late;
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    // G.107, section 7.5, with random loss.
    let loss_impairment = EQUIPMENT_IMPAIRMENT
        + (95.0 - EQUIPMENT_IMPAIRMENT) * percent / (percent + LOSS_ROBUSTNESS);
    let r = R_DEFAULT - delay_impairment - loss_impairment;
    // G.107, annex B.
    match r {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_line_sounds_good_and_a_bad_one_does_not() {
        let score = |ms, loss| audio(Duration::from_millis(ms), None, loss);
        assert!(score(20, 0.0) > 4.3);
        assert!((3.5..4.0).contains(&score(20, 0.05)));
        assert!(score(400, 0.0) < score(150, 0.0));
        let held = Some(Duration::from_millis(300));
        assert!(audio(Duration::from_millis(20), held, 0.0) < score(20, 0.0));
        assert!(score(20, 0.5) < 2.0);
        assert!(score(20, 1.0) >= 1.0);
    }
}
