//! The decision in virtual time.

use std::time::Duration;

use proptest::prelude::*;
use sluice_types::units::{Bitrate, Time};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn arrivals(figures: LinkFigures, seed: u64, every: Duration, packets: usize) -> Vec<Option<Time>> {
    let mut link = Impairment::new(figures, seed);
    let mut now = Time::ZERO;
    (0..packets)
        .map(|_| {
            now = now + every;
            match link.on_packet(now, 1200) {
                Verdict::Deliver { at } => Some(at),
                Verdict::Drop(_) => None,
            }
        })
        .collect()
}

fn lost(arrivals: &[Option<Time>]) -> f64 {
    arrivals.iter().filter(|at| at.is_none()).count() as f64 / arrivals.len() as f64
}

#[test]
fn delay_is_exact_without_jitter() {
    let figures = LinkFigures {
        delay: 75 * MS,
        ..LinkFigures::default()
    };
    let mut link = Impairment::new(figures, 1);
    let at = Time::from_millis(75);
    assert_eq!(link.on_packet(Time::ZERO, 100), Verdict::Deliver { at });
}

#[test]
fn random_loss_comes_to_its_share() {
    let figures = LinkFigures {
        loss: LossModel::Random(0.02),
        ..LinkFigures::default()
    };
    let share = lost(&arrivals(figures, 7, MS, 100_000));
    assert!((0.018..0.022).contains(&share), "{share}");
}

#[test]
fn bursts_come_to_their_share_and_length() {
    let burst = BurstLoss::of(0.03, 5.0);
    assert!((burst.average() - 0.03).abs() < 1e-9);
    let figures = LinkFigures {
        loss: LossModel::Burst(burst),
        ..LinkFigures::default()
    };
    let arrivals = arrivals(figures, 7, MS, 200_000);
    let share = lost(&arrivals);
    assert!((0.026..0.034).contains(&share), "{share}");
    let bursts = arrivals
        .windows(2)
        .filter(|pair| pair[0].is_some() && pair[1].is_none())
        .count();
    let length = share * arrivals.len() as f64 / bursts as f64;
    assert!((4.5..5.5).contains(&length), "{length}");
}

#[test]
fn a_rate_queues_and_then_drops_the_tail() {
    // 1,200 bytes take 9.6 ms at 1 Mbit/s; ten of them come at once.
    let figures = LinkFigures {
        rate: Some(Bitrate::mbps(1)),
        queue: 40 * MS,
        ..LinkFigures::default()
    };
    let mut link = Impairment::new(figures, 1);
    let verdicts: Vec<_> = (0..10).map(|_| link.on_packet(Time::ZERO, 1200)).collect();
    for (index, verdict) in verdicts.iter().enumerate() {
        let expected = if index < 5 {
            let at = Time::from_micros(9_600 * (index as u64 + 1));
            Verdict::Deliver { at }
        } else {
            Verdict::Drop(DropReason::QueueFull)
        };
        assert_eq!(*verdict, expected, "packet {index}");
    }
}

#[test]
fn held_back_packets_are_overtaken() {
    let figures = LinkFigures {
        delay: 10 * MS,
        reorder: 0.1,
        reorder_by: 5 * MS,
        ..LinkFigures::default()
    };
    let arrivals = arrivals(figures, 3, MS, 10_000);
    let overtaken = arrivals.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((800..1_000).contains(&overtaken), "{overtaken}");
}

#[test]
fn what_does_not_fit_is_dropped_and_takes_no_room() {
    let figures = LinkFigures {
        longest: Some(1_252),
        rate: Some(Bitrate::mbps(1)),
        queue: Duration::ZERO,
        ..LinkFigures::default()
    };
    let mut link = Impairment::new(figures, 1);
    let too_long = link.on_packet(Time::ZERO, 1_253);
    assert_eq!(too_long, Verdict::Drop(DropReason::TooLong));
    let fits = link.on_packet(Time::ZERO, 1_252);
    assert!(matches!(fits, Verdict::Deliver { .. }));
}

proptest! {
    #[test]
    fn the_same_seed_decides_the_same(seed: u64) {
        let figures = LinkFigures {
            delay: 20 * MS,
            jitter: 10 * MS,
            loss: LossModel::Burst(BurstLoss::of(0.1, 3.0)),
            rate: Some(Bitrate::mbps(2)),
            reorder: 0.02,
            reorder_by: 3 * MS,
            ..LinkFigures::default()
        };
        let once = arrivals(figures.clone(), seed, MS, 200);
        prop_assert_eq!(once, arrivals(figures, seed, MS, 200));
    }

    #[test]
    fn without_reordering_packets_keep_their_order(
        seed: u64, jitter_ms in 0u32..50, every_us in 1u64..5_000,
    ) {
        let figures = LinkFigures {
            delay: 20 * MS,
            jitter: jitter_ms * MS,
            ..LinkFigures::default()
        };
        let arrivals = arrivals(figures, seed, Duration::from_micros(every_us), 200);
        prop_assert!(arrivals.is_sorted());
    }
}
