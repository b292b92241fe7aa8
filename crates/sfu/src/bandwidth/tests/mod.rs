//! The estimator against a model of a bottleneck, in virtual time. `SLUICE_PLOTS=DIR` draws the runs.

mod plot;

use std::collections::BTreeMap;

use super::*;
use crate::rtcp::{Control, controls, transport_feedback};

/// A path: how much it carries when, how long its queue may be, and what else happens on it.
struct Path {
    /// What its plot is called.
    name: Option<&'static str>,
    seed: u64,
    /// From when on it carries so many kbit/s.
    capacity: Vec<(u64, u64)>,
    /// One way, in milliseconds.
    delay: u64,
    queue_ms: u64,
    loss_percent: u64,
    /// Up to so many milliseconds are added at random, which may reorder.
    jitter: u64,
    /// Another sender that halves on loss and adds a packet each round trip.
    competitor: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            name: None,
            seed: 1,
            capacity: vec![(0, 2_500)],
            delay: 40,
            queue_ms: 300,
            loss_percent: 0,
            jitter: 0,
            competitor: false,
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What happened in each 100 ms.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    target: u64,
    capacity: u64,
    delivered: u64,
    rival: u64,
    queue_ms: u64,
}

struct Run(Vec<Moment>);

impl Run {
    fn between(&self, from_s: usize, to_s: usize) -> &[Moment] {
        &self.0[from_s * 10..to_s * 10]
    }

    /// Share of the bottleneck that was used.
    fn used(&self, from_s: usize, to_s: usize) -> f64 {
        let moments = self.between(from_s, to_s);
        let sum = |of: fn(&Moment) -> u64| moments.iter().map(of).sum::<u64>() as f64;
        sum(|m| m.delivered) / sum(|m| m.capacity)
    }

    fn queue_95(&self, from_s: usize, to_s: usize) -> u64 {
        let mut queues: Vec<_> = self
            .between(from_s, to_s)
            .iter()
            .map(|m| m.queue_ms)
            .collect();
        queues.sort_unstable();
        queues[queues.len() * 95 / 100]
    }
}

/// Sends video for so many seconds: as much as the estimate says, but at most `wanted`.
fn run(path: &Path, seconds: u64, wanted: u64) -> Run {
    let mut random = Random(path.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut estimator = Estimator::new(Config::default());
    let mut moments = vec![Moment::default(); seconds as usize * 10];
    let mut sequence = 0u16;
    // Microseconds at which the queue is empty.
    let mut queue_until = 0u64;
    let mut received: BTreeMap<u64, u64> = BTreeMap::new();
    let mut feedback: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut owed = 0.0;
    let mut rival = (20.0f64, 0.0f64, 0u64);
    let mut reports = 0;
    for now in (0..seconds * 1_000_000).step_by(1_000) {
        let at = |micros: u64| Time::from_micros(micros);
        let capacity = path
            .capacity
            .iter()
            .rev()
            .find(|(from, _)| from * 1_000_000 <= now)
            .map_or(1, |(_, kbps)| *kbps);
        let moment = &mut moments[(now / 100_000) as usize];
        let queue_ms = queue_until.saturating_sub(now) / 1_000;
        moment.queue_ms = moment.queue_ms.max(queue_ms);
        moment.capacity = capacity;
        // The rival's packets: its window over the round trip.
        if path.competitor {
            let round_trip = (2 * path.delay + queue_ms) as f64;
            rival.1 += rival.0 / round_trip;
            rival.0 += rival.0 / round_trip / rival.0;
            while rival.1 >= 1.0 {
                rival.1 -= 1.0;
                if queue_ms > path.queue_ms {
                    if now > rival.2 {
                        rival.0 = (rival.0 / 2.0).max(2.0);
                        rival.2 = now + round_trip as u64 * 1_000;
                    }
                } else {
                    queue_until = queue_until.max(now) + 1_200 * 8_000 / capacity;
                    moment.rival += 1_200 * 8 / 100;
                }
            }
        }
        let mut outgoing = Vec::new();
        // Video: a frame every 33 ms, paced over the millisecond steps.
        let target = estimator.target().as_bps();
        moment.target = target / 1_000;
        owed += target.min(wanted * 1_000) as f64 / 8_000.0;
        while owed >= 1_200.0 {
            owed -= 1_200.0;
            outgoing.push(None);
        }
        if now % 20_000 == 0
            && let Some(probe) = estimator.poll_probe(at(now), Bitrate::kbps(wanted))
        {
            let packets = (probe.bytes / 1_200 + 1).max(probe.packets as usize);
            outgoing.extend(std::iter::repeat_n(Some(probe.id), packets));
        }
        for probe in outgoing {
            sequence = sequence.wrapping_add(1);
            estimator.sent(at(now), sequence, 1_200, probe);
            let lost = random.below(100) < path.loss_percent;
            let waits = queue_until.saturating_sub(now) / 1_000;
            if waits > path.queue_ms || lost {
                continue;
            }
            queue_until = queue_until.max(now) + 1_200 * 8_000 / capacity;
            let jitter = if path.jitter > 0 {
                random.below(path.jitter * 1_000)
            } else {
                0
            };
            let arrives = queue_until + path.delay * 1_000 + jitter;
            received.insert(
                arrives * 1_000 + u64::from(sequence) % 1_000,
                u64::from(sequence),
            );
            if let Some(moment) = moments.get_mut((arrives / 100_000) as usize) {
                moment.delivered += 1_200 * 8 / 100;
            }
        }
        if now % 60_000 == 0 {
            let later = received.split_off(&(now * 1_000));
            let mut arrivals: Vec<_> = std::mem::replace(&mut received, later)
                .into_iter()
                .map(|(when, sequence)| (unrolled(sequence, now), at(when / 1_000)))
                .collect();
            arrivals.sort_unstable();
            let mut rest = &arrivals[..];
            while !rest.is_empty() {
                let mut packet = Vec::new();
                let reported = transport_feedback(&mut packet, 1, reports, rest).max(1);
                reports = reports.wrapping_add(1);
                feedback.push((now + path.delay * 1_000, packet));
                rest = &rest[reported..];
            }
        }
        feedback.retain(|(when, packet)| {
            if *when > now {
                return true;
            }
            controls(packet, |control| {
                if let Control::TransportFeedback(feedback) = control {
                    estimator.feedback(at(now), &feedback);
                }
            });
            false
        });
    }
    let run = Run(moments);
    if let (Some(dir), Some(name)) = (std::env::var_os("SLUICE_PLOTS"), path.name) {
        let late = run.0.len() / 10;
        eprintln!(
            "{name}: used {:.2}, queue of 95 %: {} ms",
            run.used(10.min(late / 2), late),
            run.queue_95(10.min(late / 2), late)
        );
        let file = std::path::Path::new(&dir).join(format!("{name}.svg"));
        std::fs::write(file, plot::draw(name, &run.0)).expect("the plot is written");
    }
    run
}

/// The receiver's unrolled number: packets are at most some seconds old.
fn unrolled(sequence: u64, now: u64) -> u64 {
    let _ = now;
    (1 << 20) + sequence
}

#[test]
fn a_steady_path_is_filled_without_a_queue() {
    let path = Path {
        name: Some("steady"),
        ..Path::default()
    };
    let run = run(&path, 30, 6_000);
    assert!(run.used(5, 30) > 0.85, "{}", run.used(5, 30));
    assert!(run.queue_95(5, 30) < 100, "{} ms", run.queue_95(5, 30));
}

#[test]
fn every_tenth_packet_lost_does_not_starve() {
    let path = Path {
        name: Some("loss-of-a-tenth"),
        loss_percent: 10,
        ..Path::default()
    };
    let run = run(&path, 40, 6_000);
    // A tenth never arrives.
    assert!(run.used(10, 40) > 0.85 * 0.9, "{}", run.used(10, 40));
    assert!(run.queue_95(10, 40) < 150, "{} ms", run.queue_95(10, 40));
}

#[test]
fn a_fall_is_followed_and_a_recovery_too() {
    let path = Path {
        name: Some("fall-and-recovery"),
        capacity: vec![(0, 2_500), (15, 300), (35, 2_500)],
        ..Path::default()
    };
    let run = run(&path, 60, 6_000);
    assert!(run.used(5, 15) > 0.85, "{}", run.used(5, 15));
    assert!(run.used(20, 35) > 0.8, "{}", run.used(20, 35));
    assert!(run.queue_95(20, 35) < 250, "{} ms", run.queue_95(20, 35));
    assert!(run.used(45, 60) > 0.85, "{}", run.used(45, 60));
}

#[test]
fn a_rival_gets_its_share_and_leaves_ours() {
    let path = Path {
        name: Some("rival"),
        competitor: true,
        queue_ms: 150,
        ..Path::default()
    };
    let run = run(&path, 60, 6_000);
    let moments = run.between(20, 60);
    let ours: u64 = moments.iter().map(|m| m.delivered).sum();
    let theirs: u64 = moments.iter().map(|m| m.rival).sum();
    let share = ours as f64 / (ours + theirs) as f64;
    assert!((0.2..0.8).contains(&share), "{share}");
}

#[test]
fn jitter_is_no_congestion() {
    let path = Path {
        name: Some("jitter"),
        jitter: 60,
        ..Path::default()
    };
    let run = run(&path, 40, 6_000);
    assert!(run.used(10, 40) > 0.7, "{}", run.used(10, 40));
}

#[test]
fn a_source_that_sends_little_learns_little_but_loses_nothing() {
    let run = run(&Path::default(), 30, 400);
    let last = run.0.last().expect("ran").target;
    assert!((390..3_000).contains(&last), "{last}");
    assert!(run.used(5, 30) > 0.9 * 400.0 / 2_500.0);
}
